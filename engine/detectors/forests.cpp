#include "engine/detectors/forests.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "engine/detectors/references.hpp"
#include "engine/detectors/slot.hpp"
#include "kernels/forest/forest_formula.hpp"

namespace lanner::engine {

float whole_ticks(double length) {
  return static_cast<float>(round_even(length * forest::ticks) / forest::ticks);
}

void save_forest(const forest::Forest& forest, TensorWriter& writer) {
  const std::int64_t width = static_cast<std::int64_t>(forest.width);
  writer.add("width", {1}, std::span(&width, 1));
  writer.add("tree_begin", {forest.tree_begin.size()}, std::span(forest.tree_begin));
  writer.add("left", {forest.nodes()}, std::span(forest.left));
  writer.add("feature", {forest.nodes()}, std::span(forest.feature));
  writer.add("threshold", {forest.nodes()}, std::span(forest.threshold));
  writer.add("length", {forest.nodes()}, std::span(forest.length));
  writer.add("constant_feature", {forest.constants()}, std::span(forest.constant_feature));
  writer.add("constant_value", {forest.constants()}, std::span(forest.constant_value));
}

forest::Forest load_forest(const TensorReader& reader) {
  forest::Forest forest;
  const auto width = reader.integers("width");
  require(width.size() == 1 && width[0] > 0, "width is not one number above 0");
  forest.width = static_cast<std::size_t>(width[0]);
  forest.tree_begin = reader.unsigned_integers("tree_begin");
  forest.left = reader.unsigned_integers("left");
  forest.feature = reader.unsigned_integers("feature");
  forest.threshold = reader.floats("threshold");
  forest.length = reader.floats("length");
  forest.constant_feature = reader.unsigned_integers("constant_feature");
  forest.constant_value = reader.floats("constant_value");
  require(forest.trees() > 0, "tree_begin holds no tree");
  require(std::all_of(forest.length.begin(), forest.length.end(), [](float x) { return x >= 0; }),
          "length holds a value that is no length");
  return forest;
}

void check_forest(const forest::Forest& forest) {
  try {
    forest::validate(forest);
  } catch (const std::invalid_argument& wrong) {
    throw InvalidModel(wrong.what());
  }
}

double LengthScore::of(double length) const {
  return forest::isolation_of(length, rate_);
}

double length_at_roots(std::span<const float> lengths, std::span<const std::uint32_t> tree_begin) {
  double sum = 0;
  for (const std::uint32_t root : tree_begin.first(tree_begin.size() - 1)) sum += lengths[root];
  return sum;
}

ForestScorer::ForestScorer(Device& device, std::shared_ptr<const forest::Forest> forest)
    : plain_(std::move(forest)),
      forest_(forest::make_resident(device, *plain_)),
      score_(plain_->rate, length_at_roots(plain_->length, plain_->tree_begin)),
      threads_(device.threads()) {}

std::size_t ForestScorer::workspace_bytes(std::size_t) const {
  return workspace_alignment +
         std::max(forest_->workspace_bytes(), piece_bytes<double>(threads_ * rows_together * width()));
}

void ForestScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                         std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count > 0)
    forest::isolation(stream, *forest_, rows, WorkspacePieces(workspace).rest(), scores.first(rows.count));
}

void ForestScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                 MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count == 0) return;
  const std::size_t room = rows_together * width();
  const std::span<double> all = WorkspacePieces(workspace).take<double>(threads_ * room);
  auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
    const std::span<double> moved = all.subspan(worker * room, room);
    double lengths[rows_together];
    for (; begin < end; begin += rows_together) {
      const Rows part = rows.slice(begin, std::min(begin + rows_together, end));
      attribute(part, moved, lengths);
      for (std::size_t i = 0; i < part.count; ++i)
        score_.split(moved.subspan(i * width(), width()), lengths[i], out.row(begin + i));
    }
  };
  stream.for_range(rows.count, rows_together, task);
}

void ForestScorer::attribute(Rows rows, std::span<double> moved, std::span<double> lengths) const {
  const forest::Forest& forest = *plain_;
  const std::uint32_t *const lefts = forest.left.data(), *const features = forest.feature.data();
  const float *const thresholds = forest.threshold.data(), *const given = forest.length.data();
  const std::size_t n = rows.count, width = rows.width;
  std::ranges::fill(moved.first(n * width), 0.0);
  std::ranges::fill(lengths.first(n), 0.0);
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::size_t begin = forest.tree_begin[t];
    std::size_t at[rows_together];
    std::fill_n(at, n, begin);
    // A step of each row, so that none waits for its own last one; a row in a leaf (feature 0) stays there.
    for (bool walking = true; walking;) {
      walking = false;
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t here = at[i];
        const std::uint32_t left = lefts[here], feature = features[here];
        const std::size_t child =
            begin + left + static_cast<std::size_t>(rows.row(i)[feature] > thresholds[here]);
        const std::size_t next = left != 0 ? child : here;
        at[i] = next;
        walking |= left != 0;
        moved[i * width + feature] += static_cast<double>(given[next]) - static_cast<double>(given[here]);
      }
    }
    for (std::size_t i = 0; i < n; ++i) lengths[i] += static_cast<double>(given[at[i]]);
  }
  for (std::size_t c = 0; c < forest.constants(); ++c) {
    const std::uint32_t feature = forest.constant_feature[c];
    for (std::size_t i = 0; i < n; ++i) {
      if (rows.row(i)[feature] == forest.constant_value[c]) continue;
      moved[i * width + feature] -= forest.unseen;
      lengths[i] -= forest.unseen;
    }
  }
}

}  // namespace lanner::engine
