// The events that windows look back on, per entity: what changes as events pass.
//
// An entity's held events lie in recorded order in blocks of 16, and a full block keeps its own sums. An
// aggregate adds the events of each block in recorded order, then the blocks in theirs: the same chain
// whether a block is scanned or its sums are at hand, so that nothing is ever subtracted and nothing drifts.
// The bits depend only on the sequence of events that were taken.
//
// An event at time t looks back on (t - window, t]: on the earlier recorded events whose own time lies there,
// late and early ones alike. Held events leave in recorded order, when two events in a row have left the
// oldest behind their longest window: so one event with a time from the future neither counts before its time
// nor wipes out the present. It stays, and what comes after it with it, until time or a limit reaches it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/features/features.hpp"

namespace lanner::engine {

/// What a plan's windows need held.
struct WindowLayout {
  std::vector<std::string> fields;  ///< whose values are held
  std::int64_t longest_ns = 0;      ///< 0: the plan has no windows
  FeatureLimits limits;
  friend bool operator==(const WindowLayout&, const WindowLayout&) = default;
};

/// An aggregate over earlier events. `values` of the `events` had the field; the moments are theirs.
struct Past {
  std::uint64_t events = 0, values = 0;
  double sum = 0;
  double mean = 0, squares = 0;  ///< squares: sum of squared differences from the mean

  /// Joins the moments of values that were recorded later (Chan, Golub & LeVeque 1979).
  void join(std::uint64_t later, double later_mean, double later_squares);
};

class Windows final : public FeatureState {
 public:
  static constexpr std::size_t block_events = 16;
  static constexpr std::size_t entity_bytes_max = 1024;

  explicit Windows(WindowLayout);

  std::uint64_t entities_evicted() const override { return entities_evicted_; }
  std::uint64_t events_evicted() const override { return events_evicted_; }
  std::vector<std::byte> snapshot() const override;
  void restore(std::span<const std::byte>) override;

  const WindowLayout& layout() const { return layout_; }
  std::size_t entities() const { return known_; }
  std::size_t events() const { return held_; }

  /// What an event of this entity at this time would find, before it is known whether the event will be
  /// taken.
  struct View {
    std::uint32_t entity;  ///< none: not known
    std::uint32_t hash;
    std::uint32_t first, begin, count;
    bool crowded;  ///< an event leaves early for this one
  };
  View look(std::string_view entity, std::int64_t time) const;
  /// Over the view's events in (time - window, time]. `field` is a place in layout().fields, or none for the
  /// count alone.
  Past past(const View&, std::int64_t time, std::int64_t window_ns, std::uint32_t field, bool moments) const;
  /// Takes the event. `values`: one a field, NaN where missing.
  void take(const View&, std::string_view entity, std::int64_t time, std::span<const double> values);

  static constexpr std::uint32_t none = UINT32_MAX;

  // Room for the row at hand, kept here so that none is allocated for it.
  std::vector<double> event;
  std::vector<Past> pasts;

 private:
  struct Block {
    std::uint32_t next = none;
    std::int64_t oldest = 0, newest = 0;
    std::int64_t times[block_events];
  };
  struct Sums {
    std::uint64_t values;
    double sum, mean, squares;
  };
  struct Slab {
    std::unique_ptr<Block[]> blocks;
    std::unique_ptr<double[]> values;
    std::unique_ptr<Sums[]> sums;
  };
  struct Entity {
    std::string name;
    std::uint32_t hash = 0;
    std::uint32_t older = none, newer = none;  ///< by last event
    std::uint32_t first = none, last = none;   ///< blocks
    std::uint32_t begin = 0, fill = 0;         ///< first event in `first`, events used of `last`
    std::uint32_t count = 0;
  };
  struct Place {
    std::uint32_t hash = 0, entity = none;
  };
  static constexpr std::size_t slab_blocks = 64;

  Block& block(std::uint32_t b) { return slabs_[b / slab_blocks].blocks[b % slab_blocks]; }
  const Block& block(std::uint32_t b) const { return slabs_[b / slab_blocks].blocks[b % slab_blocks]; }
  double* values(std::uint32_t b, std::size_t field) {
    return &slabs_[b / slab_blocks]
                .values[((b % slab_blocks) * layout_.fields.size() + field) * block_events];
  }
  const double* values(std::uint32_t b, std::size_t field) const {
    return &slabs_[b / slab_blocks]
                .values[((b % slab_blocks) * layout_.fields.size() + field) * block_events];
  }
  Sums& sums(std::uint32_t b, std::size_t field) {
    return slabs_[b / slab_blocks].sums[(b % slab_blocks) * layout_.fields.size() + field];
  }
  const Sums& sums(std::uint32_t b, std::size_t field) const {
    return slabs_[b / slab_blocks].sums[(b % slab_blocks) * layout_.fields.size() + field];
  }

  std::uint32_t take_block();
  void free_block(std::uint32_t);
  std::uint32_t find(std::string_view name, std::uint32_t hash) const;
  std::uint32_t add_entity(std::string_view name, std::uint32_t hash);
  void evict_oldest_entity();
  void append(Entity&, std::int64_t time, std::span<const double> values);
  void unlink(std::uint32_t entity);
  void link_newest(std::uint32_t entity);
  void place(std::uint32_t hash, std::uint32_t entity);
  void unplace(std::uint32_t hash, std::uint32_t entity);
  std::uint64_t fingerprint() const;

  WindowLayout layout_;
  std::vector<Slab> slabs_;
  std::uint32_t free_block_ = none;
  std::vector<Entity> entities_;
  std::uint32_t free_entity_ = none;
  std::uint32_t oldest_ = none, newest_ = none;
  std::vector<Place> table_;  ///< open addressing, linear probing, at most half full
  std::size_t known_ = 0, held_ = 0;
  std::uint64_t entities_evicted_ = 0, events_evicted_ = 0;
};

}  // namespace lanner::engine
