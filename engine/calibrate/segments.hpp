// Segments: groups of events, by the text of one field, that differ so much in what is ordinary that one
// calibration would raise the alarms of all of them in a few. Each with enough calibration rows has its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lanner::engine {

struct Records;

/// What a row's segment is called, by a field of text (none: by the entity); empty where that is missing.
std::string_view segment_text(const Records&, std::optional<std::size_t> field, std::size_t row);

/// The largest segments have a calibration of their own, at most so many, with names of at most so many
/// bytes.
inline constexpr std::size_t segments_max = 1000, segment_bytes_max = 256;

/// Which calibration is an event's: 0 the pool's, 1 + i that of the i-th segment.
class Segments {
 public:
  /// `field`: the field of text, or the entity, that says the segment. Throws std::invalid_argument unless
  /// the names ascend, are at most segments_max, and each is UTF-8 of 1 to segment_bytes_max bytes.
  Segments(std::string field, std::vector<std::string> names);

  const std::string& field() const { return field_; }
  std::span<const std::string> names() const { return names_; }
  /// 0 for one that has no calibration of its own, an unknown one and none.
  std::uint32_t find(std::string_view segment) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::string field_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> index_;
};

/// Calibration scores by segment.
struct SegmentScores {
  std::vector<std::string> names;          ///< of those that have their own, ascending
  std::vector<std::vector<float>> scores;  ///< of each
  std::vector<float> pool;                 ///< of all others; of all rows where these are too few
  std::size_t pooled = 0;                  ///< segments without their own
  bool pool_is_all = false;
};

/// A segment with at least rows_min scores has its own; the others are pooled, rows of no segment ("") among
/// them; where the pool has fewer than rows_min, it is all scores. Who has its own depends on the segments
/// alone, never on scores. Scores and segments have one item a calibration row; a name that Segments doesn't
/// take is pooled.
SegmentScores split_by_segment(std::span<const float> scores, std::span<const std::string_view> segments,
                               std::size_t rows_min);

}  // namespace lanner::engine
