// The part of a zip archive that .npz files use
// (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "host/data_file/readers.hpp"

namespace lanner::host {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::size_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56, kCentralSize = 46, kLocalSize = 30;

template <class T>
T get(Bytes bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

bool fits(Bytes bytes, std::uint64_t at, std::uint64_t length) {
  return at <= bytes.size() && length <= bytes.size() - at;
}

/// The Zip64 extra field holds, in this order, only those values that didn't fit.
bool read_zip64(Bytes extra, Zip::Member& member, bool size, bool compressed, bool offset) {
  while (extra.size() >= 4) {
    const auto id = get<std::uint16_t>(extra, 0);
    const std::size_t length = get<std::uint16_t>(extra, 2);
    extra = extra.subspan(4);
    if (length > extra.size()) return false;
    if (id == 0x0001) {
      std::size_t at = 0;
      const auto take = [&](bool wanted, std::uint64_t& out) {
        if (!wanted) return true;
        if (length - at < 8) return false;
        out = get<std::uint64_t>(extra, at);
        at += 8;
        return true;
      };
      return take(size, member.size) && take(compressed, member.compressed) && take(offset, member.offset);
    }
    extra = extra.subspan(length);
  }
  return false;
}

}  // namespace

Zip::Zip(std::filesystem::path path, Bytes bytes) : path_(std::move(path)), bytes_(bytes) {
  // The end record is last, but for a comment of at most 65535 bytes.
  if (bytes.size() < kEndSize) invalid(path_, "not a zip archive");
  std::size_t end = bytes.size() - kEndSize;
  const std::size_t lowest = end > 0xFFFF ? end - 0xFFFF : 0;
  while (get<std::uint32_t>(bytes, end) != kEnd ||
         get<std::uint16_t>(bytes, end + 20) != bytes.size() - end - kEndSize) {
    if (end == lowest) invalid(path_, "not a zip archive, or one that was cut off");
    --end;
  }
  std::uint64_t count = get<std::uint16_t>(bytes, end + 10), length = get<std::uint32_t>(bytes, end + 12),
                at = get<std::uint32_t>(bytes, end + 16);
  if (count == 0xFFFF || length == 0xFFFFFFFF || at == 0xFFFFFFFF) {
    if (end < kLocatorSize || get<std::uint32_t>(bytes, end - kLocatorSize) != kLocator64)
      invalid(path_, "no Zip64 locator where one is needed");
    const auto place = get<std::uint64_t>(bytes, end - kLocatorSize + 8);
    if (!fits(bytes, place, kEnd64Size) || get<std::uint32_t>(bytes, place) != kEnd64)
      invalid(path_, "no Zip64 end record where its locator says");
    count = get<std::uint64_t>(bytes, place + 32);
    length = get<std::uint64_t>(bytes, place + 40);
    at = get<std::uint64_t>(bytes, place + 48);
  }
  if (!fits(bytes, at, length)) invalid(path_, "the archive's directory lies outside the file");
  Bytes directory = bytes.subspan(at, length);
  while (!directory.empty()) {
    if (directory.size() < kCentralSize || get<std::uint32_t>(directory, 0) != kCentral)
      invalid(path_, fmt::format("entry {} of the archive's directory is damaged", members_.size()));
    const std::size_t name = get<std::uint16_t>(directory, 28), extra = get<std::uint16_t>(directory, 30),
                      comment = get<std::uint16_t>(directory, 32);
    if (directory.size() - kCentralSize < name + extra + comment)
      invalid(path_, fmt::format("entry {} of the archive's directory is cut off", members_.size()));
    Member member;
    member.name.assign(reinterpret_cast<const char*>(directory.data()) + kCentralSize, name);
    member.flags = get<std::uint16_t>(directory, 8);
    member.method = get<std::uint16_t>(directory, 10);
    member.checksum = get<std::uint32_t>(directory, 16);
    member.compressed = get<std::uint32_t>(directory, 20);
    member.size = get<std::uint32_t>(directory, 24);
    member.offset = get<std::uint32_t>(directory, 42);
    const bool wide_size = member.size == 0xFFFFFFFF, wide_compressed = member.compressed == 0xFFFFFFFF,
               wide_offset = member.offset == 0xFFFFFFFF;
    if ((wide_size || wide_compressed || wide_offset) &&
        !read_zip64(directory.subspan(kCentralSize + name, extra), member, wide_size, wide_compressed,
                    wide_offset))
      invalid(path_, fmt::format("{}: no Zip64 sizes where they are needed", member.name));
    members_.push_back(std::move(member));
    directory = directory.subspan(kCentralSize + name + extra + comment);
  }
  if (members_.size() != count)
    invalid(path_,
            fmt::format("the archive's directory has {} entries, its end says {}", members_.size(), count));
}

const Zip::Member* Zip::find(std::string_view name) const {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.name == name; });
  return found == members_.end() ? nullptr : &*found;
}

std::vector<std::byte> Zip::read(const Member& member) const {
  const auto fault = [&](std::string_view what) { invalid(path_, fmt::format("{}: {}", member.name, what)); };
  if ((member.flags & 1) != 0) fault("encrypted, allowed plain members");
  if (member.method != 0 && member.method != 8)
    fault(fmt::format("compression method {}, allowed stored, deflated", member.method));
  if (!fits(bytes_, member.offset, kLocalSize) || get<std::uint32_t>(bytes_, member.offset) != kLocal)
    fault("no member where the archive's directory says");
  const std::uint64_t begin = member.offset + kLocalSize + get<std::uint16_t>(bytes_, member.offset + 26) +
                              get<std::uint16_t>(bytes_, member.offset + 28);
  if (!fits(bytes_, begin, member.compressed)) fault("cut off");
  const Bytes packed = bytes_.subspan(begin, member.compressed);
  // Deflate can't shrink more than this: a larger claim is false, and not worth the memory.
  constexpr std::uint64_t kRatioMax = 1032;
  if (member.method == 0 ? member.size != member.compressed : member.size / kRatioMax > member.compressed)
    fault(fmt::format("{} bytes from {}, which can't be", member.size, member.compressed));

  std::vector<std::byte> out(member.size);
  if (member.method == 0) {
    std::copy(packed.begin(), packed.end(), out.begin());
  } else {
    z_stream stream{};
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    constexpr std::size_t kStep = 1u << 30;  // zlib counts in 32 bits
    std::size_t taken = 0, made = 0;
    std::byte none{};
    int result = Z_OK;
    while (result == Z_OK) {
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + taken));
      stream.avail_in = static_cast<uInt>(std::min(packed.size() - taken, kStep));
      stream.next_out = reinterpret_cast<Bytef*>(made < out.size() ? out.data() + made : &none);
      stream.avail_out = static_cast<uInt>(std::min(out.size() - made, kStep));
      const uInt in = stream.avail_in, room = stream.avail_out;
      result = ::inflate(&stream, Z_NO_FLUSH);
      taken += in - stream.avail_in;
      made += room - stream.avail_out;
    }
    ::inflateEnd(&stream);
    if (result != Z_STREAM_END || made != out.size()) fault("its compressed data are damaged");
  }
  if (::crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size()) != member.checksum)
    fault("its checksum doesn't fit its data");
  return out;
}

}  // namespace lanner::host
