// What lanes know from the events that have passed: their windows or series, and how far their decision rules
// have come. It survives a clean stop in a file of its own, which is taken away at the next start: what a
// crash leaves behind is never taken for it (docs/decisions/009).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/pipeline/routes.hpp"

namespace lanner::host {

/// The state of every lane that has any and whose model is in a file; empty: there is none. Nobody may be
/// using the lanes.
std::string state_of(const Routes&);

/// What became of a lane's state, for the log.
struct Restored {
  std::string text;
  bool whole = false;  ///< nothing that could have gone on begins anew
};

/// Puts back what state_of took, before anybody uses the lanes: windows where stream, name and model are the
/// same, series where stream, field and settings are, a decision rule's state where the rule is too. One
/// entry for each lane that could have state. Whatever the bytes are, the rest begins anew.
std::vector<Restored> restore_state(std::string_view bytes, const Routes&);
/// Likewise, where there are no bytes to restore.
std::vector<Restored> begin_anew(std::string_view reason, const Routes&);

/// <results directory>/state.
class StateFile {
 public:
  explicit StateFile(const std::filesystem::path& directory);
  /// Reads and removes it; nothing: it isn't there. What can't be read is removed too, and empty. Throws
  /// std::system_error where it can't be removed: another start could take it for what it is no more. The
  /// directory is ours, by its lock.
  std::optional<std::string> take() const;
  /// Whole or not at all; empty: none. Locks the directory. Throws std::system_error, std::runtime_error.
  void keep(std::string_view bytes) const;

 private:
  std::filesystem::path directory_, path_;
};

}  // namespace lanner::host
