#include "engine/series/series_by_entity.hpp"

#include <stdexcept>
#include <utility>

#include "kernels/arithmetic/environment.hpp"

namespace lanner::engine {
namespace {

constexpr std::string_view snapshot_name = "LANNERE1";

SeriesScore missing() {
  SeriesScore score;
  score.missing = true;
  return score;
}

}  // namespace

SeriesByEntity::SeriesByEntity(const SeriesParameters& parameters)
    : parameters_(SeriesDetector(parameters).parameters()) {}

SeriesByEntity::Series& SeriesByEntity::seen(std::string_view entity, std::size_t entities_max) {
  return table_.seen(entity, entities_max, [&] { return Series{SeriesDetector(parameters_)}; });
}

void SeriesByEntity::count(Series& series) {
  const std::size_t rows = series.detector.warm_up_rows();
  warm_up_rows_ += rows - series.counted;
  warm_ += series.counted < parameters_.warm_up && rows == parameters_.warm_up ? 1 : 0;
  series.counted = rows;
}

void SeriesByEntity::let_go() {
  for (const auto& [entity, series] : table_.leaving()) {
    warm_up_rows_ -= series.counted;
    warm_ -= series.counted == parameters_.warm_up ? 1 : 0;
  }
  table_.let_go();
}

SeriesScore SeriesByEntity::push(const SeriesRow& row, std::size_t entities_max) {
  if (!is_value(row.value)) return missing();
  Series& series = seen(row.entity, entities_max);
  const SeriesScore score = series.detector.push(row.time_ns, row.value);
  count(series);
  let_go();
  return score;
}

void SeriesByEntity::push_rows(Stream& stream, std::span<const SeriesRow> rows, std::size_t entities_max,
                               std::span<SeriesScore> scores) {
  waiting_.clear();
  next_.resize(rows.size());
  // Who makes way follows from the order of rows, and is settled before anybody works.
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!is_value(rows[i].value)) {
      scores[i] = missing();
      continue;
    }
    Series& series = seen(rows[i].entity, entities_max);
    if (!series.waits) {
      series.waits = true;
      series.first = i;
      waiting_.push_back(&series);
    } else {
      next_[series.last] = i;
    }
    series.last = i;
  }
  auto work = [&](std::size_t begin, std::size_t end, unsigned) {
    const FloatEnvironment environment;
    for (Series* series : std::span(waiting_).subspan(begin, end - begin)) {
      for (std::size_t i = series->first;; i = next_[i]) {
        scores[i] = series->detector.push(rows[i].time_ns, rows[i].value);
        if (i == series->last) break;
      }
    }
  };
  stream.for_range(waiting_.size(), 1, work);
  for (Series* series : waiting_) {
    series->waits = false;
    count(*series);
  }
  let_go();
}

std::vector<std::byte> SeriesByEntity::snapshot() const {
  // Each detector's bytes carry the parameters' fingerprint.
  SnapshotWriter writer(snapshot_name, 0);
  writer.whole(table_.size());
  for (const auto& [entity, series] : table_.entries()) {
    writer.block(std::as_bytes(std::span(entity)));
    writer.block(series.detector.snapshot());
  }
  return std::move(writer).finish();
}

void SeriesByEntity::restore(std::span<const std::byte> bytes) {
  SnapshotReader reader(bytes, snapshot_name, 0);
  SeriesByEntity fresh(parameters_);
  for (std::uint64_t left = reader.whole(bytes.size()); left > 0; --left) {
    const std::span<const std::byte> entity = reader.block();
    Series* one = fresh.table_.append({reinterpret_cast<const char*>(entity.data()), entity.size()},
                                      Series{SeriesDetector(parameters_)});
    if (!one) throw std::invalid_argument("series snapshot: an entity a second time");
    one->detector.restore(reader.block());
    fresh.count(*one);
  }
  reader.finish();
  *this = std::move(fresh);
}

}  // namespace lanner::engine
