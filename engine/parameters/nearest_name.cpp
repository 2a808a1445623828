// Which known name a mistyped one was meant to be: optimal string alignment distance (insertions, deletions,
// substitutions and swaps of neighbours each count 1), letter case and - for _ ignored.
#include <algorithm>
#include <string>
#include <vector>

#include "engine/parameters/parameters.hpp"

namespace lanner::engine {
namespace {

// Longer input is no typing error, and the table below grows with the square.
constexpr std::size_t length_max = 128;

std::string folded(std::string_view name) {
  std::string text(name);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-' || c == ' ') c = '_';
  }
  return text;
}

std::size_t edits(const std::string& a, const std::string& b) {
  const std::size_t columns = b.size() + 1;
  std::vector<std::size_t> table((a.size() + 1) * columns);
  auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return table[i * columns + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t least = std::min(at(i - 1, j), at(i, j - 1)) + 1;
      least = std::min(least, at(i - 1, j - 1) + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        least = std::min(least, at(i - 2, j - 2) + 1);
      at(i, j) = least;
    }
  return at(a.size(), b.size());
}

}  // namespace

std::string nearest_name(std::string_view wrong, std::span<const std::string_view> names) {
  if (wrong.size() > length_max) return {};
  const std::string from = folded(wrong);
  std::string_view best;
  std::size_t best_edits = 0;
  for (std::string_view name : names) {
    if (name.size() > length_max) continue;
    const std::string to = folded(name);
    const std::size_t longer = std::max(from.size(), to.size());
    const std::size_t needed = edits(from, to);
    const bool close = needed <= (longer + 2) / 3 && needed < longer;
    if (close && (best.empty() || needed < best_edits)) best = name, best_edits = needed;
  }
  return std::string(best);
}

}  // namespace lanner::engine
