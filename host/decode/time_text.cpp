#include "host/decode/time_text.hpp"

#include <chrono>
#include <cstddef>

namespace lanner::host {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool digits(int count, int& out) {
    if (text_.size() < static_cast<std::size_t>(count)) return false;
    out = 0;
    for (int i = 0; i < count; ++i) {
      const char c = text_[static_cast<std::size_t>(i)];
      if (c < '0' || c > '9') return false;
      out = out * 10 + (c - '0');
    }
    text_.remove_prefix(static_cast<std::size_t>(count));
    return true;
  }
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool at_end() const { return text_.empty(); }

  /// What follows the point, at least one digit, as nanoseconds.
  bool fraction(std::int64_t& nanoseconds) {
    std::size_t length = 0;
    std::int64_t unit = 100'000'000;
    nanoseconds = 0;
    while (length < text_.size() && text_[length] >= '0' && text_[length] <= '9') {
      nanoseconds += (text_[length] - '0') * unit;
      unit /= 10;
      ++length;
    }
    text_.remove_prefix(length);
    return length > 0;
  }

 private:
  std::string_view text_;
};

}  // namespace

std::optional<std::int64_t> to_nanoseconds(std::int64_t seconds, std::int64_t nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  // Below the epoch the whole seconds alone may not fit where seconds and fraction together do.
  if (seconds < 0 && nanoseconds > 0) {
    seconds += 1;
    nanoseconds -= kSecond;
  }
  std::int64_t result;
  if (__builtin_mul_overflow(seconds, kSecond, &result) ||
      __builtin_add_overflow(result, nanoseconds, &result))
    return std::nullopt;
  return result;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  Scanner scan(text);
  int year, month, day, hour = 0, minute = 0, second = 0;
  std::int64_t nanoseconds = 0, offset_minutes = 0;
  if (!scan.digits(4, year) || !scan.take('-') || !scan.digits(2, month) || !scan.take('-') ||
      !scan.digits(2, day))
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  if (!scan.at_end()) {
    if (!scan.take('T') && !scan.take('t') && !scan.take(' ')) return std::nullopt;
    if (!scan.digits(2, hour) || !scan.take(':') || !scan.digits(2, minute)) return std::nullopt;
    if (scan.take(':')) {
      if (!scan.digits(2, second)) return std::nullopt;
      if ((scan.take('.') || scan.take(',')) && !scan.fraction(nanoseconds)) return std::nullopt;
    }
    if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
    if (!scan.take('Z') && !scan.take('z')) {
      const int sign = scan.take('+') ? 1 : scan.take('-') ? -1 : 0;
      if (sign != 0) {
        int offset_hour = 0, offset_minute = 0;
        if (!scan.digits(2, offset_hour)) return std::nullopt;
        const bool has_colon = scan.take(':');
        if ((has_colon || !scan.at_end()) && !scan.digits(2, offset_minute)) return std::nullopt;
        if (offset_hour > 23 || offset_minute > 59) return std::nullopt;
        offset_minutes = sign * (offset_hour * 60 + offset_minute);
      }
    }
    if (!scan.at_end()) return std::nullopt;
  }
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
  return to_nanoseconds(seconds, nanoseconds);
}

}  // namespace lanner::host
