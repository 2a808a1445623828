#include "engine/refit/refit.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/refit/events.hpp"

namespace lanner::engine {
namespace {

using testing::made_events;
using testing::made_model;
using testing::made_options;

TEST(Refit, FollowsAStreamThatHasMoved) {
  const auto device = Device::cpu();
  const auto now = made_model(*device, made_events(2000, 1));
  const auto [model, gate] = refit(*device, now, made_events(2000, 2, 3), made_options());
  EXPECT_TRUE(gate.open()) << gate.text();
  EXPECT_EQ(gate.events, 400u);
  EXPECT_GT(gate.flagged_now, gate.flagged_allowed);
  EXPECT_LE(gate.flagged_next, gate.flagged_allowed);
  EXPECT_EQ(model->features().schema(), now->features().schema());
  EXPECT_EQ(model->provenance().at("rows_fitted_on"), "1280");
}

TEST(Refit, OfTheCalibrationAloneScoresTheSame) {
  const auto device = Device::cpu();
  FitOptions options = made_options();
  options.settings = {{"segment", "kind"}, {"segment_rows", "60"}, {"scale", "standard"}};
  const auto now = made_model(*device, made_events(2000, 1), options);
  const auto [model, gate] = refit(*device, now, made_events(2000, 2, 3), options, Renewed::calibration);
  EXPECT_EQ(gate.ranked_now, gate.ranked_next);
  EXPECT_GT(gate.flagged_now, gate.flagged_allowed);
  EXPECT_LE(gate.flagged_next, gate.flagged_allowed);
  EXPECT_EQ(model->features().to_json(), now->features().to_json()) << "scales are not learned again";
  EXPECT_TRUE(std::ranges::equal(model->segments()->segments.names(), now->segments()->segments.names()));
  options.settings = {{"calibration", "none"}};
  EXPECT_THROW(
      made_model(*device, made_events(500, 1), options)->recalibrated(*device, made_events(500, 2), 1),
      std::invalid_argument);
}

TEST(Refit, AModelSaysHowItWasFitted) {
  const auto device = Device::cpu();
  const Records events = made_events(800, 1);
  FeatureSpec plain, often, kind;
  plain.name = plain.field = "x1";
  plain.scale = Scale::minmax;
  often.name = "often";
  often.kind = FeatureKind::count;
  often.window_ns = 60'000'000'000;
  kind.name = kind.field = "kind";
  kind.kind = FeatureKind::rarity;
  FitOptions windows = made_options(7);
  windows.features = {plain, often, kind};
  windows.limits = {.entities_max = 4, .events_max = 30, .events_total_max = 100};
  FitOptions set = made_options(3);
  set.detector = "isolation_forest";
  set.settings = {
      {"trees", "20"}, {"scale", "robust"}, {"trim", "false"}, {"segment", "kind"}, {"segment_rows", "40"}};
  set.name = "of a name";
  FitOptions cross = made_options();
  cross.detector = "nearest_neighbours";
  cross.settings = {{"calibration", "cross"}, {"k", "auto"}};
  for (const FitOptions& options : {windows, set, cross}) {
    const auto model = made_model(*device, events, options);
    EXPECT_EQ(made_model(*device, events, options_of(*model))->hash(), model->hash()) << options.detector;
  }
  FitOptions chosen = made_options();
  chosen.detector = "auto";
  const auto model = made_model(*device, events, chosen);
  EXPECT_EQ(options_of(*model).detector, model->detector().name);
}

TEST(Refit, SaysWhatItIsToldTo) {
  const auto device = Device::cpu();
  const auto now = made_model(*device, made_events(500, 1));
  FitOptions options = made_options();
  options.provenance = {{"refit_of", "it"}, {"seed", "not this"}};
  for (const Renewed renewed : {Renewed::fit, Renewed::calibration}) {
    const auto first = refit(*device, now, made_events(500, 2), options, renewed).model;
    EXPECT_EQ(first->provenance().at("refit_of"), "it");
    EXPECT_EQ(first->provenance().at("seed"), "1") << "what a fit says of itself goes before";
    options.provenance["refit_of"] = "another";
    EXPECT_EQ(refit(*device, first, made_events(500, 3), options, renewed).model->provenance().at("refit_of"),
              "another");
    options.provenance["refit_of"] = "it";
  }
}

TEST(Refit, IsFittedOnTheEarlierEventsAlone) {
  const auto device = Device::cpu();
  const auto now = made_model(*device, made_events(2000, 1));
  Records recent = made_events(2000, 2), other = recent;
  for (std::size_t row = 1600; row < 2000; ++row) other.columns[0].numbers[row] *= 5;
  EXPECT_EQ(refit(*device, now, recent, made_options()).model->hash(),
            refit(*device, now, other, made_options()).model->hash());
  recent.columns[0].numbers[1599] *= 5;
  EXPECT_NE(refit(*device, now, recent, made_options()).model->hash(),
            refit(*device, now, other, made_options()).model->hash());
}

TEST(Refit, IsNotLetThroughWhereTheRecentPastWasWild) {
  // Four fifths of the events were noise, and then all was as before.
  const auto device = Device::cpu();
  const auto now = made_model(*device, made_events(2000, 1));
  Records recent = made_events(2000, 2, 0, 40);
  recent.columns[1] = made_events(2000, 5, 0, 1).columns[1];
  const Records usual = made_events(400, 3);
  for (std::size_t row = 0; row < 400; ++row)
    for (const std::size_t f : {0u, 1u, 2u}) recent.columns[f].numbers[1600 + row] = usual.number(row, f);
  const Gate gate = refit(*device, now, recent, made_options()).gate;
  EXPECT_FALSE(gate.open()) << gate.text();
}

}  // namespace
}  // namespace lanner::engine
