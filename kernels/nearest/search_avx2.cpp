#include "kernels/nearest/search_codes.hpp"
#include "kernels/nearest/search_floats.hpp"
#include "kernels/nearest/search_lanes.hpp"

namespace lanner::nearest {

void search_group_avx2(const Job& job, const Scratch& scratch, std::size_t begin, std::size_t end) {
  GroupSearch<FloatTiles<simd::Avx2>>{{{job, scratch, begin, end - begin}}}.run();
}

void search_codes_avx2(const Job& job, const Scratch& scratch, std::size_t begin, std::size_t end) {
  GroupSearch<CodeTiles<simd::Avx2>>{{{job, scratch, begin, end - begin}}}.run();
}

}  // namespace lanner::nearest
