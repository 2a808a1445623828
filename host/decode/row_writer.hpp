// Rows of named values into Records: one place decides what a stream's fields accept, for every row format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/records/records.hpp"

namespace lanner::host {

/// One value of a row as its format has it. `text` must live until finish().
struct Value {
  enum class Kind : std::uint8_t { missing, integer, unsigned_integer, number, boolean, text, time, other };
  Kind kind = Kind::missing;
  union {
    std::int64_t integer;  ///< integer; time: nanoseconds since the epoch; boolean: 0 or 1
    std::uint64_t unsigned_integer;
    double number;
  };
  std::string_view text;  ///< text; other: what it is, for the reason
};

/// Names that a schema mentions, each with what it stands for.
class SchemaNames {
 public:
  struct Slot {
    std::string name;
    std::ptrdiff_t field = -1;  ///< in schema.fields, -1: none
    engine::ColumnKind kind = engine::ColumnKind::number;
    bool entity = false, time = false, id = false;
  };

  /// Cheap where the schema is the one it already has.
  void set(const engine::Schema&);
  const std::vector<Slot>& slots() const { return slots_; }
  bool has_entity() const { return !schema_.entity.empty(); }
  bool has_time() const { return !schema_.time.empty(); }
  bool has_id() const { return !schema_.id.empty(); }
  /// The slot's index, or -1.
  std::ptrdiff_t find(std::string_view name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? -1 : found->second;
  }

 private:
  std::size_t add(std::string_view name);

  engine::Schema schema_;
  bool is_set_ = false;
  std::vector<Slot> slots_;
  std::unordered_map<std::string_view, std::ptrdiff_t> index_;
};

class RowWriter {
 public:
  void start(const SchemaNames&, engine::Records& out);
  /// Where to put the value of `name`, the row's key number `position`; null: the schema doesn't mention it.
  /// A name given twice keeps its last value.
  Value* value(std::size_t position, std::string_view name);
  /// Takes the row, or refuses it with a reason where a value is of the wrong type.
  void finish();
  /// Refuses the row whatever it holds.
  void refuse(std::string reason);

 private:
  std::string fault() const;
  void append_text(engine::Texts&, const Value&);
  void clear_values();

  const SchemaNames* names_ = nullptr;
  engine::Records* out_ = nullptr;
  std::vector<Value> values_;
  std::vector<std::ptrdiff_t>
      order_;  // which slot stood at a position in earlier rows: keys rarely change places
};

}  // namespace lanner::host
