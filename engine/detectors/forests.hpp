// Models that are a forest (kernels/forest/forest.hpp): what isolation_forest and half_space_trees learn. A
// row is scored by exp(-rate E), E being the sum of the lengths of its paths' leaves.
//
// Contributions: path attribution. Each split moves the length that a row is expected to be given from the
// mean over the training rows of its node to that of the child where the row goes; what the splits on feature
// j move, over all trees, is a[j] (as Saabas 2014 attributes a tree's prediction), and so is what an unseen
// value of j takes off. So the a add up, exactly, to E - E0, where E0 is the sum at the roots. The base is
// the score of E0, and a[j] is carried over to the score by the mean slope between E0 and E, which is
// Aumann-Shapley's for a function of one sum: contribution[j] = a[j] (score(E) - score(E0)) / (E - E0), or
// a[j] score'(E) where they are equal. What float32 rounding leaves is shared out by the sizes of the a.
#pragma once

#include <cmath>
#include <memory>
#include <span>

#include "engine/detectors/detector.hpp"
#include "kernels/forest/forest.hpp"

namespace lanner::engine {

/// The nearest multiple of 2^-18; of a length that a forest may have.
float whole_ticks(double length);

/// The sum of what is expected at the trees' roots. lengths [nodes]; tree_begin [trees + 1].
double length_at_roots(std::span<const float> lengths, std::span<const std::uint32_t> tree_begin);

/// Trees and constants; rate and unseen are left to what they follow from.
void save_forest(const forest::Forest&, TensorWriter&);
/// At least one tree, lengths that are not negative; the rest is for check_forest. Throws InvalidModel.
forest::Forest load_forest(const TensorReader&);
/// Throws InvalidModel where the forest, rate and unseen included, is none.
void check_forest(const forest::Forest&);

/// The score of a length E and the contributions that follow from what features moved it by, as stated above.
class LengthScore {
 public:
  /// expected: E0; both summed over the trees.
  LengthScore(double rate, double expected) : rate_(rate), expected_(expected) {}

  double of(double length) const;
  float base() const { return static_cast<float>(of(expected_)); }
  /// moved [width] -> out [width], which may be the same. moved may add up to length - expected but for its
  /// rounding.
  template <class Moved>
  void split(std::span<Moved> moved, double length, float* out) const {
    const double score = of(length), above = length - expected_;
    const double slope = above == 0 ? -rate_ * score : (score - of(expected_)) / above;
    double sum = 0, sizes = 0;
    for (const double part : moved) {
      sum += part * slope;
      sizes += std::fabs(part * slope);
    }
    // The score and the base are float32: what their rounding leaves over.
    const double rest = static_cast<double>(static_cast<float>(score)) - static_cast<double>(base()) - sum;
    const double spread = sizes > 0 ? rest / sizes : 0;
    for (std::size_t j = 0; j < moved.size(); ++j) {
      const double part = static_cast<double>(moved[j]) * slope;
      out[j] = static_cast<float>(part + std::fabs(part) * spread);
    }
  }

 private:
  double rate_, expected_;
};

class ForestScorer final : public Scorer {
 public:
  ForestScorer(Device&, std::shared_ptr<const forest::Forest>);

  std::size_t width() const override { return forest_->width(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return score_.base(); }

 private:
  // Rows that go through a tree together, while it is in the nearest cache.
  static constexpr std::size_t rows_together = 16;
  /// moved [n, width], and lengths [n], what each row is given in all, summed over the trees: exact.
  void attribute(Rows rows, std::span<double> moved, std::span<double> lengths) const;

  std::shared_ptr<const forest::Forest> plain_;
  std::shared_ptr<const forest::ResidentForest> forest_;
  LengthScore score_;
  std::size_t threads_;
};

}  // namespace lanner::engine
