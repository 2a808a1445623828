#include "host/arrow/writer.hpp"

#include <cassert>
#include <limits>

#include "ipc_generated.h"

namespace lanner::host::arrow {
namespace {

constexpr std::string_view kBegin("ARROW1\0\0", 8), kEnd("ARROW1", 6);
constexpr std::size_t kAlignment = 8;

std::size_t padded(std::size_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

template <class T>
void append_value(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_padded(std::string& out, Bytes bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  out.append(padded(bytes.size()) - bytes.size(), '\0');
}

flatbuffers::Offset<ipc::Schema> schema(flatbuffers::FlatBufferBuilder& builder,
                                        const std::vector<WrittenField>& fields) {
  std::vector<flatbuffers::Offset<ipc::Field>> built;
  for (const WrittenField& field : fields) {
    ipc::Type type = ipc::Type::NONE;
    flatbuffers::Offset<void> details;
    switch (field.kind) {
      case Kind::integer:
      case Kind::unsigned_integer:
        type = ipc::Type::Int;
        details = ipc::CreateInt(builder, field.bits, field.kind == Kind::integer).Union();
        break;
      case Kind::floating:
        type = ipc::Type::FloatingPoint;
        details = ipc::CreateFloatingPoint(
                      builder, field.bits == 32 ? ipc::Precision::single : ipc::Precision::double_)
                      .Union();
        break;
      case Kind::text:
        type = ipc::Type::Utf8;
        details = ipc::CreateUtf8(builder).Union();
        break;
      case Kind::timestamp:
        type = ipc::Type::Timestamp;
        details =
            ipc::CreateTimestamp(builder, ipc::TimeUnit::nanosecond, builder.CreateString("UTC")).Union();
        break;
      default:
        assert(false && "no such column is written");
    }
    const auto name = builder.CreateString(field.name);
    const auto children = builder.CreateVector(std::vector<flatbuffers::Offset<ipc::Field>>());
    built.push_back(ipc::CreateField(builder, name, field.nullable, type, details, 0, children));
  }
  return ipc::CreateSchema(builder, ipc::Endianness::little, builder.CreateVector(built));
}

/// The message's prefix and metadata; returns how long they are.
std::size_t append_message(std::string& out, flatbuffers::FlatBufferBuilder& builder, ipc::Header kind,
                           flatbuffers::Offset<void> header, std::size_t body_bytes) {
  builder.Finish(
      ipc::CreateMessage(builder, ipc::Version::V5, kind, header, static_cast<std::int64_t>(body_bytes)));
  const std::size_t metadata = padded(builder.GetSize());
  append_value(out, std::uint32_t{0xFFFFFFFFu});
  append_value(out, static_cast<std::int32_t>(metadata));
  append_padded(out,
                Bytes(reinterpret_cast<const std::byte*>(builder.GetBufferPointer()), builder.GetSize()));
  return 8 + metadata;
}

}  // namespace

struct FileWriter::Scratch {
  std::vector<ipc::FieldNode> nodes;
  std::vector<ipc::Buffer> buffers;
  flatbuffers::FlatBufferBuilder builder;
};

FileWriter::FileWriter(std::vector<WrittenField> fields)
    : fields_(std::move(fields)), scratch_(std::make_unique<Scratch>()) {
  places_.reserve(4096);
}
FileWriter::~FileWriter() = default;

void FileWriter::begin(std::string& out) {
  places_.clear();
  const std::size_t before = out.size();
  out.append(kBegin);
  flatbuffers::FlatBufferBuilder builder;
  const auto built = schema(builder, fields_);
  append_message(out, builder, ipc::Header::Schema, built.Union(), 0);
  position_ = out.size() - before;
}

void FileWriter::batch(std::size_t rows, std::span<const WrittenColumn> columns, std::string& out) {
  assert(columns.size() == fields_.size());
  auto& [nodes, buffers, builder] = *scratch_;
  nodes.clear();
  buffers.clear();
  builder.Clear();
  std::size_t body = 0;
  const auto place = [&](Bytes bytes) {
    buffers.emplace_back(static_cast<std::int64_t>(body), static_cast<std::int64_t>(bytes.size()));
    body += padded(bytes.size());
  };
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    const WrittenColumn& column = columns[f];
    nodes.emplace_back(static_cast<std::int64_t>(rows), static_cast<std::int64_t>(column.null_count));
    place(column.null_count > 0 ? column.validity : Bytes());
    if (fields_[f].kind == Kind::text) place(column.offsets);
    place(column.data);
  }
  const auto node_vector = builder.CreateVectorOfStructs(nodes);
  const auto buffer_vector = builder.CreateVectorOfStructs(buffers);
  const auto built =
      ipc::CreateRecordBatch(builder, static_cast<std::int64_t>(rows), node_vector, buffer_vector);
  const std::size_t metadata = append_message(out, builder, ipc::Header::RecordBatch, built.Union(), body);
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    const WrittenColumn& column = columns[f];
    if (column.null_count > 0) append_padded(out, column.validity);
    if (fields_[f].kind == Kind::text) append_padded(out, column.offsets);
    append_padded(out, column.data);
  }
  places_.push_back({static_cast<std::int64_t>(position_), static_cast<std::int32_t>(metadata),
                     static_cast<std::int64_t>(body)});
  position_ += metadata + body;
}

void FileWriter::end(std::string& out) {
  const std::size_t before = out.size();
  append_value(out, std::uint32_t{0xFFFFFFFFu});
  append_value(out, std::int32_t{0});
  flatbuffers::FlatBufferBuilder builder;
  const auto built = schema(builder, fields_);
  std::vector<ipc::Block> blocks;
  for (const Place& place : places_)
    blocks.emplace_back(place.offset, place.metadata_bytes, place.body_bytes);
  const auto batches = builder.CreateVectorOfStructs(blocks);
  const auto dictionaries = builder.CreateVectorOfStructs(std::vector<ipc::Block>());
  builder.Finish(ipc::CreateFooter(builder, ipc::Version::V5, built, dictionaries, batches));
  out.append(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
  append_value(out, static_cast<std::int32_t>(builder.GetSize()));
  out.append(kEnd);
  position_ += out.size() - before;
}

std::size_t FileWriter::resume(Bytes bytes) {
  places_.clear();
  position_ = 0;
  std::string expected;
  FileWriter(fields_).begin(expected);
  if (bytes.size() < expected.size() || std::memcmp(bytes.data(), expected.data(), expected.size()) != 0)
    return 0;
  std::size_t position = expected.size(), whole = position;
  std::vector<std::uint64_t> scratch;
  RawMessage raw;
  std::string reason;
  while (next_message(bytes, position, raw, scratch, reason) == Step::message) {
    if (ipc::GetMessage(raw.metadata.data())->header_as_RecordBatch() == nullptr) break;
    places_.push_back({static_cast<std::int64_t>(raw.begin),
                       static_cast<std::int32_t>(raw.end - raw.begin - raw.body.size()),
                       static_cast<std::int64_t>(raw.body.size())});
    whole = position;
  }
  position_ = whole;
  return whole;
}

}  // namespace lanner::host::arrow
