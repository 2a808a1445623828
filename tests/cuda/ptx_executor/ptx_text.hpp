// PTX text as nvcc writes it, taken apart: entries with their parameters, shared arrays, registers and
// statements. What an instruction means is not known here (instructions.hpp). Grammar: PTX ISA 9.0, chapters
// 4 and 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lanner::ptx {

/// An operand as written. Braces and the bar of `%r1|%p1` are taken off: each part is an operand of its own.
struct Operand {
  std::string text;      // a register, a number or a symbol
  bool address = false;  // it stood in brackets
  std::int64_t offset = 0;
};

struct Statement {
  unsigned line = 0;  // of the text, from 1
  std::string guard;  // the predicate of `@%p1` or `@!%p1`, or empty
  bool guard_negated = false;
  std::string opcode;  // with all its suffixes
  std::vector<Operand> operands;
};

/// A parameter or a shared array. Bytes 0: a shared array of as many bytes as the launch says.
struct Variable {
  std::string name;
  std::size_t alignment = 1, bytes = 0;
};

struct Entry {
  std::string name;
  std::vector<Variable> parameters, shared;
  std::map<std::string, std::string> registers;  // %tmp -> b64; and those that are numbered: %r -> b32
  std::map<std::string, std::size_t> labels;     // -> index into statements
  std::vector<Statement> statements;
  unsigned threads_max = 1024;  // a block
};

/// Throws std::runtime_error that names the line, for what isn't PTX or is a kind of it that isn't known here
/// (functions, global and local variables).
std::vector<Entry> parse(std::string_view text);

}  // namespace lanner::ptx
