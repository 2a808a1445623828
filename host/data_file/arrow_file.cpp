#include <fmt/format.h>

#include <cstring>
#include <limits>

#include "host/arrow/reader.hpp"
#include "host/data_file/readers.hpp"
#include "host/decode/arrow_rows.hpp"

namespace lanner::host {

DataFile read_arrow(const std::filesystem::path& path, Bytes bytes, const ReadOptions& options) {
  constexpr std::string_view kFeather1 = "FEA1";
  if (bytes.size() >= kFeather1.size() && std::memcmp(bytes.data(), kFeather1.data(), kFeather1.size()) == 0)
    invalid(path, "Feather version 1, allowed version 2 (Arrow IPC)");
  arrow::Reader reader;
  constexpr std::size_t kRowsMax = std::numeric_limits<std::uint32_t>::max();
  std::string reason =
      arrow::Reader::is_file(bytes) ? reader.read_file(bytes, kRowsMax) : reader.read_stream(bytes, kRowsMax);
  if (!reason.empty()) {
    if (reason.find("compressed") != reason.npos)
      reason +=
          " (pandas, pyarrow: write_feather(..., compression='uncompressed'); polars: write_ipc(..., "
          "compression='uncompressed'))";
    invalid(path, reason);
  }

  // Columns of nulls take no bytes, and any may share theirs: what is no table must not cost a table's
  // memory.
  constexpr std::size_t kValuesMax = 64;
  if (reader.fields().empty()) invalid(path, "no columns");
  if (reader.rows() / kValuesMax > bytes.size() / reader.fields().size())
    invalid(path, fmt::format("{} rows of {} columns in {} bytes, allowed at most {} values a byte",
                              reader.rows(), reader.fields().size(), bytes.size(), kValuesMax));

  DataFile out;
  out.schema.entity = options.entity;
  out.schema.time = options.time;
  out.schema.id = options.id;
  // The label is read as one more field, and taken out again.
  std::ptrdiff_t label = -1;
  std::vector<std::string> names;
  for (const arrow::Field& field : reader.fields()) {
    names.emplace_back(field.name);
    const bool is_label = field.name == options.label;
    if (!is_label && !stays_field(options, field.name)) continue;
    const bool is_text = field.kind == arrow::Kind::text || field.kind == arrow::Kind::text_view ||
                         is_expected_text(options, field.name);
    if (is_label) label = static_cast<std::ptrdiff_t>(out.schema.fields.size());
    out.schema.fields.push_back(
        {names.back(), is_text ? engine::ColumnKind::text : engine::ColumnKind::number});
  }
  require_columns(path, options, names);
  reason = records_from_arrow(reader, out.schema, out.records);
  if (!reason.empty()) invalid(path, reason);
  if (!out.records.refused.empty())
    invalid(path, fmt::format("row {}: {}", out.records.refused[0].row, out.records.refused[0].reason));
  if (label < 0) return out;
  const engine::Column column = std::move(out.records.columns[static_cast<std::size_t>(label)]);
  out.schema.fields.erase(out.schema.fields.begin() + label);
  out.records.columns.erase(out.records.columns.begin() + label);
  out.labels.resize(out.records.count);
  for (std::size_t row = 0; row < out.records.count; ++row) {
    if (column.numbers.empty() || !to_label(column.numbers[row], out.labels[row]))
      invalid(path, fmt::format("row {}: {}: allowed whole numbers as labels", row, options.label));
  }
  return out;
}

}  // namespace lanner::host
