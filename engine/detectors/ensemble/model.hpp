// What was learned: the members, each with what its rows go through first, and how their scores are blended.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "kernels/blend/blend.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::engine::ensemble {

struct Member {
  const Detector* detector = nullptr;
  /// A linear map of as many outputs as inputs, one of each feature's own; none: the rows as they are.
  std::optional<mlp::Network> map;
  std::shared_ptr<const Fitted> fitted;
};

struct Learned {
  std::size_t width = 0;
  std::vector<Member> members;
  blend::Blend blend;  ///< of as many
};

class Model final : public Fitted {
 public:
  explicit Model(std::shared_ptr<const Learned> learned) : learned_(std::move(learned)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return learned_->width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  std::shared_ptr<const Learned> learned_;
};

}  // namespace lanner::engine::ensemble
