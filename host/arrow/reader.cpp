#include "host/arrow/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "ipc_generated.h"

namespace lanner::host::arrow {
namespace {

constexpr std::string_view kFileMagic = "ARROW1";
constexpr std::uint32_t kContinuation = 0xFFFFFFFFu;
// A schema nested or shared beyond these is an attack, not a table.
constexpr unsigned kDepthMax = 64, kTablesMax = 200'000;

flatbuffers::Verifier verifier(const std::uint64_t* words, std::size_t bytes) {
  return flatbuffers::Verifier(reinterpret_cast<const std::uint8_t*>(words), bytes, kDepthMax, kTablesMax);
}

void copy_aligned(Bytes bytes, std::vector<std::uint64_t>& words) {
  words.resize(bytes.size() / 8 + 1);
  if (!bytes.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
}

/// The verifier leaves the alignment of a vector's structs and longs unchecked, so they are copied out.
template <class T, class Stored>
T element_at(const flatbuffers::Vector<Stored>& vector, std::size_t index) {
  return value_at<T>(Bytes(reinterpret_cast<const std::byte*>(vector.Data()), vector.size() * sizeof(T)),
                     index);
}

std::string_view kind_name(ipc::Type type) {
  const std::string_view name = ipc::EnumNameType(type);
  return name.empty() ? "of a kind unknown here" : name;
}

std::string_view shown_name(const ipc::Field& field) {
  return field.name() ? std::string_view(field.name()->c_str(), field.name()->size()) : std::string_view();
}

void describe(const ipc::Field& field, Field& out) {
  out.kind = Kind::other;
  out.bits = 0;
  out.unit_ns = 0;
  out.type = kind_name(field.type_type());
  if (field.dictionary() != nullptr) {
    out.type.insert(0, "dictionary-encoded ");
    return;
  }
  switch (field.type_type()) {
    case ipc::Type::Null:
      out.kind = Kind::null;
      break;
    case ipc::Type::Bool:
      out.kind = Kind::boolean;
      out.bits = 1;
      break;
    case ipc::Type::Int:
      if (const ipc::Int* type = field.type_as_Int()) {
        const int bits = type->bit_width();
        out.type = fmt::format("{}{}", type->is_signed() ? "Int" : "UInt", bits);
        if (bits != 8 && bits != 16 && bits != 32 && bits != 64) break;
        out.kind = type->is_signed() ? Kind::integer : Kind::unsigned_integer;
        out.bits = bits;
      }
      break;
    case ipc::Type::FloatingPoint:
      if (const ipc::FloatingPoint* type = field.type_as_FloatingPoint()) {
        if (type->precision() < ipc::Precision::half || type->precision() > ipc::Precision::double_) break;
        out.kind = Kind::floating;
        out.bits = 16 << static_cast<int>(type->precision());
        out.type = fmt::format("Float{}", out.bits);
      }
      break;
    case ipc::Type::Utf8:
      out.kind = Kind::text;
      out.bits = 32;
      break;
    case ipc::Type::LargeUtf8:
      out.kind = Kind::text;
      out.bits = 64;
      break;
    case ipc::Type::Utf8View:
      out.kind = Kind::text_view;
      break;
    case ipc::Type::Timestamp:
      if (const ipc::Timestamp* type = field.type_as_Timestamp()) {
        constexpr std::int64_t kUnits[] = {1'000'000'000, 1'000'000, 1'000, 1};
        const auto unit = static_cast<int>(type->unit());
        if (unit < 0 || unit > 3) break;
        out.kind = Kind::timestamp;
        out.bits = 64;
        out.unit_ns = kUnits[unit];
      }
      break;
    default:
      break;
  }
}

}  // namespace

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 0x1Fu,
                      mantissa = half & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float size = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -size : size;
}

struct Reader::Layout {
  std::size_t nodes = 0, buffers = 0, variadics = 0;
};

struct Reader::Impl {
  /// Adds what `field` and its children occupy in every record batch. False: a kind whose layout isn't known.
  static bool lay_out(const ipc::Field& field, int version, Layout& out) {
    out.nodes += 1;
    if (field.dictionary() != nullptr) {
      out.buffers += 2;  // indices; the values come in dictionary batches
      return true;
    }
    switch (field.type_type()) {
      case ipc::Type::Null:
      case ipc::Type::RunEndEncoded:
        break;
      case ipc::Type::Struct:
      case ipc::Type::FixedSizeList:
        out.buffers += 1;
        break;
      case ipc::Type::Binary:
      case ipc::Type::Utf8:
      case ipc::Type::LargeBinary:
      case ipc::Type::LargeUtf8:
      case ipc::Type::ListView:
      case ipc::Type::LargeListView:
        out.buffers += 3;
        break;
      case ipc::Type::BinaryView:
      case ipc::Type::Utf8View:
        out.buffers += 2;
        out.variadics += 1;
        break;
      case ipc::Type::Union: {
        const ipc::Union* type = field.type_as_Union();
        if (type == nullptr) return false;
        out.buffers +=
            (type->mode() == ipc::UnionMode::dense ? 2 : 1) + (version < 4 ? 1 : 0);  // V4 had validity
        break;
      }
      case ipc::Type::Int:
      case ipc::Type::FloatingPoint:
      case ipc::Type::Bool:
      case ipc::Type::Decimal:
      case ipc::Type::Date:
      case ipc::Type::Time:
      case ipc::Type::Timestamp:
      case ipc::Type::Interval:
      case ipc::Type::Duration:
      case ipc::Type::FixedSizeBinary:
      case ipc::Type::List:
      case ipc::Type::LargeList:
      case ipc::Type::Map:
        out.buffers += 2;
        break;
      default:
        return false;
    }
    if (field.children() != nullptr) {
      for (const ipc::Field* child : *field.children()) {
        if (!lay_out(*child, version, out)) return false;
      }
    }
    return true;
  }
};

Reader::Reader() = default;
Reader::~Reader() = default;

void Reader::clear() {
  fields_.clear();
  layouts_.clear();
  columns_.clear();
  parts_.clear();
  batch_rows_.clear();
  rows_ = 0;
}

std::string Reader::schema(const void* opaque, int version) {
  const auto& schema = *static_cast<const ipc::Schema*>(opaque);
  if (schema.endianness() != ipc::Endianness::little) return "schema: big-endian, allowed little-endian";
  if (schema.fields() == nullptr) return "schema: no fields";
  for (const ipc::Field* field : *schema.fields()) {
    Field& out = fields_.emplace_back();
    out.name = shown_name(*field);
    describe(*field, out);
    if (!Impl::lay_out(*field, version, layouts_.emplace_back()))
      return fmt::format("schema: column {} has a type whose layout is not known ({})", fields_.size() - 1,
                         out.type);
  }
  return {};
}

std::string Reader::record_batch(const void* opaque, Bytes body, std::size_t rows_max) {
  const auto& batch = *static_cast<const ipc::RecordBatch*>(opaque);
  const std::string at = fmt::format("record batch {}", batch_rows_.size());
  if (const ipc::BodyCompression* compression = batch.compression()) {
    const std::string_view codec = ipc::EnumNameCodec(compression->codec());
    return fmt::format("{}: compressed ({}), allowed uncompressed", at,
                       codec.empty() ? "unknown codec" : codec);
  }
  if (batch.length() < 0) return fmt::format("{}: {} rows", at, batch.length());
  const auto rows = static_cast<std::uint64_t>(batch.length());
  if (rows > rows_max - rows_) return fmt::format("more than {} rows", rows_max);

  const std::size_t node_count = batch.nodes() ? batch.nodes()->size() : 0;
  const std::size_t buffer_count = batch.buffers() ? batch.buffers()->size() : 0;
  const std::size_t variadic_count = batch.variadic_counts() ? batch.variadic_counts()->size() : 0;
  std::size_t node = 0, buffer = 0, variadic = 0;

  std::string reason;
  const auto take = [&](std::uint64_t needed, const char* what, const Field& field, Bytes& out) {
    const auto place = element_at<ipc::Buffer>(*batch.buffers(), buffer++);
    if (place.offset() < 0 || place.length() < 0 ||
        static_cast<std::uint64_t>(place.offset()) > body.size() ||
        static_cast<std::uint64_t>(place.length()) >
            body.size() - static_cast<std::uint64_t>(place.offset())) {
      reason = fmt::format("{}: column '{}': its {} lie outside the body", at, field.name, what);
      return false;
    }
    if (static_cast<std::uint64_t>(place.length()) < needed) {
      reason = fmt::format("{}: column '{}': {} bytes of {}, {} rows of {} need {}", at, field.name,
                           place.length(), what, rows, field.type, needed);
      return false;
    }
    out = body.subspan(static_cast<std::size_t>(place.offset()), static_cast<std::size_t>(place.length()));
    return true;
  };

  for (std::size_t f = 0; f < fields_.size(); ++f) {
    const Field& field = fields_[f];
    const Layout& layout = layouts_[f];
    std::uint64_t parts = 0;
    if (layout.variadics > variadic_count - variadic) return fmt::format("{}: too few variadic counts", at);
    for (std::size_t i = 0; i < layout.variadics; ++i) {
      const auto count = element_at<std::int64_t>(*batch.variadic_counts(), variadic++);
      if (count < 0 || static_cast<std::uint64_t>(count) > buffer_count)
        return fmt::format("{}: column '{}': {} variadic buffers", at, field.name, count);
      parts += static_cast<std::uint64_t>(count);
    }
    if (layout.nodes > node_count - node || layout.buffers + parts > buffer_count - buffer)
      return fmt::format("{}: fewer nodes or buffers than the schema's columns have", at);

    Column& column = columns_.emplace_back();
    const std::size_t buffers_end = buffer + layout.buffers + static_cast<std::size_t>(parts);
    if (field.kind != Kind::other) {
      const auto place = element_at<ipc::FieldNode>(*batch.nodes(), node);
      if (static_cast<std::uint64_t>(place.length()) != rows)
        return fmt::format("{}: column '{}' has {} rows, the batch {}", at, field.name, place.length(), rows);
      if (place.null_count() < 0 || static_cast<std::uint64_t>(place.null_count()) > rows)
        return fmt::format("{}: column '{}': {} nulls in {} rows", at, field.name, place.null_count(), rows);
      column.rows = static_cast<std::size_t>(rows);
      column.has_nulls = place.null_count() > 0 && field.kind != Kind::null;
      if (field.kind != Kind::null) {
        if (!take(column.has_nulls ? (rows + 7) / 8 : 0, "validity bits", field, column.validity))
          return reason;
        if (field.kind == Kind::text) {
          const std::uint64_t width = static_cast<std::uint64_t>(field.bits) / 8;
          if (!take(rows != 0 ? (rows + 1) * width : 0, "offsets", field, column.offsets)) return reason;
          if (!take(0, "text bytes", field, column.data)) return reason;
        } else if (field.kind == Kind::text_view) {
          if (!take(rows * 16, "views", field, column.data)) return reason;
          column.parts_begin = parts_.size();
          for (std::uint64_t i = 0; i < parts; ++i) {
            Bytes part;
            if (!take(0, "text bytes", field, part)) return reason;
            parts_.push_back(part);
          }
          column.parts_end = parts_.size();
        } else if (!take((rows * static_cast<std::uint64_t>(field.bits) + 7) / 8, "values", field,
                         column.data)) {
          return reason;
        }
      }
    }
    node += layout.nodes;
    buffer = buffers_end;
  }
  batch_rows_.push_back(static_cast<std::size_t>(rows));
  rows_ += static_cast<std::size_t>(rows);
  return {};
}

Step next_message(Bytes bytes, std::size_t& position, RawMessage& out, std::vector<std::uint64_t>& scratch,
                  std::string& reason) {
  const std::size_t begin = position;
  if (begin == bytes.size()) return Step::finished;
  const auto broken = [&](std::string why) {
    reason = fmt::format("byte {}: {}", begin, why);
    return Step::broken;
  };
  if (bytes.size() - begin < 8) return broken("ends inside a message's prefix");
  if (value_at<std::uint32_t>(bytes.subspan(begin, 4), 0) != kContinuation)
    return broken("no continuation mark (not an Arrow IPC stream, or one written before Arrow 0.15)");
  const auto length = value_at<std::int32_t>(bytes.subspan(begin + 4, 4), 0);
  position = begin + 8;
  if (length == 0) return Step::finished;
  if (length < 0 || static_cast<std::size_t>(length) > bytes.size() - position)
    return broken(fmt::format("metadata of {} bytes, {} are left", length, bytes.size() - position));
  const Bytes metadata = bytes.subspan(position, static_cast<std::size_t>(length));
  copy_aligned(metadata, scratch);
  flatbuffers::Verifier checker = verifier(scratch.data(), metadata.size());
  if (!ipc::VerifyMessageBuffer(checker)) return broken("the metadata is not a valid flatbuffer");
  position += metadata.size();
  const ipc::Message* message = ipc::GetMessage(scratch.data());
  const std::int64_t body = message->body_length();
  if (body < 0 || static_cast<std::uint64_t>(body) > bytes.size() - position)
    return broken(fmt::format("a body of {} bytes, {} are left", body, bytes.size() - position));
  out.begin = begin;
  out.metadata = Bytes(reinterpret_cast<const std::byte*>(scratch.data()), metadata.size());
  out.body = bytes.subspan(position, static_cast<std::size_t>(body));
  position += static_cast<std::size_t>(body);
  out.end = position;
  return Step::message;
}

std::string Reader::read_stream(Bytes bytes, std::size_t rows_max) {
  clear();
  bytes_ = bytes.size();
  std::size_t position = 0;
  RawMessage raw;
  std::string reason;
  bool has_schema = false;
  for (;;) {
    // The schema's copy stays: the fields' names are borrowed from it.
    const Step step =
        next_message(bytes, position, raw, has_schema ? batch_metadata_ : schema_metadata_, reason);
    if (step == Step::broken) return reason;
    if (step == Step::finished) break;
    const ipc::Message* message = ipc::GetMessage(raw.metadata.data());
    if (const ipc::Schema* schema = message->header_as_Schema()) {
      if (has_schema) return fmt::format("byte {}: a second schema", raw.begin);
      if (reason = this->schema(schema, static_cast<int>(message->version())); !reason.empty()) return reason;
      has_schema = true;
    } else if (!has_schema) {
      return "the stream does not begin with a schema";
    } else if (const ipc::RecordBatch* batch = message->header_as_RecordBatch()) {
      if (reason = record_batch(batch, raw.body, rows_max); !reason.empty()) return reason;
    } else if (message->header_as_DictionaryBatch() == nullptr) {
      return fmt::format("byte {}: message of kind {}, allowed schema, record batch, dictionary batch",
                         raw.begin, static_cast<int>(message->header_type()));
    }
  }
  if (!has_schema) return "no schema";
  if (position != bytes.size()) return fmt::format("{} bytes after the end mark", bytes.size() - position);
  return {};
}

bool Reader::is_file(Bytes bytes) {
  return bytes.size() >= kFileMagic.size() &&
         std::memcmp(bytes.data(), kFileMagic.data(), kFileMagic.size()) == 0;
}

std::string Reader::read_file(Bytes bytes, std::size_t rows_max) {
  clear();
  bytes_ = bytes.size();
  constexpr std::size_t kMagic = kFileMagic.size(), kTail = kMagic + 4;
  if (!is_file(bytes)) return "does not begin with ARROW1";
  if (bytes.size() < 8 + kTail || !is_file(bytes.last(kMagic)))
    return "does not end with ARROW1: torn, or still being written";
  const auto length = value_at<std::int32_t>(bytes.subspan(bytes.size() - kTail, 4), 0);
  if (length <= 0 || static_cast<std::size_t>(length) > bytes.size() - kTail - 8)
    return fmt::format("footer of {} bytes in a file of {}", length, bytes.size());
  copy_aligned(bytes.subspan(bytes.size() - kTail - static_cast<std::size_t>(length),
                             static_cast<std::size_t>(length)),
               schema_metadata_);
  flatbuffers::Verifier checker = verifier(schema_metadata_.data(), static_cast<std::size_t>(length));
  if (!checker.VerifyBuffer<ipc::Footer>(nullptr)) return "the footer is not a valid flatbuffer";
  const auto* footer = flatbuffers::GetRoot<ipc::Footer>(schema_metadata_.data());
  if (footer->schema() == nullptr) return "the footer has no schema";
  if (std::string reason = schema(footer->schema(), static_cast<int>(footer->version())); !reason.empty())
    return reason;
  if (footer->batches() == nullptr) return {};
  RawMessage raw;
  std::string reason;
  std::size_t taken = 0;
  for (std::size_t i = 0; i < footer->batches()->size(); ++i) {
    const auto block = element_at<ipc::Block>(*footer->batches(), i);
    if (block.offset() < 8 || static_cast<std::uint64_t>(block.offset()) >= bytes.size())
      return fmt::format("record batch {} is said to lie at byte {} of {}", batch_rows_.size(),
                         block.offset(), bytes.size());
    auto position = static_cast<std::size_t>(block.offset());
    const Step step = next_message(bytes, position, raw, batch_metadata_, reason);
    if (step == Step::broken) return reason;
    taken += raw.end - raw.begin;
    if (taken > bytes.size()) return "its record batches overlap";
    const ipc::RecordBatch* batch =
        step == Step::message ? ipc::GetMessage(raw.metadata.data())->header_as_RecordBatch() : nullptr;
    if (batch == nullptr) return fmt::format("no record batch at byte {}", block.offset());
    if (reason = record_batch(batch, raw.body, rows_max); !reason.empty()) return reason;
  }
  return {};
}

bool Reader::text_at(const Field& field, const Column& column, std::size_t row, std::string_view& out) const {
  const auto cut = [&out](Bytes bytes, std::uint64_t begin, std::uint64_t end) {
    if (begin > end || end > bytes.size()) return false;
    out = std::string_view(reinterpret_cast<const char*>(bytes.data()) + begin,
                           static_cast<std::size_t>(end - begin));
    return true;
  };
  if (field.kind == Kind::text && field.bits == 32) {
    const auto begin = value_at<std::int32_t>(column.offsets, row),
               end = value_at<std::int32_t>(column.offsets, row + 1);
    return begin >= 0 && end >= begin &&
           cut(column.data, static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end));
  }
  if (field.kind == Kind::text) {
    const auto begin = value_at<std::int64_t>(column.offsets, row),
               end = value_at<std::int64_t>(column.offsets, row + 1);
    return begin >= 0 && end >= begin &&
           cut(column.data, static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end));
  }
  const Bytes view = column.data.subspan(row * 16, 16);
  const auto length = value_at<std::int32_t>(view, 0);
  if (length < 0) return false;
  if (length <= 12) return cut(view, 4, 4 + static_cast<std::uint64_t>(length));
  const auto part = value_at<std::int32_t>(view, 2), offset = value_at<std::int32_t>(view, 3);
  if (part < 0 || offset < 0 || static_cast<std::size_t>(part) >= column.parts_end - column.parts_begin)
    return false;
  return cut(parts_[column.parts_begin + static_cast<std::size_t>(part)], static_cast<std::uint64_t>(offset),
             static_cast<std::uint64_t>(offset) + static_cast<std::uint64_t>(length));
}

}  // namespace lanner::host::arrow
