// One call of search or distances, as the backends get it; and what they all keep of a row. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

struct Request {
  Rows queries;
  std::size_t k = 0;
  Count count = Count::rows;
  std::span<const std::uint32_t> self;
  std::span<std::byte> workspace;
  // Either of the two:
  Neighbours neighbours;
  float* summary = nullptr;
  Summary summarise = Summary::kth;
};

/// A row whose distance is known. `weight`: how many original rows it stands for, less the query itself.
struct alignas(16) Settled {
  double squared;
  std::uint32_t row;
  std::uint32_t weight;
};

inline constexpr std::size_t workspace_alignment = 64;

/// Hands out parts of a block one after the other; without a block it only counts.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(std::size_t n) {
    T* at = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += (n * sizeof(T) + workspace_alignment - 1) / workspace_alignment * workspace_alignment;
    return at;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

/// A workspace's first aligned byte. Throws std::invalid_argument where fewer than `bytes` follow.
std::byte* aligned_workspace(std::span<std::byte> workspace, std::size_t bytes);

}  // namespace lanner::nearest
