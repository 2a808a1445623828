#include "kernels/sort/sort.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/device/gpu.hpp"
#include "kernels/sort/sort_key.hpp"
#include "kernels/sort/sort_keys.hpp"

namespace lanner::sort {
namespace {

constexpr std::size_t columns_most = 16, tile_rows = 16;  // a cache line of a row, and of a list
constexpr std::size_t keys_most = std::size_t{1} << 26;

/// A build whose GPU code leaves Thrust out sorts on the CPU for a GPU too.
bool sorts_itself(const Device& device) {
#if defined(LANNER_CUDA)
  return device.backend() != Backend::cpu;
#else
  return device.backend() == Backend::emulated;
#endif
}

/// Lists of keys, all of a length, that are sorted one by one.
class KeyLists {
 public:
  KeyLists(Device& device, std::size_t lists, std::size_t length)
      : device_(device),
        stream_(device.stream()),
        length_(length),
        keys_(device.pinned<std::uint32_t>(lists * length)) {
    if (sorts_itself(device)) on_device_ = device.array<std::uint32_t>(lists * length);
  }

  std::span<std::uint32_t> list(std::size_t i) { return keys_.span().subspan(i * length_, length_); }

  void sort(std::size_t lists) {
    if (sorts_itself(device_)) {
      stream_.copy_in(on_device_, keys_, lists * length_);
      for (std::size_t i = 0; i < lists; ++i)
        LANNER_ON_GPU(device_, sort_keys, stream_, on_device_.span().subspan(i * length_, length_));
      stream_.copy_out(keys_, on_device_, lists * length_);
      stream_.synchronize();
    } else {
      auto task = [this](std::size_t begin, std::size_t end, unsigned) {
        for (std::size_t i = begin; i < end; ++i) cpu::sort_keys(list(i));
      };
      if (device_.backend() == Backend::cpu) {
        stream_.for_range(lists, 1, task);
      } else {
        task(0, lists, 0);
      }
    }
  }

 private:
  Device& device_;
  Stream stream_;
  std::size_t length_;
  Pinned<std::uint32_t> keys_;
  Array<std::uint32_t> on_device_;
};

}  // namespace

void sort_ascending(Device& device, std::span<float> values) {
  if (values.empty()) return;
  KeyLists lists(device, 1, values.size());
  const std::span<std::uint32_t> keys = lists.list(0);
  std::transform(values.begin(), values.end(), keys.begin(), key_of);
  lists.sort(1);
  std::transform(keys.begin(), keys.end(), values.begin(), value_of);
}

void sort_columns(Device& device, Rows rows, const UseColumn& use) {
  if (rows.count == 0 || rows.width == 0) return;
  const std::size_t at_once =
      std::clamp<std::size_t>(keys_most / rows.count, 1, std::min(columns_most, rows.width));
  KeyLists lists(device, at_once, rows.count);
  std::vector<float> values(rows.count);
  for (std::size_t begin = 0; begin < rows.width; begin += at_once) {
    const std::size_t columns = std::min(at_once, rows.width - begin);
    // Tile by tile: a cache line of every row is read, and of every list written, as a whole.
    for (std::size_t i = 0; i < rows.count; i += tile_rows) {
      const std::size_t end = std::min(rows.count, i + tile_rows);
      for (std::size_t j = 0; j < columns; ++j) {
        std::uint32_t* const keys = lists.list(j).data();
        for (std::size_t row = i; row < end; ++row) keys[row] = key_of(rows.row(row)[begin + j]);
      }
    }
    lists.sort(columns);
    for (std::size_t j = 0; j < columns; ++j) {
      const std::span<const std::uint32_t> sorted = lists.list(j);
      std::transform(sorted.begin(), sorted.end(), values.begin(), value_of);
      use(begin + j, values);
    }
  }
}

}  // namespace lanner::sort
