#include "tests/cuda/ptx_executor/fat_binary.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace lanner::ptx {
namespace {

struct Wrapper {  // fatbinary_section.h
  std::uint32_t magic, version;
  const std::byte* data;
  const void* unused;
};
struct Header {
  std::uint32_t magic;
  std::uint16_t version, header_bytes;
  std::uint64_t bytes;  // that follow
};
struct Image {
  std::uint16_t kind, version;
  std::uint32_t header_bytes;
  std::uint64_t bytes;  // that follow
};

constexpr std::uint32_t wrapper_magic = 0x466243B1, header_magic = 0xBA55ED50;
constexpr std::uint16_t kind_ptx = 1;

template <class T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

std::vector<std::string_view> ptx_texts(const void* wrapper) {
  const auto wrapped = read<Wrapper>(static_cast<const std::byte*>(wrapper));
  if (wrapped.magic != wrapper_magic) throw std::runtime_error("no fat binary");
  const auto header = read<Header>(wrapped.data);
  if (header.magic != header_magic) throw std::runtime_error("no fat binary in the wrapper");
  std::vector<std::string_view> texts;
  const std::byte* at = wrapped.data + header.header_bytes;
  const std::byte* const end = at + header.bytes;
  while (at < end) {
    const auto image = read<Image>(at);
    const std::string_view text(reinterpret_cast<const char*>(at + image.header_bytes), image.bytes);
    if (image.kind != kind_ptx || text.substr(0, 400).find(".version") == std::string_view::npos)
      throw std::runtime_error("an image of the fat binary is machine code or compressed, allowed PTX text");
    texts.push_back(text.substr(0, text.find_last_not_of('\0') + 1));
    at += image.header_bytes + image.bytes;
  }
  return texts;
}

}  // namespace lanner::ptx
