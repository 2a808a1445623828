// What was learned: edges and penalties of every feature's histogram.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/density/histogram.hpp"

namespace lanner::engine::histogram {

class Model final : public Fitted {
 public:
  explicit Model(density::Histograms histograms) : histograms_(std::move(histograms)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return histograms_.width(); }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  density::Histograms histograms_;
};

}  // namespace lanner::engine::histogram
