// Configurations: InvalidConfig with a fault in it, or one that is read.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/config/config.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lanner::fuzz {
namespace {

TEST(File, Config) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(LANNER_SOURCE_DIR "/configs"))
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());  // so that a seed gives the same inputs everywhere
  ASSERT_FALSE(paths.empty());
  std::vector<Input> corpus;
  for (const auto& path : paths) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    corpus.push_back(input(text.str()));
  }
  constexpr std::string_view words[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        ": ",
                                        "- ",
                                        ", ",
                                        "\n",
                                        "\n  ",
                                        "\n    ",
                                        "#",
                                        "&a ",
                                        "*a",
                                        "<<: *a",
                                        "!!str ",
                                        "!!binary ",
                                        "|\n",
                                        ">\n",
                                        "---\n",
                                        "...\n",
                                        "? ",
                                        "~",
                                        "\"",
                                        "'",
                                        "\t",
                                        "\xFF",
                                        "\xEF\xBB\xBF",
                                        "{{{{{{{{{{{{{{{{{{{{",
                                        "[[[[[[[[[[[[[[[[[[[[",
                                        "streams:",
                                        "features: ",
                                        "models: ",
                                        "learn: ",
                                        "fit: ",
                                        "set: ",
                                        "decide: ",
                                        "window: 1m",
                                        "-1",
                                        "1e999",
                                        "nan",
                                        "99999999999999999999",
                                        "fields: ",
                                        "ingest: ",
                                        "zeromq: ",
                                        "results: ",
                                        "device: ",
                                        "rows: 100",
                                        "missing: 0",
                                        "scale: robust"};
  fuzz(corpus, words, [](Bytes bytes) {
    try {
      host::parse_config(std::string(text_of(bytes)), "lanner.yaml");
    } catch (const host::InvalidConfig& error) {
      EXPECT_FALSE(error.errors().empty());
      for (const host::ConfigError& fault : error.errors()) EXPECT_FALSE(fault.text().empty());
    }
  });
}

TEST(File, ConfigOfManyStreamsTakesTimeInProportion) {
  std::string yaml = "ingest:\n  - zeromq: {bind: \"tcp://127.0.0.1:5555\"}\nstreams:\n";
  for (int i = 0; i < 3000; ++i) {
    const std::string n = std::to_string(i);
    yaml += "  s" + n + ": {learn: {rows: 10}, features: [f" + n + ": {log1p: x}]}\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(host::parse_config(yaml, "lanner.yaml").streams.size(), 3000u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

}  // namespace
}  // namespace lanner::fuzz
