#include "engine/features/windows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

namespace lanner::engine {
namespace {

constexpr char snapshot_magic[8] = {'L', 'A', 'N', 'N', 'E', 'R', 'W', '1'};

std::uint64_t fnv(std::uint64_t hash, std::string_view bytes) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}
constexpr std::uint64_t fnv_start = 0xcbf29ce484222325u;

std::uint32_t hash_of(std::string_view name) {
  const std::uint64_t h = std::hash<std::string_view>{}(name);
  return static_cast<std::uint32_t>(h ^ (h >> 32));
}

/// The last time that has left a window ending at `time`.
std::int64_t cut(std::int64_t time, std::int64_t window_ns) {
  std::int64_t result;
  return __builtin_sub_overflow(time, window_ns, &result) ? std::numeric_limits<std::int64_t>::min() : result;
}

/// The moments of the values that are there among those whose time is in (after, until], in chains.
struct BlockPast {
  std::uint64_t events = 0, values = 0;
  double sum = 0, mean = 0, squares = 0;
};
BlockPast scan(const std::int64_t* times, const double* values, std::size_t begin, std::size_t end,
               std::int64_t after, std::int64_t until, bool moments) {
  BlockPast result;
  if (!values) {
    for (std::size_t i = begin; i < end; ++i) result.events += times[i] > after && times[i] <= until;
    return result;
  }
  for (std::size_t i = begin; i < end; ++i) {
    if (times[i] <= after || times[i] > until) continue;
    ++result.events;
    if (std::isnan(values[i])) continue;
    ++result.values;
    result.sum += values[i];
  }
  if (!moments || result.values == 0) return result;
  result.mean = result.sum / static_cast<double>(result.values);
  for (std::size_t i = begin; i < end; ++i) {
    if (times[i] <= after || times[i] > until || std::isnan(values[i])) continue;
    const double difference = values[i] - result.mean;
    result.squares += difference * difference;
  }
  return result;
}

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}
  void bytes(const void* data, std::size_t size) {
    if (size == 0) return;
    const std::size_t at = out_.size();
    out_.resize(at + size);
    std::memcpy(out_.data() + at, data, size);
  }
  template <class T>
  void value(T v) {
    bytes(&v, sizeof v);
  }

 private:
  std::vector<std::byte>& out_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}
  std::span<const std::byte> bytes(std::size_t size) {
    if (size > in_.size()) throw std::invalid_argument("window snapshot: cut short");
    const auto result = in_.first(size);
    in_ = in_.subspan(size);
    return result;
  }
  template <class T>
  T value() {
    T v;
    std::memcpy(&v, bytes(sizeof v).data(), sizeof v);
    return v;
  }
  std::size_t left() const { return in_.size(); }

 private:
  std::span<const std::byte> in_;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void Past::join(std::uint64_t later, double later_mean, double later_squares) {
  if (later == 0) return;
  const double a = static_cast<double>(values), b = static_cast<double>(later), all = a + b;
  const double difference = later_mean - mean;
  if (values == 0) {
    mean = later_mean;
    squares = later_squares;
  } else {
    mean += difference * (b / all);
    squares += later_squares + difference * difference * (a * (b / all));
  }
  values += later;
}

Windows::Windows(WindowLayout layout) : event(layout.fields.size()), layout_(std::move(layout)) {}

std::uint32_t Windows::take_block() {
  if (free_block_ == none) {
    const std::size_t fields = layout_.fields.size();
    Slab slab{std::make_unique<Block[]>(slab_blocks),
              std::make_unique<double[]>(slab_blocks * fields * block_events),
              std::make_unique<Sums[]>(slab_blocks * fields)};
    const auto base = static_cast<std::uint32_t>(slabs_.size() * slab_blocks);
    slabs_.push_back(std::move(slab));
    for (std::uint32_t b = slab_blocks; b-- > 0;) free_block(base + b);
  }
  const std::uint32_t b = free_block_;
  free_block_ = block(b).next;
  block(b).next = none;
  return b;
}

void Windows::free_block(std::uint32_t b) {
  block(b).next = free_block_;
  free_block_ = b;
}

std::uint32_t Windows::find(std::string_view name, std::uint32_t hash) const {
  if (table_.empty()) return none;
  const std::size_t mask = table_.size() - 1;
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    const Place& place = table_[i];
    if (place.entity == none) return none;
    if (place.hash == hash && entities_[place.entity].name == name) return place.entity;
  }
}

void Windows::place(std::uint32_t hash, std::uint32_t entity) {
  const std::size_t mask = table_.size() - 1;
  std::size_t i = hash & mask;
  while (table_[i].entity != none) i = (i + 1) & mask;
  table_[i] = {hash, entity};
}

void Windows::unplace(std::uint32_t hash, std::uint32_t entity) {
  const std::size_t mask = table_.size() - 1;
  std::size_t hole = hash & mask;
  while (table_[hole].entity != entity) hole = (hole + 1) & mask;
  // Entries behind the hole move up where their own search would otherwise end in it.
  for (std::size_t i = (hole + 1) & mask; table_[i].entity != none; i = (i + 1) & mask) {
    const std::size_t home = table_[i].hash & mask;
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    table_[hole] = table_[i];
    hole = i;
  }
  table_[hole] = {};
}

void Windows::unlink(std::uint32_t e) {
  Entity& entity = entities_[e];
  (entity.older == none ? oldest_ : entities_[entity.older].newer) = entity.newer;
  (entity.newer == none ? newest_ : entities_[entity.newer].older) = entity.older;
}

void Windows::link_newest(std::uint32_t e) {
  Entity& entity = entities_[e];
  entity.older = newest_;
  entity.newer = none;
  (newest_ == none ? oldest_ : entities_[newest_].newer) = e;
  newest_ = e;
}

std::uint32_t Windows::add_entity(std::string_view name, std::uint32_t hash) {
  if ((known_ + 1) * 2 > table_.size()) {
    const std::vector<Place> old =
        std::exchange(table_, std::vector<Place>(std::max<std::size_t>(16, table_.size() * 2)));
    for (const Place& p : old) {
      if (p.entity != none) place(p.hash, p.entity);
    }
  }
  std::uint32_t e = free_entity_;
  if (e != none) {
    free_entity_ = entities_[e].newer;
  } else {
    e = static_cast<std::uint32_t>(entities_.size());
    entities_.emplace_back();
  }
  Entity& entity = entities_[e];
  entity.name.assign(name);
  entity.hash = hash;
  entity.first = entity.last = take_block();
  entity.begin = entity.fill = entity.count = 0;
  place(hash, e);
  link_newest(e);
  ++known_;
  return e;
}

void Windows::evict_oldest_entity() {
  const std::uint32_t e = oldest_;
  Entity& entity = entities_[e];
  for (std::uint32_t b = entity.first; b != none;) free_block(std::exchange(b, block(b).next));
  held_ -= entity.count;
  unplace(entity.hash, e);
  unlink(e);
  entity.newer = free_entity_;
  free_entity_ = e;
  --known_;
  ++entities_evicted_;
}

Windows::View Windows::look(std::string_view name, std::int64_t time) const {
  View view{none, hash_of(name), none, 0, 0, false};
  view.entity = find(name, view.hash);
  if (view.entity == none) return view;
  const Entity& entity = entities_[view.entity];
  view.first = entity.first;
  view.begin = entity.begin;
  view.count = entity.count;
  const std::int64_t before = block(entity.last).times[entity.fill - 1];
  const std::int64_t gone = cut(std::min(time, before), layout_.longest_ns);
  while (view.count > 0) {
    const std::int64_t oldest = block(view.first).times[view.begin];
    const bool full = view.count == layout_.limits.events_max;
    if (oldest > gone && !full) break;
    view.crowded |= oldest > cut(time, layout_.longest_ns) && oldest > gone;
    --view.count;
    if (++view.begin == block_events) {
      view.first = block(view.first).next;
      view.begin = 0;
    }
  }
  return view;
}

Past Windows::past(const View& view, std::int64_t time, std::int64_t window_ns, std::uint32_t field,
                   bool moments) const {
  Past result;
  const std::int64_t after = cut(time, window_ns);
  std::size_t begin = view.begin, left = view.count;
  for (std::uint32_t b = view.first; left > 0; b = block(b).next) {
    const Block& held = block(b);
    const std::size_t end = std::min(block_events, begin + left);
    left -= end - begin;
    // oldest and newest may include events that have left the block: the test errs towards scanning.
    if (held.newest > after && held.oldest <= time) {
      const bool whole = end - begin == block_events && held.oldest > after && held.newest <= time;
      if (whole && field == none) {
        result.events += block_events;
      } else if (whole) {
        const Sums& known = sums(b, field);
        result.events += block_events;
        result.sum += known.sum;
        if (moments) {
          result.join(known.values, known.mean, known.squares);
        } else {
          result.values += known.values;
        }
      } else {
        const BlockPast found =
            scan(held.times, field == none ? nullptr : values(b, field), begin, end, after, time, moments);
        result.events += found.events;
        result.sum += found.sum;
        if (moments) {
          result.join(found.values, found.mean, found.squares);
        } else {
          result.values += found.values;
        }
      }
    }
    begin = 0;
  }
  return result;
}

void Windows::append(Entity& entity, std::int64_t time, std::span<const double> given) {
  if (entity.fill == block_events) {
    const std::uint32_t b = take_block();
    block(entity.last).next = b;
    entity.last = b;
    entity.fill = 0;
  }
  Block& last = block(entity.last);
  last.oldest = entity.fill == 0 ? time : std::min(last.oldest, time);
  last.newest = entity.fill == 0 ? time : std::max(last.newest, time);
  last.times[entity.fill] = time;
  for (std::size_t f = 0; f < given.size(); ++f) values(entity.last, f)[entity.fill] = given[f];
  ++entity.count;
  ++held_;
  if (++entity.fill < block_events) return;
  for (std::size_t f = 0; f < given.size(); ++f) {
    const BlockPast all =
        scan(last.times, values(entity.last, f), 0, block_events, std::numeric_limits<std::int64_t>::min(),
             std::numeric_limits<std::int64_t>::max(), true);
    sums(entity.last, f) = {all.values, all.sum, all.mean, all.squares};
  }
}

void Windows::take(const View& view, std::string_view name, std::int64_t time,
                   std::span<const double> given) {
  std::uint32_t e = view.entity;
  if (e == none) {
    if (known_ == layout_.limits.entities_max) evict_oldest_entity();
    e = add_entity(name, view.hash);
  } else {
    Entity& entity = entities_[e];
    held_ -= entity.count - view.count;
    const std::uint32_t keep = view.count == 0 ? entity.last : view.first;
    while (entity.first != keep) free_block(std::exchange(entity.first, block(entity.first).next));
    entity.count = view.count;
    entity.begin = view.begin;
    if (view.count == 0) entity.begin = entity.fill = 0;
    events_evicted_ += view.crowded;
    if (e != newest_) {
      unlink(e);
      link_newest(e);
    }
  }
  append(entities_[e], time, given);
  while (held_ > layout_.limits.events_total_max && oldest_ != e) evict_oldest_entity();
}

std::uint64_t Windows::fingerprint() const {
  std::uint64_t hash = fnv_start;
  for (const std::string& field : layout_.fields) hash = fnv(hash, field + '\0');
  const std::uint64_t numbers[] = {static_cast<std::uint64_t>(layout_.longest_ns),
                                   layout_.limits.entities_max, layout_.limits.events_max,
                                   layout_.limits.events_total_max};
  return fnv(hash, text_of(std::as_bytes(std::span(numbers))));
}

std::vector<std::byte> Windows::snapshot() const {
  std::vector<std::byte> out;
  const std::size_t fields = layout_.fields.size();
  out.reserve(64 + known_ * 48 + held_ * (1 + fields) * 8);
  Writer write(out);
  write.bytes(snapshot_magic, sizeof snapshot_magic);
  write.value(fingerprint());
  write.value(entities_evicted_);
  write.value(events_evicted_);
  write.value<std::uint64_t>(known_);
  for (std::uint32_t e = oldest_; e != none; e = entities_[e].newer) {
    const Entity& entity = entities_[e];
    write.value(static_cast<std::uint32_t>(entity.name.size()));
    write.bytes(entity.name.data(), entity.name.size());
    write.value(entity.begin);
    write.value(entity.count);
    std::size_t begin = entity.begin, left = entity.count;
    for (std::uint32_t b = entity.first; left > 0; b = block(b).next) {
      const std::size_t end = std::min(block_events, begin + left);
      for (std::size_t i = begin; i < end; ++i) {
        write.value(block(b).times[i]);
        for (std::size_t f = 0; f < fields; ++f) write.value(values(b, f)[i]);
      }
      left -= end - begin;
      begin = 0;
    }
  }
  write.value(fnv(fnv_start, text_of(out)));
  return out;
}

void Windows::restore(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof snapshot_magic + 8 ||
      std::memcmp(bytes.data(), snapshot_magic, sizeof snapshot_magic) != 0)
    throw std::invalid_argument("window snapshot: not one");
  const auto content = bytes.first(bytes.size() - 8);
  if (Reader(bytes.last(8)).value<std::uint64_t>() != fnv(fnv_start, text_of(content)))
    throw std::invalid_argument("window snapshot: damaged");
  Reader read(content.subspan(sizeof snapshot_magic));
  if (read.value<std::uint64_t>() != fingerprint())
    throw std::invalid_argument("window snapshot: of other windows");
  Windows fresh(layout_);
  fresh.entities_evicted_ = read.value<std::uint64_t>();
  fresh.events_evicted_ = read.value<std::uint64_t>();
  const auto entities = read.value<std::uint64_t>();
  const FeatureLimits& limits = layout_.limits;
  if (entities > limits.entities_max) throw std::invalid_argument("window snapshot: too many entities");
  const std::size_t event_bytes = 8 * (1 + layout_.fields.size());
  std::vector<double> taken(layout_.fields.size());
  for (std::uint64_t n = 0; n < entities; ++n) {
    const auto name_size = read.value<std::uint32_t>();
    if (name_size > entity_bytes_max)
      throw std::invalid_argument("window snapshot: an entity's name is too long");
    const std::string_view name = text_of(read.bytes(name_size));
    const auto begin = read.value<std::uint32_t>();
    const auto count = read.value<std::uint32_t>();
    if (begin >= block_events || count == 0 || count > limits.events_max || count > read.left() / event_bytes)
      throw std::invalid_argument("window snapshot: an entity's events don't add up");
    const std::uint32_t hash = hash_of(name);
    if (fresh.find(name, hash) != none) throw std::invalid_argument("window snapshot: an entity twice");
    Entity& entity = fresh.entities_[fresh.add_entity(name, hash)];
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto time = read.value<std::int64_t>();
      for (double& value : taken) value = read.value<double>();
      if (std::any_of(taken.begin(), taken.end(), [](double v) { return std::isinf(v); }))
        throw std::invalid_argument("window snapshot: an infinite value");
      if (i == 0) {
        // The places of events that have left stay empty, so that blocks end where they did.
        Block& first = fresh.block(entity.first);
        for (std::uint32_t gone = 0; gone < begin; ++gone) {
          first.times[gone] = time;
          for (std::size_t f = 0; f < taken.size(); ++f) fresh.values(entity.first, f)[gone] = taken[f];
        }
        first.oldest = first.newest = time;
        entity.begin = entity.fill = begin;
      }
      fresh.append(entity, time, taken);
    }
  }
  if (read.left() != 0) throw std::invalid_argument("window snapshot: bytes left over");
  if (fresh.held_ > limits.events_total_max) throw std::invalid_argument("window snapshot: too many events");
  *this = std::move(fresh);
}

}  // namespace lanner::engine
