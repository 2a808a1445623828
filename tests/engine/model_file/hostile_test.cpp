// Bytes that somebody made to hurt, or that a disk has damaged: an InvalidModel or a container that keeps its
// word.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "engine/model_file/tensors.hpp"

namespace lanner::engine {
namespace {

std::vector<std::byte> file(std::uint64_t length, std::string_view header, std::size_t data_bytes) {
  std::vector<std::byte> bytes(8 + header.size() + data_bytes);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}
std::vector<std::byte> file(std::string_view header, std::size_t data_bytes) {
  return file(header.size(), header, data_bytes);
}

/// Reads everything there is through names that could have survived; true if the container was accepted.
bool survives(std::vector<std::byte> bytes) {
  try {
    const TensorReader reader(std::move(bytes));
    for (const char* name : {"a", "b", "c", "rows", ""}) {
      if (!reader.has(name)) continue;
      std::size_t items = 1;
      for (const std::size_t extent : reader.shape(name)) items *= extent;
      for (int type = 0; type < 4; ++type) try {
          const std::size_t got = type == 0   ? reader.floats(name).size()
                                  : type == 1 ? reader.doubles(name).size()
                                  : type == 2 ? reader.unsigned_integers(name).size()
                                              : reader.integers(name).size();
          EXPECT_EQ(got, items);
        } catch (const InvalidModel&) {
        }
    }
    return true;
  } catch (const InvalidModel&) {
    return false;
  }
}

const std::string a4 = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";

struct Hostile {
  const char* name;
  std::vector<std::byte> bytes;
};

std::vector<Hostile> hostile_files() {
  const auto tensor = [](const std::string& type, const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const std::string deep(200'000, '[');
  return {
      {"empty", {}},
      {"seven bytes", std::vector<std::byte>(7)},
      {"length 0", file(0, "", 0)},
      {"length beyond the file", file(3, "{}", 0)},
      {"length 2^64-1", file(~std::uint64_t{0}, "{}", 0)},
      {"length 2^63", file(std::uint64_t{1} << 63, "{}", 0)},
      {"length 2^64-8: the sum wraps", file(~std::uint64_t{0} - 7, "{}", 0)},
      {"length cuts the header", file(1, "{}", 0)},
      {"not JSON", file("{a}", 0)},
      {"nothing but spaces", file("        ", 0)},
      {"leading space", file(" {}", 0)},
      {"byte-order mark", file("\xef\xbb\xbf{}", 0)},
      {"an array", file("[]", 0)},
      {"a string", file("\"a\"", 0)},
      {"a number", file("1", 0)},
      {"two documents", file("{}{}", 0)},
      {"trailing comma", file("{" + a4 + ",}", 4)},
      {"comment", file("{/**/" + a4 + "}", 4)},
      {"trailing zero bytes", file(std::string("{}\0\0", 4), 0)},
      {"unterminated", file("{" + a4, 4)},
      {"deep arrays", file(deep, 0)},
      {"deep arrays as a tensor", file(R"({"a":)" + deep, 0)},
      {"deep arrays as a shape", file(R"({"a":{"dtype":"F32","shape":)" + deep, 0)},
      {"deep objects", file(
                           [] {
                             std::string text;
                             for (int i = 0; i < 100'000; ++i) text += R"({"a":)";
                             return text;
                           }(),
                           0)},
      {"tensor is null", file(R"({"a":null})", 0)},
      {"tensor is true", file(R"({"a":true})", 0)},
      {"tensor is an array", file(R"({"a":[]})", 0)},
      {"tensor is a string", file(R"({"a":"F32"})", 0)},
      {"tensor is a number", file(R"({"a":4})", 0)},
      {"tensor is empty", file(R"({"a":{}})", 0)},
      {"no dtype", file(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4)},
      {"no shape", file(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4)},
      {"no offsets", file(R"({"a":{"dtype":"F32","shape":[1]}})", 4)},
      {"unknown key", file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":"y"}})", 4)},
      {"dtype twice", file(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)},
      {"shape twice", file(R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", 4)},
      {"offsets twice",
       file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}})", 4)},
      {"name twice", file("{" + a4 + "," + a4 + "}", 4)},
      {"metadata twice", file(R"({"__metadata__":{},"__metadata__":{}})", 0)},
      {"metadata key twice", file(R"({"__metadata__":{"k":"1","k":"2"}})", 0)},
      {"metadata is a string", file(R"({"__metadata__":"x"})", 0)},
      {"metadata is null", file(R"({"__metadata__":null})", 0)},
      {"metadata value is a number", file(R"({"__metadata__":{"k":1}})", 0)},
      {"metadata value is null", file(R"({"__metadata__":{"k":null}})", 0)},
      {"metadata value is an object", file(R"({"__metadata__":{"k":{}}})", 0)},
      {"metadata value is an array", file(R"({"__metadata__":{"k":[]}})", 0)},
      {"invalid UTF-8 in a name",
       file("{\"\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4)},
      {"overlong UTF-8 in metadata", file("{\"__metadata__\":{\"k\":\"\xc0\xaf\"}}", 0)},
      {"surrogate UTF-8 in metadata", file("{\"__metadata__\":{\"k\":\"\xed\xa0\x80\"}}", 0)},
      {"lone surrogate escape", file(R"({"__metadata__":{"k":"\ud800"}})", 0)},
      {"control byte in a string", file("{\"__metadata__\":{\"k\":\"\x01\"}}", 0)},
      {"unknown dtype", file(tensor("F16", "[2]", "[0,4]"), 4)},
      {"lower-case dtype", file(tensor("f32", "[1]", "[0,4]"), 4)},
      {"empty dtype", file(tensor("", "[1]", "[0,4]"), 4)},
      {"dtype a number", file(R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4)},
      {"dtype an array", file(R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4)},
      {"shape a number", file(tensor("F32", "1", "[0,4]"), 4)},
      {"shape a string", file(tensor("F32", "\"1\"", "[0,4]"), 4)},
      {"shape negative", file(tensor("F32", "[-1]", "[0,4]"), 4)},
      {"shape twice negative", file(tensor("F32", "[-1,-1]", "[0,4]"), 4)},
      {"shape a fraction", file(tensor("F32", "[1.0]", "[0,4]"), 4)},
      {"shape an exponent", file(tensor("F32", "[1e0]", "[0,4]"), 4)},
      {"shape beyond 64 bits", file(tensor("F32", "[18446744073709551617]", "[0,4]"), 4)},
      {"shape beyond any number", file(tensor("F32", "[1e999]", "[0,4]"), 4)},
      {"shape nested", file(tensor("F32", "[[1]]", "[0,4]"), 4)},
      {"shape of strings", file(tensor("F32", "[\"1\"]", "[0,4]"), 4)},
      {"shape product wraps to 4", file(tensor("F32", "[4294967296,4294967296,1]", "[0,0]"), 0)},
      {"shape times item wraps", file(tensor("F32", "[4611686018427387905]", "[0,4]"), 4)},
      {"shape wraps before a zero", file(tensor("F32", "[4294967296,4294967296,0]", "[0,0]"), 0)},
      {"too many dimensions", file(tensor("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4)},
      {"shape smaller than offsets", file(tensor("F32", "[1]", "[0,8]"), 8)},
      {"shape larger than offsets", file(tensor("F32", "[2]", "[0,4]"), 4)},
      {"no offsets in the list", file(tensor("F32", "[1]", "[]"), 4)},
      {"one offset", file(tensor("F32", "[1]", "[4]"), 4)},
      {"three offsets", file(tensor("F32", "[1]", "[0,4,4]"), 4)},
      {"offsets reversed", file(tensor("F32", "[1]", "[4,0]"), 4)},
      {"offset negative", file(tensor("F32", "[1]", "[-4,0]"), 4)},
      {"offset a fraction", file(tensor("F32", "[1]", "[0.5,4]"), 4)},
      {"offsets beyond the data", file(tensor("F32", "[2]", "[0,8]"), 4)},
      {"offsets near 2^64", file(tensor("F32", "[1]", "[18446744073709551612,18446744073709551615]"), 4)},
      {"offset an object", file(tensor("F32", "[1]", "[{},4]"), 4)},
      {"hole at the start", file(tensor("F32", "[1]", "[4,8]"), 8)},
      {"data after the end", file(tensor("F32", "[1]", "[0,4]"), 5)},
      {"data and no tensor", file("{}", 1)},
      {"overlap", file("{" + a4 + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", 6)},
      {"the same place twice",
       file("{" + a4 + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)},
      {"one within the other",
       file("{" + a4 + R"(,"b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", 12)},
      {"hole between", file("{" + a4 + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", 12)},
      {"empty tensor inside another", file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                           R"("b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
                                           8)},
      {"empty tensor beyond the data",
       file("{" + a4 + R"(,"b":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})", 4)},
  };
}

TEST(HostileModelFile, TheTableIsRefused) {
  for (const auto& [name, bytes] : hostile_files()) EXPECT_THROW(TensorReader{bytes}, InvalidModel) << name;
}

TEST(HostileModelFile, TheTablesNeighboursAreAccepted) {
  // So that the table fails for its stated reasons and not for the way its files are made.
  EXPECT_NO_THROW(TensorReader(file("{}", 0)));
  EXPECT_NO_THROW(TensorReader(file("{" + a4 + "}", 4)));
  EXPECT_NO_THROW(TensorReader(file("{" + a4 + "}  \n", 4)));
  EXPECT_NO_THROW(TensorReader(file(R"({"__metadata__":{"k":"v"},)" + a4 + "}", 4)));
  EXPECT_NO_THROW(
      TensorReader(file("{" + a4 + R"(,"b":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}})", 12)));
  EXPECT_NO_THROW(
      TensorReader(file("{" + a4 + R"(,"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})", 4)));
  EXPECT_NO_THROW(
      TensorReader(file("{" + a4 + R"(,"b":{"shape":[5,0],"data_offsets":[0,0],"dtype":"I64"}})", 4)));
}

std::vector<std::byte> small_model() {
  TensorWriter writer;
  const std::vector<float> rows{1, 2, 3, 4, 5, 6};
  const std::vector<double> b{7, 8};
  const std::vector<std::uint32_t> c{9};
  writer.add("rows", {2, 3}, rows);
  writer.add("b", {2}, b);
  writer.add("c", {1}, c);
  writer.metadata("format", "1");
  writer.metadata("name", "caf\xc3\xa9");
  return writer.bytes();
}

TEST(HostileModelFile, EveryTruncationIsRefused) {
  const auto whole = small_model();
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(survives({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)})) << size;
  EXPECT_TRUE(survives(whole));
}

TEST(HostileModelFile, EveryValueOfEveryByteIsSurvived) {
  const auto whole = small_model();
  std::uint64_t length = 0;
  std::memcpy(&length, whole.data(), 8);
  std::size_t accepted = 0;
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (int value = 0; value < 256; ++value) {
      auto bytes = whole;
      bytes[at] = static_cast<std::byte>(value);
      const bool fine = survives(std::move(bytes));
      accepted += fine;
      if (at >= 8 + length) {
        EXPECT_TRUE(fine) << "data is only numbers";
      }
      if (at < 8 && static_cast<std::byte>(value) != whole[at]) {
        EXPECT_FALSE(fine) << "another header length";
      }
    }
  EXPECT_GT(accepted, 0u);
}

TEST(HostileModelFile, RandomDamageIsSurvived) {
  std::mt19937_64 random(7);
  const auto whole = small_model();
  // Bytes that mean something to the format come up often, so that damage gets past the first check.
  const std::string alphabet = "{}[]\",:0123456789-.eE\\ FU3264I_ab\xff\x80";
  std::size_t accepted = 0;
  for (int round = 0; round < 60'000; ++round) {
    auto bytes = whole;
    const std::size_t changes = 1 + random() % 6;
    for (std::size_t change = 0; change < changes && !bytes.empty(); ++change) {
      const std::size_t at = random() % bytes.size();
      const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
      switch (random() % 5) {
        case 0:
          bytes[at] = static_cast<std::byte>(random());
          break;
        case 1:
          bytes[at] = static_cast<std::byte>(alphabet[random() % alphabet.size()]);
          break;
        case 2:
          bytes.erase(place, place + static_cast<std::ptrdiff_t>(
                                         std::min<std::size_t>(random() % 9, bytes.size() - at)));
          break;
        case 3:
          bytes.insert(place, static_cast<std::byte>(alphabet[random() % alphabet.size()]));
          break;
        case 4: {
          const std::size_t size = std::min<std::size_t>(random() % 40, bytes.size() - at);
          const std::vector<std::byte> piece(place, place + static_cast<std::ptrdiff_t>(size));
          bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(random() % bytes.size()), piece.begin(),
                       piece.end());
          break;
        }
      }
    }
    // Half the time the length is made to fit again, so that the header itself is what gets read.
    if (round % 2 == 0 && bytes.size() >= whole.size() - 40 && bytes.size() > 48) {
      const std::uint64_t length = bytes.size() - 8 - 44;
      std::memcpy(bytes.data(), &length, 8);
    }
    accepted += survives(std::move(bytes));
  }
  EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace lanner::engine
