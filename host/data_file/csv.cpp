#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <memory>
#include <unordered_set>

#include "host/data_file/readers.hpp"
#include "host/decode/time_text.hpp"

namespace lanner::host {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool stands_for_missing(std::string_view text) {
  return text.empty() || text == "NA" || text == "N/A" || text == "null" || text == "None";
}

/// NaN where the cell is missing; false: not a number.
bool parse_number(std::string_view cell, double& out) {
  cell = trimmed(cell);
  if (stands_for_missing(cell)) {
    out = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  if (cell.front() == '+' && cell.size() > 1 && cell[1] != '-' && cell[1] != '+') cell.remove_prefix(1);
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), out);
  if (end != cell.data() + cell.size() || error == std::errc::invalid_argument) return false;
  if (error == std::errc::result_out_of_range) out = std::strtod(std::string(cell).c_str(), nullptr);
  return true;
}

/// Cells of one row after another. A cell is borrowed from the text, or from the scanner if it had escaped
/// quotes.
class Scanner {
 public:
  Scanner(const std::filesystem::path& path, std::string_view text) : path_(path), text_(text) {}

  std::size_t line() const { return row_line_; }

  /// The next row that isn't empty; false: there is none.
  bool next(std::vector<std::string_view>& cells) {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) {
      line_ += text_[at_] == '\n';
      ++at_;
    }
    if (at_ == text_.size()) return false;
    row_line_ = line_;
    cells.clear();
    unquoted_used_ = 0;
    for (;;) {
      cells.push_back(cell());
      if (at_ == text_.size()) return true;
      const char end = text_[at_++];
      if (end == ',') continue;
      if (end == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
      ++line_;
      return true;
    }
  }

 private:
  std::string_view cell() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string_view quoted() {
    const std::size_t opened = line_, begin = ++at_;
    bool is_escaped = false;
    for (;; ++at_) {
      if (at_ == text_.size()) invalid(path_, opened, "a quote is opened and never closed");
      line_ += text_[at_] == '\n';
      if (text_[at_] != '"') continue;
      if (at_ + 1 == text_.size() || text_[at_ + 1] != '"') break;
      is_escaped = true;
      ++at_;
    }
    const std::string_view raw = text_.substr(begin, at_ - begin);
    ++at_;
    if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r')
      invalid(path_, line_, "text after a closing quote, allowed a comma or the line's end");
    if (!is_escaped) return raw;
    if (unquoted_used_ == unquoted_.size()) unquoted_.push_back(std::make_unique<std::string>());
    std::string& out = *unquoted_[unquoted_used_++];
    out.clear();
    for (std::size_t i = 0; i < raw.size(); ++i) {
      out.push_back(raw[i]);
      if (raw[i] == '"') ++i;
    }
    return out;
  }

  const std::filesystem::path& path_;
  std::string_view text_;
  std::size_t at_ = 0, line_ = 1, row_line_ = 1;
  std::vector<std::unique_ptr<std::string>> unquoted_;
  std::size_t unquoted_used_ = 0;
};

std::size_t first_line_that_is_not_utf8(std::string_view text) {
  std::size_t line = 1;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find('\n'));
    if (!simdjson::validate_utf8(one.data(), one.size())) return line;
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    ++line;
  }
  return line;
}

enum class Use { number, text, none };

struct ColumnPlan {
  Use use = Use::number;
  bool entity = false, id = false, stays = true;
};

}  // namespace

DataFile read_csv(const std::filesystem::path& path, std::string_view bytes, const ReadOptions& options) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  if (!simdjson::validate_utf8(bytes.data(), bytes.size()))
    invalid(path, first_line_that_is_not_utf8(bytes), "not UTF-8");
  std::vector<std::string_view> cells;
  Scanner scan(path, bytes);
  if (!scan.next(cells)) invalid(path, 1, "empty, allowed a header row and rows");
  std::vector<std::string> names;
  std::unordered_set<std::string_view> seen;
  for (const std::string_view cell : cells) {
    const std::string_view name = trimmed(cell);
    if (name.empty())
      invalid(path, scan.line(),
              fmt::format("column {} has no name (pandas: to_csv(..., index=False))", names.size() + 1));
    if (!seen.insert(name).second)
      invalid(path, scan.line(), fmt::format("two columns are called '{}'", name));
    names.emplace_back(name);
  }
  require_columns(path, options, names);

  const std::size_t width = names.size();
  std::vector<ColumnPlan> plans(width);
  std::vector<engine::Column> columns(width);
  for (std::size_t c = 0; c < width; ++c) {
    ColumnPlan& plan = plans[c];
    plan.stays = stays_field(options, names[c]);
    plan.entity = names[c] == options.entity;
    plan.id = names[c] == options.id;
    if (is_expected_text(options, names[c])) plan.use = Use::text;
    if (!plan.stays) plan.use = Use::none;
  }

  DataFile out;
  out.schema.entity = options.entity;
  out.schema.time = options.time;
  out.schema.id = options.id;
  std::size_t rows = 0;
  bool any_text = false;
  while (scan.next(cells)) {
    if (cells.size() != width)
      invalid(path, scan.line(),
              fmt::format("found {} cells, allowed {}, as the header has", cells.size(), width));
    for (std::size_t c = 0; c < width; ++c) {
      const std::string_view cell = cells[c];
      if (plans[c].entity) out.records.entity.push_back(cell);
      if (plans[c].id) out.records.id.push_back(cell);
      if (names[c] == options.label) {
        double number;
        int label;
        if (!parse_number(cell, number) || !to_label(number, label))
          invalid(path, scan.line(),
                  fmt::format("{}: found '{}', allowed whole numbers as labels", names[c], cell));
        out.labels.push_back(label);
      }
      if (names[c] == options.time) {
        const std::string_view text = trimmed(cell);
        std::int64_t time = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), time);
        if (error != std::errc() || end != text.data() + text.size()) {
          const auto parsed = parse_time(text);
          if (!parsed)
            invalid(
                path, scan.line(),
                fmt::format("{}: found '{}', allowed integer nanoseconds or ISO 8601 (2026-09-21T12:00:00Z)",
                            names[c], cell));
          time = *parsed;
        }
        out.records.time.push_back(time);
      }
      if (plans[c].use == Use::number) {
        double number;
        if (parse_number(cell, number)) {
          columns[c].numbers.push_back(number);
        } else {
          plans[c].use = Use::text;
          columns[c].numbers = {};
        }
      }
      any_text |= plans[c].use == Use::text;
    }
    ++rows;
  }
  // What turned out to be text is known only now: a second look takes it from the first row on.
  if (any_text) {
    Scanner again(path, bytes);
    again.next(cells);
    while (again.next(cells)) {
      for (std::size_t c = 0; c < width; ++c) {
        if (plans[c].use != Use::text) continue;
        columns[c].texts.push_back(cells[c]);
        columns[c].missing.push_back(cells[c].empty());
      }
    }
  }
  out.records.count = rows;
  for (std::size_t c = 0; c < width; ++c) {
    if (!plans[c].stays) continue;
    out.schema.fields.push_back(
        {names[c], plans[c].use == Use::text ? engine::ColumnKind::text : engine::ColumnKind::number});
    out.records.columns.push_back(std::move(columns[c]));
  }
  return out;
}

}  // namespace lanner::host
