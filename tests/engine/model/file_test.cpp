// Model files that are none: damaged, of another version, or of parts that don't fit together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <system_error>

#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows
using ::testing::HasSubstr;

using File = std::vector<std::byte>;

File small_model(const std::string& detector) {
  return fit(normal_rows(30, 2, 1), options_of(detector, {{"scale", "standard"}}))->bytes();
}

/// Why the bytes are no model; empty if they are one. Whatever else is thrown fails the test.
std::string reason(File bytes) {
  try {
    const auto model = Model::from_bytes(std::move(bytes));
    // What was accepted also scores.
    const Table query(model->fitted().width(), std::vector<float>(model->fitted().width(), 0.5f));
    score(model, query.rows());
    return "";
  } catch (const InvalidModel& error) {
    return error.what();
  }
}

/// Bytes in place of as many others, which must be there once.
File replaced(File bytes, std::string_view found, std::string_view instead) {
  EXPECT_EQ(found.size(), instead.size());
  const auto as_bytes = [](std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  };
  const auto wanted = as_bytes(found), put = as_bytes(instead);
  const auto at = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
  EXPECT_NE(at, bytes.end()) << found;
  if (at != bytes.end()) std::copy(put.begin(), put.end(), at);
  return bytes;
}

std::string_view text_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

TEST(ModelFile, OtherVersionsDetectorsAndSettingsAreRefused) {
  const File good = small_model("nearest_neighbours");
  ASSERT_EQ(reason(good), "");
  EXPECT_THAT(reason(replaced(good, R"("lanner.format_version":"1")", R"("lanner.format_version":"4")")),
              HasSubstr("lanner.format_version: found '4', allowed 1 or 2"));
  EXPECT_THAT(
      reason(replaced(good, R"("lanner.format_version":"1")", R"("lanner.format_version":"3")")),
      HasSubstr(
          "lanner.format_version: found '3', a model of series of many metrics, allowed a model of rows"));
  EXPECT_THAT(reason(replaced(good, R"("lanner.detector":"nearest_neighbours")",
                              R"("lanner.detector":"furthest_neighbour")")),
              HasSubstr("lanner.detector: found 'furthest_neighbour', which this build doesn't have"));
  EXPECT_THAT(reason(replaced(good, R"(\"trim\":\"true\")", R"(\"trim\":\"trae\")")),
              HasSubstr("trim: found trae"));
  EXPECT_THAT(reason(replaced(good, R"(\"calibration\":\"0.2\")", R"(\"calibratjon\":\"0.2\")")),
              HasSubstr("calibratjon: found an unknown setting"));
  EXPECT_THAT(reason(replaced(good, R"(\"trim\":\"true\")", R"(\"trim\":[123456])")),
              HasSubstr("lanner.settings.trim: found no text"));
  EXPECT_THAT(reason(TensorWriter().bytes()), HasSubstr("found no lanner.format_version"));
  EXPECT_NE(reason({}), "");
}

TEST(ModelFile, ACalibrationThatIsNoneIsRefused) {
  const auto model = fit(normal_rows(30, 2, 1), options_of("nearest_neighbours", {}));
  const std::vector<float>& scores = model->calibration()->scores;
  ASSERT_EQ(scores.size(), 6u);
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0f}) {
    std::vector<float> changed = scores;
    changed.back() = wrong;
    EXPECT_THAT(reason(replaced(model->bytes(), text_of(scores), text_of(changed))),
                HasSubstr("calibration.scores: "));
  }
  const tail::Pareto& pareto = model->calibration()->pareto;
  const auto text = [](std::initializer_list<double> values) {
    return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(double));
  };
  const double fitted = pareto.fitted ? 1 : 0;
  const std::string good = text({fitted, pareto.threshold, pareto.shape, pareto.scale, pareto.exceedance});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::string& wrong :
       {text({2, 0, 0, 1, 0.1}), text({1, nan, 0, 1, 0.1}), text({1, 0, 0, 0, 0.1}), text({1, 0, 0, 1, 1.5}),
        text({1, 0, 0, 1, -0.1})})
    EXPECT_THAT(reason(replaced(model->bytes(), good, wrong)), HasSubstr("calibration.pareto: "));
}

TEST(ModelFile, ADriftReferenceThatIsNoneIsRefused) {
  const auto model = fit(normal_rows(400, 2, 1), options_of("histogram", {}));
  ASSERT_TRUE(model->drift());
  const std::vector<float>& edges = model->drift()->edges.values;
  ASSERT_EQ(edges.size(), 3 * (drift_bins - 1));
  EXPECT_EQ(model->drift()->rows, 80u);
  EXPECT_EQ(reason(model->bytes()), "");
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> changed = edges;
    changed.back() = wrong;
    EXPECT_THAT(reason(replaced(model->bytes(), text_of(edges), text_of(changed))),
                HasSubstr("drift.edges: found no number"));
  }
  std::vector<float> turned = edges;
  std::reverse(turned.begin(), turned.end());
  EXPECT_THAT(reason(replaced(model->bytes(), text_of(edges), text_of(turned))),
              HasSubstr("drift.edges: found edges that are not ascending"));
  EXPECT_THAT(reason(replaced(model->bytes(), "\"drift.ties\":", "\"drift.toes\":")),
              HasSubstr("drift.ties"));
}

TEST(ModelFile, ExamplesThatAreNoneAreRefused) {
  const auto model = fit(normal_rows(400, 2, 1), options_of("histogram", {}));
  ASSERT_TRUE(model->examples());
  const Examples& examples = *model->examples();
  ASSERT_EQ(examples.spread.size(), 2u);
  ASSERT_EQ(examples.rows.size(), 2 * 80u) << "all rows that were calibrated on";
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> rows = examples.rows, spread = examples.spread;
    rows.back() = spread.back() = wrong;
    EXPECT_THAT(reason(replaced(model->bytes(), text_of(examples.rows), text_of(rows))),
                HasSubstr("examples.rows: found no finite rows"));
    EXPECT_THAT(reason(replaced(model->bytes(), text_of(examples.spread), text_of(spread))),
                HasSubstr("examples.spread: found no positive number"));
  }
  EXPECT_THAT(reason(replaced(model->bytes(), text_of(examples.spread), text_of({0.0f, 1.0f}))),
              HasSubstr("examples.spread: found no positive number"));
  const auto kept = fit(normal_rows(400, 2, 1), options_of("nearest_neighbours", {}));
  EXPECT_TRUE(kept->examples()->rows.empty()) << "the detector has them";
  // As an earlier version wrote it.
  EXPECT_FALSE(Model::from_bytes(replaced(model->bytes(), "\"examples.spread\":", "\"examples.sprout\":"))
                   ->examples());
}

// Windows overlap and time goes on without any drift.
TEST(ModelFile, WhatIsWatchedForDrift) {
  const auto reference = [](const Given& given, std::size_t rows) {
    return fit(normal_rows(rows, 2, 1), options_of("histogram", given))->drift();
  };
  EXPECT_FALSE(reference({{"calibration", "none"}}, 400));
  EXPECT_FALSE(reference({}, 100)) << "20 calibration rows";
  EXPECT_EQ(reference({{"calibration", "cross"}}, 400)->rows, 400u);

  Schema schema = fields_of(2);
  schema.time = "at";
  Records records = records_of(normal_rows(400, 2, 1));
  FitOptions options = options_of("histogram", {});
  for (const auto& [name, kind] :
       {std::pair{"hour", FeatureKind::time_of_day}, {"x1", FeatureKind::identity}}) {
    FeatureSpec& spec = options.features.emplace_back();
    spec.name = name;
    spec.kind = kind;
    if (kind == FeatureKind::identity) spec.field = name;
  }
  records.time.resize(records.count);
  const auto device = Device::cpu();
  const auto timed = Model::fit(*device, schema, records, options);
  EXPECT_EQ(timed->drift()->columns, std::vector<std::uint32_t>{2});
}

TEST(ModelFile, FeaturesOfAnotherWidthAreRefused) {
  // The detector of one model under the features of another.
  const auto two = fit(normal_rows(30, 2, 1), options_of("histogram", {}));
  const auto three = fit(normal_rows(30, 3, 1), options_of("histogram", {}));
  TensorWriter writer;
  const TensorReader reader(two->bytes());
  for (const char* key :
       {"lanner.format_version", "lanner.name", "lanner.detector", "lanner.settings", "lanner.provenance"})
    writer.metadata(key, reader.metadata(key));
  writer.metadata("lanner.features", three->features().to_json());
  two->fitted().save(writer);
  EXPECT_EQ(reason(writer.bytes()), "found a detector of 2 features and a plan of 3");
}

TEST(ModelFile, WhatCannotBeLoadedNamesItsFile) {
  EXPECT_THROW(Model::load("/nowhere/x.lanner"), std::system_error);
  try {
    Model::load(LANNER_SOURCE_DIR "/CMakeLists.txt");
    ADD_FAILURE();
  } catch (const InvalidModel& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith(LANNER_SOURCE_DIR "/CMakeLists.txt: "));
  }
}

class DamagedModel : public ::testing::TestWithParam<std::string> {};

TEST_P(DamagedModel, EveryTruncationIsRefused) {
  const File whole = small_model(GetParam());
  const std::size_t step = std::max<std::size_t>(1, whole.size() / 2000);
  for (std::size_t size = 0; size < whole.size(); size += step)
    EXPECT_NE(reason({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}), "") << size;
  EXPECT_NE(reason({whole.begin(), whole.end() - 1}), "");
}

TEST_P(DamagedModel, RandomDamageIsRefusedOrScores) {
  const File whole = small_model(GetParam());
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  std::mt19937_64 random(7);
  constexpr std::string_view telling = "{}[]\",:0123456789-.e\\ ";
  std::size_t accepted = 0, refused = 0;
  for (int round = 0; round < 2000; ++round) {
    File bytes = whole;
    for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
      // The header is a small part and most of what can go wrong.
      const std::size_t at = random() % 2 != 0 ? 8 + random() % header : random() % bytes.size();
      bytes[at] = random() % 3 == 0   ? static_cast<std::byte>(random())
                  : random() % 2 == 0 ? static_cast<std::byte>(telling[random() % telling.size()])
                                      : bytes[at] ^ static_cast<std::byte>(1u << random() % 8);
    }
    ++(reason(std::move(bytes)).empty() ? accepted : refused);
  }
  EXPECT_GT(accepted, 0u);
  EXPECT_GT(refused, 100u);
}

INSTANTIATE_TEST_SUITE_P(Catalogue, DamagedModel, ::testing::ValuesIn(detector_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lanner::engine
