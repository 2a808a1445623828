// Tensors that save() didn't write: loading says InvalidModel, or gives a model that scores without harm.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>

#include "engine/detectors/detector.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"

namespace lanner::engine {
namespace {

using testing::Random;
using testing::Table;

struct Saved {
  std::string header;
  std::vector<std::byte> data;

  std::vector<std::byte> bytes() const {
    // The container pads its header; so must we, that the data stays aligned.
    std::string padded = header;
    while (padded.size() % 8 != 0) padded += ' ';
    const std::uint64_t length = padded.size();
    std::vector<std::byte> all(8 + padded.size() + data.size());
    std::memcpy(all.data(), &length, 8);
    std::memcpy(all.data() + 8, padded.data(), padded.size());
    if (!data.empty()) std::memcpy(all.data() + 8 + padded.size(), data.data(), data.size());
    return all;
  }
};

Saved saved_by(const Fitted& fitted) {
  TensorWriter writer;
  fitted.save(writer);
  const std::vector<std::byte> bytes = writer.bytes();
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  return {std::string(reinterpret_cast<const char*>(bytes.data()) + 8, length),
          {bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length), bytes.end()}};
}

class HostileModel : public ::testing::TestWithParam<std::string_view> {
 protected:
  HostileModel()
      : detector_(*find_detector(GetParam())), settings_(Settings::parse(detector_.parameters, {})) {
    Table training = testing::normal_rows(25, 3, 31);
    training.append(training.rows().slice(0, 5));
    saved_ = saved_by(*detector_.fit({*device_, training.rows(), settings_, 1, {}}));
  }

  /// Whether it was accepted; if it was, it has scored too.
  bool survives(const Saved& changed) {
    std::shared_ptr<const Fitted> loaded;
    try {
      loaded = detector_.load(TensorReader(changed.bytes()), settings_);
    } catch (const InvalidModel&) {
      return false;
    }
    const std::size_t width = loaded->width();
    EXPECT_GT(width, 0u);
    Table queries(width);
    for (float value : {0.0f, 1.0f, -3e38f}) queries.values.insert(queries.values.end(), width, value);
    const auto scorer = loaded->resident(*device_);
    auto workspace = device_->array<std::byte>(scorer->workspace_bytes(3));
    std::vector<float> scores(3), parts(3 * width);
    Stream stream = device_->stream();
    scorer->score(stream, queries.rows(), workspace.span(), scores);
    scorer->contributions(stream, queries.rows(), workspace.span(), {parts.data(), 3, width, width});
    for (float score : scores) EXPECT_TRUE(std::isfinite(score));
    for (float part : parts) EXPECT_TRUE(std::isfinite(part));
    loaded->leave_one_out_scores(*device_);
    return true;
  }

  std::shared_ptr<Device> device_ = Device::cpu({CpuTier::scalar, 1});
  const Detector& detector_;
  Settings settings_;
  Saved saved_;
};

TEST_P(HostileModel, TheUnchangedOneLoads) {
  EXPECT_TRUE(survives(saved_));
}

TEST_P(HostileModel, DamagedValuesNeverDoHarm) {
  Random random(5);
  constexpr std::uint32_t words[] = {0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0xFFFFFFFF,
                                     0,          1,          0x80000000, 0x3F800000, 0x7FFFFFFF};
  for (int i = 0; i < 1500; ++i) {
    Saved changed = saved_;
    const std::size_t times = 1 + random.below(3);
    for (std::size_t t = 0; t < times; ++t) {
      if (random.below(2) == 0) {
        changed.data[random.below(changed.data.size())] ^= static_cast<std::byte>(1u << random.below(8));
      } else {
        const std::uint32_t word = words[random.below(std::size(words))];
        std::memcpy(&changed.data[random.below(changed.data.size() / 4) * 4], &word, 4);
      }
    }
    SCOPED_TRACE(::testing::Message() << "change " << i);
    ASSERT_NO_THROW(survives(changed));
    if (HasFailure()) return;
  }
}

TEST_P(HostileModel, EveryTensorIsNeededInItsOwnTypeAndShape) {
  // Names, types and shapes are edited in the header's text, whatever order it has.
  const auto replaced = [&](std::size_t at, std::size_t length, std::string_view by) {
    Saved changed = {saved_.header.substr(0, at), saved_.data};
    changed.header.append(by).append(saved_.header, at + length);
    return changed;
  };
  int tensors = 0;
  for (std::size_t at = saved_.header.find("\"dtype\":\""); at != std::string::npos;
       at = saved_.header.find("\"dtype\":\"", at + 1)) {
    ++tensors;
    const std::size_t value = at + std::strlen("\"dtype\":\"");
    const std::string type = saved_.header.substr(value, saved_.header.find('"', value) - value);
    for (std::string_view other : {"F32", "F64", "U32", "I64", "I32"}) {
      if (other == type) continue;
      EXPECT_FALSE(survives(replaced(value, type.size(), other))) << type << " as " << other;
    }
    // The name stands before the tensor's opening brace.
    const std::size_t brace = saved_.header.rfind('{', at), quote = saved_.header.rfind('"', brace);
    EXPECT_FALSE(survives(replaced(quote - 1, 1, "~"))) << "renamed tensor before " << at;
  }
  EXPECT_GT(tensors, 0);
  for (std::size_t at = saved_.header.find("\"shape\":["); at != std::string::npos;
       at = saved_.header.find("\"shape\":[", at + 1)) {
    const std::size_t value = at + std::strlen("\"shape\":[");
    const std::size_t length = saved_.header.find(']', value) - value;
    const std::string shape = saved_.header.substr(value, length);
    for (std::string_view other : {"", "0", "1", "7", "18446744073709551615", "4294967296,4294967296"}) {
      if (other == shape) continue;
      ASSERT_NO_THROW(survives(replaced(value, length, other))) << other;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Catalogue, HostileModel, ::testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const Detector& detector : catalogue()) names.push_back(detector.name);
                           return names;
                         }()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lanner::engine
