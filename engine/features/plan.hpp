// A plan as it is computed from: specs resolved against the schema, and what was learned for them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/features/features.hpp"
#include "engine/features/scaling.hpp"
#include "engine/features/windows.hpp"
#include "kernels/device/cpu_tier.hpp"

namespace lanner::engine {

/// The categories of the training rows, most frequent first (ties: alphabetical).
class Categories {
 public:
  /// Categories are told apart by their first 256 bytes.
  static constexpr std::size_t bytes_max = 256;
  static constexpr std::uint32_t unseen = UINT32_MAX;
  using Counts = std::vector<std::pair<std::string, std::uint64_t>>;

  Categories() = default;
  /// `rows`: training rows with a category, those of categories that weren't kept included.
  Categories(Counts counts, std::uint64_t rows);

  std::uint32_t find(std::string_view category) const;
  /// -log2 of each one's share; the last item is that of a category never seen, as if it were the only one of
  /// its kind among rows + 1.
  const std::vector<double>& rarities() const { return rarities_; }
  const Counts& counts() const { return counts_; }
  std::uint64_t rows() const { return rows_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  Counts counts_;
  std::uint64_t rows_ = 0;
  std::vector<double> rarities_{0.0};
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> index_;
};

struct LearnedColumn {
  Scaling scaling;
  double stand_in = 0;  ///< for a missing value, before scaling
  friend bool operator==(const LearnedColumn&, const LearnedColumn&) = default;
};

struct Feature {
  FeatureSpec spec;
  bool windowed = false;
  std::size_t field = 0;                ///< in the schema
  std::uint32_t held = Windows::none;   ///< in the window layout's fields
  std::uint32_t look_back = 0;          ///< in the plan's look_backs
  std::size_t column = 0, columns = 1;  ///< in the rows
  Categories categories;
  std::vector<LearnedColumn> learned;  ///< one a column
};

/// One aggregate over an entity's past, shared by all features that read it.
struct LookBack {
  std::int64_t window_ns = 0;
  std::uint32_t held = Windows::none;  ///< none: only the events are counted
  bool moments = false;
};

struct FeaturePlan::Fitted {
  Schema schema;
  std::vector<FeatureSpec> specs;
  WindowLayout windows;
  std::vector<std::size_t> held_fields;  ///< the layout's fields, in the schema
  std::vector<LookBack> look_backs;
  std::vector<Feature> features;
  std::vector<std::string> column_names;
  bool identity = false;
  bool has_windows = false, needs_time = false;
  CpuTier tier = chosen_cpu_tier();  ///< not learned: what rows are made with on this machine

  /// Resolves and checks everything but what is learned. Throws std::invalid_argument.
  Fitted(const Schema&, std::vector<FeatureSpec>, const FeatureLimits&);
  /// Gives features their columns, once categories are known.
  void lay_columns();

 private:
  void lay_look_backs();
};

bool takes_category(FeatureKind);
const FeatureKindInfo& info(FeatureKind);

}  // namespace lanner::engine
