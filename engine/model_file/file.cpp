// The file itself: whole, synced, renamed into place; and its hash.
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/model_file/tensors.hpp"

namespace lanner::engine {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* what, int error = errno) {
  throw std::system_error(error, std::generic_category(), path.string() + ": " + what);
}

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0)
      : number_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  bool close() { return number_ < 0 || ::close(std::exchange(number_, -1)) == 0; }
  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

void write_all(const Descriptor& file, const std::filesystem::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.number(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "can't write");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

/// A name that two writers at once don't share: the kernel refuses the second, who takes the next.
std::filesystem::path beside(const std::filesystem::path& path, unsigned attempt) {
  std::string name = ".";
  name += path.filename().string();
  name += '.';
  name += std::to_string(::getpid());
  name += '-';
  name += std::to_string(attempt);
  return path.parent_path() / name;
}

}  // namespace

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest;
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  std::array<char, 2 * crypto_hash_sha256_BYTES + 1> text;
  sodium_bin2hex(text.data(), text.size(), digest.data(), digest.size());
  return std::string("sha256:") + text.data();
}

void write_file(const std::filesystem::path& given, std::span<const std::byte> bytes) {
  // A link stays a link to the file it names; a device or a folder is no place for a rename.
  std::error_code error;
  const auto status = std::filesystem::status(given, error);
  std::filesystem::path path = given;
  if (std::filesystem::exists(status)) {
    if (!std::filesystem::is_regular_file(status)) fail(given, "not a regular file", EINVAL);
    path = std::filesystem::canonical(given);
  }
  constexpr unsigned attempts_max = 1000;
  for (unsigned attempt = 0;; ++attempt) {
    const auto fresh = beside(path, attempt);
    Descriptor file(fresh, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (!file && errno == EEXIST && attempt + 1 < attempts_max) continue;
    if (!file) fail(given, "can't create");
    try {
      write_all(file, given, bytes);
      if (::fsync(file.number()) != 0) fail(given, "can't sync");
      if (!file.close()) fail(given, "can't close");
      if (::rename(fresh.c_str(), path.c_str()) != 0) fail(given, "can't rename into place");
    } catch (...) {
      ::unlink(fresh.c_str());
      throw;
    }
    break;
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  if (!directory || ::fsync(directory.number()) != 0) fail(given, "can't sync its folder");
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);
  if (!file) fail(path, "can't open");
  struct stat about;
  if (::fstat(file.number(), &about) != 0) fail(path, "can't read");
  if (!S_ISREG(about.st_mode)) fail(path, "not a regular file", EINVAL);
  std::vector<std::byte> bytes(static_cast<std::size_t>(about.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.number(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "can't read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace lanner::engine
