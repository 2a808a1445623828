// Comma-separated values as people and their spreadsheets write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/host/data_file/data_folder.hpp"

namespace lanner::host {
namespace {

using engine::ColumnKind;
using ::testing::ElementsAre;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

DataFile read(std::string_view text, const ReadOptions& options = {}) {
  const DataFile file = DataFolder().read("rows.csv", text, options);
  expect_consistent(file);
  return file;
}

void expect_numbers(const engine::Column& column, const std::vector<double>& expected) {
  ASSERT_EQ(column.numbers.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(column.numbers[i])) << i;
    } else {
      EXPECT_EQ(column.numbers[i], expected[i]) << i;
    }
  }
}

TEST(Csv, NumbersInEveryDress) {
  const DataFile file = read(
      "a,b\n"
      "1,+2.5\n"
      " 1e3 ,\t-0\n"
      ".5,5.\n"
      "1e999,-1e999\n"
      "1e-999,Infinity\n"
      "0.1,1.7976931348623157e308\n"
      "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "0001,"
      "0."
      "333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333"
      "3\n");
  EXPECT_THAT(names(file.schema), ElementsAre("a", "b"));
  const double infinity = std::numeric_limits<double>::infinity();
  expect_numbers(file.records.columns[0], {1, 1000, 0.5, infinity, 0, 0.1, 1});
  expect_numbers(file.records.columns[1],
                 {2.5, -0.0, 5, -infinity, infinity, 0x1.fffffffffffffp1023, 1.0 / 3});
}

TEST(Csv, MissingNumbers) {
  const DataFile file = read("a,b\n1,\n,2\nNA,N/A\nnull,None\nnan,NaN\n\"\",  \n");
  expect_numbers(file.records.columns[0], {1, missing, missing, missing, missing, missing});
  expect_numbers(file.records.columns[1], {missing, 2, missing, missing, missing, missing});
}

TEST(Csv, OneCellMakesAColumnText) {
  const DataFile file = read("a,b\n1,NA\n,x\n+-3,\n0x10,7\n");
  for (std::size_t f = 0; f < 2; ++f) EXPECT_EQ(file.schema.fields[f].kind, ColumnKind::text);
  EXPECT_THAT(texts(file.records.columns[0].texts), ElementsAre("1", "", "+-3", "0x10"));
  EXPECT_THAT(file.records.columns[0].missing, ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(texts(file.records.columns[1].texts), ElementsAre("NA", "x", "", "7"));
  EXPECT_THAT(file.records.columns[1].missing, ElementsAre(0, 0, 1, 0));
}

TEST(Csv, Quoting) {
  const DataFile file = read("a,\"b,\"\"c\",d\n\"x\"\"y\",\"line\none\",\"\"\"\"\n\"1,2\",\" z \",\"\"\n");
  EXPECT_THAT(names(file.schema), ElementsAre("a", "b,\"c", "d"));
  EXPECT_THAT(texts(file.records.columns[0].texts), ElementsAre("x\"y", "1,2"));
  EXPECT_THAT(texts(file.records.columns[1].texts), ElementsAre("line\none", " z "));
  EXPECT_THAT(texts(file.records.columns[2].texts), ElementsAre("\"", ""));
  EXPECT_THAT(file.records.columns[2].missing, ElementsAre(0, 1));
  expect_numbers(read("a\n\"1\"\n\"-2.5\"\n").records.columns[0], {1, -2.5});
}

TEST(Csv, LineEndsBlankLinesAndByteOrderMarks) {
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a,b\n1,2\n3,4",
                           "\n\na,b\n\n1,2\r\n\r\n3,4\n\n\n",
                           "\xEF\xBB\xBF"
                           "a,b\n1,2\n3,4\n",
                           " a , b \n1,2\n3,4\n"}) {
    SCOPED_TRACE(text);
    const DataFile file = read(text);
    EXPECT_THAT(names(file.schema), ElementsAre("a", "b"));
    expect_numbers(file.records.columns[0], {1, 3});
    expect_numbers(file.records.columns[1], {2, 4});
  }
  const DataFile header = read("a,b\n");
  EXPECT_EQ(header.records.count, 0u);
  EXPECT_EQ(header.schema.fields.size(), 2u);
  expect_numbers(read("a,b\n1,").records.columns[1], {missing});
}

TEST(Csv, LabelEntityTimeAndIdAreTakenOut) {
  const DataFile file = read(
      "key,at,a,who,y\n"
      "e-1,2026-09-21T12:00:00.25Z,1,c-1,0\n"
      "7,2026-09-21 12:00:00,2,,1.0\n"
      "7, 1789992000000000000 ,3,\"c,3\",-1\n"
      "8,-5,4,4,+2\n",
      columns("y", "who", "at", "key"));
  EXPECT_THAT(names(file.schema), ElementsAre("a"));
  EXPECT_EQ(file.schema.entity, "who");
  EXPECT_EQ(file.schema.time, "at");
  EXPECT_EQ(file.schema.id, "key");
  EXPECT_THAT(file.labels, ElementsAre(0, 1, -1, 2));
  EXPECT_THAT(texts(file.records.entity), ElementsAre("c-1", "", "c,3", "4"));
  EXPECT_THAT(texts(file.records.id), ElementsAre("e-1", "7", "7", "8"));
  EXPECT_THAT(file.records.time, ElementsAre(1'789'992'000'250'000'000, 1'789'992'000'000'000'000,
                                             1'789'992'000'000'000'000, -5));
  expect_numbers(file.records.columns[0], {1, 2, 3, 4});
}

TEST(Csv, AnExpectedTextIsTextWhateverItsCells) {
  const engine::Schema expected{
      {{"code", ColumnKind::text}, {"who", ColumnKind::text}, {"gone"}}, "who", "", ""};
  ReadOptions options = columns("", "who");
  options.expected = &expected;
  const DataFile file = read("code,who,a\n007,1,2\n,2,3\n", options);
  EXPECT_THAT(names(file.schema), ElementsAre("code", "who", "a"));
  EXPECT_EQ(file.schema.fields[0].kind, ColumnKind::text);
  EXPECT_THAT(texts(file.records.columns[0].texts), ElementsAre("007", ""));
  EXPECT_THAT(file.records.columns[0].missing, ElementsAre(0, 1));
  EXPECT_EQ(file.schema.fields[1].kind, ColumnKind::text)
      << "named, so it stays, though it is the entity too";
  EXPECT_THAT(texts(file.records.columns[1].texts), ElementsAre("1", "2"));
  EXPECT_THAT(texts(file.records.entity), ElementsAre("1", "2"));
  EXPECT_EQ(file.schema.fields[2].kind, ColumnKind::number);
}

TEST(Csv, AnExpectedLabelIsStillTheLabel) {
  const engine::Schema expected{{{"y"}, {"a"}}, "", "", ""};
  ReadOptions options = columns("y");
  options.expected = &expected;
  const DataFile file = read("a,y\n5,1\n", options);
  EXPECT_THAT(names(file.schema), ElementsAre("a"));
  EXPECT_THAT(file.labels, ElementsAre(1));
}

class BadCsv : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadCsv, IsRefusedWithLineAndReason) {
  expect_refused(GetParam());
}

BadFile csv(std::string name, std::string bytes, int line, std::string reason, ReadOptions options = {}) {
  return {std::move(name),
          "x.csv",
          std::move(bytes),
          std::move(options),
          line == 0 ? ": " : ":" + std::to_string(line) + ": ",
          std::move(reason)};
}

const std::string quote_end = "text after a closing quote, allowed a comma or the line's end";

INSTANTIATE_TEST_SUITE_P(
    Files, BadCsv,
    ::testing::Values(
        csv("nothing", "", 1, "empty, allowed a header row and rows"),
        csv("blank_lines", "\n\r\n\n", 1, "empty, allowed a header row and rows"),
        csv("short_row", "a,b\n1,2\n1\n", 3, "found 1 cells, allowed 2, as the header has"),
        csv("long_row", "a,b\n\n1,2,\n", 3, "found 3 cells, allowed 2, as the header has"),
        csv("short_row_after_lines_in_quotes", "a,b\n\"x\ny\n\",1\n\n2\n", 6,
            "found 1 cells, allowed 2, as the header has"),
        csv("quote_never_closed", "a\n1\n\"x\ny\n", 3, "a quote is opened and never closed"),
        csv("quote_closed_too_soon", "a\n\"x\"y\n", 2, quote_end),
        csv("space_after_a_quote", "a\n\"x\" \n", 2, quote_end),
        csv("column_without_a_name", "a,,b\n1,2,3\n", 1,
            "column 2 has no name (pandas: to_csv(..., index=False))"),
        csv("name_twice", "a,b, a\n1,2,3\n", 1, "two columns are called 'a'"),
        csv("not_utf8", "a\n1\n\xFF\n", 3, "not UTF-8"),
        csv("utf16",
            std::string("\xFF\xFE"
                        "a\0\n\0",
                        6),
            1, "not UTF-8"),
        csv("label_text", "a,y\n1,0\n2,half\n", 3, "y: found 'half', allowed whole numbers as labels",
            columns("y")),
        csv("label_fraction", "a,y\n1,0.5\n", 2, "y: found '0.5', allowed whole numbers as labels",
            columns("y")),
        csv("label_missing", "a,y\n1,\n", 2, "y: found '', allowed whole numbers as labels", columns("y")),
        csv("label_too_large", "a,y\n1,1e10\n", 2, "y: found '1e10', allowed whole numbers as labels",
            columns("y")),
        csv("time_text", "a,t\n1,5\n1,soon\n", 3,
            "t: found 'soon', allowed integer nanoseconds or ISO 8601 (2026-09-21T12:00:00Z)",
            columns("", "", "t")),
        csv("time_fraction", "a,t\n1,1.5\n", 2,
            "t: found '1.5', allowed integer nanoseconds or ISO 8601 (2026-09-21T12:00:00Z)",
            columns("", "", "t")),
        csv("time_beyond_int64", "a,t\n1,9223372036854775808\n", 2,
            "t: found '9223372036854775808', allowed integer nanoseconds or ISO 8601 (2026-09-21T12:00:00Z)",
            columns("", "", "t")),
        csv("time_missing", "a,t\n1,\n", 2,
            "t: found '', allowed integer nanoseconds or ISO 8601 (2026-09-21T12:00:00Z)",
            columns("", "", "t")),
        csv("label_absent", "a,b\n1,2\n", 0, "label: found no column 'y', allowed a, b", columns("y")),
        csv("entity_absent", "a,b\n1,2\n", 0, "entity: found no column 'A', allowed a, b", columns("", "A")),
        csv("time_absent", "a,b\n1,2\n", 0, "time: found no column 't', allowed a, b", columns("", "", "t")),
        csv("id_absent_from_many", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u\n", 0,
            "id: found no column 'x', allowed a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, "
            "...",
            columns("", "", "", "x"))),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lanner::host
