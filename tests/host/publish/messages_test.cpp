#include "host/publish/messages.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace lanner::host {
namespace {

using Json = nlohmann::json;

std::string in_json(std::string_view text) {
  std::string out;
  append_json(out, text);
  return out;
}

TEST(Json, AnyBytesBecomeAString) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      for (const char* rest : {"", "\x80", "\x80\x80", "a"}) {
        std::string text{static_cast<char>(first), static_cast<char>(second)};
        text += rest;
        const std::string json = in_json(text);
        ASSERT_TRUE(Json::accept(json)) << json;
      }
    }
  }
}

TEST(Json, ValidTextReadsBackTheSame) {
  for (const std::string text : {"", "plain", "quote \" and \\", "tab\tnewline\n", "caf\xc3\xa9",
                                 "\xe2\x82\xac", "\xf0\x9f\xa6\x85", "nul\x01"})
    EXPECT_EQ(Json::parse(in_json(text)), text);
  EXPECT_EQ(Json::parse(in_json(std::string("a\0b", 3))), std::string("a\0b", 3));
}

TEST(Json, BytesThatAreNoTextAreReplacedOneByOne) {
  EXPECT_EQ(Json::parse(in_json("a\xff"
                                "b")),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(Json::parse(in_json("\xc0\xaf")), "\xEF\xBF\xBD\xEF\xBF\xBD") << "overlong";
  EXPECT_EQ(Json::parse(in_json("\xed\xa0\x80")), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD") << "a surrogate";
}

TEST(Json, NumbersReadBackToTheSameBits) {
  for (const double value : {0.0, -0.0, 0.1, 1e-300, 2.1e-6, 1.7976931348623157e308, 5e-324, 912.0}) {
    std::string out;
    append_json(out, value);
    const double back = Json::parse(out).get<double>();
    EXPECT_EQ(std::signbit(back), std::signbit(value));
    EXPECT_EQ(back, value);
  }
  std::string out;
  append_json(out, 7.31f);
  EXPECT_EQ(out, "7.31");
  out.clear();
  append_json(out, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(out, "null");
}

TEST(ScoresHeader, IsWhatTheWireSays) {
  const ScoresHeader header("check\"out", "neighbours", "sha256:ab", "cpu");
  std::string out = "left over";
  header.write(out, "till-7", 17, 1024);
  EXPECT_EQ(Json::parse(out),
            Json::parse(R"({"v":1,"stream":"check\"out","producer":"till-7","seq":17,"n":1024,
      "model":"neighbours","model_hash":"sha256:ab","device":"cpu",
      "frames":["score:float32","p_value:float64","threshold:float64","flag:uint8"]})"));
}

TEST(AlertWriter, ListsContributionsBySizeWithShares) {
  const std::vector<std::string> names{"per_minute", "amount", "country"};
  const std::vector<double> values{14, 912, 0};
  const std::vector<float> contributions{1.5f, -6.0f, 0.5f};
  const std::int64_t time = 1789999999000000000;
  Alert alert;
  alert.stream = "checkout";
  alert.event = "till-7:17:3";
  alert.entity = "c-118";
  alert.model = "m";
  alert.model_hash = "sha256:ab";
  alert.time = &time;
  alert.score = 7.31f;
  alert.p_value = 2.1e-6;
  alert.threshold = 2.3e-5;
  alert.flag = 1;
  alert.base = 0.25f;
  alert.names = names;
  alert.values = values;
  alert.contributions = contributions;
  std::string out;
  AlertWriter writer;
  writer.write(out, alert);
  const Json json = Json::parse(out);
  EXPECT_EQ(json["event"], "till-7:17:3");
  EXPECT_EQ(json["time"].get<std::int64_t>(), time);
  EXPECT_EQ(json["base"], 0.25);
  ASSERT_EQ(json["contributions"].size(), 3u);
  EXPECT_EQ(json["contributions"][0],
            Json::parse(R"({"feature":"amount","value":912.0,"contribution":-6.0,"share":0.75})"));
  EXPECT_EQ(json["contributions"][2]["feature"], "country");
  const std::string again = out;
  writer.write(out, alert);
  EXPECT_EQ(out, again) << "the same event reads the same";

  alert.time = nullptr;
  alert.entity = {};
  const std::vector<float> nothing{0, 0, 0};
  alert.contributions = nothing;
  writer.write(out, alert);
  const Json bare = Json::parse(out);
  EXPECT_FALSE(bare.contains("time"));
  EXPECT_FALSE(bare.contains("entity"));
  EXPECT_EQ(bare["contributions"][0]["share"], 0.0);
  EXPECT_FALSE(bare.contains("expected"));
  alert.expected = 120.5;
  writer.write(out, alert);
  EXPECT_EQ(Json::parse(out)["expected"], 120.5);
}

}  // namespace
}  // namespace lanner::host
