// What each instruction does to a warp: 32 lanes side by side, a register a row of 32 values. Only what nvcc
// makes of Lanner's kernels is here; what isn't is an error that names it. Semantics: PTX ISA 9.0, chapter 9.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tests/cuda/ptx_executor/memory.hpp"

namespace lanner::ptx {

inline constexpr unsigned warp_lanes = 32;
using Mask = std::uint32_t;  // a bit a lane
inline constexpr Mask all_lanes = 0xFFFFFFFFu;

/// Generic addresses with this bit are in shared memory.
inline constexpr std::uint64_t shared_bit = std::uint64_t{1} << 61;

struct Instruction;

/// The state of 32 threads that instructions work on.
struct Warp {
  std::byte* rows = nullptr;   // of registers, constants and special registers
  Mask* predicates = nullptr;  // one a register
  std::span<std::byte> shared;
  std::span<const std::byte> parameters;
  const Memory* memory = nullptr;
  Range* seen = nullptr;  // for each instruction the allocation that it used last
  unsigned number = 0;    // in its block

  template <class T>
  T* row(std::uint32_t offset) const {
    return reinterpret_cast<T*>(rows + offset);
  }
};

using Handler = void (*)(Warp&, const Instruction&, Mask);

/// What is to be done about lanes, beside the handler's work.
enum class Flow : std::uint8_t {
  next,
  branch,
  end,
  together,  // all lanes of the member mask are to be here
  barrier    // all threads of the block are
};

/// What a barrier finds out about a predicate of all threads.
enum class Reduction : std::uint8_t { none, all, any, count };

/// To find out whether anybody would notice: flips the lowest bit of one lane's result whenever `opcode` is
/// executed (by a warp) for the every-th time.
struct Perturbation {
  std::string opcode;
  std::uint64_t every = 0;
  std::uint64_t executed = 0;
};

struct Instruction {
  static constexpr std::uint32_t none = ~0u;

  Handler handler = nullptr;
  std::array<std::uint32_t, 14> at{};    // operands: offsets of rows, indices of predicates
  std::array<std::int64_t, 2> offset{};  // of the operands that are addresses, in their order
  std::array<bool, 2> wide_address{};    // a row of 64-bit values
  Flow flow = Flow::next;
  Reduction reduction = Reduction::none;
  std::uint32_t guard = none;    // a predicate's index
  Mask guard_flip = 0;           // all lanes if the guard is negated
  std::uint32_t members = none;  // the row of the member mask
  std::uint32_t target = 0;      // of a branch; a barrier's number
  std::uint32_t index = 0;       // in the kernel's code
  Handler unperturbed = nullptr;
  Perturbation* perturbation = nullptr;
  std::size_t result_bytes = 0;
};

/// An instruction by its operands' kinds, a letter each: h, w, d a register or number of 16, 32, 64 bits; p a
/// predicate; a an address; m a member mask; b a barrier's number; t a label.
struct Known {
  std::string operands;
  Handler handler = nullptr;
  Flow flow = Flow::next;
  Reduction reduction = Reduction::none;
};

/// By opcode.
const std::multimap<std::string, Known>& instruction_set();

}  // namespace lanner::ptx
