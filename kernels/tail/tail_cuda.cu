// Scores to p-values on GPUs: a thread a score, by the tables of rank.hpp.
//
// Roofline, computed, not measured. A score is 4 bytes in and 9 out: 154e9 scores a second at an A100's
// 2.0e12 bytes a second, 258e9 at an H100's 3.35e12, 615e9 at a B200's 8e12. Between them it looks up a piece
// (8 bytes of at most 8 KB), a cell, a score or two and a p-value, wherever they lie: about 4 sectors of 32
// bytes from the second-level cache, where the tables of 100,000 scores (about 2 MB) stay. At 5.5e12 bytes a
// second that allows an H100 43e9 scores a second, and binds: a sixth of the memory's ceiling. Scores beyond
// the calibration's are rare, and cost their warp some 60 float64 operations.
// Where each score has a calibration of its own, it brings 4 bytes more and reads 104 of constants, which lie
// in the first-level cache. By ptxas 13.0: 32 registers, 37 or 38 where each has its own; nothing spilled.
#include <memory>
#include <stdexcept>

#include "kernels/device/simt.hpp"
#include "kernels/tail/tail_gpu.hpp"

namespace lanner::tail::LANNER_GPU {
namespace {

constexpr unsigned threads = 256;

__device__ void look_up_one(const Look& look, float s, double& p_value, std::uint8_t& extrapolated) {
  std::uint32_t first = look.tables.run_for(s);
  while (look.tables.distinct[first] < s) ++first;
  const bool beyond = look.extrapolates && first == look.distinct_count;
  p_value = beyond ? look.formula.p(static_cast<double>(s)) : look.p_of_first[first];
  extrapolated = beyond;
}

// ptxas: look_up: block 256, registers <= 32, shared <= 0, occupancy >= 100 %
__global__ void __launch_bounds__(threads)
    look_up(Look look, const float* scores, std::size_t count, double* p_values, std::uint8_t* extrapolated) {
  const std::size_t i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= count) return;
  look_up_one(look, scores[i], p_values[i], extrapolated[i]);
}

// ptxas: look_up_each: block 256, registers <= 40, shared <= 0, occupancy >= 75 %
__global__ void __launch_bounds__(threads, 6)
    look_up_each(const Look* looks, const std::uint32_t* which, const float* scores, std::size_t count,
                 double* p_values, std::uint8_t* extrapolated) {
  const std::size_t i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= count) return;
  look_up_one(looks[which[i]], scores[i], p_values[i], extrapolated[i]);
}

class GpuTail final : public ResidentTail {
 public:
  GpuTail(Device& device, const Packed& packed)
      : device_(&device), arrays_(device, packed), looks_(resident_copy(device, arrays_.looks)) {}

  void p_values(Stream& stream, std::span<const float> scores, std::span<double> p_values,
                std::span<std::uint8_t> extrapolated, std::span<const std::uint32_t> which) const override {
    if (&stream.device() != device_)
      throw std::invalid_argument("tail: the calibration is resident on another device");
    if (scores.empty()) return;
    const dim3 grid(static_cast<unsigned>((scores.size() + threads - 1) / threads));
    if (which.empty())
      launch(stream, look_up, grid, dim3(threads), 0, arrays_.looks.front(), scores.data(), scores.size(),
             p_values.data(), extrapolated.data());
    else
      launch(stream, look_up_each, grid, dim3(threads), 0, looks_.data(), which.data(), scores.data(),
             scores.size(), p_values.data(), extrapolated.data());
  }

 private:
  Device* device_;
  ResidentArrays arrays_;
  Array<Look> looks_;
};

}  // namespace

std::shared_ptr<const ResidentTail> make_tail(Device& device, const Packed& packed) {
  return std::make_shared<GpuTail>(device, packed);
}

}  // namespace lanner::tail::LANNER_GPU
