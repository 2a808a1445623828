#include "engine/series/series_detector.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace lanner::engine {
namespace {

constexpr std::string_view snapshot_name = "LANNERS1";

void require(bool allowed, const char* name, const char* range) {
  if (!allowed) throw std::invalid_argument(std::string("series: ") + name + ": allowed " + range);
}

SeriesParameters checked(const SeriesParameters& p) {
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  const auto not_negative = [](double value) { return std::isfinite(value) && value >= 0; };
  require(p.warm_up >= 20 && p.warm_up <= 1'000'000, "warm_up", "20 to 1000000 rows");
  require(positive(p.threshold), "threshold", "a number above 0");
  require(not_negative(p.pause), "pause", "a number of at least 0");
  require(not_negative(p.fatigue), "fatigue", "a number of at least 0");
  require(positive(p.fatigue_decay), "fatigue_decay", "a number above 0");
  require(p.blocks_held >= 32 && p.blocks_held <= 65'536, "blocks_held", "32 to 65536");
  require(p.largest_share >= 0 && p.largest_share <= 1, "largest_share", "0 to 1");
  require(p.tail.share > 0 && p.tail.share < 1, "tail.share", "a share between 0 and 1");
  require(p.tail.least >= 1 && p.tail.least <= 1e6, "tail.least", "1 to 1000000");
  require(p.tail.values_least >= 1 && p.tail.values_least <= 1e6, "tail.values_least", "1 to 1000000");
  require(p.season.day_slots >= 1 && p.season.day_slots <= 1440, "season.day_slots", "1 to 1440");
  require(p.season.week_slots >= 1 && p.season.week_slots <= 10'080, "season.week_slots", "1 to 10080");
  require(p.season.memory >= 1 && p.season.memory <= 1e6, "season.memory", "1 to 1000000");
  require(positive(p.season.shrink), "season.shrink", "a number above 0");
  return p;
}

AlarmRule alarm_rule(const SeriesParameters& p) {
  const double warm_up = static_cast<double>(p.warm_up);
  return {p.threshold, p.pause * warm_up, p.fatigue, p.fatigue_decay * warm_up};
}

}  // namespace

SeriesDetector::SeriesDetector(const SeriesParameters& parameters)
    : parameters_(checked(parameters)),
      view_rule_{parameters.warm_up, parameters.blocks_held, parameters.largest_share, parameters.tail,
                 parameters.season},
      policy_(alarm_rule(parameters)) {
  warm_up_times_.reserve(parameters.warm_up);
  warm_up_values_.reserve(parameters.warm_up);
}

SeriesScore SeriesDetector::push(std::int64_t time_ns, double value) {
  SeriesScore result;
  result.missing = !is_value(value);
  result.warming_up = !views_;
  if (result.missing) {
    ++missing_;
    return result;
  }
  if (!views_) {
    warm_up_times_.push_back(time_ns);
    warm_up_values_.push_back(value);
    if (warm_up_values_.size() == parameters_.warm_up) {
      views_ = learned_from_warm_up();
      warm_up_times_ = {};
      warm_up_values_ = {};
    }
    return result;
  }
  const ViewScore plain = views_->plain.push(time_ns, value);
  const ViewScore compressed = views_->compressed.push(time_ns, views_->compression(value));
  const bool is_plain = plain.score >= compressed.score;
  result.view = is_plain ? SeriesViewKind::plain : SeriesViewKind::compressed;
  result.score = is_plain ? plain.score : compressed.score;
  result.surprises = is_plain ? plain.surprises : compressed.surprises;
  result.expected = plain.expected;
  result.threshold = policy_.threshold();
  result.alarm = policy_.update(result.score);
  return result;
}

SeriesDetector::Views SeriesDetector::learned_from_warm_up() const {
  Views views{Compression::learn(warm_up_values_), SeriesView(view_rule_), SeriesView(view_rule_)};
  for (std::size_t i = 0; i < warm_up_values_.size(); ++i) {
    views.plain.push(warm_up_times_[i], warm_up_values_[i]);
    views.compressed.push(warm_up_times_[i], views.compression(warm_up_values_[i]));
  }
  return views;
}

std::uint64_t SeriesDetector::parameters_fingerprint() const {
  const SeriesParameters& p = parameters_;
  const double numbers[] = {static_cast<double>(p.warm_up),
                            p.threshold,
                            p.pause,
                            p.fatigue,
                            p.fatigue_decay,
                            static_cast<double>(p.blocks_held),
                            p.largest_share,
                            p.tail.share,
                            p.tail.least,
                            p.tail.values_least,
                            static_cast<double>(p.season.day_slots),
                            static_cast<double>(p.season.week_slots),
                            p.season.memory,
                            p.season.shrink};
  return fingerprint(std::as_bytes(std::span(numbers)));
}

std::vector<std::byte> SeriesDetector::snapshot() const {
  SnapshotWriter writer(snapshot_name, parameters_fingerprint());
  writer.whole(missing_);
  writer.whole(views_.has_value());
  if (views_) {
    views_->compression.save(writer);
    views_->plain.save(writer);
    views_->compressed.save(writer);
    policy_.save(writer);
  } else {
    writer.whole(warm_up_values_.size());
    writer.numbers(warm_up_values_);
    for (const std::int64_t time : warm_up_times_) writer.whole(static_cast<std::uint64_t>(time));
  }
  return std::move(writer).finish();
}

void SeriesDetector::restore(std::span<const std::byte> bytes) {
  SnapshotReader reader(bytes, snapshot_name, parameters_fingerprint());
  SeriesDetector fresh(parameters_);
  fresh.missing_ = reader.whole(UINT64_MAX);
  if (reader.whole(1) != 0) {
    fresh.views_.emplace(Views{{}, SeriesView(view_rule_), SeriesView(view_rule_)});
    fresh.views_->compression.load(reader);
    fresh.views_->plain.load(reader);
    fresh.views_->compressed.load(reader);
    fresh.policy_.load(reader);
    fresh.warm_up_times_ = {};
    fresh.warm_up_values_ = {};
  } else {
    fresh.warm_up_values_.resize(reader.whole(parameters_.warm_up - 1));
    reader.numbers(fresh.warm_up_values_, -value_most, value_most);
    for (std::size_t i = 0; i < fresh.warm_up_values_.size(); ++i)
      fresh.warm_up_times_.push_back(static_cast<std::int64_t>(reader.whole(UINT64_MAX)));
  }
  reader.finish();
  *this = std::move(fresh);
}

}  // namespace lanner::engine
