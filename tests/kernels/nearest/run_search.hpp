// All that an index says of some queries.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "kernels/nearest/nearest.hpp"
#include "tests/kernels/nearest/brute_force.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace lanner::test {

struct Found {
  std::vector<Answer> answers;
  std::vector<float> kth, mean;
};

inline Found run(Device& device, const nearest::Index& index, Rows queries, std::size_t k,
                 nearest::Count count, std::span<const std::uint32_t> self, std::size_t batch) {
  Stream stream = device.stream();
  Found found;
  found.answers.resize(queries.count);
  found.kth.resize(queries.count);
  found.mean.resize(queries.count);
  std::vector<std::byte> workspace(index.workspace_bytes(std::min(batch, queries.count), k, count));
  std::vector<std::uint32_t> row(batch * k), taken(batch * k), counts(batch);
  std::vector<float> distance(batch * k);
  for (std::size_t begin = 0; begin < queries.count; begin += batch) {
    const std::size_t end = std::min(queries.count, begin + batch);
    const Rows part = queries.slice(begin, end);
    const auto part_self = self.empty() ? self : self.subspan(begin, end - begin);
    nearest::search(stream, index, part, k, count, part_self, workspace,
                    {k, row.data(), distance.data(), taken.data(), counts.data()});
    for (std::size_t i = 0; i < end - begin; ++i) {
      Answer& answer = found.answers[begin + i];
      answer.row.assign(&row[i * k], &row[i * k] + counts[i]);
      answer.taken.assign(&taken[i * k], &taken[i * k] + counts[i]);
      answer.distance.assign(&distance[i * k], &distance[i * k] + counts[i]);
    }
    nearest::distances(stream, index, part, k, count, nearest::Summary::kth, part_self, workspace,
                       std::span(found.kth).subspan(begin, end - begin));
    nearest::distances(stream, index, part, k, count, nearest::Summary::mean, part_self, workspace,
                       std::span(found.mean).subspan(begin, end - begin));
  }
  return found;
}

// Queries: references, references a little moved, and rows of their own kind.
inline MadeRows queries_for(const MadeRows& references, const MadeRows& others, std::size_t count,
                            std::mt19937& random) {
  MadeRows queries(count, references.width);
  for (std::size_t i = 0; i < count; ++i) {
    const bool other = i % 3 == 2 && others.count > 0;
    const MadeRows& source = other ? others : references;
    const float* from = source.row(random() % source.count);
    for (std::size_t j = 0; j < references.width; ++j) {
      const float moved = from[j] * (1 + 1e-3f * static_cast<float>(static_cast<int>(random() % 3) - 1));
      queries.row(i)[j] = i % 3 == 1 && std::isfinite(moved) ? moved : from[j];
    }
  }
  return queries;
}

}  // namespace lanner::test
