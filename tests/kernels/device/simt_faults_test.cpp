// What a GPU leaves undefined, or to chance, the emulated one reports or varies. Kernels that are wrong on
// purpose are here alone: no GPU ever runs them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <immintrin.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "kernels/device/simt.hpp"

namespace lanner::simt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool addresses_checked = true;
#else
constexpr bool addresses_checked = false;
#endif
#if defined(__SANITIZE_THREAD__)
constexpr bool races_checked = true;
#else
constexpr bool races_checked = false;
#endif

template <class Kernel>
void run(const Options& options, const Extent& grid, const Extent& block, const Kernel& kernel,
         std::size_t dynamic_shared = 0) {
  with_options(options, [&] { run_grid(grid, block, dynamic_shared, kernel); });
}

/// What the KernelError says; empty where there is none.
template <class Kernel>
std::string fault(const Extent& block, const Kernel& kernel, std::uint64_t seed = 0,
                  std::size_t dynamic_shared = 0) {
  try {
    run({.seed = seed}, {}, block, kernel, dynamic_shared);
  } catch (const KernelError& error) {
    return error.what();
  }
  return {};
}

std::string at(int line) {
  return "simt_faults_test.cpp:" + std::to_string(line);
}

// -- Order

std::vector<unsigned> order_of_threads(std::uint64_t seed) {
  std::vector<unsigned> order(4 * 64);
  unsigned count = 0;
  run({.seed = seed}, {4}, {64}, [&] { order[atomicAdd(&count, 1u)] = blockIdx.x * 64 + threadIdx.x; });
  return order;
}

TEST(SimtOrder, NaturalOrSeeded) {
  std::vector<unsigned> natural(4 * 64);
  std::iota(natural.begin(), natural.end(), 0u);
  EXPECT_EQ(order_of_threads(0), natural);
  std::set<std::vector<unsigned>> different{natural};
  std::set<unsigned> first_blocks;
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u}) {
    const auto order = order_of_threads(seed);
    EXPECT_EQ(order_of_threads(seed), order) << "the same seed gives the same order";
    EXPECT_TRUE(std::is_permutation(order.begin(), order.end(), natural.begin()));
    different.insert(order);
    first_blocks.insert(order[0] / 64);
  }
  EXPECT_EQ(different.size(), 9u);
  EXPECT_GT(first_blocks.size(), 1u);
}

TEST(SimtOrder, AfterABarrierToo) {
  const auto order = [](std::uint64_t seed) {
    std::vector<unsigned> found(32);
    unsigned count = 0;
    run({.seed = seed}, {}, {32}, [&] {
      __syncthreads();
      found[atomicAdd(&count, 1u)] = threadIdx.x;
    });
    return found;
  };
  const auto natural = order(0);
  EXPECT_TRUE(std::is_sorted(natural.begin(), natural.end()));
  EXPECT_NE(order(1), order(0));
  EXPECT_NE(order(2), order(1));
}

TEST(SimtOrder, SeveralWorkersGiveTheSameResults) {
  constexpr unsigned blocks = 50, threads = 96;
  const auto sums = [&](const Options& options) {
    std::vector<float> found(blocks);
    run(options, {blocks}, {threads}, [&] {
      SHARED_ARRAY(float, values, threads);
      values[threadIdx.x] = static_cast<float>(blockIdx.x + threadIdx.x) * 0.1f;
      __syncthreads();
      for (unsigned step = 1; step < threads; step *= 2) {
        const float other = threadIdx.x + step < threads ? values[threadIdx.x + step] : 0;
        __syncthreads();
        values[threadIdx.x] += other;
        __syncthreads();
      }
      if (threadIdx.x == 0) found[blockIdx.x] = values[0];
    });
    return found;
  };
  const auto expected = sums({});
  EXPECT_NEAR(expected[0], 0.1 * 95 * 96 / 2, 0.01);
  EXPECT_EQ(sums({.workers = 4}), expected);
  EXPECT_EQ(sums({.workers = 3, .seed = 9}), expected);
}

// -- Waiting for each other

TEST(SimtFault, ThreadsAtDifferentBarriers) {
  constexpr int line = __LINE__;
  const auto kernel = [] {
    if (threadIdx.x < 40)
      __syncthreads();  // line + 3
    else
      __syncthreads();  // line + 5
  };
  for (const std::uint64_t seed : {0u, 1u, 2u})
    EXPECT_THAT(fault({64}, kernel, seed),
                AllOf(HasSubstr("different barriers"), HasSubstr(at(line + 3)), HasSubstr(at(line + 5))));
}

TEST(SimtFault, ABarrierThatSomeNeverReach) {
  constexpr int line = __LINE__;
  const auto kernel = [] {
    if (threadIdx.x % 2 == 0)
      __syncthreads();  // line + 3
    else
      __shfl_xor_sync(~0u, 1, 1);  // line + 5
  };
  for (const std::uint64_t seed : {0u, 1u, 2u})
    EXPECT_THAT(
        fault({32}, kernel, seed),
        AllOf(HasSubstr("wait for each other"), HasSubstr("16 at the barrier at"), HasSubstr(at(line + 3)),
              HasSubstr("lanes 0xaaaaaaaa of warp 0 at __shfl_xor_sync"), HasSubstr(at(line + 5))));
}

TEST(SimtFault, AShuffleThatALaneOfTheMaskNeverReaches) {
  constexpr int line = __LINE__;
  const auto kernel = [] {
    if (threadIdx.x < 8) __shfl_sync(0xFFFFu, 1, 0);  // line + 2
    __syncthreads();                                  // line + 3
  };
  EXPECT_THAT(fault({32}, kernel), AllOf(HasSubstr("24 at the barrier at"), HasSubstr(at(line + 3)),
                                         HasSubstr("lanes 0x000000ff of warp 0 at __shfl_sync"),
                                         HasSubstr(at(line + 2)), HasSubstr("for the mask 0x0000ffff")));
}

TEST(SimtFault, LanesAtDifferentOperations) {
  constexpr int line = __LINE__;
  const auto kernel = [] {
    if (threadIdx.x < 16)
      __shfl_down_sync(~0u, 1, 1);  // line + 3
    else
      __ballot_sync(~0u, 1);  // line + 5
  };
  for (const std::uint64_t seed : {0u, 1u, 2u})
    EXPECT_THAT(fault({32}, kernel, seed),
                AllOf(HasSubstr("different operations"), HasSubstr("__shfl_down_sync"),
                      HasSubstr(at(line + 3)), HasSubstr("__ballot_sync"), HasSubstr(at(line + 5))));
}

TEST(SimtFault, ALaneOutsideItsOwnMask) {
  constexpr int line = __LINE__ + 1;
  const auto kernel = [] { __syncwarp(0x0000FFFFu); };
  EXPECT_THAT(fault({32}, kernel),
              AllOf(HasSubstr(at(line)), HasSubstr("lane 16"), HasSubstr("not in its own mask 0x0000ffff")));
}

TEST(SimtFault, AWidthThatIsNoPowerOfTwo) {
  constexpr int line = __LINE__ + 1;
  const auto kernel = [] { __shfl_sync(~0u, 1, 0, 12); };
  EXPECT_THAT(fault({32}, kernel), AllOf(HasSubstr(at(line)), HasSubstr("the width is 12")));
}

TEST(SimtFault, ATensorProductByPartOfAWarp) {
  float d[4]{};
  const unsigned a[4]{}, b[2]{};
  EXPECT_THAT(fault({16}, [&] { mma_m16n8k16_bf16(d, a, b); }), HasSubstr("not whole"));
}

TEST(Simt, ThreadsThatHaveEndedAreNotWaitedFor) {
  std::vector<float> got(64);
  std::atomic<int> passed{0};
  run({}, {}, {64}, [&] {
    if (threadIdx.x % 4 == 3) return;
    got[threadIdx.x] = __shfl_down_sync(~0u, static_cast<float>(threadIdx.x), 1);
    __syncthreads();
    ++passed;
  });
  EXPECT_EQ(passed, 48);
  EXPECT_EQ(got[1], 2);
  EXPECT_TRUE(std::isnan(got[2])) << "what a lane that has ended would have given is undefined";
}

// -- Shared memory

TEST(SimtFault, AWriteBeyondASharedArray) {
  if (addresses_checked) GTEST_SKIP() << "AddressSanitizer is first: see its own test";
  constexpr int line = __LINE__;
  const auto kernel = [](int where) {
    SHARED_ARRAY(float, first, 10);  // line + 2
    SHARED_ARRAY(float, second, 3);
    first[0] = second[0] = 0;
    volatile float* const beyond = first;
    beyond[where] = 0;
  };
  EXPECT_THAT(fault({1}, std::bind_front(kernel, 10)),
              AllOf(HasSubstr(at(line + 2)), HasSubstr("shared array 'first' of 40 bytes"),
                    HasSubstr("beyond its end, at byte 40")));
  EXPECT_THAT(fault({1}, std::bind_front(kernel, -1)),
              AllOf(HasSubstr(at(line + 2)), HasSubstr("before its beginning, at byte -4")));
  EXPECT_EQ(fault({1}, std::bind_front(kernel, 9)), "");

  const auto dynamic = [] {
    DYNAMIC_SHARED(float, values);
    volatile float* const beyond = values;
    beyond[25] = 0;
  };
  EXPECT_THAT(fault({1}, dynamic, 0, 100),
              AllOf(HasSubstr("dynamic shared memory of 100 bytes"), HasSubstr("at byte 100")));
  EXPECT_EQ(fault({1}, dynamic, 0, 104), "");
}

TEST(SimtFault, MoreStaticSharedMemoryThanThereIs) {
  constexpr int line = __LINE__;
  const auto kernel = [] {
    SHARED_ARRAY(float, most, 12 * 1024);
    SHARED_ARRAY(char, one, 1);  // line + 3
    one[0] = 0;
    most[0] = 0;
  };
  EXPECT_THAT(fault({1}, kernel), AllOf(HasSubstr(at(line + 3)),
                                        HasSubstr("49153 bytes of static shared memory, allowed: 49152")));
  const auto half = [] {
    SHARED_ARRAY(float, most, 6 * 1024);
    most[0] = 0;
  };
  EXPECT_EQ(fault({1}, half), "");
  EXPECT_THAT(fault({1}, half, 0, shared_max - 24 * 1024 + 1),
              HasSubstr("bytes of shared memory, allowed: 232448"));
  EXPECT_EQ(fault({1}, half, 0, shared_max - 24 * 1024), "");
}

TEST(Simt, SharedMemoryBeginsAsNaNInEachBlock) {
  constexpr unsigned blocks = 3;
  std::vector<float> found(blocks * 2);
  run(
      {}, {blocks}, {32},
      [&] {
        SHARED_ARRAY(float, still, 32);
        DYNAMIC_SHARED(float, moving);
        if (threadIdx.x == 31) {
          found[2 * blockIdx.x] = still[5];
          found[2 * blockIdx.x + 1] = moving[5];
        }
        __syncthreads();
        still[threadIdx.x] = moving[threadIdx.x] = 1;
      },
      32 * sizeof(float));
  for (const float value : found) EXPECT_TRUE(std::isnan(value));
}

template <int n>
__device__ float* array_of() {
  SHARED_ARRAY(float, values, n);
  return values;
}

TEST(Simt, EachSiteAndInstanceHasItsArray) {
  float* found[3][3]{};
  run({}, {}, {3}, [&] {
    SHARED_ARRAY(float, here, 4);
    found[threadIdx.x][0] = here;
    found[threadIdx.x][1] = array_of<4>();
    found[threadIdx.x][2] = array_of<5>();
  });
  for (int thread = 1; thread < 3; ++thread)
    for (int array = 0; array < 3; ++array) EXPECT_EQ(found[thread][array], found[0][array]);
  EXPECT_EQ(std::set<float*>(found[0], found[0] + 3).size(), 3u);
}

// -- Asynchronous copies

/// How many of 32 floats arrived.
int arrived(std::uint64_t seed, const std::function<void()>& wait) {
  alignas(16) float from[32];
  std::fill(from, from + 32, 1.0f);
  std::atomic<int> count{0};
  run({.seed = seed}, {}, {8}, [&] {
    SHARED_ARRAY(float4, to, 8);
    cp_async_16(&to[threadIdx.x], from + 4 * threadIdx.x);
    wait();
    const float4 got = to[threadIdx.x];
    count += (got.x == 1) + (got.y == 1) + (got.z == 1) + (got.w == 1);
  });
  return count;
}

TEST(SimtCopies, ArriveWhenTheyAreWaitedFor) {
  const auto committed = [] {
    cp_async_commit();
    cp_async_wait<0>();
  };
  EXPECT_EQ(arrived(0, committed), 32);
  EXPECT_EQ(arrived(1, committed), 32);
  const std::vector<std::function<void()>> wrong{[] {}, [] { cp_async_commit(); }, [] { cp_async_wait<0>(); },
                                                 [] {
                                                   cp_async_commit();
                                                   cp_async_wait<1>();
                                                 }};
  for (const auto& wait : wrong) {
    EXPECT_EQ(arrived(0, wait), 0);
    EXPECT_LT(arrived(1, wait), 32) << "some may be early";
    EXPECT_GT(arrived(1, wait), 0);
  }
}

TEST(SimtFault, CopiesOfWhatIsNotAlignedOrNotShared) {
  alignas(16) float memory[8]{};
  const auto misaligned = [&] {
    SHARED_ARRAY(float4, to, 1);
    cp_async_16(to, memory + 1);
  };
  EXPECT_THAT(fault({1}, misaligned), HasSubstr("multiples of 16"));
  EXPECT_THAT(fault({1}, [&] { cp_async_16(memory, memory); }), HasSubstr("not into shared memory"));
  const auto too_far = [&] {
    SHARED_ARRAY(float4, to, 1);
    cp_async_16(to + 1, memory);
  };
  EXPECT_THAT(fault({1}, too_far), HasSubstr("not into shared memory"));
}

// -- Failing, and going on

struct Counted {
  explicit Counted(std::atomic<int>& count) : count(count) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::atomic<int>& count;
};

TEST(Simt, AnExceptionInAKernelReachesTheCallerAndUnwindsEveryThread) {
  for (const std::uint64_t seed : {0u, 5u})
    for (const unsigned workers : {1u, 3u}) {
      std::atomic<int> alive{0}, begun{0};
      const auto kernel = [&] {
        const Counted counted(alive);
        ++begun;
        __syncthreads();
        if (blockIdx.x == 2 && threadIdx.x == 17) throw std::out_of_range("thread 17");
        __syncthreads();
      };
      EXPECT_THROW(run({.workers = workers, .seed = seed}, {6}, {64}, kernel), std::out_of_range);
      EXPECT_GE(begun, 64);
      EXPECT_EQ(alive, 0);
      alive = 0;
      const auto divergent = [&] {
        const Counted counted(alive);
        if (threadIdx.x > 3) __syncthreads();
        if (threadIdx.x <= 3) __syncthreads();
      };
      EXPECT_THROW(run({.seed = seed}, {}, {64}, divergent), KernelError);
      EXPECT_EQ(alive, 0);
    }
  // And the next launch finds everything in order.
  int sum = 0;
  run({}, {}, {64}, [&] {
    __syncthreads();
    atomicAdd(&sum, __shfl_xor_sync(~0u, 1, 5));
  });
  EXPECT_EQ(sum, 64);
}

TEST(Simt, LaunchesThatNoGpuAllowsAreRefused) {
  const auto nothing = [] {};
  const auto refused = [&](const Extent& grid, const Extent& block, std::size_t shared = 0) {
    try {
      run({}, grid, block, nothing, shared);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(refused({}, {1025}), HasSubstr("block.x: found 1025, allowed: 1 to 1024"));
  EXPECT_THAT(refused({}, {1, 1, 65}), HasSubstr("block.z: found 65, allowed: 1 to 64"));
  EXPECT_THAT(refused({}, {32, 33}), HasSubstr("threads of a block: found 1056"));
  EXPECT_THAT(refused({}, {0}), HasSubstr("block.x: found 0"));
  EXPECT_THAT(refused({0}, {1}), HasSubstr("grid.x: found 0"));
  EXPECT_THAT(refused({1, 65536}, {1}), HasSubstr("grid.y: found 65536"));
  EXPECT_THAT(refused({1, 1, 65536}, {1}), HasSubstr("grid.z: found 65536"));
  EXPECT_THAT(refused({std::uint64_t{1} << 31}, {1}), HasSubstr("grid.x: found 2147483648"));
  EXPECT_THAT(refused({}, {1}, shared_max + 1), HasSubstr("bytes of shared memory: found 232449"));
  EXPECT_EQ(refused({}, {1}, shared_max), "");
  EXPECT_EQ(refused({}, {32, 32}), "");
}

TEST(Simt, WhatBelongsToKernelsIsRefusedOutside) {
  EXPECT_THROW(__syncthreads(), std::logic_error);
  EXPECT_THROW(__shfl_sync(~0u, 1, 0), std::logic_error);
  EXPECT_THROW(run({}, {}, {1}, [] { run({}, {}, {1}, [] {}); }), std::logic_error);
}

TEST(Simt, KernelsRoundToNearestAndKeepDenormalsWhateverTheCaller) {
  constexpr unsigned zeroing = 0x8040;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | zeroing);
  volatile float denormal = 0;
  std::vector<float> halves(64);
  run({}, {2}, {32}, [&] {
    const volatile float smallest = 0x1p-126f;
    __syncthreads();
    halves[blockIdx.x * 32 + threadIdx.x] = smallest * 0.5f;
  });
  const volatile float smallest = 0x1p-126f;
  denormal = smallest * 0.5f;
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(denormal, 0) << "the caller's environment is back";
  EXPECT_EQ(after & zeroing, zeroing);
  for (const float half : halves) EXPECT_EQ(half, 0x1p-127f);
}

// -- Races. By ThreadSanitizer each is reported, with its lines; otherwise some seed gives a wrong result.

enum class Tile { right, no_barrier_before_use, no_barrier_before_reuse };

/// Sums a row of `tiles` tiles of 32 for each of 32 threads, each tile by way of shared memory.
std::vector<float> sum_tiles(Tile tile, std::uint64_t seed) {
  constexpr unsigned width = 32, tiles = 4;
  std::vector<float> values(width * tiles), sums(width);
  std::iota(values.begin(), values.end(), 0.0f);
  run({.seed = seed}, {}, {width}, [&] {
    SHARED_ARRAY(float, staged, width);
    float sum = 0;
    for (unsigned i = 0; i < tiles; ++i) {
      staged[threadIdx.x] = values[i * width + threadIdx.x];
      if (tile != Tile::no_barrier_before_use) __syncthreads();
      for (unsigned k = 0; k < width; ++k) sum += staged[k];
      if (tile != Tile::no_barrier_before_reuse) __syncthreads();
    }
    sums[threadIdx.x] = sum;
  });
  return sums;
}

const std::vector<float> tile_sums(32, 127.0f * 128 / 2);

TEST(SimtRaces, ARightKernelIsRightAndNotReported) {
  for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) EXPECT_EQ(sum_tiles(Tile::right, seed), tile_sums);
}

TEST(SimtRaces, AMissingBarrierIsAWrongResultOnSomeSeed) {
  if (races_checked) GTEST_SKIP() << "ThreadSanitizer is first: see its own tests";
  for (const Tile tile : {Tile::no_barrier_before_use, Tile::no_barrier_before_reuse}) {
    int wrong = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      const auto sums = sum_tiles(tile, seed);
      wrong += !std::equal(sums.begin(), sums.end(), tile_sums.begin());
    }
    EXPECT_GT(wrong, 0);
  }
}

// Each is run by a process of its own.
TEST(SimtRaces, DISABLED_NoBarrierBeforeUse) {
  sum_tiles(Tile::no_barrier_before_use, 0);
}
TEST(SimtRaces, DISABLED_NoBarrierBeforeReuse) {
  sum_tiles(Tile::no_barrier_before_reuse, 0);
}
TEST(SimtRaces, DISABLED_Right) {
  EXPECT_EQ(sum_tiles(Tile::right, 0), tile_sums);
}
template <class Between>
void pass_to_neighbour(const Between& between) {
  run({}, {}, {32}, [&] {
    SHARED_ARRAY(unsigned, passed, 32);
    passed[threadIdx.x] = threadIdx.x;
    between();
    EXPECT_EQ(passed[threadIdx.x ^ 1], threadIdx.x ^ 1);
  });
}
TEST(SimtRaces, DISABLED_AShuffleForABarrier) {
  pass_to_neighbour([] { __shfl_xor_sync(~0u, 1, 1); });
}
TEST(SimtRaces, DISABLED_RightByWarp) {
  pass_to_neighbour([] { __syncwarp(); });
}
TEST(SimtRaces, DISABLED_BlocksThatWriteTheSame) {
  unsigned last = 0;
  run({}, {2}, {1}, [&] { last = blockIdx.x; });
}
TEST(SimtRaces, DISABLED_RightByAtomics) {
  unsigned sum = 0;
  run({}, {20}, {64}, [&] { atomicAdd(&sum, 1u); });
  EXPECT_EQ(sum, 20u * 64);
  run({}, {20}, {64}, [&] { atomicAdd(&sum, 1u); });
  EXPECT_EQ(sum, 40u * 64);
}
TEST(SimtRaces, DISABLED_ACopyThatOthersReadWithNoBarrier) {
  alignas(16) float from[32]{};
  run({}, {}, {8}, [&] {
    SHARED_ARRAY(float4, to, 8);
    cp_async_16(&to[threadIdx.x], from + 4 * threadIdx.x);
    cp_async_commit();
    cp_async_wait<0>();
    EXPECT_EQ(to[threadIdx.x ^ 1].x, 0);
  });
}
TEST(SimtAddresses, DISABLED_AReadBeyondASharedArray) {
  run({}, {}, {32}, [] {
    SHARED_ARRAY(float, values, 32);
    values[threadIdx.x] = 1;
    __syncthreads();
    volatile const float* const beyond = values;
    EXPECT_NE(beyond[threadIdx.x + 1], 0);
  });
}
TEST(SimtAddresses, DISABLED_Right) {
  for (int round = 0; round < 3; ++round)
    run({.workers = 2}, {8}, {32}, [] {
      SHARED_ARRAY(float, values, 32);
      values[threadIdx.x] = 1;
      __syncthreads();
      EXPECT_EQ(values[31 - threadIdx.x], 1);
    });
}

int status_of(const std::string& test) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const int status = std::system(
      ("'" + program + "' --gtest_also_run_disabled_tests --gtest_filter=" + test + " >/dev/null 2>&1")
          .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr int reported = 66;  // cmake/lanner.cmake tells the sanitizers so

TEST(SimtRaces, ThreadSanitizerReportsThem) {
  if (!races_checked) GTEST_SKIP() << "for builds with -fsanitize=thread";
  EXPECT_EQ(status_of("SimtRaces.DISABLED_Right"), 0);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_RightByWarp"), 0);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_RightByAtomics"), 0);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_NoBarrierBeforeUse"), reported);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_NoBarrierBeforeReuse"), reported);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_AShuffleForABarrier"), reported);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_BlocksThatWriteTheSame"), reported);
  EXPECT_EQ(status_of("SimtRaces.DISABLED_ACopyThatOthersReadWithNoBarrier"), reported);
}

TEST(SimtAddresses, AddressSanitizerReportsThem) {
  if (!addresses_checked) GTEST_SKIP() << "for builds with -fsanitize=address";
  EXPECT_EQ(status_of("SimtAddresses.DISABLED_Right"), 0);
  EXPECT_EQ(status_of("SimtAddresses.DISABLED_AReadBeyondASharedArray"), reported);
}

}  // namespace
}  // namespace lanner::simt
