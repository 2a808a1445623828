// Scores to p-values on GPUs: a thread a score, by the tables of rank.hpp.
//
// Roofline, computed, not measured. A score is 4 bytes in and 9 out: 154e9 scores a second at an A100's
// 2.0e12 bytes a second, 258e9 at an H100's 3.35e12, 615e9 at a B200's 8e12. Between them it looks up a piece
// (8 bytes of at most 8 KB), a cell, a score or two and a p-value, wherever they lie: about 4 sectors of 32
// bytes from the second-level cache, where the tables of 100,000 scores (about 2 MB) stay. At 5.5e12 bytes a
// second that allows an H100 43e9 scores a second, and binds: a sixth of the memory's ceiling. Scores beyond
// the calibration's are rare, and cost their warp some 60 float64 operations.
// By ptxas 13.0: 32 registers, nothing spilled.
#include <memory>
#include <stdexcept>

#include "kernels/device/simt.hpp"
#include "kernels/tail/tail_gpu.hpp"

namespace lanner::tail::LANNER_GPU {
namespace {

constexpr unsigned threads = 256;

// ptxas: look_up: block 256, registers <= 32, shared <= 0, occupancy >= 100 %
__global__ void __launch_bounds__(threads)
    look_up(RankTables tables, const double* p_of_first, std::uint32_t distinct_count, bool extrapolates,
            TailFormula formula, const float* scores, std::size_t count, double* p_values,
            std::uint8_t* extrapolated) {
  const std::size_t i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= count) return;
  const float s = scores[i];
  std::uint32_t first = tables.run_for(s);
  while (tables.distinct[first] < s) ++first;
  const bool beyond = extrapolates && first == distinct_count;
  p_values[i] = beyond ? formula.p(static_cast<double>(s)) : p_of_first[first];
  extrapolated[i] = beyond;
}

class GpuTail final : public ResidentTail {
 public:
  GpuTail(Device& device, const Packed& packed)
      : device_(&device),
        arrays_(device, packed),
        tables_(arrays_.tables(packed.tables)),
        distinct_count_(packed.distinct_count),
        extrapolates_(packed.extrapolates),
        formula_(packed.formula) {}

  void p_values(Stream& stream, std::span<const float> scores, std::span<double> p_values,
                std::span<std::uint8_t> extrapolated) const override {
    if (&stream.device() != device_)
      throw std::invalid_argument("tail: the calibration is resident on another device");
    if (scores.empty()) return;
    const dim3 grid(static_cast<unsigned>((scores.size() + threads - 1) / threads));
    launch(stream, look_up, grid, dim3(threads), 0, tables_, arrays_.p_of_first.data(), distinct_count_,
           extrapolates_, formula_, scores.data(), scores.size(), p_values.data(), extrapolated.data());
  }

 private:
  Device* device_;
  ResidentArrays arrays_;
  RankTables tables_;
  std::uint32_t distinct_count_;
  bool extrapolates_;
  TailFormula formula_;
};

}  // namespace

std::shared_ptr<const ResidentTail> make_tail(Device& device, const Packed& packed) {
  return std::make_shared<GpuTail>(device, packed);
}

}  // namespace lanner::tail::LANNER_GPU
