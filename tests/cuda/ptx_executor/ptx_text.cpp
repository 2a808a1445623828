#include "tests/cuda/ptx_executor/ptx_text.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <stdexcept>

namespace lanner::ptx {
namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  unsigned line() const { return line_; }
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error("line " + std::to_string(line_) + ": " + what);
  }

  /// The next character that is neither space nor part of a comment; 0 at the end.
  char peek() {
    while (at_ < text_.size()) {
      if (text_.substr(at_, 2) == "//") {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_, 2) == "/*") {
        const std::size_t end = std::min(text_.find("*/", at_), text_.size() - 2) + 2;
        line_ += static_cast<unsigned>(std::count(text_.begin() + at_, text_.begin() + end, '\n'));
        at_ = end;
      } else if (std::isspace(static_cast<unsigned char>(text_[at_]))) {
        line_ += text_[at_++] == '\n';
      } else {
        return text_[at_];
      }
    }
    return 0;
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("found '") + peek() + "', allowed '" + c + "'");
  }
  /// Letters, digits, `_$%.`
  std::string word() {
    peek();
    const std::size_t begin = at_;
    while (at_ < text_.size() && in_word(text_[at_])) ++at_;
    if (begin == at_) fail(std::string("found '") + peek() + "', allowed a word");
    return std::string(text_.substr(begin, at_ - begin));
  }
  std::int64_t number() {
    const bool negative = accept('-');
    const std::string digits = word();
    const bool hexadecimal = digits.starts_with("0x");
    const char* const end = digits.data() + digits.size();
    std::uint64_t value = 0;
    const auto [rest, error] =
        std::from_chars(digits.data() + (hexadecimal ? 2 : 0), end, value, hexadecimal ? 16 : 10);
    if (error != std::errc{} || rest != end) fail("found " + digits + ", allowed a whole number");
    return static_cast<std::int64_t>(negative ? 0 - value : value);
  }
  void skip_to(char c) {
    while (peek() != 0 && peek() != c) ++at_;
    expect(c);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  unsigned line_ = 1;
};

std::size_t bytes_of(const std::string& type, const Reader& reader) {
  const std::size_t digits = type.find_first_of("0123456789");
  const std::string bits = digits == std::string::npos ? "" : type.substr(digits);
  if (bits == "8") return 1;
  if (bits == "16") return 2;
  if (bits == "32") return 4;
  if (bits == "64") return 8;
  reader.fail("found the type " + type + ", allowed one of 8, 16, 32 or 64 bits");
}

/// What follows .param or .shared: `.align 8 .b8 name[368]`, `.u64 .ptr .align 1 name`.
Variable variable(Reader& reader) {
  Variable made;
  std::size_t element = 0;
  for (;;) {
    const std::string word = reader.word();
    if (word == ".align") {
      const auto alignment = static_cast<std::size_t>(reader.number());
      if (element == 0) made.alignment = alignment;  // after .ptr it is said of what is pointed to
    } else if (word == ".ptr" || word == ".global" || word == ".shared") {
      continue;
    } else if (word.starts_with('.')) {
      element = bytes_of(word, reader);
      made.alignment = std::max(made.alignment, element);
    } else {
      made.name = word;
      break;
    }
  }
  std::size_t count = 1;
  if (reader.accept('[')) {
    count = reader.peek() == ']' ? 0 : static_cast<std::size_t>(reader.number());
    reader.expect(']');
  }
  made.bytes = element * count;
  return made;
}

/// What follows .reg: `.b32 %r<17>;` or `.b64 %tmp;`
void declare_registers(Reader& reader, Entry& entry) {
  const std::string type = reader.word().substr(1), name = reader.word();
  if (reader.accept('<')) {
    reader.number();
    reader.expect('>');
  }
  reader.expect(';');
  if (const auto [known, added] = entry.registers.emplace(name, type); !added && known->second != type)
    reader.fail(name + " is declared as " + known->second + " and as " + type);
}

void operand(Reader& reader, std::vector<Operand>& operands) {
  if (reader.accept('{')) {
    do operand(reader, operands);
    while (reader.accept(','));
    reader.expect('}');
    return;
  }
  Operand made;
  made.address = reader.accept('[');
  if (reader.peek() == '-') {
    made.text = std::to_string(reader.number());
  } else {
    made.text = reader.word();
  }
  if (made.address) {
    if (reader.accept('+')) made.offset = reader.number();
    reader.expect(']');
  }
  operands.push_back(made);
  if (reader.accept('|')) operand(reader, operands);
}

void body(Reader& reader, Entry& entry) {
  reader.expect('{');
  for (unsigned depth = 1; depth > 0;) {
    if (reader.accept('{')) {
      ++depth;
      continue;
    }
    if (reader.accept('}')) {
      --depth;
      continue;
    }
    if (reader.accept(';')) continue;
    Statement statement;
    if (reader.accept('@')) {
      statement.guard_negated = reader.accept('!');
      statement.guard = reader.word();
    }
    statement.opcode = reader.word();
    statement.line = reader.line();
    if (statement.opcode == ".reg") {
      declare_registers(reader, entry);
    } else if (statement.opcode == ".shared") {
      entry.shared.push_back(variable(reader));
      reader.expect(';');
    } else if (statement.opcode == ".pragma") {
      reader.skip_to(';');
    } else if (statement.opcode.starts_with('.')) {
      reader.fail("found " + statement.opcode + " in a kernel, allowed .reg, .shared and .pragma");
    } else if (reader.accept(':')) {
      entry.labels.emplace(statement.opcode, entry.statements.size());
    } else if (statement.opcode.find_first_of("%$") != std::string::npos) {
      reader.fail("found " + statement.opcode + ", allowed an instruction");
    } else {
      if (reader.peek() != ';') {
        do operand(reader, statement.operands);
        while (reader.accept(','));
      }
      reader.expect(';');
      entry.statements.push_back(std::move(statement));
    }
  }
}

Entry entry(Reader& reader, const std::vector<Variable>& shared_by_all) {
  Entry made;
  made.name = reader.word();
  made.shared = shared_by_all;
  if (reader.accept('(')) {
    while (!reader.accept(')')) {
      if (const std::string word = reader.word(); word != ".param")
        reader.fail("found " + word + ", allowed .param");
      made.parameters.push_back(variable(reader));
      reader.accept(',');
    }
  }
  while (reader.peek() != '{') {
    const std::string word = reader.word();
    if (word != ".maxntid" && word != ".minnctapersm") reader.fail("found " + word + ", which isn't known");
    unsigned product = 1;
    do product *= static_cast<unsigned>(reader.number());
    while (reader.accept(','));
    if (word == ".maxntid") made.threads_max = product;
  }
  body(reader, made);
  return made;
}

}  // namespace

std::vector<Entry> parse(std::string_view text) {
  Reader reader(text);
  std::vector<Entry> entries;
  std::vector<Variable> shared;
  while (reader.peek() != 0) {
    const std::string word = reader.word();
    if (word == ".version" || word == ".target" || word == ".address_size") {
      reader.word();
    } else if (word == ".entry") {
      entries.push_back(entry(reader, shared));
    } else if (word == ".shared") {
      shared.push_back(variable(reader));
      reader.expect(';');
    } else if (word != ".visible" && word != ".extern" && word != ".weak") {
      reader.fail("found " + word + " outside kernels, allowed .entry and .shared");
    }
  }
  return entries;
}

}  // namespace lanner::ptx
