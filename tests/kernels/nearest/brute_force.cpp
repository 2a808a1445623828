#include "tests/kernels/nearest/brute_force.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

namespace lanner::test {
namespace {

// What chooses a clone runs before ThreadSanitizer does, which GCC calls from there all the same.
#if defined(__SANITIZE_THREAD__)
#define LANNER_TEST_CLONES
#else
#define LANNER_TEST_CLONES [[gnu::target_clones("default", "arch=x86-64-v3")]]
#endif

// Column by column, so that the compiler can take several rows at once.
LANNER_TEST_CLONES void squared_distances(const double* columns, std::size_t count, std::size_t width,
                                          const float* query, double* out) {
  constexpr std::size_t block = 1024;
  for (std::size_t begin = 0; begin < count; begin += block) {
    const std::size_t end = std::min(count, begin + block);
    for (std::size_t i = begin; i < end; ++i) out[i] = 0;
    for (std::size_t j = 0; j < width; ++j) {
      const double q = query[j];
      const double* column = columns + j * count;
      for (std::size_t i = begin; i < end; ++i) {
        const double d = q - column[i];
        out[i] = std::fma(d, d, out[i]);
      }
    }
  }
}

}  // namespace

BruteForce::BruteForce(Rows rows)
    : count_(rows.count), width_(rows.width), columns_(rows.count * rows.width) {
  std::map<std::vector<float>, std::uint32_t> seen;  // float's order takes -0 and +0 for the same
  for (std::size_t i = 0; i < count_; ++i) {
    const std::vector<float> row(rows.row(i), rows.row(i) + width_);
    for (std::size_t j = 0; j < width_; ++j) columns_[j * count_ + i] = row[j];
    const auto [at, fresh] = seen.try_emplace(row, static_cast<std::uint32_t>(weight_.size()));
    if (fresh) {
      weight_.push_back(0);
      last_member_.push_back(0);
    }
    distinct_of_.push_back(at->second);
    ++weight_[at->second];
    last_member_[at->second] = static_cast<std::uint32_t>(i);
  }
}

Answer BruteForce::search(const float* query, std::size_t k, nearest::Count count, std::uint32_t self) const {
  static thread_local std::vector<double> squared;
  static thread_local std::vector<std::pair<double, std::uint32_t>> rows;
  squared.resize(count_);
  squared_distances(columns_.data(), count_, width_, query, squared.data());
  rows.clear();
  std::uint32_t next_distinct = 0;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const bool first = distinct_of_[i] == next_distinct;
    next_distinct += first;
    if (count == nearest::Count::distinct) {
      if (!first || distinct_of_[i] == self) continue;
    } else if (self != nearest::no_self && i == last_member_[self]) {
      continue;
    }
    rows.emplace_back(squared[i], i);
  }
  const std::size_t taken = std::min(k, rows.size());
  if (taken < rows.size()) std::nth_element(rows.begin(), rows.begin() + taken, rows.end());
  rows.resize(taken);
  std::sort(rows.begin(), rows.end());

  // Grouped by distinct row; the groups stand by distance, then by their row of lowest index.
  std::vector<std::uint32_t> entry_of_distinct(weight_.size(), std::numeric_limits<std::uint32_t>::max());
  Answer answer;
  for (std::size_t i = 0; i < taken; ++i) {
    const std::uint32_t distinct = distinct_of_[rows[i].second];
    std::uint32_t& entry = entry_of_distinct[distinct];
    if (entry == std::numeric_limits<std::uint32_t>::max()) {
      entry = static_cast<std::uint32_t>(answer.row.size());
      answer.row.push_back(distinct);
      answer.taken.push_back(count == nearest::Count::distinct ? weight_[distinct] : 0);
      const float distance = static_cast<float>(std::sqrt(rows[i].first));
      answer.distance.push_back(std::isinf(distance) ? std::numeric_limits<float>::max() : distance);
    }
    if (count == nearest::Count::rows) ++answer.taken[entry];
  }
  return answer;
}

float BruteForce::summarise(const Answer& answer, nearest::Summary summary) {
  if (answer.row.empty()) return 0;
  if (summary == nearest::Summary::kth) return answer.distance.back();
  double sum = 0, rows = 0;
  for (std::size_t i = 0; i < answer.row.size(); ++i) {
    sum = std::fma(static_cast<double>(answer.distance[i]), static_cast<double>(answer.taken[i]), sum);
    rows += answer.taken[i];
  }
  return static_cast<float>(sum / rows);
}

}  // namespace lanner::test
