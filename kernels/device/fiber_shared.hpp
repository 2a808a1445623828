// A block's shared memory: one dynamic array, and the static ones in the order in which the kernel comes upon
// them, each between strips that nobody may touch.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device/simt_runtime.hpp"

namespace lanner::simt {

class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void begin_launch(std::size_t dynamic_bytes, bool poison);
  void begin_block();
  /// What was written beyond its end or before its beginning, if anything was.
  std::optional<std::string> damage();

  void* dynamic() const { return dynamic_; }
  /// The same for each thread of a block. Throws KernelError beyond static_shared_max or shared_max.
  void* array(const SharedSite& site);
  bool holds(const void* from, std::size_t bytes) const;

 private:
  struct Array {
    const SharedSite* site;
    std::byte* data;
    std::size_t bytes;
  };
  std::byte* place(std::size_t bytes, std::size_t alignment);
  void close_strips();
  void open_strips();

  std::unique_ptr<std::byte[]> memory_;
  std::size_t used_ = 0, dynamic_bytes_ = 0, static_bytes_ = 0;
  void* dynamic_ = nullptr;
  std::vector<Array> arrays_;  // the dynamic one first, if there is one
  bool poison_ = true;
};

}  // namespace lanner::simt
