// Arrow columns into Records, for messages and for files.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/records/records.hpp"
#include "host/arrow/reader.hpp"
#include "host/decode/row_writer.hpp"

namespace lanner::host {

/// The rows of all record batches, matched by column name; a field with no column is missing in every row,
/// and columns that nobody names are not looked at. Rows without a time, or with text that isn't UTF-8, are
/// in out.refused. Returns empty, or why nothing can be read: "column 'amount': found Utf8, allowed ...".
/// `out` is empty, its columns fitted. `scratch` is kept for its memory.
std::string records_from_arrow(const arrow::Reader&, const SchemaNames&, engine::Records& out,
                               std::vector<std::size_t>& scratch);
/// The same, once.
std::string records_from_arrow(const arrow::Reader&, const engine::Schema&, engine::Records& out);

}  // namespace lanner::host
