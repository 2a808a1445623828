#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "kernels/mlp/random.hpp"
#include "kernels/mlp/training.hpp"
#include "tests/kernels/mlp/networks.hpp"
#include "tests/kernels/mlp/train_cases.hpp"

namespace lanner::mlp {
namespace {

double loss(const Network& network, Rows rows) {
  double sum = 0;
  for (std::size_t r = 0; r < rows.count; ++r) {
    std::vector<double> x(rows.row(r), rows.row(r) + rows.width), y;
    for (const Layer& layer : network.layers) {
      y.assign(layer.outputs, 0);
      for (std::size_t o = 0; o < layer.outputs; ++o) {
        double a = static_cast<double>(layer.bias[o]);
        for (std::size_t i = 0; i < layer.inputs; ++i)
          a += static_cast<double>(layer.weight[o * layer.inputs + i]) * x[i];
        if (layer.activation == Activation::rectifier) a = std::max(a, 0.0);
        if (layer.activation == Activation::tanh) a = std::tanh(a);
        if (layer.activation == Activation::sigmoid) a = 1 / (1 + std::exp(-a));
        y[o] = a;
      }
      x = y;
    }
    for (std::size_t j = 0; j < x.size(); ++j) sum += std::pow(x[j] - static_cast<double>(rows.row(r)[j]), 2);
  }
  return sum / static_cast<double>(rows.count * rows.width);
}

TEST(Gradient, IsThatOfTheMeanReconstructionError) {
  const auto device = Device::cpu();
  for (Activation hidden :
       {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity})
    for (const std::vector<std::size_t>& widths :
         {std::vector<std::size_t>{5, 4, 3, 4, 5}, {3, 3}, {20, 17, 20}, {2, 33, 2}, {1, 1, 1}}) {
      Network network = random_network(widths, hidden, Activation::identity, 3);
      const Matrix rows = random_rows(11, widths.front(), 4);
      double error = 0;
      const Network found = gradient(*device, network, rows.rows(), &error);
      EXPECT_NEAR(error, loss(network, rows.rows()), 1e-5 * error);
      const auto slope = [&](float& parameter) {
        const float kept = parameter;
        const double h = 1e-3;
        parameter = static_cast<float>(static_cast<double>(kept) + h);
        const double up = parameter, above = loss(network, rows.rows());
        parameter = static_cast<float>(static_cast<double>(kept) - h);
        const double down = parameter, below = loss(network, rows.rows());
        parameter = kept;
        return (above - below) / (up - down);
      };
      // A rectifier's corner within the step makes a finite difference wrong: rarely, so a few may be.
      std::size_t wrong = 0, all = 0;
      for (std::size_t l = 0; l < network.layers.size(); ++l) {
        Layer& layer = network.layers[l];
        const auto compare = [&](std::vector<float>& parameters, const std::vector<float>& gradients) {
          ASSERT_EQ(parameters.size(), gradients.size());
          for (std::size_t i = 0; i < parameters.size(); ++i) {
            const double expected = slope(parameters[i]);
            wrong += std::abs(static_cast<double>(gradients[i]) - expected) > 1e-4 * (1 + std::abs(expected));
            ++all;
          }
        };
        compare(layer.weight, found.layers[l].weight);
        compare(layer.bias, found.layers[l].bias);
      }
      EXPECT_LE(wrong, hidden == Activation::rectifier ? all / 20 : 0) << "of " << all;
    }
}

TEST(Gradient, HasTheSameBitsInEveryTierAndThreadCount) {
  for (const std::vector<std::size_t>& widths : {std::vector<std::size_t>{7, 5, 3, 5, 7},
                                                 {62, 62, 16, 62, 62},
                                                 {256, 19, 256},
                                                 {300, 64, 16, 64, 300},
                                                 {1, 1}})
    for (std::size_t batch : {1, 5, 130}) {
      const Network network = random_network(widths, Activation::rectifier, Activation::identity, 3);
      const Matrix rows = random_rows(batch, widths.front(), 4);
      const auto plain = Device::cpu({CpuTier::scalar, 1});
      const Network expected = gradient(*plain, network, rows.rows());
      for (CpuTier tier : available_cpu_tiers())
        for (unsigned threads : {1u, 3u}) {
          const auto device = Device::cpu({tier, threads});
          EXPECT_TRUE(same_bits(expected, gradient(*device, network, rows.rows()))) << device->description();
        }
    }
}

TEST(Train, FindsThePlaneThatTheRowsLieIn) {
  const auto device = Device::cpu();
  const Matrix rows = planted_rows(2000, 12, 3, 1), fresh = planted_rows(200, 12, 3, 50),
               others = random_rows(200, 12, 7);
  for (Activation hidden :
       {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity}) {
    Training training = small_training();
    training.hidden = hidden;
    training.epochs_max = 60;
    if (hidden == Activation::sigmoid) training.learning_rate *= 4;  // its slope is at most a quarter
    double first = 0, last = 0;
    int called = 0;
    TrainingReport report;
    const Network network = train(
        *device, rows.rows(), training,
        [&](int epoch, double error, double validation) {
          EXPECT_EQ(epoch, ++called);
          EXPECT_GT(validation, 0);
          if (epoch == 1) first = error;
          last = error;
        },
        &report);
    validate(network);
    EXPECT_LT(last, first / 4);
    EXPECT_EQ(report.epochs, called);
    EXPECT_LT(report.validation_error, first);
    EXPECT_LT(loss(network, fresh.rows()) * 5, loss(network, others.rows()));
  }
}

TEST(Train, RepeatsBitForBitInEveryTierAndThreadCount) {
  const Matrix rows = planted_rows(300, 12, 3, 1);
  const auto plain = Device::cpu({CpuTier::scalar, 1});
  TrainingReport expected_report;
  const Network expected = train(*plain, rows.rows(), small_training(), {}, &expected_report);
  for (CpuTier tier : available_cpu_tiers())
    for (unsigned threads : {1u, 3u}) {
      TrainingReport report;
      const auto device = Device::cpu({tier, threads});
      EXPECT_TRUE(same_bits(expected, train(*device, rows.rows(), small_training(), {}, &report)))
          << device->description();
      EXPECT_EQ(report.epochs, expected_report.epochs);
      EXPECT_EQ(report.training_error, expected_report.training_error);
      EXPECT_EQ(report.validation_error, expected_report.validation_error);
    }
}

TEST(Train, StandardisesAsTheForwardPassDoes) {
  const auto device = Device::cpu();
  const Matrix rows = planted_rows(200, 12, 3, 1);
  Training training = small_training();
  training.input = random_standardisation(12, 2);
  training.validation_share = 0;
  training.epochs_max = 3;
  const Network raw = train(*device, rows.rows(), training, {});
  EXPECT_EQ(raw.input.shift, training.input.shift);
  EXPECT_EQ(raw.input.scale, training.input.scale);
  EXPECT_EQ(raw.input.limit, training.input.limit);

  Matrix ready(200, 12);
  for (std::size_t i = 0; i < 200; ++i)
    for (std::size_t j = 0; j < 12; ++j)
      ready.row(i)[j] =
          std::clamp((rows.row(i)[j] - training.input.shift[j]) * training.input.scale[j], -2.5f, 2.5f);
  Training plain = training;
  plain.input = {};
  EXPECT_TRUE(same_bits(raw, train(*device, ready.rows(), plain, {})));
}

TEST(Train, WideRowsRepeatOnManyThreads) {
  const Matrix rows = random_rows(150, 700, 1);
  Training training;
  training.widths = {700, 64, 16, 64, 700};
  training.batch = 128;
  training.epochs_max = 2;
  const auto one = Device::cpu({chosen_cpu_tier(), 1}), four = Device::cpu({chosen_cpu_tier(), 4});
  EXPECT_TRUE(same_bits(train(*one, rows.rows(), training, {}), train(*four, rows.rows(), training, {})));
}

TEST(Train, AnotherSeedGivesAnotherNetwork) {
  const Matrix rows = planted_rows(300, 12, 3, 1);
  const auto device = Device::cpu();
  Training training = small_training();
  const Network first = train(*device, rows.rows(), training, {});
  training.seed = 2;
  EXPECT_FALSE(same_bits(first, train(*device, rows.rows(), training, {})));
}

TEST(Train, StopsEarlyAndReturnsTheBestEpoch) {
  const Matrix rows = random_rows(60, 12, 1);  // nothing to learn: soon only the training error falls
  const auto device = Device::cpu();
  Training training = small_training();
  training.epochs_max = 5000;
  training.learning_rate = 0.02;
  training.validation_share = 0.3;
  training.patience = 4;
  std::vector<double> validation, error;
  TrainingReport report;
  train(
      *device, rows.rows(), training,
      [&](int, double e, double v) {
        error.push_back(e);
        validation.push_back(v);
      },
      &report);
  ASSERT_LT(report.epochs, 5000);
  const auto best = std::min_element(validation.begin(), validation.end());
  EXPECT_EQ(report.validation_error, *best);
  EXPECT_EQ(report.training_error, error[static_cast<std::size_t>(best - validation.begin())]);
  EXPECT_EQ(validation.end() - best, training.patience + 1);

  // The weights are those of that epoch: training that ends there gives the same.
  Training shorter = training;
  shorter.epochs_max = static_cast<int>(best - validation.begin()) + 1;
  EXPECT_TRUE(same_bits(train(*device, rows.rows(), shorter, {}), train(*device, rows.rows(), training, {})));
}

TEST(Train, WithoutValidationTheLastEpochCounts) {
  const Matrix rows = planted_rows(100, 12, 3, 1);
  const auto device = Device::cpu();
  Training training = small_training();
  training.validation_share = 0;
  TrainingReport report;
  double last = 0;
  train(
      *device, rows.rows(), training,
      [&](int, double e, double v) {
        last = e;
        EXPECT_EQ(v, 0);
      },
      &report);
  EXPECT_EQ(report.epochs, training.epochs_max);
  EXPECT_EQ(report.training_error, last);
  EXPECT_EQ(report.validation_error, 0);
}

TEST(Train, AwkwardRowsGiveFiniteNetworks) {
  const auto device = Device::cpu(), plain = Device::cpu({CpuTier::scalar, 1});
  for (const Matrix& rows : awkward_rows())
    for (Activation hidden :
         {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity}) {
      Training training = small_training();
      training.epochs_max = 5;
      training.batch = 7;
      training.hidden = hidden;
      TrainingReport report;
      const Network network = train(*device, rows.rows(), training, {}, &report);
      EXPECT_NO_THROW(validate(network));
      EXPECT_TRUE(std::isfinite(report.training_error));
      EXPECT_TRUE(std::isfinite(report.validation_error));
      EXPECT_TRUE(same_bits(network, train(*plain, rows.rows(), training, {})));
    }
}

TEST(Train, RefusesWhatMakesNoSense) {
  const Matrix rows = random_rows(10, 12, 1);
  const auto device = Device::cpu();
  const auto refused = [&](auto change, Rows with) {
    Training training = small_training();
    change(training);
    EXPECT_THROW(train(*device, with, training, {}), std::invalid_argument);
  };
  const auto nothing = [](Training&) {};
  refused([](Training& t) { t.widths = {12}; }, rows.rows());
  refused([](Training& t) { t.widths = {12, 0, 12}; }, rows.rows());
  refused([](Training& t) { t.widths = {12, 3, 11}; }, rows.rows());
  refused([](Training& t) { t.widths = {11, 3, 11}; }, rows.rows());
  refused([](Training& t) { t.epochs_max = 0; }, rows.rows());
  refused([](Training& t) { t.batch = 0; }, rows.rows());
  refused([](Training& t) { t.patience = 0; }, rows.rows());
  for (double rate : {0.0, -1.0, 2.0, std::nan("")})
    refused([=](Training& t) { t.learning_rate = rate; }, rows.rows());
  for (double share : {-0.1, 0.6, std::nan("")})
    refused([=](Training& t) { t.validation_share = share; }, rows.rows());
  refused(nothing, rows.rows().slice(0, 0));
  refused([](Training& t) { t.input = {{0, 0}, {1, 1}, 20}; }, rows.rows());
  Matrix broken = random_rows(10, 12, 1);
  broken.row(9)[11] = std::numeric_limits<float>::infinity();
  refused(nothing, broken.rows());
}

TEST(Random, IsTheSameEverywhereAndEven) {
  Random random(0);
  EXPECT_EQ(random.next(), 0xE220A8397B1DCDAFu);  // the generator's published first value for seed 0
  std::vector<int> drawn(5);
  for (int i = 0; i < 50'000; ++i) ++drawn[random.below(5)];
  for (int count : drawn) EXPECT_NEAR(count, 10'000, 500);
  double sum = 0, least = 1, most = -1;
  for (int i = 0; i < 50'000; ++i) {
    const double v = random.symmetric();
    sum += v;
    least = std::min(least, v);
    most = std::max(most, v);
  }
  EXPECT_NEAR(sum / 50'000, 0, 0.02);
  EXPECT_GE(least, -1);
  EXPECT_LT(least, -0.99);
  EXPECT_LT(most, 1);
  EXPECT_GT(most, 0.99);
}

}  // namespace
}  // namespace lanner::mlp
