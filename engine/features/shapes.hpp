// Records against the schema that they claim.
#pragma once

#include <cstdint>

#include "engine/records/records.hpp"

namespace lanner::engine {

/// Throws std::invalid_argument where the records' columns, widths or counts aren't the schema's.
void check_shapes(const Schema&, const Records&);
/// Sets marks[row - begin] = 1 for the rows of [begin, end) that the records refuse.
void mark_refused(const Records&, std::size_t begin, std::size_t end, std::uint8_t* marks);

}  // namespace lanner::engine
