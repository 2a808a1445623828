#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/host/decode/payloads.hpp"

namespace lanner::host {
namespace {

template <class T>
Payload raw(std::initializer_list<T> values) {
  Payload out(values.size() * sizeof(T));
  if (values.size() > 0) std::memcpy(out.data(), std::data(values), out.size());
  return out;
}

Header tensor(DataType dtype, std::uint64_t rows, std::uint64_t width, std::vector<Sidecar> sidecars = {}) {
  Header header;
  header.dtype = dtype;
  header.rows = rows;
  header.width = width;
  header.sidecars = std::move(sidecars);
  return header;
}

Decoded decode(const Header& header, const std::vector<Payload>& payloads, const engine::Schema& schema,
               std::size_t rows_max = 1000) {
  std::vector<Bytes> frames(payloads.begin(), payloads.end());
  Decoder decoder;
  Decoded out;
  out.reason = decoder.decode(header, frames, schema, rows_max, out.records);
  return out;
}

TEST(Tensor, ViewsFloatsWhereTheyLie) {
  alignas(8) const float values[] = {1, 2, 3, std::numeric_limits<float>::quiet_NaN(), 5, 6};
  const Bytes frame = std::as_bytes(std::span(values));
  Decoder decoder;
  engine::Records records;
  ASSERT_EQ(decoder.decode(tensor(DataType::float32, 2, 3), std::span(&frame, 1), numbers(3), 2, records),
            "");
  EXPECT_EQ(records.count, 2u);
  EXPECT_EQ(records.dense.floats, values);
  EXPECT_EQ(records.dense.doubles, nullptr);
  EXPECT_EQ(records.dense.width, 3u);
  EXPECT_EQ(records.number(1, 1), 5);
  EXPECT_TRUE(std::isnan(records.number(1, 0)));
  EXPECT_TRUE(records.time.empty() && records.entity.empty() && records.id.empty() &&
              records.refused.empty());
}

TEST(Tensor, CopiesOnlyWhatIsUnaligned) {
  const double values[] = {1.25, -2, 1e300, 4};
  alignas(8) std::byte memory[sizeof values + 8];
  for (std::size_t shift = 0; shift <= 8; ++shift) {
    std::memcpy(memory + shift, values, sizeof values);
    const Bytes frame(memory + shift, sizeof values);
    Decoder decoder;
    engine::Records records;
    ASSERT_EQ(decoder.decode(tensor(DataType::float64, 2, 2), std::span(&frame, 1), numbers(2), 2, records),
              "");
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(records.number(i / 2, i % 2), values[i]);
    EXPECT_EQ(static_cast<const void*>(records.dense.doubles) == memory + shift, shift % 8 == 0);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(records.dense.doubles) % alignof(double), 0u);
  }
}

TEST(Tensor, Sidecars) {
  const auto [reason, records] =
      decode(tensor(DataType::float32, 2, 1, {Sidecar::id, Sidecar::time, Sidecar::entity}),
             {raw<float>({1, 2}), payload("a\n\n"), raw<std::int64_t>({-5, 1789999999000000000}),
              payload("\u00e9 x\nq\n")},
             numbers(1));
  ASSERT_EQ(reason, "");
  EXPECT_EQ(records.id[0], "a");
  EXPECT_EQ(records.id[1], "");
  EXPECT_EQ(records.entity[0], "\u00e9 x");
  EXPECT_EQ(records.entity[1], "q");
  EXPECT_THAT(records.time, testing::ElementsAre(-5, 1789999999000000000));
}

TEST(Tensor, EmptyBatch) {
  const auto [reason, records] =
      decode(tensor(DataType::float32, 0, 3, {Sidecar::id, Sidecar::time}), {{}, {}, {}}, numbers(3));
  EXPECT_EQ(reason, "");
  EXPECT_EQ(records.count, 0u);
  EXPECT_EQ(decode(tensor(DataType::float64, 0, 0), {{}}, numbers(3)).reason, "");
}

TEST(Tensor, RefusedWithTheReason) {
  const engine::Schema two = numbers(2);
  engine::Schema with_text = two;
  with_text.fields[1].kind = engine::ColumnKind::text;
  const Payload four = raw<float>({1, 2, 3, 4});
  const auto f32 = [](std::uint64_t rows, std::uint64_t width, std::vector<Sidecar> sidecars = {}) {
    return tensor(DataType::float32, rows, width, std::move(sidecars));
  };
  struct Case {
    Header header;
    std::vector<Payload> frames;
    engine::Schema schema;
    std::string reason;
  };
  const Case cases[] = {
      {f32(2, 2), {}, two, "0 frames after the header, it names 1"},
      {f32(2, 2), {four, four}, two, "2 frames after the header, it names 1"},
      {f32(2, 2, {Sidecar::id}), {four}, two, "1 frames after the header, it names 2"},
      {f32(1024, 2), {Payload(4000)}, two, "more than 1000 rows, the most that a batch may have"},
      {f32(1000, 2), {Payload(4000)}, two, "frame 1: 4000 bytes, shape [1000, 2] of float32 needs 8000"},
      {tensor(DataType::float64, 2, 2), {four}, two, "frame 1: 16 bytes, shape [2, 2] of float64 needs 32"},
      {f32(2, 2), {{}}, two, "frame 1: 0 bytes, shape [2, 2] of float32 needs 16"},
      {f32(0, 2), {four}, two, "frame 1: 16 bytes, shape [0, 2] of float32 needs 0"},
      {f32(1, 4), {four}, two, "shape: found 4 columns, the stream declares 2"},
      {f32(2, 2),
       {four},
       with_text,
       "format: a tensor carries numbers only, the stream declares 'x1' as text"},
      {f32(2, 2, {Sidecar::time}), {four, Payload(15)}, two, "frame 2: time: 15 bytes, 2 int64 need 16"},
      {f32(2, 2, {Sidecar::entity}),
       {four, payload("a\n")},
       two,
       "frame 2: entity: 1 strings, the shape needs 2"},
      {f32(2, 2, {Sidecar::entity}),
       {four, payload("a\nb\nc\n")},
       two,
       "frame 2: entity: more than 2 strings"},
      {f32(2, 2, {Sidecar::entity}),
       {four, payload("a\nb")},
       two,
       "frame 2: entity: the last string does not end with a newline"},
      {f32(2, 2, {Sidecar::time, Sidecar::id}),
       {four, Payload(16), payload("a\n\xc3\n")},
       two,
       "frame 3: id: not UTF-8"},
      {f32(0, 2, {Sidecar::id}), {{}, payload("\n")}, two, "frame 2: id: more than 0 strings"},
  };
  for (const Case& bad : cases) {
    const auto [reason, records] = decode(bad.header, bad.frames, bad.schema);
    EXPECT_EQ(reason, bad.reason);
    expect_consistent(reason, bad.schema, records);
  }
  EXPECT_EQ(decode(f32(4294967295, 4294967295), {four}, two, SIZE_MAX).reason,
            "shape: found 4294967295 columns, the stream declares 2");
}

}  // namespace
}  // namespace lanner::host
