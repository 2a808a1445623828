// Scoring allocates nothing: this binary counts.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/engine/model/models.hpp"

namespace {
std::atomic<std::size_t> allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  if (void* memory = std::aligned_alloc(alignment, bytes == 0 ? alignment : bytes)) return memory;
  throw std::bad_alloc();
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  return counted(bytes, 16);
}
[[gnu::noinline]] void* operator new[](std::size_t bytes) {
  return counted(bytes, 16);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
// std::stable_sort's.
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

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
        const std::size_t before = allocations;
        scorer.score(stream, rows, refused, workspace.span(), scores, p_values, extrapolated);
        scorer.score(stream, rows.slice(0, 1), {}, workspace.span(), scores, p_values, extrapolated);
        EXPECT_EQ(allocations - before, 0u)
            << detector << ", calibration " << calibration << ", " << threads << " threads";
      }
}

TEST(Allocation, TheCounterCounts) {
  const std::size_t before = allocations;
  fit(normal_rows(20, 2, 3), options_of("histogram", {}));
  EXPECT_GT(allocations - before, 10u);
}

}  // namespace
}  // namespace lanner::engine
