#include "engine/detectors/random_cut_forest/random_cut_forest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "engine/detectors/samples.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder

using Values = std::vector<double>;

// What was saved, walked by nothing of the engine's.
struct Saved {
  std::vector<std::uint32_t> node_begin, feature, child, leaf_point, mass;
  std::vector<float> threshold, points, shift, scale;
  std::size_t samples = 0;

  explicit Saved(const Fitted& fitted) {
    TensorWriter writer;
    fitted.save(writer);
    const std::vector<std::byte> bytes = writer.bytes();
    const TensorReader reader(bytes);
    node_begin = reader.unsigned_integers("node_begin");
    feature = reader.unsigned_integers("feature");
    child = reader.unsigned_integers("child");
    leaf_point = reader.unsigned_integers("leaf_point");
    mass = reader.unsigned_integers("leaf_mass");
    threshold = reader.floats("threshold");
    points = reader.floats("points");
    shift = reader.floats("input.shift");
    scale = reader.floats("input.scale");
    samples = static_cast<std::size_t>(reader.integers("samples")[0]);
  }
  std::size_t width() const { return shift.size(); }
  std::size_t trees() const { return node_begin.size() - 1; }
  Values standardised(const float* row) const {
    Values y;
    for (std::size_t j = 0; j < width(); ++j)
      y.push_back(std::clamp((row[j] - shift[j]) * scale[j], -30.0f, 30.0f));
    return y;
  }
};

// A tree with the leaves of a node as its points: what rows are put into.
struct Tree {
  struct Node {
    std::size_t left = 0, right = 0, mass = 0;  // left 0: a leaf
    std::size_t feature = 0;
    double threshold = 0;
    Values low, high;
  };
  std::vector<Node> nodes;  // the root first

  Tree(const Saved& saved, std::size_t t) : saved_(saved), t_(t) { add(0); }

 private:
  std::size_t add(std::size_t number) {
    const std::size_t begin = saved_.node_begin[t_], inner = saved_.node_begin[t_ + 1] - begin;
    const std::size_t here = nodes.size();
    nodes.emplace_back();
    if (number >= inner) {
      const std::size_t leaf = begin + t_ + number - inner;
      const float* point = &saved_.points[saved_.leaf_point[leaf] * saved_.width()];
      nodes[here].mass = saved_.mass[leaf];
      nodes[here].low = nodes[here].high = Values(point, point + saved_.width());
      return here;
    }
    nodes[here].feature = saved_.feature[begin + number];
    nodes[here].threshold = saved_.threshold[begin + number];
    const std::size_t left = add(saved_.child[2 * (begin + number)]),
                      right = add(saved_.child[2 * (begin + number) + 1]);
    nodes[here].left = left;
    nodes[here].right = right;
    nodes[here].mass = nodes[left].mass + nodes[right].mass;
    nodes[here].low = nodes[left].low;
    nodes[here].high = nodes[left].high;
    for (std::size_t j = 0; j < saved_.width(); ++j) {
      nodes[here].low[j] = std::min(nodes[here].low[j], nodes[right].low[j]);
      nodes[here].high[j] = std::max(nodes[here].high[j], nodes[right].high[j]);
    }
    return here;
  }
  const Saved& saved_;
  std::size_t t_;
};

struct Inserted {
  double displacement = 0, depth = 0;
};

// Guha et al. 2016, algorithm 2: a cut of the box extended by the row; where it parts the row from the box
// the row becomes the node's brother, else it goes on by the node's own cut. What that displaces: the largest
// of brother's mass over own mass, the row counted, over all nodes from the new leaf up.
Inserted inserted(const Tree& tree, const Values& y, Random& random) {
  std::vector<std::pair<double, double>> way;  // masses before the row came: on the way, and beside it
  std::size_t at = 0;
  const auto displaced = [&](double mass_beside) {
    double most = mass_beside;
    for (const auto& [on_way, beside] : way) most = std::max(most, beside / (on_way + 1));
    return most;
  };
  while (true) {
    const Tree::Node& node = tree.nodes[at];
    const double mass = static_cast<double>(node.mass), depth = static_cast<double>(way.size()) + 1;
    double sides = 0;
    for (std::size_t j = 0; j < y.size(); ++j)
      sides += std::max(node.high[j], y[j]) - std::min(node.low[j], y[j]);
    if (sides == 0) {  // one leaf more of equal rows
      const double n = mass + 1;
      return {displaced(0), depth + (n == 2 ? 1 : 2 * (std::log(n - 1) + 0.5772156649) - 2 * (n - 1) / n)};
    }
    double place = random.uniform() * sides;
    for (std::size_t j = 0; j < y.size(); ++j) {
      const double low = std::min(node.low[j], y[j]), side = std::max(node.high[j], y[j]) - low;
      if (place < side) {
        if (low + place < node.low[j] || low + place >= node.high[j]) return {displaced(mass), depth};
        break;
      }
      place -= side;
    }
    const bool right = y[node.feature] > node.threshold;
    const std::size_t next = right ? node.right : node.left, other = right ? node.left : node.right;
    way.emplace_back(tree.nodes[next].mass, tree.nodes[other].mass);
    at = next;
  }
}

Table with_duplicates(std::uint64_t seed) {
  Table rows = normal_rows(150, 3, seed);
  for (std::size_t i = 0; i < 60; ++i) rows.append(rows.rows().slice(i % 4, i % 4 + 1));
  return rows;
}

TEST(RandomCutForest, ScoresAreTheMeanOverInsertionsByThePapersAlgorithm) {
  constexpr int draws = 3000, trees = 3;
  const Table training = with_duplicates(1), queries = queries_for(training, 2);
  for (const std::string measure : {"depth", "displacement"}) {
    const auto model =
        fitted("random_cut_forest", {{"trees", "3"}, {"samples", "64"}, {"measure", measure}}, training);
    const Saved saved(*model);
    const std::vector<float> found = scores(*model, queries);
    const double c = 2 * (std::log(63.0) + 0.5772156649) - 2 * 63.0 / 64;
    Random random(3);
    std::vector<Tree> grown;
    for (std::size_t t = 0; t < trees; ++t) grown.emplace_back(saved, t);
    std::size_t between = 0;
    for (std::size_t i = 0; i < queries.count(); ++i) {
      const Values y = saved.standardised(queries.rows().row(i));
      double sum = 0, squares = 0;
      for (int d = 0; d < draws; ++d) {
        double mean = 0;
        for (const Tree& tree : grown) {
          const Inserted in = inserted(tree, y, random);
          mean += (measure == "depth" ? std::exp2(-in.depth / c) : in.displacement) / trees;
        }
        sum += mean;
        squares += mean * mean;
      }
      const double mean = sum / draws, deviation = std::sqrt(std::max(squares / draws - mean * mean, 0.0));
      EXPECT_NEAR(found[i], mean, 5 * deviation / std::sqrt(draws) + 1e-5 * mean) << measure << " " << i;
      between += deviation > 0.01 * mean;
    }
    EXPECT_GT(between, queries.count() / 3) << "chance has something to decide";
  }
}

TEST(RandomCutForest, CutsFallOnFeaturesByTheirRangeAndAnywhereInIt) {
  // Three values a feature: the median, and one as far below as above it. Mean absolute differences are in
  // ranges' proportion, but for the second, where most rows are at the median.
  Table training(2);
  for (int i = 0; i < 100; ++i)
    training.values.insert(training.values.end(), {i % 2 == 0 ? -1.0f : 1.0f, i % 10 == 0   ? -1.0f
                                                                              : i % 10 == 1 ? 1.0f
                                                                                            : 0.0f});
  const auto model = fitted("random_cut_forest", {{"trees", "2000"}, {"samples", "100"}}, training);
  const Saved saved(*model);
  // The first: median -1, mean difference 1, range 2; the second: 0, 0.2 and 10.
  EXPECT_EQ(saved.scale, (std::vector<float>{1, 5}));
  double second = 0, places = 0;
  for (std::size_t t = 0; t < 2000; ++t) {
    const std::size_t root = saved.node_begin[t];
    second += saved.feature[root] == 1;
    if (saved.feature[root] == 1) places += saved.threshold[root] / 10 + 0.5;
  }
  EXPECT_NEAR(second / 2000, 10.0 / 12, 5 * std::sqrt(10.0 / 12 * 2.0 / 12 / 2000));
  EXPECT_NEAR(places / second, 0.5, 5 / std::sqrt(12 * second));
}

TEST(RandomCutForest, EqualRowsAreOneLeafOfTheirMass) {
  const Saved saved(*fitted("random_cut_forest", {{"samples", "1000"}, {"trees", "10"}}, with_duplicates(4)));
  ASSERT_EQ(saved.samples, 210u);
  for (std::size_t t = 0; t < saved.trees(); ++t) {
    const std::size_t first = saved.node_begin[t] + t, end = saved.node_begin[t + 1] + t + 1;
    std::set<std::vector<float>> points;
    std::multiset<std::uint32_t> masses(saved.mass.begin() + static_cast<std::ptrdiff_t>(first),
                                        saved.mass.begin() + static_cast<std::ptrdiff_t>(end));
    for (std::size_t leaf = first; leaf < end; ++leaf) {
      const auto point = saved.points.begin() + static_cast<std::ptrdiff_t>(saved.leaf_point[leaf] * 3);
      points.insert({point, point + 3});
    }
    EXPECT_EQ(points.size(), 150u);
    EXPECT_EQ(masses.count(1), 146u);
    EXPECT_EQ(masses.count(16), 4u);
  }
}

TEST(RandomCutForest, AHalfLifeOfRowsHalvesHowOftenARowIsDrawn) {
  mlp::Random random(5);
  constexpr std::size_t rows = 200, draws = 20000;
  std::vector<double> drawn(rows);
  // One at a time: the chance is the weight's share.
  for (std::size_t d = 0; d < draws; ++d) ++drawn[drawn_recent_rows(rows, 1, 20, random)[0]];
  double all = 0;
  for (std::size_t i = 0; i < rows; ++i) all += std::exp2(-static_cast<double>(rows - 1 - i) / 20);
  for (std::size_t begin = 0; begin < rows; begin += 20) {
    double share = 0, found = 0;
    for (std::size_t i = begin; i < begin + 20; ++i) {
      share += std::exp2(-static_cast<double>(rows - 1 - i) / 20) / all;
      found += drawn[i] / draws;
    }
    EXPECT_NEAR(found, share, 5 * std::sqrt(share / draws)) << begin;
  }
  const std::vector<std::uint32_t> some = drawn_recent_rows(rows, 50, 0.01, random);
  std::vector<std::uint32_t> newest(50);
  std::iota(newest.begin(), newest.end(), 150u);
  EXPECT_EQ(some, newest) << "weights beyond what a double holds";
  EXPECT_EQ(std::set<std::uint32_t>(some.begin(), some.end()).size(), 50u);
  EXPECT_EQ(drawn_recent_rows(rows, rows, 20, random).size(), rows);
}

TEST(RandomCutForest, WithAHalfLifeAFitForgetsWhatWasBeforeADrift) {
  Table stream = normal_rows(3000, 4, 6);
  const Table after = normal_rows(1000, 4, 7, 1, 5);
  stream.append(after.rows());
  const Table now = normal_rows(200, 4, 8, 1, 5), before = normal_rows(200, 4, 9);
  const auto mean = [](const std::vector<float>& all) {
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
  };
  const auto even = fitted("random_cut_forest", {}, stream),
             recent = fitted("random_cut_forest", {{"half_life", "150"}}, stream),
             share = fitted("random_cut_forest", {{"half_life", "0.0375"}}, stream);
  EXPECT_LT(mean(scores(*recent, now)), mean(scores(*even, now)));
  // 1000 rows are seven half-lives ago: two of a tree's 256 rows are of before.
  EXPECT_GT(mean(scores(*recent, before)), 1.3 * mean(scores(*recent, now)));
  EXPECT_LT(mean(scores(*even, before)), mean(scores(*even, now)));
  EXPECT_EQ(scores(*share, now), scores(*recent, now));
}

TEST(RandomCutForest, ContributionsAreSharesOfWhatLiesOutside) {
  // Far out along two features, twice as far along one: that share of all that is above the base, but for the
  // little that cuts of what is inside parts later.
  Table training(3);
  Random random(10);
  for (std::size_t i = 0; i < 3 * 500; ++i) training.values.push_back(static_cast<float>(random.uniform()));
  const auto model = fitted("random_cut_forest", {}, training);
  const Saved saved(*model);
  const auto at = [&](std::size_t j, double away) {
    return static_cast<float>(saved.shift[j] + away / static_cast<double>(saved.scale[j]));
  };
  const Table query(3, {at(0, 28), at(1, 15), 0.5f});
  const Table parts = contributions(*model, query);
  EXPECT_NEAR(parts.values[0] / parts.values[1], 26.0 / 13, 0.05);
  EXPECT_LT(std::fabs(parts.values[2]), 0.02f * parts.values[1]);
}

TEST(RandomCutForest, TreesWhoseBoxesCouldTakeMoreThanTwoGigabytesAreRefused) {
  const Table training = normal_rows(70, 6000, 11);
  EXPECT_NO_THROW(fitted("random_cut_forest", {{"trees", "2"}}, training));
  try {
    fitted("random_cut_forest", {{"trees", "650"}}, training);
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& refused) {
    EXPECT_EQ(std::string(refused.what()),
              "found 650 trees of 70 rows, 44850 cuts in all, allowed 44739 with 6000 features, whose boxes "
              "take 2 GiB: set fewer trees, or fewer samples");
  }
}

}  // namespace
}  // namespace lanner::engine
