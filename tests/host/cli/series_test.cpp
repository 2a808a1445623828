// `lanner series`, and `lanner evaluate` on series, through the real binary.
#include <gmock/gmock.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/host/cli/command_line.hpp"

namespace lanner::host {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string shared_data = LANNER_SOURCE_DIR "/../shared/data";

class SeriesCommand : public CommandLine {
 protected:
  /// Half-hours of a noisy day, each row's time, with a spike; row `missing` has no value.
  std::string series(std::size_t n, std::size_t spike, std::size_t missing = 1'000'000,
                     const std::string& name = "series.csv") const {
    std::ostringstream text;
    text << "timestamp,value\n";
    unsigned state = 9;
    for (std::size_t i = 0; i < n; ++i) {
      state = state * 1664525 + 1013904223;
      text << time(i) << ',';
      if (i != missing) text << 100 + (i % 48 < 24 ? 50 : 0) + state / 4294967296.0 + (i == spike ? 500 : 0);
      text << '\n';
    }
    return write(name, text.str());
  }
  static std::string time(std::size_t row) {
    char text[64];
    std::snprintf(text, sizeof text, "2026-%02zu-%02zu %02zu:%02zu:00", 1 + row / (48 * 28),
                  1 + row / 48 % 28, row / 2 % 24, row % 2 * 30);
    return text;
  }
  std::vector<std::string> lines(const std::string& name) const {
    std::ifstream file(path(name));
    std::vector<std::string> result;
    for (std::string line; std::getline(file, line);) result.push_back(line);
    return result;
  }
};

TEST_F(SeriesCommand, WritesARowForEveryRow) {
  const Outcome outcome =
      run("series --data " + series(2000, 1500, 1200) + " --warm-up 300 --out " + path("out.csv"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("2000 rows"), HasSubstr("300 rows learned from first"),
                                 HasSubstr("1 without a value")));
  const auto rows = lines("out.csv");
  ASSERT_EQ(rows.size(), 2001u);
  EXPECT_EQ(rows[0], "score,alarm,expected,point,shape,stretch,season");
  EXPECT_EQ(rows[300], "0,0,,,,,") << "the warm-up's last row";
  EXPECT_NE(rows[301], "0,0,,,,,");
  EXPECT_EQ(rows[1201], "0,0,,,,,") << "no value";
  double score = 0;
  int alarm = 0;
  ASSERT_EQ(std::sscanf(rows[1501].c_str(), "%lf,%d", &score, &alarm), 2);
  EXPECT_GE(score, 2.5);
  EXPECT_EQ(alarm, 1);
}

TEST_F(SeriesCommand, WhatComesLaterChangesNothing) {
  ASSERT_EQ(run("series --data " + series(1400, 1300) + " --warm-up 300 --out " + path("short.csv")).status,
            0);
  ASSERT_EQ(run("series --data " + series(2000, 1300) + " --warm-up 300 --out " + path("long.csv")).status,
            0);
  auto all = lines("long.csv");
  all.resize(1401);
  EXPECT_EQ(lines("short.csv"), all);
}

TEST_F(SeriesCommand, TakesOtherColumnsAndNoTimes) {
  write("plain.csv", "other,load\na,1\nb,2\nc,3\n");
  EXPECT_EQ(
      run("series --data " + path("plain.csv") + " --time none --value load --out " + path("o.csv")).status,
      0);
  EXPECT_EQ(lines("o.csv").size(), 4u);
}

TEST_F(SeriesCommand, SaysWhatIsWrongWithStatus2) {
  const std::string data = series(100, 50), out = " --out " + path("o.csv");
  write("text.csv", "timestamp,value\n2026-01-01,high\n");
  const std::pair<std::string, std::string> cases[] = {
      {"series --data " + path("none.csv") + out, "none.csv"},
      {"series --data " + data + " --value load" + out, "found no column 'load', allowed value"},
      {"series --data " + data + " --time at" + out, "found no column 'at', allowed timestamp, value"},
      {"series --data " + path("text.csv") + out, "found text, allowed numbers"},
      {"series --data " + data + " --warm-up 3" + out, "warm_up: allowed 20 to 1000000 rows"},
      {"series --data " + data + " --threshold -1" + out, "threshold: allowed a number above 0"},
      {"series --data " + data + " --out " + path("none/o.csv"), "allowed a path that can be written"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_THAT(outcome.err, HasSubstr(message)) << arguments;
  }
}

class EvaluateSeries : public SeriesCommand {
 protected:
  /// Two series, one with a window of 40 rows that begins with its spike.
  std::string corpus() const {
    std::filesystem::create_directories(folder_ / "nab/data/some");
    series(2000, 1500, 1'000'000, "nab/data/some/spike.csv");
    series(2000, 1'000'000, 1'000'000, "nab/data/some/quiet.csv");
    return path("nab");
  }
  std::string labels(const std::string& more = "") const {
    return write("windows.json", R"({"some/spike.csv": [[")" + time(1500) + ".000000\", \"" + time(1539) +
                                     ".000000\"]], \"some/quiet.csv\": []" + more + "}");
  }
};

TEST_F(EvaluateSeries, NabFindsTheWindow) {
  for (const std::string& data :
       {corpus(), path("nab/data/some/spike.csv") + " " + path("nab/data/some/quiet.csv")}) {
    const Outcome outcome =
        run("evaluate --protocol nab --data " + data + " --labels " + labels() + " --out " + path("nab.csv"));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const auto rows = lines("nab.csv");
    ASSERT_EQ(rows.size(), 1u + 3 * 2 * 3);
    EXPECT_EQ(rows[0], "dataset,profile,choice,threshold,windows,found,false_positives,raw,score");
    EXPECT_THAT(rows[1], ::testing::StartsWith("some/spike.csv,standard,fixed,2.5,1,1,"));
    EXPECT_THAT(rows[3], ::testing::StartsWith("total,standard,fixed,2.5,1,1,"));
    EXPECT_THAT(outcome.out, HasSubstr("1/1"));
  }
}

TEST_F(EvaluateSeries, NabTakesProfilesAndAWarmUp) {
  write("profiles.json", R"({"mine": {"CostMatrix": {"tpWeight": 1, "fnWeight": 3, "fpWeight": 0.5}}})");
  const Outcome outcome =
      run("evaluate --protocol nab --data " + corpus() + " --labels " + labels() + " --profiles " +
          path("profiles.json") + " --warm-up 1600 --out " + path("nab.csv"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto rows = lines("nab.csv");
  ASSERT_EQ(rows.size(), 1u + 2 * 3);
  EXPECT_THAT(rows[1], ::testing::StartsWith("some/spike.csv,mine,fixed,2.5,1,0,")) << "still warming up";
}

TEST_F(EvaluateSeries, SaysWhatIsWrongWithStatus2) {
  const std::string nab = "evaluate --protocol nab --out " + path("o.csv") + " --data ";
  const std::string folder = corpus(), good = labels();
  write("broken.json", "{");
  write("away.json", R"({"some/spike.csv": [["2031-01-01", "2031-01-02"]]})");
  write("single.json", R"({"some/spike.csv": [["2026-01-01"]]})");
  write("elsewhere.json", R"({"a.csv": []})");
  write("tiny.csv", "timestamp,value\n2026-01-01,1\n");
  write("tiny.json", R"({"tiny.csv": []})");
  write("profiles.json", R"({"mine": {"CostMatrix": {"tpWeight": 1}}})");
  const std::pair<std::string, std::string> cases[] = {
      {folder, "--labels: found none"},
      {folder + " --labels " + path("none.json"), "can't be read"},
      {folder + " --labels " + path("broken.json"), "found no JSON object"},
      {folder + " --labels " + path("away.json"), "allowed times of the series"},
      {folder + " --labels " + path("single.json"), "allowed [first, last]"},
      {folder + " --labels " + path("elsewhere.json"), "found none of the files"},
      {path("tiny.csv") + " --labels " + good, "found no windows for it"},
      {path("tiny.csv") + " --labels " + path("tiny.json"), "1 rows: series: warm_up"},
      {folder + " --labels " + good + " --profiles " + path("profiles.json"), "CostMatrix.fnWeight"},
      {folder + " --labels " + good + " --detectors histogram",
       "--detectors: found 'histogram', allowed auto with --protocol nab"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(nab + arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_THAT(outcome.err, HasSubstr(message)) << arguments;
  }
  const Outcome tables = run("evaluate --data x.npz --labels y --out " + path("o.csv"));
  EXPECT_EQ(tables.status, 2);
  EXPECT_THAT(tables.err, HasSubstr("--labels: not for --protocol adbench"));
  const Outcome machines = run("evaluate --protocol series --data " + rows(50) + " --out " + path("o.csv"));
  EXPECT_EQ(machines.status, 2);
  EXPECT_THAT(machines.err, HasSubstr("test_label: found none"));
}

TEST_F(EvaluateSeries, NabsElevenSeriesKeepTheirScore) {
  const std::string nab = shared_data + "/nab";
  if (!std::filesystem::exists(nab)) GTEST_SKIP() << "no series in ../shared/data/nab";
  const Outcome outcome =
      run("evaluate --protocol nab --data " + nab + " --labels " + nab +
          "/combined_windows.json --profiles " + nab + "/profiles.json --out " + path("nab.csv"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::map<std::string, double> score;
  for (const std::string& line : lines("nab.csv")) {
    char profile[32], choice[16];
    double threshold, raw, normalised;
    int windows, found, wrong;
    if (std::sscanf(line.c_str(), "total,%31[^,],%15[^,],%lf,%d,%d,%d,%lf,%lf", profile, choice, &threshold,
                    &windows, &found, &wrong, &raw, &normalised) != 8)
      continue;
    score[std::string(profile) + " " + choice] = normalised;
    EXPECT_EQ(found, windows) << line;
  }
  EXPECT_GE(score["standard fixed"], 85);
  EXPECT_NEAR(score["standard fixed"], 87.30, 0.01);
  EXPECT_NEAR(score["reward_low_FP_rate fixed"], 79.58, 0.01);
  EXPECT_NEAR(score["reward_low_FN_rate fixed"], 91.53, 0.01);
  EXPECT_GE(score["standard optimised"], score["standard fixed"]);
}

TEST_F(EvaluateSeries, ServerMetricsKeepTheirScore) {
  std::string machines;
  for (const char* name :
       {"smd/machine-1-6", "smd/machine-2-1", "smd/machine-3-4", "asd/omi-1", "asd/omi-6"}) {
    const std::string file = shared_data + "/" + name + ".npz";
    if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << name << ".npz in ../shared/data";
    machines += " " + file;
  }
  const Outcome outcome = run("evaluate --protocol series --data" + machines + " --out " + path("m.csv"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  double sum = 0, hits = 0, random_hits = 0;
  int files = 0, explained = 0;
  for (const std::string& line : lines("m.csv")) {
    double auc_roc, hit_rate, random_hit_rate;
    int events;
    if (std::sscanf(line.c_str(), "%*[^,],%*d,%*d,%lf,%*f,%*f,%*f,%*f,%*f,%d,%*f,%*f,%lf,%lf", &auc_roc,
                    &events, &hit_rate, &random_hit_rate) != 4)
      continue;
    sum += auc_roc;
    hits += events * hit_rate;
    random_hits += events * random_hit_rate;
    explained += events;
    ++files;
  }
  EXPECT_EQ(explained, 68);
  EXPECT_NEAR(hits / explained, 0.490, 0.001);
  EXPECT_NEAR(random_hits / explained, 0.262, 0.001);
  ASSERT_EQ(files, 5);
  EXPECT_GE(sum / files, 0.89);
  EXPECT_NEAR(sum / files, 0.9054, 0.0002);
}

TEST_F(EvaluateSeries, AnInterpretationThatIsNoneIsRefusedWithItsLine) {
  const std::string machine = shared_data + "/asd/omi-6.npz";
  if (!std::filesystem::exists(machine)) GTEST_SKIP() << "no asd/omi-6.npz in ../shared/data";
  std::filesystem::create_symlink(std::filesystem::absolute(machine), path("omi.npz"));
  for (const auto& [text, message] : std::initializer_list<std::pair<const char*, const char*>>{
           {"357-392:4,19\nnonsense\n", "omi.interpretation.txt:2: found 'nonsense'"},
           {"357-392:4,\n", "found '357-392:4,'"},
           {"357-392:4,20\n", "found metric 20, allowed each once from 1 to 19"},
           {"357-392:0\n", "found metric 0"},
           {"357-392:4,4\n", "found metric 4"},
           {"358-392:4\n", "explained at row 358, where none begins"}}) {
    write("omi.interpretation.txt", text);
    const Outcome outcome =
        run("evaluate --protocol series --data " + path("omi.npz") + " --out " + path("m.csv"));
    EXPECT_EQ(outcome.status, 2) << text;
    EXPECT_THAT(outcome.err, HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace lanner::host
