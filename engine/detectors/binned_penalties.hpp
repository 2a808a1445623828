// A model that is one table a feature: the value's bin has a penalty, and the score is the sum of them over
// the features. What histogram, ecod and copod learn, and loda of its projections;
// kernels/density/histogram.hpp states the look-up.
//
// Contributions: the penalties themselves, exactly additive, base 0.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/density/histogram.hpp"

namespace lanner::engine {

/// Rounds all penalties so that their float32 sums over the features are exact. Done once all features are
/// there.
void make_sums_exact(density::Histograms&);

/// Tensors edges, penalties, edge_begin and penalty_begin.
void save_tables(const density::Histograms&, TensorWriter&);
/// Rising finite edges; finite penalties that are not negative. Throws InvalidModel.
density::Histograms load_tables(const TensorReader&);

class BinnedPenalties final : public Fitted {
 public:
  explicit BinnedPenalties(density::Histograms tables) : tables_(std::move(tables)) {}
  static std::shared_ptr<const Fitted> load(const TensorReader&, const Settings&);

  std::size_t width() const override { return tables_.width(); }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter& writer) const override { save_tables(tables_, writer); }

 private:
  density::Histograms tables_;
};

}  // namespace lanner::engine
