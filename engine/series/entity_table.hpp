// What is kept for each entity, of the entities seen last: of those beyond the most allowed, the ones whose
// last row is longest ago, in the order in which rows came, make way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace lanner::engine {

template <class State>
class EntityTable {
 public:
  struct Entry {
    std::string entity;
    State state;
  };

  /// This entity's, made by make() where it has none; from now on the one seen last. entities_max: at least
  /// 1. References stay, also to those that make way, until let_go().
  template <class Make>
  State& seen(std::string_view entity, std::size_t entities_max, Make&& make) {
    if (const auto found = by_entity_.find(entity); found != by_entity_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
    } else {
      entries_.push_front({std::string(entity), make()});
      by_entity_.emplace(entries_.front().entity, entries_.begin());
    }
    while (entries_.size() > entities_max) {
      by_entity_.erase(entries_.back().entity);
      leaving_.splice(leaving_.begin(), entries_, std::prev(entries_.end()));
      ++evicted_;
    }
    return entries_.front().state;
  }
  /// Those that made way since let_go().
  const std::list<Entry>& leaving() const { return leaving_; }
  void let_go() { leaving_.clear(); }

  /// The one seen last comes first.
  const std::list<Entry>& entries() const { return entries_; }
  std::list<Entry>& entries() { return entries_; }
  /// Behind those that are there; null: the entity has one.
  State* append(std::string entity, State state) {
    entries_.push_back({std::move(entity), std::move(state)});
    if (by_entity_.emplace(entries_.back().entity, std::prev(entries_.end())).second)
      return &entries_.back().state;
    entries_.pop_back();
    return nullptr;
  }

  std::size_t size() const { return by_entity_.size(); }
  std::uint64_t evicted() const { return evicted_; }

 private:
  using Place = typename std::list<Entry>::iterator;
  std::list<Entry> entries_, leaving_;
  std::unordered_map<std::string_view, Place> by_entity_;
  std::uint64_t evicted_ = 0;
};

}  // namespace lanner::engine
