#include "engine/detectors/isolation_forest/model.hpp"

#include <span>

#include "engine/detectors/forests.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::isolation_forest {

void Model::save(TensorWriter& writer) const {
  save_forest(grown_->forest, writer);
  const std::int64_t samples = static_cast<std::int64_t>(grown_->samples);
  writer.add("samples", {1}, std::span(&samples, 1));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  auto grown = std::make_shared<Grown>();
  grown->forest = load_forest(reader);
  const auto samples = reader.integers("samples");
  require(samples.size() == 1 && samples[0] >= 2 && samples[0] <= static_cast<std::int64_t>(samples_max),
          "samples is not one number of at least 2");
  grown->samples = static_cast<std::size_t>(samples[0]);
  set_scale(grown->forest, grown->samples);
  check_forest(grown->forest);
  return std::make_shared<Model>(std::move(grown));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<ForestScorer>(device,
                                        std::shared_ptr<const forest::Forest>(grown_, &grown_->forest));
}

}  // namespace lanner::engine::isolation_forest
