// P-values on GPUs: tail_cuda.cu, compiled for each of the two kinds.
#pragma once

#include <memory>

#include "kernels/tail/packed.hpp"

namespace lanner::tail::cuda {
std::shared_ptr<const ResidentTail> make_tail(Device&, const Packed&);
}
namespace lanner::tail::emulated {
std::shared_ptr<const ResidentTail> make_tail(Device&, const Packed&);
}
