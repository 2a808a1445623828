#include "engine/model_file/tensors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

namespace lanner::engine {
namespace {

const std::vector<float> floats{1.5f, -0.0f, std::numeric_limits<float>::denorm_min(), 4, 5, 6};
const std::vector<double> doubles{0.1, std::numeric_limits<double>::infinity()};
const std::vector<std::uint32_t> unsigneds{0, 0xffffffffu, 7};
const std::vector<std::int64_t> integers{std::numeric_limits<std::int64_t>::min(), -1};

TensorWriter example() {
  TensorWriter writer;
  writer.add("rows", {2, 3}, floats);
  writer.add("a.b", {2}, doubles);
  writer.add("counts", {3, 1}, unsigneds);
  writer.add("ends", {1, 1, 2}, integers);
  writer.add("nothing", {0, 9}, std::span<const float>{});
  writer.add("scalar", {}, std::span<const double>(doubles.data(), 1));
  writer.metadata("name", "caf\xc3\xa9 \"x\"\n");
  writer.metadata("empty", "");
  return writer;
}

std::uint64_t header_length(const std::vector<std::byte>& bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  return length;
}

TEST(Tensors, ComeBackAsTheyWere) {
  const TensorReader reader(example().bytes());
  EXPECT_EQ(0, std::memcmp(reader.floats("rows").data(), floats.data(), floats.size() * 4));
  EXPECT_EQ(reader.doubles("a.b"), doubles);
  EXPECT_EQ(reader.unsigned_integers("counts"), unsigneds);
  EXPECT_EQ(reader.integers("ends"), integers);
  EXPECT_TRUE(reader.floats("nothing").empty());
  EXPECT_EQ(reader.doubles("scalar"), std::vector<double>{0.1});
  EXPECT_EQ(reader.shape("rows"), (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(reader.shape("nothing"), (std::vector<std::size_t>{0, 9}));
  EXPECT_TRUE(reader.shape("scalar").empty());
  EXPECT_EQ(reader.metadata("name"), "caf\xc3\xa9 \"x\"\n");
  EXPECT_EQ(reader.metadata("empty"), "");
  EXPECT_TRUE(reader.has("rows"));
  EXPECT_FALSE(reader.has("row"));
  EXPECT_TRUE(reader.has_metadata("name"));
  EXPECT_FALSE(reader.has_metadata("rows"));
}

TEST(Tensors, OrderOfAddingDoesNotShow) {
  TensorWriter other;
  other.metadata("empty", "");
  other.metadata("name", "caf\xc3\xa9 \"x\"\n");
  other.add("scalar", {}, std::span<const double>(doubles.data(), 1));
  other.add("nothing", {0, 9}, std::span<const float>{});
  other.add("ends", {1, 1, 2}, integers);
  other.add("counts", {3, 1}, unsigneds);
  other.add("a.b", {2}, doubles);
  other.add("rows", {2, 3}, floats);
  EXPECT_EQ(other.bytes(), example().bytes());
}

TEST(Tensors, EveryTensorLiesAlignedToItsItems) {
  const auto bytes = example().bytes();
  const std::uint64_t length = header_length(bytes);
  EXPECT_EQ(length % 8, 0u);
  const auto header = nlohmann::json::parse(reinterpret_cast<const char*>(bytes.data()) + 8,
                                            reinterpret_cast<const char*>(bytes.data()) + 8 + length);
  std::size_t tensors = 0;
  for (const auto& [name, about] : header.items()) {
    if (name == "__metadata__") continue;
    ++tensors;
    const std::size_t item = about["dtype"] == "F64" || about["dtype"] == "I64" ? 8 : 4;
    EXPECT_EQ(about["data_offsets"][0].get<std::size_t>() % item, 0u) << name;
  }
  EXPECT_EQ(tensors, 6u);
}

TEST(Tensors, AnEmptyContainerIsOne) {
  const TensorReader reader(TensorWriter().bytes());
  EXPECT_FALSE(reader.has(""));
  EXPECT_FALSE(reader.has_metadata(""));
}

TEST(Tensors, WriterRefusesWhatItCouldNotReadBack) {
  TensorWriter writer = example();
  EXPECT_THROW(writer.add("rows", {2}, doubles), std::invalid_argument)
      << "name taken, though of another type";
  EXPECT_THROW(writer.add("more", {2, 2}, floats), std::invalid_argument);
  EXPECT_THROW(writer.add("more", {}, floats), std::invalid_argument);
  EXPECT_THROW(writer.add("more", {std::size_t{1} << 62, 4}, std::span<const float>{}), std::invalid_argument)
      << "2^62 * 4 * 4 bytes wrap around to 0";
  EXPECT_THROW(writer.add("__metadata__", {2}, doubles), std::invalid_argument);
  EXPECT_THROW(writer.add("\xff", {2}, doubles), std::invalid_argument);
  EXPECT_THROW(writer.metadata("name", "again"), std::invalid_argument);
  EXPECT_THROW(writer.metadata("bytes", "\xc3"), std::invalid_argument);
  EXPECT_THROW(writer.metadata("\xc3", "bytes"), std::invalid_argument);
  EXPECT_EQ(writer.bytes(), example().bytes()) << "a refusal leaves no trace";
}

TEST(Tensors, AccessorsNameWhatIsMissing) {
  const TensorReader reader(example().bytes());
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const InvalidModel& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message([&] { reader.floats("absent"); }).find("absent"), std::string::npos);
  EXPECT_NE(message([&] { reader.shape("absent"); }).find("absent"), std::string::npos);
  EXPECT_NE(message([&] { reader.metadata("absent"); }).find("absent"), std::string::npos);
  EXPECT_NE(message([&] { reader.doubles("rows"); }).find("F32"), std::string::npos);
  EXPECT_THROW(reader.unsigned_integers("rows"), InvalidModel) << "of the same width, but floats";
  EXPECT_THROW(reader.floats("counts"), InvalidModel);
  EXPECT_THROW(reader.integers("a.b"), InvalidModel);
}

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256({}), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string text = "abc";
  EXPECT_EQ(sha256(std::as_bytes(std::span(text))),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Tensors, SectionsAreNamesThatBeginAlike) {
  TensorWriter part, whole;
  const std::vector<float> values{1, 2}, other{3};
  part.add("a", {2}, std::span(values));
  part.metadata("kind", "first");
  whole.add("a", {1}, std::span(other));
  whole.add_section("members.0", part);
  whole.add_section("members.01", part);
  EXPECT_THROW(whole.add_section("members.0", part), std::invalid_argument);
  const TensorReader reader(whole.bytes());
  EXPECT_EQ(reader.floats("members.0.a"), values);
  const TensorReader section = reader.section("members").section("0");
  EXPECT_EQ(section.floats("a"), values);
  EXPECT_EQ(section.metadata("kind"), "first");
  EXPECT_EQ(reader.floats("a"), other);
  const TensorReader nothing = reader.section("member");
  EXPECT_FALSE(nothing.has("a"));
  EXPECT_THROW(nothing.floats("a"), InvalidModel);
}

}  // namespace
}  // namespace lanner::engine
