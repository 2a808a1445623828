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
  std::string label;  ///< column that is the label, taken out of the schema; "" for none. .npz: an array
  std::string entity, time,
      id;  ///< columns to be taken as such (time: integers ns, or ISO 8601 / "YYYY-MM-DD hh:mm:ss" UTC)
  std::string array;  ///< .npz: which array holds the rows; "" = `X`, or the only matrix there is
  /// Fields that are known: a .csv column that is text here is text even if all its cells look like numbers,
  /// and one that is named here stays a column even if it is the entity, time or id as well. Null: what the
  /// file suggests.
  const engine::Schema* expected = nullptr;
};

/// By the name's ending:
/// .npz: `X` [n, d] (C or Fortran order; f2 f4 f8 i1..i8 u1..u8 b1), labels from `y` where there is one;
/// FILE.npz:NAME reads another array (labels then from NAME_label), as options.array does. .npy: a matrix, a
/// vector (one column), or a structured array (numbers, text S and U, datetime64). .csv: UTF-8, a header row,
/// RFC 4180 quoting; a column is text if any cell isn't a number; a cell that is empty (in a column of
/// numbers also NA, N/A, null, None, nan) is missing; empty lines are skipped. .arrow, .feather: Arrow IPC
/// file or stream, uncompressed. The entity, time and id columns are taken out of the schema, as the label
/// is. Throws InvalidData for a file that isn't there, a column that isn't there, and any bytes that aren't
/// what they should be; never crashes on them.
DataFile read_data(const std::filesystem::path&, const ReadOptions& = {});
/// A vector of integers from an .npz (the index files of splits). Throws InvalidData likewise.
std::vector<std::int32_t> read_indices(const std::filesystem::path& npz, const std::string& array);

/// `score` float32, `p_value` float64, `threshold` float64, `flag` uint8: by the name's ending a CSV whose
/// floats read back to the same bits, or a structured .npy. Written beside and renamed. Spans of equal
/// length.
void write_scores(const std::filesystem::path&, std::span<const float> score, std::span<const double> p_value,
                  std::span<const double> threshold, std::span<const std::uint8_t> flag);

}  // namespace lanner::host
