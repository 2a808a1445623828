// Scored rows into a file's bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/results/results.hpp"

namespace lanner::host {

/// One file's worth. `out` is what goes to the file next.
class RowEncoder {
 public:
  virtual ~RowEncoder() = default;
  virtual void begin(std::string& out) = 0;
  /// Returns how many rows were kept. May hold them back until flush.
  virtual std::size_t append(const ScoredRows&, Keep, std::string& out) = 0;
  virtual void flush(std::string& out) = 0;
  virtual void end(std::string& out) = 0;
  /// Takes up what a crash left of a file: how many of its bytes stay (0: not even its beginning). Nothing:
  /// it isn't a file of this encoder's, and none of our business.
  virtual std::optional<std::size_t> resume(std::string_view bytes) = 0;
  /// A file's name ends in this while it is written, and in that when it is complete.
  virtual std::string_view open_ending() const = 0;
  virtual std::string_view closed_ending() const = 0;
};

std::unique_ptr<RowEncoder> make_csv_encoder();
std::unique_ptr<RowEncoder> make_arrow_encoder();

/// `id`, or where there is none the event's "<producer>:<seq>:<row>", written into `scratch`.
std::string_view event_id(const ScoredRows&, std::size_t row, std::string& scratch);
inline bool is_kept(const ScoredRows& rows, std::size_t row, Keep keep) {
  return keep == Keep::all || (keep == Keep::flagged && (rows.flag[row] & 1u) != 0);
}

}  // namespace lanner::host
