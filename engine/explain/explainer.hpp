// What would have been normal: the nearest normal row, and the smallest change of one feature that makes a
// row normal (a counterfactual; Wachter, Mittelstadt & Russell 2017). Both are asked of the scorer itself,
// for any detector. Contributions say what a score is made of; these say what it is compared with.
//
// A row is normal where its score is at most a given one. Rows are feature rows, as the model's plan makes
// them; distances and changes are in spreads of the features (Examples::spread).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/model/model.hpp"
#include "kernels/device/device.hpp"

namespace lanner::engine {

struct NormalExample {
  std::vector<float> row;  ///< [width]
  double distance = 0;     ///< Euclidean, in spreads
  float score = 0;
};

struct Counterfactual {
  std::size_t column = 0;
  float to = 0;      ///< instead of the row's value
  double value = 0;  ///< `to` as people know it (FeaturePlan::natural), which gives `to` again
  double size = 0;   ///< of the change, in spreads
  float score = 0;   ///< of the row with it
};

/// Not for two threads at once; the calling thread holds a FloatEnvironment.
class Explainer {
 public:
  /// On a device of the cpu backend, with a resident scorer of its own. Throws std::invalid_argument for a
  /// model without examples, which an earlier version wrote.
  Explainer(std::shared_ptr<const Model>, Device&);
  ~Explainer();
  Explainer(const Explainer&) = delete;
  Explainer& operator=(const Explainer&) = delete;

  std::size_t width() const;

  /// The nearest of the rows that the detector keeps, or else of the model's examples, that is normal, looked
  /// for among the nearest 64; ties go to the earlier row. None where those are not normal themselves. A row
  /// that the detector keeps is scored as any other, with itself among the rows it was fitted on.
  /// Costs a distance to each row kept, and at most 64 scored rows.
  std::optional<NormalExample> nearest_normal(std::span<const float> row, float normal_most);

  /// The smallest change of one feature, all others kept, that makes the row normal. Looked at are the 32
  /// columns of the largest contributions among those that stand alone (FeaturePlan::stands_alone).
  ///
  /// The search. Each column has candidates on both sides of the row's value: steps of an eighth of a spread
  /// up to two, then growing by a tenth, until they are two spreads beyond all rows that are compared with;
  /// and 33 quantiles of these. All are scored in the order of their sizes, until no smaller change can be
  /// found; a normal candidate's neighbour on the row's side is not normal, and the interval between the two
  /// is cut into 16, and its first normal part again, to 2^-22 of the change or one float. So what is found
  /// is normal, a change smaller by that much is not, nor is any smaller candidate; a range of normal values
  /// narrower than the candidates' steps can be missed. None where no candidate is normal; size 0 never: a
  /// row that is normal already has none. Costs up to some 6,000 scored rows, most where there is none.
  std::optional<Counterfactual> counterfactual(std::span<const float> row, float normal_most);

 private:
  class Search;
  struct Candidate;

  Rows compared_with() const;
  void score(Rows rows, std::span<float> scores);
  std::vector<std::size_t> columns_by_contribution(std::span<const float> row);
  void learn_places();

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Scorer> scorer_;
  Stream stream_;
  Array<std::byte> workspace_;
  std::vector<float> places_;  ///< [width, quantiles] of the rows compared with, ascending
};

}  // namespace lanner::engine
