// What every ensemble of trees can be told.
#pragma once

#include "engine/parameters/parameters.hpp"

namespace lanner::engine {

inline Parameter trees_parameter() {
  return {
      "trees", Kind::integer, "100", "How many trees; more make the score steadier and scoring slower", {},
      1,       100000};
}

inline Parameter samples_parameter() {
  return {"samples", Kind::count_or_share,
          "256",     "Rows that each tree is grown on, or the share of the training rows",
          {},        1,
          1e8};
}

}  // namespace lanner::engine
