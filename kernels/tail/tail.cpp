#include "kernels/tail/tail.hpp"

#include <emmintrin.h>

#include <algorithm>
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
constexpr std::size_t rows_a_piece_of_work = 8192;

/// tables.run_for's run, four scores at a time.
[[gnu::always_inline]] inline std::uint32_t first_at_least(const RankTables& tables, float s) {
  std::uint32_t i = tables.run_for(s);
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
  CpuTail(Device& device, const Packed& packed)
      : arrays_(device, packed),
        tables_(arrays_.tables(packed.tables)),
        distinct_count_(packed.distinct_count),
        extrapolates_(packed.extrapolates),
        formula_(packed.formula) {}

  void p_values(Stream& stream, std::span<const float> scores, std::span<double> p_values,
                std::span<std::uint8_t> extrapolated) const override {
    if (stream.backend() != Backend::cpu)
      throw std::invalid_argument("tail: the calibration is resident on another device");
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      run(scores.data() + begin, p_values.data() + begin, extrapolated.data() + begin, end - begin);
    };
    stream.for_range(scores.size(), rows_a_piece_of_work, task);
  }

 private:
  void run(const float* scores, double* p_values, std::uint8_t* extrapolated, std::size_t count) const {
    const RankTables tables = tables_;
    const double* p_of_first = arrays_.p_of_first.data();
    const std::uint32_t none = distinct_count_;
    bool beyond = false;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t first = first_at_least(tables, scores[i]);
      p_values[i] = p_of_first[first];
      extrapolated[i] = first == none;
      beyond |= first == none;
    }
    if (!beyond) return;
    for (std::size_t i = 0; i < count; ++i) {
      if (!extrapolated[i]) continue;
      if (extrapolates_) p_values[i] = formula_.p(static_cast<double>(scores[i]));
      extrapolated[i] = extrapolates_;
    }
  }

  ResidentArrays arrays_;
  RankTables tables_;
  std::uint32_t distinct_count_;
  bool extrapolates_;
  TailFormula formula_;
};

}  // namespace

Packed pack(const Calibration& calibration) {
  Packed packed;
  auto& [pieces, cells, distinct, p_of_first, tables, distinct_count, extrapolates, formula] = packed;
  std::vector<std::uint32_t> keys;
  const std::vector<float>& scores = calibration.scores;
  const double denominator = static_cast<double>(scores.size()) + 1;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (i && scores[i] == scores[i - 1]) continue;
    distinct.push_back(scores[i]);
    p_of_first.push_back((1 + static_cast<double>(scores.size() - i)) / denominator);
    keys.push_back(ordered_key(scores[i]));
  }
  p_of_first.push_back(1 / denominator);

  distinct_count = static_cast<std::uint32_t>(distinct.size());
  tables.smallest = distinct.front();
  tables.largest = distinct.back();
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
    pieces.push_back({static_cast<std::uint32_t>(cells.size()) - first_cell, shift});
    for (std::uint64_t cell = 0; cell < std::uint64_t{1} << fineness; ++cell) {
      cells.push_back(static_cast<std::uint32_t>(next));
      const std::uint64_t end = key_of_piece(p) + ((cell + 1) << shift);
      const std::size_t first = next;
      while (next < keys.size() && keys[next] < end) ++next;
      tables.longest = std::max(tables.longest, static_cast<std::uint32_t>(next - first));
    }
  }
  for (std::uint32_t length = tables.longest; length > short_run; length -= length / 2) ++tables.halvings;
  distinct.resize(distinct.size() + tables.longest + compared_at_once,
                  std::numeric_limits<float>::infinity());

  const Pareto& pareto = calibration.pareto;
  extrapolates = pareto.fitted;
  if (extrapolates)
    formula = make_tail_formula(pareto.threshold, pareto.shape, pareto.scale, pareto.exceedance,
                                scores.back(), static_cast<double>(scores.size()));
  return packed;
}

std::shared_ptr<const ResidentTail> make_tail(Device& device, const Calibration& calibration) {
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
  const FloatEnvironment environment;
  const Packed packed = pack(calibration);
  if (device.backend() != Backend::cpu) return LANNER_ON_GPU(device, make_tail, device, packed);
  return std::make_shared<CpuTail>(device, packed);
}

void p_values(Stream& stream, const ResidentTail& tail, std::span<const float> scores,
              std::span<double> p_values, std::span<std::uint8_t> extrapolated) {
  if (p_values.size() < scores.size() || extrapolated.size() < scores.size())
    throw std::invalid_argument("tail: one p-value and one mark a score");
  tail.p_values(stream, scores, p_values, extrapolated);
}

}  // namespace lanner::tail
