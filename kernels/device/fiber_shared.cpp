#include "kernels/device/fiber_shared.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lanner::simt {
namespace {

constexpr std::size_t strip = 64;
// NaN as a float and as a double, and not what memory is filled with, nor what a kernel is likely to write.
constexpr std::uint32_t strip_word = 0x7FFBADBAu;
constexpr std::size_t capacity =
    shared_max + static_shared_max;  // room for strips beside what may be asked for

void fill_strip(std::byte* at) {
  for (std::size_t i = 0; i < strip; i += sizeof strip_word)
    std::memcpy(at + i, &strip_word, sizeof strip_word);
}

/// The first byte that isn't as fill_strip left it, or `strip`.
std::size_t first_damage(const std::byte* at) {
  std::byte word[sizeof strip_word];
  std::memcpy(word, &strip_word, sizeof word);
  for (std::size_t i = 0; i < strip; ++i)
    if (at[i] != word[i % sizeof word]) return i;
  return strip;
}

}  // namespace

SharedMemory::SharedMemory() : memory_(new std::byte[capacity]) {}
SharedMemory::~SharedMemory() {
  open_strips();
}

void SharedMemory::begin_launch(std::size_t dynamic_bytes, bool poison) {
  open_strips();
  arrays_.clear();
  used_ = static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  poison_ = poison;
  dynamic_ = nullptr;
  if (dynamic_bytes > 0) {
    dynamic_ = place(dynamic_bytes, 16);
    arrays_.push_back({nullptr, static_cast<std::byte*>(dynamic_), dynamic_bytes});
    close_strips();
  }
}

void SharedMemory::begin_block() {
  if (!poison_) return;
  for (const Array& array : arrays_) std::memset(array.data, 0xFF, array.bytes);
}

// Aligned as asked for and no better, to show code that counts on more.
std::byte* SharedMemory::place(std::size_t bytes, std::size_t alignment) {
  alignment = std::max<std::size_t>(alignment, 8);
  auto at = reinterpret_cast<std::uintptr_t>(memory_.get()) + used_ + strip;
  at = (at + 2 * alignment - 1) / (2 * alignment) * (2 * alignment) + alignment;
  std::byte* const data = memory_.get() + (at - reinterpret_cast<std::uintptr_t>(memory_.get()));
  const std::size_t end = static_cast<std::size_t>(data - memory_.get()) + bytes + strip;
  if (end > capacity) throw KernelError("more shared arrays than the emulation has room for");
  used_ = end;
  std::memset(data, 0xFF, bytes);
  fill_strip(data - strip);
  fill_strip(data + bytes);
  return data;
}

void* SharedMemory::array(const SharedSite& site) {
  for (const Array& array : arrays_)
    if (array.site == &site) return array.data;
  const std::size_t total =
      (static_bytes_ + site.alignment - 1) / site.alignment * site.alignment + site.bytes;
  const std::string at =
      std::string(site.file) + ":" + std::to_string(site.line) + ": shared array '" + site.name + "': ";
  if (total > static_shared_max)
    throw KernelError(at + std::to_string(total) +
                      " bytes of static shared memory, allowed: " + std::to_string(static_shared_max));
  if (total + dynamic_bytes_ > shared_max)
    throw KernelError(at + std::to_string(total + dynamic_bytes_) +
                      " bytes of shared memory, allowed: " + std::to_string(shared_max));
  static_bytes_ = total;
  open_strips();
  arrays_.push_back({&site, place(site.bytes, site.alignment), site.bytes});
  close_strips();
  return arrays_.back().data;
}

bool SharedMemory::holds(const void* from, std::size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(from);
  return std::any_of(arrays_.begin(), arrays_.end(), [&](const Array& array) {
    return at >= array.data && at + bytes <= array.data + array.bytes;
  });
}

std::optional<std::string> SharedMemory::damage() {
  open_strips();
  std::optional<std::string> found;
  for (const Array& array : arrays_) {
    const std::size_t before = first_damage(array.data - strip),
                      after = first_damage(array.data + array.bytes);
    if (before == strip && after == strip) continue;
    const std::string name = array.site
                                 ? std::string(array.site->file) + ":" + std::to_string(array.site->line) +
                                       ": shared array '" + array.site->name + "'"
                                 : "dynamic shared memory";
    found = name + " of " + std::to_string(array.bytes) + " bytes was written " +
            (after < strip ? "beyond its end, at byte " + std::to_string(array.bytes + after)
                           : "before its beginning, at byte -" + std::to_string(strip - before));
    fill_strip(array.data - strip);
    fill_strip(array.data + array.bytes);
    break;
  }
  close_strips();
  return found;
}

void SharedMemory::close_strips() {
#if defined(__SANITIZE_ADDRESS__)
  for (const Array& array : arrays_) {
    __asan_poison_memory_region(array.data - strip, strip);
    __asan_poison_memory_region(array.data + array.bytes, strip);
  }
#endif
}

void SharedMemory::open_strips() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory_.get(), capacity);
#endif
}

}  // namespace lanner::simt
