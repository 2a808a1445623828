// Bytes that somebody made to hurt, or that a disk has damaged: InvalidData or a file that keeps its word,
// and neither time nor memory beyond what the file's own size explains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "host/arrow/writer.hpp"
#include "tests/host/data_file/data_folder.hpp"
#include "tests/host/decode/fixtures.hpp"

namespace lanner::host {
namespace {

using ::testing::HasSubstr;

/// Reads bytes as files of any name. Anything thrown but InvalidData is a failure, and so is a message that
/// doesn't name the file.
class Reading {
 public:
  /// Why they are refused; empty if they are accepted.
  std::string reason(const std::string& name, std::string_view bytes, const ReadOptions& options = {}) const {
    const auto path = folder_.write(name, bytes);
    try {
      expect_consistent(read_data(path, options));
      return "";
    } catch (const InvalidData& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with(path.string() + ":")) << error.what();
      return error.what();
    }
  }
  bool survives(const std::string& name, std::string_view bytes, const ReadOptions& options = {}) const {
    return reason(name, bytes, options).empty();
  }

 private:
  DataFolder folder_;
};

/// The columns that a fixture has, so that the code for them sees the damage too.
ReadOptions options_of(const Fixture& fixture) {
  if (fixture.name.starts_with("structure")) return columns("y", "who", "at", "code");
  if (fixture.ending == ".arrow" || fixture.ending == ".feather") return columns("y", "who", "at", "n");
  return {};
}

const std::string csv =
    "key,at,\"a \"\"b\"\"\",who,y\r\n"
    "e-1,2026-09-21T12:00:00.25Z,1e-3,\"c\n1\",0\r\n"
    "e-2,1789992000000000000,NA,Ελλάδα,1\n"
    "\n"
    "e-3,2026-09-21,,,0";
const ReadOptions csv_options = columns("y", "who", "at", "key");

TEST(HostileData, EveryTruncationIsSurvived) {
  const Reading reading;
  for (const Fixture& fixture : all_fixtures()) {
    SCOPED_TRACE(fixture.name);
    const std::string whole = fixture.bytes();
    const ReadOptions options = options_of(fixture);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const bool fine = reading.survives(fixture.file(), std::string_view(whole).substr(0, size), options);
      // A stream may end behind any message; every other format knows where its own end is.
      if (fixture.name != "stream") {
        EXPECT_FALSE(fine) << size;
      }
    }
  }
  for (std::size_t size = 0; size < csv.size(); ++size)
    reading.survives("rows.csv", std::string_view(csv).substr(0, size), csv_options);
  EXPECT_TRUE(reading.survives("rows.csv", csv, csv_options));
}

TEST(HostileData, RandomDamageIsSurvived) {
  const Reading reading;
  std::mt19937_64 random(7);
  const auto below = [&random](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  const auto damaged = [&](std::string bytes) {
    constexpr std::string_view telling("\x00\x01\x7F\x80\xFF\"'\n,[](){}0", 16);
    for (std::size_t changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
      const std::size_t at = below(bytes.size());
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8));
          break;
        case 1:
          bytes[at] = telling[below(telling.size())];
          break;
        case 2:
          bytes.insert(at, 1, telling[below(telling.size())]);
          break;
        case 3:
          bytes.erase(at, 1 + below(8));
          break;
        default:
          for (std::size_t k = at; k < std::min(bytes.size(), at + 8); ++k)
            bytes[k] = static_cast<char>(random());
          break;
      }
    }
    return bytes;
  };
  std::size_t accepted = 0, refused = 0;
  for (const Fixture& fixture : all_fixtures()) {
    SCOPED_TRACE(fixture.name);
    const std::string whole = fixture.bytes();
    const ReadOptions options = options_of(fixture);
    for (int round = 0; round < 600; ++round)
      ++(reading.survives(fixture.file(), damaged(whole), options) ? accepted : refused);
  }
  for (int round = 0; round < 3000; ++round)
    ++(reading.survives("rows.csv", damaged(csv), csv_options) ? accepted : refused);
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(refused, 1000u);
}

TEST(HostileData, EveryValueOfEveryByteOfAnArchivesDirectoryIsSurvived) {
  const Reading reading;
  for (const std::string_view fixture : {fixtures::kNpzZip64, fixtures::kNpzStreamed}) {
    const std::string whole = from_hex(fixture);
    for (std::size_t at = whole.find("PK\x01\x02"); at < whole.size(); ++at)
      for (const int value : {0, 1, 8, 0x7F, 0x80, 0xFF}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(value);
        reading.survives("x.npz", bytes);
      }
  }
}

template <class F>
double seconds(F work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST(HostileData, AHeaderOfManyColumnsTakesTimeInProportion) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += 'a' + std::to_string(i) + ',';
  text += "last\n";
  const Reading reading;
  EXPECT_LT(seconds([&] { EXPECT_TRUE(reading.survives("wide.csv", text)); }), 10);
}

TEST(HostileData, RowsOfNoBytesAreRefused) {
  const Reading reading;
  const auto reason = [&](const std::string& type) {
    return reading.reason("x.npy", npy("{'descr': [('a', '|" + type +
                                       "')], 'fortran_order': False, 'shape': (1000000000000000000,), }"));
  };
  EXPECT_THAT(reason("S0"), HasSubstr("dtype: found '|S0'"));
  EXPECT_THAT(reason("U0"), HasSubstr("dtype: found '|U0'"));
  EXPECT_THAT(reason("V0"), HasSubstr("without a field that can be read"));
}

/// A stream of record batches whose text column's rows all take the same `shared` bytes: each second row is
/// null, and its offset steps back.
std::string shared_text(std::size_t rows, std::size_t shared, std::string& file) {
  const std::string text(shared, 'a');
  std::vector<std::int32_t> offsets;
  std::vector<std::uint8_t> valid((rows + 7) / 8, 0x55);
  for (std::size_t row = 0; row <= rows; ++row)
    offsets.push_back(row % 2 == 0 ? 0 : static_cast<std::int32_t>(shared));
  arrow::FileWriter writer({{"country", arrow::Kind::text, 32, true}});
  const auto bytes = [](const auto& values) {
    return std::as_bytes(std::span(values.data(), values.size()));
  };
  const arrow::WrittenColumn column{bytes(text), bytes(offsets), bytes(valid), rows / 2};
  writer.begin(file);
  writer.batch(rows, std::span(&column, 1), file);
  const std::string stream = file.substr(8);  // behind the file's mark
  writer.end(file);
  return stream;
}

TEST(HostileData, ArrowRowsThatShareTheirTextAreBounded) {
  const Reading reading;
  std::string file;
  const std::string stream = shared_text(200'000, 200'000, file);  // would be 20 GB
  for (const std::string& bytes : {file, stream})
    EXPECT_THAT(reading.reason("shared.arrow", bytes),
                HasSubstr("more than 64 bytes of text for each byte there is"));
  std::string few;
  shared_text(20, 100, few);
  EXPECT_TRUE(reading.survives("shared.arrow", few));
}

TEST(HostileData, ArrowColumnsOfNothingButNullsAreBounded) {
  std::string bytes = from_hex(fixtures::kArrowNullColumns);
  const Reading reading;
  EXPECT_TRUE(reading.survives("nulls.arrow", bytes));
  // Two rows become 2^31: the batch's length, and each column's length and null count.
  const auto word = [](std::uint64_t value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  };
  std::size_t replaced = 0;
  for (std::size_t at = bytes.find(word(2)); at != bytes.npos; at = bytes.find(word(2), at + 8), ++replaced)
    bytes.replace(at, 8, word(std::uint64_t{1} << 31));
  ASSERT_GE(replaced, 7u);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(reading.reason("nulls.arrow", bytes), HasSubstr("allowed at most 64 values a byte"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace lanner::host
