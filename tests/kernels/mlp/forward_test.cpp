#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <stdexcept>

#include "tests/kernels/mlp/answers.hpp"

namespace lanner::mlp {
namespace {

// In batches of `batch` rows; the workspace is dirty and misaligned, as a slot's may be.
Answer computed(Device& device, const Network& network, Rows rows, std::size_t batch) {
  const auto resident = make_resident(device, network);
  Answer answer{Matrix(rows.count, network.outputs()), Matrix(rows.count, network.outputs()), {}, {}, {}};
  answer.length.resize(rows.count);
  if (network.outputs() == network.inputs()) {
    answer.error.resize(rows.count);
    answer.error_alone.resize(rows.count);
  }
  const std::size_t bytes = resident->workspace_bytes(batch);
  std::vector<std::byte> memory(bytes + 4, std::byte{0xFF});
  const std::span<std::byte> workspace(memory.data() + 4, bytes);
  Stream stream = device.stream();
  for (std::size_t begin = 0; begin < rows.count; begin += batch) {
    const std::size_t end = std::min(rows.count, begin + batch), n = end - begin;
    const Rows part = rows.slice(begin, end);
    forward(stream, *resident, part, workspace,
            {answer.out.row(begin), n, answer.out.width, answer.out.stride});
    squared_length(stream, *resident, part, workspace, std::span(answer.length).subspan(begin, n));
    if (answer.error.empty()) continue;
    reconstruction_error(stream, *resident, part, workspace, std::span(answer.error).subspan(begin, n),
                         {answer.parts.row(begin), n, answer.parts.width, answer.parts.stride});
    reconstruction_error(stream, *resident, part, workspace, std::span(answer.error_alone).subspan(begin, n),
                         {});
  }
  return answer;
}

void expect_defined_everywhere(const Network& network, Rows rows, const std::string& where) {
  const Answer expected = by_definition(network, rows);
  for (CpuTier tier : available_cpu_tiers())
    for (unsigned threads : {1u, 3u}) {
      const auto device = Device::cpu({tier, threads});
      for (std::size_t batch :
           {std::size_t{1}, std::size_t{7}, std::size_t{33}, std::max<std::size_t>(rows.count, 1)}) {
        if (threads > 1 && batch != rows.count) continue;
        expect_same(expected, computed(*device, network, rows, batch),
                    where + ", " + device->description() + ", batches of " + std::to_string(batch));
      }
    }
}

TEST(Forward, IsTheDefinitionInEveryTierBatchAndThreadCount) {
  const std::vector<std::vector<std::size_t>> shapes = {{1, 1},
                                                        {1, 1, 1},
                                                        {2, 3, 2},
                                                        {3, 1, 3},
                                                        {5, 4, 7},
                                                        {7, 9, 2, 9, 7},
                                                        {8, 8},
                                                        {9, 17, 5},
                                                        {32, 16, 8, 16, 32},
                                                        {33, 31, 1, 31, 33},
                                                        {64, 12, 64},
                                                        {100, 48, 7, 100},
                                                        {191, 193, 191},
                                                        {257, 3, 257},
                                                        {4, 300, 4}};
  unsigned seed = 0;
  for (const auto& widths : shapes)
    for (Activation hidden :
         {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity}) {
      const Activation last =
          std::vector{Activation::identity, Activation::sigmoid, Activation::tanh}[seed % 3];
      const Matrix rows = random_rows(75, widths.front(), ++seed);
      Network network = random_network(widths, hidden, last, seed);
      expect_defined_everywhere(network, rows.rows(), name_of(widths));
      network.input = random_standardisation(widths.front(), seed);
      expect_defined_everywhere(network, rows.rows(), name_of(widths) + "standardised");
    }
}

TEST(Forward, TakesAnyNumberOfRows) {
  const Network network = random_network({10, 6, 10}, Activation::rectifier, Activation::identity, 1);
  for (std::size_t n = 0; n <= 100; ++n)
    expect_defined_everywhere(network, random_rows(n, 10, 2).rows(), std::to_string(n) + " rows");
}

TEST(Forward, ManyRowsOnManyThreads) {
  const Network network = random_network({12, 8, 3, 8, 12}, Activation::rectifier, Activation::identity, 1);
  expect_defined_everywhere(network, random_rows(20'000, 12, 2).rows(), "20000 rows");
}

TEST(Forward, WideRows) {
  for (std::size_t d : {1000, 1555}) {
    const Network network =
        random_network({d, 64, 16, 64, d}, Activation::rectifier, Activation::identity, 3);
    expect_defined_everywhere(network, random_rows(9, d, 4).rows(), "wide");
  }
}

TEST(Forward, AwkwardValuesSaturateAndAreNeverNaN) {
  for (const auto& [network, standardising, rows] : awkward_cases()) {
    expect_defined_everywhere(network, rows.rows(), "awkward values");
    expect_defined_everywhere(standardising, rows.rows(), "awkward standardisation");
    for (float e : by_definition(standardising, rows.rows()).error) EXPECT_TRUE(std::isfinite(e));
    const Answer answer = by_definition(network, rows.rows());
    bool saturated = false;
    for (std::size_t i = 0; i < rows.count; ++i) {
      EXPECT_TRUE(std::isfinite(answer.error[i]));
      saturated |= answer.error[i] == largest_float;
      for (std::size_t j = 0; j < rows.width; ++j) {
        EXPECT_TRUE(std::isfinite(answer.out.row(i)[j]));
        EXPECT_TRUE(std::isfinite(answer.parts.row(i)[j]));
      }
    }
    EXPECT_TRUE(saturated);
  }
}

// Weights on both sides of those that let chains overflow: in the first layer, and in one whose inputs the
// activation before it bounds.
TEST(Forward, OutputsThatCouldOverflowSaturateWhateverComesBefore) {
  for (const Activation hidden : {Activation::identity, Activation::rectifier, Activation::sigmoid})
    for (const float first : {1e-6f, 1.0f, 1e29f})
      for (const float second : {1.0f, 1e28f, 1e38f, 3e38f}) {
        Network network{{{2, 2, {first, first, -first, first}, {0, 0}, hidden},
                         {2, 2, {second, second, -second, second}, {1, 1}, Activation::identity}},
                        {{0, 0}, {1, 1}, 1e9f}};
        Matrix rows(20, 2);
        for (std::size_t i = 0; i < rows.count; ++i) {
          rows.row(i)[0] = i % 2 == 0 ? largest_float : static_cast<float>(i);
          rows.row(i)[1] = i % 3 == 0 ? -largest_float : 1;
        }
        expect_defined_everywhere(network, rows.rows(), "bounds");
        network.layers.front().activation = Activation::identity;
        network.layers.pop_back();
        expect_defined_everywhere(network, rows.rows(), "one layer");
      }
}

TEST(Forward, AStandardisationThatChangesNothingIsNone) {
  Network network = random_network({9, 5, 9}, Activation::rectifier, Activation::identity, 5);
  network.input = {std::vector<float>(9, 0.0f), std::vector<float>(9, 1.0f), largest_float};
  Matrix rows = random_rows(40, 9, 6);
  for (std::size_t i = 0; i < rows.count; ++i) rows.row(i)[i % 9] = i % 2 == 0 ? -0.0f : -largest_float;
  expect_defined_everywhere(network, rows.rows(), "nothing changed");
  network.input.shift.assign(9, -0.0f);
  expect_defined_everywhere(network, rows.rows(), "-0 taken off");
  network.input.limit = 1;
  expect_defined_everywhere(network, rows.rows(), "limited");
}

TEST(Forward, ASigmoidIsTheLogisticFunctionAndEndsAtItsBounds) {
  const auto device = Device::cpu();
  const Network network{{{1, 1, {1}, {0}, Activation::sigmoid}}};
  Matrix rows(4001, 1);
  for (std::size_t i = 0; i < rows.count; ++i) *rows.row(i) = (static_cast<float>(i) - 2000) / 20;
  const Answer answer = computed(*device, network, rows.rows(), rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) {
    const double x = std::clamp(static_cast<double>(*rows.row(i)), -87.0, 87.0),
                 expected = 1 / (1 + std::exp(-x));
    EXPECT_NEAR(static_cast<double>(*answer.out.row(i)) / expected, 1, 3e-7) << x;
  }
  EXPECT_EQ(*answer.out.row(rows.count - 1), 1);
}

TEST(Forward, PartsSumToTheError) {
  const Network network = random_network({40, 10, 40}, Activation::rectifier, Activation::identity, 7);
  const Matrix rows = random_rows(50, 40, 8);
  const auto device = Device::cpu();
  const Answer answer = computed(*device, network, rows.rows(), 50);
  for (std::size_t i = 0; i < rows.count; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < 40; ++j) sum += static_cast<double>(answer.parts.row(i)[j]);
    EXPECT_NEAR(sum / static_cast<double>(answer.error[i]), 1, 1e-6);
  }
}

TEST(Forward, RefusesWhatDoesNotFit) {
  const auto device = Device::cpu({CpuTier::scalar, 1}), two_threads = Device::cpu({CpuTier::scalar, 2});
  const Network network = random_network({4, 2, 3}, Activation::rectifier, Activation::identity, 1);
  const auto resident = make_resident(*device, network);
  EXPECT_EQ(resident->inputs(), 4u);
  EXPECT_EQ(resident->outputs(), 3u);
  std::vector<std::byte> workspace(resident->workspace_bytes(5));
  Stream stream = device->stream(), elsewhere = two_threads->stream();
  const Matrix rows = random_rows(5, 4, 1), narrow = random_rows(5, 3, 1);
  Matrix out(5, 3), short_out(4, 3), wide_out(5, 4);
  std::vector<float> error(5);
  EXPECT_NO_THROW(forward(stream, *resident, rows.rows(), workspace, out.writable()));
  EXPECT_THROW(forward(stream, *resident, narrow.rows(), workspace, out.writable()), std::invalid_argument);
  EXPECT_THROW(forward(stream, *resident, rows.rows(), workspace, short_out.writable()),
               std::invalid_argument);
  EXPECT_THROW(forward(stream, *resident, rows.rows(), workspace, wide_out.writable()),
               std::invalid_argument);
  EXPECT_THROW(forward(stream, *resident, rows.rows(), std::span(workspace).first(8), out.writable()),
               std::invalid_argument);
  EXPECT_THROW(forward(elsewhere, *resident, rows.rows(), workspace, out.writable()), std::invalid_argument);
  EXPECT_THROW(reconstruction_error(stream, *resident, rows.rows(), workspace, error, {}),
               std::invalid_argument);
  EXPECT_NO_THROW(squared_length(stream, *resident, rows.rows(), workspace, error));
  EXPECT_THROW(squared_length(stream, *resident, narrow.rows(), workspace, error), std::invalid_argument);
  EXPECT_THROW(squared_length(stream, *resident, rows.rows(), workspace, std::span(error).first(4)),
               std::invalid_argument);

  const auto square =
      make_resident(*device, random_network({4, 2, 4}, Activation::rectifier, Activation::identity, 1));
  workspace.resize(square->workspace_bytes(5));
  EXPECT_THROW(reconstruction_error(stream, *square, rows.rows(), workspace, std::span(error).first(4), {}),
               std::invalid_argument);
  EXPECT_THROW(reconstruction_error(stream, *square, rows.rows(), workspace, error, out.writable()),
               std::invalid_argument);
}

TEST(Network, IsValidated) {
  const Network good = random_network({4, 2, 4}, Activation::rectifier, Activation::identity, 1);
  EXPECT_NO_THROW(validate(good));
  EXPECT_THROW(validate({}), std::invalid_argument);
  const auto broken = [&](auto breaking) {
    Network network = good;
    breaking(network);
    return network;
  };
  const std::vector<Network> bad = {
      broken([](Network& n) {
        n.layers[1].inputs = 3;
        n.layers[1].weight.resize(12);
      }),
      broken([](Network& n) {
        n.layers[0].inputs = 0;
        n.layers[0].weight.clear();
      }),
      broken([](Network& n) {
        n.layers[1].outputs = 0;
        n.layers[1].weight.clear();
        n.layers[1].bias.clear();
      }),
      broken([](Network& n) { n.layers[0].weight.pop_back(); }),
      broken([](Network& n) { n.layers[0].bias.push_back(0); }),
      broken([](Network& n) { n.layers[1].weight[3] = std::numeric_limits<float>::infinity(); }),
      broken([](Network& n) { n.layers[1].bias[0] = std::nanf(""); }),
      broken([](Network& n) { n.layers[0].activation = static_cast<Activation>(9); }),
      broken([](Network& n) {
        n.input = {{0, 0, 0}, {1, 1, 1}, 20};
      }),
      broken([](Network& n) {
        n.input = {{0, 0, 0, 0}, {1, 1, 0, 1}, 20};
      }),
      broken([](Network& n) {
        n.input = {{0, 0, 0, 0}, {1, 1, -1, 1}, 20};
      }),
      broken([](Network& n) {
        n.input = {{0, 0, 0, 0}, {}, 20};
      }),
      broken([](Network& n) {
        n.input = {{0, 0, 0, std::nanf("")}, {1, 1, 1, 1}, 20};
      }),
      broken([](Network& n) {
        n.input = {{0, 0, 0, 0}, {1, 1, 1, 1}, 0};
      }),
      // a product of shapes that wraps around
      broken([](Network& n) { n.layers[0].outputs = n.layers[1].inputs = std::size_t{1} << 62; }),
  };
  for (const Network& network : bad) EXPECT_THROW(validate(network), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::mlp
