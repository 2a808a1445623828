// The emulated GPU must be unforgiving: what a real one leaves undefined has to show.
#include "kernels/device/emulated.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/device/error.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/device/simt.hpp"

namespace lanner {
namespace {

using Failure = EmulatedOptions::Failure;

__global__ void add_one(float* values, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] += 1;
}
__global__ void copy_value(const float* from, float* to) {
  if (threadIdx.x == 0) *to = *from;
}
__global__ void write_beyond(float* values, unsigned count) {
  values[count + threadIdx.x] = 1;
}
__global__ void meet_at_two_barriers() {
  if (threadIdx.x < 5) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

struct Buffers {
  explicit Buffers(Device& device, std::size_t n = 100)
      : stream(device.stream()), pinned(device.pinned<float>(n)), array(device.array<float>(n)) {
    for (std::size_t i = 0; i < n; ++i) pinned[i] = static_cast<float>(i);
  }
  Stream stream;
  Pinned<float> pinned;
  Array<float> array;
};

TEST(Emulated, KernelsAndCopiesAreDoneInOrderOnceSomebodyWaits) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const auto device = make_emulated_device({.seed = seed});
    Buffers b(*device);
    b.stream.copy_in(b.array, b.pinned, 100);
    for (int i = 0; i < 3; ++i) launch(b.stream, add_one, dim3(2), dim3(64), 0, b.array.data(), 100u);
    b.stream.copy_out(b.pinned, b.array, 100);
    EXPECT_EQ(b.pinned[99], 99) << "nothing is done before somebody waits";
    Event event = device->event();
    b.stream.record(event);
    while (!event.happened()) {
    }
    for (int i = 0; i < 100; ++i) EXPECT_EQ(b.pinned[i], static_cast<float>(i + 3));
  }
}

TEST(Emulated, AMissingWaitBetweenStreamsShowsOnSomeSeedsAndAWaitHelpsOnAll) {
  for (const bool waits : {true, false}) {
    std::set<bool> right;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const auto device = make_emulated_device({.seed = seed});
      Buffers b(*device);
      Stream other = device->stream();
      auto result = device->array<float>(1);
      auto back = device->pinned<float>(1);
      Event copied = device->event();
      b.stream.copy_in(b.array, b.pinned, 100);
      b.stream.record(copied);
      if (waits) other.wait(copied);
      launch(other, copy_value, dim3(1), dim3(32), 0, static_cast<const float*>(b.array.data() + 7),
             result.data());
      other.copy_out(back, result, 1);
      other.synchronize();
      right.insert(back[0] == 7);
      b.stream.synchronize();
    }
    EXPECT_EQ(right, waits ? std::set<bool>{true} : (std::set<bool>{false, true}));
  }
}

TEST(Emulated, MemoryBeginsAsNaN) {
  const auto device = make_emulated_device();
  Buffers b(*device);
  b.stream.copy_out(b.pinned, b.array, 100);
  b.stream.synchronize();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(std::isnan(b.pinned[i]));
}

TEST(EmulatedDeathTest, TheHostCanNeitherReadNorWriteDeviceMemory) {
  const auto device = make_emulated_device();
  Buffers b(*device);
  b.stream.copy_in(b.array, b.pinned, 100);
  b.stream.synchronize();
  EXPECT_DEATH({ [[maybe_unused]] volatile float value = b.array.data()[3]; }, "");
  EXPECT_DEATH({ b.array.data()[3] = 1; }, "");
}

TEST(EmulatedDeathTest, AWriteBeyondTheEndIsFoundWhenTheMemoryIsGivenBack) {
  EXPECT_DEATH(
      {
        const auto device = make_emulated_device();
        Buffers b(*device);
        launch(b.stream, write_beyond, dim3(1), dim3(1), 0, b.array.data(), 100u);
        b.stream.synchronize();
        b.array = {};
      },
      "beyond the end|overflow");
}

TEST(Emulated, CopiesAreCheckedForTheirDirection) {
  const auto device = make_emulated_device();
  Buffers b(*device);
  std::vector<float> pageable(100);
  EXPECT_THROW(b.stream.copy_in(b.array.span(), pageable.data()), DeviceError);
  EXPECT_THROW(b.stream.copy_in(b.pinned.span(), b.pinned.data()), DeviceError);
  EXPECT_THROW(b.stream.copy_out(b.pinned.span(), b.pinned.data()), DeviceError);
  EXPECT_THROW(b.stream.copy_out(std::span(pageable), b.array.data()), DeviceError);
  EXPECT_THROW(b.stream.copy_in(std::span(b.array.data() + 90, 80), b.pinned.data()), DeviceError)
      << "beyond the end";
}

TEST(Emulated, MemoryIsBoundedAndComesBack) {
  const auto device = make_emulated_device({.memory_bytes = 1 << 20});
  std::vector<Array<float>> arrays;
  try {
    while (true) arrays.push_back(device->array<float>(10'000));
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.code(), 2);
    EXPECT_FALSE(error.lost());
  }
  EXPECT_EQ(arrays.size(), 25u);
  EXPECT_LT(device->memory_free(), 50'000u);
  std::swap(arrays[3], arrays.back());
  arrays.pop_back();
  arrays.push_back(device->array<float>(9'000));
  arrays.clear();
  EXPECT_EQ(device->memory_free(), std::size_t{1} << 20);
  EXPECT_EQ(device->array<float>(200'000).size(), 200'000u) << "one piece again";
}

// Every call of a run fails in its turn; each failure is a DeviceError, and ordinary ones pass.
TEST(Emulated, AnyCallCanBeMadeToFail) {
  const auto work = [](Device& device) {
    Buffers b(device);
    Event event = device.event();
    b.stream.copy_in(b.array, b.pinned, 100);
    launch(b.stream, add_one, dim3(2), dim3(64), 0, b.array.data(), 100u);
    b.stream.copy_out(b.pinned, b.array, 100);
    b.stream.record(event);
    event.synchronize();
    return b.pinned[0];
  };
  const auto undisturbed = make_emulated_device();
  work(*undisturbed);
  const std::uint64_t calls = emulated_calls(*undisturbed) - 2;  // less the two releases
  ASSERT_EQ(calls, 9u);
  for (std::uint64_t n = 1; n <= calls; ++n) {
    const auto once = make_emulated_device({.fail_at = n});
    EXPECT_THROW(work(*once), DeviceError) << n;
    EXPECT_EQ(work(*once), 1) << n;
    const auto lost = make_emulated_device({.fail_at = n, .failure = Failure::lost});
    for (int again = 0; again < 2; ++again) {
      try {
        work(*lost);
        ADD_FAILURE() << n;
      } catch (const DeviceError& error) {
        EXPECT_TRUE(error.lost());
      }
    }
  }
}

TEST(Emulated, AKernelThatFailsTakesTheContextWithIt) {
  const auto device = make_emulated_device();
  Stream stream = device->stream();
  launch(stream, meet_at_two_barriers, dim3(1), dim3(64), 0);
  for (int again = 0; again < 2; ++again) {
    try {
      stream.synchronize();
      ADD_FAILURE();
    } catch (const DeviceError& error) {
      EXPECT_TRUE(error.lost());
    }
  }
}

TEST(Emulated, WhatHangsNeverHappens) {
  const auto device = make_emulated_device({.fail_at = 6, .failure = Failure::hang});
  Buffers b(*device);
  Event event = device->event();
  b.stream.copy_in(b.array, b.pinned, 100);
  b.stream.record(event);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(event.happened());
}

TEST(Emulated, PerturbedResultsDiffer) {
  const auto device = make_emulated_device({.perturb = true});
  Buffers b(*device);
  b.stream.copy_in(b.array, b.pinned, 100);
  b.stream.copy_out(b.pinned, b.array, 100);
  b.stream.synchronize();
  for (int i = 0; i < 100; ++i) EXPECT_NE(b.pinned[i], static_cast<float>(i));
}

class EmulatedEnvironment : public ::testing::Test {
 protected:
  void TearDown() override { unsetenv("LANNER_EMULATED"); }
};

TEST_F(EmulatedEnvironment, GivesTheOptions) {
  setenv("LANNER_EMULATED", "seed=7,fail_at=12,failure=lost,perturb=1,memory=4096,truncating=1", 1);
  const EmulatedOptions options = emulated_options_from_environment();
  EXPECT_EQ(options.seed, 7u);
  EXPECT_EQ(options.fail_at, 12u);
  EXPECT_EQ(options.failure, Failure::lost);
  EXPECT_EQ(options.memory_bytes, 4096u);
  EXPECT_TRUE(options.perturb && options.truncating_products);
  EXPECT_EQ(open_gpus(Backend::emulated).size(), 1u);
}

TEST_F(EmulatedEnvironment, RefusesWhatItDoesNotKnow) {
  for (const char* wrong : {"seed", "seed=x", "speed=1", "failure=maybe", "seed=1,,"}) {
    setenv("LANNER_EMULATED", wrong, 1);
    EXPECT_THROW(emulated_options_from_environment(), std::invalid_argument) << wrong;
  }
}

}  // namespace
}  // namespace lanner
