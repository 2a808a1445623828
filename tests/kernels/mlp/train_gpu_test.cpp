// Training on GPUs, emulated and real: the bits of the CPU's plain tier.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/device/error.hpp"
#include "kernels/mlp/training.hpp"
#include "tests/kernels/mlp/answers.hpp"
#include "tests/kernels/mlp/networks.hpp"
#include "tests/kernels/mlp/train_cases.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::mlp {
namespace {

// With every GPU there is, those too that are kept busy by one tile, and by none: all products in large
// tiles, and all in small ones.
std::vector<std::shared_ptr<Device>> gpus() {
  auto devices = tests::gpus();
  devices.push_back(make_emulated_device({.seed = 3, .multiprocessors = 1}));
  devices.push_back(make_emulated_device({.seed = 4, .multiprocessors = 1'000'000}));
  return devices;
}

struct Trained {
  Network network;
  TrainingReport report;
  std::vector<int> epochs;
  std::vector<double> errors, validation_errors;
};

Trained trained(Device& device, Rows rows, const Training& training) {
  Trained result;
  const auto progress = [&](int epoch, double error, double validation) {
    result.epochs.push_back(epoch);
    result.errors.push_back(error);
    result.validation_errors.push_back(validation);
  };
  result.network = train(device, rows, training, progress, &result.report);
  return result;
}

Trained trained_plainly(Rows rows, const Training& training) {
  return trained(*Device::cpu({CpuTier::scalar, 1}), rows, training);
}

void expect_same(const Trained& expected, const Trained& found, const std::string& where) {
  EXPECT_TRUE(same_bits(expected.network, found.network)) << where;
  EXPECT_EQ(expected.network.input.shift, found.network.input.shift) << where;
  EXPECT_EQ(expected.report.epochs, found.report.epochs) << where;
  EXPECT_EQ(expected.report.training_error, found.report.training_error) << where;
  EXPECT_EQ(expected.report.validation_error, found.report.validation_error) << where;
  EXPECT_EQ(expected.epochs, found.epochs) << where;
  EXPECT_EQ(expected.errors, found.errors) << where;
  EXPECT_EQ(expected.validation_errors, found.validation_errors) << where;
}

void expect_plain_training(Rows rows, const Training& training, const std::string& where) {
  const Trained expected = trained_plainly(rows, training);
  for (const auto& device : gpus())
    expect_same(expected, trained(*device, rows, training), where + ", " + device->description());
}

void expect_plain_gradient(const Network& network, Rows rows) {
  double error = 0;
  const Network expected = gradient(*Device::cpu({CpuTier::scalar, 1}), network, rows, &error);
  for (const auto& device : gpus()) {
    double found_error = 0;
    EXPECT_TRUE(same_bits(expected, gradient(*device, network, rows, &found_error)))
        << device->description() << ", " << rows.count << " rows of " << rows.width;
    EXPECT_EQ(error, found_error) << device->description();
  }
}

// Around the sizes of tiles, of chunks of steps, and of what rows are filled up to.
TEST(GradientOnGpu, IsThePlainOne) {
  unsigned seed = 0;
  for (const std::vector<std::size_t>& widths : {std::vector<std::size_t>{1, 1},
                                                 {1, 1, 1},
                                                 {5, 4, 3, 4, 5},
                                                 {16, 15, 17, 16},
                                                 {31, 33, 31},
                                                 {32, 64, 32},
                                                 {65, 2, 63, 65},
                                                 {2, 100, 2},
                                                 {256, 3, 256}})
    for (std::size_t batch : {1, 17, 66}) {
      const Activation hidden =
          std::vector{Activation::rectifier, Activation::tanh, Activation::sigmoid}[++seed % 3];
      const Activation last = std::vector{Activation::identity, Activation::tanh, Activation::rectifier,
                                          Activation::sigmoid}[seed % 4];
      Network network = random_network(widths, hidden, last, seed);
      if (seed % 4 == 0) network.input = random_standardisation(widths.front(), seed);
      expect_plain_gradient(network, random_rows(batch, widths.front(), seed).rows());
    }
}

TEST(GradientOnGpu, OfWideRows) {
  const Network network = random_network({1555, 6, 1555}, Activation::tanh, Activation::identity, 1);
  expect_plain_gradient(network, random_rows(5, 1555, 2).rows());
}

TEST(TrainOnGpu, GivesThePlainNetwork) {
  const Matrix rows = planted_rows(100, 12, 3, 1);
  for (Activation hidden :
       {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity}) {
    Training training = small_training();
    training.hidden = hidden;
    training.epochs_max = 4;
    expect_plain_training(rows.rows(), training, "training");
    training.input = random_standardisation(12, 2);
    expect_plain_training(rows.rows(), training, "training on standardised rows");
  }
}

TEST(TrainOnGpu, TakesAnyBatchAndShare) {
  const Matrix rows = planted_rows(23, 12, 3, 1);
  for (std::size_t batch : {std::size_t{1}, std::size_t{5}, std::size_t{23}, ~std::size_t{0}})
    for (double share : {0.0, 0.04, 0.5}) {
      Training training = small_training();
      training.epochs_max = 2;
      training.batch = batch;
      training.validation_share = share;
      expect_plain_training(rows.rows(), training,
                            "batches of " + std::to_string(batch) + ", share " + std::to_string(share));
    }
}

TEST(TrainOnGpu, ALayerAloneAndRowsOfOneFeature) {
  for (const std::vector<std::size_t>& widths : {std::vector<std::size_t>{1, 1}, {1, 7, 1}, {19, 19}}) {
    Training training = small_training();
    training.widths = widths;
    training.epochs_max = 3;
    expect_plain_training(random_rows(40, widths.front(), 5).rows(), training, name_of(widths));
  }
}

// More than are brought to the device at once.
TEST(TrainOnGpu, ManyWideRows) {
  const Matrix rows = random_rows(700, 1555, 3);
  Training training;
  training.widths = {1555, 2, 1555};
  training.epochs_max = 1;
  training.batch = 350;
  const auto device = make_emulated_device();
  expect_same(trained_plainly(rows.rows(), training), trained(*device, rows.rows(), training), "wide");
}

TEST(TrainOnGpu, AwkwardRowsGiveFiniteNetworks) {
  for (const Matrix& rows : awkward_rows())
    for (Activation hidden :
         {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity}) {
      Training training = small_training();
      training.epochs_max = 3;
      training.batch = 7;
      training.hidden = hidden;
      EXPECT_NO_THROW(validate(trained(*make_emulated_device(), rows.rows(), training).network));
      expect_plain_training(rows.rows(), training, "awkward rows");
    }
}

TEST(TrainOnGpu, StopsEarlyAndReturnsTheBestEpoch) {
  const Matrix rows = random_rows(60, 12, 1);  // nothing to learn: soon only the training error falls
  const auto device = make_emulated_device();
  Training training = small_training();
  training.epochs_max = 5000;
  training.learning_rate = 0.02;
  training.validation_share = 0.3;
  training.patience = 4;
  const Trained found = trained(*device, rows.rows(), training);
  expect_same(trained_plainly(rows.rows(), training), found, "early stopping");
  ASSERT_LT(found.report.epochs, 5000);
  const auto best = std::min_element(found.validation_errors.begin(), found.validation_errors.end());
  EXPECT_EQ(found.report.validation_error, *best);
  EXPECT_EQ(found.validation_errors.end() - best, training.patience + 1);
  // The weights are those of that epoch: training that ends there gives the same.
  training.epochs_max = static_cast<int>(best - found.validation_errors.begin()) + 1;
  EXPECT_TRUE(same_bits(found.network, train(*device, rows.rows(), training, {})));
}

TEST(TrainOnGpu, ProgressStopsIt) {
  const Matrix rows = random_rows(20, 12, 1);
  const auto device = make_emulated_device();
  int called = 0;
  const auto stop = [&](int epoch, double, double) {
    called = epoch;
    if (epoch == 2) throw std::runtime_error("enough");
  };
  EXPECT_THROW(train(*device, rows.rows(), small_training(), stop), std::runtime_error);
  EXPECT_EQ(called, 2);
}

// What is returned has been computed there, and not on the CPU beside it.
TEST(TrainOnGpu, APerturbedDeviceGivesAnotherNetwork) {
  const Matrix rows = planted_rows(40, 12, 3, 1);
  Training training = small_training();
  training.epochs_max = 2;
  const Network honest = train(*make_emulated_device(), rows.rows(), training, {});
  EXPECT_FALSE(same_bits(honest, train(*make_emulated_device({.perturb = true}), rows.rows(), training, {})));
}

TEST(TrainOnGpu, AnyCallThatFailsIsADeviceError) {
  const Matrix rows = planted_rows(12, 12, 3, 1);
  Training training = small_training();
  training.widths = {12, 3, 12};
  training.epochs_max = 2;
  training.batch = 6;
  training.validation_share = 0.2;
  const auto undisturbed = make_emulated_device();
  const Network expected = train(*undisturbed, rows.rows(), training, {});
  std::uint64_t harmless[2] = {};
  for (const auto failure : {EmulatedOptions::Failure::error, EmulatedOptions::Failure::lost})
    for (std::uint64_t call = 1; call <= emulated_calls(*undisturbed); ++call) {
      const bool is_lost = failure == EmulatedOptions::Failure::lost;
      const auto device = make_emulated_device({.fail_at = call, .failure = failure});
      try {
        EXPECT_TRUE(same_bits(expected, train(*device, rows.rows(), training, {}))) << call;
        ++harmless[is_lost];
      } catch (const DeviceError& error) {
        EXPECT_EQ(error.lost(), is_lost) << call;
      }
    }
  // Giving memory back can't fail: all of it at the end, and that which the rows were staged in before.
  EXPECT_EQ(harmless[1], 14u);
  EXPECT_EQ(harmless[0], 15u);
}

TEST(TrainOnGpu, TooLittleMemoryIsADeviceError) {
  const Matrix rows = random_rows(100, 12, 1);
  const auto device = make_emulated_device({.memory_bytes = 16 << 10});
  EXPECT_THROW(train(*device, rows.rows(), small_training(), {}), DeviceError);
}

TEST(TrainOnGpu, RefusesWhatMakesNoSenseBeforeTheDeviceIsUsed) {
  const Matrix rows = random_rows(10, 12, 1);
  const auto device = make_emulated_device();
  Training training = small_training();
  training.widths = {11, 3, 11};
  EXPECT_THROW(train(*device, rows.rows(), training, {}), std::invalid_argument);
  training = small_training();
  training.learning_rate = std::nan("");
  EXPECT_THROW(train(*device, rows.rows(), training, {}), std::invalid_argument);
  EXPECT_EQ(emulated_calls(*device), 0u);
}

}  // namespace
}  // namespace lanner::mlp
