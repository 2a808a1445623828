// Views of feature rows: what every kernel reads and writes.
#pragma once

#include <cstddef>

namespace lanner {

/// A read-only matrix of feature rows: [count, width] float32, row-major, rows `stride` floats apart
/// (stride >= width). Kernels read only the `width` floats of a row, so any buffer will do. Values are
/// finite: rows with NaN or infinities are refused before they reach a kernel (engine/features).
struct Rows {
  const float* data = nullptr;
  std::size_t count = 0;
  std::size_t width = 0;
  std::size_t stride = 0;

  const float* row(std::size_t i) const { return data + i * stride; }
  Rows slice(std::size_t begin, std::size_t end) const { return {row(begin), end - begin, width, stride}; }
};

/// The same, to be written.
struct MutableRows {
  float* data = nullptr;
  std::size_t count = 0;
  std::size_t width = 0;
  std::size_t stride = 0;

  float* row(std::size_t i) const { return data + i * stride; }
  operator Rows() const { return {data, count, width, stride}; }
};

}  // namespace lanner
