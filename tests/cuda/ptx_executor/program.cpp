#include "tests/cuda/ptx_executor/program.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace lanner::ptx {
namespace {

std::size_t aligned(std::size_t offset, std::size_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

// Whole numbers, and the bits of floating-point ones: 0f3F800000, 0d3FF0000000000000.
std::optional<std::uint64_t> number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0f") || text.starts_with("0d")) {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
  return negative ? 0 - value : value;
}

void perturb(Warp& warp, const Instruction& i, Mask lanes) {
  i.unperturbed(warp, i, lanes);
  if (++i.perturbation->executed % i.perturbation->every != 0) return;
  for (; lanes != 0; lanes &= lanes - 1)
    warp.rows[i.at[0] + static_cast<unsigned>(std::countr_zero(lanes)) * i.result_bytes] ^= std::byte{1};
}

std::size_t bytes_of(char letter) {
  return letter == 'd' ? 8 : letter == 'h' ? 2 : 4;
}

class Decoder {
 public:
  Decoder(const Entry& entry, Perturbation* perturbation) : entry_(entry), perturbation_(perturbation) {
    program_.predicates = 2;
    lay_out();
    for (const Statement& statement : entry.statements) program_.code.push_back(decode(statement));
    if (entry.statements.empty() ||
        (entry.statements.back().opcode != "ret" && entry.statements.back().opcode != "bra.uni"))
      throw Fault(Fault::Kind::unknown_instruction,
                  entry.name + ": found an end that runs on, allowed ret or bra.uni");
  }
  Program program() { return std::move(program_); }

 private:
  void lay_out() {
    // The array without a size comes after the others.
    std::size_t dynamic_alignment = 1;
    for (const Variable& variable : entry_.shared) {
      if (variable.bytes == 0) {
        dynamic_alignment = std::max(dynamic_alignment, variable.alignment);
        continue;
      }
      const std::size_t offset = aligned(program_.shared_bytes, variable.alignment);
      symbols_[variable.name] = offset;
      program_.shared_bytes = offset + variable.bytes;
    }
    program_.dynamic_shared_offset = aligned(program_.shared_bytes, dynamic_alignment);
    for (const Variable& variable : entry_.shared)
      if (variable.bytes == 0) symbols_[variable.name] = program_.dynamic_shared_offset;
    for (const Variable& parameter : entry_.parameters) {
      const std::size_t offset = aligned(program_.parameter_bytes, parameter.alignment);
      symbols_[parameter.name] = offset;
      program_.parameter_offsets.push_back(offset);
      program_.parameter_bytes = offset + parameter.bytes;
    }
  }

  std::uint32_t new_row(std::size_t bytes) {
    const std::uint32_t row = program_.row_bytes;
    program_.row_bytes += static_cast<std::uint32_t>(bytes * warp_lanes);
    return row;
  }
  std::uint32_t constant(std::size_t bytes, std::uint64_t value) {
    const auto [known, added] = constants_.try_emplace({bytes, value});
    if (added) {
      known->second = new_row(bytes);
      program_.constants.push_back({known->second, bytes, value});
    }
    return known->second;
  }

  // b32 of %r17 or %tmp; empty if it wasn't declared.
  std::string type_of(const std::string& name) const {
    auto found = entry_.registers.find(name);
    if (found == entry_.registers.end())
      found = entry_.registers.find(name.substr(0, name.find_last_not_of("0123456789") + 1));
    return found == entry_.registers.end() ? "" : found->second;
  }
  // A letter as in Known::operands; 0 if it is no register.
  char letter_of(const std::string& name) const {
    const std::string type = type_of(name);
    if (type == "pred") return 'p';
    return type.ends_with("16") ? 'h' : type.ends_with("32") ? 'w' : type.ends_with("64") ? 'd' : '\0';
  }
  std::uint32_t of_register(const std::string& name) {
    const auto [known, added] = registers_.try_emplace(name);
    if (added) {
      const char letter = letter_of(name);
      known->second = letter == 'p' ? program_.predicates++ : new_row(bytes_of(letter));
    }
    return known->second;
  }

  static bool is_special(const std::string& name) {
    for (const char* group : {"%tid.", "%ntid.", "%ctaid.", "%nctaid."})
      if (name.starts_with(group)) return true;
    return false;
  }

  bool fits(const Operand& operand, char letter) const {
    if (operand.address || letter == 'a')
      return operand.address && letter == 'a' &&
             (letter_of(operand.text) == 'w' || letter_of(operand.text) == 'd' ||
              symbols_.contains(operand.text));
    if (letter == 't') return entry_.labels.contains(operand.text);
    if (const char own = letter_of(operand.text)) return own == (letter == 'm' ? 'w' : letter);
    const std::optional<std::uint64_t> value = number(operand.text);
    if (letter == 'p') return value == 0 || value == ~std::uint64_t{0};
    if (letter == 'b') return value.has_value();
    return value || (letter == 'w' && is_special(operand.text)) ||
           ((letter == 'w' || letter == 'd') && symbols_.contains(operand.text));
  }
  bool fits(const Statement& statement, const Known& known) const {
    if (statement.operands.size() != known.operands.size()) return false;
    for (std::size_t i = 0; i < known.operands.size(); ++i)
      if (!fits(statement.operands[i], known.operands[i])) return false;
    return true;
  }

  std::uint32_t value_of(const std::string& text, char letter) {
    if (letter_of(text)) return of_register(text);
    if (letter == 'p') return *number(text) == 0 ? Program::never : Program::always;
    if (is_special(text)) {
      const auto [known, added] = registers_.try_emplace(text);
      if (added) {
        known->second = new_row(bytes_of(letter));
        program_.specials.push_back({known->second, text});
      }
      return known->second;
    }
    const auto symbol = symbols_.find(text);
    return constant(bytes_of(letter), symbol != symbols_.end() ? symbol->second : *number(text));
  }

  Instruction decode(const Statement& statement) {
    const auto [first, last] = instruction_set().equal_range(statement.opcode);
    auto known = first;
    while (known != last && !fits(statement, known->second)) ++known;
    if (known == last || (!statement.guard.empty() && letter_of(statement.guard) != 'p'))
      throw Fault(Fault::Kind::unknown_instruction,
                  entry_.name + ", line " + std::to_string(statement.line) + ": the instruction " +
                      written(statement) +
                      (first == last ? " isn't known" : " isn't known with these operands"));
    const std::string& letters = known->second.operands;
    Instruction made;
    made.index = static_cast<std::uint32_t>(program_.code.size());
    made.handler = known->second.handler;
    made.flow = known->second.flow;
    made.reduction = known->second.reduction;
    if (!statement.guard.empty()) {
      made.guard = of_register(statement.guard);
      made.guard_flip = statement.guard_negated ? all_lanes : 0;
    }
    unsigned addresses = 0;
    for (std::size_t i = 0; i < letters.size(); ++i) {
      const Operand& operand = statement.operands[i];
      switch (letters[i]) {
        case 't':
          made.target = static_cast<std::uint32_t>(entry_.labels.at(operand.text));
          break;
        case 'b':
          made.target = static_cast<std::uint32_t>(*number(operand.text));
          break;
        case 'a':
          made.wide_address[addresses] = letter_of(operand.text) != 'w';
          made.offset[addresses++] = operand.offset;
          made.at[i] = value_of(operand.text, letter_of(operand.text) == 'w' ? 'w' : 'd');
          break;
        default:
          made.at[i] = value_of(operand.text, letters[i]);
      }
      if (letters[i] == 'm') made.members = made.at[i];
    }
    if (perturbation_ != nullptr && statement.opcode == perturbation_->opcode) {
      made.unperturbed = std::exchange(made.handler, &perturb);
      made.perturbation = perturbation_;
      made.result_bytes = bytes_of(letters[0]);
    }
    return made;
  }

  const Entry& entry_;
  Perturbation* perturbation_;
  Program program_;
  std::map<std::string, std::uint32_t> registers_;  // a row, or a predicate's index
  std::map<std::string, std::uint64_t> symbols_;    // offsets in shared memory or among the parameters
  std::map<std::pair<std::size_t, std::uint64_t>, std::uint32_t> constants_;
};

}  // namespace

std::string written(const Statement& statement) {
  std::string text = statement.opcode;
  for (const Operand& operand : statement.operands) {
    text += &operand == statement.operands.data() ? " " : ", ";
    text += operand.address ? "[" + operand.text + "+" + std::to_string(operand.offset) + "]" : operand.text;
  }
  return text;
}

Program decode(const Entry& entry, Perturbation* perturbation) {
  return Decoder(entry, perturbation).program();
}

}  // namespace lanner::ptx
