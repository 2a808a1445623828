#include "engine/detectors/nearest_neighbours/model.hpp"

#include <numeric>
#include <utility>
#include <vector>

#include "engine/detectors/nearest_neighbours/scorer.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::nearest_neighbours {

Model::Model(nearest::ReferenceSet references, std::size_t k, nearest::Summary summary)
    : references_(std::make_shared<const nearest::ReferenceSet>(std::move(references))),
      k_(k),
      summary_(summary) {}

void Model::save(TensorWriter& writer) const {
  save_references(*references_, writer);
  const std::int64_t k = static_cast<std::int64_t>(k_);
  writer.add("k", {1}, std::span(&k, 1));
  writer.metadata("distance", summary_ == nearest::Summary::kth ? "kth" : "mean");
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  nearest::ReferenceSet references = load_references(reader);
  const auto k = reader.integers("k");
  require(k.size() == 1 && k[0] >= 1 && static_cast<std::uint64_t>(k[0]) <= references.rows(),
          "k is not a number of neighbours between 1 and the number of rows");
  const std::string& distance = reader.metadata("distance");
  require(distance == "kth" || distance == "mean", "distance is neither kth nor mean");
  return std::make_shared<Model>(std::move(references), static_cast<std::size_t>(k[0]),
                                 distance == "kth" ? nearest::Summary::kth : nearest::Summary::mean);
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<NeighbourScorer>(device, references_, k_, summary_);
}

std::vector<float> Model::leave_one_out_scores(Device& device) const {
  const std::size_t distinct = references_->distinct();
  const auto index = nearest::make_index(device, *references_, k_);
  auto workspace = device.array<std::byte>(index->workspace_bytes(distinct, k_, nearest::Count::rows));
  std::vector<std::uint32_t> self(distinct);
  std::iota(self.begin(), self.end(), 0u);
  std::vector<float> scores(distinct);
  Stream stream = device.stream();
  nearest::distances(stream, *index, references_->view(), k_, nearest::Count::rows, summary_, self,
                     workspace.span(), scores);
  // Leaving one of several equal rows out gives each of them the same score.
  return for_every_row(*references_, scores);
}

}  // namespace lanner::engine::nearest_neighbours
