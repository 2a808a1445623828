// Which training rows a tree is grown on: seeded draws without replacement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/mlp/random.hpp"

namespace lanner::engine {

/// What Kind::count_or_share means of `all` rows or features: a share rounded to the nearest; at least 1.
std::size_t count_of(double count_or_share, std::size_t all);

/// `count` of the rows 0 .. rows-1, each set as likely, by as many random numbers; count <= rows.
std::vector<std::uint32_t> drawn_rows(std::size_t rows, std::size_t count, mlp::Random&);

/// The same, where rows stand in the order of time and row i weighs 2^(-(rows - 1 - i) / half_life): one
/// after the other, each of those left with a chance in proportion to its weight (Efraimidis & Spirakis 2006,
/// "Weighted random sampling with a reservoir"). half_life > 0. Ascending.
std::vector<std::uint32_t> drawn_recent_rows(std::size_t rows, std::size_t count, double half_life,
                                             mlp::Random&);

}  // namespace lanner::engine
