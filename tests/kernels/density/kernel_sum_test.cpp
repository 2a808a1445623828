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

std::vector<double> log_sums(Device& device, const nearest::ReferenceSet& set, double bandwidth, Rows queries,
                             const std::vector<std::uint32_t>& self = {}) {
  const auto resident = make_kernel_sum(device, set, bandwidth);
  std::vector<std::byte> workspace(resident->workspace_bytes(queries.count));
  std::vector<double> out(queries.count, -7);
  Stream stream = device.stream();
  log_kernel_sum(stream, *resident, queries, self, workspace, out);
  return out;
}

std::vector<float> attractions(Device& device, const nearest::ReferenceSet& set, double bandwidth,
                               Rows queries) {
  const auto resident = make_kernel_sum(device, set, bandwidth);
  std::vector<std::byte> workspace(resident->workspace_bytes(queries.count));
  std::vector<float> out(queries.count * queries.width, -7);
  Stream stream = device.stream();
  attraction(stream, *resident, queries, workspace,
             {out.data(), queries.count, queries.width, queries.width});
  return out;
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
