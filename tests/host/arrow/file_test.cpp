#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "host/arrow/reader.hpp"
#include "host/arrow/writer.hpp"

namespace lanner::host::arrow {
namespace {

std::vector<WrittenField> fields() {
  return {{"word", Kind::text, 32, true},
          {"score", Kind::floating, 32, false},
          {"seq", Kind::unsigned_integer, 64, false},
          {"at", Kind::timestamp, 64, true},
          {"flag", Kind::unsigned_integer, 8, false}};
}

struct Rows {
  std::vector<std::int32_t> offsets{0};
  std::string text;
  std::vector<float> score;
  std::vector<std::uint64_t> seq;
  std::vector<std::int64_t> at;
  std::vector<std::uint8_t> flag, valid;
  std::size_t nulls = 0;
};

Rows rows(std::size_t count, std::size_t first) {
  Rows out;
  out.valid.assign((count + 7) / 8, 0);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t k = first + i;
    out.text.append(k % 4, 'a');
    out.offsets.push_back(static_cast<std::int32_t>(out.text.size()));
    out.score.push_back(static_cast<float>(k) / 3);
    out.seq.push_back(k * 1'000'000'007);
    out.at.push_back(static_cast<std::int64_t>(k) - 5);
    out.flag.push_back(static_cast<std::uint8_t>(k));
    if (k % 3 != 0) {
      out.valid[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
    } else {
      ++out.nulls;
    }
  }
  return out;
}

void write(FileWriter& writer, const Rows& rows, std::string& out) {
  const auto bytes = [](const auto& values) {
    return std::as_bytes(std::span(values.data(), values.size()));
  };
  const WrittenColumn columns[] = {{bytes(rows.text), bytes(rows.offsets), bytes(rows.valid), rows.nulls},
                                   {bytes(rows.score), {}, {}, 0},
                                   {bytes(rows.seq), {}, {}, 0},
                                   {bytes(rows.at), {}, bytes(rows.valid), rows.nulls},
                                   {bytes(rows.flag), {}, {}, 0}};
  writer.batch(rows.score.size(), columns, out);
}

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

void expect_rows(const std::string& file, std::size_t count) {
  Reader reader;
  ASSERT_EQ(reader.read_file(bytes_of(file), 1000), "");
  ASSERT_EQ(reader.rows(), count);
  std::size_t k = 0;
  for (std::size_t batch = 0; batch < reader.batches(); ++batch) {
    for (std::size_t row = 0; row < reader.rows_of(batch); ++row, ++k) {
      std::string_view text;
      ASSERT_TRUE(reader.text_at(reader.fields()[0], reader.column(batch, 0), row, text));
      EXPECT_EQ(text.size(), k % 4);
      EXPECT_EQ(reader.column(batch, 0).valid(row), k % 3 != 0);
      EXPECT_EQ(value_at<float>(reader.column(batch, 1).data, row), static_cast<float>(k) / 3);
      EXPECT_EQ(value_at<std::uint64_t>(reader.column(batch, 2).data, row), k * 1'000'000'007);
      EXPECT_EQ(value_at<std::int64_t>(reader.column(batch, 3).data, row), static_cast<std::int64_t>(k) - 5);
      EXPECT_EQ(value_at<std::uint8_t>(reader.column(batch, 4).data, row), k);
    }
  }
}

std::string whole_file(std::vector<std::size_t>* ends = nullptr) {
  FileWriter writer(fields());
  std::string file;
  writer.begin(file);
  std::size_t first = 0;
  for (const std::size_t count : {5u, 0u, 17u, 1u}) {
    if (ends) ends->push_back(file.size());
    write(writer, rows(count, first), file);
    first += count;
  }
  if (ends) ends->push_back(file.size());
  writer.end(file);
  return file;
}

TEST(ArrowFile, ReadsBack) {
  const std::string file = whole_file();
  expect_rows(file, 23);
  Reader reader;
  EXPECT_EQ(reader.read_file(bytes_of(file), 22), "more than 22 rows");
  EXPECT_EQ(reader.fields()[3].type, "Timestamp");
  EXPECT_TRUE(Reader::is_file(bytes_of(file)));
}

TEST(ArrowFile, CompletedFromWhateverACrashLeft) {
  std::vector<std::size_t> ends;
  const std::string file = whole_file(&ends);
  const std::size_t counts[] = {0, 5, 5, 22, 23};
  for (std::size_t cut = 0; cut <= file.size(); ++cut) {
    std::string left = file.substr(0, cut);
    FileWriter writer(fields());
    const std::size_t whole = writer.resume(bytes_of(left));
    if (cut < ends[0]) {
      EXPECT_EQ(whole, 0u);
      continue;
    }
    std::size_t batches = 0;
    while (batches + 1 < ends.size() && ends[batches + 1] <= cut) ++batches;
    ASSERT_EQ(whole, ends[batches]);
    left.resize(whole);
    writer.end(left);
    expect_rows(left, counts[batches]);
  }
  FileWriter other({{"word", Kind::text, 32, true}});
  EXPECT_EQ(other.resume(bytes_of(file)), 0u);
}

TEST(ArrowFile, NoBytesHarmTheReader) {
  const std::string good = whole_file();
  Reader reader;
  const auto feed = [&](const std::string& file) {
    const std::vector<char> exact(file.begin(), file.end());
    const Bytes bytes = std::as_bytes(std::span(exact));
    if (!reader.read_file(bytes, 1000).empty()) return false;
    for (std::size_t batch = 0; batch < reader.batches(); ++batch) {
      for (std::size_t f = 0; f < reader.fields().size(); ++f) {
        const Field& field = reader.fields()[f];
        const Column& column = reader.column(batch, f);
        for (std::size_t row = 0; row < (field.kind == Kind::other ? 0 : column.rows); ++row) {
          std::string_view text;
          column.valid(row);
          if (field.kind == Kind::text || field.kind == Kind::text_view)
            reader.text_at(field, column, row, text);
        }
      }
    }
    return true;
  };
  EXPECT_TRUE(feed(good));
  for (std::size_t cut = 0; cut < good.size(); ++cut) EXPECT_FALSE(feed(good.substr(0, cut)));
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string bad = good;
    for (auto changes = 1 + random() % 3; changes > 0; --changes)
      bad[random() % bad.size()] = static_cast<char>(random() % 2 ? random() : random() % 2 ? 0 : 0xFF);
    feed(bad);
  }
}

TEST(ArrowFile, RefusedWithTheReason) {
  const std::string good = whole_file();
  Reader reader;
  EXPECT_EQ(reader.read_file({}, 10), "does not begin with ARROW1");
  EXPECT_EQ(reader.read_file(bytes_of("FEA1 and more"), 10), "does not begin with ARROW1");
  EXPECT_EQ(reader.read_file(bytes_of(good.substr(0, good.size() - 1)), 100),
            "does not end with ARROW1: torn, or still being written");
  std::string footer = good;
  const std::int32_t huge = 1 << 30;
  std::memcpy(footer.data() + footer.size() - 10, &huge, 4);
  EXPECT_EQ(reader.read_file(bytes_of(footer), 100),
            "footer of 1073741824 bytes in a file of " + std::to_string(good.size()));
}

TEST(ArrowFile, BatchesThatOverlapAreRefused) {
  // A large batch and many small ones, which the footer then all finds where the large one lies.
  FileWriter writer(fields());
  std::string file;
  writer.begin(file);
  std::vector<std::int64_t> places;
  for (std::size_t batch = 0; batch < 20; ++batch) {
    places.push_back(static_cast<std::int64_t>(file.size()));
    write(writer, rows(batch == 0 ? 400 : 1, 0), file);
  }
  const std::size_t footer = file.size();
  writer.end(file);
  Reader reader;
  ASSERT_EQ(reader.read_file(bytes_of(file), 1000), "");
  ASSERT_EQ(reader.rows(), 419u);
  for (std::size_t batch = 1; batch < places.size(); ++batch) {
    const std::string_view place(reinterpret_cast<const char*>(&places[batch]), 8);
    const std::size_t at = file.find(place, footer);
    ASSERT_NE(at, file.npos);
    std::memcpy(file.data() + at, &places[0], 8);
  }
  EXPECT_EQ(reader.read_file(bytes_of(file), 100'000), "its record batches overlap");
}

TEST(ArrowHalf, EveryValue) {
  EXPECT_EQ(half_to_float(0x3C00), 1.0f);
  EXPECT_EQ(half_to_float(0xC000), -2.0f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0f);
  EXPECT_EQ(half_to_float(0xFC00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(half_to_float(0x7E00)));
  EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
  for (std::uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const float expected = std::ldexp(static_cast<float>(bits < 0x400 ? bits : 0x400 + (bits & 0x3FF)),
                                      bits < 0x400 ? -24 : static_cast<int>(bits >> 10) - 25);
    ASSERT_EQ(half_to_float(static_cast<std::uint16_t>(bits)), expected) << bits;
  }
}

}  // namespace
}  // namespace lanner::host::arrow
