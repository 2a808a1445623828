// Named settings: stated once as a table, from which --set, YAML, Python keyword arguments, validation and
// the reference documentation are all made.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lanner::engine {

/// count_or_share: a whole number of at least 1, or a share of the rows strictly between 0 and 1 (`k: 0.1`);
/// `most` bounds the number. text: a name or the like, any but an empty one.
enum class Kind { boolean, integer, number, word, integers, count_or_share, text };

/// One setting. `words` lists the words it may take: all it may take for Kind::word, and for the other kinds
/// words allowed beside values (such as "auto").
struct Parameter {
  std::string_view name;
  Kind kind;
  std::string_view fallback;  ///< the default, as a user would write it
  std::string_view summary;
  std::vector<std::string_view> words = {};
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
};

/// What a parameter may be, for error messages and documentation: "a whole number from 1 to 1000000, or
/// auto".
std::string allowed(const Parameter&);

/// One thing wrong with a setting: `name: found X, allowed Y`, with the nearest known name where the name is
/// unknown, and the nearest word where the value is an unknown word.
struct SettingError {
  std::string name, found, allowed, nearest;
  std::string text() const;
};

class InvalidSettings : public std::invalid_argument {
 public:
  explicit InvalidSettings(std::vector<SettingError> errors);
  const std::vector<SettingError>& errors() const { return errors_; }

 private:
  std::vector<SettingError> errors_;
};

/// The name of `names` that is closest to `wrong` by edit distance; empty if none is close.
std::string nearest_name(std::string_view wrong, std::span<const std::string_view> names);

/// Settings checked against a table, defaults filled in. The accessors throw std::logic_error for a name or
/// kind that the table doesn't have (that is our fault, never the user's).
class Settings {
 public:
  /// `given`: name -> value as text. Throws InvalidSettings with every error there is.
  static Settings parse(std::span<const Parameter> table, const std::map<std::string, std::string>& given);
  /// The same, collecting errors instead of throwing.
  static std::vector<SettingError> check(std::span<const Parameter> table,
                                         const std::map<std::string, std::string>& given);

  bool boolean(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  /// Kind::number, or Kind::count_or_share: a value below 1 is the share.
  double number(std::string_view name) const;
  /// Kind::word or Kind::text.
  std::string_view word(std::string_view name) const;
  std::vector<std::int64_t> integers(std::string_view name) const;
  /// Whether the value is this word ("auto").
  bool is(std::string_view name, std::string_view word) const;

  /// Every setting with its value in canonical text, defaults included: what a model file records.
  const std::map<std::string, std::string>& values() const { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace lanner::engine
