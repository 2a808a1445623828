// An entry's text, decoded: instructions that an interpreter goes through without looking at text again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/cuda/ptx_executor/instructions.hpp"
#include "tests/cuda/ptx_executor/ptx_text.hpp"

namespace lanner::ptx {

/// An entry's instructions, and where its registers, constants, shared arrays and parameters are.
struct Program {
  enum : std::uint32_t { never, always };  // predicates that are constants
  struct Constant {
    std::uint32_t row;
    std::size_t bytes;
    std::uint64_t value;
  };
  struct Special {  // %tid.x and the like
    std::uint32_t row;
    std::string name;
  };
  std::vector<Instruction> code;
  std::vector<Constant> constants;
  std::vector<Special> specials;
  std::uint32_t row_bytes = 0, predicates = 0;
  std::size_t shared_bytes = 0, dynamic_shared_offset = 0;
  std::vector<std::size_t> parameter_offsets;
  std::size_t parameter_bytes = 0;
};

/// Throws Fault for an instruction that isn't known, by its operands too. `perturbation`: or null; outlives
/// the program.
Program decode(const Entry& entry, Perturbation* perturbation);

/// A statement as text again, for messages.
std::string written(const Statement&);

}  // namespace lanner::ptx
