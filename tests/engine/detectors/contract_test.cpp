// What every detector promises: catalogue x settings x awkward rows x tiers. A detector added to the
// catalogue is covered here with its defaults; more settings of it are a line in settings_of().
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "engine/detectors/detector.hpp"
#include "tests/allocations/allocations.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::engine {
namespace {

using testing::AwkwardCase;
using testing::Table;
using Given = std::map<std::string, std::string>;

std::vector<Given> settings_of(const Detector& detector) {
  static const std::map<std::string_view, std::vector<Given>> more = {
      {"nearest_neighbours", {{{"k", "1"}}, {{"k", "7"}, {"distance", "mean"}}, {{"k", "0.3"}}}},
      {"local_outlier_factor", {{{"k", "1"}}, {{"k", "5"}}}},
      {"kernel_density", {{{"bandwidth", "silverman"}}, {{"bandwidth", "0.5"}}, {{"bandwidth", "1e-18"}}}},
      {"histogram", {{{"bins", "auto"}}, {{"bins", "100"}, {"rule", "equal_count"}}}},
      {"pca", {{{"measure", "reconstruction"}}, {{"components", "0.5"}}, {{"components", "1"}}}},
      {"mahalanobis", {{{"covariance", "shrunk"}}, {{"shrinkage", "1"}}}},
      {"isolation_forest",
       {{{"trees", "30"}, {"samples", "0.5"}, {"features", "2"}}, {{"trees", "130"}, {"samples", "1000"}}}},
      {"extended_isolation_forest",
       {{{"trees", "20"}, {"samples", "0.5"}, {"extension_level", "1"}},
        {{"trees", "10"}, {"samples", "1000"}, {"extension_level", "10"}}}},
      {"cluster_distance", {{{"clusters", "3"}, {"runs", "1"}, {"alpha", "0.5"}}}},
      {"loda", {{{"projections", "7"}, {"bins", "auto"}}}},
      {"half_space_trees", {{{"trees", "20"}, {"depth", "20"}, {"leaf_share", "0.01"}}}},
      {"random_cut_forest",
       {{{"trees", "8"}, {"samples", "0.5"}, {"half_life", "0.3"}, {"measure", "displacement"}}}},
      {"autoencoder",
       {{{"activation", "rectifier"}, {"hidden", "5,2"}, {"epochs", "3"}},
        {{"activation", "identity"}, {"validation_share", "0"}, {"epochs", "2"}}}},
  };
  std::vector<Given> all = {{}};
  if (const auto found = more.find(detector.name); found != more.end())
    all.insert(all.end(), found->second.begin(), found->second.end());
  return all;
}

const std::vector<AwkwardCase>& cases() {
  static const std::vector<AwkwardCase> all = testing::awkward_cases();
  return all;
}

std::shared_ptr<Device> device_of(CpuTier tier, unsigned threads = 1) {
  return Device::cpu({tier, threads});
}

std::shared_ptr<const Fitted> fit(const Detector& detector, const Given& given, const Table& training,
                                  CpuTier tier = CpuTier::scalar, std::uint64_t seed = 1) {
  const auto device = device_of(tier);
  const Settings settings = Settings::parse(detector.parameters, given);
  return detector.fit({*device, training.rows(), settings, seed, {}});
}

struct FittedCase {
  Given given;
  const AwkwardCase* rows;
  std::shared_ptr<const Fitted> fitted;
};

// Fitted once, on the scalar tier, for all tests.
const std::vector<FittedCase>& fitted_cases(const Detector& detector) {
  static std::map<std::string_view, std::vector<FittedCase>> cache;
  auto& all = cache[detector.name];
  if (all.empty())
    for (const Given& given : settings_of(detector))
      for (const AwkwardCase& rows : cases())
        all.push_back({given, &rows, fit(detector, given, rows.training)});
  return all;
}

std::string described(const FittedCase& fitted) {
  std::string text = fitted.rows->name;
  for (const auto& [name, value] : fitted.given) text += " " + name + "=" + value;
  return text;
}

// Scores with a workspace of exactly the stated size, full of garbage, and rows with garbage between them.
std::vector<float> scores_of(const Scorer& scorer, Device& device, Rows rows, std::size_t batch) {
  Stream stream = device.stream();
  const std::size_t width = rows.width, stride = width + 3;
  std::vector<float> padded(rows.count * stride, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < rows.count; ++i) std::copy_n(rows.row(i), width, padded.begin() + i * stride);
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(batch));
  std::vector<float> scores(rows.count, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t begin = 0; begin < rows.count; begin += batch) {
    const std::size_t count = std::min(batch, rows.count - begin);
    std::fill(workspace.span().begin(), workspace.span().end(), std::byte{0xFF});
    scorer.score(stream, {padded.data() + begin * stride, count, width, stride}, workspace.span(),
                 std::span(scores).subspan(begin, count));
  }
  return scores;
}

Table contributions_of(const Scorer& scorer, Device& device, Rows rows) {
  Stream stream = device.stream();
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(rows.count));
  std::fill(workspace.span().begin(), workspace.span().end(), std::byte{0xFF});
  Table out(rows.width);
  out.values.assign(rows.count * rows.width, std::numeric_limits<float>::quiet_NaN());
  scorer.contributions(stream, rows, workspace.span(),
                       {out.values.data(), rows.count, rows.width, rows.width});
  return out;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> all;
  for (float value : values) all.push_back(std::bit_cast<std::uint32_t>(value));
  return all;
}

class Contract : public ::testing::TestWithParam<std::string_view> {
 protected:
  const Detector& detector() const { return *find_detector(GetParam()); }
};

// By way of the kernels' own source on an emulated GPU (and a real one, where there is one): its memory holds
// the rows with garbage between them, and a workspace of exactly the stated size.
std::vector<float> gpu_scores_of(const Scorer& scorer, Device& device, Rows rows, std::size_t batch) {
  Stream stream = device.stream();
  const std::size_t width = rows.width, stride = width + 3;
  std::vector<float> padded(batch * stride, std::numeric_limits<float>::quiet_NaN());
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(batch));
  std::vector<float> scores(rows.count);
  for (std::size_t begin = 0; begin < rows.count; begin += batch) {
    const std::size_t count = std::min(batch, rows.count - begin);
    for (std::size_t i = 0; i < count; ++i)
      std::copy_n(rows.row(begin + i), width, padded.begin() + static_cast<std::ptrdiff_t>(i * stride));
    tests::OnDevice<float> on_device(device, std::span<const float>(padded));
    tests::OnDevice<float> out(device, count);
    stream.fill(workspace.span(), 0xFF);
    scorer.score(stream, {on_device.data(), count, width, stride}, workspace.span(), out.span());
    std::ranges::copy(out.read(stream), scores.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  return scores;
}

TEST_P(Contract, AGpuGivesTheSameBitsWhateverTheBatchAndTheOrderOfItsThreads) {
  for (const FittedCase& fitted : fitted_cases(detector())) {
    SCOPED_TRACE(described(fitted));
    const Rows queries = fitted.rows->queries.rows();
    const auto scalar = device_of(CpuTier::scalar);
    const auto expected = scores_of(*fitted.fitted->resident(*scalar), *scalar, queries, queries.count);
    // An emulated GPU takes its time with matrices of the widest rows: one order, one batch, the defaults.
    const bool wide = queries.width > 500;
    if (wide && !fitted.given.empty()) continue;
    const auto gpus = tests::gpus();
    for (const auto& device : gpus) {
      if (wide && device != gpus.front()) break;
      SCOPED_TRACE(device->description());
      const auto scorer = fitted.fitted->resident(*device);
      EXPECT_EQ(scorer->width(), queries.width);
      for (const std::size_t batch : {std::size_t{7}, queries.count}) {
        if (wide && batch != queries.count) continue;
        ASSERT_EQ(bits(gpu_scores_of(*scorer, *device, queries, batch)), bits(expected)) << "batch " << batch;
      }
    }
  }
}

TEST_P(Contract, ScoresAreFiniteAndEveryTierBatchAndThreadCountGivesTheSameBits) {
  for (const FittedCase& fitted : fitted_cases(detector())) {
    SCOPED_TRACE(described(fitted));
    const Rows queries = fitted.rows->queries.rows();
    const auto scalar = device_of(CpuTier::scalar);
    const auto expected = scores_of(*fitted.fitted->resident(*scalar), *scalar, queries, queries.count);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_TRUE(std::isfinite(expected[i])) << "row " << i;
    // Matrices of the widest rows take their time: the defaults.
    if (queries.width > 500 && !fitted.given.empty()) continue;
    for (CpuTier tier : available_cpu_tiers())
      for (unsigned threads : {1u, 3u}) {
        if (queries.width > 500 && threads == 1) continue;
        SCOPED_TRACE(std::string(name(tier)) + ", threads " + std::to_string(threads));
        const auto device = device_of(tier, threads);
        const auto scorer = fitted.fitted->resident(*device);
        EXPECT_EQ(scorer->width(), queries.width);
        for (std::size_t batch : {std::size_t{1}, std::size_t{5}, queries.count})
          ASSERT_EQ(bits(scores_of(*scorer, *device, queries, batch)), bits(expected)) << "batch " << batch;
        Table reversed(queries.width);
        for (std::size_t i = queries.count; i-- > 0;) reversed.append(queries.slice(i, i + 1));
        auto backwards = scores_of(*scorer, *device, reversed.rows(), queries.count);
        std::reverse(backwards.begin(), backwards.end());
        ASSERT_EQ(bits(backwards), bits(expected)) << "reversed";
      }
  }
}

TEST_P(Contract, ContributionsAndBaseSumToTheScore) {
  for (const FittedCase& fitted : fitted_cases(detector())) {
    SCOPED_TRACE(described(fitted));
    const Rows queries = fitted.rows->queries.rows();
    for (CpuTier tier : available_cpu_tiers()) {
      const auto device = device_of(tier, 2);
      const auto scorer = fitted.fitted->resident(*device);
      ASSERT_TRUE(std::isfinite(scorer->base()));
      const auto scores = scores_of(*scorer, *device, queries, queries.count);
      const Table parts = contributions_of(*scorer, *device, queries);
      for (std::size_t i = 0; i < queries.count; ++i) {
        double sum = scorer->base(), sizes = 0;
        for (std::size_t j = 0; j < queries.width; ++j) {
          const float part = parts.rows().row(i)[j];
          ASSERT_TRUE(std::isfinite(part)) << "row " << i << " feature " << j;
          sum += part;
          sizes += std::fabs(part);
        }
        // Below the float range a part is rounded to a multiple of the least denormal.
        const double rounding = static_cast<double>(queries.width) * std::numeric_limits<float>::denorm_min();
        ASSERT_NEAR(sum, scores[i], 1e-5 * sizes + rounding) << "row " << i << " tier " << name(tier);
      }
    }
  }
}

TEST_P(Contract, AnEmptyBatchIsFine) {
  const FittedCase& fitted = fitted_cases(detector()).front();
  const auto device = device_of(available_cpu_tiers().back());
  const auto scorer = fitted.fitted->resident(*device);
  Table nothing(fitted.rows->queries.width);
  EXPECT_THAT(scores_of(*scorer, *device, nothing.rows(), 1), ::testing::IsEmpty());
  EXPECT_THAT(contributions_of(*scorer, *device, nothing.rows()).values, ::testing::IsEmpty());
}

TEST_P(Contract, ScoringAllocatesNothing) {
  for (const FittedCase& fitted : fitted_cases(detector()))
    for (unsigned threads : {1u, 2u}) {
      const auto device = device_of(available_cpu_tiers().back(), threads);
      const auto scorer = fitted.fitted->resident(*device);
      const Rows queries = fitted.rows->queries.rows();
      auto workspace = device->array<std::byte>(scorer->workspace_bytes(queries.count));
      std::vector<float> scores(queries.count);
      Stream stream = device->stream();
      const std::size_t before = test::allocations();
      scorer->score(stream, queries, workspace.span(), scores);
      EXPECT_EQ(test::allocations() - before, 0u) << described(fitted);
    }
}

TEST_P(Contract, WhatIsSavedLoadsToTheSameBits) {
  for (const FittedCase& fitted : fitted_cases(detector())) {
    SCOPED_TRACE(described(fitted));
    TensorWriter writer;
    fitted.fitted->save(writer);
    const std::vector<std::byte> saved = writer.bytes();
    const Settings settings = Settings::parse(detector().parameters, fitted.given);
    const auto loaded = detector().load(TensorReader(saved), settings);
    ASSERT_EQ(loaded->width(), fitted.fitted->width());

    TensorWriter again;
    loaded->save(again);
    EXPECT_EQ(again.bytes(), saved);

    const auto device = device_of(available_cpu_tiers().back());
    const Rows queries = fitted.rows->queries.rows();
    const auto before = fitted.fitted->resident(*device), after = loaded->resident(*device);
    EXPECT_EQ(bits(scores_of(*after, *device, queries, 8)), bits(scores_of(*before, *device, queries, 8)));
    EXPECT_EQ(after->base(), before->base());
    EXPECT_EQ(bits(contributions_of(*after, *device, queries).values),
              bits(contributions_of(*before, *device, queries).values));
  }
}

TEST_P(Contract, FittingRepeatsBitForBit) {
  for (const char* name : {"ordinary", "mostly_duplicates", "one_row"})
    for (const AwkwardCase& rows : cases()) {
      if (rows.name != name) continue;
      TensorWriter first, second;
      fit(detector(), {}, rows.training, available_cpu_tiers().back(), 7)->save(first);
      fit(detector(), {}, rows.training, available_cpu_tiers().back(), 7)->save(second);
      EXPECT_EQ(sha256(first.bytes()), sha256(second.bytes())) << name;
    }
}

TEST_P(Contract, LeaveOneOutScoresAreFiniteAndOneForEachRowOrAbsent) {
  for (const FittedCase& fitted : fitted_cases(detector())) {
    SCOPED_TRACE(described(fitted));
    std::vector<std::uint32_t> scalar;
    for (CpuTier tier : available_cpu_tiers()) {
      const auto device = device_of(tier, 2);
      const auto scores = fitted.fitted->leave_one_out_scores(*device);
      if (scores.empty()) break;
      ASSERT_EQ(scores.size(), fitted.rows->training.count());
      for (float score : scores) ASSERT_TRUE(std::isfinite(score));
      if (tier == CpuTier::scalar) scalar = bits(scores);
      EXPECT_EQ(bits(scores), scalar) << name(tier);
    }
  }
}

TEST_P(Contract, FarAwayIsMoreAnomalousThanTheTrainingRows) {
  for (const Given& given : settings_of(detector())) {
    const Table training = testing::normal_rows(400, 4, 21);
    const auto device = device_of(available_cpu_tiers().back());
    const auto scorer = fit(detector(), given, training)->resident(*device);
    const auto inside = scores_of(*scorer, *device, training.rows(), 400);
    const Table outside(4, std::vector<float>(4, 25));
    EXPECT_GT(scores_of(*scorer, *device, outside.rows(), 1)[0],
              *std::max_element(inside.begin(), inside.end()));
  }
}

TEST_P(Contract, AValueNeverSeenInAConstantColumnRaisesTheScore) {
  Table varied = testing::normal_rows(300, 4, 22);
  for (std::size_t i = 0; i < 300; ++i) varied.at(i, 2) = 5;
  const Table constant(2, std::vector<float>(100, 3));
  const auto device = device_of(available_cpu_tiers().back());
  for (const Given& given : settings_of(detector())) {
    const auto of_varied = fit(detector(), given, varied)->resident(*device);
    int raised = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      Table pair(4);
      pair.append(varied.rows().slice(i, i + 1));
      pair.append(varied.rows().slice(i, i + 1));
      pair.at(1, 2) = i % 2 == 0 ? 9.0f : 1.0f;
      const auto scores = scores_of(*of_varied, *device, pair.rows(), 2);
      raised += scores[1] > scores[0];
    }
    EXPECT_EQ(raised, 50) << described({given, &cases().front(), nullptr});

    const auto of_constant = fit(detector(), given, constant)->resident(*device);
    const Table pair(2, {3, 3, 3, 4});
    const auto scores = scores_of(*of_constant, *device, pair.rows(), 2);
    EXPECT_GT(scores[1], scores[0]);
  }
}

TEST_P(Contract, RowsOfAnotherWidthAreRefused) {
  const FittedCase& fitted = fitted_cases(detector()).front();
  const auto device = device_of(available_cpu_tiers().back());
  const auto scorer = fitted.fitted->resident(*device);
  const Table wrong(fitted.rows->queries.width + 1, std::vector<float>(fitted.rows->queries.width + 1, 0));
  EXPECT_THROW(scores_of(*scorer, *device, wrong.rows(), 1), std::invalid_argument);
  EXPECT_THROW(contributions_of(*scorer, *device, wrong.rows()), std::invalid_argument);
}

TEST_P(Contract, FittingNothingIsRefused) {
  const auto device = device_of(CpuTier::scalar);
  const Settings settings = Settings::parse(detector().parameters, {});
  Table no_rows(3);
  EXPECT_THROW(detector().fit({*device, no_rows.rows(), settings, 1, {}}), std::invalid_argument);
  EXPECT_THROW(detector().fit({*device, {no_rows.values.data(), 3, 0, 0}, settings, 1, {}}),
               std::invalid_argument);
}

TEST_P(Contract, ProgressNeverGoesBackAndEndsDone) {
  const auto device = device_of(available_cpu_tiers().back());
  const Settings settings = Settings::parse(detector().parameters, {});
  double last = 0;
  const Table training = testing::normal_rows(50, 3, 23);
  detector().fit({*device, training.rows(), settings, 1, [&](double done, std::string_view what) {
                    EXPECT_GE(done, last);
                    EXPECT_LE(done, 1);
                    EXPECT_FALSE(what.empty());
                    last = done;
                  }});
  EXPECT_EQ(last, 1);
}

TEST_P(Contract, ItsSettingsAreDocumentedAndChecked) {
  EXPECT_FALSE(detector().summary.empty());
  EXPECT_FALSE(detector().paper.empty());
  std::set<std::string_view> names;
  for (const Parameter& parameter : detector().parameters) {
    EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
    EXPECT_FALSE(parameter.summary.empty()) << parameter.name;
    const auto errors =
        Settings::check(detector().parameters, {{std::string(parameter.name), "not a value of anything"}});
    ASSERT_EQ(errors.size(), 1u) << parameter.name;
    EXPECT_EQ(errors[0].allowed, allowed(parameter));
  }
  EXPECT_NO_THROW(Settings::parse(detector().parameters, {}));
  EXPECT_THROW(Settings::parse(detector().parameters, {{"no_such_setting", "1"}}), InvalidSettings);
}

INSTANTIATE_TEST_SUITE_P(Catalogue, Contract, ::testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const Detector& detector : catalogue()) names.push_back(detector.name);
                           return names;
                         }()),
                         [](const auto& info) { return std::string(info.param); });

TEST(Catalogue, NamesAreUniqueAndSnakeCase) {
  std::set<std::string_view> names;
  for (const Detector& detector : catalogue()) {
    EXPECT_TRUE(names.insert(detector.name).second);
    for (char c : detector.name)
      EXPECT_TRUE(std::islower(static_cast<unsigned char>(c)) || c == '_') << detector.name;
    EXPECT_EQ(find_detector(detector.name), &detector);
  }
  EXPECT_EQ(find_detector("nearest_neighbors"), nullptr);
}

}  // namespace
}  // namespace lanner::engine
