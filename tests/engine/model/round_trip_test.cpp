// Batches to a GPU and back: the CPU's scores and p-values, bit for bit, however many are
// under way, whatever was under way before, and whatever order the device does its work in.
#include "engine/model/round_trip.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/device/emulated.hpp"
#include "kernels/device/error.hpp"
#include "tests/engine/model/models.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows

constexpr std::size_t rows_max = 64;

std::shared_ptr<const Model> model_of(const std::string& detector, const char* calibration = "0.2",
                                      std::size_t width = 3) {
  return fit(normal_rows(120, width, 1), options_of(detector, {{"calibration", calibration}}));
}

/// Rows of which some are refused, in pinned memory, and what the CPU says of them.
struct Batch {
  Batch(Device& device, const std::shared_ptr<const Model>& model, const Table& table)
      : pinned(device.pinned<float>(table.values.size())),
        rows(table.rows()),
        refused(table.count()),
        count(table.count()) {
    std::copy(table.values.begin(), table.values.end(), pinned.data());
    rows.data = pinned.data();
    for (std::size_t i = 4; i < count; i += 9) {
      refused[i] = 1;
      std::fill_n(pinned.data() + i * rows.width, rows.width, 0.0f);
    }
    expected = score(model, rows, refused);
  }
  Pinned<float> pinned;
  Rows rows;
  std::vector<std::uint8_t> refused;
  std::size_t count;
  Scored expected;
};

Table queries(std::size_t count, std::uint64_t seed, std::size_t width = 3) {
  Table table = queries_for(normal_rows(30, width, seed), seed + 1);
  table.values.resize(count * width);
  return table;
}

Scored results_of(const RoundTrip& trip, const Batch& batch) {
  Scored out{{trip.scores().begin(), trip.scores().end()},
             {trip.p_values().begin(), trip.p_values().end()},
             {trip.extrapolated().begin(), trip.extrapolated().end()}};
  settle_refused(batch.refused, out.scores, out.p_values, out.extrapolated);
  return out;
}

class EveryDetectorsRoundTrip : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryDetectorsRoundTrip, BringsTheCpusResultsBatchAfterBatch) {
  const auto calibrated = model_of(GetParam()), uncalibrated = model_of(GetParam(), "none");
  for (const auto& device :
       tests::gpus({{.seed = 0}, {.seed = 1}, {.seed = 2}, {.seed = 3, .truncating_products = true}})) {
    SCOPED_TRACE(device->description());
    RoundTrip trip(*device);
    for (const auto& model : {calibrated, uncalibrated, calibrated}) {
      const ModelScorer scorer(model, *device);
      trip.make_room(scorer, rows_max);
      for (const std::size_t count : {40u, 1u, 23u}) {
        const Batch batch(*device, model, queries(count, count));
        trip.begin(scorer, batch.rows);
        if (device->backend() == Backend::emulated) {
          EXPECT_FALSE(trip.done()) << "a device that has hardly been asked yet";
        }
        while (!trip.done()) continue;
        EXPECT_TRUE(results_of(trip, batch) == batch.expected) << count << " rows";
      }
    }
  }
}

TEST_P(EveryDetectorsRoundTrip, ShowsThatTheDeviceHasScored) {
  const auto model = model_of(GetParam());
  const auto device = make_emulated_device({.perturb = true});
  const ModelScorer scorer(model, *device);
  const Batch batch(*device, model, queries(20, 1));
  RoundTrip trip(*device);
  trip.make_room(scorer, rows_max);
  trip.begin(scorer, batch.rows);
  trip.wait();
  EXPECT_NE(results_of(trip, batch).scores, batch.expected.scores) << "its results were changed on the way";
}

INSTANTIATE_TEST_SUITE_P(Catalogue, EveryDetectorsRoundTrip, ::testing::ValuesIn(detector_names()),
                         [](const auto& info) { return info.param; });

TEST(RoundTrip, SeveralOfSeveralModelsAreUnderWayAtOnce) {
  const std::vector<std::shared_ptr<const Model>> models{
      model_of("histogram"), model_of("autoencoder", "none", 7), model_of("nearest_neighbours", "cross", 5)};
  for (const auto& device :
       tests::gpus({{.seed = 0}, {.seed = 1}, {.seed = 2}, {.seed = 3}, {.seed = 4}, {.seed = 5}})) {
    SCOPED_TRACE(device->description());
    std::vector<std::unique_ptr<ModelScorer>> scorers;
    for (const auto& model : models) scorers.push_back(std::make_unique<ModelScorer>(model, *device));
    std::vector<std::unique_ptr<RoundTrip>> trips;
    for (int i = 0; i < 4; ++i) trips.push_back(std::make_unique<RoundTrip>(*device));
    for (std::size_t round = 0; round < 3; ++round) {
      std::vector<Batch> batches;
      for (std::size_t i = 0; i < trips.size(); ++i) {
        const std::size_t m = (i + round) % models.size();
        const std::size_t width = scorers[m]->scorer().width();
        batches.emplace_back(*device, models[m], queries(3 + 8 * i, i + round, width));
        trips[i]->make_room(*scorers[m], rows_max);
      }
      for (std::size_t i = 0; i < trips.size(); ++i)
        trips[i]->begin(*scorers[(i + round) % models.size()], batches[i].rows);
      // Whoever asks first gets the others' work done as well, or doesn't.
      for (std::size_t i = trips.size(); i-- > 0;) {
        if (i == 2) trips[i]->wait();
        while (!trips[i]->done()) continue;
        EXPECT_TRUE(results_of(*trips[i], batches[i]) == batches[i].expected)
            << "round " << round << ", trip " << i;
      }
    }
  }
}

TEST(RoundTrip, RefusesRowsThatItHasNoRoomFor) {
  const auto model = model_of("histogram");
  const auto device = make_emulated_device();
  const ModelScorer scorer(model, *device);
  RoundTrip trip(*device);
  const Batch batch(*device, model, queries(12, 1));
  EXPECT_THROW(trip.begin(scorer, batch.rows), std::invalid_argument) << "no room was made at all";
  trip.make_room(scorer, 11);
  EXPECT_THROW(trip.begin(scorer, batch.rows), std::invalid_argument);
  Rows strided = batch.rows.slice(0, 5);
  strided.stride = 4;
  EXPECT_THROW(trip.begin(scorer, strided), std::invalid_argument);
  const Table not_pinned = queries(5, 1);
  EXPECT_THROW(trip.begin(scorer, not_pinned.rows()), DeviceError);
  EXPECT_TRUE(trip.done());
  trip.make_room(scorer, 12);
  trip.begin(scorer, batch.rows);
  trip.wait();
  EXPECT_TRUE(results_of(trip, batch) == batch.expected);
}

// Any of its calls fails; then what was put into the stream before comes to its end, and the trip is known to
// have ended.
TEST(RoundTrip, EndsAfterACallFailed) {
  using Failure = EmulatedOptions::Failure;
  const auto model = model_of("histogram");
  std::uint64_t calls_before = 0;
  const auto fails = [&](std::uint64_t fail_at, Failure failure, auto&& then) {
    const auto device = make_emulated_device({.seed = 1, .fail_at = fail_at, .failure = failure});
    const ModelScorer scorer(model, *device);
    const Batch batch(*device, model, queries(12, 1));
    RoundTrip trip(*device);
    trip.make_room(scorer, rows_max);
    calls_before = emulated_calls(*device);
    bool failed = false;
    try {
      trip.begin(scorer, batch.rows);
      for (int i = 0; i < 100 && !trip.done(); ++i) continue;
    } catch (const DeviceError&) {
      failed = true;
    }
    if (failed || failure == Failure::hang) then(trip);
    return failed;
  };
  const auto ends = [](RoundTrip& trip) {
    int asked = 0;
    while (!trip.ended() && asked < 100) ++asked;
    EXPECT_LT(asked, 100);
  };
  const auto never_ends = [](RoundTrip& trip) {
    for (int i = 0; i < 100; ++i) ASSERT_FALSE(trip.ended());
  };
  ASSERT_FALSE(fails(0, Failure::error, ends));
  const std::uint64_t first = calls_before + 1;
  std::uint64_t failing = 0;
  while (fails(first + failing, Failure::error, ends)) {
    ++failing;
    ASSERT_LT(failing, 1000u);
  }
  EXPECT_GT(failing, 6u) << "a copy in, kernels, copies out, an event";
  EXPECT_FALSE(fails(first, Failure::hang, never_ends)) << "what hangs doesn't fail";
}

}  // namespace
}  // namespace lanner::engine
