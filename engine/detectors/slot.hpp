// What every scorer does with what a slot brings: checks the request, cuts the workspace.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "kernels/rows.hpp"

namespace lanner::engine {

inline constexpr std::size_t workspace_alignment = 64;

/// Bytes of a workspace piece of `count` items.
template <class T>
constexpr std::size_t piece_bytes(std::size_t count) {
  return (count * sizeof(T) + workspace_alignment - 1) / workspace_alignment * workspace_alignment;
}

/// Cuts a workspace into aligned pieces. The workspace itself need not be aligned: its bytes must then be the
/// sum of the pieces and `workspace_alignment` more.
class WorkspacePieces {
 public:
  explicit WorkspacePieces(std::span<std::byte> workspace) : left_(workspace) {
    const std::size_t beyond = reinterpret_cast<std::uintptr_t>(left_.data()) % workspace_alignment;
    if (beyond != 0) cut(workspace_alignment - beyond);
  }
  template <class T>
  std::span<T> take(std::size_t count) {
    return {reinterpret_cast<T*>(cut(piece_bytes<T>(count))), count};
  }
  std::span<std::byte> rest() const { return left_; }

 private:
  std::byte* cut(std::size_t bytes) {
    if (bytes > left_.size())
      throw std::invalid_argument("the workspace is smaller than workspace_bytes() says");
    std::byte* piece = left_.data();
    left_ = left_.subspan(bytes);
    return piece;
  }
  std::span<std::byte> left_;
};

inline void check_width(Rows rows, std::size_t width) {
  if (rows.width != width)
    throw std::invalid_argument("rows have " + std::to_string(rows.width) + " features, the model has " +
                                std::to_string(width));
}

inline void check_scores(Rows rows, std::size_t width, std::span<const float> scores) {
  check_width(rows, width);
  if (scores.size() < rows.count) throw std::invalid_argument("there is no room for every row's score");
}

inline void check_contributions(Rows rows, std::size_t width, MutableRows out) {
  check_width(rows, width);
  if (out.width != width || out.count < rows.count)
    throw std::invalid_argument("there is no room for every row's contributions");
}

/// explain(rows, out) for one block of rows after the other: bounds the workspace, whatever the batch.
template <class Explain>
void explain_in_blocks(std::size_t block, Rows rows, MutableRows out, Explain&& explain) {
  for (std::size_t begin = 0; begin < rows.count; begin += block) {
    const Rows part = rows.slice(begin, std::min(begin + block, rows.count));
    explain(part, MutableRows{out.row(begin), part.count, out.width, out.stride});
  }
}

/// To float32, the largest finite one where that overflows: a raw score is always finite.
inline float finite_float(double value) {
  constexpr double largest = 3.4028234663852886e38;
  return static_cast<float>(value > largest ? largest : value < -largest ? -largest : value);
}

}  // namespace lanner::engine
