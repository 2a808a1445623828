// producers.journal: how far each producer has come, and up to where each results file is whole. One record a
// sync, all or nothing: what a crash left beyond the last record was never acknowledged, and is cut from the
// files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "host/results/file.hpp"

namespace lanner::host {

class Journal {
 public:
  using Positions = std::map<std::string, std::uint64_t, std::less<>>;

  /// Reads it, or begins one; a torn last record is dropped. Throws std::system_error, and std::runtime_error
  /// where a record before the last is damaged: cutting files by an older state would lose what was
  /// acknowledged.
  explicit Journal(std::filesystem::path path);

  const Positions& producers() const { return producers_; }
  /// Bytes of the files that are being written, by name.
  const Positions& files() const { return files_; }
  bool was_new() const { return was_new_; }

  /// A file that is about to be created: on disk at once, and nothing else with it.
  void announce(std::string_view file);
  void settle(std::string_view producer, std::uint64_t seq);
  void extend(std::string_view file, std::uint64_t bytes);
  /// Complete: no longer watched over.
  void forget(std::string_view file);

  /// What was said since the last commit is on disk, together.
  void commit();
  /// The state alone, without its history.
  void compact();

 private:
  void append(char kind, std::string_view name, std::uint64_t value);
  void apply(char kind, std::string_view name, std::uint64_t value);
  std::size_t replay(std::string_view bytes);

  std::filesystem::path path_;
  Positions producers_, files_;
  DurableFile file_;
  std::string pending_, record_;
  std::uint64_t compacted_bytes_ = 0;
  bool was_new_ = false;
};

}  // namespace lanner::host
