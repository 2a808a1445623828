// Blends on GPUs: a thread a row. Members' scores lie one member after the other, so that a warp reads whole
// sectors.
//
// Roofline, computed, not measured. A row of m members is 4 (m + 1) bytes and about 30 m instructions: with
// four members, 100e9 rows a second by an A100's memory (2.0e12 bytes a second) and 6.5e9 warps' rows, 208e9
// rows, by its issue (108 multiprocessors, 4 warps a cycle, 1.41 GHz, 120 instructions a row). Memory binds;
// expected share 80 %. What the members cost before is thousands of times that.
#include <memory>
#include <stdexcept>

#include "kernels/blend/blend_formula.hpp"
#include "kernels/blend/blend_gpu.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"

namespace lanner::blend::LANNER_GPU {
namespace {

constexpr unsigned threads = 256;

// ptxas: blend_rows: block 256, registers <= 32, shared <= 0, occupancy >= 100 %
__global__ void __launch_bounds__(threads)
    blend_rows(const Member* members, std::size_t member_count, const float* scores, std::size_t stride,
               std::size_t count, float* all) {
  const std::size_t i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i < count) all[i] = blended(members, member_count, scores + i, stride);
}

class GpuBlend final : public ResidentBlend {
 public:
  GpuBlend(Device& device, const Blend& blend) : device_(&device), members_(resident_copy(device, blend)) {}

  std::size_t members() const override { return members_.size(); }

  void blend(Stream& stream, const float* scores, std::size_t stride, std::span<float> all) const override {
    if (&stream.device() != device_)
      throw std::invalid_argument("blend: the blend is resident on another device");
    launch(stream, blend_rows, dim3(static_cast<unsigned>((all.size() + threads - 1) / threads)),
           dim3(threads), 0, members_.data(), members_.size(), scores, stride, all.size(), all.data());
  }

 private:
  Device* device_;
  Array<Member> members_;
};

}  // namespace

std::shared_ptr<const ResidentBlend> make_blend(Device& device, const Blend& blend) {
  return std::make_shared<GpuBlend>(device, blend);
}

}  // namespace lanner::blend::LANNER_GPU
