#include "engine/detectors/ensemble/model.hpp"

#include <cmath>

#include "engine/detectors/ensemble/scorer.hpp"
#include "engine/detectors/networks.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::ensemble {
namespace {

std::string section_of(std::size_t member) {
  return "members." + std::to_string(member);
}

}  // namespace

void Model::save(TensorWriter& writer) const {
  std::vector<float> offsets, weights, biases;
  for (std::size_t m = 0; m < learned_->members.size(); ++m) {
    const Member& member = learned_->members[m];
    TensorWriter section, fitted;
    section.metadata("detector", member.detector->name);
    section.metadata("map", member.map ? "linear" : "none");
    if (member.map) {
      TensorWriter map;
      save_network(*member.map, map);
      section.add_section("map", map);
    }
    member.fitted->save(fitted);
    section.add_section("fitted", fitted);
    writer.add_section(section_of(m), section);
    offsets.push_back(learned_->blend[m].offset);
    weights.push_back(learned_->blend[m].weight);
    biases.push_back(learned_->blend[m].bias);
  }
  writer.add("blend.offset", {offsets.size()}, std::span(offsets));
  writer.add("blend.weight", {weights.size()}, std::span(weights));
  writer.add("blend.bias", {biases.size()}, std::span(biases));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  auto learned = std::make_shared<Learned>();
  const std::vector<float> offsets = reader.floats("blend.offset"), weights = reader.floats("blend.weight"),
                           biases = reader.floats("blend.bias");
  constexpr std::size_t members_max = 64;
  require(!offsets.empty() && offsets.size() <= members_max && offsets.size() == weights.size() &&
              biases.size() == offsets.size(),
          "the blend is not an offset, a weight and a bias a member");
  for (std::size_t m = 0; m < offsets.size(); ++m) {
    require(
        std::isfinite(offsets[m]) && offsets[m] > 0 && std::isfinite(weights[m]) && std::isfinite(biases[m]),
        "blend.offset, blend.weight or blend.bias holds a value that can't be one");
    learned->blend.push_back({offsets[m], weights[m], biases[m]});
    const TensorReader section = reader.section(section_of(m));
    Member member;
    member.detector = find_detector(section.metadata("detector"));
    require(member.detector && member.detector->name != "ensemble",
            "a member is no detector that could be one");
    const std::string& map = section.metadata("map");
    require(map == "linear" || map == "none", "a member's map is neither linear nor none");
    if (map == "linear") {
      member.map = load_network(section.section("map"));
      require(member.map->inputs() == member.map->outputs(), "a member's map changes the number of features");
    }
    member.fitted =
        member.detector->load(section.section("fitted"), Settings::parse(member.detector->parameters, {}));
    if (m == 0) learned->width = member.fitted->width();
    require(
        member.fitted->width() == learned->width && (!member.map || member.map->inputs() == learned->width),
        "members are not of one width");
    learned->members.push_back(std::move(member));
  }
  return std::make_shared<Model>(std::move(learned));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<EnsembleScorer>(device, learned_);
}

}  // namespace lanner::engine::ensemble
