#include "engine/features/shapes.hpp"

#include <algorithm>
#include <stdexcept>

namespace lanner::engine {

void check_shapes(const Schema& schema, const Records& records) {
  const auto refuse = [](const std::string& what) { throw std::invalid_argument("records: " + what); };
  if (records.dense) {
    if (records.dense.width != schema.fields.size()) {
      refuse("rows are " + std::to_string(records.dense.width) + " wide, the schema has " +
             std::to_string(schema.fields.size()) + " fields");
    }
    for (const FieldSpec& field : schema.fields) {
      if (field.kind != ColumnKind::number)
        refuse("a dense row can't carry the text of '" + field.name + "'");
    }
  } else {
    if (records.columns.size() != schema.fields.size()) {
      refuse(std::to_string(records.columns.size()) + " columns, the schema has " +
             std::to_string(schema.fields.size()) + " fields");
    }
    for (std::size_t i = 0; i < schema.fields.size(); ++i) {
      const Column& column = records.columns[i];
      const bool whole = schema.fields[i].kind == ColumnKind::number
                             ? column.numbers.size() == records.count
                             : column.texts.size() == records.count && column.missing.size() == records.count;
      if (!whole) refuse("the column of '" + schema.fields[i].name + "' does not hold a value for each row");
    }
  }
  const auto none_or_all = [&](std::size_t size) { return size == 0 || size == records.count; };
  if (!none_or_all(records.entity.size()) || !none_or_all(records.time.size()))
    refuse("entities or times are not one for each row");
}

void mark_refused(const Records& records, std::size_t begin, std::size_t end, std::uint8_t* marks) {
  auto refusal = std::lower_bound(records.refused.begin(), records.refused.end(), begin,
                                  [](const RowRefusal& r, std::size_t row) { return r.row < row; });
  for (; refusal != records.refused.end() && refusal->row < end; ++refusal) marks[refusal->row - begin] = 1;
}

}  // namespace lanner::engine
