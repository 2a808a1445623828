// The results sink: files of scored rows, synced before the ack; and beside them how far each producer has
// come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/records/records.hpp"
#include "host/clock.hpp"

namespace lanner::host {

/// One batch scored by one model, as sinks and publishers see it: views, n long each. entity, id and time may
/// be empty (then ids are "<producer>:<seq>:<row>").
struct ScoredRows {
  std::string_view stream, producer;
  std::uint64_t seq = 0;
  std::size_t count = 0;
  std::string_view model, model_hash;
  std::span<const float> score;
  std::span<const double> p_value, threshold;
  std::span<const std::uint8_t> flag;
  const engine::Texts* entity = nullptr;
  const engine::Texts* id = nullptr;
  std::span<const std::int64_t> time;
};

enum class ResultsFormat { csv, arrow };
enum class Keep { all, flagged, none };

struct ResultsOptions {
  std::filesystem::path directory;
  ResultsFormat format = ResultsFormat::csv;
  Keep keep = Keep::all;
  std::uint64_t rotate_bytes = 256u << 20;
  std::int64_t rotate_s = 3600;
  bool operator==(const ResultsOptions&) const = default;
};

/// What the pipeline writes results to. Not thread safe. Errors are std::system_error naming the path.
class ResultsSink {
 public:
  virtual ~ResultsSink() = default;
  virtual void append(const ScoredRows&) = 0;
  /// Marks (stream-independent) producer's batches up to seq as settled: durable with the next sync.
  virtual void settle(std::string_view producer, std::uint64_t seq) = 0;
  /// Everything appended and settled so far is on disk when this returns.
  virtual void sync() = 0;
  /// The last durable seq of each producer, as found at start.
  virtual const std::map<std::string, std::uint64_t, std::less<>>& settled() const = 0;
  virtual std::uint64_t rows_written() const = 0;
};

/// Files <directory>/<stream>-<UTC time>-<counter>.csv (or .arrow): header row
/// producer,seq,row,id,entity,time, score,p_value,flag,threshold,model,model_hash. CSV: RFC 4180 quoting,
/// lines end in a newline; floats are the shortest text that reads back to the same bits, a refused row's are
/// `nan`; a missing time is empty. Arrow: one record batch a sync; the file is called .arrow.part until its
/// footer is written, when it is rotated and at a clean stop.
///
/// <directory>/producers.journal holds the settled positions and up to where each file was synced, in one
/// checksummed record a sync. What a crash left in a file beyond that (rows never acknowledged, a torn last
/// line) is cut at start and an unfinished Arrow file completed, so that each synced row is there exactly
/// once. Files rotate at a sync, never between: call sync() regularly even where nothing waits for it. One
/// process to a directory.
///
/// append, settle and sync throw std::system_error naming the path; after that, destroy the sink and open
/// another: it goes on from the last sync that returned. Throws std::system_error / std::runtime_error where
/// the directory can't be used, is used by another process, or its journal is damaged. `clock`: null for the
/// machine's.
std::unique_ptr<ResultsSink> open_results(const ResultsOptions&, const Clock* clock = nullptr);

}  // namespace lanner::host
