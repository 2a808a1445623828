// A detector's state as bytes: little-endian fields behind a name of eight letters and a fingerprint of the
// parameters, a checksum at the end. Bytes come back from disks and networks, so a reader trusts none.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace lanner::engine {

/// Fowler, Noll & Vo's 64-bit hash (1a).
inline std::uint64_t fingerprint(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::byte b : bytes) hash = (hash ^ static_cast<std::uint64_t>(b)) * 0x100000001b3u;
  return hash;
}

class SnapshotWriter {
 public:
  /// `name`: what the state is of, eight letters.
  SnapshotWriter(std::string_view name, std::uint64_t parameters) {
    bytes(name.data(), name.size());
    whole(parameters);
  }
  void number(double value) { bytes(&value, sizeof value); }
  void whole(std::uint64_t value) { bytes(&value, sizeof value); }
  void numbers(std::span<const double> values) { bytes(values.data(), values.size_bytes()); }
  /// Bytes of any number, which go with it.
  void block(std::span<const std::byte> content) {
    whole(content.size());
    bytes(content.data(), content.size());
  }
  std::vector<std::byte> finish() && {
    whole(fingerprint(out_));
    return std::move(out_);
  }

 private:
  void bytes(const void* from, std::size_t size) {
    if (size == 0) return;
    out_.resize(out_.size() + size);
    std::memcpy(out_.data() + out_.size() - size, from, size);
  }
  std::vector<std::byte> out_;
};

/// Every method throws std::invalid_argument for bytes that no writer made.
class SnapshotReader {
 public:
  SnapshotReader(std::span<const std::byte> bytes, std::string_view name, std::uint64_t parameters)
      : in_(bytes) {
    if (bytes.size() < name.size() + 16 || std::memcmp(bytes.data(), name.data(), name.size()) != 0)
      throw std::invalid_argument("series snapshot: not one");
    in_ = bytes.last(8);
    const std::uint64_t sum = whole(UINT64_MAX);
    if (sum != fingerprint(bytes.first(bytes.size() - 8)))
      throw std::invalid_argument("series snapshot: damaged");
    in_ = bytes.subspan(name.size(), bytes.size() - 8 - name.size());
    if (whole(UINT64_MAX) != parameters) throw std::invalid_argument("series snapshot: of other parameters");
  }
  /// Finite, within [least, most].
  double number(double least, double most) {
    double value;
    take(&value, sizeof value);
    require(value >= least && value <= most);
    return value;
  }
  std::uint64_t whole(std::uint64_t most) {
    std::uint64_t value;
    take(&value, sizeof value);
    require(value <= most);
    return value;
  }
  void numbers(std::span<double> values, double least, double most) {
    for (double& value : values) value = number(least, most);
  }
  /// Into the bytes that are read.
  std::span<const std::byte> block() {
    const std::uint64_t size = whole(UINT64_MAX);
    require(size <= in_.size());
    const std::span<const std::byte> content = in_.first(size);
    in_ = in_.subspan(size);
    return content;
  }
  void finish() const { require(in_.empty()); }

 private:
  void take(void* to, std::size_t size) {
    require(size <= in_.size());
    std::memcpy(to, in_.data(), size);
    in_ = in_.subspan(size);
  }
  static void require(bool is_sound) {
    if (!is_sound) throw std::invalid_argument("series snapshot: a field that no such series has");
  }
  std::span<const std::byte> in_;
};

/// Whole numbers kept as doubles are exact up to here.
inline constexpr double whole_most = 0x1p53;

}  // namespace lanner::engine
