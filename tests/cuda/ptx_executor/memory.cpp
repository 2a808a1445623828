#include "tests/cuda/ptx_executor/memory.hpp"

#include <cstdlib>
#include <cstring>

namespace lanner::ptx {

namespace {
constexpr std::size_t alignment = 256;  // as cudaMalloc's
}

Memory::~Memory() {
  for (const auto& [first, last] : ranges_) std::free(host_pointer(first));
}

void* Memory::allocate(bool device, std::size_t bytes) {
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) return nullptr;
  std::memset(memory, 0xFF, bytes);
  const auto first = reinterpret_cast<std::uint64_t>(memory) | (device ? device_bit : 0);
  ranges_.emplace(first, first + bytes);
  return reinterpret_cast<void*>(first);
}

bool Memory::release(bool device, void* memory) {
  const auto first = reinterpret_cast<std::uint64_t>(memory);
  if (device != ((first & device_bit) != 0) || ranges_.erase(first) == 0) return false;
  std::free(host_pointer(first));
  return true;
}

Range Memory::find(std::uint64_t address) const {
  auto next = ranges_.upper_bound(address);
  if (next == ranges_.begin()) return {};
  --next;
  return address < next->second ? Range{next->first, next->second} : Range{};
}

bool Memory::holds(const void* memory, std::size_t bytes) const {
  const auto address = reinterpret_cast<std::uint64_t>(memory);
  return find(address).holds(address, bytes);
}

}  // namespace lanner::ptx
