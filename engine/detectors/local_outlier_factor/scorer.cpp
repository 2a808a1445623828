#include "engine/detectors/local_outlier_factor/scorer.hpp"

#include <algorithm>
#include <utility>

#include "engine/detectors/references.hpp"
#include "engine/detectors/slot.hpp"
#include "kernels/density/reachability_formula.hpp"

namespace lanner::engine::local_outlier_factor {

using nearest::Count;

FactorScorer::FactorScorer(Device& device, std::shared_ptr<const Learned> learned)
    : learned_(std::move(learned)),
      index_(nearest::make_index(device, learned_->references, learned_->k)),
      densities_(density::make_densities(device, learned_->training())),
      threads_(device.threads()) {}

std::size_t FactorScorer::workspace_bytes(std::size_t rows_max) const {
  const std::size_t k = learned_->k, block = block_rows(rows_max, k);
  return workspace_alignment + neighbour_bytes(block, k) + piece_bytes<double>(threads_ * width()) +
         index_->workspace_bytes(block, k, Count::distinct);
}

void FactorScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                         std::span<float> scores) const {
  check_scores(rows, width(), scores);
  const std::size_t block = block_rows(rows.count, learned_->k);
  for (std::size_t begin = 0; begin < rows.count; begin += block) {
    const Rows part = rows.slice(begin, std::min(begin + block, rows.count));
    WorkspacePieces pieces(workspace);
    const nearest::Neighbours found = take_neighbours(pieces, block, learned_->k);
    nearest::search(stream, *index_, part, learned_->k, Count::distinct, {}, pieces.rest(), found);
    density::local_outlier_factors(stream, *densities_, found, part.count, scores.subspan(begin));
  }
}

void FactorScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                 MutableRows out) const {
  check_contributions(rows, width(), out);
  const std::size_t block = block_rows(rows.count, learned_->k);
  for (std::size_t begin = 0; begin < rows.count; begin += block) {
    const Rows part = rows.slice(begin, std::min(begin + block, rows.count));
    WorkspacePieces pieces(workspace);
    const nearest::Neighbours found = take_neighbours(pieces, block, learned_->k);
    const std::span<double> sums = pieces.take<double>(threads_ * width());
    nearest::search(stream, *index_, part, learned_->k, Count::distinct, {}, pieces.rest(), found);
    auto task = [&](std::size_t first, std::size_t last, unsigned worker) {
      for (std::size_t i = first; i < last; ++i)
        split(part.row(i), found, i, sums.subspan(worker * width(), width()), out.row(begin + i));
    };
    stream.for_range(part.count, 16, task);
  }
}

float FactorScorer::factor(const nearest::Neighbours& found, std::size_t i) const {
  if (learned_->references.distinct() == 1) return density::lone_row_factor(found.distance[i * found.k]);
  return density::finite_factor(density::neighbourhood(learned_->training(), found, i).factor());
}

void FactorScorer::split(const float* row, const nearest::Neighbours& found, std::size_t i,
                         std::span<double> sums, float* out) const {
  const density::TrainingDensity training = learned_->training();
  const Rows references = learned_->references.view();
  std::fill(sums.begin(), sums.end(), 0.0);
  double split_reach = 0;
  for (std::size_t e = i * found.k; e < i * found.k + found.count[i]; ++e) {
    const std::uint32_t neighbour = found.row[e];
    const double amount =
        training.weight[neighbour] * density::reach(training.k_distance[neighbour], found.distance[e]);
    if (add_split(row, references.row(neighbour), width(), amount, sums.data())) split_reach += amount;
  }
  const double score = factor(found, i);
  for (std::size_t j = 0; j < width(); ++j)
    out[j] = finite_float(split_reach > 0 ? score * (sums[j] / split_reach)
                                          : score / static_cast<double>(width()));
}

}  // namespace lanner::engine::local_outlier_factor
