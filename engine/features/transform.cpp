#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "engine/features/passage.hpp"
#include "engine/features/shapes.hpp"
#include "kernels/arithmetic/environment.hpp"
#include "kernels/finite/finite.hpp"

namespace lanner::engine {
namespace {

class DenseRows {
 public:
  DenseRows(const FeaturePlan::Fitted& plan, const Records& records, std::size_t begin, MutableRows out,
            std::uint8_t* refused, std::vector<RowRefusal>& reasons)
      : plan_(plan), records_(records), begin_(begin), out_(out), refused_(refused), reasons_(reasons) {}

  template <class T>
  void copy(const T* values, std::size_t count) {
    // About 16 KiB at a time: what must be looked at again is still in the cache.
    const std::size_t rows_max = std::max<std::size_t>(1, 4096 / out_.width);
    for (std::size_t done = 0; done < count; done += rows_max) {
      const std::size_t rows = std::min(rows_max, count - done);
      const T* from = values + (begin_ + done) * out_.width;
      bool finite = true;
      if (out_.stride == out_.width) {
        finite = finite::copy_finite(plan_.tier, from, out_.row(done), rows * out_.width);
      } else {
        for (std::size_t i = 0; i < rows; ++i)
          finite &= finite::copy_finite(plan_.tier, from + i * out_.width, out_.row(done + i), out_.width);
      }
      if (finite) continue;
      for (std::size_t i = done; i < done + rows; ++i) {
        if (!refused_[i] &&
            !finite::copy_finite(plan_.tier, values + (begin_ + i) * out_.width, out_.row(i), out_.width))
          refuse(i);
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (refused_[i]) std::fill_n(out_.row(i), out_.width, 0.0f);
    }
  }

 private:
  void refuse(std::size_t i) {
    refused_[i] = 1;
    const float* row = out_.row(i);
    const auto column = static_cast<std::size_t>(
        std::find_if(row, row + out_.width, [](float v) { return !std::isfinite(v); }) - row);
    const bool missing = std::isnan(records_.number(begin_ + i, column));
    reasons_.push_back({static_cast<std::uint32_t>(begin_ + i),
                        plan_.column_names[column] + (missing ? ": missing" : ": not finite")});
  }

  const FeaturePlan::Fitted& plan_;
  const Records& records_;
  std::size_t begin_;
  MutableRows out_;
  std::uint8_t* refused_;
  std::vector<RowRefusal>& reasons_;
};

/// Finishes raw values: a stand-in for a missing one, the scale, one cast.
class ScaledRows {
 public:
  ScaledRows(MutableRows out, std::size_t first_row, std::vector<RowRefusal>& reasons)
      : out_(out), first_row_(first_row), reasons_(reasons) {}

  bool accepts(const Feature& feature, std::size_t part, double value) const {
    return std::isfinite(finish(feature, part, value));
  }
  void column(const Feature& feature, std::size_t part, const double* values, std::size_t count,
              std::uint8_t* state) {
    float* to = out_.data + feature.column + part;
    for (std::size_t i = 0; i < count; ++i) {
      const float value = finish(feature, part, values[i]);
      to[i * out_.stride] = value;
      if (!std::isfinite(value)) state[i] |= by_plan;
    }
  }
  void cell(const Feature& feature, std::size_t row, double value) {
    out_.row(row)[feature.column] = finish(feature, 0, value);
  }
  void refuse(std::size_t row, std::string reason) {
    reasons_.push_back({static_cast<std::uint32_t>(first_row_ + row), std::move(reason)});
  }

 private:
  static float finish(const Feature& feature, std::size_t part, double value) {
    const LearnedColumn& learned = feature.learned[part];
    if (feature.spec.missing != Missing::refuse && std::isnan(value)) value = learned.stand_in;
    if (feature.spec.scale != Scale::none) value = (value - learned.scaling.offset) / learned.scaling.divisor;
    return static_cast<float>(value);
  }

  MutableRows out_;
  std::size_t first_row_;
  std::vector<RowRefusal>& reasons_;
};

}  // namespace

std::optional<Rows> FeaturePlan::as_they_lie(const Records& records, std::size_t begin,
                                             std::size_t end) const {
  check_shapes(fitted_->schema, records);
  if (begin > end || end > records.count) throw std::invalid_argument("features: rows beyond the records");
  if (!fitted_->identity || !records.dense.floats || !records.refused.empty()) return std::nullopt;
  return Rows{records.dense.floats + begin * width(), end - begin, width(), width()};
}

std::optional<Rows> FeaturePlan::viewed(const Records& records, std::size_t begin, std::size_t end) const {
  const std::optional<Rows> rows = as_they_lie(records, begin, end);
  if (!rows || !finite::all_finite(fitted_->tier, *rows)) return std::nullopt;
  return rows;
}

void FeaturePlan::transform(const Records& records, std::size_t begin, std::size_t end, FeatureState* state,
                            MutableRows out, std::span<std::uint8_t> refused,
                            std::vector<RowRefusal>& reasons) const {
  const FloatEnvironment environment;
  const Fitted& plan = *fitted_;
  check_shapes(plan.schema, records);
  if (begin > end || end > records.count) throw std::invalid_argument("features: rows beyond the records");
  const std::size_t count = end - begin;
  if (out.count < count || out.width != width() || out.stride < out.width || refused.size() < count)
    throw std::invalid_argument("features: the output's shape is not the plan's");
  auto* windows = dynamic_cast<Windows*>(state);
  if (plan.has_windows && (!windows || windows->layout() != plan.windows))
    throw std::invalid_argument("features: the state is not of this plan's windows");
  if (count == 0) return;

  std::fill_n(refused.begin(), count, std::uint8_t{0});
  mark_refused(records, begin, end, refused.data());
  if (plan.identity && records.dense) {
    DenseRows rows(plan, records, begin, out, refused.data(), reasons);
    if (records.dense.floats) {
      rows.copy(records.dense.floats, count);
    } else {
      rows.copy(records.dense.doubles, count);
    }
    return;
  }
  for (std::size_t done = 0; done < count; done += block_rows) {
    const std::size_t rows = std::min(block_rows, count - done);
    std::uint8_t* block = refused.data() + done;
    const MutableRows part{out.row(done), rows, out.width, out.stride};
    pass_block(plan, records, begin + done, rows, windows, block, ScaledRows(part, begin + done, reasons));
    for (std::size_t i = 0; i < rows; ++i) {
      if (block[i] == 0) continue;
      block[i] = 1;
      std::fill_n(part.row(i), part.width, 0.0f);
    }
  }
}

}  // namespace lanner::engine
