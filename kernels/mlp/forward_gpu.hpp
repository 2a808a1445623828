// The forward pass on GPUs: forward_cuda.cu, compiled for each of the two kinds.
#pragma once

#include <memory>

#include "kernels/mlp/mlp.hpp"

namespace lanner::mlp::cuda {
std::shared_ptr<const ResidentNetwork> make_resident(Device&, const Network&);
}
namespace lanner::mlp::emulated {
std::shared_ptr<const ResidentNetwork> make_resident(Device&, const Network&);
}
