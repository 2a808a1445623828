#include "host/pipeline/counters.hpp"

#include <algorithm>

namespace lanner::host {

std::string_view name(Refusal refusal) {
  switch (refusal) {
    case Refusal::header:
      return "header";
    case Refusal::stream:
      return "stream";
    case Refusal::too_large:
      return "too_large";
    case Refusal::payload:
      return "payload";
    case Refusal::row:
      return "row";
    case Refusal::sequence:
      return "sequence";
  }
  return "";
}

void Durations::add(std::int64_t ns) {
  const double seconds = 1e-9 * static_cast<double>(ns);
  const auto bucket = std::lower_bound(bounds_s.begin(), bounds_s.end(), seconds) - bounds_s.begin();
  counts_[static_cast<std::size_t>(bucket)].add();
  sum_ns_.add(static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0)));
}

std::array<std::uint64_t, Durations::bounds_s.size() + 1> Durations::counts() const {
  std::array<std::uint64_t, bounds_s.size() + 1> counts;
  std::copy(counts_.begin(), counts_.end(), counts.begin());
  return counts;
}

std::shared_ptr<StreamCounters> StreamCounterTable::of(const std::string& stream) {
  std::lock_guard lock(mutex_);
  auto& counters = table_[stream];
  if (!counters) counters = std::make_shared<StreamCounters>();
  return counters;
}

std::vector<std::pair<std::string, std::shared_ptr<const StreamCounters>>> StreamCounterTable::all() const {
  std::lock_guard lock(mutex_);
  return {table_.begin(), table_.end()};
}

}  // namespace lanner::host
