// A file that grows at its end and is synced: every failure is a std::system_error naming the path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace lanner::host {

class DurableFile {
 public:
  DurableFile() = default;
  enum class Open { create_new, create_or_keep, truncate };
  DurableFile(std::filesystem::path path, Open how);
  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&& other) noexcept;
  ~DurableFile();

  explicit operator bool() const { return descriptor_ >= 0; }
  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  /// At the end. After a failure size() still says where whole writes ended.
  void append(std::string_view bytes);
  void cut(std::uint64_t size);
  /// fdatasync, if something was written since the last. Once that has failed the kernel may have dropped
  /// what it had: every later call fails too.
  void sync();
  void close();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  bool dirty_ = false;
  int sync_error_ = 0;
};

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view what, int error);
std::string read_whole(const std::filesystem::path& path);
/// Makes creations, renames and removals in it durable.
void sync_directory(const std::filesystem::path& directory);

/// Held while it lives: one process to a directory. Throws std::runtime_error where another has it.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::filesystem::path& directory);
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  int descriptor_;
};

}  // namespace lanner::host
