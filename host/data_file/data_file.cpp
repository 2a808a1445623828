#include "host/data_file/data_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "engine/model_file/tensors.hpp"
#include "host/data_file/readers.hpp"
#include "host/float_text.hpp"

namespace lanner::host {
namespace {

/// A whole file, read rather than mapped: one that shrinks meanwhile is then a short file, not a signal.
class Contents {
 public:
  explicit Contents(const std::filesystem::path& path) {
    // O_NONBLOCK: a pipe that nobody writes to is refused below, not waited for.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) invalid(path, std::strerror(errno));
    struct stat status;
    int error = ::fstat(descriptor, &status) != 0 ? errno : 0;
    const bool is_file = error == 0 && S_ISREG(status.st_mode);
    if (is_file) {
      const auto expected = static_cast<std::size_t>(status.st_size);
      memory_ = std::make_unique_for_overwrite<std::byte[]>(expected);
      while (size_ < expected && error == 0) {
        const ssize_t got = ::read(descriptor, memory_.get() + size_, expected - size_);
        if (got == 0) break;
        if (got > 0) size_ += static_cast<std::size_t>(got);
        if (got < 0 && errno != EINTR) error = errno;
      }
    }
    ::close(descriptor);
    if (error != 0) invalid(path, std::strerror(error));
    if (!is_file) invalid(path, "not a regular file");
  }
  Bytes bytes() const { return {memory_.get(), size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(memory_.get()), size_}; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t size_ = 0;
};

std::string ending(const std::filesystem::path& path) {
  std::string out = path.extension().string();
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

template <class T>
void append_float(std::string& out, T value) {
  char text[float_text_max];
  out.append(text, static_cast<std::size_t>(put_float(text, value) - text));
}

/// What runs out of memory over a file's claims is the file's fault.
template <class Read>
auto within_memory(const std::filesystem::path& path, Read read) {
  try {
    return read();
  } catch (const std::bad_alloc&) {
    invalid(path, "more than this machine's memory holds");
  }
}

template <class T>
void append_value(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

void invalid(const std::filesystem::path& path, std::string_view what) {
  throw InvalidData(fmt::format("{}: {}", path.string(), what));
}

void invalid(const std::filesystem::path& path, std::size_t line, std::string_view what) {
  throw InvalidData(fmt::format("{}:{}: {}", path.string(), line, what));
}

bool to_label(double number, int& out) {
  if (!(std::abs(number) <= 1e9) || number != std::trunc(number)) return false;
  out = static_cast<int>(number);
  return true;
}

bool is_expected_text(const ReadOptions& options, std::string_view name) {
  return options.expected != nullptr &&
         std::any_of(
             options.expected->fields.begin(), options.expected->fields.end(),
             [&](const auto& field) { return field.name == name && field.kind == engine::ColumnKind::text; });
}

bool stays_field(const ReadOptions& options, std::string_view name) {
  if (name == options.label) return false;
  if (name != options.entity && name != options.time && name != options.id) return true;
  return options.expected != nullptr &&
         std::any_of(options.expected->fields.begin(), options.expected->fields.end(),
                     [&](const auto& field) { return field.name == name; });
}

void require_columns(const std::filesystem::path& path, const ReadOptions& options,
                     std::span<const std::string> names) {
  for (const auto& [what, name] : {std::pair<std::string_view, const std::string&>{"label", options.label},
                                   {"entity", options.entity},
                                   {"time", options.time},
                                   {"id", options.id}}) {
    if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) continue;
    constexpr std::size_t kShownMax = 20;
    std::string allowed;
    for (std::size_t i = 0; i < std::min(names.size(), kShownMax); ++i)
      allowed += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > kShownMax) allowed += ", ...";
    invalid(path, fmt::format("{}: found no column '{}', allowed {}", what, name, allowed));
  }
}

DataFile read_data(const std::filesystem::path& given, const ReadOptions& given_options) {
  std::filesystem::path path = given;
  ReadOptions options = given_options;
  // FILE.npz:NAME, unless there is a file of just that name.
  const std::string text = given.string();
  if (const auto colon = text.rfind(".npz:"); colon != text.npos && !std::filesystem::exists(given)) {
    path = text.substr(0, colon + 4);
    options.array = text.substr(colon + 5);
  }
  const std::string kind = ending(path);
  const bool is_arrow = kind == ".arrow" || kind == ".feather";
  if (!is_arrow && kind != ".csv" && kind != ".npy" && kind != ".npz")
    invalid(path,
            fmt::format("found a name that ends in '{}', allowed .csv, .npy, .npz, .arrow, .feather", kind));
  return within_memory(path, [&] {
    const Contents file(path);
    if (kind == ".csv") return read_csv(path, file.text(), options);
    if (kind == ".npy") return read_npy(path, file.bytes(), options);
    if (kind == ".npz") return read_npz(path, file.bytes(), options);
    return read_arrow(path, file.bytes(), options);
  });
}

std::vector<std::int32_t> read_indices(const std::filesystem::path& npz, const std::string& array) {
  return within_memory(npz, [&] {
    const Contents file(npz);
    const Zip zip(npz, file.bytes());
    const Zip::Member* member = zip.find(array + ".npy");
    if (member == nullptr) invalid(npz, fmt::format("no array '{}'", array));
    std::vector<std::int32_t> out;
    for (const std::int64_t index :
         read_npy_integers(fmt::format("{}:{}", npz.string(), array), zip.read(*member))) {
      if (index < 0 || index > std::numeric_limits<std::int32_t>::max())
        invalid(npz, fmt::format("{}: {} is no index", array, index));
      out.push_back(static_cast<std::int32_t>(index));
    }
    return out;
  });
}

void write_scores(const std::filesystem::path& path, std::span<const float> score,
                  std::span<const double> p_value, std::span<const double> threshold,
                  std::span<const std::uint8_t> flag) {
  const std::size_t rows = score.size();
  if (p_value.size() != rows || threshold.size() != rows || flag.size() != rows)
    throw std::invalid_argument("write_scores: spans of unequal length");
  const std::string kind = ending(path);
  std::string out;
  if (kind == ".csv") {
    out.reserve(rows * 48 + 64);
    out = "score,p_value,threshold,flag\n";
    for (std::size_t row = 0; row < rows; ++row) {
      append_float(out, score[row]);
      out.push_back(',');
      append_float(out, p_value[row]);
      out.push_back(',');
      append_float(out, threshold[row]);
      out.push_back(',');
      out += std::to_string(static_cast<unsigned>(flag[row]));
      out.push_back('\n');
    }
  } else if (kind == ".npy") {
    std::string header = fmt::format(
        "{{'descr': [('score', '<f4'), ('p_value', '<f8'), ('threshold', '<f8'), ('flag', '|u1')], "
        "'fortran_order': False, 'shape': ({},), }}",
        rows);
    // NumPy aligns the data to 64 bytes.
    constexpr std::size_t kPrefix = 10, kAlignment = 64;
    header.append((kAlignment - (kPrefix + header.size() + 1) % kAlignment) % kAlignment, ' ');
    header.push_back('\n');
    out.reserve(kPrefix + header.size() + rows * 21);
    out = "\x93NUMPY\x01";
    out.push_back('\0');
    append_value(out, static_cast<std::uint16_t>(header.size()));
    out += header;
    for (std::size_t row = 0; row < rows; ++row) {
      append_value(out, score[row]);
      append_value(out, p_value[row]);
      append_value(out, threshold[row]);
      append_value(out, flag[row]);
    }
  } else {
    invalid(path, fmt::format("found a name that ends in '{}', allowed .csv, .npy", kind));
  }
  engine::write_file(path, std::as_bytes(std::span(out)));
}

}  // namespace lanner::host
