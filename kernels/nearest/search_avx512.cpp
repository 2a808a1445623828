#include "kernels/nearest/search_codes.hpp"
#include "kernels/nearest/search_floats.hpp"
#include "kernels/nearest/search_lanes.hpp"

namespace lanner::nearest {

void search_group_avx512(const Job& job, const Scratch& scratch, std::size_t begin, std::size_t end) {
  GroupSearch<FloatTiles<simd::Avx512>>{{{job, scratch, begin, end - begin}}}.run();
}

void search_codes_avx512(const Job& job, const Scratch& scratch, std::size_t begin, std::size_t end) {
  GroupSearch<CodeTiles<simd::Avx512>>{{{job, scratch, begin, end - begin}}}.run();
}

}  // namespace lanner::nearest
