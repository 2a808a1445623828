// The safetensors container: writing it, and reading it back. Little-endian, like every machine this runs on.
#include "engine/model_file/tensors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/model_file/header.hpp"

namespace lanner::engine {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::size_t length_bytes = 8;
// The reference implementation's bound: a header beyond it is refused before anything is read into memory.
constexpr std::size_t header_bytes_max = 100'000'000;
constexpr std::string_view metadata_name = "__metadata__";

template <class T>
std::vector<T> copy(const std::vector<std::byte>& bytes, std::size_t begin, std::size_t end) {
  std::vector<T> out((end - begin) / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), bytes.data() + begin, end - begin);
  return out;
}

struct Container {
  model_file::Header header;
  std::size_t data_begin;
};

Container read_container(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < length_bytes) throw InvalidModel("model file: shorter than its first 8 bytes");
  std::memcpy(&length, bytes.data(), length_bytes);
  if (length > header_bytes_max || length > bytes.size() - length_bytes)
    throw InvalidModel("model file: the header is longer than the file, or than 100 MB");
  const std::size_t data_begin = length_bytes + length;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + length_bytes, length);
  return {model_file::parse_header(text, bytes.size() - data_begin), data_begin};
}

void check_text(std::string_view text, const char* what) {
  try {
    nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw std::invalid_argument(std::string(what) + " isn't valid UTF-8");
  }
}

}  // namespace

void TensorWriter::add_bytes(std::string_view name, std::string type, std::vector<std::size_t> shape,
                             std::span<const std::byte> data, std::size_t item) {
  check_text(name, "a tensor's name");
  std::size_t bytes = item;
  bool fits = true;
  for (const std::size_t extent : shape) fits = fits && !__builtin_mul_overflow(bytes, extent, &bytes);
  if (!fits || bytes != data.size())
    throw std::invalid_argument("tensor '" + std::string(name) +
                                "': the shape doesn't multiply to the data's size");
  if (name == metadata_name || tensors_.contains(name))
    throw std::invalid_argument("tensor '" + std::string(name) + "': the name is taken");
  tensors_.emplace(name, Tensor{std::move(type), std::move(shape), {data.begin(), data.end()}});
}

void TensorWriter::add(std::string_view name, std::vector<std::size_t> shape, std::span<const float> data) {
  add_bytes(name, "F32", std::move(shape), std::as_bytes(data), sizeof(float));
}
void TensorWriter::add(std::string_view name, std::vector<std::size_t> shape, std::span<const double> data) {
  add_bytes(name, "F64", std::move(shape), std::as_bytes(data), sizeof(double));
}
void TensorWriter::add(std::string_view name, std::vector<std::size_t> shape,
                       std::span<const std::uint32_t> data) {
  add_bytes(name, "U32", std::move(shape), std::as_bytes(data), sizeof(std::uint32_t));
}
void TensorWriter::add(std::string_view name, std::vector<std::size_t> shape,
                       std::span<const std::int64_t> data) {
  add_bytes(name, "I64", std::move(shape), std::as_bytes(data), sizeof(std::int64_t));
}

void TensorWriter::metadata(std::string_view key, std::string_view value) {
  check_text(key, "a metadata key");
  check_text(value, "a metadata value");
  if (!metadata_.emplace(key, value).second)
    throw std::invalid_argument("metadata '" + std::string(key) + "': the key is taken");
}

void TensorWriter::add_section(std::string_view name, const TensorWriter& section) {
  const std::string prefix = std::string(name) + ".";
  for (const auto& [key, tensor] : section.tensors_)
    if (!tensors_.emplace(prefix + key, tensor).second)
      throw std::invalid_argument("tensor '" + prefix + key + "': the name is taken");
  for (const auto& [key, value] : section.metadata_) metadata(prefix + key, value);
}

std::vector<std::byte> TensorWriter::bytes() const {
  // Holes aren't allowed between tensors, so that wide items first is what keeps every tensor aligned.
  std::vector<std::pair<const std::string*, const Tensor*>> order;
  for (const auto& [name, tensor] : tensors_) order.emplace_back(&name, &tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return model_file::item_bytes(a.second->type) > model_file::item_bytes(b.second->type);
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata_.empty()) header[metadata_name] = metadata_;
  std::size_t data_bytes = 0;
  for (const auto& [name, tensor] : order) {
    const std::size_t end = data_bytes + tensor->data.size();
    header[*name] = {{"dtype", tensor->type}, {"shape", tensor->shape}, {"data_offsets", {data_bytes, end}}};
    data_bytes = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > header_bytes_max)
    throw std::invalid_argument("the model file's header would be too long");

  std::vector<std::byte> out(length_bytes + text.size() + data_bytes);
  const std::uint64_t length = text.size();
  std::memcpy(out.data(), &length, length_bytes);
  std::memcpy(out.data() + length_bytes, text.data(), text.size());
  std::byte* to = out.data() + length_bytes + text.size();
  for (const auto& [name, tensor] : order) to = std::copy(tensor->data.begin(), tensor->data.end(), to);
  return out;
}

TensorReader::TensorReader(std::vector<std::byte> all)
    : bytes_(std::make_shared<const std::vector<std::byte>>(std::move(all))) {
  auto [header, data_begin] = read_container(*bytes_);
  data_begin_ = data_begin;
  metadata_ = std::move(header.metadata);
  for (auto& [name, tensor] : header.tensors)
    tensors_.emplace(name, Tensor{std::move(tensor.type), std::move(tensor.shape), tensor.begin, tensor.end});
}

const TensorReader::Tensor& TensorReader::tensor(std::string_view name, std::string_view type) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw InvalidModel("model file: no tensor '" + std::string(name) + "'");
  if (!type.empty() && found->second.type != type)
    throw InvalidModel("model file: tensor '" + std::string(name) + "' is " + found->second.type +
                       ", expected " + std::string(type));
  return found->second;
}

bool TensorReader::has(std::string_view name) const {
  return tensors_.contains(name);
}
const std::vector<std::size_t>& TensorReader::shape(std::string_view name) const {
  return tensor(name, {}).shape;
}

std::vector<float> TensorReader::floats(std::string_view name) const {
  const Tensor& found = tensor(name, "F32");
  return copy<float>(*bytes_, data_begin_ + found.begin, data_begin_ + found.end);
}
std::vector<double> TensorReader::doubles(std::string_view name) const {
  const Tensor& found = tensor(name, "F64");
  return copy<double>(*bytes_, data_begin_ + found.begin, data_begin_ + found.end);
}
std::vector<std::uint32_t> TensorReader::unsigned_integers(std::string_view name) const {
  const Tensor& found = tensor(name, "U32");
  return copy<std::uint32_t>(*bytes_, data_begin_ + found.begin, data_begin_ + found.end);
}
std::vector<std::int64_t> TensorReader::integers(std::string_view name) const {
  const Tensor& found = tensor(name, "I64");
  return copy<std::int64_t>(*bytes_, data_begin_ + found.begin, data_begin_ + found.end);
}

const std::string& TensorReader::metadata(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) throw InvalidModel("model file: no metadata '" + std::string(key) + "'");
  return found->second;
}
bool TensorReader::has_metadata(std::string_view key) const {
  return metadata_.contains(key);
}

std::map<std::string, std::string> TensorReader::metadata_map(std::string_view key) const {
  const auto json = nlohmann::json::parse(metadata(key), nullptr, false);
  std::map<std::string, std::string> map;
  if (!json.is_object()) throw InvalidModel(std::string(key) + ": found no JSON object");
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) throw InvalidModel(std::string(key) + "." + name + ": found no text");
    map[name] = value.get<std::string>();
  }
  return map;
}

std::string metadata_of(std::span<const std::byte> file, std::string_view key) {
  try {
    const auto header = read_container(file).header;
    const auto found = header.metadata.find(key);
    return found == header.metadata.end() ? std::string() : found->second;
  } catch (const InvalidModel&) {
    return {};
  }
}

TensorReader TensorReader::section(std::string_view name) const {
  const std::string prefix = std::string(name) + ".";
  TensorReader section;
  section.bytes_ = bytes_;
  section.data_begin_ = data_begin_;
  const auto cut = [&](const auto& from, auto& to) {
    for (auto at = from.lower_bound(prefix); at != from.end() && at->first.starts_with(prefix); ++at)
      to.emplace(at->first.substr(prefix.size()), at->second);
  };
  cut(tensors_, section.tensors_);
  cut(metadata_, section.metadata_);
  return section;
}

}  // namespace lanner::engine
