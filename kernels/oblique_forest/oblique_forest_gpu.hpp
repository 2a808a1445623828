// The GPU's walks: walk_cuda.cu, compiled for a GPU and for the emulated one.
#pragma once

#include <memory>

#include "kernels/oblique_forest/oblique_forest_layout.hpp"

namespace lanner::oblique_forest {

namespace cuda {
std::shared_ptr<const ResidentObliqueForest> make_resident(Device&, const PackedForest&);
}
namespace emulated {
std::shared_ptr<const ResidentObliqueForest> make_resident(Device&, const PackedForest&);
}

}  // namespace lanner::oblique_forest
