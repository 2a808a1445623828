// Where in a configuration a key stands: looked up when there is a fault to report, so that what was read
// need not carry lines.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <string_view>

#include "host/config/config.hpp"
#include "host/config/quantity.hpp"

namespace lanner::host {
namespace {

struct Place {
  int line;
  std::size_t matched;  ///< characters of the path
};

// The deepest node that the path leads to. Names may have dots in them, so each name that fits is tried.
Place place_of(const YAML::Node& node, std::string_view path, int line) {
  if (!node.Mark().is_null()) line = node.Mark().line + 1;
  Place best{line, 0};
  const auto follow = [&](const YAML::Node& child, std::size_t length, int child_line) {
    if (length < path.size() && path[length] == '.') ++length;
    Place place = place_of(child, path.substr(length), child_line);
    place.matched += length;
    if (place.matched > best.matched) best = place;
  };
  if (node.IsMap()) {
    for (const auto& entry : node) {
      const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
      if (name.empty() || !path.starts_with(name)) continue;
      if (path.size() == name.size() || path[name.size()] == '.' || path[name.size()] == '[')
        follow(entry.second, name.size(), entry.first.Mark().line + 1);
    }
  } else if (node.IsSequence() && path.starts_with('[')) {
    const std::size_t end = std::min(path.find(']'), path.size() - 1);
    std::uint64_t place = 0;
    if (parse_whole(path.substr(1, end - 1), place) && place < node.size())
      follow(node[place], end + 1, best.line);
  }
  return best;
}

std::string without_places(std::string_view path) {
  std::string key;
  bool inside = false;
  for (const char c : path) {
    inside = c == '[' || (inside && c != ']');
    if (!inside && c != ']') key.push_back(c);
  }
  return key;
}

}  // namespace

void locate(std::vector<ConfigError>& errors, const std::filesystem::path& file) {
  if (errors.empty()) return;
  YAML::Node root;
  try {
    root = YAML::LoadFile(file.string());
  } catch (const YAML::Exception&) {  // it was read before: it has changed, or can be read only once
  }
  for (ConfigError& error : errors) {
    if (error.line > 0) continue;
    error.file = file.string();
    error.line = place_of(root, error.key, 1).line;
    error.key = without_places(error.key);
  }
  std::ranges::stable_sort(errors, {}, &ConfigError::line);
}

}  // namespace lanner::host
