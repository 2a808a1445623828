// Named tensors: what a model is saved as. The container is safetensors (8-byte header length, JSON header,
// data), readable with its Python package; our metadata stands in its "__metadata__" map of strings.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lanner::engine {

/// What is wrong with a model file or its bytes.
class InvalidModel : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class TensorWriter {
 public:
  /// Shapes multiply to the span's size. Names are unique (std::invalid_argument otherwise). Names may
  /// contain dots.
  void add(std::string_view name, std::vector<std::size_t> shape, std::span<const float>);
  void add(std::string_view name, std::vector<std::size_t> shape, std::span<const double>);
  void add(std::string_view name, std::vector<std::size_t> shape, std::span<const std::uint32_t>);
  void add(std::string_view name, std::vector<std::size_t> shape, std::span<const std::int64_t>);
  void metadata(std::string_view key, std::string_view value);
  /// All that another writer has, under names and keys that begin with "name.".
  void add_section(std::string_view name, const TensorWriter& section);
  /// The whole file. Equal content gives equal bytes.
  std::vector<std::byte> bytes() const;

 private:
  struct Tensor {
    std::string type;
    std::vector<std::size_t> shape;
    std::vector<std::byte> data;
  };
  void add_bytes(std::string_view name, std::string type, std::vector<std::size_t> shape,
                 std::span<const std::byte> data, std::size_t item);
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

/// Reads and fully checks a container; every accessor throws InvalidModel where the name, type or shape isn't
/// there. Hostile bytes are an error, never a crash or a huge allocation.
class TensorReader {
 public:
  explicit TensorReader(std::vector<std::byte> bytes);

  bool has(std::string_view name) const;
  const std::vector<std::size_t>& shape(std::string_view name) const;
  std::vector<float> floats(std::string_view name) const;
  std::vector<double> doubles(std::string_view name) const;
  std::vector<std::uint32_t> unsigned_integers(std::string_view name) const;
  std::vector<std::int64_t> integers(std::string_view name) const;
  const std::string& metadata(std::string_view key) const;
  bool has_metadata(std::string_view key) const;
  /// A value that is JSON, text to text.
  std::map<std::string, std::string> metadata_map(std::string_view key) const;
  /// What stands under names and keys that begin with "name.", without that. Empty where nothing does.
  TensorReader section(std::string_view name) const;

 private:
  TensorReader() = default;
  struct Tensor {
    std::string type;
    std::vector<std::size_t> shape;
    std::size_t begin = 0, end = 0;
  };
  const Tensor& tensor(std::string_view name, std::string_view type) const;
  std::shared_ptr<const std::vector<std::byte>> bytes_;
  std::size_t data_begin_ = 0;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

/// The value of a container's metadata, with no look at its tensors; empty where there is none, or no
/// container.
std::string metadata_of(std::span<const std::byte> file, std::string_view key);

/// lanner.format_version of models of series (engine/series/series_model.hpp), which others don't take.
inline constexpr std::string_view format_version_of_series = "3";

/// "sha256:" and 64 hexadecimal digits.
std::string sha256(std::span<const std::byte>);

/// Written beside and renamed into place, synced, so that a reader sees the old file or the new one.
/// Throws std::system_error naming the path.
void write_file(const std::filesystem::path&, std::span<const std::byte>);
std::vector<std::byte> read_file(const std::filesystem::path&);

}  // namespace lanner::engine
