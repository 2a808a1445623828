// From events to feature rows: declared per stream, the same code for training and serving.
//
// A FeatureSpec is what the user wrote. A FeaturePlan is specs and what was learned for them from training
// rows (scales, category tables): immutable plain data, part of the model. A FeatureState is what changes as
// events pass: the windows per entity. Feature values are computed in float64 and cast to float32 once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/parameters/parameters.hpp"
#include "engine/records/records.hpp"
#include "kernels/rows.hpp"

namespace lanner::engine {

enum class FeatureKind {
  identity,      ///< the field's value
  log1p,         ///< sign(x) log(1 + |x|)
  one_hot,       ///< a column for each frequent category, and one for all others
  rarity,        ///< -log2 of the category's share among the training rows; a category never seen: the rarest
  time_of_day,   ///< sin and cos of the time's place in the UTC day
  time_of_week,  ///< sin and cos of the time's place in the UTC week
  count,         ///< events of the entity in the window, this one included
  rate,          ///< the same, per second
  mean,          ///< of the field over the entity's events in the window, this one included
  deviation,     ///< population standard deviation, likewise
  change,  ///< the field's value less its mean over the entity's earlier events in the window; 0 if there are
           ///< none
};

enum class Scale { none, standard, robust, minmax };

/// What happens to a row whose value is missing (null, NaN, absent): the row is refused, or a value stands
/// in: the training rows' mean or median of the feature, or a stated number. An infinite value always refuses
/// the row.
enum class Missing { refuse, mean, median, value };

struct FeatureSpec {
  std::string name;  ///< the column's name; features of several columns append to it (country=NL, at.sin)
  FeatureKind kind = FeatureKind::identity;
  std::string field;  ///< empty for count, rate and the time features
  std::int64_t window_ns = 0;
  Scale scale = Scale::none;
  Missing missing = Missing::refuse;
  double missing_value = 0;
  std::size_t categories_max = 32;  ///< one_hot
  friend bool operator==(const FeatureSpec&, const FeatureSpec&) = default;
};

std::string_view name(FeatureKind);
std::optional<FeatureKind> parse_feature_kind(std::string_view);
std::string_view name(Scale);
std::optional<Scale> parse_scale(std::string_view);
/// For documentation and validation: every kind with its summary, and whether it takes a field, a window.
struct FeatureKindInfo {
  FeatureKind kind;
  std::string_view name, summary;
  bool takes_field, takes_text, takes_window, takes_time;
};
std::span<const FeatureKindInfo> feature_kinds();

/// The fields that specs read, in order of first mention, with entity, time and id: a stream's schema when
/// the user declares none. Throws std::invalid_argument where a field is used both as number and as text.
Schema schema_of(std::span<const FeatureSpec>, std::string entity, std::string time, std::string id);
/// An identity feature for each numeric field, all with this scale.
std::vector<FeatureSpec> identity_features(const Schema&, Scale);

/// Windows per entity. Bounded: at most `entities_max` entities (the one longest unseen makes way) and
/// `events_max` events in a window of one entity (beyond that the oldest leave early), and `events_total_max`
/// in all (beyond that the entity longest unseen makes way); all counted.
struct FeatureLimits {
  std::size_t entities_max = 100'000;
  std::size_t events_max = 4096;
  std::size_t events_total_max = 16'000'000;
  friend bool operator==(const FeatureLimits&, const FeatureLimits&) = default;
};
class FeatureState {
 public:
  virtual ~FeatureState() = default;
  virtual std::uint64_t entities_evicted() const = 0;
  virtual std::uint64_t events_evicted() const = 0;
  virtual std::vector<std::byte> snapshot() const = 0;
  /// Throws std::invalid_argument for bytes that are no snapshot of the same windows (fields, longest window,
  /// limits), and leaves the state as it was. A refitted plan has the same windows, so its state can go on
  /// from the old one's.
  virtual void restore(std::span<const std::byte>) = 0;
};

class FeaturePlan {
 public:
  /// Learns scales and category tables from training records in their order. A constant column's scale is
  /// stated: it divides by max(|value|, 1), so that a value never seen in it stands out. Throws
  /// std::invalid_argument: no rows, a field missing from the schema or of the wrong kind, a time feature or
  /// window with no time, a window of zero length, a feature with no value to learn from.
  static FeaturePlan fit(const Schema&, std::vector<FeatureSpec>, const Records& training,
                         const FeatureLimits& = {});

  const Schema& schema() const;
  std::span<const FeatureSpec> specs() const;
  const FeatureLimits& limits() const;
  std::size_t width() const;
  std::span<const std::string> column_names() const;
  /// Whether a column is a number that could have been another while all else stays: not one of a category's,
  /// nor a half of a time of the day or the week.
  bool stands_alone(std::size_t column) const;
  /// A column's value as people know it: without the scale, and without the logarithm that log1p took.
  double natural(std::size_t column, float value) const;
  /// The way back, as transform computes it.
  float from_natural(std::size_t column, double value) const;
  /// No scaling and no state: rows are the dense values themselves (a fast path).
  bool is_identity() const;
  bool has_windows() const;

  std::unique_ptr<FeatureState> make_state() const;

  /// Rows [begin, end) of `records`, in order, into `out` (its first row is row `begin`). Rows that the
  /// records or this plan refuse are zero-filled and marked in refused[0 .. end - begin); a reason is
  /// appended to `reasons` where the plan itself refused (row numbers as in `records`): "amount: missing",
  /// "amount: not finite". A refused row leaves no trace in the state. Throws std::invalid_argument where
  /// shapes or the state don't fit the plan. `state` may be null where has_windows() is false. Allocates
  /// nothing in the steady state (reasons excepted).
  void transform(const Records& records, std::size_t begin, std::size_t end, FeatureState* state,
                 MutableRows out, std::span<std::uint8_t> refused, std::vector<RowRefusal>& reasons) const;

  /// Rows [begin, end) where the records hold them, of any alignment, if transform would only copy them and
  /// refuse none: is_identity(), dense floats, all of them finite. Throws for shapes as transform does.
  std::optional<Rows> viewed(const Records& records, std::size_t begin, std::size_t end) const;
  /// Likewise, but nobody has looked whether all of them are finite: for Scorer::score_if_finite.
  std::optional<Rows> as_they_lie(const Records& records, std::size_t begin, std::size_t end) const;

  /// Plain text (JSON) for the model file; parse throws std::invalid_argument on anything that to_json can't
  /// have written.
  std::string to_json() const;
  static FeaturePlan from_json(std::string_view);

  struct Fitted;

 private:
  std::shared_ptr<const Fitted> fitted_;
};

}  // namespace lanner::engine
