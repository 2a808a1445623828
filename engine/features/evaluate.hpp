// Raw feature values, a block of rows at a time: fitting and serving both come through here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "engine/features/plan.hpp"
#include "kernels/arithmetic/elementary.hpp"
#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {

inline constexpr std::size_t block_rows = 256;
inline constexpr double missing_value = std::numeric_limits<double>::quiet_NaN();

/// A numeric field of rows [begin, ...), wherever it lies.
struct Field {
  const float* floats = nullptr;
  const double* doubles = nullptr;
  std::size_t stride = 1;

  Field(const Records& records, std::size_t field, std::size_t begin) {
    if (records.dense.floats) {
      floats = records.dense.floats + begin * records.dense.width + field;
      stride = records.dense.width;
    } else if (records.dense.doubles) {
      doubles = records.dense.doubles + begin * records.dense.width + field;
      stride = records.dense.width;
    } else {
      doubles = records.columns[field].numbers.data() + begin;
    }
  }
  void read(std::size_t count, double* out) const {
    if (floats) {
      for (std::size_t i = 0; i < count; ++i) out[i] = floats[i * stride];
    } else {
      for (std::size_t i = 0; i < count; ++i) out[i] = doubles[i * stride];
    }
  }
};

/// sin and cos of a time's place in a period of a whole number of eighths of nanoseconds. The eighth nearest
/// to the place is taken off in whole nanoseconds, so that noon is (0, -1) and not nearly so.
struct Wave {
  float sine, cosine;
};
inline Wave wave_of(std::int64_t time, std::int64_t period, std::int64_t origin) {
  std::int64_t place = time % period - origin % period;
  place %= period;
  if (place < 0) place += period;
  const std::int64_t quarter = period / 4;
  const std::int64_t turned = (place + quarter / 2) / quarter;
  const std::int64_t rest = place - turned * quarter;
  const auto angle =
      static_cast<float>(static_cast<double>(rest) * (0x1.921fb54442d18p+2 / static_cast<double>(period)));
  const float s = lanner::sin(angle), c = lanner::cos(angle);
  switch (turned & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, 0.0f - s};
    case 2:
      return {0.0f - s, 0.0f - c};
    default:
      return {0.0f - c, s};
  }
}

inline constexpr std::int64_t day_ns = 86'400'000'000'000;
inline constexpr std::int64_t week_ns = 7 * day_ns;
/// The epoch was a Thursday; weeks begin on Monday.
inline constexpr std::int64_t monday_ns = 4 * day_ns;

/// Values of a feature that isn't windowed, for rows [begin, begin + count), count <= block_rows: calls
/// receive(part, values) for each of its columns. A missing value is NaN.
template <class Receive>
void evaluate(const Feature& feature, const Records& records, std::size_t begin, std::size_t count,
              Receive&& receive) {
  double values[block_rows];
  const bool refuse = feature.spec.missing == Missing::refuse;
  switch (feature.spec.kind) {
    case FeatureKind::identity:
      Field(records, feature.field, begin).read(count, values);
      break;
    case FeatureKind::log1p:
      Field(records, feature.field, begin).read(count, values);
      for (std::size_t i = 0; i < count; ++i) {
        // An infinite value stays one, to be refused as such.
        if (std::isfinite(values[i]))
          values[i] = std::copysign(lanner::log1p(absolute(values[i])), values[i]);
      }
      break;
    case FeatureKind::time_of_day:
    case FeatureKind::time_of_week: {
      double cosines[block_rows];
      const bool day = feature.spec.kind == FeatureKind::time_of_day;
      for (std::size_t i = 0; i < count; ++i) {
        if (records.time.empty()) {
          values[i] = cosines[i] = missing_value;
          continue;
        }
        const std::int64_t time = records.time[begin + i];
        const Wave wave = day ? wave_of(time, day_ns, 0) : wave_of(time, week_ns, monday_ns);
        values[i] = wave.sine;
        cosines[i] = wave.cosine;
      }
      receive(std::size_t{0}, static_cast<const double*>(values));
      receive(std::size_t{1}, static_cast<const double*>(cosines));
      return;
    }
    case FeatureKind::rarity: {
      const engine::Column& texts = records.columns[feature.field];
      const std::vector<double>& rarities = feature.categories.rarities();
      for (std::size_t i = 0; i < count; ++i) {
        if (texts.missing[begin + i]) {
          values[i] = refuse ? missing_value : rarities.back();
          continue;
        }
        const std::uint32_t found = feature.categories.find(texts.texts[begin + i]);
        values[i] = found == Categories::unseen ? rarities.back() : rarities[found];
      }
      break;
    }
    case FeatureKind::one_hot: {
      const engine::Column& texts = records.columns[feature.field];
      const auto others = static_cast<std::uint32_t>(feature.columns - 1);
      std::uint32_t places[block_rows];
      bool missing[block_rows];
      for (std::size_t i = 0; i < count; ++i) {
        missing[i] = texts.missing[begin + i];
        places[i] = missing[i] ? others : std::min(feature.categories.find(texts.texts[begin + i]), others);
      }
      for (std::uint32_t part = 0; part < feature.columns; ++part) {
        for (std::size_t i = 0; i < count; ++i) {
          values[i] = missing[i] && refuse ? missing_value : places[i] == part;
        }
        receive(std::size_t{part}, static_cast<const double*>(values));
      }
      return;
    }
    default:
      return;
  }
  receive(std::size_t{0}, static_cast<const double*>(values));
}

}  // namespace lanner::engine
