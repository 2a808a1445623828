// Arrow files and streams, as pyarrow writes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/host/data_file/data_folder.hpp"

namespace lanner::host {
namespace {

using engine::ColumnKind;
using ::testing::ElementsAre;

class ArrowData : public ::testing::TestWithParam<std::pair<const char*, std::string_view>> {
 protected:
  DataFile read(const ReadOptions& options = {}) const {
    const DataFile file = DataFolder().read(GetParam().first, from_hex(GetParam().second), options);
    expect_consistent(file);
    EXPECT_EQ(file.records.count, 3u);
    return file;
  }
};

TEST_P(ArrowData, EveryColumn) {
  const DataFile file = read();
  EXPECT_THAT(names(file.schema), ElementsAre("amount", "n", "country", "at", "y", "who"));
  EXPECT_EQ(file.records.number(0, 0), 1.5);
  EXPECT_TRUE(std::isnan(file.records.number(1, 0)));
  EXPECT_EQ(file.records.number(2, 0), 3);
  EXPECT_THAT(file.records.columns[1].numbers, ElementsAre(1, 2, 3));
  EXPECT_EQ(file.schema.fields[2].kind, ColumnKind::text);
  EXPECT_THAT(texts(file.records.columns[2].texts), ElementsAre("NL", "", "FR"));
  EXPECT_THAT(file.records.columns[2].missing, ElementsAre(0, 1, 0));
  EXPECT_THAT(file.records.columns[3].numbers, ElementsAre(1e9, 2e9, 3e9));
  EXPECT_THAT(file.records.columns[4].numbers, ElementsAre(0, 1, 0));
  EXPECT_TRUE(file.labels.empty());
}

TEST_P(ArrowData, LabelEntityTimeAndIdAreTakenOut) {
  const DataFile file = read(columns("y", "who", "at", "n"));
  EXPECT_THAT(names(file.schema), ElementsAre("amount", "country"));
  EXPECT_THAT(file.labels, ElementsAre(0, 1, 0));
  EXPECT_THAT(texts(file.records.entity), ElementsAre("7", "8", "9"));
  EXPECT_THAT(texts(file.records.id), ElementsAre("1", "2", "3"));
  EXPECT_THAT(file.records.time, ElementsAre(1'000'000'000, 2'000'000'000, 3'000'000'000));
  EXPECT_EQ(file.records.number(2, 0), 3);
}

TEST_P(ArrowData, AnExpectedFieldStays) {
  const engine::Schema expected{{{"country", ColumnKind::text}, {"at"}}, "country", "at", ""};
  ReadOptions options = columns("", "country", "at");
  options.expected = &expected;
  const DataFile file = read(options);
  EXPECT_THAT(names(file.schema), ElementsAre("amount", "n", "country", "at", "y", "who"));
  EXPECT_THAT(texts(file.records.entity), ElementsAre("NL", "", "FR"));
  EXPECT_EQ(file.records.columns[3].numbers[2], 3e9);
}

INSTANTIATE_TEST_SUITE_P(
    Files, ArrowData,
    ::testing::Values(std::pair<const char*, std::string_view>{"file.arrow", fixtures::kFeatherUncompressed},
                      std::pair<const char*, std::string_view>{"file.FEATHER",
                                                               fixtures::kFeatherUncompressed},
                      std::pair<const char*, std::string_view>{"stream.arrow", fixtures::kArrowStream}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

class BadArrow : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadArrow, IsRefusedWithTheReason) {
  expect_refused(GetParam());
}

const engine::Schema number_as_text{{{"n", ColumnKind::text}}, "", "", ""};

BadFile arrow(std::string name, std::string bytes, std::string reason, ReadOptions options = {}) {
  return {std::move(name), "x.arrow", std::move(bytes), std::move(options), ": ", std::move(reason)};
}

const std::string uncompressed =
    ", allowed uncompressed (pandas, pyarrow: write_feather(..., compression='uncompressed'); polars: "
    "write_ipc(..., compression='uncompressed'))";

INSTANTIATE_TEST_SUITE_P(
    Files, BadArrow,
    ::testing::Values(
        arrow("nothing", "", "no schema"),
        arrow("feather1", "FEA1....", "Feather version 1, allowed version 2 (Arrow IPC)"),
        arrow("text", "a,b\n1,2\n",
              "byte 0: no continuation mark (not an Arrow IPC stream, or one written before Arrow 0.15)"),
        arrow("torn", from_hex(fixtures::kFeatherUncompressed).substr(0, 500),
              "does not end with ARROW1: torn, or still being written"),
        arrow("lz4", from_hex(fixtures::kFeatherLz4),
              "record batch 0: compressed (LZ4_FRAME)" + uncompressed),
        arrow("zstd", from_hex(fixtures::kFeatherZstd), "record batch 0: compressed (ZSTD)" + uncompressed),
        arrow("list", from_hex(fixtures::kArrowFileList),
              "column 'a': found List, allowed integers, floats, Bool, Timestamp (the stream declares a "
              "number)"),
        arrow("label_absent", from_hex(fixtures::kArrowStream),
              "label: found no column 'z', allowed amount, n, country, at, y, who", columns("z")),
        arrow("label_missing", from_hex(fixtures::kArrowStream),
              "row 0: amount: allowed whole numbers as labels", columns("amount")),
        arrow("label_text", from_hex(fixtures::kArrowStream),
              "row 0: country: allowed whole numbers as labels", columns("country")),
        arrow("entity_fraction", from_hex(fixtures::kArrowStream),
              "column 'amount': found Float64, allowed Utf8, LargeUtf8, integers", columns("", "amount")),
        arrow("time_missing", from_hex(fixtures::kArrowStream),
              "row 0: country: found text that is no time, allowed ISO 8601 (2026-09-21T12:00:00Z)",
              columns("", "", "country")),
        arrow("time_fraction", from_hex(fixtures::kArrowStream),
              "column 'amount': found Float64, allowed Timestamp, integers (nanoseconds), Utf8 (ISO 8601)",
              columns("", "", "amount")),
        arrow("expected_text_is_a_number", from_hex(fixtures::kArrowStream),
              "column 'n': found Int16, allowed Utf8, LargeUtf8 (the stream declares text)",
              {"", "", "", "", "", &number_as_text})),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lanner::host
