// Floats as text that reads back to the same bits.
#pragma once

#include <charconv>
#include <cmath>
#include <cstring>

namespace lanner::host {

/// Room that a float's or double's text needs.
inline constexpr std::size_t float_text_max = 32;

/// Writes the shortest such text, "nan" for any NaN; returns its end. There is room for float_text_max.
inline char* put_float(char* at, double value) {
  if (!std::isnan(value)) return std::to_chars(at, at + float_text_max, value).ptr;
  std::memcpy(at, "nan", 3);
  return at + 3;
}

/// Likewise, also for a reader that takes every number for a double and rounds it afterwards, which the
/// shortest text of a float (7.038531e-26) does not always survive.
inline char* put_float(char* at, float value) {
  if (std::isnan(value)) return put_float(at, static_cast<double>(value));
  char* const end = std::to_chars(at, at + float_text_max, value).ptr;
  double read = 0;
  std::from_chars(at, end, read);
  return static_cast<float>(read) == value ? end : put_float(at, static_cast<double>(value));
}

}  // namespace lanner::host
