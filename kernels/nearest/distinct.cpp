#include "kernels/nearest/distinct.hpp"

#include <bit>
#include <limits>
#include <stdexcept>
#include <vector>

namespace lanner::nearest {
namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

// Adding zero turns -0 into +0 and leaves every other value as it is.
std::uint32_t bits(float value) {
  return std::bit_cast<std::uint32_t>(value + 0.0f);
}

}  // namespace

std::uint64_t row_hash(const float* row, std::size_t width) {
  std::uint64_t h = 0x9E3779B97F4A7C15u ^ width;
  for (std::size_t j = 0; j < width; ++j) {
    h = (h ^ bits(row[j])) * 0xFF51AFD7ED558CCDu;
    h ^= h >> 32;
  }
  h *= 0xC4CEB9FE1A85EC53u;
  return h ^ h >> 29;
}

bool same_row(const float* a, const float* b, std::size_t width) {
  for (std::size_t j = 0; j < width; ++j)
    if (bits(a[j]) != bits(b[j])) return false;
  return true;
}

ReferenceSet distinct_rows(Rows rows) {
  if (rows.count >= none) throw std::invalid_argument("nearest: more rows than a 32-bit index can name");
  ReferenceSet set;
  set.width = rows.width;

  // Open addressing; a slot holds the row's hash (upper half) beside its distinct index, so that a probe
  // rarely has to look at the rows.
  struct Slot {
    std::uint32_t hash = 0, distinct = none;
  };
  std::vector<Slot> slots(std::bit_ceil(2 * rows.count + 2));
  const std::size_t mask = slots.size() - 1;
  std::vector<std::uint32_t> distinct_of(rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) {
    const float* row = rows.row(i);
    const std::uint64_t h = row_hash(row, rows.width);
    const auto check = static_cast<std::uint32_t>(h >> 32);
    std::size_t at = h & mask;
    while (slots[at].distinct != none &&
           !(slots[at].hash == check &&
             same_row(row, set.values.data() + slots[at].distinct * rows.width, rows.width)))
      at = (at + 1) & mask;
    if (slots[at].distinct == none) {
      slots[at] = {check, static_cast<std::uint32_t>(set.weight.size())};
      set.weight.push_back(0);
      for (std::size_t j = 0; j < rows.width; ++j) set.values.push_back(row[j] + 0.0f);
    }
    distinct_of[i] = slots[at].distinct;
    ++set.weight[slots[at].distinct];
  }

  set.member_begin.resize(set.distinct() + 1);
  for (std::size_t i = 0; i < set.distinct(); ++i)
    set.member_begin[i + 1] = set.member_begin[i] + set.weight[i];
  set.members.resize(rows.count);
  std::vector<std::uint32_t> next(set.member_begin.begin(), set.member_begin.end() - 1);
  for (std::size_t i = 0; i < rows.count; ++i)
    set.members[next[distinct_of[i]]++] = static_cast<std::uint32_t>(i);
  return set;
}

std::vector<std::uint32_t> distinct_of_rows(const ReferenceSet& set) {
  std::vector<std::uint32_t> distinct_of(set.rows());
  for (std::size_t i = 0; i < set.distinct(); ++i)
    for (std::uint32_t m = set.member_begin[i]; m < set.member_begin[i + 1]; ++m)
      distinct_of[set.members[m]] = static_cast<std::uint32_t>(i);
  return distinct_of;
}

}  // namespace lanner::nearest
