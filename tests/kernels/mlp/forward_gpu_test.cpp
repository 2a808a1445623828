// The forward pass on GPUs, emulated and real: the definition's bits.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "kernels/mlp/mlp.hpp"
#include "tests/kernels/mlp/answers.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::mlp {
namespace {

using tests::OnDevice;

// In batches of `batch` rows. Rows and outputs keep their padding; the workspace is as small as may be, dirty
// and misaligned.
Answer computed(Device& device, const Network& network, const Matrix& rows, std::size_t batch) {
  const auto resident = make_resident(device, network);
  const std::size_t width = network.outputs();
  const bool reconstructs = width == network.inputs();
  Answer answer{Matrix(rows.count, width), Matrix(rows.count, width), {}, {}, {}};
  answer.length.resize(rows.count);
  answer.error.resize(reconstructs ? rows.count : 0);
  OnDevice<float> in(device, rows.values), out(device, answer.out.values), parts(device, answer.parts.values),
      error(device, answer.error), error_alone(device, answer.error), length(device, answer.length);
  const std::size_t bytes = resident->workspace_bytes(batch);
  OnDevice<std::byte> memory(device, std::vector<std::byte>(bytes + 4, std::byte{0xFF}));
  const std::span<std::byte> workspace(memory.data() + 4, bytes);
  Stream stream = device.stream();
  const std::size_t stride = answer.out.stride;
  for (std::size_t begin = 0; begin < rows.count; begin += batch) {
    const std::size_t n = std::min(rows.count - begin, batch);
    const Rows part{in.data() + begin * rows.stride, n, rows.width, rows.stride};
    forward(stream, *resident, part, workspace, {out.data() + begin * stride, n, width, stride});
    squared_length(stream, *resident, part, workspace, length.span().subspan(begin, n));
    if (!reconstructs) continue;
    reconstruction_error(stream, *resident, part, workspace, error.span().subspan(begin, n),
                         {parts.data() + begin * stride, n, width, stride});
    reconstruction_error(stream, *resident, part, workspace, error_alone.span().subspan(begin, n), {});
  }
  answer.out.values = out.read(stream);
  answer.parts.values = parts.read(stream);
  answer.error = error.read(stream);
  answer.error_alone = error_alone.read(stream);
  answer.length = length.read(stream);
  return answer;
}

void expect_defined_everywhere(const Network& network, const Matrix& rows,
                               const std::vector<std::size_t>& batches, const std::string& where) {
  const Answer expected = by_definition(network, rows.rows());
  for (const auto& device : tests::gpus())
    for (std::size_t batch : batches)
      expect_same(expected, computed(*device, network, rows, batch),
                  where + ", " + device->description() + ", batches of " + std::to_string(batch));
}

// Around every tile's sizes: 8 outputs a thread; 16, 32 and 64 outputs and 8 and 16 inputs a block; networks
// that fit in shared memory with 64 and with 32 rows, and ones that don't.
const std::vector<std::vector<std::size_t>> small_shapes = {
    {1, 1},          {1, 1, 1},    {2, 3, 2},         {3, 1, 3},           {5, 4, 7},
    {7, 9, 2, 9, 7}, {8, 8},       {9, 17, 5},        {32, 16, 8, 16, 32}, {33, 31, 1, 31, 33},
    {64, 12, 64},    {65, 66, 67}, {100, 48, 7, 100}, {4, 300, 4}};
const std::vector<std::vector<std::size_t>> large_shapes = {{191, 193, 191},
                                                            {357, 3, 357},
                                                            {290, 16, 17, 32, 33, 290},
                                                            {160, 129, 8, 24, 160},
                                                            {128, 256, 64, 128},
                                                            {140, 140},
                                                            {1, 900, 1},
                                                            {300, 65, 15}};

void expect_defined_in_every_activation(const std::vector<std::vector<std::size_t>>& shapes,
                                        std::size_t count, const std::vector<std::size_t>& batches) {
  unsigned seed = 0;
  for (const auto& widths : shapes)
    for (Activation hidden : {Activation::rectifier, Activation::tanh, Activation::sigmoid}) {
      const Activation last =
          std::vector{Activation::identity, Activation::sigmoid, Activation::tanh}[seed % 3];
      const Matrix rows = random_rows(count, widths.front(), ++seed);
      Network network = random_network(widths, hidden, last, seed);
      if (seed % 2) network.input = random_standardisation(widths.front(), seed);
      expect_defined_everywhere(network, rows, batches, name_of(widths));
    }
}

// Fused networks need no workspace, others one for their hidden layers.
TEST(ForwardOnGpu, TheseNetworksAreSmallAndThoseAreLarge) {
  const auto device = make_emulated_device();
  const auto bytes = [&](const std::vector<std::size_t>& widths, std::size_t rows) {
    return make_resident(*device, random_network(widths, Activation::tanh, Activation::identity, 1))
        ->workspace_bytes(rows);
  };
  for (const auto& widths : small_shapes) EXPECT_EQ(bytes(widths, 100), 0u) << name_of(widths);
  for (const auto& widths : large_shapes)
    if (widths.size() > 2) {
      EXPECT_GT(bytes(widths, 100), 0u) << name_of(widths);
    }
  const std::size_t hidden = 100 * (64 + 16) * sizeof(float);
  EXPECT_GE(bytes({1555, 64, 16, 64, 1555}, 100), hidden);
  EXPECT_LE(bytes({1555, 64, 16, 64, 1555}, 100), hidden + 64);
}

TEST(ForwardOnGpu, SmallNetworksAreTheDefinition) {
  expect_defined_in_every_activation(small_shapes, 75, {75, 33});
}

TEST(ForwardOnGpu, LargeNetworksAreTheDefinition) {
  expect_defined_in_every_activation(large_shapes, 67, {67});
}

TEST(ForwardOnGpu, ManyLayersAreTheDefinition) {
  expect_defined_in_every_activation({std::vector<std::size_t>(17, 6), std::vector<std::size_t>(18, 6)}, 5,
                                     {5});
}

TEST(ForwardOnGpu, TakesAnyNumberOfRows) {
  const Network small = random_network({10, 6, 10}, Activation::rectifier, Activation::identity, 1);
  const Network large = random_network({150, 9, 150}, Activation::tanh, Activation::identity, 1);
  for (std::size_t n : {0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    expect_defined_everywhere(small, random_rows(n, 10, 2), {n + 1}, std::to_string(n) + " rows");
    if (n < 70)
      expect_defined_everywhere(large, random_rows(n, 150, 2), {n + 1}, std::to_string(n) + " rows");
  }
  const Matrix rows = random_rows(40, 10, 2);
  expect_defined_everywhere(small, rows, {1}, "a row at a time");
}

TEST(ForwardOnGpu, BlocksThatTakeTileAfterTile) {
  const Network network = random_network({6, 3, 6}, Activation::rectifier, Activation::identity, 1);
  expect_defined_everywhere(network, random_rows(5'000, 6, 2), {5'000}, "5000 rows");
}

TEST(ForwardOnGpu, WideRows) {
  Network network = random_network({1555, 64, 16, 64, 1555}, Activation::rectifier, Activation::identity, 3);
  expect_defined_everywhere(network, random_rows(9, 1555, 4), {9}, "wide");
  network.input = random_standardisation(1555, 5);
  expect_defined_everywhere(network, random_rows(3, 1555, 4), {2}, "wide, standardised");
}

// -0 stays -0 only if nothing at all is added to it: no input that fills up a tile.
TEST(ForwardOnGpu, NegativeZerosStay) {
  for (const std::vector<std::size_t>& widths :
       {std::vector<std::size_t>{5, 3}, {501, 500}, {501, 20}, {501, 9}}) {
    Network network = random_network(widths, Activation::identity, Activation::identity, 1);
    for (float& w : network.layers[0].weight) w = 0.0f;
    for (float& b : network.layers[0].bias) b = -0.0f;
    Matrix rows(3, widths.front());
    for (std::size_t i = 0; i < rows.count; ++i) std::fill_n(rows.row(i), rows.width, -1.0f);
    EXPECT_TRUE(std::signbit(by_definition(network, rows.rows()).out.row(0)[0]));
    expect_defined_everywhere(network, rows, {3}, name_of(widths));
  }
}

TEST(ForwardOnGpu, AwkwardValuesSaturateAndAreNeverNaN) {
  for (const auto& [network, standardising, rows] : awkward_cases()) {
    expect_defined_everywhere(network, rows, {60}, "awkward values");
    expect_defined_everywhere(standardising, rows, {60}, "awkward standardisation");
  }
}

// The same values through a network too large to be fused: inputs and outputs that say nothing fill it up.
TEST(ForwardOnGpu, AwkwardValuesInLargeNetworksToo) {
  constexpr std::size_t wide = 400;
  for (const Awkward& awkward : awkward_cases()) {
    Network network = awkward.standardising;
    Layer &first = network.layers.front(), &last = network.layers.back();
    Matrix rows(awkward.rows.count, wide);
    for (std::size_t r = 0; r < rows.count; ++r)
      for (std::size_t j = 0; j < wide; ++j) rows.row(r)[j] = awkward.rows.row(r)[j % 13];
    std::vector<float> weight;
    for (std::size_t o = 0; o < first.outputs; ++o)
      for (std::size_t j = 0; j < wide; ++j) weight.push_back(first.weight[o * 13 + j % 13]);
    first.inputs = wide;
    first.weight = weight;
    last.outputs = wide;
    for (std::size_t o = 13; o < wide; ++o) {
      last.bias.push_back(last.bias[o % 13]);
      for (std::size_t i = 0; i < last.inputs; ++i)
        last.weight.push_back(last.weight[o % 13 * last.inputs + i]);
      network.input.shift.push_back(network.input.shift[o % 13]);
      network.input.scale.push_back(network.input.scale[o % 13]);
    }
    expect_defined_everywhere(network, rows, {60}, "awkward values");
  }
}

TEST(ForwardOnGpu, RefusesWhatDoesNotFit) {
  const auto device = make_emulated_device(), another = make_emulated_device(), cpu = Device::cpu();
  const Network network = random_network({200, 70, 200}, Activation::tanh, Activation::identity, 1);
  const auto resident = make_resident(*device, network);
  EXPECT_EQ(resident->inputs(), 200u);
  EXPECT_EQ(resident->outputs(), 200u);
  const tests::RowsOnDevice rows(*device, random_rows(5, 200, 1).rows());
  OnDevice<float> out(*device, 5 * 200), error(*device, 5);
  OnDevice<std::byte> workspace(*device, resident->workspace_bytes(5));
  const MutableRows writable{out.data(), 5, 200, 200};
  Stream stream = device->stream(), elsewhere = another->stream(), host = cpu->stream();
  EXPECT_THROW(forward(stream, *resident, rows.view(), workspace.span().subspan(1), writable),
               std::invalid_argument);
  EXPECT_THROW(
      reconstruction_error(stream, *resident, rows.view(), workspace.span().subspan(1), error.span(), {}),
      std::invalid_argument);
  EXPECT_THROW(forward(elsewhere, *resident, rows.view(), workspace.span(), writable), std::invalid_argument);
  EXPECT_THROW(forward(host, *resident, rows.view(), workspace.span(), writable), std::invalid_argument);
  EXPECT_NO_THROW(forward(stream, *resident, rows.view(), workspace.span(), writable));
  stream.synchronize();
}

}  // namespace
}  // namespace lanner::mlp
