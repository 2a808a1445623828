// Events from Python as the engine's records.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <optional>

#include "engine/records/records.hpp"

namespace lanner::python {

using Matrix = nanobind::ndarray<nanobind::ro, nanobind::ndim<2>, nanobind::c_contig, nanobind::device::cpu>;
using Numbers = nanobind::ndarray<const double, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using Times =
    nanobind::ndarray<const std::int64_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;

class Events {
 public:
  /// [n, d] of float32 or float64, viewed in place: the matrix is kept for as long as the events live. Throws
  /// nanobind's type_error for another dtype.
  explicit Events(Matrix rows);
  /// One item a field, in the schema's order: float64 [n] (NaN: missing), or n strings or None. entity: n
  /// strings, or None; time: int64 [n], ns since 1970 UTC, or None. Throws std::invalid_argument where
  /// lengths differ.
  Events(std::size_t count, const nanobind::list& columns, const std::optional<nanobind::list>& entity,
         const std::optional<Times>& time);

  const engine::Records& records() const { return records_; }
  std::size_t count() const { return records_.count; }
  /// Of the matrix that is viewed; 0 for columns.
  std::uintptr_t address() const;

 private:
  std::optional<Matrix> rows_;
  engine::Records records_;
};

}  // namespace lanner::python
