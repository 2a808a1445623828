#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/host/decode/fixtures.hpp"
#include "tests/host/decode/payloads.hpp"

namespace lanner::host {
namespace {

using namespace std::string_literals;

TEST(MessagePack, WhatAnotherLibraryWrote) {
  const auto [reason, records] = decode(Format::msgpack, unhex(fixtures::kMsgpackRows), checkout());
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.count, 5u);
  EXPECT_TRUE(records.refused.empty());
  EXPECT_EQ(records.number(0, 0), 1.5);
  EXPECT_EQ(records.number(0, 1), 7);
  EXPECT_EQ(records.number(1, 0), 1099511627776.0);
  EXPECT_EQ(records.number(1, 1), -70000);
  EXPECT_EQ(records.number(2, 0), 1);
  EXPECT_TRUE(std::isnan(records.number(2, 1)));
  EXPECT_TRUE(std::isnan(records.number(3, 0)));
  EXPECT_EQ(records.number(3, 1), -1);
  EXPECT_EQ(records.columns[2].texts[0], "NL");
  EXPECT_THAT(records.columns[2].missing, testing::ElementsAre(0, 1, 1, 1, 1));
  EXPECT_EQ(records.entity[0], "c-1");
  EXPECT_EQ(records.entity[1], "-5");
  EXPECT_EQ(records.id[0], "e-1");
  EXPECT_EQ(records.id[1], "18446744073709551615");
  EXPECT_THAT(records.time, testing::ElementsAre(1789999999000000000, 1789992000250000000,
                                                 1789992000000000000, -2177452799500000000, 0));
}

TEST(MessagePack, BadRowsAreRefusedAlone) {
  const auto [reason, records] = decode(Format::msgpack, unhex(fixtures::kMsgpackBadRows), checkout());
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.count, 14u);
  const std::pair<std::uint32_t, const char*> expected[] = {
      {1, "amount: found text, allowed a number"},
      {2, "found an integer, allowed a map"},
      {3, "country: found an integer, allowed text"},
      {4, "found an array, allowed a map"},
      {5, "at: missing, and it is the stream's time"},
      {6, "at: found a number with a fraction or exponent, allowed integer nanoseconds or ISO 8601 text"},
      {7, "amount: found an array, allowed a number"},
      {8, "country: found binary, allowed text"},
      {9, "customer: found a number with a fraction or exponent, allowed text or an integer"},
      {10, "at: found 9223372036854775808, allowed int64 nanoseconds"},
      {11,
       "at: found an extension that is no timestamp, or one out of range, allowed integer nanoseconds or ISO "
       "8601 text"},
      {12, "found nil, allowed a map"},
  };
  ASSERT_EQ(records.refused.size(), std::size(expected));
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(records.refused[i].row, expected[i].first);
    EXPECT_EQ(records.refused[i].reason, expected[i].second);
  }
  EXPECT_EQ(records.number(0, 0), 1);
  EXPECT_EQ(records.number(13, 0), 2);
  EXPECT_EQ(records.time[13], 2);
}

TEST(MessagePack, EveryHeadByte) {
  // One row {"amount": X} for each way to write a number, X = -3 or 3 or 3.0.
  engine::Schema schema = numbers(1);
  schema.fields[0].name = "a";
  const std::pair<std::string, double> cases[] = {{"\x03"s, 3},
                                                  {"\xfd"s, -3},
                                                  {"\xcc\x03"s, 3},
                                                  {"\xcd\x00\x03"s, 3},
                                                  {"\xce\x00\x00\x00\x03"s, 3},
                                                  {"\xcf\x00\x00\x00\x00\x00\x00\x00\x03"s, 3},
                                                  {"\xd0\xfd"s, -3},
                                                  {"\xd1\xff\xfd"s, -3},
                                                  {"\xd2\xff\xff\xff\xfd"s, -3},
                                                  {"\xd3\xff\xff\xff\xff\xff\xff\xff\xfd"s, -3},
                                                  {"\xca\x40\x40\x00\x00"s, 3},
                                                  {"\xcb\x40\x08\x00\x00\x00\x00\x00\x00"s, 3},
                                                  {"\xc2"s, 0},
                                                  {"\xc3"s, 1}};
  for (const std::string& key : {"\xa1"
                                 "a"s,
                                 "\xd9\x01"
                                 "a"s,
                                 "\xda\x00\x01"
                                 "a"s,
                                 "\xdb\x00\x00\x00\x01"
                                 "a"s}) {
    for (const std::string& map : {"\x81"s, "\xde\x00\x01"s, "\xdf\x00\x00\x00\x01"s}) {
      for (const std::string& array : {"\x91"s, "\xdc\x00\x01"s, "\xdd\x00\x00\x00\x01"s}) {
        for (const auto& [value, expected] : cases) {
          const auto [reason, records] = decode(Format::msgpack, payload(array + map + key + value), schema);
          ASSERT_EQ(reason, "");
          ASSERT_TRUE(records.refused.empty());
          EXPECT_EQ(records.number(0, 0), expected);
        }
      }
    }
  }
  // And everything else as a value to step over.
  for (const std::string& other :
       {"\xc0"s, "\xc4\x01x"s, "\xc5\x00\x01x"s, "\xc6\x00\x00\x00\x01x"s, "\xc7\x01\x05x"s,
        "\xc8\x00\x01\x05x"s, "\xc9\x00\x00\x00\x01\x05x"s, "\xd4\x05x"s, "\xd5\x05xx"s, "\xd6\x05xxxx"s,
        "\xd7\x05xxxxxxxx"s, "\xd8\x05xxxxxxxxxxxxxxxx"s, "\x92\x01\x02"s, "\x82\x01\x02\xc0\x91\xc3"s,
        "\xa0"s}) {
    const auto [reason, records] = decode(Format::msgpack,
                                          payload("\x91\x82\xa1z" + other +
                                                  "\xa1"
                                                  "a\x03"),
                                          schema);
    ASSERT_EQ(reason, "");
    EXPECT_EQ(records.number(0, 0), 3);
  }
}

TEST(MessagePack, KeysThatAreNoTextAreNotOurs) {
  const auto [reason, records] = decode(Format::msgpack,
                                        payload("\x91\x84\x07\x08\xc0\x09\x91\x01\x02\xa2"
                                                "at\x05"s),
                                        checkout());
  ASSERT_EQ(reason, "");
  EXPECT_EQ(records.time[0], 5);
}

TEST(MessagePack, BatchRefusedWithTheReason) {
  const std::string row =
      "\x81\xa2"
      "at\x01";
  const std::pair<std::string, const char*> cases[] = {
      {"", "frame 1: empty, allowed an array of maps"},
      {"\x81\xa2"
       "at\x01",
       "frame 1: found a map, allowed an array of maps"},
      {"\x07", "frame 1: found an integer, allowed an array of maps"},
      {"\xc1", "frame 1: byte 0: 0xc1 is not MessagePack"},
      {"\xdd\xff\xff\xff\xff", "frame 1: byte 5: ends early"},
      {"\x91", "frame 1: byte 1: ends early"},
      {"\x92" + row, "frame 1: byte 6, in row 1: ends early"},
      {"\x91\x81\xa2"
       "a",
       "frame 1: byte 3, in row 0: ends early"},
      {"\x92" + row + "\xc1", "frame 1: byte 6, in row 1: 0xc1 is not MessagePack"},
      {"\x91" + row + "x", "frame 1: 1 bytes after the array"},
      {"\x91\xdf\xff\xff\xff\xff\x01", "frame 1: byte 6, in row 0: ends early"},
      {"\x91\x81\xa2zz\xdd\x00\x00\x00\x02\x01"s, "frame 1: byte 10, in row 0: ends early"},
      {"\x91\x81\xa2zz\xcb\x01", "frame 1: byte 6, in row 0: ends early"},
      {"\x95\xc0\xc0\xc0\xc0\xc0", "more than 4 rows, the most that a batch may have"},
      {"\x91\x81\xa2zz" + std::string(100000, '\x91'), "frame 1: byte 100005, in row 0: ends early"},
  };
  for (const auto& [bytes, expected] : cases) {
    const auto [reason, records] = decode(Format::msgpack, payload(bytes), checkout(), 4);
    EXPECT_EQ(reason, expected);
    expect_consistent(reason, checkout(), records);
  }
}

TEST(MessagePack, DepthCostsNothing) {
  const auto [reason, records] = decode(Format::msgpack,
                                        payload("\x91\x82\xa1z" + std::string(1 << 20, '\x91') +
                                                "\xc0\xa2"
                                                "at\x05"),
                                        checkout());
  ASSERT_EQ(reason, "");
  EXPECT_EQ(records.time[0], 5);
}

TEST(MessagePack, TextThatIsNotUtf8RefusesTheRow) {
  const auto [reason, records] = decode(Format::msgpack,
                                        payload("\x92\x82\xa2"
                                                "at\x05\xa7"
                                                "country\xa2\xff\xfe\x81\xa2"
                                                "at\x06"),
                                        checkout());
  ASSERT_EQ(reason, "");
  ASSERT_EQ(records.refused.size(), 1u);
  EXPECT_EQ(records.refused[0].reason, "country: found text that is not UTF-8, allowed text");
  EXPECT_EQ(records.time[1], 6);
}

TEST(MessagePack, NoBytesHarmIt) {
  const engine::Schema schema = checkout();
  Decoder decoder;
  Header header;
  header.format = Format::msgpack;
  engine::Records records;
  for (const std::string_view fixture : {fixtures::kMsgpackRows, fixtures::kMsgpackBadRows}) {
    fuzz(unhex(fixture), 30000, [&](Bytes frame) {
      expect_consistent(decoder.decode(header, std::span(&frame, 1), schema, 100, records), schema, records);
    });
  }
}

}  // namespace
}  // namespace lanner::host
