#include "host/results/journal.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace lanner::host {
namespace {

// A record: mark, bytes of the body, CRC-32 of the body, body. A body: entries of kind, name length, value,
// name.
constexpr std::uint32_t kMark = 0x314A4E4Cu;  // "LNJ1"
constexpr std::size_t kPrefix = 12, kEntry = 11, kBodyMax = 1u << 30;
constexpr std::uint64_t kCompactAt = 16u << 20;  // or four times the state, where that is more
constexpr char kProducer = 'P', kFile = 'F', kForget = 'D';

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T get(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Length of the whole record at `at`; 0: there is none.
std::size_t record_at(std::string_view bytes, std::size_t at) {
  if (bytes.size() - at < kPrefix || get<std::uint32_t>(bytes, at) != kMark) return 0;
  const std::size_t length = get<std::uint32_t>(bytes, at + 4);
  if (length == 0 || length > kBodyMax || length > bytes.size() - at - kPrefix) return 0;
  if (checksum(bytes.substr(at + kPrefix, length)) != get<std::uint32_t>(bytes, at + 8)) return 0;
  return kPrefix + length;
}

std::string_view record(std::string_view body, std::string& out) {
  out.clear();
  put(out, kMark);
  put(out, static_cast<std::uint32_t>(body.size()));
  put(out, checksum(body));
  out.append(body);
  return out;
}

void put_entry(std::string& out, char kind, std::string_view name, std::uint64_t value) {
  out.push_back(kind);
  put(out, static_cast<std::uint16_t>(name.size()));
  put(out, value);
  out.append(name);
}

}  // namespace

Journal::Journal(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code error;
  was_new_ = !std::filesystem::exists(path_, error);
  if (error) fail(path_, "can't look at it", error.value());
  if (!was_new_) {
    const std::string bytes = read_whole(path_);
    const std::size_t end = replay(bytes);
    // A torn last record is what a crash leaves. A whole record after a bad one is damage.
    for (std::size_t at = end; at < bytes.size(); ++at) {
      if (record_at(bytes, at) > 0)
        throw std::runtime_error(
            fmt::format("{}: damaged at byte {}, with whole records after it; restore it, or move the "
                        "directory away to begin anew",
                        path_.string(), end));
    }
  }
  compact();
}

std::size_t Journal::replay(std::string_view bytes) {
  std::size_t at = 0;
  while (const std::size_t length = record_at(bytes, at)) {
    std::string_view body = bytes.substr(at + kPrefix, length - kPrefix);
    while (body.size() >= kEntry) {
      const std::size_t name = get<std::uint16_t>(body, 1);
      if (body.size() - kEntry < name) break;
      apply(body[0], body.substr(kEntry, name), get<std::uint64_t>(body, 3));
      body.remove_prefix(kEntry + name);
    }
    if (!body.empty())
      throw std::runtime_error(fmt::format("{}: byte {}: not a record of this version", path_.string(), at));
    at += length;
  }
  return at;
}

void Journal::apply(char kind, std::string_view name, std::uint64_t value) {
  if (kind == kForget) {
    if (const auto found = files_.find(name); found != files_.end()) files_.erase(found);
    return;
  }
  Positions& positions = kind == kProducer ? producers_ : files_;
  if (const auto found = positions.find(name); found != positions.end()) {
    found->second = value;
  } else {
    positions.emplace(name, value);
  }
}

void Journal::append(char kind, std::string_view name, std::uint64_t value) {
  if (name.size() > 0xFFFF)
    throw std::invalid_argument(fmt::format("{}: a name of {} bytes", path_.string(), name.size()));
  put_entry(pending_, kind, name, value);
  apply(kind, name, value);
}

void Journal::settle(std::string_view producer, std::uint64_t seq) {
  const auto found = producers_.find(producer);
  if (found != producers_.end() && found->second >= seq) return;
  append(kProducer, producer, seq);
}

void Journal::announce(std::string_view file) {
  std::string body;
  put_entry(body, kFile, file, 0);
  file_.append(record(body, record_));
  file_.sync();
  apply(kFile, file, 0);
}

void Journal::extend(std::string_view file, std::uint64_t bytes) {
  append(kFile, file, bytes);
}
void Journal::forget(std::string_view file) {
  append(kForget, file, 0);
}

void Journal::commit() {
  if (pending_.empty()) return;
  file_.append(record(pending_, record_));
  file_.sync();
  pending_.clear();
  if (file_.size() > std::max(kCompactAt, 4 * compacted_bytes_)) compact();
}

void Journal::compact() {
  std::string body;
  for (const auto& [name, seq] : producers_) put_entry(body, kProducer, name, seq);
  for (const auto& [name, bytes] : files_) put_entry(body, kFile, name, bytes);
  const std::filesystem::path fresh = path_.string() + ".new";
  DurableFile file(fresh, DurableFile::Open::truncate);
  if (!body.empty()) file.append(record(body, record_));
  file.sync();
  if (std::error_code error; std::filesystem::rename(fresh, path_, error), error)
    fail(path_, "can't rename into place", error.value());
  sync_directory(path_.parent_path());
  file_ = DurableFile(path_, DurableFile::Open::create_or_keep);
  compacted_bytes_ = file_.size();
  pending_.clear();
}

}  // namespace lanner::host
