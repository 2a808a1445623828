// The GPU's walks: walk_cuda.cu, compiled for a GPU and for the emulated one.
#pragma once

#include <memory>

#include "kernels/forest/forest_layout.hpp"

namespace lanner::forest {

namespace cuda {
std::shared_ptr<const ResidentForest> make_resident(Device&, const PackedForest&);
}
namespace emulated {
std::shared_ptr<const ResidentForest> make_resident(Device&, const PackedForest&);
}

}  // namespace lanner::forest
