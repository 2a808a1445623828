// A folder of data files to read, and the files that libraries wrote.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/data_file/data_file.hpp"
#include "tests/host/data_file/fixtures.hpp"

namespace lanner::host {

/// Gone with everything in it at the end.
class DataFolder {
 public:
  DataFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "lanner-data-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;
  ~DataFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path path = path_ / name;
    // Overwritten and cut, not emptied first: some file systems then wait for the disk.
    std::ofstream(path, std::ios::binary | std::ios::app).flush();
    std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << bytes;
    std::filesystem::resize_file(path, bytes.size());
    return path;
  }
  DataFile read(const std::string& name, std::string_view bytes, const ReadOptions& options = {}) const {
    return read_data(write(name, bytes), options);
  }

 private:
  std::filesystem::path path_;
};

inline std::string from_hex(std::string_view digits) {
  const auto value = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    out.push_back(static_cast<char>(value(digits[i]) << 4 | value(digits[i + 1])));
  return out;
}

/// Columns by their use; "" for none.
inline ReadOptions columns(std::string label, std::string entity = "", std::string time = "",
                           std::string id = "") {
  ReadOptions options;
  options.label = std::move(label);
  options.entity = std::move(entity);
  options.time = std::move(time);
  options.id = std::move(id);
  return options;
}

/// A version 1 .npy file of any header, true or not.
inline std::string npy(std::string_view header, std::string_view data = {}) {
  std::string out = "\x93NUMPY\x01";
  out.push_back('\0');
  out.push_back(static_cast<char>(header.size() & 0xFF));
  out.push_back(static_cast<char>(header.size() >> 8));
  out += header;
  out += data;
  return out;
}

struct Fixture {
  std::string_view name, ending, hexadecimal;
  std::string file() const { return std::string(name).append(ending); }
  std::string bytes() const { return from_hex(hexadecimal); }
};

/// Every file of fixtures.hpp, those that are refused too.
inline const std::vector<Fixture>& all_fixtures() {
  namespace f = fixtures;
  static const std::vector<Fixture> all{
      {"f2", ".npy", f::kNpyF2},
      {"f4", ".npy", f::kNpyF4},
      {"f8", ".npy", f::kNpyF8},
      {"i1", ".npy", f::kNpyI1},
      {"i2", ".npy", f::kNpyI2},
      {"i4", ".npy", f::kNpyI4},
      {"i8", ".npy", f::kNpyI8},
      {"u1", ".npy", f::kNpyU1},
      {"u2", ".npy", f::kNpyU2},
      {"u4", ".npy", f::kNpyU4},
      {"u8", ".npy", f::kNpyU8},
      {"big_f4", ".npy", f::kNpyBigF4},
      {"big_i2", ".npy", f::kNpyBigI2},
      {"big_f8", ".npy", f::kNpyBigF8},
      {"b1", ".npy", f::kNpyB1},
      {"negative", ".npy", f::kNpyNegative},
      {"fortran", ".npy", f::kNpyFortran},
      {"vector", ".npy", f::kNpyVector},
      {"version2", ".npy", f::kNpyVersion2},
      {"empty", ".npy", f::kNpyEmpty},
      {"structure", ".npy", f::kNpyStructure},
      {"structure_big", ".npy", f::kNpyStructureBig},
      {"unicode_name", ".npy", f::kNpyUnicodeName},
      {"objects", ".npy", f::kNpyObjects},
      {"complex", ".npy", f::kNpyComplex},
      {"text", ".npy", f::kNpyText},
      {"cube", ".npy", f::kNpyCube},
      {"scalar", ".npy", f::kNpyScalar},
      {"no_columns", ".npy", f::kNpyNoColumns},
      {"nested", ".npy", f::kNpyNested},
      {"sub_array", ".npy", f::kNpySubArray},
      {"days", ".npy", f::kNpyDays},
      {"deflated", ".npz", f::kNpzDeflated},
      {"stored", ".npz", f::kNpzStored},
      {"other_names", ".npz", f::kNpzOtherNames},
      {"single", ".npz", f::kNpzSingle},
      {"indices", ".npz", f::kNpzIndices},
      {"bad_labels", ".npz", f::kNpzBadLabels},
      {"split_labels", ".npz", f::kNpzSplitLabels},
      {"bzip2", ".npz", f::kNpzBzip2},
      {"streamed", ".npz", f::kNpzStreamed},
      {"zip64", ".npz", f::kNpzZip64},
      {"uncompressed", ".feather", f::kFeatherUncompressed},
      {"lz4", ".feather", f::kFeatherLz4},
      {"zstd", ".feather", f::kFeatherZstd},
      {"stream", ".arrow", f::kArrowStream},
      {"list", ".arrow", f::kArrowFileList},
  };
  return all;
}

inline std::vector<std::string> names(const engine::Schema& schema) {
  std::vector<std::string> out;
  for (const auto& field : schema.fields) out.push_back(field.name);
  return out;
}

inline std::vector<std::string> texts(const engine::Texts& texts) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < texts.size(); ++i) out.emplace_back(texts[i]);
  return out;
}

/// Every column is as long as the file says, and of the kind that the schema says.
inline void expect_consistent(const DataFile& file) {
  const engine::Records& records = file.records;
  ASSERT_EQ(records.columns.size(), file.schema.fields.size());
  for (std::size_t f = 0; f < records.columns.size(); ++f) {
    const engine::Column& column = records.columns[f];
    if (file.schema.fields[f].kind == engine::ColumnKind::number) {
      ASSERT_EQ(column.numbers.size(), records.count);
    } else {
      ASSERT_EQ(column.texts.size(), records.count);
      ASSERT_EQ(column.missing.size(), records.count);
    }
  }
  for (const std::size_t size :
       {records.entity.size(), records.id.size(), records.time.size(), file.labels.size()})
    ASSERT_TRUE(size == 0 || size == records.count) << size << " of " << records.count;
  ASSERT_TRUE(records.refused.empty());
}

/// A file that must be refused.
struct BadFile {
  std::string name;  ///< of the test
  std::string file, bytes;
  ReadOptions options;
  std::string place;  ///< after the file's path: ":3: ", ": ", ":X: "
  std::string reason;
};

inline void PrintTo(const BadFile& bad, std::ostream* out) {
  *out << bad.name;
}

/// The whole message: file, place, reason.
inline void expect_refused(const BadFile& bad) {
  const DataFolder folder;
  const std::filesystem::path path = folder.write(bad.file, bad.bytes);
  try {
    read_data(path, bad.options);
    ADD_FAILURE() << "was read";
  } catch (const InvalidData& error) {
    EXPECT_EQ(std::string(error.what()), path.string() + bad.place + bad.reason);
  }
}

}  // namespace lanner::host
