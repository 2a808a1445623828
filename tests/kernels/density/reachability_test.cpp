#include "kernels/density/reachability.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/kernels/on_device.hpp"

namespace lanner::density {
namespace {

constexpr float largest = std::numeric_limits<float>::max();
constexpr std::uint32_t junk =
    0xFFFFFFFF;  // beyond a row's count; an address far outside where it is followed

struct Case {
  std::string name;
  std::vector<std::uint32_t> weight;
  std::vector<float> k_distance;
  std::vector<double> density;
  std::size_t k = 1, rows = 0;
  std::vector<std::uint32_t> row, count;
  std::vector<float> distance;
};

// Distances and k-distances from `draw`; each row has from `fewest` to k neighbours.
template <class Draw>
Case drawn(const std::string& name, std::size_t distinct, std::size_t k, std::size_t rows, std::size_t fewest,
           std::uint32_t weight_max, const Draw& draw, unsigned seed) {
  std::mt19937 random(seed);
  Case c;
  c.name = name;
  c.k = k;
  c.rows = rows;
  for (std::size_t r = 0; r < distinct; ++r) {
    c.weight.push_back(1 + static_cast<std::uint32_t>(random() % weight_max));
    c.k_distance.push_back(std::max(draw(random), std::numeric_limits<float>::denorm_min()));
    c.density.push_back(1 / static_cast<double>(std::max(draw(random), 1e-37f)));
  }
  c.row.assign(rows * k, junk);
  c.distance.assign(rows * k, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t count = fewest + random() % (k - fewest + 1);
    c.count.push_back(static_cast<std::uint32_t>(count));
    for (std::size_t e = 0; e < count; ++e) {
      c.row[i * k + e] = static_cast<std::uint32_t>(random() % distinct);
      c.distance[i * k + e] = draw(random);
    }
  }
  return c;
}

std::vector<Case> cases() {
  const auto ordinary = [](std::mt19937& random) { return std::exponential_distribution<float>()(random); };
  const auto awkward = [](std::mt19937& random) {
    const float values[] = {0.0f, 1e-45f, 1e-40f, 1.0f, 1e30f, largest};
    return values[random() % 6];
  };
  std::vector<Case> all;
  unsigned seed = 1;
  for (std::size_t k : {1, 2, 15, 16, 17, 20, 32, 33})
    for (std::size_t rows : {1, 127, 128, 129})
      all.push_back(drawn("k " + std::to_string(k) + ", " + std::to_string(rows) + " rows", 40, k, rows,
                          rows % 2 ? 1 : k, 3, ordinary, seed++));
  all.push_back(drawn("many", 500, 20, 1000, 20, 1, ordinary, seed++));
  all.push_back(drawn("awkward distances", 30, 18, 300, 1, 5, awkward, seed++));
  all.push_back(drawn("huge weights", 30, 18, 300, 1, 0x7FFFFFFF, ordinary, seed++));
  all.push_back(drawn("one training row", 1, 1, 200, 1, 1, awkward, seed++));
  all.push_back(drawn("one training row, many times", 1, 4, 131, 1, 9, ordinary, seed++));
  return all;
}

// The definition, chain by chain.
std::vector<float> by_definition(const Case& c) {
  std::vector<float> factors;
  for (std::size_t i = 0; i < c.rows; ++i) {
    double factor;
    if (c.weight.size() == 1) {
      factor = 1.0 + c.distance[i * c.k];
    } else {
      double weight = 0, reach = 0, density = 0;
      for (std::size_t e = 0; e < c.count[i]; ++e) {
        const std::uint32_t r = c.row[i * c.k + e];
        const double w = c.weight[r];
        weight += w;
        reach = std::fma(w, static_cast<double>(std::max(c.k_distance[r], c.distance[i * c.k + e])), reach);
        density = std::fma(w, c.density[r], density);
      }
      factor = density / weight * (reach / weight);
    }
    factors.push_back(static_cast<float>(std::clamp(factor, -double(largest), double(largest))));
  }
  return factors;
}

std::vector<float> factors(Device& device, const Case& c) {
  const auto resident = make_densities(device, {c.weight, c.k_distance, c.density});
  EXPECT_EQ(resident->distinct(), c.weight.size());
  tests::OnDevice<std::uint32_t> row(device, std::span(c.row)), count(device, std::span(c.count));
  tests::OnDevice<float> distance(device, std::span(c.distance)), out(device, c.rows);
  Stream stream = device.stream();
  local_outlier_factors(stream, *resident, {c.k, row.data(), distance.data(), nullptr, count.data()}, c.rows,
                        out.span());
  return out.read(stream);
}

TEST(LocalOutlierFactors, AreThoseOfTheDefinitionOnTheCpu) {
  for (unsigned threads : {1u, 3u}) {
    const auto device = Device::cpu({available_cpu_tiers().back(), threads});
    for (const Case& c : cases()) {
      const auto got = factors(*device, c);
      ASSERT_EQ(got, by_definition(c)) << c.name;
      for (float factor : got) ASSERT_TRUE(std::isfinite(factor)) << c.name;
    }
  }
}

TEST(LocalOutlierFactors, HaveTheSameBitsOnGpus) {
  for (const auto& device : tests::gpus())
    for (const Case& c : cases())
      ASSERT_EQ(factors(*device, c), by_definition(c)) << c.name << " on " << device->description();
}

TEST(LocalOutlierFactors, RefuseWhatDoesNotFit) {
  const std::vector<std::uint32_t> weight{1, 1};
  const std::vector<float> k_distance{1, 1};
  const std::vector<double> density{1, 1};
  std::vector<std::shared_ptr<Device>> devices{Device::cpu({CpuTier::scalar, 1}), make_emulated_device()};
  for (const auto& device : devices) {
    EXPECT_THROW(make_densities(*device, {}), std::invalid_argument);
    EXPECT_THROW(make_densities(*device, {weight, std::span(k_distance).first(1), density}),
                 std::invalid_argument);
    EXPECT_THROW(make_densities(*device, {weight, k_distance, std::span(density).first(1)}),
                 std::invalid_argument);
    const auto resident = make_densities(*device, {weight, k_distance, density});
    tests::OnDevice<std::uint32_t> rows(*device, 3);
    tests::OnDevice<float> floats(*device, 3);
    const nearest::Neighbours found{1, rows.data(), floats.data(), nullptr, rows.data()};
    Stream stream = device->stream();
    EXPECT_THROW(local_outlier_factors(stream, *resident, found, 3, floats.span().first(2)),
                 std::invalid_argument);
    EXPECT_THROW(local_outlier_factors(stream, *resident, {}, 3, floats.span()), std::invalid_argument);
    local_outlier_factors(stream, *resident, {}, 0, {});
  }
}

}  // namespace
}  // namespace lanner::density
