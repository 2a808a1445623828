#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "host/decode/decode.hpp"
#include "tests/host/decode/payloads.hpp"

namespace lanner::host {
namespace {

std::string parse(std::string_view frame, Header& out) {
  HeaderParser parser;
  return parser.parse(frame, out);
}

TEST(Header, Tensor) {
  Header header;
  ASSERT_EQ(
      parse(R"({"v":1,"stream":"checkout","producer":"till-7","seq":17,"format":"tensor","dtype":"float64",)"
            R"("shape":[1024,32],"sidecars":["time","entity","id"],)"
            R"("traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})",
            header),
      "");
  EXPECT_FALSE(header.hello);
  EXPECT_EQ(header.stream, "checkout");
  EXPECT_EQ(header.producer, "till-7");
  EXPECT_EQ(header.seq, 17u);
  EXPECT_EQ(header.format, Format::tensor);
  EXPECT_EQ(header.dtype, DataType::float64);
  EXPECT_EQ(header.rows, 1024u);
  EXPECT_EQ(header.width, 32u);
  EXPECT_THAT(header.sidecars, testing::ElementsAre(Sidecar::time, Sidecar::entity, Sidecar::id));
  EXPECT_EQ(header.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
}

TEST(Header, KeysInAnyOrderUnknownOnesIgnored) {
  Header header;
  ASSERT_EQ(
      parse(
          R"({"sidecars":[],"shape":[0,0],"new":{"a":[1,2,{"b":null}]},"dtype":"float32","format":"tensor",)"
          R"("stream":"a\u00e9","v":1})",
          header),
      "");
  EXPECT_EQ(header.stream, "a\u00e9");
  EXPECT_EQ(header.rows, 0u);
  EXPECT_FALSE(header.seq.has_value());
}

TEST(Header, OtherFormatsNeedNoShape) {
  for (const auto& [name, format] :
       {std::pair{"arrow", Format::arrow}, {"jsonl", Format::jsonl}, {"msgpack", Format::msgpack}}) {
    Header header;
    EXPECT_EQ(
        parse(std::string(R"({"v":1,"stream":"s","format":")") + name + R"(","shape":"whatever"})", header),
        "");
    EXPECT_EQ(header.format, format);
  }
}

TEST(Header, Hello) {
  Header header;
  ASSERT_EQ(parse(R"({"v":1,"hello":true,"producer":"till-7"})", header), "");
  EXPECT_TRUE(header.hello);
  EXPECT_EQ(header.producer, "till-7");
}

TEST(Header, LargestSeq) {
  Header header;
  ASSERT_EQ(parse(R"({"v":1,"stream":"s","format":"jsonl","seq":18446744073709551615})", header), "");
  EXPECT_EQ(header.seq, 18446744073709551615u);
}

TEST(Header, NothingStaysFromTheOneBefore) {
  HeaderParser parser;
  Header header;
  ASSERT_EQ(
      parser.parse(
          R"({"v":1,"stream":"s","producer":"p","seq":9,"format":"tensor","dtype":"float64","shape":[1,2],)"
          R"("sidecars":["id"]})",
          header),
      "");
  ASSERT_EQ(parser.parse(R"({"v":1,"hello":true,"producer":"q"})", header), "");
  EXPECT_EQ(header.stream, "");
  EXPECT_FALSE(header.seq.has_value());
  EXPECT_TRUE(header.sidecars.empty());
  EXPECT_EQ(header.rows, 0u);
  ASSERT_EQ(parser.parse(R"({"v":1,"stream":"t","format":"arrow"})", header), "");
  EXPECT_FALSE(header.hello);
  EXPECT_EQ(header.producer, "");
}

TEST(Header, ForeignTraceparentIsIgnored) {
  for (const char* text : {"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "01-x",
                           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                           "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
    Header header;
    EXPECT_EQ(
        parse(std::string(R"({"v":1,"stream":"s","format":"jsonl","traceparent":")") + text + "\"}", header),
        "");
    EXPECT_EQ(header.traceparent, "") << text;
  }
}

constexpr const char* kTensor = R"({"v":1,"stream":"s","format":"tensor")";

TEST(Header, RefusedWithTheReason) {
  const std::string tensor = kTensor;
  const std::string typed = tensor + R"(,"dtype":"float32")", shaped = typed + R"(,"shape":[2,3])";
  const std::pair<std::string, std::string> cases[] = {
      {"", "header: not JSON: "},
      {"hello", "header: not JSON: "},
      {"{", "header: not JSON: "},
      {R"({"v":1,"stream":"s","format":"jsonl"} {})", "header: not JSON: "},
      {R"({"v":1,"stream":"s","format":"jsonl",})", "header: not JSON: "},
      {R"({"v":1,"stream":"s)"
       "\xff"
       R"(","format":"jsonl"})",
       "header: not JSON: "},
      {R"({"v":1,"x":)" + std::string(2000, '[') + std::string(2000, ']') + "}", "header: not JSON: "},
      {"\xef\xbb\xbf{\"v\":1}", "header: not JSON: "},
      {"[]", "header: not a JSON object"},
      {"7", "header: not a JSON object"},
      {"null", "header: not a JSON object"},
      {"\"v\"", "header: not a JSON object"},
      {std::string(70000, ' '), "header: 70000 bytes, allowed at most 65536"},
      {"{}", "v: missing, allowed 1"},
      {R"({"v":2,"stream":"s","format":"jsonl"})", "v: found 2, allowed 1"},
      {R"({"v":"1","stream":"s","format":"jsonl"})", "v: found \"1\", allowed 1"},
      {R"({"v":1.0,"stream":"s","format":"jsonl"})", "v: found 1.0, allowed 1"},
      {R"({"v":-1})", "v: found -1, allowed 1"},
      {R"({"v":null})", "v: found null, allowed 1"},
      {R"({"v":1,"hello":1,"producer":"p"})", "hello: found 1, allowed true, false"},
      {R"({"v":1,"hello":true})", "producer: missing"},
      {R"({"v":1,"hello":true,"producer":""})", "producer: found \"\", allowed text of 1 to 256 bytes"},
      {R"({"v":1,"hello":true,"producer":7})", "producer: found 7, allowed text of 1 to 256 bytes"},
      {R"({"v":1,"format":"jsonl"})", "stream: missing"},
      {R"({"v":1,"stream":"","format":"jsonl"})", "stream: found \"\", allowed text of 1 to 256 bytes"},
      {R"({"v":1,"stream":["s"],"format":"jsonl"})", "stream: found [\"s\"], allowed text of 1 to 256 bytes"},
      {R"({"v":1,"stream":"s"})", "format: missing, allowed tensor, arrow, jsonl, msgpack"},
      {R"({"v":1,"stream":"s","format":"csv"})",
       "format: found \"csv\", allowed tensor, arrow, jsonl, msgpack"},
      {R"({"v":1,"stream":"s","format":"Tensor"})",
       "format: found \"Tensor\", allowed tensor, arrow, jsonl, msgpack"},
      {R"({"v":1,"stream":"s","format":7})", "format: found 7, allowed tensor, arrow, jsonl, msgpack"},
      {R"({"v":1,"stream":"s","format":"jsonl","seq":0})",
       "seq: found 0, allowed an unsigned 64-bit integer, the first is 1"},
      {R"({"v":1,"stream":"s","format":"jsonl","seq":-3})",
       "seq: found -3, allowed an unsigned 64-bit integer, the first is 1"},
      {R"({"v":1,"stream":"s","format":"jsonl","seq":1.5})",
       "seq: found 1.5, allowed an unsigned 64-bit integer, the first is 1"},
      {R"({"v":1,"stream":"s","format":"jsonl","seq":"1"})",
       "seq: found \"1\", allowed an unsigned 64-bit integer, the first is 1"},
      {R"({"v":1,"stream":"s","format":"jsonl","traceparent":7})", "traceparent: found 7, allowed text"},
      {tensor + "}", "dtype: missing, allowed float32, float64"},
      {tensor + R"(,"dtype":"int32","shape":[2,3]})", "dtype: found \"int32\", allowed float32, float64"},
      {tensor + R"(,"dtype":"<f4","shape":[2,3]})", "dtype: found \"<f4\", allowed float32, float64"},
      {tensor + R"(,"dtype":32,"shape":[2,3]})", "dtype: found 32, allowed float32, float64"},
      {typed + "}", "shape: missing, allowed [rows, columns]"},
      {typed + R"(,"shape":6})", "shape: found 6, allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":[6]})", "shape: found [6], allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":[]})", "shape: found [], allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":[2,3,4]})",
       "shape: found [2,3,4], allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":[-2,3]})", "shape: found [-2,3], allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":[2.5,3]})",
       "shape: found [2.5,3], allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":["2",3]})",
       "shape: found [\"2\",3], allowed [rows, columns], two unsigned integers"},
      {typed + R"(,"shape":[2,0]})", "shape: found [2,0], allowed at least one column"},
      {typed + R"(,"shape":[4294967296,1]})", "shape: found [4294967296,1], allowed sizes below 2^32"},
      {typed + R"(,"shape":[1,18446744073709551615]})",
       "shape: found [1,18446744073709551615], allowed sizes below 2^32"},
      {shaped + R"(,"sidecars":"id"})",
       "sidecars: found \"id\", allowed a list of entity, time, id, each at most once"},
      {shaped + R"(,"sidecars":["ids"]})",
       "sidecars: found [\"ids\"], allowed a list of entity, time, id, each at most once"},
      {shaped + R"(,"sidecars":[1]})",
       "sidecars: found [1], allowed a list of entity, time, id, each at most once"},
      {shaped + R"(,"sidecars":["id","time","id"]})",
       "sidecars: found [\"id\",\"time\",\"id\"], allowed a list of entity, time, id, each at most once"},
  };
  HeaderParser parser;
  for (const auto& [frame, reason] : cases) {
    Header header;
    const std::string found = parser.parse(frame, header);
    if (reason.ends_with("JSON: ")) {
      EXPECT_THAT(found, testing::StartsWith(reason)) << frame.substr(0, 200);
    } else {
      EXPECT_EQ(found, reason) << frame.substr(0, 200);
    }
    // A good one passes right after it.
    EXPECT_EQ(parser.parse(shaped + "}", header), "");
  }
}

TEST(Header, ReasonsStayShortAndUtf8) {
  std::string name;
  for (int i = 0; i < 300; ++i) name += "\u00e9";
  Header header;
  const std::string reason = parse(R"({"v":1,"stream":"s","format":")" + name + "\"}", header);
  EXPECT_LT(reason.size(), 200u);
  EXPECT_TRUE(reason.ends_with("..., allowed tensor, arrow, jsonl, msgpack"));
  HeaderParser parser;
  EXPECT_EQ(parser.parse("{\"v\":1,\"x\":\"" + reason.substr(15, reason.find("...") - 15) + "\"}", header),
            "stream: missing");
}

TEST(Header, NoBytesHarmIt) {
  HeaderParser parser;
  Header header;
  const Payload good = payload(
      R"({"v":1,"stream":"checkout","producer":"till-7","seq":17,"format":"tensor","dtype":"float32","shape":[4,3],"sidecars":["id"]})");
  int refused = 0;
  fuzz(good, 20000, [&](Bytes bytes) {
    refused += !parser.parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, header).empty();
  });
  EXPECT_GT(refused, 10000);
  EXPECT_EQ(parser.parse({reinterpret_cast<const char*>(good.data()), good.size()}, header), "");
}

}  // namespace
}  // namespace lanner::host
