// A plan as text.
#pragma once

#include <cstddef>

namespace lanner::engine {

/// More than any plan that fit() gives takes; longer text is refused unread.
inline constexpr std::size_t plan_text_bytes_max = 64u << 20;

}  // namespace lanner::engine
