// The GPU's look-ups: histogram_cuda.cu, compiled for a GPU and for the emulated one.
#pragma once

#include <memory>

#include "kernels/density/histogram.hpp"

namespace lanner::density {

namespace cuda {
std::shared_ptr<const ResidentHistograms> make_histograms(Device&, const Histograms&);
}
namespace emulated {
std::shared_ptr<const ResidentHistograms> make_histograms(Device&, const Histograms&);
}

}  // namespace lanner::density
