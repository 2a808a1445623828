// What a producer may send: headers, whole messages of tensors, and payloads of the other formats. Nothing is
// thrown, and whatever is decoded is whole.
#include <gtest/gtest.h>

#include "host/decode/decode.hpp"
#include "tests/fuzz/fuzzing.hpp"
#include "tests/host/decode/fixtures.hpp"
#include "tests/host/decode/payloads.hpp"

namespace lanner::fuzz {
namespace {

using host::Decoder;
using host::Format;
using host::Header;
using host::HeaderParser;

constexpr std::size_t kRowsMax = 1000;

std::vector<Input> unhexed(std::initializer_list<std::string_view> fixtures) {
  std::vector<Input> out;
  for (const std::string_view fixture : fixtures) out.push_back(host::unhex(fixture));
  return out;
}

/// One decoder for all inputs, as a stream has: what one leaves behind must not harm the next.
class Feed {
 public:
  Feed(Format format, engine::Schema schema) : schema_(std::move(schema)) { header_.format = format; }
  void operator()(Bytes frame) {
    const std::string reason = decoder_.decode(header_, std::span(&frame, 1), schema_, kRowsMax, records_);
    host::expect_consistent(reason, schema_, records_);
  }

 private:
  engine::Schema schema_;
  Header header_;
  Decoder decoder_;
  engine::Records records_;
};

void fuzz_payload(Format format, const std::vector<Input>& corpus, std::span<const std::string_view> words) {
  Feed named(format, host::checkout());
  Feed few(format, {{{"amount"}, {"country", engine::ColumnKind::text}}, "country", "at", ""});
  Feed plain(format, host::numbers(3));
  fuzz(corpus, words, [&](Bytes bytes) {
    named(bytes);
    few(bytes);
    plain(bytes);
  });
}

constexpr std::string_view kJsonWords[] = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           ":",
                                           ",",
                                           "\"",
                                           "\\u0000",
                                           "\\ud800",
                                           "null",
                                           "true",
                                           "-0.0",
                                           "1e308",
                                           "1e999",
                                           "\"at\":",
                                           "\n",
                                           "\r\n",
                                           "\xEF\xBB\xBF",
                                           "\xFF",
                                           "18446744073709551615",
                                           "\"rows\"",
                                           "\"seq\":0",
                                           "\"v\":2",
                                           "\"time\"",
                                           "\"shape\":[",
                                           "0.1e-400",
                                           "9223372036854775808",
                                           "[[[[[[[[[[[[[[[[[[[["};

const std::vector<std::string> kHeaders{
    R"({"v":1,"stream":"checkout","producer":"till-7","seq":17,"format":"tensor","dtype":"float32","shape":[2,3],"sidecars":["id","time","entity"]})",
    R"({"v":1,"stream":"checkout","format":"tensor","dtype":"float64","shape":[2,3]})",
    R"({"v":1,"stream":"s","producer":"p","seq":18446744073709551615,"format":"jsonl","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})",
    R"({"v":1,"hello":true,"stream":"s","producer":"p"})",
};

TEST(Wire, Header) {
  std::vector<Input> corpus;
  for (const std::string& header : kHeaders) corpus.push_back(input(header));
  HeaderParser parser;
  Header header;
  fuzz(corpus, kJsonWords, [&](Bytes bytes) {
    if (!parser.parse(text_of(bytes), header).empty() || header.hello) return;
    EXPECT_FALSE(header.stream.empty());
    EXPECT_NE(header.seq, std::uint64_t{0});
    EXPECT_TRUE(header.format != Format::tensor || header.width > 0 || header.rows == 0);
  });
}

/// A header's line, then frames, each behind its length in two bytes.
TEST(Wire, TensorMessage) {
  const auto framed = [](std::initializer_list<std::string> frames) {
    std::string out;
    for (const std::string& frame : frames) {
      out.push_back(static_cast<char>(frame.size() & 0xFF));
      out.push_back(static_cast<char>(frame.size() >> 8));
      out += frame;
    }
    return out;
  };
  const std::string six(24, '\x3F'), times(16, '\x01');
  const std::vector<Input> corpus{
      input(kHeaders[0] + "\n" + framed({six, "a\nb\n", times, "c\nd\n"})),
      input(kHeaders[1] + "\n" + framed({six + six})),
  };
  const engine::Schema schema = host::numbers(3);
  HeaderParser parser;
  Decoder decoder;
  Header header;
  engine::Records records;
  fuzz(corpus, kJsonWords, [&](Bytes bytes) {
    const std::string_view text = text_of(bytes);
    const std::size_t line = text.find('\n');
    if (line == text.npos || !parser.parse(text.substr(0, line), header).empty() || header.hello) return;
    std::vector<Input> copies;  // each of just its length
    for (Bytes rest = bytes.subspan(line + 1); rest.size() >= 2;) {
      const std::size_t length = std::min(rest.size() - 2, std::to_integer<std::size_t>(rest[0]) |
                                                               std::to_integer<std::size_t>(rest[1]) << 8);
      copies.emplace_back(rest.begin() + 2, rest.begin() + 2 + static_cast<std::ptrdiff_t>(length));
      rest = rest.subspan(2 + length);
    }
    const std::vector<Bytes> frames(copies.begin(), copies.end());
    host::expect_consistent(decoder.decode(header, frames, schema, kRowsMax, records), schema, records);
  });
}

TEST(Wire, Arrow) {
  namespace f = host::fixtures;
  fuzz_payload(Format::arrow,
               unhexed({f::kArrowSimple, f::kArrowPolars, f::kArrowTimeText, f::kArrowNullColumns,
                        f::kArrowDictionary, f::kArrowNotUtf8, f::kArrowWildOffsets, f::kArrowSchemaOnly,
                        f::kArrowTimeMs, f::kArrowEverything}),
               {});
}

TEST(Wire, JsonLines) {
  const std::vector<Input> corpus{
      input(
          R"({"amount":912.25,"count":3,"country":"NL","customer":"c-118","at":1789999999000000000,"event":"e-1"})"
          "\n"
          R"({"event":7,"at":"2026-09-21T12:00:00Z","customer":-7,"country":null,"count":true,"more":{"a":[1]}})"
          "\r\n\n"
          R"({"at":0,"country":"\u0395\n\"x\"","amount":-1e-3,"x0":1,"x1":2.5,"x2":-0})"),
  };
  fuzz_payload(Format::jsonl, corpus, kJsonWords);
}

TEST(Wire, MessagePack) {
  namespace f = host::fixtures;
  constexpr std::string_view words[] = {"\xC0",
                                        "\xC1",
                                        "\xC4\x10",
                                        "\xC7\x0C\xFF",
                                        "\xCA",
                                        "\xCF\xFF",
                                        "\xD6\xFF",
                                        "\xD9\xFF",
                                        "\xDB\xFF\xFF\xFF\xFF",
                                        "\xDD\xFF\xFF\xFF\xFF",
                                        "\xDF\xFF\xFF\xFF\xFF",
                                        "\x91\x91\x91\x91\x91\x91\x91\x91",
                                        "\x81",
                                        "\xA2"
                                        "at",
                                        "\xA6"
                                        "amount"};
  fuzz_payload(Format::msgpack, unhexed({f::kMsgpackRows, f::kMsgpackBadRows}), words);
}

}  // namespace
}  // namespace lanner::fuzz
