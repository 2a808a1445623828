// An anomaly planted in one feature must be explained by that feature: catalogue x shapes of data.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/detectors/detector.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"

namespace lanner::engine {
namespace {

using testing::Random;
using testing::Table;

constexpr std::size_t width = 8;

struct Shape {
  std::string_view name;
  /// Writes one row.
  void (*draw)(Random&, float*);
  /// How far out a planted value lies: several times the widest feature's deviation.
  double far;
  /// Planted below as well as above. What is skewed lies close to where it begins.
  bool both_sides;
};

const Shape shapes[] = {
    {"correlated_gaussian",
     [](Random& random, float* row) {
       const double shared = random.normal();
       for (std::size_t j = 0; j < width; ++j)
         row[j] = static_cast<float>(0.8 * shared + 0.6 * random.normal());
     },
     8, true},
    {"mixture",
     [](Random& random, float* row) {
       const std::size_t cluster = random.below(3);
       for (std::size_t j = 0; j < width; ++j)
         row[j] = static_cast<float>((cluster == j % 3 ? 4.0 : 0.0) + 0.5 * random.normal());
     },
     14, true},
    {"mixed_scales",
     [](Random& random, float* row) {
       for (std::size_t j = 0; j < width; ++j)
         row[j] =
             static_cast<float>(100.0 * static_cast<double>(j) + (j % 2 == 0 ? 1.0 : 0.05) * random.normal());
     },
     8, true},
    {"skewed",
     [](Random& random, float* row) {
       for (std::size_t j = 0; j < width; ++j) row[j] = static_cast<float>(std::exp(0.7 * random.normal()));
     },
     40, false},
};

class Explanation : public ::testing::TestWithParam<std::string_view> {};

TEST_P(Explanation, APlantedFeatureRanksFirst) {
  const Detector& detector = *find_detector(GetParam());
  const auto device = Device::cpu();
  Stream stream = device->stream();
  const Settings settings = Settings::parse(detector.parameters, {});
  for (const Shape& shape : shapes) {
    // copod looks towards the longer tail alone.
    const bool both_sides = shape.both_sides && detector.name != "copod";
    constexpr int models = 4, plants = 10;
    int first = 0;
    for (int run = 0; run < models; ++run) {
      Random random(static_cast<std::uint64_t>(run) + 1);
      Table training(width), planted(width);
      training.values.resize(600 * width);
      for (std::size_t i = 0; i < 600; ++i) shape.draw(random, &training.at(i, 0));
      planted.values.resize(plants * width);
      std::vector<std::size_t> where;
      for (std::size_t i = 0; i < plants; ++i) {
        shape.draw(random, &planted.at(i, 0));
        where.push_back(random.below(width));
        planted.at(i, where.back()) += static_cast<float>(both_sides && i % 2 == 1 ? -shape.far : shape.far);
      }
      const auto scorer = detector.fit({*device, training.rows(), settings, 1, {}})->resident(*device);
      auto workspace = device->array<std::byte>(scorer->workspace_bytes(plants));
      Table parts(width);
      parts.values.resize(plants * width);
      scorer->contributions(stream, planted.rows(), workspace.span(),
                            {parts.values.data(), plants, width, width});
      for (std::size_t i = 0; i < plants; ++i) {
        std::size_t largest = 0;
        for (std::size_t j = 1; j < width; ++j)
          if (std::fabs(parts.at(i, j)) > std::fabs(parts.at(i, largest))) largest = j;
        first += largest == where[i];
      }
    }
    EXPECT_GE(first, models * plants * 9 / 10) << shape.name;
    RecordProperty(std::string(shape.name), first);
  }
}

INSTANTIATE_TEST_SUITE_P(Catalogue, Explanation, ::testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const Detector& detector : catalogue()) names.push_back(detector.name);
                           return names;
                         }()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lanner::engine
