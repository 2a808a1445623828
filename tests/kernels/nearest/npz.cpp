#include "tests/kernels/nearest/npz.hpp"

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>

namespace lanner::test {
namespace {

template <class T>
T read_at(const std::string& bytes, std::size_t at) {
  if (at + sizeof(T) > bytes.size()) throw std::runtime_error("npz: cut short");
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::string inflated(const std::string& packed, std::size_t size) {
  std::string out(size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::runtime_error("npz: zlib");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("npz: broken DEFLATE stream");
  return out;
}

// The entry's bytes, found through the archive's central directory.
std::string entry(const std::string& zip, const std::string& name) {
  std::size_t end = zip.size() < 22 ? std::string::npos : zip.size() - 22;
  while (end != std::string::npos && read_at<std::uint32_t>(zip, end) != 0x06054b50)
    end = end ? end - 1 : std::string::npos;
  if (end == std::string::npos) throw std::runtime_error("npz: not a zip archive");
  const auto count = read_at<std::uint16_t>(zip, end + 10);
  std::size_t at = read_at<std::uint32_t>(zip, end + 16);
  for (int i = 0; i < count; ++i) {
    const auto method = read_at<std::uint16_t>(zip, at + 10);
    const std::size_t packed = read_at<std::uint32_t>(zip, at + 20),
                      size = read_at<std::uint32_t>(zip, at + 24);
    const std::size_t name_size = read_at<std::uint16_t>(zip, at + 28);
    const std::size_t local = read_at<std::uint32_t>(zip, at + 42);
    if (zip.substr(at + 46, name_size) == name) {
      const std::size_t data =
          local + 30 + read_at<std::uint16_t>(zip, local + 26) + read_at<std::uint16_t>(zip, local + 28);
      const std::string bytes = zip.substr(data, packed);
      if (method == 0) return bytes;
      if (method == 8) return inflated(bytes, size);
      throw std::runtime_error("npz: unknown compression");
    }
    at += 46 + name_size + read_at<std::uint16_t>(zip, at + 30) + read_at<std::uint16_t>(zip, at + 32);
  }
  throw std::runtime_error("npz: no " + name);
}

template <class T>
void convert(const std::string& npy, std::size_t at, bool by_column, Matrix& to) {
  to.values.resize(to.rows * to.columns);
  for (std::size_t i = 0; i < to.rows; ++i)
    for (std::size_t j = 0; j < to.columns; ++j)
      to.values[i * to.columns + j] = static_cast<float>(
          read_at<T>(npy, at + sizeof(T) * (by_column ? j * to.rows + i : i * to.columns + j)));
}

}  // namespace

Matrix read_npz(const std::string& path, const std::string& array) {
  std::ifstream file(path, std::ios::binary);
  const std::string zip((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string npy = entry(zip, array + ".npy");
  if (npy.compare(0, 6, "\x93NUMPY") != 0) throw std::runtime_error("npz: not an array");
  const bool first_version = npy[6] == 1;
  const std::size_t header = first_version ? read_at<std::uint16_t>(npy, 8) : read_at<std::uint32_t>(npy, 8);
  const std::size_t data = (first_version ? 10 : 12) + header;
  const std::string description = npy.substr(first_version ? 10 : 12, header);
  std::smatch type, shape;
  if (!std::regex_search(description, type, std::regex("'descr': '([^']+)'")) ||
      !std::regex_search(description, shape, std::regex("'shape': \\((\\d+), (\\d+)\\)")))
    throw std::runtime_error("npz: unexpected header " + description);
  const bool by_column = description.find("'fortran_order': True") != std::string::npos;
  Matrix matrix{std::stoull(shape[1]), std::stoull(shape[2]), {}};
  const std::string kind = type[1];
  if (kind == "<f8")
    convert<double>(npy, data, by_column, matrix);
  else if (kind == "<f4")
    convert<float>(npy, data, by_column, matrix);
  else if (kind == "<i8")
    convert<std::int64_t>(npy, data, by_column, matrix);
  else if (kind == "<i4")
    convert<std::int32_t>(npy, data, by_column, matrix);
  else if (kind == "<i2")
    convert<std::int16_t>(npy, data, by_column, matrix);
  else if (kind == "|i1")
    convert<std::int8_t>(npy, data, by_column, matrix);
  else if (kind == "|u1")
    convert<std::uint8_t>(npy, data, by_column, matrix);
  else
    throw std::runtime_error("npz: unknown type " + kind);
  return matrix;
}

}  // namespace lanner::test
