#include "engine/parameters/parameters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace lanner::engine {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> parse_boolean(std::string_view text) {
  for (std::string_view yes : {"true", "True", "TRUE", "yes", "on"})
    if (text == yes) return true;
  for (std::string_view no : {"false", "False", "FALSE", "no", "off"})
    if (text == no) return false;
  return std::nullopt;
}

// "32,16" as on a command line, "[32, 16]" as in YAML.
std::optional<std::vector<std::int64_t>> parse_integers(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  std::vector<std::int64_t> values;
  for (;;) {
    const std::size_t comma = text.find(',');
    const auto value = parse_integer(trimmed(text.substr(0, comma)));
    if (!value) return std::nullopt;
    values.push_back(*value);
    if (comma == std::string_view::npos) return values;
    text.remove_prefix(comma + 1);
  }
}

std::string text_of(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

// Counts are doubles in the table; a million reads better as 1000000 than as 1e+06.
std::string bound_text(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15)
    return std::to_string(static_cast<long long>(value));
  return text_of(value);
}

std::string range_text(double least, double most) {
  const bool from = std::isfinite(least), to = std::isfinite(most);
  if (from && to) return " from " + bound_text(least) + " to " + bound_text(most);
  if (from) return " of at least " + bound_text(least);
  if (to) return " of at most " + bound_text(most);
  return "";
}

std::string listed(std::span<const std::string_view> names, std::string_view last_joint) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? last_joint : ", ";
    text += names[i];
  }
  return text;
}

bool in_range(const Parameter& parameter, double value) {
  return value >= parameter.least && value <= parameter.most;
}

// The value in canonical text, or nothing where the parameter doesn't allow it.
std::optional<std::string> canonical(const Parameter& parameter, std::string_view given) {
  const std::string_view text = trimmed(given);
  for (std::string_view word : parameter.words)
    if (text == word) return std::string(word);
  switch (parameter.kind) {
    case Kind::word:
      return std::nullopt;
    case Kind::text:
      if (text.empty()) return std::nullopt;
      return std::string(text);
    case Kind::boolean: {
      const auto value = parse_boolean(text);
      if (!value) return std::nullopt;
      return *value ? "true" : "false";
    }
    case Kind::integer: {
      const auto value = parse_integer(text);
      if (!value || !in_range(parameter, static_cast<double>(*value))) return std::nullopt;
      return std::to_string(*value);
    }
    case Kind::number: {
      const auto value = parse_number(text);
      if (!value || !in_range(parameter, *value)) return std::nullopt;
      return text_of(*value);
    }
    case Kind::count_or_share: {
      if (const auto count = parse_integer(text)) {
        if (*count < 1 || static_cast<double>(*count) > parameter.most) return std::nullopt;
        return std::to_string(*count);
      }
      const auto share = parse_number(text);
      if (!share || !(*share > 0 && *share < 1)) return std::nullopt;
      return text_of(*share);
    }
    case Kind::integers: {
      const auto values = parse_integers(text);
      if (!values) return std::nullopt;
      std::string joined;
      for (std::int64_t value : *values) {
        if (!in_range(parameter, static_cast<double>(value))) return std::nullopt;
        if (!joined.empty()) joined += ',';
        joined += std::to_string(value);
      }
      return joined;
    }
  }
  return std::nullopt;
}

// Values come from files and command lines: an error message must stay one readable line.
std::string shown(std::string_view value) {
  constexpr std::size_t shown_max = 80;
  if (trimmed(value).empty()) return "nothing";
  std::string text;
  for (char c : value.substr(0, shown_max))
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (value.size() > shown_max) text += "...";
  return text;
}

std::string joined_texts(const std::vector<SettingError>& errors) {
  std::string text;
  for (const SettingError& error : errors) {
    if (!text.empty()) text += '\n';
    text += error.text();
  }
  return text;
}

std::vector<SettingError> parse_into(std::span<const Parameter> table,
                                     const std::map<std::string, std::string>& given,
                                     std::map<std::string, std::string>& values) {
  std::vector<SettingError> errors;
  for (const Parameter& parameter : table) {
    const auto found = given.find(std::string(parameter.name));
    auto value =
        canonical(parameter, found == given.end() ? parameter.fallback : std::string_view(found->second));
    if (value) {
      values.insert_or_assign(std::string(parameter.name), *std::move(value));
    } else if (found == given.end()) {
      throw std::logic_error("the default of " + std::string(parameter.name) + " is not " +
                             allowed(parameter));
    } else {
      errors.push_back({std::string(parameter.name), shown(found->second), allowed(parameter),
                        nearest_name(trimmed(found->second), parameter.words)});
    }
  }
  std::vector<std::string_view> names;
  for (const Parameter& parameter : table) names.push_back(parameter.name);
  for (const auto& [name, value] : given)
    if (std::find(names.begin(), names.end(), name) == names.end())
      errors.push_back({shown(name), "an unknown setting", names.empty() ? "none" : listed(names, ", "),
                        nearest_name(name, names)});
  return errors;
}

[[noreturn]] void ask_for_what_is_not_there(std::string_view name, std::string_view kind) {
  throw std::logic_error("there is no setting " + std::string(name) + " that is " + std::string(kind));
}

}  // namespace

std::string allowed(const Parameter& parameter) {
  std::string text;
  switch (parameter.kind) {
    case Kind::boolean:
      text = "true or false";
      break;
    case Kind::integer:
      text = "a whole number" + range_text(parameter.least, parameter.most);
      break;
    case Kind::number:
      text = "a number" + range_text(parameter.least, parameter.most);
      break;
    case Kind::word:
      return listed(parameter.words, " or ");
    case Kind::integers:
      text = "whole numbers separated by commas, each" + range_text(parameter.least, parameter.most);
      if (!std::isfinite(parameter.least) && !std::isfinite(parameter.most))
        text = "whole numbers separated by commas";
      break;
    case Kind::count_or_share:
      text =
          "a whole number" + range_text(1, parameter.most) + ", or a share of the rows above 0 and below 1";
      break;
    case Kind::text:
      text = "a name";
      break;
  }
  if (!parameter.words.empty()) text += ", or " + listed(parameter.words, " or ");
  return text;
}

std::string SettingError::text() const {
  std::string text = name + ": found " + found + ", allowed " + allowed;
  if (!nearest.empty()) text += " (nearest: " + nearest + ")";
  return text;
}

InvalidSettings::InvalidSettings(std::vector<SettingError> errors)
    : std::invalid_argument(joined_texts(errors)), errors_(std::move(errors)) {}

Settings Settings::parse(std::span<const Parameter> table, const std::map<std::string, std::string>& given) {
  Settings settings;
  auto errors = parse_into(table, given, settings.values_);
  if (!errors.empty()) throw InvalidSettings(std::move(errors));
  return settings;
}

std::vector<SettingError> Settings::check(std::span<const Parameter> table,
                                          const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> values;
  return parse_into(table, given, values);
}

std::string_view Settings::word(std::string_view name) const {
  const auto found = values_.find(std::string(name));
  if (found == values_.end()) ask_for_what_is_not_there(name, "set");
  return found->second;
}

bool Settings::is(std::string_view name, std::string_view text) const {
  return word(name) == text;
}

bool Settings::boolean(std::string_view name) const {
  const auto value = parse_boolean(word(name));
  if (!value) ask_for_what_is_not_there(name, "true or false");
  return *value;
}

std::int64_t Settings::integer(std::string_view name) const {
  const auto value = parse_integer(word(name));
  if (!value) ask_for_what_is_not_there(name, "a whole number");
  return *value;
}

double Settings::number(std::string_view name) const {
  const auto value = parse_number(word(name));
  if (!value) ask_for_what_is_not_there(name, "a number");
  return *value;
}

std::vector<std::int64_t> Settings::integers(std::string_view name) const {
  auto values = parse_integers(word(name));
  if (!values) ask_for_what_is_not_there(name, "a list of whole numbers");
  return *std::move(values);
}

}  // namespace lanner::engine
