#include "kernels/density/kernel_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/density/kernel_sum_formula.hpp"
#include "kernels/density/kernel_sum_gpu.hpp"
#include "tests/kernels/density/rows_of.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::density {
namespace {

constexpr float largest = std::numeric_limits<float>::max();

struct Matrix {
  std::size_t count = 0, width = 0;
  std::vector<float> values;
  Rows rows() const { return {values.data(), count, width, width}; }
};

using Draw = std::function<float(std::mt19937&, std::size_t row, std::size_t feature)>;

Matrix matrix(std::size_t count, std::size_t width, unsigned seed, const Draw& draw) {
  std::mt19937 random(seed);
  Matrix m{count, width, {}};
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < width; ++j) m.values.push_back(draw(random, i, j));
  return m;
}

float gaussian(std::mt19937& random, std::size_t, std::size_t) {
  return std::normal_distribution<float>()(random);
}

// Clusters so far apart that most blocks are dropped.
Draw clusters(std::size_t number) {
  return [number](std::mt19937& random, std::size_t i, std::size_t j) {
    return static_cast<float>(i % number * 17 % 31) * 3.0f * static_cast<float>(j % 3 + 1) +
           std::normal_distribution<float>()(random);
  };
}

struct Case {
  std::string name;
  Matrix references, queries;
  double bandwidth;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](std::string name, std::size_t n, std::size_t m, std::size_t d, double h,
                       const Draw& draw) {
    all.push_back({std::move(name), matrix(n, d, 1, draw), matrix(m, d, 2, draw), h});
  };
  add("one reference", 1, 5, 3, 1.0, gaussian);
  add("one feature", 700, 70, 1, 0.1, gaussian);
  add("a full block", 256, 13, 5, 0.5, gaussian);
  add("a block and a row", 257, 13, 5, 0.5, gaussian);
  add("many blocks", 5000, 130, 8, 0.3, gaussian);
  add("wide bandwidth", 3000, 61, 7, 30.0, gaussian);
  add("narrow bandwidth", 3000, 61, 7, 1e-3, gaussian);
  add("clusters", 6000, 200, 6, 0.5, clusters(20));
  add("far apart clusters", 6000, 200, 32, 0.2, clusters(11));
  add("wide rows", 300, 7, 1555, 5.0, gaussian);
  add("duplicates", 4000, 100, 2, 0.4,
      [](std::mt19937& random, std::size_t, std::size_t) { return static_cast<float>(random() % 20); });
  add("one row many times", 1000, 3, 4, 1.0, [](std::mt19937&, std::size_t, std::size_t) { return 2.5f; });
  add("constant columns", 900, 50, 9, 0.5, [](std::mt19937& random, std::size_t, std::size_t j) {
    return j % 3 ? 7.0f : std::normal_distribution<float>()(random);
  });
  add("denormals", 600, 50, 4, 1e-42, [](std::mt19937& random, std::size_t, std::size_t) {
    return 1e-44f * static_cast<float>(random() % 100);
  });
  add("huge values", 600, 50, 4, 1.0, [](std::mt19937& random, std::size_t, std::size_t) {
    return std::uniform_real_distribution<float>(-1e38f, 1e38f)(random);
  });
  add("the largest values", 600, 50, 3, 1e38,
      [](std::mt19937& random, std::size_t, std::size_t) { return random() % 2 ? largest : -largest; });
  add("huge bandwidth", 600, 50, 3, 1e300, gaussian);
  add("tiny bandwidth", 600, 50, 3, 1e-300, gaussian);
  add("all scales", 2000, 60, 5, 1.0, [](std::mt19937& random, std::size_t, std::size_t) {
    return std::ldexp(std::normal_distribution<float>()(random), static_cast<int>(random() % 200) - 100);
  });
  // Queries among the references too, so that self has something to leave out.
  for (Case& c : all) {
    const std::size_t own = std::min<std::size_t>(c.references.count, 20);
    c.queries.values.insert(
        c.queries.values.end(), c.references.values.begin(),
        c.references.values.begin() + static_cast<std::ptrdiff_t>(own * c.references.width));
    c.queries.count += own;
  }
  return all;
}

using tests::OnDevice;
using tests::RowsOf;

std::vector<double> log_sums(Device& device, const ResidentKernelSum& resident, Rows queries,
                             const std::vector<std::uint32_t>& self = {}) {
  const RowsOf rows(device, queries);
  OnDevice<std::uint32_t> selves(device, std::span(self));
  OnDevice<std::byte> workspace(device, resident.workspace_bytes(queries.count));
  OnDevice<double> out(device, queries.count);
  Stream stream = device.stream();
  log_kernel_sum(stream, resident, rows.view(), selves.span(), workspace.span(), out.span());
  return out.read(stream);
}

std::vector<double> log_sums(Device& device, const nearest::ReferenceSet& set, double bandwidth, Rows queries,
                             const std::vector<std::uint32_t>& self = {}) {
  return log_sums(device, *make_kernel_sum(device, set, bandwidth), queries, self);
}

constexpr double lowest = -3.25, log_rows = 7.5;

std::vector<float> scores(Device& device, const ResidentKernelSum& resident, Rows queries) {
  const RowsOf rows(device, queries);
  OnDevice<std::byte> workspace(device, resident.workspace_bytes(queries.count));
  OnDevice<float> out(device, queries.count);
  Stream stream = device.stream();
  negative_log_density(stream, resident, rows.view(), lowest, log_rows, workspace.span(), out.span());
  return out.read(stream);
}

std::vector<float> scores_from(const std::vector<double>& log_sums) {
  std::vector<float> scores;
  for (double log_sum : log_sums) scores.push_back(static_cast<float>(lowest + (log_rows - log_sum)));
  return scores;
}

std::vector<float> attractions(Device& device, const ResidentKernelSum& resident, Rows queries) {
  const RowsOf rows(device, queries);
  OnDevice<std::byte> workspace(device, resident.workspace_bytes(queries.count));
  OnDevice<float> out(device, queries.count * queries.width);
  Stream stream = device.stream();
  attraction(stream, resident, rows.view(), workspace.span(),
             {out.data(), queries.count, queries.width, queries.width});
  return out.read(stream);
}

std::vector<float> attractions(Device& device, const nearest::ReferenceSet& set, double bandwidth,
                               Rows queries) {
  return attractions(device, *make_kernel_sum(device, set, bandwidth), queries);
}

// The distinct row that each query is, for queries that repeat the first references at their end.
std::vector<std::uint32_t> selves(const Case& c, const nearest::ReferenceSet& set) {
  std::vector<std::uint32_t> self(c.queries.count, nearest::no_self);
  const auto of_row = nearest::distinct_of_rows(set);
  const std::size_t own = std::min<std::size_t>(c.references.count, 20);
  for (std::size_t i = 0; i < own; ++i) self[c.queries.count - own + i] = of_row[i];
  return self;
}

struct Exact {
  long double log_sum;
  long double largest;
  std::vector<long double> attraction;
};

Exact exact(const nearest::ReferenceSet& set, double bandwidth, const float* query, std::uint32_t self) {
  const long double scale = 1 / (2 * static_cast<long double>(bandwidth) * bandwidth);
  std::vector<long double> exponents, weights;
  std::vector<std::uint32_t> rows;
  for (std::uint32_t i = 0; i < set.distinct(); ++i) {
    const long double weight = set.weight[i] - (i == self ? 1.0L : 0.0L);
    if (weight == 0) continue;
    long double s = 0;
    for (std::size_t j = 0; j < set.width; ++j) {
      const long double d = static_cast<long double>(query[j]) - set.values[i * set.width + j];
      s += d * d;
    }
    exponents.push_back(-s * scale);
    weights.push_back(weight);
    rows.push_back(i);
  }
  Exact result{-INFINITY, -INFINITY, std::vector<long double>(set.width, 0.0L)};
  if (exponents.empty()) return result;
  result.largest = *std::max_element(exponents.begin(), exponents.end());
  long double total = 0;
  for (std::size_t i = 0; i < exponents.size(); ++i) {
    const long double term = weights[i] * expl(exponents[i] - result.largest);
    total += term;
    for (std::size_t j = 0; j < set.width; ++j) {
      const long double d = static_cast<long double>(query[j]) - set.values[rows[i] * set.width + j];
      result.attraction[j] += term * d * d * scale;
    }
  }
  for (long double& a : result.attraction) a /= total;
  result.log_sum = result.largest + logl(total);
  return result;
}

// What the float32 chain may lose of an exponent, twice over: d + 2 roundings of relative 2^-24.
long double allowed(const Exact& want, std::size_t width) {
  return 1e-5L + 2 * static_cast<long double>(width + 4) * 0x1p-24L * (std::fabs(want.largest) + 30);
}

TEST(KernelSum, IsWithinTheStatedErrorOfTheTrueSum) {
  const auto device = Device::cpu({available_cpu_tiers().back(), 1});
  for (const Case& c : cases()) {
    const auto set = nearest::distinct_rows(c.references.rows());
    const auto self = selves(c, set);
    const auto got = log_sums(*device, set, c.bandwidth, c.queries.rows(), self);
    const auto attracted = attractions(*device, set, c.bandwidth, c.queries.rows());
    for (std::size_t q = 0; q < got.size(); ++q) {
      ASSERT_TRUE(std::isfinite(got[q])) << c.name;
      const Exact want = exact(set, c.bandwidth, c.queries.rows().row(q), self[q]);
      if (std::isinf(want.log_sum)) {
        ASSERT_EQ(got[q], kernel_sum::nothing) << c.name;
      } else if (want.largest < -1e35L || c.bandwidth < 1e-30 || c.bandwidth == 1e38) {
        // Beyond float32's range the exponent saturates; it must stay far and finite.
        ASSERT_GE(got[q], -largest) << c.name;
      } else {
        ASSERT_NEAR(got[q], static_cast<double>(want.log_sum), static_cast<double>(allowed(want, set.width)))
            << c.name << ", query " << q;
      }
      const Exact with_self = exact(set, c.bandwidth, c.queries.rows().row(q), nearest::no_self);
      for (std::size_t j = 0; j < set.width; ++j) {
        const float a = attracted[q * set.width + j];
        ASSERT_TRUE(std::isfinite(a) && a >= 0) << c.name << ": " << a;
        if (with_self.largest < -1e5L || c.bandwidth < 1e-30 || c.bandwidth > 1e17) continue;
        const long double relative = 1e-5L + 2 * allowed(with_self, set.width);
        ASSERT_NEAR(a, static_cast<double>(with_self.attraction[j]),
                    static_cast<double>(relative * (with_self.attraction[j] + 1e-6L)))
            << c.name << ", query " << q << ", feature " << j;
      }
    }
  }
}

struct Expected {
  Case c;
  struct {
    nearest::ReferenceSet set;
    std::vector<std::uint32_t> self;
    std::vector<double> with_self, plain;
    std::vector<float> attraction;
  } answers;
};

// Once for all tiers: the reference is slow.
const std::vector<Expected>& by_the_reference() {
  static const std::vector<Expected> all = [] {
    const auto scalar = Device::cpu({CpuTier::scalar, 1});
    std::vector<Expected> expected;
    for (const Case& c : cases()) {
      const auto set = nearest::distinct_rows(c.references.rows());
      const auto self = selves(c, set);
      expected.push_back({c,
                          {set, self, log_sums(*scalar, set, c.bandwidth, c.queries.rows(), self),
                           log_sums(*scalar, set, c.bandwidth, c.queries.rows()),
                           attractions(*scalar, set, c.bandwidth, c.queries.rows())}});
    }
    return expected;
  }();
  return all;
}

class KernelSumOnEveryTier : public ::testing::TestWithParam<CpuTier> {};
INSTANTIATE_TEST_SUITE_P(Tiers, KernelSumOnEveryTier, ::testing::ValuesIn(available_cpu_tiers()),
                         [](const auto& tier) { return std::string(name(tier.param)); });

TEST_P(KernelSumOnEveryTier, HasTheReferencesBitsWhateverTheBatchAndTheThreads) {
  std::mt19937 random(5);
  for (const Expected& expected : by_the_reference()) {
    const Case& c = expected.c;
    const auto& [set, self, want, want_plain, want_attraction] = expected.answers;
    const Rows queries = c.queries.rows();
    for (unsigned threads : {1u, 3u}) {
      const auto device = Device::cpu({GetParam(), threads});
      ASSERT_EQ(log_sums(*device, set, c.bandwidth, queries, self), want) << c.name;
      ASSERT_EQ(log_sums(*device, set, c.bandwidth, queries), want_plain) << c.name;
      ASSERT_EQ(attractions(*device, set, c.bandwidth, queries), want_attraction) << c.name;
      ASSERT_EQ(scores(*device, *make_kernel_sum(*device, set, c.bandwidth), queries),
                scores_from(want_plain))
          << c.name;
      // Batches of one to thirteen: every size of register tile.
      for (std::size_t begin = 0, size = 1; begin < queries.count; begin += size, size = 1 + random() % 13) {
        const std::size_t end = std::min(queries.count, begin + size);
        const auto at = [](const auto& v, std::size_t i) {
          return v.begin() + static_cast<std::ptrdiff_t>(i);
        };
        const std::vector<std::uint32_t> own(at(self, begin), at(self, end));
        const std::vector<double> piece(at(want, begin), at(want, end));
        ASSERT_EQ(log_sums(*device, set, c.bandwidth, queries.slice(begin, end), own), piece) << c.name;
        if (begin > 40) break;
      }
    }
  }
}

TEST_P(KernelSumOnEveryTier, ReadsOnlyTheWidthOfStridedRows) {
  const auto device = Device::cpu({GetParam(), 2});
  const Matrix references = matrix(500, 5, 1, gaussian), queries = matrix(33, 5, 2, gaussian);
  const auto set = nearest::distinct_rows(references.rows());
  std::vector<float> spread((queries.count - 1) * 9 + 5, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < queries.count; ++i)
    std::copy_n(queries.rows().row(i), 5, spread.begin() + static_cast<std::ptrdiff_t>(i * 9));
  EXPECT_EQ(log_sums(*device, set, 0.7, {spread.data(), queries.count, 5, 9}),
            log_sums(*device, set, 0.7, queries.rows()));
}

TEST_P(KernelSumOnEveryTier, LeavingOutTheOnlyReferenceLeavesNothing) {
  const auto device = Device::cpu({GetParam(), 1});
  const std::vector<float> row{1.0f, 2.0f};
  const auto once = nearest::distinct_rows({row.data(), 1, 2, 2});
  EXPECT_EQ(log_sums(*device, once, 1.0, {row.data(), 1, 2, 2}, {0}),
            std::vector<double>{kernel_sum::nothing});
  EXPECT_EQ(log_sums(*device, once, 1.0, {row.data(), 1, 2, 2}, {nearest::no_self}),
            std::vector<double>{0.0});
  const std::vector<float> twice{1.0f, 2.0f, 1.0f, 2.0f, 1.0f, 2.0f};
  const auto set = nearest::distinct_rows({twice.data(), 3, 2, 2});
  EXPECT_NEAR(log_sums(*device, set, 1.0, {row.data(), 1, 2, 2}, {0})[0], std::log(2.0), 1e-15);
}

template <class T>
std::vector<T> part(const std::vector<T>& of, std::size_t begin, std::size_t end) {
  return {of.begin() + static_cast<std::ptrdiff_t>(begin), of.begin() + static_cast<std::ptrdiff_t>(end)};
}

TEST(KernelSumOnGpus, HasTheReferencesBits) {
  for (const auto& device : tests::gpus())
    for (const Expected& expected : by_the_reference()) {
      const Case& c = expected.c;
      const auto& [set, self, want, want_plain, want_attraction] = expected.answers;
      const Rows queries = c.queries.rows();
      const auto resident = make_kernel_sum(*device, set, c.bandwidth);
      const std::string where = c.name + " on " + device->description();
      ASSERT_EQ(log_sums(*device, *resident, queries, self), want) << where;
      ASSERT_EQ(scores(*device, *resident, queries), scores_from(want_plain)) << where;
      ASSERT_EQ(attractions(*device, *resident, queries), want_attraction) << where;
    }
}

TEST(KernelSumOnGpus, GivesTheSameBitsInBatchesOfAnySize) {
  std::mt19937 random(6);
  for (const auto& device : tests::gpus())
    for (const Expected& expected : by_the_reference()) {
      const Case& c = expected.c;
      if (c.references.width > 100) continue;
      const auto& [set, self, want, want_plain, want_attraction] = expected.answers;
      const auto resident = make_kernel_sum(*device, set, c.bandwidth);
      const std::size_t d = set.width, n = c.queries.count;
      for (std::size_t size : {1u, 2u, 15u, 16u, 17u}) {
        if (size > n) continue;
        const std::size_t begin = random() % (n - size + 1), end = begin + size;
        const Rows queries = c.queries.rows().slice(begin, end);
        ASSERT_EQ(log_sums(*device, *resident, queries, part(self, begin, end)), part(want, begin, end))
            << c.name;
        ASSERT_EQ(attractions(*device, *resident, queries), part(want_attraction, begin * d, end * d))
            << c.name;
      }
    }
}

// More queries than a block of threads looks through at a time, so that tiles are filled up from one look to
// the next.
TEST(KernelSumOnGpus, ManyQueriesFillTheirTiles) {
  const Matrix references = matrix(4500, 3, 7, clusters(9)), queries = matrix(700, 3, 8, clusters(9));
  const auto set = nearest::distinct_rows(references.rows());
  const auto scalar = Device::cpu({CpuTier::scalar, 1});
  const auto want = log_sums(*scalar, set, 0.3, queries.rows());
  const auto want_attraction = attractions(*scalar, set, 0.3, queries.rows());
  for (const auto& device : tests::gpus()) {
    ASSERT_EQ(log_sums(*device, set, 0.3, queries.rows()), want) << device->description();
    ASSERT_EQ(attractions(*device, set, 0.3, queries.rows()), want_attraction) << device->description();
  }
}

// A workspace for all queries may be too much to ask for.
TEST(KernelSumOnGpus, PassesDoNotChangeTheBits) {
  const auto device = make_emulated_device({.seed = 4});
  for (const Expected& expected : by_the_reference()) {
    const Case& c = expected.c;
    const auto& [set, self, want, want_plain, want_attraction] = expected.answers;
    if (c.references.width > 100 || c.queries.count < 70) continue;
    const Rows queries = c.queries.rows();
    const auto whole = make_kernel_sum(*device, set, c.bandwidth);
    const auto passes = emulated::make_kernel_sum(*device, set, c.bandwidth, 0x6000);
    EXPECT_LT(passes->workspace_bytes(queries.count), whole->workspace_bytes(queries.count));
    EXPECT_EQ(passes->workspace_bytes(queries.count), passes->workspace_bytes(10 * queries.count));
    ASSERT_EQ(log_sums(*device, *passes, queries, self), want) << c.name;
    ASSERT_EQ(scores(*device, *passes, queries), scores_from(want_plain)) << c.name;
    ASSERT_EQ(attractions(*device, *passes, queries), want_attraction) << c.name;
  }
}

// Workspaces are used again and again, for other batches and other models.
TEST(KernelSumOnGpus, WhatTheWorkspaceHeldDoesNotMatter) {
  const Matrix references = matrix(1500, 4, 1, clusters(9)), queries = matrix(50, 4, 2, clusters(9));
  const auto set = nearest::distinct_rows(references.rows());
  const auto scalar = Device::cpu({CpuTier::scalar, 1});
  const auto want = log_sums(*scalar, set, 0.3, queries.rows());
  const auto want_attraction = attractions(*scalar, set, 0.3, queries.rows());
  const auto device = make_emulated_device({.seed = 5});
  const auto resident = make_kernel_sum(*device, set, 0.3);
  const RowsOf rows(*device, queries.rows());
  OnDevice<std::byte> workspace(*device, resident->workspace_bytes(queries.count));
  OnDevice<double> sums(*device, queries.count);
  OnDevice<float> attracted(*device, queries.count * 4);
  Stream stream = device->stream();
  for (const unsigned char held : {0x00, 0x7F, 0x80, 0xC0, 0xFF}) {
    stream.fill(workspace.span(), held);
    log_kernel_sum(stream, *resident, rows.view(), {}, workspace.span(), sums.span());
    ASSERT_EQ(sums.read(stream), want) << int{held};
    stream.fill(workspace.span(), held);
    attraction(stream, *resident, rows.view(), workspace.span(), {attracted.data(), queries.count, 4, 4});
    ASSERT_EQ(attracted.read(stream), want_attraction) << int{held};
  }
}

TEST(KernelSumOnGpus, ReadsOnlyTheWidthOfStridedRows) {
  const Matrix references = matrix(500, 5, 1, gaussian), queries = matrix(33, 5, 2, gaussian);
  const auto set = nearest::distinct_rows(references.rows());
  std::vector<float> spread((queries.count - 1) * 9 + 5, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < queries.count; ++i)
    std::copy_n(queries.rows().row(i), 5, spread.begin() + static_cast<std::ptrdiff_t>(i * 9));
  const Rows strided{spread.data(), queries.count, 5, 9};
  for (const auto& device : tests::gpus()) {
    EXPECT_EQ(log_sums(*device, set, 0.7, strided), log_sums(*device, set, 0.7, queries.rows()));
    EXPECT_EQ(attractions(*device, set, 0.7, strided), attractions(*device, set, 0.7, queries.rows()));
  }
}

TEST(KernelSumOnGpus, LeavingOutTheOnlyReferenceLeavesNothing) {
  const std::vector<float> row{1.0f, 2.0f}, twice{1.0f, 2.0f, 1.0f, 2.0f};
  const Rows rows{row.data(), 1, 2, 2};
  const auto once = nearest::distinct_rows(rows), set = nearest::distinct_rows({twice.data(), 2, 2, 2});
  for (const auto& device : tests::gpus()) {
    EXPECT_EQ(log_sums(*device, once, 1.0, rows, {0}), std::vector<double>{kernel_sum::nothing});
    EXPECT_EQ(log_sums(*device, once, 1.0, rows, {nearest::no_self}), std::vector<double>{0.0});
    EXPECT_EQ(log_sums(*device, set, 1.0, rows, {0}), std::vector<double>{0.0});
  }
}

TEST(KernelSumOnGpus, NoQueriesAreNoWork) {
  const auto device = make_emulated_device();
  const Matrix references = matrix(300, 3, 1, gaussian);
  const auto resident = make_kernel_sum(*device, nearest::distinct_rows(references.rows()), 1.0);
  EXPECT_TRUE(log_sums(*device, *resident, {nullptr, 0, 3, 3}).empty());
  EXPECT_TRUE(scores(*device, *resident, {nullptr, 0, 3, 3}).empty());
  EXPECT_TRUE(attractions(*device, *resident, {nullptr, 0, 3, 3}).empty());
}

TEST(KernelSum, ScoresStayFinite) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const std::vector<float> row{0.0f}, far{1e30f};
  const auto set = nearest::distinct_rows({row.data(), 1, 1, 1});
  const auto resident = make_kernel_sum(*device, set, 1e-10);
  EXPECT_EQ(scores(*device, *resident, {far.data(), 1, 1, 1}), std::vector<float>{0x1.62e42ep127f});
  EXPECT_EQ(kernel_sum::negative_log_density(-1e39, 0, 0), largest);
  EXPECT_EQ(kernel_sum::negative_log_density(1e39, 0, 0), -largest);
}

TEST(KernelSum, RefusesWhatDoesNotFit) {
  std::vector<std::shared_ptr<Device>> devices{Device::cpu({CpuTier::scalar, 1}), make_emulated_device()};
  const Matrix references = matrix(10, 3, 1, gaussian);
  const auto set = nearest::distinct_rows(references.rows());
  for (const auto& device : devices) {
    const auto resident = make_kernel_sum(*device, set, 1.0);
    Stream stream = device->stream();
    const RowsOf rows(*device, references.rows());
    OnDevice<std::byte> workspace(*device, resident->workspace_bytes(10));
    OnDevice<double> sums(*device, 10);
    OnDevice<float> out(*device, 30);
    OnDevice<std::uint32_t> self(*device, 9);
    const auto narrow = Rows{rows.view().data, 10, 2, 3};
    const auto small = workspace.span().first(workspace.span().size() - 1);
    EXPECT_THROW(log_kernel_sum(stream, *resident, narrow, {}, workspace.span(), sums.span()),
                 std::invalid_argument);
    EXPECT_THROW(log_kernel_sum(stream, *resident, rows.view(), {}, small, sums.span()),
                 std::invalid_argument);
    EXPECT_THROW(log_kernel_sum(stream, *resident, rows.view(), {}, workspace.span(), sums.span().first(9)),
                 std::invalid_argument);
    EXPECT_THROW(log_kernel_sum(stream, *resident, rows.view(), self.span(), workspace.span(), sums.span()),
                 std::invalid_argument);
    EXPECT_THROW(
        negative_log_density(stream, *resident, rows.view(), 0, 0, workspace.span(), out.span().first(9)),
        std::invalid_argument);
    EXPECT_THROW(attraction(stream, *resident, rows.view(), workspace.span(), {out.data(), 10, 2, 2}),
                 std::invalid_argument);
  }
}

// The answer is a matter of the set, not of the order its rows came in: blocks may differ, bits too, not the
// value.
TEST(KernelSum, HardlyDependsOnTheOrderOfTheReferences) {
  const auto device = Device::cpu({available_cpu_tiers().back(), 1});
  Matrix references = matrix(3000, 4, 1, clusters(5));
  const Matrix queries = matrix(50, 4, 2, clusters(5));
  const auto forward = log_sums(*device, nearest::distinct_rows(references.rows()), 0.8, queries.rows());
  Matrix reversed = references;
  for (std::size_t i = 0; i < references.count; ++i)
    std::copy_n(references.rows().row(references.count - 1 - i), 4,
                reversed.values.begin() + static_cast<std::ptrdiff_t>(i * 4));
  const auto backward = log_sums(*device, nearest::distinct_rows(reversed.rows()), 0.8, queries.rows());
  for (std::size_t q = 0; q < queries.count; ++q) EXPECT_NEAR(forward[q], backward[q], 1e-6);
}

TEST(KernelSum, RefusesWhatItCannotSum) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const std::vector<float> row{1.0f, 2.0f};
  const auto good = nearest::distinct_rows({row.data(), 1, 2, 2});
  EXPECT_EQ(make_kernel_sum(*device, good, 1.0)->width(), 2u);
  for (double bandwidth : {0.0, -1.0, double(INFINITY), double(NAN)})
    EXPECT_THROW(make_kernel_sum(*device, good, bandwidth), std::invalid_argument) << bandwidth;
  EXPECT_THROW(make_kernel_sum(*device, nearest::ReferenceSet{}, 1.0), std::invalid_argument);
  auto bad = good;
  bad.values[1] = NAN;
  EXPECT_THROW(make_kernel_sum(*device, bad, 1.0), std::invalid_argument);
  bad = good;
  bad.values.pop_back();
  EXPECT_THROW(make_kernel_sum(*device, bad, 1.0), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::density
