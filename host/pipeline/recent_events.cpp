#include "host/pipeline/recent_events.hpp"

#include <utility>

namespace lanner::host {

RecentEvents::RecentEvents(engine::Schema schema, std::size_t rows, bool in_a_row)
    : schema_(std::move(schema)), rows_(rows), in_a_row_(in_a_row) {
  earlier_.fit_columns(schema_.fields.size());
  events_.fit_columns(schema_.fields.size());
}

void RecentEvents::take(const engine::Records& from) {
  std::size_t refusal = 0;
  for (std::size_t row = 0; row < from.count; ++row) {
    if (refusal < from.refused.size() && from.refused[refusal].row == row) {
      ++refusal;
      continue;
    }
    add(from, row);
  }
}

void RecentEvents::add(const engine::Records& from, std::size_t row) {
  if (in_a_row_) {
    append(events_, from, row);
    if (events_.count < rows_) return;
    std::swap(earlier_, events_);
    events_.clear();
    return;
  }
  if (place_ == 0) chosen_ = random_.below(stretch_);
  if (place_ == chosen_) append(events_, from, row);
  if (++place_ < stretch_) return;
  place_ = 0;
  if (events_.count == 2 * rows_) thin();
}

void RecentEvents::thin() {
  std::swap(earlier_, events_);
  events_.clear();
  for (std::size_t row = 0; row < earlier_.count; row += 2) append(events_, earlier_, row + random_.below(2));
  earlier_.clear();
  stretch_ *= 2;
}

void RecentEvents::clear() {
  earlier_.clear();
  events_.clear();
  stretch_ = 1;
  place_ = 0;
}

std::size_t RecentEvents::count() const {
  return in_a_row_ && earlier_.count > 0 ? rows_ : events_.count;
}

engine::Records RecentEvents::all() const {
  engine::Records all;
  all.fit_columns(schema_.fields.size());
  for (std::size_t row = earlier_.count - (count() - events_.count); row < earlier_.count; ++row)
    append(all, earlier_, row);
  for (std::size_t row = 0; row < events_.count; ++row) append(all, events_, row);
  return all;
}

void RecentEvents::append(engine::Records& to, const engine::Records& from, std::size_t row) const {
  to.append_row(from, row, schema_.fields);
}

}  // namespace lanner::host
