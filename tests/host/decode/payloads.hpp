// What the tests of the formats share: a stream's schema, payloads, and a fuzzing loop.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "host/decode/decode.hpp"

namespace lanner::host {

using Payload = std::vector<std::byte>;

inline Payload payload(std::string_view text) {
  Payload out(text.size());
  if (!text.empty()) std::memcpy(out.data(), text.data(), text.size());
  return out;
}

inline Payload unhex(std::string_view digits) {
  const auto value = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  Payload out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    out.push_back(static_cast<std::byte>(value(digits[i]) << 4 | value(digits[i + 1])));
  return out;
}

inline engine::Schema checkout() {
  return {{{"amount", engine::ColumnKind::number},
           {"count", engine::ColumnKind::number},
           {"country", engine::ColumnKind::text}},
          "customer",
          "at",
          "event"};
}

inline engine::Schema numbers(std::size_t count) {
  engine::Schema schema;
  for (std::size_t i = 0; i < count; ++i)
    schema.fields.push_back({std::string("x").append(std::to_string(i))});
  return schema;
}

struct Decoded {
  std::string reason;
  engine::Records records;
};

inline Decoded decode(Format format, Bytes frame, const engine::Schema& schema,
                      std::size_t rows_max = 65536) {
  Header header;
  header.format = format;
  Decoder decoder;
  Decoded out;
  out.reason = decoder.decode(header, std::span(&frame, 1), schema, rows_max, out.records);
  return out;
}

/// What any decoder must leave behind, whatever it was fed.
inline void expect_consistent(const std::string& reason, const engine::Schema& schema,
                              const engine::Records& records) {
  if (!reason.empty()) {
    EXPECT_EQ(records.count, 0u);
    return;
  }
  if (records.dense) {
    EXPECT_EQ(records.dense.width, schema.fields.size());
  } else if (records.count > 0) {
    ASSERT_EQ(records.columns.size(), schema.fields.size());
    for (std::size_t f = 0; f < schema.fields.size(); ++f) {
      if (schema.fields[f].kind == engine::ColumnKind::number) {
        EXPECT_EQ(records.columns[f].numbers.size(), records.count);
      } else {
        EXPECT_EQ(records.columns[f].texts.size(), records.count);
        EXPECT_EQ(records.columns[f].missing.size(), records.count);
      }
    }
  }
  for (const std::size_t size : {records.entity.size(), records.id.size(), records.time.size()})
    EXPECT_TRUE(size == 0 || size == records.count) << size << " of " << records.count;
  for (std::size_t i = 0; i < records.refused.size(); ++i) {
    EXPECT_FALSE(records.refused[i].reason.empty());
    EXPECT_LT(records.refused[i].row, records.count);
    if (i > 0) {
      EXPECT_LT(records.refused[i - 1].row, records.refused[i].row);
    }
  }
}

/// Cuts at every byte, then seeded damage: flipped, overwritten, inserted, removed and repeated bytes. The
/// copy handed over is exactly as long as it says, so that a sanitizer sees a read beyond it.
inline void fuzz(const Payload& good, std::size_t mutations, const std::function<void(Bytes)>& feed) {
  for (std::size_t length = 0; length <= good.size(); ++length) {
    const Payload cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    feed(cut);
  }
  std::mt19937_64 random(20260921);
  const auto below = [&random](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  constexpr std::uint8_t kTelling[] = {0x00, 0x01, 0x7F, 0x80, 0xC1, 0xDD, 0xDF, 0xFE, 0xFF};
  for (std::size_t i = 0; i < mutations; ++i) {
    Payload bad = good;
    for (std::size_t changes = 1 + below(4); changes > 0 && !bad.empty(); --changes) {
      const std::size_t at = below(bad.size());
      switch (below(6)) {
        case 0:
          bad[at] ^= static_cast<std::byte>(1u << below(8));
          break;
        case 1:
          bad[at] = static_cast<std::byte>(kTelling[below(std::size(kTelling))]);
          break;
        case 2:
          for (std::size_t k = at; k < std::min(bad.size(), at + 8); ++k)
            bad[k] = static_cast<std::byte>(random());
          break;
        case 3:
          bad.insert(bad.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::byte>(random()));
          break;
        case 4:
          bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        default:
          for (std::size_t k = at; k < std::min(bad.size(), at + 4); ++k)
            bad[k] = static_cast<std::byte>(kTelling[below(std::size(kTelling))]);
          break;
      }
    }
    feed(bad);
  }
}

}  // namespace lanner::host
