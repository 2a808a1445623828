// Events as they arrive, decoded: what features are computed from, in training and in serving alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lanner::engine {

enum class ColumnKind { number, text };

struct FieldSpec {
  std::string name;
  ColumnKind kind = ColumnKind::number;
  friend bool operator==(const FieldSpec&, const FieldSpec&) = default;
};

/// What a stream's events carry. A `tensor` payload's columns are `fields` in this order, which must then all
/// be numbers; the other formats are matched by name. entity, time and id name the fields that carry them (""
/// = none declared: a format's sidecars may still bring them).
struct Schema {
  std::vector<FieldSpec> fields;
  std::string entity, time, id;
  friend bool operator==(const Schema&, const Schema&) = default;
};

/// Strings, packed. Cleared and refilled without allocating once it has grown.
class Texts {
 public:
  std::size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }
  void push_back(std::string_view text) {
    bytes_.append(text);
    ends_.push_back(bytes_.size());
  }
  void replace_back(std::string_view text) {
    bytes_.resize(ends_.size() > 1 ? ends_[ends_.size() - 2] : 0);
    ends_.pop_back();
    push_back(text);
  }
  void clear() {
    bytes_.clear();
    ends_.clear();
  }
  void reserve(std::size_t count, std::size_t bytes) {
    ends_.reserve(count);
    bytes_.reserve(bytes);
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

struct Column {
  std::vector<double> numbers;        ///< ColumnKind::number; NaN: missing
  Texts texts;                        ///< ColumnKind::text
  std::vector<std::uint8_t> missing;  ///< ColumnKind::text: 1 where the value is missing
};

/// A row that can't be scored, and why. Row numbers count from the batch's first row.
struct RowRefusal {
  std::uint32_t row = 0;
  std::string reason;
};

/// A dense payload, borrowed from whoever decoded it: [count, width] row-major, of float or double (the other
/// null).
struct Dense {
  const float* floats = nullptr;
  const double* doubles = nullptr;
  std::size_t width = 0;
  explicit operator bool() const { return floats || doubles; }
};

/// A batch of events: either dense or columns (one for each field of the schema, in its order).
/// entity, time and id are empty or hold `count` items; time is nanoseconds since the Unix epoch, UTC.
/// `refused` is ascending by row; a refused row's values mean nothing.
struct Records {
  std::size_t count = 0;
  Dense dense;
  std::vector<Column> columns;
  Texts entity, id;
  std::vector<std::int64_t> time;
  std::vector<RowRefusal> refused;
  std::vector<double> copied;  ///< what `dense` points to where a payload could not be viewed in place
  std::vector<Column> spare;   ///< of schemas with more fields: their memory, last column first

  /// Empties it, keeping the memory.
  void clear();
  /// So many columns, all empty, with the memory that each of them had before.
  void fit_columns(std::size_t);
  /// The value of a numeric field, whether dense or a column; NaN: missing.
  double number(std::size_t row, std::size_t field) const;
  /// Takes over a row of other records, into columns, with its entity and time where there are any; not its
  /// id, nor that it is refused. `fields`: the schema's, of both; this has a column for each.
  void append_row(const Records& from, std::size_t row, std::span<const FieldSpec> fields);
};

bool valid_utf8(std::string_view);

}  // namespace lanner::engine
