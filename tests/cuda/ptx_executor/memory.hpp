// What kernels may read and write outside of shared memory: every allocation, from its first byte to its
// last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

namespace lanner::ptx {

/// What a kernel did that no GPU allows, or that isn't known here.
class Fault : public std::runtime_error {
 public:
  enum class Kind { unknown_instruction, illegal_address, misaligned_address, other };
  Fault(Kind kind, const std::string& what) : std::runtime_error(what), kind(kind) {}
  Kind kind;
};

/// Addresses [first, last).
struct Range {
  std::uint64_t first = 0, last = 0;
  bool holds(std::uint64_t address, std::size_t bytes) const {
    return address >= first && address <= last && bytes <= last - address;
  }
};

class Memory {
 public:
  /// Device memory has addresses that the host can't use: this bit makes them non-canonical, so that a host
  /// that tries ends at once. Host memory is pinned: its addresses are the host's own.
  static constexpr std::uint64_t device_bit = std::uint64_t{1} << 62;
  static std::byte* host_pointer(std::uint64_t address) {
    return reinterpret_cast<std::byte*>(address & ~device_bit);
  }

  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  /// Filled with 0xFF, which is NaN. Null if there is no memory.
  void* allocate(bool device, std::size_t bytes);
  /// False if nothing was allocated at that address.
  bool release(bool device, void* memory);
  /// The allocation that holds the address; an empty range if none does.
  Range find(std::uint64_t address) const;
  bool holds(const void* memory, std::size_t bytes) const;

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // first -> last
};

}  // namespace lanner::ptx
