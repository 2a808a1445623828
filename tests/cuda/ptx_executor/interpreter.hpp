// Kernels from PTX text, and their execution: a block at a time, its warps in turn from barrier to barrier,
// the lanes of a warp side by side. Where lanes have parted, those that are furthest behind in the text go
// first, so that they catch up with the others where the paths meet; what needs several lanes waits for them.
// One thread does it all, so that a run repeats exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/cuda/ptx_executor/memory.hpp"
#include "tests/cuda/ptx_executor/program.hpp"
#include "tests/cuda/ptx_executor/ptx_text.hpp"

namespace lanner::ptx {

struct Dimensions {
  unsigned x = 1, y = 1, z = 1;
  std::size_t count() const { return std::size_t{x} * y * z; }
};

class Kernel {
 public:
  /// Throws Fault for an instruction that isn't known, by its operands too.
  Kernel(Entry entry, Perturbation* perturbation);

  const std::string& name() const { return entry_.name; }
  std::size_t shared_bytes() const { return program_.shared_bytes; }  // less the dynamic
  unsigned threads_max() const { return entry_.threads_max; }
  std::uint64_t launches() const { return launches_; }
  std::uint64_t instructions() const { return instructions_; }  // executed, by warps
  /// A character an instruction of the text: '1' if some lane has executed it.
  const std::string& executed() const { return executed_; }

  /// Runs every block. arguments[i] points at the value of parameter i. Throws Fault, which says where.
  void launch(const Memory& memory, Dimensions grid, Dimensions block, std::size_t dynamic_shared,
              void* const* arguments);

 private:
  struct Running;

  void advance(Running&);
  void advance(Running&, std::uint32_t& at);
  void meet(std::vector<Running>&) const;
  std::string where(const Instruction&) const;

  Entry entry_;
  Program program_;
  std::uint64_t launches_ = 0, instructions_ = 0;
  std::string executed_;
};

}  // namespace lanner::ptx
