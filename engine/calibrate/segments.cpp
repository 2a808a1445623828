#include "engine/calibrate/segments.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

#include "engine/records/records.hpp"

namespace lanner::engine {
namespace {

bool can_be_named(std::string_view segment) {
  return !segment.empty() && segment.size() <= segment_bytes_max && valid_utf8(segment);
}

}  // namespace

std::string_view segment_text(const Records& records, std::optional<std::size_t> field, std::size_t row) {
  if (!field) return records.entity[row];
  const Column& column = records.columns[*field];
  return column.missing[row] ? std::string_view() : std::string_view(column.texts[row]);
}

Segments::Segments(std::string field, std::vector<std::string> names)
    : field_(std::move(field)), names_(std::move(names)) {
  if (names_.size() > segments_max)
    throw std::invalid_argument("segments: found " + std::to_string(names_.size()) + ", allowed at most " +
                                std::to_string(segments_max));
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (!can_be_named(names_[i]))
      throw std::invalid_argument("segments: found a name of " + std::to_string(names_[i].size()) +
                                  " bytes, allowed UTF-8 of 1 to " + std::to_string(segment_bytes_max));
    if (i && names_[i] <= names_[i - 1])
      throw std::invalid_argument("segments: found names that don't ascend");
    index_.emplace(names_[i], static_cast<std::uint32_t>(i + 1));
  }
}

std::uint32_t Segments::find(std::string_view segment) const {
  const auto found = index_.find(segment);
  return found == index_.end() ? 0 : found->second;
}

SegmentScores split_by_segment(std::span<const float> scores, std::span<const std::string_view> segments,
                               std::size_t rows_min) {
  if (segments.size() != scores.size())
    throw std::invalid_argument("segments: one a calibration score is needed");
  std::map<std::string_view, std::size_t> rows;
  for (const std::string_view segment : segments) ++rows[segment];
  std::vector<std::pair<std::size_t, std::string_view>> large;
  for (const auto& [segment, count] : rows)
    if (count >= rows_min && can_be_named(segment)) large.emplace_back(count, segment);
  std::stable_sort(large.begin(), large.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (large.size() > segments_max) large.resize(segments_max);

  SegmentScores split;
  for (const auto& [count, segment] : large) split.names.emplace_back(segment);
  std::sort(split.names.begin(), split.names.end());
  split.pooled = rows.size() - large.size() - (rows.contains("") ? 1 : 0);
  split.scores.resize(large.size());
  std::map<std::string_view, std::size_t> place;
  for (std::size_t i = 0; i < split.names.size(); ++i) place[split.names[i]] = i;
  for (std::size_t row = 0; row < scores.size(); ++row) {
    const auto own = place.find(segments[row]);
    (own == place.end() ? split.pool : split.scores[own->second]).push_back(scores[row]);
  }
  split.pool_is_all = split.pool.size() < rows_min;
  if (split.pool_is_all) split.pool.assign(scores.begin(), scores.end());
  return split;
}

}  // namespace lanner::engine
