// Events whose numbers follow each other, made from a seed.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "engine/model/model.hpp"

namespace lanner::engine::testing {

/// Numbers x0, x1 (about 2 x0), x2 and the category kind, of the entity e; a second apart.
inline Schema made_schema() {
  return {{{"x0"}, {"x1"}, {"x2"}, {"kind", ColumnKind::text}}, "e", "t", ""};
}

inline Records made_events(std::size_t count, unsigned seed, double shift = 0, double spread = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Records records;
  records.count = count;
  records.columns.resize(4);
  for (std::size_t row = 0; row < count; ++row) {
    const double x = normal(random);
    records.columns[0].numbers.push_back(shift + spread * x);
    records.columns[1].numbers.push_back(shift + spread * (2 * x + 0.3 * normal(random)));
    records.columns[2].numbers.push_back(shift + spread * normal(random));
    records.columns[3].texts.push_back(random() % 4 == 0 ? "card" : "cash");
    records.columns[3].missing.push_back(0);
    records.entity.push_back(std::string("e").append(std::to_string(random() % 5)));
    records.time.push_back(static_cast<std::int64_t>(row) * 1'000'000'000);
  }
  return records;
}

inline FitOptions made_options(std::uint64_t seed = 1) {
  FitOptions options;
  options.detector = "mahalanobis";
  options.seed = seed;
  return options;
}

inline std::shared_ptr<const Model> made_model(Device& device, const Records& records,
                                               const FitOptions& options = made_options()) {
  return Model::fit(device, made_schema(), records, options);
}

}  // namespace lanner::engine::testing
