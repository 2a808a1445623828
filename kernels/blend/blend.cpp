#include "kernels/blend/blend.hpp"

#include <cmath>
#include <stdexcept>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/blend/blend_formula.hpp"
#include "kernels/blend/blend_gpu.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/device/resident.hpp"

namespace lanner::blend {
namespace {

constexpr std::size_t rows_a_piece_of_work = 4096;

class CpuBlend final : public ResidentBlend {
 public:
  CpuBlend(Device& device, const Blend& blend) : members_(resident_copy(device, blend)) {}

  std::size_t members() const override { return members_.size(); }

  void blend(Stream& stream, const float* scores, std::size_t stride, std::span<float> all) const override {
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      for (std::size_t i = begin; i < end; ++i)
        all[i] = blended(members_.data(), members_.size(), scores + i, stride);
    };
    stream.for_range(all.size(), rows_a_piece_of_work, task);
  }

 private:
  Array<Member> members_;
};

}  // namespace

std::shared_ptr<const ResidentBlend> make_blend(Device& device, const Blend& blend) {
  if (blend.empty()) throw std::invalid_argument("blend: no members");
  for (const Member& member : blend)
    if (!std::isfinite(member.offset) || !(member.offset > 0) || !std::isfinite(member.weight) ||
        !std::isfinite(member.bias))
      throw std::invalid_argument("blend: a value that isn't finite, or an offset not above 0");
  const FloatEnvironment environment;
  if (device.backend() != Backend::cpu) return LANNER_ON_GPU(device, make_blend, device, blend);
  return std::make_shared<CpuBlend>(device, blend);
}

void blend(Stream& stream, const ResidentBlend& resident, std::span<const float> scores, std::size_t stride,
           std::span<float> blended) {
  if (blended.size() > stride || scores.size() < resident.members() * stride)
    throw std::invalid_argument("blend: fewer scores than members and rows need");
  if (!blended.empty()) resident.blend(stream, scores.data(), stride, blended);
}

}  // namespace lanner::blend
