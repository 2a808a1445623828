#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/host/decode/payloads.hpp"

namespace lanner::host {
namespace {

Decoded decode(std::string_view lines, std::size_t rows_max = 65536) {
  return decode(Format::jsonl, payload(lines), checkout(), rows_max);
}

TEST(JsonLines, ValuesByName) {
  const auto [reason, records] = decode(
      R"({"amount":912.25,"count":3,"country":"NL","customer":"c-118","at":1789999999000000000,"event":"e-1"})"
      "\n"
      R"({"event":18446744073709551615,"at":"2026-09-21T12:00:00Z","customer":-7,"country":null,"count":true,"more":{"a":[1]}})"
      "\r\n"
      "\n   \n"
      R"({"at":0,"country":"\u0395\n\"x\"","amount":-1e-3})");
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.count, 3u);
  EXPECT_FALSE(records.dense);
  EXPECT_EQ(records.number(0, 0), 912.25);
  EXPECT_EQ(records.number(0, 1), 3);
  EXPECT_TRUE(std::isnan(records.number(1, 0)));
  EXPECT_EQ(records.number(1, 1), 1);
  EXPECT_EQ(records.number(2, 0), -1e-3);
  EXPECT_TRUE(std::isnan(records.number(2, 1)));
  EXPECT_EQ(records.columns[2].texts[0], "NL");
  EXPECT_THAT(records.columns[2].missing, testing::ElementsAre(0, 1, 0));
  EXPECT_EQ(records.columns[2].texts[2], "\u0395\n\"x\"");
  EXPECT_EQ(records.entity[0], "c-118");
  EXPECT_EQ(records.entity[1], "-7");
  EXPECT_EQ(records.entity[2], "");
  EXPECT_EQ(records.id[0], "e-1");
  EXPECT_EQ(records.id[1], "18446744073709551615");
  EXPECT_EQ(records.id[2], "");
  EXPECT_THAT(records.time, testing::ElementsAre(1789999999000000000, 1789992000000000000, 0));
  EXPECT_TRUE(records.refused.empty());
}

TEST(JsonLines, ABadLineIsRefusedAloneWithTheReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"not json", "not JSON: "},
      {R"({"at":1,"amount":1)", "not JSON: "},
      {R"({"at":1,"amount":})", "not JSON: "},
      {R"({"at":1,"amount":NaN})", "not JSON: "},
      {R"({"at":1,"amount":01})", "not JSON: "},
      {R"({"at":1,"amount":1e999})", "not JSON: "},
      {R"({"at":1,"other":tru})", "not JSON: "},
      {R"({"at":1} {"at":2})", "not JSON: "},
      {R"({"at":1,"country":")"
       "\xff\xfe"
       R"("})",
       "not JSON: "},
      {R"({"at":1,"country":"\ud800"})", "not JSON: "},
      {R"({"at":1,)", "not JSON: "},
      {"[1,2]", "found an array, allowed a JSON object"},
      {"7", "found a number, allowed a JSON object"},
      {"null", "found null, allowed a JSON object"},
      {"\"at\"", "found text, allowed a JSON object"},
      {"{}", "at: missing, and it is the stream's time"},
      {R"({"at":null})", "at: missing, and it is the stream's time"},
      {R"({"at":1,"amount":"12"})", "amount: found text, allowed a number"},
      {R"({"at":1,"amount":[12]})", "amount: found an array, allowed a number"},
      {R"({"at":1,"amount":{"v":12}})", "amount: found an object, allowed a number"},
      {R"({"at":1,"country":31})", "country: found an integer, allowed text"},
      {R"({"at":1,"country":true})", "country: found a boolean, allowed text"},
      {R"({"at":1,"country":1.5})", "country: found a number with a fraction or exponent, allowed text"},
      {R"({"at":1,"customer":1.5})",
       "customer: found a number with a fraction or exponent, allowed text or an integer"},
      {R"({"at":1,"customer":["c"]})", "customer: found an array, allowed text or an integer"},
      {R"({"at":1,"event":false})", "event: found a boolean, allowed text or an integer"},
      {R"({"at":1.5})",
       "at: found a number with a fraction or exponent, allowed integer nanoseconds or ISO 8601 text"},
      {R"({"at":true})", "at: found a boolean, allowed integer nanoseconds or ISO 8601 text"},
      {R"({"at":18446744073709551615})", "at: found 18446744073709551615, allowed int64 nanoseconds"},
      {R"({"at":"yesterday"})",
       "at: found text that is no time, allowed ISO 8601 (2026-09-21T12:00:00Z) or integer nanoseconds"},
  };
  for (const auto& [line, why] : cases) {
    const std::string good = R"({"at":1,"amount":2,"country":"NL","customer":"c"})";
    const auto [reason, records] = decode(good + "\n" + line + "\n" + good + "\n");
    ASSERT_EQ(reason, "") << line;
    ASSERT_EQ(records.count, 3u) << line;
    ASSERT_EQ(records.refused.size(), 1u) << line;
    EXPECT_EQ(records.refused[0].row, 1u);
    if (std::string_view(why).ends_with("JSON: ")) {
      EXPECT_THAT(records.refused[0].reason, testing::StartsWith(why)) << line;
    } else {
      EXPECT_EQ(records.refused[0].reason, why) << line;
    }
    for (const std::size_t row : {0u, 2u}) {
      EXPECT_EQ(records.number(row, 0), 2);
      EXPECT_EQ(records.columns[2].texts[row], "NL");
      EXPECT_EQ(records.entity[row], "c");
      EXPECT_EQ(records.time[row], 1);
    }
    expect_consistent(reason, checkout(), records);
  }
}

TEST(JsonLines, ARefusedRowLeavesNothingToTheNext) {
  const auto [reason, records] = decode("{\"at\":1,\"amount\":5,\"country\":[]}\n{\"at\":2}\n");
  ASSERT_EQ(reason, "");
  EXPECT_TRUE(std::isnan(records.number(1, 0)));
  EXPECT_EQ(records.columns[2].missing[1], 1);
}

TEST(JsonLines, RowsMax) {
  EXPECT_EQ(decode("{\"at\":1}\n{\"at\":2}\n", 2).reason, "");
  EXPECT_EQ(decode("{\"at\":1}\n{\"at\":2}\n{}", 2).reason,
            "more than 2 rows, the most that a batch may have");
}

TEST(JsonLines, NoFrameOrSeveral) {
  Header header;
  header.format = Format::jsonl;
  Decoder decoder;
  engine::Records records;
  EXPECT_EQ(decoder.decode(header, {}, checkout(), 10, records), "0 frames after the header, allowed 1");
  const Bytes two[2] = {};
  EXPECT_EQ(decoder.decode(header, two, checkout(), 10, records), "2 frames after the header, allowed 1");
  EXPECT_EQ(decoder.decode(header, std::span(two, 1), checkout(), 10, records), "");
  EXPECT_EQ(records.count, 0u);
}

TEST(JsonLines, AFieldMayBeTheEntityToo) {
  engine::Schema schema = checkout();
  schema.entity = "country";
  schema.time = "";
  schema.id = "";
  const Payload lines = payload("{\"country\":\"NL\"}\n{\"country\":5}\n{}\n");
  const auto [reason, records] = decode(Format::jsonl, lines, schema);
  ASSERT_EQ(reason, "");
  EXPECT_EQ(records.entity[0], "NL");
  EXPECT_EQ(records.columns[2].texts[0], "NL");
  ASSERT_EQ(records.refused.size(), 1u);
  EXPECT_EQ(records.refused[0].reason, "country: found an integer, allowed text");
  EXPECT_TRUE(records.time.empty());
  EXPECT_TRUE(records.id.empty());
}

TEST(JsonLines, ADecoderGoesFromStreamToStream) {
  Decoder decoder;
  Header header;
  header.format = Format::jsonl;
  engine::Records records;
  for (int round = 0; round < 3; ++round) {
    const Payload lines = payload("{\"at\":1,\"amount\":2,\"x1\":7}\n");
    const Bytes frame = lines;
    ASSERT_EQ(decoder.decode(header, std::span(&frame, 1), checkout(), 10, records), "");
    EXPECT_EQ(records.number(0, 0), 2);
    ASSERT_EQ(decoder.decode(header, std::span(&frame, 1), numbers(2), 10, records), "");
    EXPECT_EQ(records.number(0, 1), 7);
    EXPECT_TRUE(records.time.empty());
  }
}

TEST(JsonLines, NoBytesHarmIt) {
  const Payload good = payload(
      R"({"amount":912.25,"count":3,"country":"NL","customer":"c-118","at":1789999999000000000,"event":"e-1"})"
      "\n"
      R"({"event":7,"at":"2026-09-21T12:00:00Z","customer":-7,"country":null,"count":true,"more":{"a":[1]}})"
      "\n");
  const engine::Schema schema = checkout();
  Decoder decoder;
  Header header;
  header.format = Format::jsonl;
  engine::Records records;
  fuzz(good, 20000, [&](Bytes frame) {
    expect_consistent(decoder.decode(header, std::span(&frame, 1), schema, 10, records), schema, records);
  });
}

}  // namespace
}  // namespace lanner::host
