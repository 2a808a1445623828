// The reference: kernel_sum_formula.hpp rule by rule, every block computed, nothing skipped.
#include <limits>

#include "kernels/density/kernel_sum_layout.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::density::kernel_sum {
namespace {

constexpr float none = -std::numeric_limits<float>::infinity();

struct Block {
  float exponents[block_rows];  ///< `none` where there is no row, or it is left out
  float weights[block_rows];
  float largest = none;
};

float value(const Tables& tables, std::size_t block, std::size_t row, std::size_t j) {
  const float* panel = tables.block_values(block) + row / panel_rows * panel_rows * tables.width;
  return panel[j * panel_rows + row % panel_rows];
}

void fill(Block& block, const Tables& tables, std::size_t number, const float* query, std::uint32_t self) {
  block.largest = none;
  for (std::size_t i = 0; i < block_rows; ++i) {
    block.exponents[i] = none;
    block.weights[i] = tables.weights[number * block_rows + i];
    if (self != nearest::no_self && tables.place[self] == number * block_rows + i) block.weights[i] -= 1;
    if (!(block.weights[i] > 0)) continue;
    float s = 0;
    for (std::size_t j = 0; j < tables.width; ++j) {
      const float d = query[j] - value(tables, number, i, j);
      s = fma(d, d, s);
    }
    block.exponents[i] = exponent(s, tables.scale);
    block.largest = maximum(block.largest, block.exponents[i]);
  }
}

double sum(const Block& block) {
  float acc[chains] = {};
  for (std::size_t i = 0; i < block_rows; ++i) {
    if (block.exponents[i] == none) continue;
    acc[i % chains] = fma(block.weights[i], term(block.exponents[i] - block.largest), acc[i % chains]);
  }
  double values[chains];
  for (std::size_t c = 0; c < chains; ++c) values[c] = static_cast<double>(acc[c]);
  return tree_sum<chains>(values);
}

struct Total {
  float largest = none;
  double sum = 0;
};

Total total(const Tables& tables, const float* query, std::uint32_t self, float* block_largest,
            double* block_sums) {
  Total result;
  Block block;
  for (std::size_t b = 0; b < tables.blocks; ++b) {
    fill(block, tables, b, query, self);
    block_largest[b] = block.largest;
    block_sums[b] = block.largest == none ? 0 : sum(block);
    result.largest = maximum(result.largest, block.largest);
  }
  double acc[partial_sums] = {};
  for (std::size_t b = 0; b < tables.blocks; ++b) {
    if (block_largest[b] == none || dropped(block_largest[b], result.largest)) continue;
    const double factor =
        block_factor(static_cast<double>(block_largest[b]) - static_cast<double>(result.largest));
    acc[b % partial_sums] += block_sums[b] * factor;
  }
  result.sum = tree_sum<partial_sums>(acc);
  return result;
}

}  // namespace

void log_sums_scalar(const Tables& tables, Rows queries, const std::uint32_t* self,
                     const Workspace& workspace, double* out) {
  for (std::size_t q = 0; q < queries.count; ++q) {
    const Total t =
        total(tables, queries.row(q), self ? self[q] : nearest::no_self, workspace.largest, workspace.sums);
    out[q] = t.largest == none ? nothing : log_sum(t.largest, t.sum);
  }
}

void attraction_scalar(const Tables& tables, Rows queries, const Workspace& workspace, MutableRows out) {
  for (std::size_t q = 0; q < queries.count; ++q) {
    const float* query = queries.row(q);
    const Total t = total(tables, query, nearest::no_self, workspace.largest, workspace.sums);
    double* squares = workspace.squares;
    for (std::size_t j = 0; j < tables.width; ++j) squares[j] = 0;
    Block block;
    for (std::size_t b = 0; b < tables.blocks; ++b) {
      if (dropped(workspace.largest[b], t.largest)) continue;
      const double factor =
          block_factor(static_cast<double>(workspace.largest[b]) - static_cast<double>(t.largest));
      fill(block, tables, b, query, nearest::no_self);
      for (std::size_t j = 0; j < tables.width; ++j) {
        float acc[chains] = {};
        for (std::size_t i = 0; i < block_rows; ++i) {
          if (block.exponents[i] == none) continue;
          const float d = query[j] - value(tables, b, i, j);
          const float weight = block.weights[i] * near_term(block.exponents[i] - block.largest);
          acc[i % chains] = fma(weight, minimum(d * d, largest), acc[i % chains]);
        }
        double values[chains];
        for (std::size_t c = 0; c < chains; ++c) values[c] = static_cast<double>(acc[c]);
        squares[j] += tree_sum<chains>(values) * factor;
      }
    }
    for (std::size_t j = 0; j < tables.width; ++j)
      out.row(q)[j] = attraction_value(squares[j], t.sum, tables.attraction_scale);
  }
}

}  // namespace lanner::density::kernel_sum
