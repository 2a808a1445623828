// The GPU's kernels: separation_cuda.cu, compiled for a GPU and for the emulated one.
#pragma once

#include <memory>

#include "kernels/cut_forest/cut_forest_layout.hpp"

namespace lanner::cut_forest {

namespace cuda {
std::shared_ptr<const ResidentCutForest> make_resident(Device&, const PackedForest&);
}
namespace emulated {
std::shared_ptr<const ResidentCutForest> make_resident(Device&, const PackedForest&);
}

}  // namespace lanner::cut_forest
