#include "engine/series/series_view.hpp"

#include <algorithm>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

// A mean of equal values is off by a rounding or two, which must not be news.
constexpr double rounding_share = 0x1p-40;

// A share of the warm-up to the nearest row, halves up.
std::size_t block_rows(std::size_t warm_up, std::size_t parts) {
  return std::max<std::size_t>(1, (2 * warm_up + parts) / (2 * parts));
}

double seasonal_error(double value, double expected) {
  const double error = value - expected;
  return absolute(error) <= rounding_share * std::max(absolute(value), absolute(expected)) ? 0 : error;
}

}  // namespace

std::array<double, series_channels> channel_contributions(
    const std::array<double, series_channels>& surprises, double largest_share) {
  std::array<double, series_channels> parts{};
  const auto largest = std::ranges::max_element(surprises);
  double sum = 0;
  for (const double surprise : surprises) sum += surprise;
  if (sum / 2 >= largest_share * *largest) {
    std::ranges::transform(surprises, parts.begin(), [](double surprise) { return surprise / 2; });
  } else {
    parts[static_cast<std::size_t>(largest - surprises.begin())] = largest_share * *largest;
  }
  return parts;
}

SeriesView::SeriesView(const ViewRule& rule)
    : rule_(rule),
      season_(rule.season, static_cast<double>(rule.warm_up)),
      above_(rule.tail),
      below_(rule.tail) {
  const BlockShape shapes[] = {
      {1, 8, false}, {block_rows(rule.warm_up, 200), 8, true}, {block_rows(rule.warm_up, 100), 4, true}};
  for (const BlockShape& shape : shapes)
    windows_.push_back({LeftNeighbours(shape, rule.blocks_held), SurpriseHistogram(rule.tail)});
}

ViewScore SeriesView::push(std::int64_t time_ns, double value) {
  ViewScore result;
  for (std::size_t i = 0; i < windows_.size(); ++i) {
    Windows& windows = windows_[i];
    const LeftNeighbours::Step step = windows.neighbours.push(value);
    if (step.completed) windows.surprise = step.distance ? windows.histogram.update(*step.distance) : 0;
    result.surprises[i] = windows.surprise;
  }
  result.expected = season_.update(time_ns, value);
  const double error = seasonal_error(value, result.expected);
  result.surprises.back() =
      std::max(above_.update(std::max(error, 0.0)), below_.update(std::max(-error, 0.0)));
  double sum = 0, largest = 0;
  for (const double surprise : result.surprises) {
    sum += surprise;
    largest = std::max(largest, surprise);
  }
  result.score = std::max(sum / 2, rule_.largest_share * largest);
  return result;
}

void SeriesView::save(SnapshotWriter& writer) const {
  for (const Windows& windows : windows_) {
    windows.neighbours.save(writer);
    windows.histogram.save(writer);
    writer.number(windows.surprise);
  }
  season_.save(writer);
  above_.save(writer);
  below_.save(writer);
}

void SeriesView::load(SnapshotReader& reader) {
  for (Windows& windows : windows_) {
    windows.neighbours.load(reader);
    windows.histogram.load(reader);
    windows.surprise = reader.number(0, whole_most);
  }
  season_.load(reader);
  above_.load(reader);
  below_.load(reader);
}

}  // namespace lanner::engine
