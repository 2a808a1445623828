// Matrices and structured arrays, alone and in archives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/host/data_file/data_folder.hpp"

namespace lanner::host {
namespace {

using ::testing::ElementsAre;

/// 0 .. 11 in rows of three, or what `value` makes of them.
template <class F>
void expect_matrix(const DataFile& file, F value) {
  expect_consistent(file);
  ASSERT_EQ(file.records.count, 4u);
  EXPECT_THAT(names(file.schema), ElementsAre("x0", "x1", "x2"));
  for (std::size_t row = 0; row < 4; ++row)
    for (std::size_t column = 0; column < 3; ++column)
      EXPECT_EQ(file.records.number(row, column), value(static_cast<double>(row * 3 + column)));
}
void expect_matrix(const DataFile& file) {
  expect_matrix(file, [](double i) { return i; });
}

TEST(Npy, EveryTypeAndOrder) {
  const DataFolder folder;
  for (const char* name : {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "big_f4",
                           "big_i2", "big_f8", "fortran", "version2"}) {
    SCOPED_TRACE(name);
    for (const Fixture& fixture : all_fixtures())
      if (fixture.name == name) expect_matrix(folder.read(fixture.file(), fixture.bytes()));
  }
  expect_matrix(folder.read("b1.npy", from_hex(fixtures::kNpyB1)),
                [](double i) { return i != 0 ? 1.0 : 0.0; });
  expect_matrix(folder.read("negative.npy", from_hex(fixtures::kNpyNegative)), [](double i) { return -i; });
}

TEST(Npy, TheLastBitOfEveryInteger) {
  const DataFolder folder;
  const auto read = [&](const std::string& type, std::string_view data) {
    return folder.read("x.npy", npy("{'descr': '" + type + "', 'fortran_order': False, 'shape': (1,)}", data))
        .records.number(0, 0);
  };
  EXPECT_EQ(read("|i1", "\x80"), -128);
  EXPECT_EQ(read("|u1", "\xFF"), 255);
  EXPECT_EQ(read("<i2", std::string("\x00\x80", 2)), -32768);
  EXPECT_EQ(read(">i2", std::string("\x80\x00", 2)), -32768);
  EXPECT_EQ(read("<i4", std::string("\x00\x00\x00\x80", 4)), -2147483648.0);
  EXPECT_EQ(read(">u4", std::string("\x80\x00\x00\x01", 4)), 2147483649.0);
  EXPECT_EQ(read("<i8", std::string(7, '\0') + "\x80"), -0x1p63);
  EXPECT_EQ(read("<u8", std::string(7, '\0') + "\x80"), 0x1p63);
  EXPECT_EQ(read(">i8", std::string(8, '\xFF')), -1);
  EXPECT_EQ(read("|b1", "\x02"), 1);
  EXPECT_EQ(read("?", "\x01"), 1);
  EXPECT_EQ(read("<f2", std::string("\x00\xFC", 2)), -std::numeric_limits<double>::infinity());
}

TEST(Npy, AVectorIsOneColumn) {
  const DataFile file = DataFolder().read("vector.npy", from_hex(fixtures::kNpyVector));
  expect_consistent(file);
  ASSERT_EQ(file.records.count, 3u);
  EXPECT_THAT(names(file.schema), ElementsAre("x0"));
  EXPECT_EQ(file.records.number(0, 0), 1.5);
  EXPECT_TRUE(std::isnan(file.records.number(1, 0)));
  EXPECT_EQ(file.records.number(2, 0), -3);
}

TEST(Npy, NoRowsAreNoError) {
  const DataFile file = DataFolder().read("EMPTY.NPY", from_hex(fixtures::kNpyEmpty));
  expect_consistent(file);
  EXPECT_EQ(file.records.count, 0u);
  EXPECT_EQ(file.schema.fields.size(), 3u);
}

TEST(Npy, MatrixColumnsCanBeLabelEntityTimeAndId) {
  const DataFile file =
      DataFolder().read("i4.npy", from_hex(fixtures::kNpyI4), columns("x1", "x0", "x2", "x0"));
  expect_consistent(file);
  EXPECT_TRUE(file.schema.fields.empty());
  EXPECT_THAT(file.labels, ElementsAre(1, 4, 7, 10));
  EXPECT_THAT(texts(file.records.entity), ElementsAre("0", "3", "6", "9"));
  EXPECT_THAT(texts(file.records.id), ElementsAre("0", "3", "6", "9"));
  EXPECT_THAT(file.records.time, ElementsAre(2, 5, 8, 11));
  EXPECT_EQ(file.schema.entity, "x0");
  EXPECT_EQ(file.schema.time, "x2");
  EXPECT_EQ(file.schema.id, "x0");
}

TEST(Npy, AStructuredArrayInEitherByteOrder) {
  const DataFolder folder;
  for (const std::string_view fixture : {fixtures::kNpyStructure, fixtures::kNpyStructureBig}) {
    const DataFile file = folder.read("structure.npy", from_hex(fixture), columns("y", "who", "at", "code"));
    expect_consistent(file);
    ASSERT_EQ(file.records.count, 3u);
    EXPECT_THAT(names(file.schema), ElementsAre("amount", "n", "country"));
    EXPECT_EQ(file.records.number(0, 0), 1.5);
    EXPECT_EQ(file.records.number(1, 0), 2.5);
    EXPECT_TRUE(std::isnan(file.records.number(2, 0)));
    EXPECT_THAT(file.records.columns[1].numbers, ElementsAre(0x1p62, -1, 0));
    EXPECT_EQ(file.schema.fields[2].kind, engine::ColumnKind::text);
    EXPECT_THAT(texts(file.records.columns[2].texts), ElementsAre("NL", "Ελλ", ""));
    EXPECT_THAT(file.records.columns[2].missing, ElementsAre(0, 0, 1));
    EXPECT_THAT(file.labels, ElementsAre(0, 1, 0));
    EXPECT_THAT(texts(file.records.entity), ElementsAre("7", "-7", "0"));
    EXPECT_THAT(texts(file.records.id), ElementsAre("ab", "c", ""));
    EXPECT_THAT(file.records.time, ElementsAre(1'789'992'000'250'000'000, 1'000'000, -1'000'000'000));
  }
}

TEST(Npy, AStructuredArrayWithNothingTakenOut) {
  const DataFile file = DataFolder().read("structure.npy", from_hex(fixtures::kNpyStructure));
  expect_consistent(file);
  EXPECT_THAT(names(file.schema), ElementsAre("amount", "n", "country", "code", "at", "y", "who"));
  EXPECT_TRUE(file.labels.empty());
  EXPECT_THAT(file.records.columns[4].numbers, ElementsAre(1.78999200025e18, 1e6, -1e9));
}

TEST(Npy, ExpectedFieldsStayAndMayBeText) {
  const engine::Schema expected{
      {{"who", engine::ColumnKind::text}, {"at", engine::ColumnKind::number}}, "who", "at", ""};
  ReadOptions options = columns("", "who", "at", "");
  options.expected = &expected;
  const DataFile file = DataFolder().read("structure.npy", from_hex(fixtures::kNpyStructure), options);
  expect_consistent(file);
  EXPECT_THAT(names(file.schema), ElementsAre("amount", "n", "country", "code", "at", "y", "who"));
  EXPECT_EQ(file.schema.fields[6].kind, engine::ColumnKind::text);
  EXPECT_THAT(texts(file.records.columns[6].texts), ElementsAre("7", "-7", "0"));
  EXPECT_EQ(file.records.columns[4].numbers[1], 1e6);
  EXPECT_EQ(file.records.time[1], 1'000'000);
}

TEST(Npy, NamesInUtf8) {
  const DataFile file = DataFolder().read("unicode.npy", from_hex(fixtures::kNpyUnicodeName));
  EXPECT_THAT(names(file.schema), ElementsAre("größe"));
  EXPECT_EQ(file.records.count, 1u);
}

TEST(Npz, StoredDeflatedStreamedAndZip64) {
  const DataFolder folder;
  const DataFile deflated = folder.read("deflated.npz", from_hex(fixtures::kNpzDeflated));
  expect_matrix(deflated);
  EXPECT_THAT(deflated.labels, ElementsAre(0, 1, 0, 1));
  const DataFile stored = folder.read("stored.npz", from_hex(fixtures::kNpzStored));
  expect_matrix(stored);
  EXPECT_THAT(stored.labels, ElementsAre(0, 1, 0, 1)) << "a column of floats";
  const DataFile streamed = folder.read("streamed.npz", from_hex(fixtures::kNpzStreamed));
  expect_matrix(streamed);
  EXPECT_TRUE(streamed.labels.empty());
  expect_matrix(folder.read("zip64.npz", from_hex(fixtures::kNpzZip64)));
}

TEST(Npz, AnotherArray) {
  const DataFolder folder;
  const auto path = folder.write("names.npz", from_hex(fixtures::kNpzOtherNames));
  expect_matrix(read_data(path.string() + ":train"));
  ReadOptions options;
  options.array = "test";
  for (const DataFile& file : {read_data(path.string() + ":test"), read_data(path, options)}) {
    expect_matrix(file, [](double i) { return 2 * i; });
    EXPECT_THAT(file.labels, ElementsAre(0, 0, 1, 1));
  }
  ReadOptions labelled;
  labelled.array = "train";
  labelled.label = "test_label";
  EXPECT_THAT(read_data(path, labelled).labels, ElementsAre(0, 0, 1, 1));
  expect_matrix(folder.read("single.npz", from_hex(fixtures::kNpzSingle)));
  // A file of just that name comes first.
  expect_matrix(folder.read("a.npz:b.npz", from_hex(fixtures::kNpzSingle)));
}

TEST(Npz, Indices) {
  const DataFolder folder;
  const auto path = folder.write("indices.npz", from_hex(fixtures::kNpzIndices));
  EXPECT_THAT(read_indices(path, "train"), ElementsAre(3, 1, 2));
  EXPECT_THAT(read_indices(path, "test"), ElementsAre(0));
  const std::pair<const char*, std::string> wrong[] = {
      {"bad", ": bad: -1 is no index"},
      {"floats", ":floats: allowed a vector of integers"},
      {"validation", ": no array 'validation'"},
  };
  for (const auto& [array, reason] : wrong) {
    try {
      read_indices(path, array);
      ADD_FAILURE() << array;
    } catch (const InvalidData& error) {
      EXPECT_EQ(error.what(), path.string() + reason);
    }
  }
  EXPECT_THROW(read_indices(folder.path() / "nowhere.npz", "train"), InvalidData);
  EXPECT_THROW(read_indices(folder.write("cut.npz", "PK"), "train"), InvalidData);
}

class BadNpy : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadNpy, IsRefusedWithTheReason) {
  expect_refused(GetParam());
}

BadFile npy_file(std::string name, std::string bytes, std::string reason, ReadOptions options = {}) {
  return {std::move(name), "x.npy", std::move(bytes), std::move(options), ": ", std::move(reason)};
}
BadFile fixture(std::string name, std::string_view hexadecimal, std::string reason,
                ReadOptions options = {}) {
  return npy_file(std::move(name), from_hex(hexadecimal), std::move(reason), std::move(options));
}
BadFile npz_file(std::string name, std::string_view hexadecimal, std::string place, std::string reason,
                 ReadOptions options = {}) {
  return {std::move(name),    "x.npz",          from_hex(hexadecimal),
          std::move(options), std::move(place), std::move(reason)};
}
std::string header(const std::string& type, const std::string& shape = "(1,)") {
  return "{'descr': " + type + ", 'fortran_order': False, 'shape': " + shape + ", }";
}
/// One field `a` of four bytes.
BadFile one_value(std::string name, const std::string& type, std::string_view data, std::string reason,
                  ReadOptions options) {
  return npy_file(std::move(name), npy(header("[('a', '" + type + "')]"), data), std::move(reason),
                  std::move(options));
}

const std::string plain = "allowed f2 f4 f8 i1..i8 u1..u8 b1";
const std::string fields = plain + ", S, U and M8 in a structured array";
const std::string time_allowed = "row 0: a: allowed a time: datetime64, integer nanoseconds, ISO 8601 text";

INSTANTIATE_TEST_SUITE_P(
    Files, BadNpy,
    ::testing::Values(
        npy_file("nothing", "", "not a .npy file"), npy_file("text", "a,b\n1,2\n3,4\n", "not a .npy file"),
        npy_file("version", std::string("\x93NUMPY\x04\0\0\0\0\0", 12), ".npy version 4, allowed 1, 2, 3"),
        npy_file("header_beyond_the_file", std::string("\x93NUMPY\x01\0\xFF\xFF{", 11),
                 "cut off in its header"),
        npy_file("long_header_beyond_the_file", std::string("\x93NUMPY\x02\0\xFF\xFF\xFF\xFF{", 13),
                 "cut off in its header"),
        npy_file("version2_without_length", std::string("\x93NUMPY\x02\0\1\0", 10), "cut off in its header"),
        npy_file("no_literal", npy("[]"), "its header, character 0: '{' expected"),
        npy_file("empty_literal", npy("{}"), "its header lacks one of descr, fortran_order, shape"),
        npy_file("no_shape", npy("{'descr': '<f4', 'fortran_order': True}"),
                 "its header lacks one of descr, fortran_order, shape"),
        npy_file("unknown_key", npy("{'descr': '<f4', 'order': True}"),
                 "its header, character 25: key 'order', allowed descr, fortran_order, shape"),
        npy_file("order_is_a_number", npy("{'fortran_order': 1}"),
                 "its header, character 18: True or False expected"),
        npy_file("shape_is_text", npy("{'shape': ('a',)}"), "its header, character 11: a size expected"),
        npy_file("shape_is_negative", npy("{'shape': (-1,)}"), "its header, character 11: a size expected"),
        npy_file("after_the_literal", npy(header("'<f4'") + "x"),
                 "its header, character 57: the end expected"),
        npy_file("unclosed_text", npy("{'descr"), "its header, character 7: ''' expected"),
        npy_file("escape", npy(R"({'\x41': 1})"), "its header, character 3: an escape that isn't read here"),
        npy_file("dimensions",
                 npy("{'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}"),
                 "its header, character 75: more than 32 dimensions"),
        npy_file("data_cut_off", npy(header("'<f8'", "(2, 3)"), std::string(47, '\0')),
                 "47 bytes of data, its shape needs 48"),
        npy_file("shape_wraps", npy(header("'<f8'", "(4611686018427387904, 4)")),
                 "its shape needs more than 2^64 bytes"),
        npy_file("columns", npy(header("'<f8'", "(0, 131073)")),
                 "shape: found (0, 131073), allowed 1 to 131072 columns"),
        fixture("objects", fixtures::kNpyObjects,
                "dtype: found '|O', " + plain + " (Python objects are pickles, and those are never read)"),
        fixture("complex", fixtures::kNpyComplex, "dtype: found '<c8', " + plain),
        fixture("text_array", fixtures::kNpyText, "dtype: found '<U1', " + plain),
        npy_file("f16", npy(header("'<f16'")), "dtype: found '<f16', " + plain),
        npy_file("i3", npy(header("'<i3'")), "dtype: found '<i3', " + plain),
        npy_file("no_size", npy(header("'<i'")), "dtype: found '<i', " + plain),
        npy_file("no_type", npy(header("''")), "dtype: found '', " + plain),
        npy_file("size_beyond_any_number", npy(header("'<i99999999999999999999'")),
                 "dtype: found '<i99999999999999999999', " + plain),
        npy_file("text_of_no_characters", npy(header("[('a', '|S0')]", "(1000000000000000,)")),
                 "dtype: found '|S0', " + fields),
        npy_file("long_text", npy(header("[('a', '|S16777217')]")), "dtype: found '|S16777217', " + fields),
        fixture("days", fixtures::kNpyDays, "dtype: found '<M8[D]', " + fields),
        fixture("cube", fixtures::kNpyCube, "shape: found (2, 2, 2), allowed a matrix or a vector"),
        fixture("scalar", fixtures::kNpyScalar, "shape: found (), allowed a matrix or a vector"),
        fixture("no_columns", fixtures::kNpyNoColumns, "shape: found (3, 0), allowed 1 to 131072 columns"),
        fixture("nested", fixtures::kNpyNested,
                "its header, character 17: field 'a' is a structure itself, allowed plain ones"),
        fixture("sub_array", fixtures::kNpySubArray,
                "its header, character 24: field 'a' is an array itself, allowed plain ones"),
        npy_file("structured_matrix", npy(header("[('a', '<f4')]", "(1, 1)"), "1234"),
                 "a structured array of other than one dimension"),
        npy_file("nothing_but_padding", npy(header("[('', '|V4')]"), "1234"),
                 "a structured array without a field that can be read"),
        npy_file("field_twice", npy(header("[('a', '<f4'), ('a', '<f4')]"), "12345678"),
                 "two fields are called 'a'"),
        fixture("label_absent", fixtures::kNpyF4, "label: found no column 'y', allowed x0, x1, x2",
                columns("y")),
        fixture("entity_absent", fixtures::kNpyF4, "entity: found no column 'who', allowed x0, x1, x2",
                columns("", "who")),
        fixture("time_absent", fixtures::kNpyF4, "time: found no column 'at', allowed x0, x1, x2",
                columns("", "", "at")),
        fixture("id_absent", fixtures::kNpyF4, "id: found no column 'key', allowed x0, x1, x2",
                columns("", "", "", "key")),
        fixture("label_is_text", fixtures::kNpyStructure, "row 0: country: allowed whole numbers as labels",
                columns("country")),
        fixture("label_is_missing", fixtures::kNpyStructure, "row 0: amount: allowed whole numbers as labels",
                columns("amount")),
        fixture("entity_is_a_fraction", fixtures::kNpyStructure, "row 0: amount: allowed text or integers",
                columns("", "amount")),
        one_value("text_not_utf8", "|S4", "ab\xFF\xFE", "row 0: a: allowed text in UTF-8", {}),
        one_value("surrogate", "<U1", std::string("\0\xD8\0\0", 4), "row 0: a: allowed text in UTF-8", {}),
        one_value("beyond_unicode", "<U1", std::string("\0\0\x11\0", 4), "row 0: a: allowed text in UTF-8",
                  {}),
        one_value("time_is_a_float", "<f4", "1234", time_allowed, columns("", "", "a")),
        one_value("time_is_no_text_of_time", "|S4", "soon", time_allowed, columns("", "", "a")),
        one_value("time_is_not_a_time", "<M8[ns]", std::string("\0\0\0\0\0\0\0\x80", 8), time_allowed,
                  columns("", "", "a")),
        one_value("time_beyond_nanoseconds", "<M8[s]", std::string("\0\0\0\0\0\0\0\x40", 8), time_allowed,
                  columns("", "", "a")),
        one_value("time_beyond_int64", "<u8", std::string(8, '\xFF'), time_allowed, columns("", "", "a")),
        npz_file("npz_labels_of_other_length", fixtures::kNpzBadLabels, ":y: ", "2 labels for 4 rows"),
        npz_file("npz_labels_with_a_fraction", fixtures::kNpzSplitLabels,
                 ":y: ", "row 2: allowed whole numbers as labels"),
        npz_file("npz_bzip2", fixtures::kNpzBzip2, ": ",
                 "X.npy: compression method 12, allowed stored, deflated"),
        npz_file("npz_no_x", fixtures::kNpzOtherNames, ": ",
                 "array: found no 'X'; x.npz:NAME reads one of train, test, test_label"),
        npz_file("npz_no_such_array", fixtures::kNpzOtherNames, ": ",
                 "array: found no 'validation', allowed train, test, test_label",
                 {"", "", "", "", "validation"}),
        npz_file("npz_label_absent", fixtures::kNpzDeflated,
                 ":X: ", "label: found no column 'class', allowed x0, x1, x2", columns("class")),
        BadFile{"npz_is_no_archive", "x.npz", "PK", {}, ": ", "not a zip archive"},
        BadFile{"npz_is_text",
                "x.npz",
                std::string(100, 'a'),
                {},
                ": ",
                "not a zip archive, or one that was cut off"}),
    [](const auto& info) { return info.param.name; });

/// The stored archive with `found` replaced by `instead`, of the same length, wherever it is.
std::string with(std::string_view found, std::string_view instead) {
  std::string bytes = from_hex(fixtures::kNpzStored);
  std::size_t replaced = 0;
  for (std::size_t at = bytes.find(found); at != bytes.npos; at = bytes.find(found, at + found.size())) {
    bytes.replace(at, found.size(), instead);
    ++replaced;
  }
  EXPECT_GT(replaced, 0u);
  return bytes;
}

TEST(Npz, DamageIsSaid) {
  const DataFolder folder;
  const auto reason = [&](const std::string& bytes) -> std::string {
    const auto path = folder.write("x.npz", bytes);
    try {
      read_data(path);
      return "";
    } catch (const InvalidData& error) {
      return std::string(error.what()).substr(path.string().size() + 2);
    }
  };
  const std::string good = from_hex(fixtures::kNpzStored);
  EXPECT_EQ(reason(good), "");
  EXPECT_EQ(reason(with(std::string("\0\0\x26\x40", 4), std::string("\0\0\x25\x40", 4))),
            "X.npy: its checksum doesn't fit its data");
  EXPECT_EQ(reason(with("PK\x01\x02", "PK\x01\x03")), "entry 0 of the archive's directory is damaged");
  EXPECT_EQ(reason(with("PK\x03\x04", "PK\x03\x05")), "X.npy: no member where the archive's directory says");
  // The end record: counts at 8 and 10, the directory's length at 12 and its place at 16.
  const std::size_t end = good.rfind("PK\x05\x06");
  std::string bad = good;
  bad[end + 10] = 3;
  EXPECT_EQ(reason(bad), "the archive's directory has 2 entries, its end says 3");
  bad = good;
  bad[end + 19] = '\x7F';
  EXPECT_EQ(reason(bad), "the archive's directory lies outside the file");
  bad = good;
  bad[end + 10] = bad[end + 11] = '\xFF';
  EXPECT_EQ(reason(bad), "no Zip64 locator where one is needed");
  // The directory's first entry: flags at 8, sizes at 20 and 24.
  const std::size_t entry = good.find("PK\x01\x02");
  bad = good;
  bad[entry + 8] = 1;
  EXPECT_EQ(reason(bad), "X.npy: encrypted, allowed plain members");
  bad = good;
  bad[entry + 24] = static_cast<char>(bad[entry + 24] + 1);
  EXPECT_EQ(reason(bad), "X.npy: 225 bytes from 224, which can't be");
}

}  // namespace
}  // namespace lanner::host
