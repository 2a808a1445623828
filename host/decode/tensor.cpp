#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "host/decode/formats.hpp"

namespace lanner::host {
namespace {

std::string_view name(Sidecar sidecar) {
  switch (sidecar) {
    case Sidecar::entity:
      return "entity";
    case Sidecar::time:
      return "time";
    case Sidecar::id:
      return "id";
  }
  return {};
}

std::string take_strings(std::size_t frame, Sidecar sidecar, Bytes bytes, std::size_t rows,
                         engine::Texts& out) {
  const char* at = reinterpret_cast<const char*>(bytes.data());
  if (!simdjson::validate_utf8(at, bytes.size()))
    return fmt::format("frame {}: {}: not UTF-8", frame, name(sidecar));
  const char* const end = at + bytes.size();
  while (at != end) {
    const void* found = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
    if (found == nullptr)
      return fmt::format("frame {}: {}: the last string does not end with a newline", frame, name(sidecar));
    const char* newline = static_cast<const char*>(found);
    if (out.size() == rows)
      return fmt::format("frame {}: {}: more than {} strings", frame, name(sidecar), rows);
    out.push_back(std::string_view(at, static_cast<std::size_t>(newline - at)));
    at = newline + 1;
  }
  if (out.size() != rows)
    return fmt::format("frame {}: {}: {} strings, the shape needs {}", frame, name(sidecar), out.size(),
                       rows);
  return {};
}

}  // namespace

std::string decode_tensor(const Header& header, std::span<const Bytes> frames, const engine::Schema& schema,
                          std::size_t rows_max, engine::Records& out) {
  if (frames.size() != 1 + header.sidecars.size())
    return fmt::format("{} frames after the header, it names {}", frames.size(), 1 + header.sidecars.size());
  if (header.rows > rows_max) return too_many_rows(rows_max);
  const auto rows = static_cast<std::size_t>(header.rows), width = static_cast<std::size_t>(header.width);
  if (rows > 0 && width != schema.fields.size())
    return fmt::format("shape: found {} columns, the stream declares {}", width, schema.fields.size());
  for (const engine::FieldSpec& field : schema.fields) {
    if (field.kind != engine::ColumnKind::number)
      return fmt::format("format: a tensor carries numbers only, the stream declares '{}' as text",
                         field.name);
  }

  const bool is_double = header.dtype == DataType::float64;
  const std::size_t size = is_double ? sizeof(double) : sizeof(float);
  std::uint64_t needed = 0;
  if (__builtin_mul_overflow(header.rows, header.width, &needed) ||
      __builtin_mul_overflow(needed, size, &needed))
    return fmt::format("shape: [{}, {}] needs more than 2^64 bytes", rows, width);
  const Bytes values = frames[0];
  if (values.size() != needed)
    return fmt::format("frame 1: {} bytes, shape [{}, {}] of {} needs {}", values.size(), rows, width,
                       is_double ? "float64" : "float32", needed);
  if (rows > 0) {
    const std::byte* begin = values.data();
    if (reinterpret_cast<std::uintptr_t>(begin) % size != 0) {
      // ZeroMQ promises no alignment of a frame.
      out.copied.resize((values.size() + sizeof(double) - 1) / sizeof(double));
      std::memcpy(out.copied.data(), begin, values.size());
      begin = reinterpret_cast<const std::byte*>(out.copied.data());
    }
    out.dense.width = width;
    if (is_double) {
      out.dense.doubles = reinterpret_cast<const double*>(begin);
    } else {
      out.dense.floats = reinterpret_cast<const float*>(begin);
    }
  }

  for (std::size_t i = 0; i < header.sidecars.size(); ++i) {
    const Sidecar sidecar = header.sidecars[i];
    const Bytes bytes = frames[1 + i];
    const std::size_t frame = 2 + i;
    if (sidecar == Sidecar::time) {
      if (bytes.size() != rows * sizeof(std::int64_t))
        return fmt::format("frame {}: time: {} bytes, {} int64 need {}", frame, bytes.size(), rows,
                           rows * sizeof(std::int64_t));
      out.time.resize(rows);
      if (rows > 0) std::memcpy(out.time.data(), bytes.data(), bytes.size());
    } else {
      std::string reason =
          take_strings(frame, sidecar, bytes, rows, sidecar == Sidecar::entity ? out.entity : out.id);
      if (!reason.empty()) return reason;
    }
  }
  out.count = rows;
  return {};
}

}  // namespace lanner::host
