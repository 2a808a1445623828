// Scoring allocates nothing: this binary counts.
#include <gtest/gtest.h>

#include "tests/allocations/allocations.hpp"
#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows

TEST(Allocation, NoneOnScoring) {
  const Table training = normal_rows(150, 3, 1), queries = queries_for(training, 2);
  const Rows rows = queries.rows();
  std::vector<std::uint8_t> refused(rows.count);
  refused[1] = 1;
  for (const std::string& detector : detector_names())
    for (const char* calibration : {"0.2", "none"})
      for (const unsigned threads : {1u, 2u}) {
        const auto model = fit(training, options_of(detector, {{"calibration", calibration}}));
        const auto device = Device::cpu({chosen_cpu_tier(), threads});
        const ModelScorer scorer(model, *device);
        auto workspace = device->array<std::byte>(scorer.workspace_bytes(rows.count));
        std::vector<float> scores(rows.count);
        std::vector<double> p_values(rows.count);
        std::vector<std::uint8_t> extrapolated(rows.count);
        Stream stream = device->stream();
        const std::size_t before = test::allocations();
        scorer.score(stream, rows, refused, workspace.span(), scores, p_values, extrapolated);
        scorer.score(stream, rows.slice(0, 1), {}, workspace.span(), scores, p_values, extrapolated);
        EXPECT_EQ(test::allocations() - before, 0u)
            << detector << ", calibration " << calibration << ", " << threads << " threads";
      }
}

TEST(Allocation, TheCounterCounts) {
  const std::size_t before = test::allocations();
  fit(normal_rows(20, 2, 3), options_of("histogram", {}));
  EXPECT_GT(test::allocations() - before, 10u);
}

}  // namespace
}  // namespace lanner::engine
