// The file formats behind read_data, one file each. All throw InvalidData.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/bytes.hpp"
#include "host/data_file/data_file.hpp"

namespace lanner::host {

/// "file: what", or with a line "file:line: what".
[[noreturn]] void invalid(const std::filesystem::path&, std::string_view what);
[[noreturn]] void invalid(const std::filesystem::path&, std::size_t line, std::string_view what);

/// A label as an integer; false where the number is none.
bool to_label(double number, int& out);

/// Whether a column keeps its place among the fields: always, unless it is the label, or the entity, time or
/// id and nobody expects it as a field too.
bool stays_field(const ReadOptions&, std::string_view name);
bool is_expected_text(const ReadOptions&, std::string_view name);

/// Every column that the options name must be there.
void require_columns(const std::filesystem::path&, const ReadOptions&, std::span<const std::string> names);

DataFile read_csv(const std::filesystem::path&, std::string_view bytes, const ReadOptions&);
DataFile read_npy(const std::filesystem::path&, Bytes bytes, const ReadOptions&);
DataFile read_npz(const std::filesystem::path&, Bytes bytes, const ReadOptions&);
DataFile read_arrow(const std::filesystem::path&, Bytes bytes, const ReadOptions&);
/// One-dimensional integers (or a column of them).
std::vector<std::int64_t> read_npy_integers(const std::filesystem::path&, Bytes bytes);

/// A zip archive's directory, and members on demand. Stored and deflated, Zip64 included.
class Zip {
 public:
  Zip(std::filesystem::path path, Bytes bytes);

  struct Member {
    std::string name;
    std::uint64_t offset = 0, compressed = 0, size = 0;
    std::uint32_t checksum = 0;
    unsigned method = 0, flags = 0;
  };
  std::span<const Member> members() const { return members_; }
  const Member* find(std::string_view name) const;
  /// The member's contents, its length and checksum verified.
  std::vector<std::byte> read(const Member&) const;

 private:
  std::filesystem::path path_;
  Bytes bytes_;
  std::vector<Member> members_;
};

}  // namespace lanner::host
