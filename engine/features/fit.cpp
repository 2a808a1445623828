#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

#include "engine/features/passage.hpp"
#include "engine/features/plan_text.hpp"
#include "engine/features/shapes.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t rarity_categories_max = 100'000;
constexpr std::size_t category_bytes_max = 8u << 20;

/// Collects raw values of accepted rows.
class RawColumns {
 public:
  explicit RawColumns(const FeaturePlan::Fitted& plan) : block_(plan.column_names.size() * block_rows) {}

  bool accepts(const Feature& feature, std::size_t, double value) const {
    if (std::isnan(value)) return feature.spec.missing != Missing::refuse;
    return std::isfinite(feature.spec.scale == Scale::none ? static_cast<float>(value) : value);
  }
  void column(const Feature& feature, std::size_t part, const double* values, std::size_t count,
              std::uint8_t* state) {
    std::copy_n(values, count,
                block_.begin() + static_cast<std::ptrdiff_t>((feature.column + part) * block_rows));
    for (std::size_t i = 0; i < count; ++i) {
      if (!accepts(feature, part, values[i])) state[i] |= by_plan;
    }
  }
  void cell(const Feature& feature, std::size_t row, double value) {
    block_[feature.column * block_rows + row] = value;
  }
  void refuse(std::size_t, const std::string&) {}

  double at(std::size_t column, std::size_t row) const { return block_[column * block_rows + row]; }

 private:
  std::vector<double> block_;
};

/// The whole of the records through a fresh state; accepted(raw, row in block, row) for each row that passes.
template <class Accepted>
void pass(const FeaturePlan::Fitted& plan, const Records& records, Accepted&& accepted) {
  Windows windows(plan.windows);
  RawColumns raw(plan);
  std::uint8_t state[block_rows];
  for (std::size_t begin = 0; begin < records.count; begin += block_rows) {
    const std::size_t count = std::min(block_rows, records.count - begin);
    std::fill_n(state, count, std::uint8_t{0});
    mark_refused(records, begin, begin + count, state);
    pass_block(plan, records, begin, count, &windows, state, raw);
    for (std::size_t i = 0; i < count; ++i) {
      if (state[i] == 0) accepted(raw, i, begin + i);
    }
  }
}

void learn_categories(FeaturePlan::Fitted& plan, const Records& records) {
  std::vector<Feature*> learners;
  for (Feature& feature : plan.features) {
    if (takes_category(feature.spec.kind)) learners.push_back(&feature);
  }
  if (learners.empty()) return;
  std::vector<std::map<std::string, std::uint64_t, std::less<>>> counts(learners.size());
  pass(plan, records, [&](const RawColumns&, std::size_t, std::size_t row) {
    for (std::size_t l = 0; l < learners.size(); ++l) {
      const Column& column = records.columns[learners[l]->field];
      if (column.missing[row]) continue;
      const std::string_view category = column.texts[row].substr(0, Categories::bytes_max);
      const auto at = counts[l].find(category);
      if (at != counts[l].end()) {
        ++at->second;
      } else {
        counts[l].emplace(category, 1);
      }
    }
  });
  for (std::size_t l = 0; l < learners.size(); ++l) {
    Categories::Counts kept(counts[l].begin(), counts[l].end());
    std::uint64_t rows = 0;
    for (const auto& [category, count] : kept) rows += count;
    std::stable_sort(kept.begin(), kept.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    const FeatureSpec& spec = learners[l]->spec;
    std::size_t count_max = spec.kind == FeatureKind::one_hot ? spec.categories_max : rarity_categories_max;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < std::min(kept.size(), count_max); ++i) {
      bytes += kept[i].first.size();
      if (bytes > category_bytes_max) count_max = i;
    }
    if (kept.size() > count_max) kept.resize(count_max);
    learners[l]->categories = Categories(std::move(kept), rows);
  }
  plan.lay_columns();
}

bool stands_in_learned(const FeatureSpec& spec) {
  return spec.missing == Missing::mean || spec.missing == Missing::median;
}

void learn_columns(FeaturePlan::Fitted& plan, const Records& records) {
  struct Learner {
    Feature* feature;
    std::size_t part;
    std::vector<double> values;
  };
  std::vector<Learner> learners;
  for (Feature& feature : plan.features) {
    if (feature.spec.scale == Scale::none && !stands_in_learned(feature.spec)) continue;
    for (std::size_t part = 0; part < feature.columns; ++part) learners.push_back({&feature, part, {}});
  }
  if (learners.empty()) return;
  for (Learner& learner : learners) learner.values.reserve(records.count);
  pass(plan, records, [&](const RawColumns& raw, std::size_t i, std::size_t) {
    for (Learner& learner : learners) {
      const double value = raw.at(learner.feature->column + learner.part, i);
      if (!std::isnan(value)) learner.values.push_back(value);
    }
  });
  for (Learner& learner : learners) {
    const FeatureSpec& spec = learner.feature->spec;
    if (learner.values.empty())
      throw std::invalid_argument(spec.name + ": no training row has a value to learn from");
    LearnedColumn& learned = learner.feature->learned[learner.part];
    // The mean goes first: the others reorder what it is summed from.
    if (spec.missing == Missing::mean) learned.stand_in = mean_of(learner.values);
    learned.scaling = learn_scaling(spec.scale, learner.values);
    if (spec.missing == Missing::median) learned.stand_in = median_of(learner.values);
    learner.values = {};
  }
}

}  // namespace

FeaturePlan FeaturePlan::fit(const Schema& schema, std::vector<FeatureSpec> specs, const Records& training,
                             const FeatureLimits& limits) {
  const FloatEnvironment environment;
  auto fitted = std::make_shared<Fitted>(schema, std::move(specs), limits);
  check_shapes(schema, training);
  if (training.count == 0) throw std::invalid_argument("no rows to learn features from");
  if (training.time.empty()) {
    for (const Feature& feature : fitted->features) {
      if (info(feature.spec.kind).takes_time) {
        throw std::invalid_argument(feature.spec.name + ": " +
                                    std::string(lanner::engine::name(feature.spec.kind)) +
                                    " needs times, and the records have none");
      }
    }
  }
  if (fitted->has_windows && !schema.entity.empty() && training.entity.empty())
    throw std::invalid_argument("windows are kept for each '" + schema.entity +
                                "', and the records have none");
  learn_categories(*fitted, training);
  learn_columns(*fitted, training);
  FeaturePlan plan;
  plan.fitted_ = std::move(fitted);
  if (plan.to_json().size() > plan_text_bytes_max)
    throw std::invalid_argument(
        "the features' category tables are too large: declare fewer, or shorter categories");
  return plan;
}

}  // namespace lanner::engine
