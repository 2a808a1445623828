#include "engine/series/series_by_entity.hpp"

#include <cmath>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace lanner::engine {
namespace {

constexpr std::string_view snapshot_name = "LANNERE1";

}  // namespace

SeriesByEntity::SeriesByEntity(const SeriesParameters& parameters)
    : parameters_(SeriesDetector(parameters).parameters()) {}

SeriesByEntity::Place SeriesByEntity::add(std::string_view entity) {
  series_.push_front({std::string(entity), SeriesDetector(parameters_)});
  by_entity_.emplace(series_.front().entity, series_.begin());
  return series_.begin();
}

void SeriesByEntity::evict_longest_unseen() {
  const Series& oldest = series_.back();
  const bool is_warm = oldest.detector.warm_up_rows() == parameters_.warm_up;
  warm_ -= is_warm ? 1 : 0;
  warm_up_rows_ -= oldest.detector.warm_up_rows();
  by_entity_.erase(oldest.entity);
  series_.pop_back();
  ++evicted_;
}

SeriesScore SeriesByEntity::push(std::string_view entity, std::int64_t time_ns, double value,
                                 std::size_t entities_max) {
  if (!(std::abs(value) <= value_most)) {
    SeriesScore missing;
    missing.missing = true;
    return missing;
  }
  const auto found = by_entity_.find(entity);
  const Place place = found == by_entity_.end() ? add(entity) : found->second;
  series_.splice(series_.begin(), series_, place);
  while (series_.size() > entities_max) evict_longest_unseen();
  const SeriesScore score = place->detector.push(time_ns, value);
  if (score.warming_up) {
    ++warm_up_rows_;
    if (place->detector.warm_up_rows() == parameters_.warm_up) ++warm_;
  }
  return score;
}

std::vector<std::byte> SeriesByEntity::snapshot() const {
  // Each detector's bytes carry the parameters' fingerprint.
  SnapshotWriter writer(snapshot_name, 0);
  writer.whole(series_.size());
  for (const Series& one : series_) {
    writer.block(std::as_bytes(std::span(one.entity)));
    writer.block(one.detector.snapshot());
  }
  return std::move(writer).finish();
}

void SeriesByEntity::restore(std::span<const std::byte> bytes) {
  SnapshotReader reader(bytes, snapshot_name, 0);
  SeriesByEntity fresh(parameters_);
  for (std::uint64_t left = reader.whole(bytes.size()); left > 0; --left) {
    const std::span<const std::byte> entity = reader.block();
    Series& one = fresh.series_.emplace_back(
        Series{{reinterpret_cast<const char*>(entity.data()), entity.size()}, SeriesDetector(parameters_)});
    if (!fresh.by_entity_.emplace(one.entity, std::prev(fresh.series_.end())).second)
      throw std::invalid_argument("series snapshot: an entity a second time");
    one.detector.restore(reader.block());
    fresh.warm_up_rows_ += one.detector.warm_up_rows();
    fresh.warm_ += one.detector.warm_up_rows() == parameters_.warm_up ? 1 : 0;
  }
  reader.finish();
  *this = std::move(fresh);
}

}  // namespace lanner::engine
