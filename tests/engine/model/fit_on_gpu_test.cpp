// Fitting with a GPU's help: the same file as without, and it did help.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "kernels/device/emulated.hpp"
#include "kernels/device/error.hpp"
#include "tests/engine/model/models.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows

/// Ordinary columns, one of them lumpy and of zeros with both signs, one constant.
Table training_rows() {
  Table rows = normal_rows(150, 20, 5);
  for (std::size_t i = 0; i < rows.count(); ++i) {
    rows.at(i, 3) = i % 3 == 0 ? 0.0f : i % 3 == 1 ? -0.0f : 1.0f;
    rows.at(i, 4) = 8;
  }
  return rows;
}

class FitOnGpu : public ::testing::TestWithParam<std::string> {};

TEST_P(FitOnGpu, GivesTheSameFile) {
  const Table rows = training_rows();
  for (const Given& given : {Given{}, Given{{"calibration", "cross"}}}) {
    FitOptions options = options_of(GetParam(), given);
    const auto expected = fit(rows, options);
    for (const auto& gpu : tests::gpus({{.seed = 0}, {.seed = 1}})) {
      options.gpu = gpu.get();
      EXPECT_EQ(fit(rows, options)->bytes(), expected->bytes()) << gpu->description();
      if (gpu->backend() == Backend::emulated) {
        EXPECT_GT(emulated_calls(*gpu), 0u);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Catalogue, FitOnGpu, ::testing::ValuesIn(detector_names()),
                         [](const auto& info) { return info.param; });

TEST(GpuFit, WhatTheGpuDoesIsInTheModel) {
  const Table rows = training_rows();
  const auto perturbed = make_emulated_device({.perturb = true});
  for (const char* detector : {"histogram", "autoencoder"}) {
    FitOptions options = options_of(detector, {{"calibration", "none"}});
    const auto expected = fit(rows, options);
    options.gpu = perturbed.get();
    EXPECT_NE(fit(rows, options)->bytes(), expected->bytes()) << detector;
  }
}

TEST(GpuFit, AFailureEndsTheFit) {
  FitOptions options = options_of("histogram", {});
  const auto failing = make_emulated_device({.fail_at = 4});
  options.gpu = failing.get();
  EXPECT_THROW(fit(training_rows(), options), DeviceError);
}

// A plain sort would leave them as they came.
TEST(GpuFit, ZerosOfBothSignsHaveOneOrder) {
  const Table rows(1, {0.0f, -0.0f, 0.0f, -0.0f, 1.0f}), turned(1, {1.0f, -0.0f, 0.0f, -0.0f, 0.0f});
  const FitOptions options =
      options_of("histogram", {{"calibration", "none"}, {"rule", "equal_count"}, {"bins", "2"}});
  EXPECT_EQ(fitted_tensors(*fit(rows, options)), fitted_tensors(*fit(turned, options)));
}

}  // namespace
}  // namespace lanner::engine
