// Models whose segments have calibrations of their own: what that promises, and the files they come from.
#include "engine/calibrate/segments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/model/round_trip.hpp"
#include "tests/engine/calibrate/scores.hpp"
#include "tests/engine/model/models.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows
using ::testing::HasSubstr;

/// Events of one normal feature, whose deviation is the segment's.
struct Group {
  std::string segment;
  double deviation;
  std::size_t rows;
};

Schema schema_by(bool entity) {
  Schema schema = fields_of(1);
  if (entity)
    schema.entity = "who";
  else
    schema.fields.push_back({"day", ColumnKind::text});
  return schema;
}

Records events(std::uint64_t seed, const std::vector<Group>& groups, bool entity = false) {
  test::Draws draws(seed);
  Records records;
  records.columns.resize(entity ? 1 : 2);
  for (const Group& group : groups)
    for (std::size_t i = 0; i < group.rows; ++i) {
      records.columns[0].numbers.push_back(group.deviation * draws.normal());
      (entity ? records.entity : records.columns[1].texts).push_back(group.segment);
      if (!entity) records.columns[1].missing.push_back(0);
      ++records.count;
    }
  return records;
}

Given by_segment(const char* field, Given more = {}) {
  more.insert({{"segment", field}, {"trim", "false"}, {"calibration", "0.5"}, {"segment_rows", "400"}});
  return more;
}

std::shared_ptr<const Model> fit_events(const Records& records, const Given& given, bool entity = false,
                                        std::uint64_t seed = 1) {
  const auto device = Device::cpu();
  return Model::fit(*device, schema_by(entity), records, options_of("mahalanobis", given, seed));
}

Table feature_rows(const Model& model, const Records& records) {
  Table rows(1, std::vector<float>(records.count));
  std::vector<std::uint8_t> refused(records.count);
  std::vector<RowRefusal> reasons;
  model.features().transform(records, 0, records.count, nullptr, {rows.values.data(), records.count, 1, 1},
                             refused, reasons);
  EXPECT_TRUE(reasons.empty());
  return rows;
}

std::vector<std::uint32_t> calibrations_of(const Model& model, const Records& records) {
  std::vector<std::uint32_t> which(records.count, 99);
  model.segments_of(records, 0, records.count, which);
  return which;
}

Scored score_events(const std::shared_ptr<const Model>& model, const Records& records) {
  const Table rows = feature_rows(*model, records);
  const auto device = Device::cpu();
  const ModelScorer scorer(model, *device);
  auto workspace = device->array<std::byte>(scorer.workspace_bytes(records.count));
  Scored out{std::vector<float>(records.count), std::vector<double>(records.count),
             std::vector<std::uint8_t>(records.count)};
  Stream stream = device->stream();
  scorer.score(stream, rows.rows(), {}, workspace.span(), out.scores, out.p_values, out.extrapolated,
               calibrations_of(*model, records));
  return out;
}

double share_at_most(const std::vector<double>& p_values, double rate) {
  return static_cast<double>(
             std::count_if(p_values.begin(), p_values.end(), [&](double p) { return p <= rate; })) /
         static_cast<double>(p_values.size());
}

/// Of the counts in `streams` streams, each beta-binomial(m; l, n + 1 - l) with l = floor(rate (n + 1)), the
/// mean rate and four of its standard deviations.
void expect_the_law(const std::vector<double>& shares, const std::vector<double>& calibration_rows, double m,
                    double rate, const char* of) {
  double mean = 0, expected = 0, variance = 0;
  const auto streams = static_cast<double>(shares.size());
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double n = calibration_rows[i], p = std::floor(rate * (n + 1) + 1e-9) / (n + 1);
    mean += shares[i] / streams;
    expected += p / streams;
    variance += p * (1 - p) * (1 / m + (m - 1) / m / (n + 2)) / streams / streams;
  }
  std::printf("  %s: %.4f of %.4f +- %.4f\n", of, mean, expected, 4 * std::sqrt(variance));
  EXPECT_NEAR(mean, expected, 4 * std::sqrt(variance)) << of;
}

TEST(SegmentCalibrations, EachSegmentKeepsTheRateWhereOneCalibrationGivesAllAlarmsToOne) {
  constexpr std::size_t streams = 60, m = 1000;
  constexpr double rate = 0.01;
  std::map<std::string, std::vector<double>> shares, rows;
  double quiet_at_once = 0, loud_at_once = 0;
  for (std::size_t run = 0; run < streams; ++run) {
    const Records training =
        events(2 * run, {{"quiet", 1, 2000}, {"loud", 4, 2000}, {"small 1", 2, 500}, {"small 2", 2, 500}});
    const auto model = fit_events(training, by_segment("day"), false, run);
    ASSERT_EQ(std::vector<std::string>(model->segments()->segments.names().begin(),
                                       model->segments()->segments.names().end()),
              (std::vector<std::string>{"loud", "quiet"}));
    const auto one = fit_events(training, by_segment("none"), false, run);
    for (const Group& group : std::vector<Group>{
             {"quiet", 1, m}, {"loud", 4, m}, {"small 1", 2, m}, {"never seen", 2, m}, {"", 2, m}}) {
      const Records fresh = events(2 * run + 1, {group});
      shares[group.segment].push_back(share_at_most(score_events(model, fresh).p_values, rate));
      const std::uint32_t which = calibrations_of(*model, fresh)[0];
      const auto& calibration = which ? model->segments()->own[which - 1] : *model->calibration();
      rows[group.segment].push_back(static_cast<double>(calibration.scores.size()));
      const double at_once = share_at_most(score_events(one, fresh).p_values, rate) / streams;
      if (group.segment == "quiet") quiet_at_once += at_once;
      if (group.segment == "loud") loud_at_once += at_once;
    }
  }
  std::printf("  with one calibration: quiet %.4f, loud %.4f\n", quiet_at_once, loud_at_once);
  EXPECT_LT(quiet_at_once, 0.1 * rate);
  EXPECT_GT(loud_at_once, 2 * rate);
  for (const auto& [segment, of] : shares)
    expect_the_law(of, rows[segment], m, rate, segment.empty() ? "none" : segment.c_str());
}

TEST(SegmentCalibrations, AreTheConformalOnesOfTheSegmentsRows) {
  const Records training = events(3, {{"a", 1, 1000}, {"b", 3, 1000}, {"c", 9, 30}});
  const auto model = fit_events(training, by_segment("day", {{"extrapolate", "false"}}));
  ASSERT_TRUE(model->segments());
  EXPECT_THAT(model->provenance().at("segments"), HasSubstr("2 of their own, 1 pooled"));
  EXPECT_THAT(model->provenance().at("segments"), HasSubstr(", all"));
  EXPECT_EQ(model->calibration()->scores.size(), 1015u) << "the pool is too small: all rows";
  const Records fresh = events(4, {{"a", 1, 50}, {"b", 3, 50}, {"c", 9, 50}, {"d", 1, 50}});
  const Scored scored = score_events(model, fresh);
  for (std::size_t row = 0; row < fresh.count; ++row) {
    const auto& own = row < 50    ? model->segments()->own[0]
                      : row < 100 ? model->segments()->own[1]
                                  : *model->calibration();
    const auto above = std::count_if(own.scores.begin(), own.scores.end(),
                                     [&](float other) { return other >= scored.scores[row]; });
    EXPECT_EQ(scored.p_values[row],
              (1.0 + static_cast<double>(above)) / (1.0 + static_cast<double>(own.scores.size())));
  }
  EXPECT_EQ(model->least_p_value(), 1.0 / (1.0 + static_cast<double>(model->calibration()->scores.size())));
}

TEST(SegmentCalibrations, TheEntityMayBeTheSegment) {
  const Records training = events(5, {{"a", 1, 1000}, {"b", 3, 1000}}, true);
  const auto model = fit_events(training, by_segment("who"), true);
  ASSERT_TRUE(model->segments());
  Records fresh = events(6, {{"b", 3, 1}, {"a", 1, 1}, {"c", 1, 1}}, true);
  EXPECT_EQ(calibrations_of(*model, fresh), (std::vector<std::uint32_t>{2, 1, 0}));
  fresh.entity.clear();
  EXPECT_EQ(calibrations_of(*model, fresh), std::vector<std::uint32_t>(3, 0));
}

TEST(SegmentCalibrations, AMissingSegmentIsPooled) {
  Records training = events(7, {{"a", 1, 2000}, {"b", 3, 2000}});
  for (std::size_t row = 0; row < 1000; ++row) training.columns[1].missing[row] = 1;
  const auto model = fit_events(training, by_segment("day"));
  EXPECT_FALSE(model->provenance().at("segments").ends_with("all"));
  Records fresh = events(8, {{"a", 1, 2}});
  fresh.columns[1].missing[1] = 1;
  EXPECT_EQ(calibrations_of(*model, fresh), (std::vector<std::uint32_t>{1, 0}));
}

TEST(SegmentCalibrations, WithoutALargeOneAreOneCalibration) {
  const auto model = fit_events(events(9, {{"a", 1, 500}}), by_segment("day"));
  EXPECT_FALSE(model->segments());
  EXPECT_EQ(model->calibration()->scores.size(), 250u);
}

TEST(SegmentCalibrations, CrossCalibrationHasThemToo) {
  const auto model =
      fit_events(events(10, {{"a", 1, 1000}, {"b", 3, 500}}), by_segment("day", {{"calibration", "cross"}}));
  ASSERT_TRUE(model->segments());
  EXPECT_EQ(model->segments()->own[0].scores.size(), 1000u);
  EXPECT_EQ(model->segments()->own[1].scores.size(), 500u);
}

TEST(SegmentCalibrations, AFieldThatIsNoneOfTextIsRefused) {
  const Records training = events(11, {{"a", 1, 100}});
  for (const char* field : {"x0", "who", "dya"}) {
    try {
      fit_events(training, by_segment(field));
      ADD_FAILURE() << field;
    } catch (const InvalidSettings& error) {
      EXPECT_THAT(error.what(), HasSubstr("segment: found '" + std::string(field) + "', allowed"));
      EXPECT_THAT(error.what(), HasSubstr("day"));
    }
  }
}

TEST(SegmentCalibrations, ComeBackFromTheFile) {
  const Records training = events(12, {{"a", 1, 1000}, {"b", 3, 1000}, {"c", 9, 900}});
  const auto model = fit_events(training, by_segment("day"));
  const auto loaded = Model::from_bytes(model->bytes());
  ASSERT_TRUE(loaded->segments());
  EXPECT_EQ(loaded->hash(), model->hash());
  const Records fresh = events(13, {{"a", 1, 100}, {"b", 3, 100}, {"c", 9, 100}, {"d", 1, 100}});
  EXPECT_EQ(score_events(loaded, fresh), score_events(model, fresh));
  const auto text = [](const std::vector<std::byte>& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  EXPECT_THAT(text(model->bytes()), HasSubstr(R"("lanner.format_version":"2")"));
  EXPECT_THAT(text(fit_events(training, by_segment("none"))->bytes()),
              HasSubstr(R"("lanner.format_version":"1")"))
      << "what older versions can read they should";
}

TEST(SegmentCalibrations, BringTheCpusBitsFromAGpu) {
  const Records training = events(14, {{"a", 1, 1000}, {"b", 3, 1000}, {"c", 9, 900}});
  const auto model = fit_events(training, by_segment("day"));
  const Records fresh = events(15, {{"b", 6, 300}, {"a", 2, 300}, {"d", 20, 300}, {"c", 9, 300}});
  const Scored expected = score_events(model, fresh);
  EXPECT_GT(std::count(expected.extrapolated.begin(), expected.extrapolated.end(), 1), 5);
  const Table rows = feature_rows(*model, fresh);
  const auto which = calibrations_of(*model, fresh);
  for (const auto& device : tests::gpus()) {
    const ModelScorer scorer(model, *device);
    RoundTrip trip(*device);
    trip.make_room(scorer, fresh.count);
    auto pinned = device->pinned<float>(fresh.count);
    std::ranges::copy(rows.values, pinned.data());
    const Rows staged{pinned.data(), fresh.count, 1, 1};
    trip.begin(scorer, staged, which);
    trip.wait();
    const Scored got{{trip.scores().begin(), trip.scores().end()},
                     {trip.p_values().begin(), trip.p_values().end()},
                     {trip.extrapolated().begin(), trip.extrapolated().end()}};
    EXPECT_TRUE(got == expected) << device->description();
    EXPECT_THROW(trip.begin(scorer, staged, std::span(which).first(3)), std::invalid_argument);
  }
}

using File = std::vector<std::byte>;

std::string reason(File bytes) {
  try {
    Model::from_bytes(std::move(bytes));
    return "";
  } catch (const InvalidModel& error) {
    return error.what();
  }
}

File replaced(File bytes, std::string_view found, std::string_view instead) {
  EXPECT_EQ(found.size(), instead.size());
  const auto wanted = std::as_bytes(std::span(found.data(), found.size()));
  const auto at = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
  EXPECT_NE(at, bytes.end()) << found;
  if (at != bytes.end()) std::memcpy(&*at, instead.data(), instead.size());
  return bytes;
}

template <class T>
std::string_view text_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST(SegmentCalibrations, OfAHostileFileAreRefused) {
  const auto model =
      fit_events(events(16, {{"aa", 1, 1000}, {"bb", 3, 1000}, {"cc", 9, 900}}), by_segment("day"));
  const File good = model->bytes();
  ASSERT_EQ(reason(good), "");
  const auto refused = [&](std::string_view found, std::string_view instead, const char* why) {
    EXPECT_THAT(reason(replaced(good, found, instead)), HasSubstr(why)) << instead;
  };
  refused(R"("lanner.format_version":"2")", R"("lanner.format_version":"1")", "lanner.segments");
  refused(R"("lanner.segments")", R"("lanner.segmentz")", "lanner.segments");
  refused(R"([\"aa\",\"bb\",\"cc\"])", R"([\"aa\",\"cc\",\"bb\"])", "don't ascend");
  refused(R"([\"aa\",\"bb\",\"cc\"])", R"([\"aa\",\"aa\",\"cc\"])", "don't ascend");
  refused(R"([\"aa\",\"bb\",\"cc\"])", R"([\"\",\"bb01\",\"cc\"])", "a name of 0 bytes");
  refused(R"([\"aa\",\"bb\",\"cc\"])", R"([\"aa\",\"bb\",100000])", "no field and names");
  refused(R"([\"aa\",\"bb\",\"cc\"])", R"([\"aa\",\"bb,,,,,cc\"])", "not those of 2 segments");
  refused(R"(\"field\":\"day\")", R"(\"field\":\"dax\")", "neither a field of text nor the entity");
  refused(R"(\"field\":\"day\")", R"(\"field\":12345.0)", "no field and names");
  refused(R"("segments.begin":)", R"("segments.begim":)", "segments.begin");
  refused(R"("calibration.scores":)", R"("calibration.scorez":)", "no calibration of all other");

  std::vector<std::int64_t> begin{0};
  for (const auto& own : model->segments()->own)
    begin.push_back(begin.back() + static_cast<std::int64_t>(own.scores.size()));
  for (const std::vector<std::int64_t>& wrong : {std::vector<std::int64_t>{1, begin[1], begin[2], begin[3]},
                                                 {0, begin[2], begin[1], begin[3]},
                                                 {0, begin[1], begin[2], begin[3] + 1},
                                                 {0, begin[1], begin[2], std::int64_t{1} << 60},
                                                 {0, -5, begin[2], begin[3]}})
    refused(text_of(begin), text_of(wrong), "not those of 3 segments");
  refused(text_of(begin), text_of(std::vector<std::int64_t>{0, 0, begin[2], begin[3]}), "segments.scores");
  std::vector<float> turned = model->segments()->own[1].scores;
  std::reverse(turned.begin(), turned.end());
  refused(text_of(model->segments()->own[1].scores), text_of(turned), "segments.scores");
  turned.assign(turned.size(), std::nanf(""));
  refused(text_of(model->segments()->own[1].scores), text_of(turned), "segments.scores");
  const tail::Pareto& pareto = model->segments()->own[2].pareto;
  const std::vector<double> tail{1, pareto.threshold, pareto.shape, pareto.scale, pareto.exceedance};
  refused(text_of(tail), text_of(std::vector<double>{1, 0, 0, -1, 0.1}), "segments.pareto");
}

}  // namespace
}  // namespace lanner::engine
