#include "host/machine_metrics/sampler.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <system_error>
#include <utility>

namespace lanner::host::machine {
namespace {

constexpr std::size_t file_bytes_max = 1u << 20;

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The whole file from its beginning; empty where it can't be read (pressure may be switched off:
/// EOPNOTSUPP).
void read_file(int file, std::string& text) {
  text.resize(std::max<std::size_t>(text.capacity(), 4096));
  std::size_t size = 0;
  while (true) {
    const ssize_t got = pread(file, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) size = 0;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
    if (size < text.size()) continue;
    if (size >= file_bytes_max) break;
    text.resize(size * 2);
  }
  text.resize(size);
}

}  // namespace

Sampler::Sampler(std::filesystem::path proc) {
  for (std::size_t f = 0; f < files_.size(); ++f)
    files_[f] = open((proc / proc_paths[f]).c_str(), O_RDONLY | O_CLOEXEC);
  last_ = read();
  last_ns_ = steady_ns();
  for (std::size_t m = 0; m < metric_count; ++m)
    (std::isnan(last_.values[m]) ? absent_ : available_).push_back(m);
  if (!available_.empty()) return;
  for (const int file : files_) {
    if (file >= 0) close(file);
  }
  throw std::system_error(ENOENT, std::generic_category(), proc.string() + ": no metrics");
}

Sampler::~Sampler() {
  for (const int file : files_) {
    if (file >= 0) close(file);
  }
}

Reading Sampler::read() {
  for (std::size_t f = 0; f < files_.size(); ++f) {
    if (files_[f] >= 0) read_file(files_[f], texts_[f]);
  }
  return read_texts(texts_);
}

std::array<double, metric_count> Sampler::sample() {
  const Reading now = read();
  const std::int64_t now_ns = steady_ns();
  const auto result = measure(last_, now, static_cast<double>(now_ns - last_ns_) * 1e-9);
  last_ = now;
  last_ns_ = now_ns;
  return result;
}

}  // namespace lanner::host::machine
