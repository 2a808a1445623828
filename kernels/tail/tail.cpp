#include "kernels/tail/tail.hpp"

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/tail/packed.hpp"
#include "kernels/tail/tail_gpu.hpp"

namespace lanner::tail {
namespace {

// Above this many scores in a cell, halving comes before comparing one after the other.
constexpr std::uint32_t short_run = 8;
constexpr std::size_t looked_up_together = 256;
// Worth waking a thread for.
constexpr std::size_t rows_a_piece_of_work = 32'768;

/// The first distinct score >= s, from a run that tables.run_for began: four scores at a time.
LANNER_FORMULA std::uint32_t end_of_run(const RankTables& tables, std::uint32_t i, float s) {
  while (true) {
    const __m128 smaller = _mm_cmplt_ps(_mm_loadu_ps(tables.distinct + i), _mm_set1_ps(s));
    const auto run =
        static_cast<std::uint32_t>(std::countr_one(static_cast<unsigned>(_mm_movemask_ps(smaller))));
    i += run;
    if (run < compared_at_once) return i;
  }
}

class CpuTail final : public ResidentTail {
 public:
  CpuTail(Device& device, const Packed& packed) : arrays_(device, packed) {}

  void p_values(Stream& stream, std::span<const float> scores, std::span<double> p_values,
                std::span<std::uint8_t> extrapolated, std::span<const std::uint32_t> which) const override {
    if (stream.backend() != Backend::cpu)
      throw std::invalid_argument("tail: the calibration is resident on another device");
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      if (which.empty())
        run(scores.data() + begin, p_values.data() + begin, extrapolated.data() + begin, end - begin);
      else
        run_each(scores.data() + begin, which.data() + begin, p_values.data() + begin,
                 extrapolated.data() + begin, end - begin);
    };
    stream.for_range(scores.size(), rows_a_piece_of_work, task);
  }

 private:
  void run(const float* scores, double* p_values, std::uint8_t* extrapolated, std::size_t count) const {
    const Look look = arrays_.looks.front();
    std::uint32_t beyond = 0;
    for (std::size_t i = 0; i < count; i += looked_up_together)
      beyond |=
          look_up(look, scores + i, p_values + i, extrapolated + i, std::min(looked_up_together, count - i));
    if (!beyond) return;
    for (std::size_t i = 0; i < count; ++i) {
      if (!extrapolated[i]) continue;
      if (look.extrapolates) p_values[i] = look.formula.p(static_cast<double>(scores[i]));
      extrapolated[i] = look.extrapolates;
    }
  }

  /// P-values of ranks; marks what is beyond the last. Step by step for all of them: the loads of one score
  /// don't wait for those of another.
  static std::uint32_t look_up(const Look& look, const float* scores, double* p_values, std::uint8_t* beyond,
                               std::size_t count) {
    const RankTables tables = look.tables;
    std::array<std::uint32_t, looked_up_together> at;
    for (std::size_t i = 0; i < count; ++i) at[i] = tables.key_of(scores[i]);
    for (std::size_t i = 0; i < count; ++i) at[i] = tables.first_in_cell(at[i]);
    if (tables.halvings > 0)
      for (std::size_t i = 0; i < count; ++i) at[i] = tables.shortened(at[i], scores[i]);
    for (std::size_t i = 0; i < count; ++i) {
      at[i] = end_of_run(tables, at[i], scores[i]);
      p_values[i] = look.p_of_first[at[i]];
    }
    std::uint32_t any = 0;
    for (std::size_t i = 0; i < count; ++i) {
      beyond[i] = at[i] == look.distinct_count;
      any |= beyond[i];
    }
    return any;
  }

  void run_each(const float* scores, const std::uint32_t* which, double* p_values, std::uint8_t* extrapolated,
                std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) {
      const Look& look = arrays_.looks[which[i]];
      const std::uint32_t first = end_of_run(look.tables, look.tables.run_for(scores[i]), scores[i]);
      const bool beyond = look.extrapolates && first == look.distinct_count;
      p_values[i] = beyond ? look.formula.p(static_cast<double>(scores[i])) : look.p_of_first[first];
      extrapolated[i] = beyond;
    }
  }

  ResidentArrays arrays_;
};

/// Tables of one calibration, after those that are there.
void pack_one(const Calibration& calibration, Packed& packed) {
  const Packed::Place begin{packed.pieces.size(), packed.cells.size(), packed.distinct.size(),
                            packed.p_of_first.size()};
  packed.places.push_back(begin);
  auto& [tables, pointer, distinct_count, extrapolates, formula] = packed.looks.emplace_back();
  std::vector<std::uint32_t> keys;
  const std::vector<float>& scores = calibration.scores;
  const double denominator = static_cast<double>(scores.size()) + 1;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (i && scores[i] == scores[i - 1]) continue;
    packed.distinct.push_back(scores[i]);
    packed.p_of_first.push_back((1 + static_cast<double>(scores.size() - i)) / denominator);
    keys.push_back(ordered_key(scores[i]));
  }
  packed.p_of_first.push_back(1 / denominator);

  distinct_count = static_cast<std::uint32_t>(keys.size());
  tables.smallest = scores.front();
  tables.largest = scores.back();
  tables.lowest = keys.front();
  const std::uint32_t range = keys.back() - keys.front();
  const int key_bits = static_cast<int>(std::bit_width(range));
  tables.piece_shift = static_cast<std::uint32_t>(std::max(0, key_bits - std::countr_zero(pieces_max)));
  const std::size_t pieces_used = (range >> tables.piece_shift) + 1;
  std::size_t next = 0;  // first distinct score not yet below
  for (std::size_t p = 0; p < pieces_used; ++p) {
    const auto key_of_piece = [&](std::size_t piece) {
      return static_cast<std::uint64_t>(tables.lowest) +
             (static_cast<std::uint64_t>(piece) << tables.piece_shift);
    };
    const auto inside = static_cast<std::uint32_t>(
        std::lower_bound(keys.begin() + static_cast<std::ptrdiff_t>(next), keys.end(), key_of_piece(p + 1)) -
        keys.begin() - static_cast<std::ptrdiff_t>(next));
    const std::uint32_t fineness =
        inside < 2 ? 0 : std::min(tables.piece_shift, static_cast<std::uint32_t>(std::bit_width(2 * inside)));
    const std::uint32_t shift = tables.piece_shift - fineness;
    const auto first_cell = static_cast<std::uint32_t>(p << fineness);
    packed.pieces.push_back(
        {static_cast<std::uint32_t>(packed.cells.size() - begin.cells) - first_cell, shift});
    for (std::uint64_t cell = 0; cell < std::uint64_t{1} << fineness; ++cell) {
      packed.cells.push_back(static_cast<std::uint32_t>(next));
      const std::uint64_t end = key_of_piece(p) + ((cell + 1) << shift);
      const std::size_t first = next;
      while (next < keys.size() && keys[next] < end) ++next;
      tables.longest = std::max(tables.longest, static_cast<std::uint32_t>(next - first));
    }
  }
  for (std::uint32_t length = tables.longest; length > short_run; length -= length / 2) ++tables.halvings;
  packed.distinct.resize(packed.distinct.size() + tables.longest + compared_at_once,
                         std::numeric_limits<float>::infinity());

  const Pareto& pareto = calibration.pareto;
  extrapolates = pareto.fitted;
  if (extrapolates)
    formula = make_tail_formula(pareto.threshold, pareto.shape, pareto.scale, pareto.exceedance,
                                scores.back(), static_cast<double>(scores.size()));
}

void check(const Calibration& calibration) {
  const std::vector<float>& scores = calibration.scores;
  if (scores.empty()) throw std::invalid_argument("calibration: no scores");
  if (scores.size() >= std::numeric_limits<std::int32_t>::max())
    throw std::invalid_argument("calibration: more than 2^31 - 2 scores");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i]))
      throw std::invalid_argument("calibration: score " + std::to_string(i) + " is not finite");
    if (i && scores[i] < scores[i - 1])
      throw std::invalid_argument("calibration: scores are not ascending at " + std::to_string(i));
  }
  const Pareto& pareto = calibration.pareto;
  if (pareto.fitted) {
    if (!(std::isfinite(pareto.scale) && pareto.scale > 0))
      throw std::invalid_argument("calibration: the tail's scale must be positive and finite");
    if (!std::isfinite(pareto.threshold) || !std::isfinite(pareto.shape))
      throw std::invalid_argument("calibration: the tail's threshold and shape must be finite");
    if (!(pareto.exceedance > 0 && pareto.exceedance <= 1))
      throw std::invalid_argument("calibration: the tail's exceedance must be in (0, 1]");
  }
}

}  // namespace

Packed pack(std::span<const Calibration> calibrations) {
  Packed packed;
  for (const Calibration& calibration : calibrations) pack_one(calibration, packed);
  return packed;
}

std::shared_ptr<const ResidentTail> make_tail(Device& device, std::span<const Calibration> calibrations) {
  if (calibrations.empty()) throw std::invalid_argument("calibration: there is none");
  for (const Calibration& calibration : calibrations) check(calibration);
  const FloatEnvironment environment;
  const Packed packed = pack(calibrations);
  if (device.backend() != Backend::cpu) return LANNER_ON_GPU(device, make_tail, device, packed);
  return std::make_shared<CpuTail>(device, packed);
}

void p_values(Stream& stream, const ResidentTail& tail, std::span<const float> scores,
              std::span<double> p_values, std::span<std::uint8_t> extrapolated,
              std::span<const std::uint32_t> which) {
  if (p_values.size() < scores.size() || extrapolated.size() < scores.size() ||
      (!which.empty() && which.size() < scores.size()))
    throw std::invalid_argument("tail: one p-value, one mark and one calibration a score");
  tail.p_values(stream, scores, p_values, extrapolated, which);
}

}  // namespace lanner::tail
