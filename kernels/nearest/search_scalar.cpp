// The definition, row by row: the reference that the other tiers are tested against.
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/search.hpp"

namespace lanner::nearest {

void search_group_scalar(const Job& job, const Scratch& scratch, std::size_t begin, std::size_t end) {
  const IndexView& index = job.index;
  for (std::size_t query = begin; query < end; ++query) {
    const float* q = job.queries.row(query);
    const bool left_out = job.self && job.self[query] != no_self;
    const std::uint32_t self = left_out ? index.position_of[job.self[query]] : no_self;
    std::size_t count = 0;
    double kth;
    for (std::uint32_t at = 0; at < index.distinct; ++at) {
      std::uint32_t weight = index.weight[at];
      if (at == self) {
        weight = job.count == Count::rows ? weight - 1 : 0;
        if (weight == 0) continue;
      }
      const float* r = index.rows + at * index.row_stride;
      double squared = 0;
      for (std::size_t j = 0; j < index.width; ++j) {
        const double difference = static_cast<double>(q[j]) - static_cast<double>(r[j]);
        squared = fma(difference, difference, squared);
      }
      if (count == job.plan.keep + job.plan.capacity) count = keep_nearest(job, scratch.merged, count, &kth);
      scratch.merged[count++] = {squared, index.row_at[at], weight};
    }
    finish(job, scratch, query, count);
  }
}

}  // namespace lanner::nearest
