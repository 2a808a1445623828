// The two promises of the drift watch, simulated, and what they rest on.
#include "engine/calibrate/drift.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "tests/engine/calibrate/scores.hpp"

namespace lanner::engine {
namespace {

/// LANNER_DRIFT_WHOLE=1 simulates as much as is promised: 200 streams of 100,000 events, for some minutes.
bool whole_simulation() {
  return std::getenv("LANNER_DRIFT_WHOLE") != nullptr;
}

struct Law {
  std::size_t features = 4;
  double shift = 0;      ///< of every second feature, in standard deviations
  double anomalies = 0;  ///< share of rows six deviations away in every feature
  double step = 0;       ///< features are rounded down to multiples of this
};

/// Rows of features that are correlated and of deviation 1, scored by their squared lengths.
class Source {
 public:
  explicit Source(std::uint64_t seed) : draws_(seed) {}

  void next(const Law& law, std::vector<float>& rows, std::vector<float>& scores) {
    const double common = draws_.normal();
    const double offset = law.anomalies > 0 && draws_.uniform() < law.anomalies ? 6 : 0;
    double score = 0;
    for (std::size_t i = 0; i < law.features; ++i) {
      double value = 0.8 * draws_.normal() + 0.6 * common + offset + (i % 2 == 0 ? law.shift : 0);
      if (law.step > 0) value = std::floor(value / law.step) * law.step;
      rows.push_back(static_cast<float>(value));
      score += value * value;
    }
    scores.push_back(static_cast<float>(score));
  }

 private:
  test::Draws draws_;
};

struct Table {
  std::size_t width;
  std::vector<float> values, scores;
  Rows rows() const { return {values.data(), scores.size(), width, width}; }
};

Table draw(Source& source, const Law& law, std::size_t count) {
  Table table{law.features, {}, {}};
  for (std::size_t i = 0; i < count; ++i) source.next(law, table.values, table.scores);
  return table;
}

std::shared_ptr<const DriftReference> reference_of(const Table& table) {
  std::vector<std::uint32_t> columns(table.width);
  std::iota(columns.begin(), columns.end(), 0u);
  auto reference = drift_reference(table.rows(), table.scores, columns);
  if (!reference) return nullptr;
  validate(*reference, table.width);
  return std::make_shared<const DriftReference>(std::move(*reference));
}

/// The event at which the guarantee is withdrawn, from 1; 0: never.
std::uint64_t withdrawn_at(std::uint64_t seed, std::size_t calibration, const Law& before, std::size_t events,
                           const Law& after = {}, std::size_t events_after = 0) {
  Source source(seed);
  DriftWatch watch(reference_of(draw(source, before, calibration)));
  constexpr std::size_t piece = 1000;
  for (std::size_t done = 0; done < events + events_after && !watch.withdrawn(); done += piece) {
    const Table table = draw(source, done < events ? before : after, piece);
    watch.watch(table.rows(), table.scores, {});
  }
  return watch.withdrawn_at();
}

TEST(Drift, ExchangeableEventsWithdrawNothing) {
  const std::size_t runs = whole_simulation() ? 200 : 30, events = whole_simulation() ? 100'000 : 20'000;
  for (const Law& law : {Law{.features = 4}, Law{.features = 4, .anomalies = 0.01},
                         Law{.features = 9, .step = 1}, Law{.features = 1, .step = 3}}) {
    std::size_t withdrawn = 0;
    for (std::size_t run = 0; run < runs; ++run) withdrawn += withdrawn_at(run, 1000, law, events) != 0;
    std::printf("%zu features, %.2f anomalies, rounded to %.0f: %zu of %zu streams of %zu events withdrawn\n",
                law.features, law.anomalies, law.step, withdrawn, runs, events);
    EXPECT_LE(withdrawn, runs / 100);
  }
}

TEST(Drift, CalibrationOfAFewRowsIsNoDrift) {
  std::size_t withdrawn = 0;
  for (std::size_t run = 0; run < 200; ++run)
    withdrawn += withdrawn_at(1000 + run, drift_rows_min + run % 50, {.features = 2}, 5000) != 0;
  EXPECT_LE(withdrawn, 2u);
}

// A new stream's anomalies are none of the calibration's, which was trimmed or clean.
TEST(Drift, AnomaliesThatTheCalibrationRowsLackAreNoDrift) {
  const std::size_t runs = whole_simulation() ? 200 : 20, events = whole_simulation() ? 100'000 : 20'000;
  std::size_t withdrawn = 0;
  for (std::size_t run = 0; run < runs; ++run)
    withdrawn += withdrawn_at(2000 + run, 1000, {}, 0, {.anomalies = 0.01}, events) != 0;
  std::printf("%zu of %zu streams with 1 %% of new anomalies withdrawn\n", withdrawn, runs);
  EXPECT_LE(withdrawn, runs / 100);
}

TEST(Drift, AShiftOfHalfADeviationInHalfOfTheFeaturesIsNoticed) {
  struct Case {
    std::size_t features, before;
    double anomalies, step;
  };
  const std::size_t runs = whole_simulation() ? 200 : 40;
  std::size_t early = 0;
  for (const Case& given : {Case{2, 5000, 0, 0}, Case{8, 20'000, 0.01, 0}, Case{8, 3000, 0, 1},
                            Case{60, 3000, 0, 0}, Case{4, whole_simulation() ? 90'000u : 30'000u, 0, 0}}) {
    const Law before{.features = given.features, .anomalies = given.anomalies, .step = given.step};
    Law after = before;
    after.shift = 0.5;
    std::vector<std::uint64_t> delays;
    std::size_t in_time = 0;
    for (std::size_t run = 0; run < runs; ++run) {
      const std::uint64_t at = withdrawn_at(3000 + run, 1000, before, given.before, after, 4000);
      early += at != 0 && at <= given.before;
      in_time += at > given.before && at <= given.before + 2000;
      if (at > given.before) delays.push_back(at - given.before);
    }
    std::sort(delays.begin(), delays.end());
    ASSERT_FALSE(delays.empty());
    std::printf("%zu features, shift after %zu events: %zu of %zu within 2000, median %llu, slowest %llu\n",
                given.features, given.before, in_time, runs,
                static_cast<unsigned long long>(delays[delays.size() / 2]),
                static_cast<unsigned long long>(delays.back()));
    EXPECT_GE(in_time * 100, runs * 95);
    EXPECT_LE(early, 5 * runs / 100);
  }
}

// Features are looked at more seldom there.
TEST(Drift, LateInALongStreamAShiftIsNoticedWithinASmallShareOfIt) {
  const std::size_t runs = whole_simulation() ? 200 : 8;
  std::vector<std::size_t> lengths{200'000, 400'000, 500'000, 1'000'000};
  if (whole_simulation()) lengths.insert(lengths.end(), {4'000'000, 20'000'000});
  for (const std::size_t before : lengths) {
    const Law law{.features = 4}, after{.features = 4, .shift = 0.5};
    std::vector<std::uint64_t> delays;
    for (std::size_t run = 0; run < runs; ++run)
      if (const std::uint64_t at = withdrawn_at(5000 + run, 1000, law, before, after, 60'000 + before / 40);
          at > before)
        delays.push_back(at - before);
    ASSERT_GE(delays.size() * 100, runs * 98);
    std::sort(delays.begin(), delays.end());
    std::printf("shift after %zu events: median %llu, slowest %llu\n", before,
                static_cast<unsigned long long>(delays[delays.size() / 2]),
                static_cast<unsigned long long>(delays.back()));
    EXPECT_LE(delays[delays.size() * 95 / 100], before / 50);
  }
}

TEST(Drift, WhereEveryEventIsAnAnomalyTheScoreSaysSo) {
  for (const double features : {1, 8}) {
    const Law before{.features = static_cast<std::size_t>(features)};
    Law after = before;
    after.anomalies = 1;
    const std::uint64_t at = withdrawn_at(4000, 1000, before, 20'000, after, 4000);
    EXPECT_GT(at, 20'000u);
    EXPECT_LE(at, 22'000u);
    // A burst of 500 anomalies is an incident.
    Source source(4001);
    DriftWatch watch(reference_of(draw(source, before, 1000)));
    for (const auto& [law, count] : {std::pair{before, 20'000}, {after, 500}, {before, 20'000}}) {
      const Table table = draw(source, law, static_cast<std::size_t>(count));
      watch.watch(table.rows(), table.scores, {});
    }
    EXPECT_FALSE(watch.withdrawn());
  }
}

// The share of p-values in each tenth, and the spread of a stream's mean: calibration rows that happen to lie
// high or low must not show in it.
TEST(Drift, PValuesAreIndependentAndUniform) {
  for (const double step : {0.0, 0.5, 10.0}) {
    constexpr std::size_t runs = 2000, events = 200;
    std::array<double, 10> tenths{};
    double squares = 0, products = 0;
    for (std::size_t run = 0; run < runs; ++run) {
      Source source(run);
      std::mt19937_64 bits(run + 77);
      const Law law{.features = 1, .step = step};
      const auto reference = reference_of(draw(source, law, 60));
      RankUrn urn(reference->edges.values, reference->edges.ties, reference->rows);
      const Table table = draw(source, law, events);
      double sum = 0, last = 0.5;
      for (const float score : table.scores) {
        const double p = urn.next(score, bits()).p;
        ASSERT_GT(p, 0);
        ASSERT_LT(p, 1);
        ++tenths[static_cast<std::size_t>(p * 10)];
        sum += p - 0.5;
        products += (p - 0.5) * (last - 0.5);
        last = p;
      }
      squares += sum * sum;
    }
    for (const double tenth : tenths) EXPECT_NEAR(tenth / (runs * events), 0.1, 0.003) << step;
    EXPECT_NEAR(squares / runs / (events / 12.0), 1, 0.15) << step;
    EXPECT_NEAR(products / (runs * events) * 12, 0, 0.01) << step;
  }
}

TEST(Drift, NothingDependsOnHowBatchesAreCut) {
  Source source(5);
  const Law law{.features = 6}, shifted{.features = 6, .shift = 0.5};
  const auto reference = reference_of(draw(source, law, 500));
  Table table = draw(source, law, 4000);
  const Table after = draw(source, shifted, 4000);
  table.values.insert(table.values.end(), after.values.begin(), after.values.end());
  table.scores.insert(table.scores.end(), after.scores.begin(), after.scores.end());
  std::vector<std::uint8_t> refused(table.scores.size());
  for (std::size_t i = 0; i < refused.size(); i += 7) {
    refused[i] = 1;
    table.scores[i] = std::numeric_limits<float>::quiet_NaN();
  }
  DriftWatch whole(reference);
  const std::size_t first = whole.watch(table.rows(), table.scores, refused);
  ASSERT_GT(first, 4000u);
  ASSERT_LT(first, 8000u);
  EXPECT_EQ(refused[first], 0);
  EXPECT_EQ(whole.cause() % 2, 1u) << "the first, third and fifth feature shift";
  EXPECT_GT(whole.distance(1), 0.1);
  EXPECT_LT(whole.distance(2), 0.1);

  for (const std::size_t piece : {1u, 37u, 1000u}) {
    DriftWatch cut(reference);
    std::size_t found = table.scores.size();
    for (std::size_t begin = 0; begin < table.scores.size(); begin += piece) {
      const std::size_t end = std::min(begin + piece, table.scores.size());
      // What was stored and restored goes on as if nothing had been.
      DriftWatch again(reference);
      again.restore(cut.state());
      cut = std::move(again);
      const std::size_t at =
          cut.watch(table.rows().slice(begin, end), std::span(table.scores).subspan(begin, end - begin),
                    std::span(refused).subspan(begin, end - begin));
      if (at < end - begin) found = std::min(found, begin + at);
    }
    EXPECT_EQ(found, first);
    EXPECT_EQ(cut.state(), whole.state());
    EXPECT_EQ(cut.withdrawn_at(), whole.withdrawn_at());
  }
}

// The score in one event of 32, and each feature in one ordinary event of 4, then of 8, of 16 ...
TEST(Drift, LooksAtTheRowsThatItSaysWhateverIsRefused) {
  Source source(6);
  const Law law{.features = 5, .step = 0.5};
  const Table calibration = draw(source, law, 400);
  const auto reference = reference_of(calibration);
  const std::size_t columns = law.features + 1;
  DriftWatch watch(reference);
  std::vector<std::uint64_t> looks(columns, 0);
  std::uint64_t events = 0, ordinary = 0;
  std::size_t ties = 0;
  for (std::size_t piece = 0; piece < 400; ++piece) {
    Table table = draw(source, law, 1500);
    std::vector<std::uint8_t> refused(table.scores.size());
    for (std::size_t i = piece % 3; i < refused.size(); i += 1 + piece % 50) refused[i] = piece % 2;
    // Whether a tied score is ordinary is for random numbers to say: without such ties it can be foretold.
    for (float& score : table.scores) {
      if (score != reference->beyond) continue;
      ++ties;
      score = std::nextafter(score, 0.0f);
    }
    watch.watch(table.rows(), table.scores, refused);
    for (std::size_t i = 0; i < refused.size(); ++i) {
      if (refused[i]) continue;
      if (events++ % 32 == 0) ++looks[0];
      if (table.scores[i] > reference->beyond) continue;
      std::uint64_t every = 4;
      for (std::uint64_t from = 131'072; from <= ordinary && every < 1024; from *= 2) every *= 2;
      for (std::size_t c = 1; c < columns; ++c)
        if ((c - 1) % every == ordinary % every) ++looks[c];
      ++ordinary;
    }
  }
  EXPECT_GT(ties, 100u);
  EXPECT_GT(ordinary, 300'000u);
  EXPECT_EQ(watch.events(), events);
  const std::vector<double> state = watch.state();
  EXPECT_EQ(state[1], static_cast<double>(ordinary));
  constexpr std::size_t kept_a_column = 2 * drift_bins + 4;
  for (std::size_t c = 0; c < columns; ++c)
    EXPECT_EQ(state[4 + c * kept_a_column + drift_bins - 1], static_cast<double>(looks[c])) << c;
}

TEST(Drift, ALongStreamGoesOnFromItsState) {
  Source source(8);
  const Law law{.features = 5};
  const auto reference = reference_of(draw(source, law, 500));
  DriftWatch whole(reference), cut(reference);
  for (std::size_t piece = 0; piece < 300; ++piece) {
    const Table table = draw(source, law, 2000);
    whole.watch(table.rows(), table.scores, {});
    DriftWatch again(reference);
    again.restore(cut.state());
    cut = std::move(again);
    for (const auto& [begin, end] : {std::pair{0, 700}, {700, 2000}})
      cut.watch(table.rows().slice(begin, end), std::span(table.scores).subspan(begin, end - begin), {});
  }
  EXPECT_EQ(cut.state(), whole.state());
}

TEST(Drift, AStateThatIsNoneIsRefused) {
  Source source(6);
  const auto reference = reference_of(draw(source, {.features = 3}, 100));
  DriftWatch watch(reference);
  const Table table = draw(source, {.features = 3}, 1000);
  watch.watch(table.rows(), table.scores, {});
  const std::vector<double> good = watch.state();
  DriftWatch other(reference);
  const auto refuses = [&](std::size_t place, double value) {
    std::vector<double> state = good;
    state[place] = value;
    EXPECT_THROW(other.restore(state), std::invalid_argument) << place << ' ' << value;
  };
  for (std::size_t place = 0; place < good.size(); ++place)
    for (const double wrong :
         {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e300})
      refuses(place, wrong);
  refuses(0, good[0] - 100);  // fewer events than were looked at
  refuses(2, good[0] + 1);    // withdrawn at an event that is to come
  refuses(3, 4);              // for a feature that isn't there
  refuses(4, good[4] + 0.5);
  EXPECT_THROW(other.restore({}), std::invalid_argument);
  EXPECT_THROW(other.restore(std::span(good).first(good.size() - 1)), std::invalid_argument);
  EXPECT_EQ(other.state(), DriftWatch(reference).state()) << "what was refused has left no trace";
  other.restore(good);
  EXPECT_EQ(other.state(), good);
}

TEST(Drift, AReferenceThatIsNoneIsRefused) {
  Source source(7);
  const Table table = draw(source, {.features = 3}, 100);
  EXPECT_FALSE(drift_reference(table.rows().slice(0, 49), std::span(table.scores).first(49), {}));
  EXPECT_THROW(drift_reference(table.rows(), std::span(table.scores).first(99), {}), std::invalid_argument);
  const DriftReference good = *reference_of(table);
  const auto refused = [](DriftReference wrong, auto&& change) {
    change(wrong);
    EXPECT_THROW(validate(wrong, 3), std::invalid_argument);
  };
  EXPECT_THROW(validate(good, 2), std::invalid_argument);
  refused(good, [](auto& r) { r.rows = 49; });
  refused(good, [](auto& r) { r.rows = std::uint64_t{1} << 60; });
  refused(good, [](auto& r) { r.columns.pop_back(); });
  refused(good, [](auto& r) { std::swap(r.columns[0], r.columns[1]); });
  refused(good, [](auto& r) { r.edges.ties.pop_back(); });
  refused(good, [](auto& r) { std::swap(r.edges.values[40], r.edges.values[41]); });
  refused(good, [](auto& r) { r.edges.values[3] = std::numeric_limits<float>::quiet_NaN(); });
  refused(good, [](auto& r) { r.beyond = std::numeric_limits<float>::infinity(); });
}

}  // namespace
}  // namespace lanner::engine
