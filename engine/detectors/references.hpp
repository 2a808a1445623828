// The training rows that neighbour and kernel detectors keep: how they are saved, checked on loading, and how
// the squared distance to one of them splits over the features.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "engine/detectors/slot.hpp"
#include "engine/model_file/tensors.hpp"
#include "kernels/nearest/nearest.hpp"
#include "kernels/rows.hpp"

namespace lanner::engine {

/// Throws InvalidModel with this text.
void require(bool holds, std::string_view otherwise);

/// Throws std::invalid_argument where there is no row or no column: what every fit needs.
void check_training_rows(Rows rows);

/// Tensors references.values [distinct, width] and references.distinct_of_row [rows]; where it is planned,
/// references.plan.order [distinct], .cells, .groups and .counts [2] (kernels/nearest/plan.hpp).
void save_references(const nearest::ReferenceSet&, TensorWriter&);
/// Throws InvalidModel unless the tensors are what save_references can have written: finite values, no
/// distinct row twice, all of them used, in the order of their first occurrence.
nearest::ReferenceSet load_references(const TensorReader&);

/// s = sum of squared differences in float64; adds amount * (q[j] - r[j])^2 / s to each out[j]. Where the
/// rows are the same, nothing is added and false is returned.
bool add_split(const float* query, const float* reference, std::size_t width, double amount, double* out);

/// The value of each original row, from that of each distinct row.
std::vector<float> for_every_row(const nearest::ReferenceSet&, std::span<const float> of_distinct);

/// How many queries are answered at a time where each has k neighbours: bounds the workspace (about 12 MiB of
/// neighbours) whatever k and the batch are.
std::size_t block_rows(std::size_t rows_max, std::size_t k);

/// A block's neighbours within a workspace.
std::size_t neighbour_bytes(std::size_t rows, std::size_t k);
nearest::Neighbours take_neighbours(WorkspacePieces&, std::size_t rows, std::size_t k);

}  // namespace lanner::engine
