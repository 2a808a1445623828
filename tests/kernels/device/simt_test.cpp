// What kernels may use of CUDA, on every GPU there is: emulated ones and a real one.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "kernels/device/gpu.hpp"
#include "tests/kernels/device/simt_kernels.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::simt_kernels {
namespace {

using tests::OnDevice;

const Kernels& kernels_of([[maybe_unused]] const Device& device) {
  return LANNER_ON_GPU(device, kernels);
}

class Simt : public testing::TestWithParam<std::size_t> {
 public:
  static const std::vector<std::shared_ptr<Device>>& devices() {
    static const auto all = tests::gpus();
    return all;
  }

 protected:
  Device& device = *devices()[GetParam()];
  const Kernels& kernels = kernels_of(device);
  Stream stream = device.stream();
};

TEST_P(Simt, ThreadsKnowWhereTheyAre) {
  OnDevice<unsigned> out(device, 12 * 60 * 6);
  kernels.positions(stream, out.data());
  const auto found = out.read(stream);
  std::size_t at = 0;
  for (unsigned bz = 0; bz < 2; ++bz)
    for (unsigned by = 0; by < 3; ++by)
      for (unsigned bx = 0; bx < 2; ++bx)
        for (unsigned z = 0; z < 3; ++z)
          for (unsigned y = 0; y < 4; ++y)
            for (unsigned x = 0; x < 5; ++x)
              for (const unsigned expected : {bx, by, bz, x, y, z}) ASSERT_EQ(found[at++], expected);
}

// By the rule of the PTX ISA, from its bounds and segment masks rather than from what ours are made of.
unsigned source_lane(Shuffle kind, unsigned lane, unsigned operand, unsigned width) {
  const unsigned clamp = kind == Shuffle::up ? 0 : 31, segment = 32 - width, by = operand & 31;
  const unsigned last = (lane & segment) | (clamp & ~segment), first = lane & segment;
  unsigned source = 0;
  bool in_range = false;
  switch (kind) {
    case Shuffle::up:
      source = lane - by;
      in_range = static_cast<int>(source) >= static_cast<int>(last);
      break;
    case Shuffle::down:
      source = lane + by;
      in_range = source <= last;
      break;
    case Shuffle::by_xor:
      source = lane ^ by;
      in_range = source <= last;
      break;
    case Shuffle::index:
      source = first | (by & ~segment);
      in_range = source <= last;
      break;
  }
  return in_range ? source : lane;
}

template <class T>
void check_shuffles(Device& device, Stream& stream, Kernels::ShuffleOf<T> shuffle) {
  OnDevice<T> out(device, 64);
  for (const Shuffle kind : {Shuffle::index, Shuffle::up, Shuffle::down, Shuffle::by_xor})
    for (const unsigned width : {1u, 2u, 4u, 8u, 16u, 32u})
      for (const unsigned operand : {0u, 1u, 3u, 8u, 17u, 31u, 32u, 35u}) {
        shuffle(stream, kind, operand, static_cast<int>(width), out.data());
        const auto found = out.read(stream);
        for (unsigned i = 0; i < 64; ++i)
          ASSERT_EQ(found[i], static_cast<T>(1000 + i / 32 * 32 + source_lane(kind, i % 32, operand, width)))
              << "kind " << static_cast<int>(kind) << ", width " << width << ", operand " << operand
              << ", thread " << i;
      }
}

TEST_P(Simt, ShufflesOfEveryWidthAndType) {
  check_shuffles(device, stream, kernels.shuffle_int);
  check_shuffles(device, stream, kernels.shuffle_float);
  check_shuffles(device, stream, kernels.shuffle_long);
  check_shuffles(device, stream, kernels.shuffle_double);
}

TEST_P(Simt, VotesOfAWarp) {
  OnDevice<unsigned> out(device, 64 * 3);
  for (const unsigned votes : {0u, 1u, 0x80000000u, 0x55555555u, 0x12345678u, 0xFFFFFFFFu})
    for (const bool apart : {false, true}) {
      kernels.votes(stream, votes, apart, out.data());
      const auto found = out.read(stream);
      for (unsigned i = 0; i < 64; ++i) {
        const unsigned mask = !apart ? ~0u : i % 2 == 0 ? 0x55555555u : 0xAAAAAAAAu;
        ASSERT_EQ(found[3 * i], votes & mask);
        ASSERT_EQ(found[3 * i + 1] != 0, (votes & mask) != 0);
        ASSERT_EQ(found[3 * i + 2] != 0, (votes & mask) == mask);
      }
    }
}

TEST_P(Simt, VotesOfABlock) {
  for (const unsigned threads : {1u, 33u, 1024u})
    for (const unsigned yes : {0u, 1u, threads - 1, threads}) {
      OnDevice<int> out(device, threads * 3);
      kernels.block_votes(stream, threads, yes, out.data());
      const auto found = out.read(stream);
      for (unsigned i = 0; i < threads; ++i) {
        ASSERT_EQ(found[3 * i], static_cast<int>(yes));
        ASSERT_EQ(found[3 * i + 1] != 0, yes == threads);
        ASSERT_EQ(found[3 * i + 2] != 0, yes > 0);
      }
    }
}

std::vector<float> numbered(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

TEST_P(Simt, StaticSharedMemory) {
  const unsigned blocks = 5;
  OnDevice<float> values(device, numbered(blocks * 256));
  kernels.reverse_static(stream, blocks, values.data());
  const auto found = values.read(stream);
  for (unsigned i = 0; i < found.size(); ++i)
    ASSERT_EQ(found[i], static_cast<float>(i / 256 * 256 + 255 - i % 256));

  OnDevice<float> both(device, 2 * 33 * 32);
  kernels.transpose(stream, both.data());
  const auto matrices = both.read(stream);
  for (unsigned row = 0; row < 32; ++row)
    for (unsigned column = 0; column < 33; ++column) {
      ASSERT_EQ(matrices[row * 33 + column], static_cast<float>(row * 33 + column));
      ASSERT_EQ(matrices[33 * 32 + column * 32 + row], static_cast<float>(row * 33 + column));
    }
}

TEST_P(Simt, DynamicSharedMemoryAlsoBeyond48KiB) {
  for (const unsigned count : {1u, 1000u, 40u * 1024u}) {
    OnDevice<float> values(device, numbered(count));
    kernels.reverse_dynamic(stream, count, values.data());
    const auto found = values.read(stream);
    for (unsigned i = 0; i < count; ++i) ASSERT_EQ(found[i], static_cast<float>(count - 1 - i));
  }
}

TEST_P(Simt, Atomics) {
  const Kernels::Atomics zero{};
  OnDevice<Kernels::Atomics> out(device, std::span(&zero, 1));
  kernels.atomics(stream, out.data());
  const Kernels::Atomics found = out.read(stream)[0];
  constexpr unsigned sum = 1023 * 512;
  EXPECT_EQ(found.sum_int, -static_cast<int>(sum));
  EXPECT_EQ(found.sum_unsigned, sum);
  EXPECT_EQ(found.sum_long, std::uint64_t{sum} << 32);
  EXPECT_EQ(found.sum_float, sum);
  EXPECT_EQ(found.sum_double, sum / 2.0);
  EXPECT_EQ(found.shared_count, 342u);
  EXPECT_EQ(found.lowest, 7 - 1023);
  EXPECT_EQ(found.highest, 7 + 1023);
  EXPECT_EQ(found.bits, (1u << 20) - 1);
  EXPECT_GE(found.claim, 1u);
  EXPECT_LE(found.claim, 1024u);
  EXPECT_EQ(found.claimed, 1u);
  EXPECT_EQ(found.exchanged + found.slot, sum + 1024);
}

TEST_P(Simt, TheLastBlockSeesWhatAllHaveWritten) {
  const unsigned blocks = 40;
  OnDevice<unsigned> partial(device, blocks), total(device, 1), count(device, std::vector<unsigned>{0});
  kernels.last_block_sums(stream, blocks, partial.data(), count.data(), total.data());
  EXPECT_EQ(total.read(stream)[0], blocks * (blocks + 1) / 2);
}

TEST_P(Simt, AsynchronousCopies) {
  for (const unsigned tiles : {1u, 2u, 7u}) {
    OnDevice<float> in(device, numbered(tiles * 128)), out(device, tiles * 128);
    kernels.copies(stream, tiles, in.data(), out.data());
    const auto found = out.read(stream);
    for (unsigned i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], 2.0f * static_cast<float>(i));
  }
}

float from_bf16(std::uint16_t x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16);
}

struct Product {
  std::vector<std::uint16_t> a, b;
  std::vector<float> d;

  template <class Draw>
  explicit Product(const Draw& draw) : a(16 * 16), b(16 * 8), d(16 * 8) {
    const auto bf16 = [&] { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(draw()) >> 16); };
    for (auto& x : a) x = bf16();
    for (auto& x : b) x = bf16();
    for (auto& x : d) x = draw();
  }
  float left(unsigned row, unsigned k) const { return from_bf16(a[row * 16 + k]); }
  float right(unsigned k, unsigned column) const { return from_bf16(b[column * 16 + k]); }
  std::vector<float> on(Device& device, Stream& stream, const Kernels& kernels) const {
    OnDevice<std::uint16_t> device_a(device, std::span(a)), device_b(device, std::span(b));
    OnDevice<float> device_d(device, std::span(d));
    kernels.multiply(stream, device_a.data(), device_b.data(), device_d.data());
    return device_d.read(stream);
  }
};

TEST_P(Simt, TensorProductsOfSmallWholeNumbersAreExact) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> small(-100, 100);
  for (int round = 0; round < 20; ++round) {
    const Product product([&] { return static_cast<float>(small(random)); });
    const auto found = product.on(device, stream, kernels);
    for (unsigned row = 0; row < 16; ++row)
      for (unsigned column = 0; column < 8; ++column) {
        float expected = product.d[row * 8 + column];
        for (unsigned k = 0; k < 16; ++k) expected += product.left(row, k) * product.right(k, column);
        ASSERT_EQ(found[row * 8 + column], expected) << "row " << row << ", column " << column;
      }
  }
}

TEST_P(Simt, TensorProductsKeepTheBoundOfTruncatedSums) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-20, 20);
  for (int round = 0; round < 50; ++round) {
    const Product product([&] { return std::ldexp(normal(random), round % 2 ? exponent(random) : 0); });
    const auto found = product.on(device, stream, kernels);
    for (unsigned row = 0; row < 16; ++row)
      for (unsigned column = 0; column < 8; ++column) {
        long double expected = product.d[row * 8 + column], size = std::fabs(expected);
        for (unsigned k = 0; k < 16; ++k) {
          const long double term = static_cast<long double>(product.left(row, k)) * product.right(k, column);
          expected += term;
          size += std::fabs(term);
        }
        ASSERT_LE(std::fabs(found[row * 8 + column] - expected), size * 32 * 0x1p-23L);
      }
  }
}

TEST_P(Simt, Intrinsics) {
  OnDevice<std::uint64_t> out(device, intrinsics_count);
  kernels.intrinsics(stream, out.data());
  const auto found = out.read(stream);
  const auto of_int = [](int value) { return std::uint64_t{static_cast<unsigned>(value)}; };
  const auto of_float = [](float value) { return std::uint64_t{std::bit_cast<std::uint32_t>(value)}; };
  const auto of_double = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  constexpr float pi = 0x1.921fb6p+1f;
  constexpr double pi_double = 0x1.921fb54442d18p+1;
  const std::uint64_t expected[intrinsics_count] = {
      8,
      16,
      32,
      8,
      63,
      0,
      7,
      41,
      0xA0000000u,
      0xFFFFFFFEu,
      0xFFFFFFFFFFFFFFFEu,  // 10
      0xC0400000u,
      of_float(pi),
      of_float(-pi),
      of_double(pi_double),
      0x400A0000u,
      0x9999999Au,
      of_double(pi_double),
      of_float(-0x1p-46f),
      of_double(0x1p-54),
      0x3EAAAAABu,  // 20
      0x3EAAAAABu,
      0x3FDDB3D7u,
      0x3FD5555555555555u,
      0x3FFBB67AE8584CAAu,
      of_int(2),
      of_int(4),
      of_int(-2),
      of_int(-3),
      of_int(-2),
      0x7FFFFFFFu,  // 30
      0x80000000u,
      0,
      0,
      2,
      static_cast<std::uint64_t>(-2),
      of_float(4294967296.0f),
      of_float(0.1f),
      of_float(3),
      of_float(3),
  };
  for (std::size_t i = 0; i < intrinsics_count; ++i) EXPECT_EQ(found[i], expected[i]) << "number " << i;
}

INSTANTIATE_TEST_SUITE_P(Gpus, Simt, testing::Range(std::size_t{0}, Simt::devices().size()));

// What the emulated tensor cores do is known to the bit, or known to differ.
TEST(SimtProducts, SumsInOrderUnlessTheyTruncate) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const Product product([&] { return normal(random); });
  const auto on = [&](const EmulatedOptions& options) {
    const auto device = make_emulated_device(options);
    Stream stream = device->stream();
    return product.on(*device, stream, kernels_of(*device));
  };
  std::vector<float> in_order(16 * 8);
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned column = 0; column < 8; ++column) {
      float sum = product.d[row * 8 + column];
      for (unsigned k = 0; k < 16; ++k) sum += product.left(row, k) * product.right(k, column);
      in_order[row * 8 + column] = sum;
    }
  EXPECT_EQ(on({}), in_order);
  EXPECT_EQ(on({.seed = 7}), in_order);
  const auto truncated = on({.seed = 7, .truncating_products = true});
  EXPECT_NE(truncated, in_order);
  EXPECT_EQ(on({.seed = 7, .truncating_products = true}), truncated);
  EXPECT_NE(on({.seed = 8, .truncating_products = true}), truncated);
}

}  // namespace
}  // namespace lanner::simt_kernels
