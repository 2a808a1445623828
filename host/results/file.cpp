#include "host/results/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace lanner::host {

void fail(const std::filesystem::path& path, std::string_view what, int error) {
  throw std::system_error(error, std::generic_category(), path.string().append(": ").append(what));
}

DurableFile::DurableFile(std::filesystem::path path, Open how) : path_(std::move(path)) {
  const int flags = O_RDWR | O_CLOEXEC | O_CREAT |
                    (how == Open::create_new ? O_EXCL
                     : how == Open::truncate ? O_TRUNC
                                             : 0);
  descriptor_ = ::open(path_.c_str(), flags, 0666);
  if (descriptor_ < 0) fail(path_, "can't open for writing", errno);
  struct stat status;
  if (::fstat(descriptor_, &status) != 0) {
    const int error = errno;
    close();
    fail(path_, "can't read its size", error);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

DurableFile::DurableFile(DurableFile&& other) noexcept {
  *this = std::move(other);
}

DurableFile& DurableFile::operator=(DurableFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(dirty_, other.dirty_);
  std::swap(sync_error_, other.sync_error_);
  return *this;
}

DurableFile::~DurableFile() {
  close();
}

void DurableFile::append(std::string_view bytes) {
  std::uint64_t at = size_;
  while (!bytes.empty()) {
    dirty_ = true;
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_, "can't write", errno);
    at += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  size_ = at;
}

void DurableFile::cut(std::uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) fail(path_, "can't cut", errno);
  size_ = size;
  dirty_ = true;
}

void DurableFile::sync() {
  if (sync_error_ != 0) fail(path_, "an earlier sync failed", sync_error_);
  if (!dirty_) return;
  if (::fdatasync(descriptor_) != 0) {
    sync_error_ = errno;
    fail(path_, "can't sync", sync_error_);
  }
  dirty_ = false;
}

void DurableFile::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

std::string read_whole(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, "can't open", errno);
  std::string bytes;
  for (;;) {
    constexpr std::size_t kStep = 1u << 20;
    const std::size_t had = bytes.size();
    bytes.resize(had + kStep);
    const ssize_t got = ::read(descriptor, bytes.data() + had, kStep);
    const int error = errno;
    bytes.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && error == EINTR) continue;
    if (got <= 0) {
      ::close(descriptor);
      if (got < 0) fail(path, "can't read", error);
      return bytes;
    }
  }
}

void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(directory, "can't open", errno);
  const int result = ::fsync(descriptor), error = errno;
  ::close(descriptor);
  if (result != 0) fail(directory, "can't sync", error);
}

DirectoryLock::DirectoryLock(const std::filesystem::path& directory)
    : descriptor_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail(directory, "can't open", errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(descriptor_);
    if (error == EWOULDBLOCK)
      throw std::runtime_error(directory.string() + ": another process writes its results here");
    fail(directory, "can't lock", error);
  }
}

DirectoryLock::~DirectoryLock() {
  ::close(descriptor_);
}

}  // namespace lanner::host
