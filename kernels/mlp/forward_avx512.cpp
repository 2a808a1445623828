#include "kernels/mlp/forward_tile.hpp"

namespace lanner::mlp {

static void run(const ForwardTask& task, std::size_t begin, std::size_t end, float* scratch) {
  run_rows<simd::Avx512>(task, begin, end, scratch);
}
constinit const ForwardTier forward_avx512{tile_shape<simd::Avx512>, run};

}  // namespace lanner::mlp
