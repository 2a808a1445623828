// Bytes that somebody else owns: a message's frame, a file in memory.
#pragma once

#include <cstddef>
#include <span>

namespace lanner::host {

using Bytes = std::span<const std::byte>;

}  // namespace lanner::host
