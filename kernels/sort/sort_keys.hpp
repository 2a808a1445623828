// Keys sorted where they lie: one function a backend. On GPUs they are memory of the stream's device, and the
// sort is in the stream.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/device/device.hpp"

namespace lanner::sort {

namespace cpu {
void sort_keys(std::span<std::uint32_t> keys);
}
namespace cuda {
/// May wait for the stream.
void sort_keys(Stream&, std::span<std::uint32_t> keys);
}  // namespace cuda
namespace emulated {
/// By the CPU's sort, in the stream's turn: Thrust's kernels are not ours to emulate.
void sort_keys(Stream&, std::span<std::uint32_t> keys);
}  // namespace emulated

}  // namespace lanner::sort
