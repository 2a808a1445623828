#include "kernels/device/device.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace lanner {
namespace {

TEST(Device, EveryItemIsDoneOnceWhateverTheThreads) {
  for (unsigned threads : {1u, 2u, 5u}) {
    const auto device = Device::cpu({CpuTier::scalar, threads});
    const Stream stream = device->stream();
    for (std::size_t count : {0u, 1u, 7u, 1000u})
      for (std::size_t grain : {0u, 1u, 3u, 2000u}) {
        std::vector<std::atomic<int>> done(count);
        auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
          ASSERT_LT(worker, threads);
          for (std::size_t i = begin; i < end; ++i) ++done[i];
        };
        stream.for_range(count, grain, task);
        for (const auto& times : done) EXPECT_EQ(times, 1);
      }
  }
}

TEST(Device, AnExceptionInAPieceReachesTheCallerAndTheDeviceGoesOn) {
  const auto device = Device::cpu({CpuTier::scalar, 3});
  const Stream stream = device->stream();
  auto failing = [](std::size_t begin, std::size_t, unsigned) {
    if (begin == 5) throw std::runtime_error("piece 5");
  };
  EXPECT_THROW(stream.for_range(100, 1, failing), std::runtime_error);
  std::atomic<int> done = 0;
  auto fine = [&](std::size_t, std::size_t, unsigned) { ++done; };
  stream.for_range(100, 1, fine);
  EXPECT_EQ(done, 100);
}

TEST(Device, MemoryIsZeroedAlignedAndMovable) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  auto array = device->array<float>(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.data()) % 64, 0u);
  for (float value : array.span()) EXPECT_EQ(value, 0);
  auto pinned = device->pinned<float>(100);
  for (int i = 0; i < 100; ++i) pinned[i] = static_cast<float>(i);
  Stream stream = device->stream();
  stream.copy_in(array, pinned, 100);
  auto back = device->pinned<float>(100);
  auto moved = std::move(array);
  stream.copy_out(back, moved, 100);
  Event event = device->event();
  stream.record(event);
  event.synchronize();
  EXPECT_EQ(back[99], 99);
  EXPECT_EQ(array.data(),
            nullptr);  // NOLINT(bugprone-use-after-move): what moving leaves behind is the point
}

class Environment : public ::testing::Test {
 protected:
  void TearDown() override {
    unsetenv("LANNER_CPU");
    unsetenv("LANNER_THREADS");
  }
};

TEST_F(Environment, ForcesTierAndThreads) {
  setenv("LANNER_CPU", "scalar", 1);
  setenv("LANNER_THREADS", "3", 1);
  const auto device = Device::cpu();
  EXPECT_EQ(device->tier(), CpuTier::scalar);
  EXPECT_EQ(device->threads(), 3u);
}

TEST_F(Environment, RefusesWhatItDoesNotKnow) {
  setenv("LANNER_CPU", "sse9", 1);
  EXPECT_THROW(chosen_cpu_tier(), std::invalid_argument);
  for (const char* wrong : {"0", "-1", "two", "2x"}) {
    setenv("LANNER_THREADS", wrong, 1);
    EXPECT_THROW(chosen_threads(), std::invalid_argument) << wrong;
  }
}

}  // namespace
}  // namespace lanner
