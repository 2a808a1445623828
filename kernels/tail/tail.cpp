#include "kernels/tail/tail.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/tail/rank.hpp"
#include "kernels/tail/tail_formula.hpp"

namespace lanner::tail {
namespace {

// Above this many scores in a cell, halving comes before comparing one after the other.
constexpr std::uint32_t short_run = 8;
constexpr std::size_t rows_a_piece_of_work = 8192;

class CpuTail final : public ResidentTail {
 public:
  CpuTail(Device& device, const Calibration& calibration) {
    std::vector<float> distinct;
    std::vector<double> p_of_first;
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

    distinct_count_ = static_cast<std::uint32_t>(distinct.size());
    tables_.smallest = distinct.front();
    tables_.largest = distinct.back();
    tables_.lowest = keys.front();
    const std::uint32_t range = keys.back() - keys.front();
    const int key_bits = static_cast<int>(std::bit_width(range));
    tables_.piece_shift = static_cast<std::uint32_t>(std::max(0, key_bits - std::countr_zero(pieces_max)));
    const std::size_t pieces_used = (range >> tables_.piece_shift) + 1;
    std::vector<Piece> pieces;
    std::vector<std::uint32_t> cells;
    std::size_t next = 0;  // first distinct score not yet below
    for (std::size_t p = 0; p < pieces_used; ++p) {
      const auto key_of_piece = [&](std::size_t piece) {
        return static_cast<std::uint64_t>(tables_.lowest) +
               (static_cast<std::uint64_t>(piece) << tables_.piece_shift);
      };
      const auto inside =
          static_cast<std::uint32_t>(std::lower_bound(keys.begin() + static_cast<std::ptrdiff_t>(next),
                                                      keys.end(), key_of_piece(p + 1)) -
                                     keys.begin() - static_cast<std::ptrdiff_t>(next));
      const std::uint32_t fineness =
          inside < 2 ? 0
                     : std::min(tables_.piece_shift, static_cast<std::uint32_t>(std::bit_width(2 * inside)));
      const std::uint32_t shift = tables_.piece_shift - fineness;
      const auto first_cell = static_cast<std::uint32_t>(p << fineness);
      pieces.push_back({static_cast<std::uint32_t>(cells.size()) - first_cell, shift});
      for (std::uint64_t cell = 0; cell < std::uint64_t{1} << fineness; ++cell) {
        cells.push_back(static_cast<std::uint32_t>(next));
        const std::uint64_t end = key_of_piece(p) + ((cell + 1) << shift);
        const std::size_t first = next;
        while (next < keys.size() && keys[next] < end) ++next;
        tables_.longest = std::max(tables_.longest, static_cast<std::uint32_t>(next - first));
      }
    }
    for (std::uint32_t length = tables_.longest; length > short_run; length -= length / 2) ++tables_.halvings;
    distinct.resize(distinct.size() + tables_.longest + compared_at_once,
                    std::numeric_limits<float>::infinity());

    pieces_ = resident_copy(device, pieces);
    cells_ = resident_copy(device, cells);
    distinct_ = resident_copy(device, distinct);
    p_of_first_ = resident_copy(device, p_of_first);
    tables_.pieces = pieces_.data();
    tables_.cells = cells_.data();
    tables_.distinct = distinct_.data();

    const Pareto& pareto = calibration.pareto;
    extrapolates_ = pareto.fitted;
    if (extrapolates_)
      formula_ = make_tail_formula(pareto.threshold, pareto.shape, pareto.scale, pareto.exceedance,
                                   scores.back(), static_cast<double>(scores.size()));
  }

  void p_values(const float* scores, double* p_values, std::uint8_t* extrapolated, std::size_t count) const {
    const RankTables tables = tables_;
    const double* p_of_first = p_of_first_.data();
    const std::uint32_t none = distinct_count_;
    bool beyond = false;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t first = tables.first_at_least(scores[i]);
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

 private:
  Array<Piece> pieces_;
  Array<std::uint32_t> cells_;
  Array<float> distinct_;
  Array<double> p_of_first_;  ///< (1 + scores >= distinct[i]) / (n + 1); beyond the last, 1 / (n + 1)
  RankTables tables_;
  std::uint32_t distinct_count_ = 0;
  bool extrapolates_ = false;
  TailFormula formula_;
};

}  // namespace

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
  if (device.backend() != Backend::cpu)
    throw std::invalid_argument("calibration: no tail for backend " + std::string(name(device.backend())));
  const FloatEnvironment environment;
  return std::make_shared<CpuTail>(device, calibration);
}

void p_values(Stream& stream, const ResidentTail& tail, std::span<const float> scores,
              std::span<double> p_values, std::span<std::uint8_t> extrapolated) {
  const auto& resident = static_cast<const CpuTail&>(tail);
  auto task = [&](std::size_t begin, std::size_t end, unsigned) {
    resident.p_values(scores.data() + begin, p_values.data() + begin, extrapolated.data() + begin,
                      end - begin);
  };
  stream.for_range(scores.size(), rows_a_piece_of_work, task);
}

}  // namespace lanner::tail
