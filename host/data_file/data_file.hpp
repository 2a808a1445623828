// Data files of the command line: .csv, .npy, .npz, .arrow/.feather in; .csv and structured .npy out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/records/records.hpp"

namespace lanner::host {

/// What is wrong with a data file: `file:line: key: found X, allowed Y` where a line makes sense.
class InvalidData : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A whole file in memory: named columns, numeric or text.
struct DataFile {
  engine::Schema schema;    ///< every column, in file order (matrices: x0, x1, ...)
  engine::Records records;  ///< as columns; CSV rows that don't parse are an error, an empty cell is missing
  std::vector<int> labels;  ///< .npz `y`, or the column named by `label`; else empty
};

struct ReadOptions {
  std::string label;               ///< column that is the label, taken out of the schema; "" for none
  std::string entity, time, id;    ///< columns to be taken as such (time: integers ns, or ISO 8601 / "YYYY-MM-DD hh:mm:ss" UTC)
};

/// .npz: `X` [n, d] (C or Fortran order; f4 f8 i1..i8 u1..u8), optional `y`; .npy: a matrix or a vector (one column), or a
/// structured array; .csv: a header row, RFC 4180 quoting, a column is text if any cell isn't a number; .arrow/.feather:
/// Arrow IPC file or stream, uncompressed. Hostile bytes are InvalidData, never a crash.
DataFile read_data(const std::filesystem::path&, const ReadOptions& = {});
std::vector<std::int32_t> read_indices(const std::filesystem::path& npz, const std::string& array);

/// `score` float32, `p_value` float64, `threshold` float64, `flag` uint8: by the name's ending a CSV whose floats read
/// back to the same bits, or a structured .npy. Written beside and renamed. Spans of equal length.
void write_scores(const std::filesystem::path&, std::span<const float> score, std::span<const double> p_value,
                  std::span<const double> threshold, std::span<const std::uint8_t> flag);

}  // namespace lanner::host
