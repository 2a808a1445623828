// What any fitted detector keeps, however it was made: its scores' bits on every tier and backend, and when
// saved and loaded.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/engine/detectors/scoring.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::engine::testing {

/// Of rows in the device's own memory; as bits.
inline std::vector<std::uint32_t> score_bits(Device& device, const Fitted& fitted, const Table& queries) {
  Stream stream = device.stream();
  const auto scorer = fitted.resident(device);
  tests::RowsOnDevice rows(device, queries.rows());
  auto workspace = device.array<std::byte>(scorer->workspace_bytes(queries.count()));
  tests::OnDevice<float> scores(device, queries.count());
  scorer->score(stream, rows.view(), workspace.span(), scores.span());
  std::vector<std::uint32_t> bits;
  for (const float score : scores.read(stream)) bits.push_back(std::bit_cast<std::uint32_t>(score));
  return bits;
}

inline void expect_same_everywhere(std::string_view detector, const Fitted& fitted, const Table& queries) {
  const auto plain = Device::cpu({CpuTier::scalar, 1});
  const auto expected = score_bits(*plain, fitted, queries);
  for (const CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 2});
    EXPECT_EQ(score_bits(*device, fitted, queries), expected) << device->description();
  }
  for (const auto& device : tests::gpus())
    EXPECT_EQ(score_bits(*device, fitted, queries), expected) << device->description();
  TensorWriter writer;
  fitted.save(writer);
  const Detector& known = *find_detector(detector);
  const auto loaded = known.load(TensorReader(writer.bytes()), Settings::parse(known.parameters, {}));
  EXPECT_EQ(score_bits(*plain, *loaded, queries), expected) << "loaded";
  EXPECT_EQ(contributions(*loaded, queries).values, contributions(fitted, queries).values) << "loaded";
}

}  // namespace lanner::engine::testing
