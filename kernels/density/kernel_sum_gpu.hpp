// The GPU's kernel sums: kernel_sum_cuda.cu, compiled for a GPU and for the emulated one.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/density/kernel_sum.hpp"

namespace lanner::density {

/// Queries go through the references in passes, so that what is kept of each query and block takes about so
/// many bytes.
inline constexpr std::size_t kernel_sum_pass_bytes = std::size_t{64} << 20;

namespace cuda {
std::shared_ptr<const ResidentKernelSum> make_kernel_sum(Device&, const nearest::ReferenceSet&,
                                                         double bandwidth,
                                                         std::size_t pass_bytes = kernel_sum_pass_bytes);
}
namespace emulated {
std::shared_ptr<const ResidentKernelSum> make_kernel_sum(Device&, const nearest::ReferenceSet&,
                                                         double bandwidth,
                                                         std::size_t pass_bytes = kernel_sum_pass_bytes);
}

}  // namespace lanner::density
