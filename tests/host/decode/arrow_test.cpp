#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "host/arrow/writer.hpp"
#include "tests/host/decode/fixtures.hpp"
#include "tests/host/decode/payloads.hpp"

namespace lanner::host {
namespace {

Decoded decode(std::string_view fixture, const engine::Schema& schema, std::size_t rows_max = 65536) {
  return decode(Format::arrow, unhex(fixture), schema, rows_max);
}

engine::Schema only(std::string name, engine::ColumnKind kind = engine::ColumnKind::number) {
  return {{{std::move(name), kind}}, "", "", ""};
}

TEST(Arrow, EveryKindOfColumn) {
  engine::Schema schema = checkout();
  for (const char* name :
       {"open", "half", "tiny", "byte", "short", "word", "unsigned", "long", "single", "absent"})
    schema.fields.push_back({name});
  const auto [reason, records] = decode(fixtures::kArrowEverything, schema);
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.count, 12u);
  EXPECT_TRUE(records.refused.empty());
  for (std::size_t i = 0; i < 12; ++i) {
    const auto v = static_cast<double>(i);
    const auto expect = [&](std::size_t field, double value, bool missing = false) {
      if (missing) {
        EXPECT_TRUE(std::isnan(records.number(i, field))) << i << " " << field;
      } else {
        EXPECT_EQ(records.number(i, field), value) << i << " " << field;
      }
    };
    expect(0, v * 0.5, i % 5 == 4);
    expect(1, -v, (i + 1) % 5 == 4);
    EXPECT_EQ(records.columns[2].missing[i], (i + 2) % 5 == 4);
    EXPECT_EQ(records.columns[2].texts[i], (i + 2) % 5 == 4 ? ""
                                           : i % 3 == 0     ? "NL"
                                           : i % 3 == 1     ? "Ελλάδα"
                                                            : "");
    EXPECT_EQ(records.entity[i], "c-" + std::to_string(i));
    EXPECT_EQ(records.time[i], (1789999999000 + static_cast<std::int64_t>(i)) * 1000000);
    EXPECT_EQ(records.id[i], std::to_string((std::uint64_t{1} << 63) + i));
    expect(3, i % 2 == 0, i % 5 == 4);
    expect(4, v / 8);
    expect(5, -v);
    expect(6, 255 - v);
    expect(7, -1000 - v);
    expect(8, 65535 - v);
    expect(9, 4294967295.0 - v);
    expect(10, -0x1p62 - v);
    expect(11, v * 0.25);
    expect(12, 0, true);
  }
}

TEST(Arrow, AnyAlignmentOfTheFrame) {
  const Payload good = unhex(fixtures::kArrowEverything);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    Payload memory(good.size() + shift);
    std::memcpy(memory.data() + shift, good.data(), good.size());
    const auto [reason, records] = decode(Format::arrow, Bytes(memory).subspan(shift), checkout());
    ASSERT_EQ(reason, "");
    EXPECT_EQ(records.number(11, 0), 5.5);
  }
}

TEST(Arrow, SlicesSchemasAloneAndMissingEndMarks) {
  engine::Schema schema{{{"amount"}, {"country", engine::ColumnKind::text}}, "", "at", ""};
  auto sliced = decode(fixtures::kArrowSliced, schema);
  ASSERT_EQ(sliced.reason, "");
  EXPECT_TRUE(std::isnan(sliced.records.number(0, 0)));
  EXPECT_EQ(sliced.records.number(1, 0), 3.5);
  EXPECT_EQ(sliced.records.columns[1].texts[1], "FR");
  EXPECT_THAT(sliced.records.time, testing::ElementsAre(2, 3));
  auto none = decode(fixtures::kArrowSchemaOnly, schema);
  EXPECT_EQ(none.reason, "");
  EXPECT_EQ(none.records.count, 0u);
  Payload endless = unhex(fixtures::kArrowSimple);
  endless.resize(endless.size() - 8);
  auto open = decode(Format::arrow, endless, schema);
  EXPECT_EQ(open.reason, "");
  EXPECT_EQ(open.records.count, 3u);
}

TEST(Arrow, TextViews) {
  engine::Schema schema{{{"amount"}, {"country", engine::ColumnKind::text}}, "country", "at", ""};
  const auto [reason, records] = decode(fixtures::kArrowPolars, schema);
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.count, 2u);
  EXPECT_EQ(records.columns[1].texts[0], "NL");
  EXPECT_EQ(records.columns[1].texts[1], "a text that is longer than twelve bytes");
  EXPECT_EQ(records.entity[1], "a text that is longer than twelve bytes");
  EXPECT_EQ(records.time[1], 1789992001000000000);
  EXPECT_TRUE(std::isnan(records.number(1, 0)));
}

TEST(Arrow, TimesOfEveryUnit) {
  engine::Schema schema{{{"at"}}, "", "at", ""};
  const std::pair<std::string_view, std::int64_t> units[] = {{fixtures::kArrowTimeS, 1'000'000'000},
                                                             {fixtures::kArrowTimeMs, 1'000'000},
                                                             {fixtures::kArrowTimeUs, 1'000},
                                                             {fixtures::kArrowTimeNs, 1}};
  for (const auto& [fixture, unit] : units) {
    const auto [reason, records] = decode(fixture, schema);
    ASSERT_EQ(reason, "");
    EXPECT_EQ(records.time[0], unit);
    EXPECT_EQ(records.time[2], -2 * unit);
    EXPECT_EQ(records.number(2, 0), -2.0 * static_cast<double>(unit));
    ASSERT_EQ(records.refused.size(), unit == 1 ? 1u : 2u);
    EXPECT_EQ(records.refused[0].row, 1u);
    EXPECT_EQ(records.refused[0].reason, "at: missing, and it is the stream's time");
    if (unit == 1) {
      EXPECT_EQ(records.time[3], std::int64_t{1} << 62);
    } else {
      EXPECT_EQ(records.refused[1].row, 3u);
      EXPECT_EQ(records.refused[1].reason, "at: found 4611686018427387904 units of " + std::to_string(unit) +
                                               " ns, beyond int64 nanoseconds");
    }
  }
  schema.fields.clear();
  const auto [reason, records] = decode(fixtures::kArrowTimeText, schema);
  ASSERT_EQ(reason, "");
  EXPECT_EQ(records.time[0], 1789992000500000000);
  ASSERT_EQ(records.refused.size(), 2u);
  EXPECT_EQ(records.refused[1].row, 2u);
  EXPECT_EQ(records.refused[1].reason,
            "at: found text that is no time, allowed ISO 8601 (2026-09-21T12:00:00Z)");
  EXPECT_EQ(records.time[3], 1789948800000000000);
  const auto big = decode(fixtures::kArrowTimeUint, schema);
  EXPECT_EQ(big.records.time[0], 7);
  ASSERT_EQ(big.records.refused.size(), 1u);
  EXPECT_EQ(big.records.refused[0].reason, "at: found 9223372036854775808, allowed int64 nanoseconds");
}

TEST(Arrow, TextThatIsNotUtf8RefusesItsRow) {
  const auto [reason, records] = decode(fixtures::kArrowNotUtf8, only("country", engine::ColumnKind::text));
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.refused.size(), 1u);
  EXPECT_EQ(records.refused[0].row, 1u);
  EXPECT_EQ(records.refused[0].reason, "country: found text that is not UTF-8, allowed text");
  EXPECT_EQ(records.columns[0].texts[2], "cd");
  // Valid as a whole, but the cut goes through a character.
  EXPECT_EQ(decode(fixtures::kArrowSplitCharacter, only("country", engine::ColumnKind::text))
                .records.refused.size(),
            2u);
}

TEST(Arrow, NullColumnsAreMissing) {
  engine::Schema schema = checkout();
  schema.time = "";
  const auto [reason, records] = decode(fixtures::kArrowNullColumns, schema);
  ASSERT_EQ(reason, "");
  EXPECT_EQ(records.count, 2u);
  EXPECT_TRUE(std::isnan(records.number(0, 0)));
  EXPECT_THAT(records.columns[2].missing, testing::ElementsAre(1, 1));
  EXPECT_EQ(records.entity.size(), 2u);
}

TEST(Arrow, RefusedWithTheReason) {
  const engine::Schema amount = only("amount"), country = only("country", engine::ColumnKind::text);
  const engine::Schema time{{}, "", "at", ""}, entity{{}, "amount", "", ""};
  struct Case {
    std::string_view fixture;
    engine::Schema schema;
    std::string reason;
  };
  const std::string number = ", allowed integers, floats, Bool, Timestamp (the stream declares a number)";
  const std::string text = ", allowed Utf8, LargeUtf8 (the stream declares text)";
  const Case cases[] = {
      {"", amount, "no schema"},
      {"ffff", amount, "byte 0: ends inside a message's prefix"},
      {"ffffffff00000000", amount, "no schema"},
      {"7b22613a", amount, "byte 0: ends inside a message's prefix"},
      {"7b22616d6f756e74223a317d", amount,
       "byte 0: no continuation mark (not an Arrow IPC stream, or one written before Arrow 0.15)"},
      {"ffffffffffffff7f", amount, "byte 0: metadata of 2147483647 bytes, 0 are left"},
      {"ffffffffffffffff", amount, "byte 0: metadata of -1 bytes, 0 are left"},
      {"ffffffff080000000102030405060708", amount, "byte 0: the metadata is not a valid flatbuffer"},
      {fixtures::kArrowFile, amount,
       "byte 0: no continuation mark (not an Arrow IPC stream, or one written before Arrow 0.15)"},
      {fixtures::kArrowZstd, amount, "record batch 0: compressed (ZSTD), allowed uncompressed"},
      {fixtures::kArrowLz4, amount, "record batch 0: compressed (LZ4_FRAME), allowed uncompressed"},
      {fixtures::kArrowDictionary, country, "column 'country': found dictionary-encoded Utf8" + text},
      {fixtures::kArrowList, amount, "column 'amount': found List" + number},
      {fixtures::kArrowDecimal, amount, "column 'amount': found Decimal" + number},
      {fixtures::kArrowTextAmount, amount, "column 'amount': found Utf8" + number},
      {fixtures::kArrowIntCountry, country, "column 'country': found Int64" + text},
      {fixtures::kArrowTwice, amount, "column 'amount' appears twice"},
      {fixtures::kArrowTwice, time, "column 'at': missing, and it is the stream's time"},
      {fixtures::kArrowTimeFloat, time,
       "column 'at': found Float64, allowed Timestamp, integers (nanoseconds), Utf8 (ISO 8601)"},
      {fixtures::kArrowTwice, entity, "column 'amount' appears twice"},
      {fixtures::kArrowSimple, entity, "column 'amount': found Float64, allowed Utf8, LargeUtf8, integers"},
      {fixtures::kArrowWildOffsets, country, "column 'country': row 1: its offsets lead outside the text"},
      {fixtures::kArrowBackwardOffsets, country,
       "column 'country': row 0: its offsets lead outside the text"},
  };
  for (const Case& bad : cases) {
    const auto [reason, records] = decode(bad.fixture, bad.schema);
    EXPECT_EQ(reason, "frame 1: " + bad.reason);
    expect_consistent(reason, bad.schema, records);
  }
  EXPECT_EQ(decode(fixtures::kArrowEverything, amount, 11).reason, "frame 1: more than 11 rows");
  EXPECT_EQ(decode(fixtures::kArrowEverything, amount, 12).reason, "");
  // Not asked for, not minded.
  EXPECT_EQ(decode(fixtures::kArrowDictionary, amount).reason, "");
  EXPECT_EQ(decode(fixtures::kArrowWildOffsets, amount).reason, "");
  Payload more = unhex(fixtures::kArrowSimple);
  more.resize(more.size() + 3);
  EXPECT_EQ(decode(Format::arrow, more, amount).reason, "frame 1: 3 bytes after the end mark");
  Payload twice = unhex(fixtures::kArrowSimple);
  const std::size_t length = twice.size() - 8;
  twice.resize(length);
  twice.insert(twice.end(), twice.begin(), twice.begin() + static_cast<std::ptrdiff_t>(length));
  EXPECT_EQ(decode(Format::arrow, twice, amount).reason,
            "frame 1: byte " + std::to_string(length) + ": a second schema");
}

TEST(Arrow, TextThatRowsShareIsBounded) {
  // Offsets step back behind each second row, a null, so that all others take the same text.
  const auto stream = [](std::size_t rows, std::size_t shared) {
    const std::string text(shared, 'a');
    std::vector<std::int32_t> offsets;
    for (std::size_t row = 0; row <= rows; ++row)
      offsets.push_back(row % 2 == 0 ? 0 : static_cast<std::int32_t>(shared));
    const std::vector<std::uint8_t> valid(rows / 8 + 1, 0x55);
    const auto bytes = [](const auto& values) {
      return std::as_bytes(std::span(values.data(), values.size()));
    };
    const arrow::WrittenColumn column{bytes(text), bytes(offsets), bytes(valid), rows / 2};
    arrow::FileWriter writer({{"country", arrow::Kind::text, 32, true}});
    std::string file;
    writer.begin(file);
    writer.batch(rows, std::span(&column, 1), file);
    return payload(std::string_view(file).substr(8));  // a stream begins behind the file's mark
  };
  const auto few = decode(Format::arrow, stream(20, 100), only("country", engine::ColumnKind::text));
  ASSERT_EQ(few.reason, "");
  EXPECT_EQ(few.records.columns[0].texts[18].size(), 100u);
  const auto many = decode(Format::arrow, stream(60'000, 60'000), only("country", engine::ColumnKind::text));
  EXPECT_THAT(many.reason, testing::MatchesRegex(
                               "frame 1: column 'country': row [0-9]+: more than 64 bytes of text for each "
                               "byte there is"));
}

TEST(Arrow, NoBytesHarmIt) {
  engine::Schema schema = checkout();
  for (const char* name : {"open", "half", "tiny", "skipped_list", "unsigned", "long", "single"})
    schema.fields.push_back({name});
  engine::Schema few{{{"amount"}, {"country", engine::ColumnKind::text}}, "country", "at", ""};
  Decoder decoder;
  Header header;
  header.format = Format::arrow;
  engine::Records records;
  const auto feed = [&](const engine::Schema& s) {
    return [&](Bytes frame) {
      expect_consistent(decoder.decode(header, std::span(&frame, 1), s, 1000, records), s, records);
    };
  };
  schema.fields.erase(schema.fields.begin() + 6);
  fuzz(unhex(fixtures::kArrowEverything), 20000, feed(schema));
  fuzz(unhex(fixtures::kArrowSimple), 40000, feed(few));
  fuzz(unhex(fixtures::kArrowPolars), 40000, feed(few));
  fuzz(unhex(fixtures::kArrowTimeText), 20000, feed(few));
}

}  // namespace
}  // namespace lanner::host
