// A stream that drifts: every later event says so, and so do status, metrics and the reasons of being
// degraded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/pipeline/state.hpp"
#include "host/pipeline/status.hpp"
#include "tests/host/pipeline/simulated_host.hpp"

namespace lanner::host {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t width = 4;

StreamConfig watched(bool watch = true) {
  StreamConfig stream = stream_of("s", width);
  stream.watch_drift = watch;
  stream.learn->save = "somewhere";  // its model is in a file
  return stream;
}

struct DriftingHost {
  explicit DriftingHost(bool watch = true) : host({{}, lossy(), false}, {watched(watch)}) {
    host.use("s", {fitted(*host.device, width, "histogram")});
  }

  void pass(std::size_t count, unsigned seed, float shift, std::size_t a_batch) {
    std::vector<float> rows = normal_rows(count, width, seed);
    for (std::size_t i = 0; i < rows.size(); i += 2) rows[i] += shift;
    for (std::size_t at = 0; at < rows.size(); at += a_batch * width)
      host.source.incoming.push_back(
          tensor("", "s",
                 {rows.begin() + static_cast<std::ptrdiff_t>(at),
                  rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), at + a_batch * width))},
                 width));
    host.drain();
  }

  /// The event, from 1, from which on all are marked; 0: none is.
  std::size_t marked_from() const {
    std::vector<std::uint8_t> flags;
    for (const Published& message : host.publisher.of("scores.s"))
      for (const std::uint8_t flag : message.values<std::uint8_t>(4)) flags.push_back(flag);
    const auto first =
        std::ranges::find_if(flags, [](std::uint8_t flag) { return flag & engine::flag_withdrawn; });
    if (first == flags.end()) return 0;
    EXPECT_TRUE(
        std::all_of(first, flags.end(), [](std::uint8_t flag) { return flag & engine::flag_withdrawn; }));
    return static_cast<std::size_t>(first - flags.begin()) + 1;
  }

  Json status() const {
    Standing standing;
    standing.degraded = drifts(*host.pipeline->routes());
    return Json::parse(status_json(standing, host.counters, *host.pipeline->routes()));
  }
  std::string metrics() const {
    return metrics_text({}, host.counters, host.streams, *host.pipeline->routes());
  }

  SimulatedHost host;
};

TEST(Drift, WithdrawsTheGuaranteeVisibly) {
  DriftingHost run;
  run.pass(5000, 5, 0, 500);
  EXPECT_EQ(run.marked_from(), 0u);
  EXPECT_EQ(run.status()["streams"]["s"]["models"][0]["drift"]["withdrawn"], false);
  EXPECT_THAT(run.status()["degraded"], IsEmpty());
  EXPECT_THAT(run.metrics(), HasSubstr("lanner_model_drifted{stream=\"s\",model=\"histogram0\"} 0"));

  run.pass(4000, 6, 0.5, 500);
  const std::size_t from = run.marked_from();
  EXPECT_GT(from, 5000u);
  EXPECT_LE(from, 7000u);
  const Json drift = run.status()["streams"]["s"]["models"][0]["drift"];
  EXPECT_EQ(drift["withdrawn"], true);
  EXPECT_EQ(drift["event"], from);
  EXPECT_THAT(drift["cause"].get<std::string>(), testing::AnyOf("x0", "x2"));
  EXPECT_GT(drift["distances"][drift["cause"].get<std::string>()], 0.05);
  const Json degraded = run.status()["degraded"];
  ASSERT_EQ(degraded.size(), 1u);
  EXPECT_THAT(degraded[0].get<std::string>(),
              testing::StartsWith("stream s: histogram0: the data has drifted from the calibration rows (x"));
  EXPECT_THAT(degraded[0].get<std::string>(), HasSubstr("event " + std::to_string(from)));
  EXPECT_THAT(run.metrics(), HasSubstr("lanner_model_drifted{stream=\"s\",model=\"histogram0\"} 1"));
}

TEST(Drift, IsTheSameHoweverBatchesAreCutAndAcrossACleanStop) {
  DriftingHost whole, cut, again;
  whole.pass(4000, 6, 0.5, 4000);
  cut.pass(4000, 6, 0.5, 7);
  EXPECT_GT(whole.marked_from(), 0u);
  EXPECT_EQ(cut.marked_from(), whole.marked_from());
  EXPECT_EQ(state_of(*cut.host.pipeline->routes()), state_of(*whole.host.pipeline->routes()));
  const auto restored =
      restore_state(state_of(*whole.host.pipeline->routes()), *again.host.pipeline->routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_TRUE(restored[0].whole) << restored[0].text;
  EXPECT_EQ(again.status()["degraded"], whole.status()["degraded"]);
  again.pass(1, 7, 0, 1);
  EXPECT_EQ(again.marked_from(), 1u);
}

TEST(Drift, IsNotWatchedWhereItIsOff) {
  DriftingHost run(false);
  run.pass(4000, 6, 2, 500);
  EXPECT_EQ(run.marked_from(), 0u);
  EXPECT_TRUE(run.status()["streams"]["s"]["models"][0]["drift"].is_null());
  EXPECT_THAT(run.metrics(), testing::Not(HasSubstr("lanner_model_drifted{")));
}

}  // namespace
}  // namespace lanner::host
