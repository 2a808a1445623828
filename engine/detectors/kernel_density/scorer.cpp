#include "engine/detectors/kernel_density/scorer.hpp"

#include <cmath>

#include "engine/detectors/kernel_density/model.hpp"
#include "engine/detectors/slot.hpp"
#include "kernels/density/kernel_sum_formula.hpp"

namespace lanner::engine::kernel_density {

DensityScorer::DensityScorer(Device& device, std::shared_ptr<const nearest::ReferenceSet> references,
                             double bandwidth)
    : kernel_(density::make_kernel_sum(device, *references, bandwidth)),
      log_rows_(std::log(static_cast<double>(references->rows()))),
      lowest_(lowest_score(references->width, bandwidth)),
      base_(finite_float(lowest_)) {}

std::size_t DensityScorer::workspace_bytes(std::size_t rows_max) const {
  return workspace_alignment + piece_bytes<double>(rows_max) + kernel_->workspace_bytes(rows_max);
}

void DensityScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                          std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count == 0) return;
  density::negative_log_density(stream, *kernel_, rows, lowest_, log_rows_, WorkspacePieces(workspace).rest(),
                                scores);
}

void DensityScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                  MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count == 0) return;
  WorkspacePieces pieces(workspace);
  const std::span<double> sums = pieces.take<double>(rows.count);
  density::log_kernel_sum(stream, *kernel_, rows, {}, pieces.rest(), sums);
  density::attraction(stream, *kernel_, rows, pieces.rest(), out);
  for (std::size_t i = 0; i < rows.count; ++i) {
    float* parts = out.row(i);
    const double above =
        static_cast<double>(density::kernel_sum::negative_log_density(sums[i], lowest_, log_rows_)) - base_;
    double total = 0;
    for (std::size_t j = 0; j < width(); ++j) total += parts[j];
    for (std::size_t j = 0; j < width(); ++j)
      parts[j] = finite_float(above * (total > 0 ? parts[j] / total : 1 / static_cast<double>(width())));
  }
}

}  // namespace lanner::engine::kernel_density
