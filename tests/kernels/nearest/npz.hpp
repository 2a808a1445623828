// Reads one two-dimensional array of an .npz archive as float32 rows: enough for the public data sets that
// the tests use (DEFLATE or stored; <f8, <f4, <i8, <i4, <i2, |i1, |u1; either order).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lanner::test {

struct Matrix {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<float> values;  ///< row-major
};

/// Throws std::runtime_error for anything that it does not understand.
Matrix read_npz(const std::string& path, const std::string& array);

}  // namespace lanner::test
