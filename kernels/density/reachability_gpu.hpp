// The GPU's local outlier factors: reachability_cuda.cu, compiled for a GPU and for the emulated one.
#pragma once

#include <memory>

#include "kernels/density/reachability.hpp"

namespace lanner::density {

namespace cuda {
std::shared_ptr<const ResidentDensities> make_densities(Device&, const TrainingDensity&);
}
namespace emulated {
std::shared_ptr<const ResidentDensities> make_densities(Device&, const TrainingDensity&);
}

}  // namespace lanner::density
