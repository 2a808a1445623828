// The recent events of a stream, to refit on: the intake thread's.
#pragma once

#include <cstddef>

#include "engine/model/model.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::host {

/// In a row (where features have windows, which look back on every event): the last `rows`. Otherwise an even
/// sample of all that passed since clear(), in their order, of at least `rows` once there were so many and
/// less than twice as many: of every stretch of 1, 2, 4, ... events one, drawn by chance from a fixed seed.
class RecentEvents {
 public:
  RecentEvents(engine::Schema, std::size_t rows, bool in_a_row);

  /// Takes over what isn't refused.
  void take(const engine::Records&);
  void clear();
  /// How many all() has.
  std::size_t count() const;
  engine::Records all() const;

 private:
  void add(const engine::Records& from, std::size_t row);
  void thin();
  void append(engine::Records& to, const engine::Records& from, std::size_t row) const;

  engine::Schema schema_;
  std::size_t rows_;
  bool in_a_row_;
  engine::Records earlier_, events_;  ///< in a row: `rows` that came before, and fewer since
  std::size_t stretch_ = 1, place_ = 0, chosen_ = 0;
  mlp::Random random_{0};
};

}  // namespace lanner::host
