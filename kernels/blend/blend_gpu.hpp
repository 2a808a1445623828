// Blends on GPUs: blend_cuda.cu, compiled for each of the two kinds.
#pragma once

#include <memory>

#include "kernels/blend/blend.hpp"

namespace lanner::blend::cuda {
std::shared_ptr<const ResidentBlend> make_blend(Device&, const Blend&);
}
namespace lanner::blend::emulated {
std::shared_ptr<const ResidentBlend> make_blend(Device&, const Blend&);
}
