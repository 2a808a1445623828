// Sorting gives the bits of a plain comparison sort, on every backend; on a GPU it is the GPU that sorts.
#include "kernels/sort/sort.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/device/error.hpp"
#include "kernels/sort/sort_key.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::sort {
namespace {

using Bits = std::vector<std::uint32_t>;

Bits bits_of(std::span<const float> values) {
  Bits bits;
  for (float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

bool before(float a, float b) {
  return a < b || (a == b && std::signbit(a) && !std::signbit(b));
}

Bits expected(std::vector<float> values) {
  std::sort(values.begin(), values.end(), before);
  return bits_of(values);
}

std::vector<float> random_values(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values;
  while (values.size() < count) {  // any bits that are a finite float
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(generator()));
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

std::vector<std::vector<float>> lists() {
  using Limits = std::numeric_limits<float>;
  const std::vector<float> awkward = {0.0f,
                                      -0.0f,
                                      1.0f,
                                      -1.0f,
                                      Limits::denorm_min(),
                                      -Limits::denorm_min(),
                                      Limits::min(),
                                      -Limits::min(),
                                      Limits::max(),
                                      Limits::lowest(),
                                      std::nextafter(1.0f, 2.0f),
                                      0.0f,
                                      -0.0f};
  std::vector<std::vector<float>> lists = {{}, {-3}, {2, 1}, {-0.0f, 0.0f}, {0.0f, -0.0f}, awkward};
  lists.emplace_back(1000, 7.5f);
  for (const std::size_t count : {100u, 127u, 128u, 129u, 257u, 5000u, 70'001u, 600'000u})
    lists.push_back(random_values(count, static_cast<std::uint32_t>(count)));
  std::mt19937 generator(3);
  auto& repeated = lists.emplace_back();
  for (int i = 0; i < 3000; ++i) repeated.push_back(awkward[generator() % awkward.size()]);
  auto& rising = lists.emplace_back();
  for (int i = 0; i < 3000; ++i) rising.push_back(static_cast<float>(i) - 1500);
  lists.emplace_back(rising.rbegin(), rising.rend());
  return lists;
}

std::vector<std::shared_ptr<Device>> devices() {
  std::vector<std::shared_ptr<Device>> devices = tests::gpus();
  devices.push_back(Device::cpu({.threads = 1}));
  devices.push_back(Device::cpu({.threads = 3}));
  return devices;
}

TEST(SortKey, StandsForEveryFloat) {
  for (const std::vector<float>& list : lists())
    for (float value : list)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(value_of(key_of(value))), std::bit_cast<std::uint32_t>(value));
  EXPECT_EQ(key_of(-0.0f) + 1, key_of(0.0f));
  EXPECT_EQ(key_of(std::numeric_limits<float>::infinity()), 0xff800000u);
}

TEST(SortGpu, ListsComeOutAscending) {
  for (const auto& device : devices())
    for (std::vector<float> list : lists()) {
      const Bits wanted = expected(list);
      sort_ascending(*device, list);
      ASSERT_EQ(bits_of(list), wanted) << device->description() << ", " << list.size() << " values";
    }
}

TEST(SortGpu, ColumnsComeOutAscendingAndInTurn) {
  for (const auto& device : devices())
    for (const std::size_t width : {1u, 2u, 15u, 16u, 17u, 33u, 1555u})
      for (const std::size_t count : {1u, 2u, 15u, 17u, 333u}) {
        const std::size_t stride = width + 3;
        std::vector<float> values =
            random_values(count * stride, static_cast<std::uint32_t>(width * 1000 + count));
        for (std::size_t i = 0; i < values.size(); i += 5) values[i] = i % 2 ? 0.0f : -0.0f;
        const Rows rows{values.data(), count, width, stride};
        std::size_t next = 0;
        sort_columns(*device, rows, [&](std::size_t column, std::span<const float> ascending) {
          ASSERT_EQ(column, next++);
          std::vector<float> of_column;
          for (std::size_t i = 0; i < count; ++i) of_column.push_back(rows.row(i)[column]);
          ASSERT_EQ(bits_of(ascending), expected(of_column)) << device->description() << ", column " << column
                                                             << " of " << width << ", " << count << " rows";
        });
        ASSERT_EQ(next, width);
      }
}

TEST(Sort, NoRowsHaveNoColumns) {
  for (const Rows rows : {Rows{nullptr, 0, 4, 4}, Rows{nullptr, 4, 0, 0}})
    sort_columns(*Device::cpu(), rows, [](std::size_t, std::span<const float>) { FAIL(); });
}

TEST(Sort, WhatUseThrowsIsPassedOn) {
  const std::vector<float> values(40, 1.0f);
  for (const auto& device : {Device::cpu(), make_emulated_device()}) {
    int calls = 0;
    const auto use = [&](std::size_t column, std::span<const float>) {
      ++calls;
      if (column == 17) throw std::runtime_error("enough");
    };
    EXPECT_THROW(sort_columns(*device, {values.data(), 2, 20, 20}, use), std::runtime_error);
    EXPECT_EQ(calls, 18);
  }
}

// A CPU path in disguise would give the right order on a GPU that is perturbed.
TEST(Sort, AGpuSortsByItself) {
  const std::vector<float> values = {3, 1, 2};
  const auto device = make_emulated_device({.perturb = true});
  std::vector<float> sorted = values;
  sort_ascending(*device, sorted);
  EXPECT_NE(bits_of(sorted), expected(values));
  sort_columns(*device, {values.data(), 3, 1, 1}, [&](std::size_t, std::span<const float> ascending) {
    EXPECT_NE(bits_of(ascending), expected(values));
  });
}

TEST(Sort, EveryFailureOfAGpuIsSaid) {
  const std::vector<float> values = random_values(400, 1);
  const Rows rows{values.data(), 20, 20, 20};
  const auto nothing = [](std::size_t, std::span<const float>) {};
  const auto whole = make_emulated_device();
  sort_columns(*whole, rows, nothing);
  const std::uint64_t calls = emulated_calls(*whole);
  std::uint64_t said = 0;
  for (std::uint64_t call = 1; call <= calls; ++call) {
    const auto failing = make_emulated_device({.fail_at = call});
    try {
      sort_columns(*failing, rows, nothing);
    } catch (const DeviceError& error) {
      ++said;
      EXPECT_FALSE(error.lost());
    }
  }
  EXPECT_EQ(said, calls - 2) << "all but the two pieces of memory that are given back";
  const auto small = make_emulated_device({.memory_bytes = 1024});
  EXPECT_THROW(sort_columns(*small, rows, nothing), DeviceError);
}

}  // namespace
}  // namespace lanner::sort
