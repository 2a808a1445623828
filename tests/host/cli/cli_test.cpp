// The command line's contract, through the real binary: what it prints, where, and its exit status.
#include "tests/host/cli/command_line.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace lanner::host {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

TEST_F(CommandLine, HelpHasAnExampleEverywhere) {
  for (const char* command :
       {"fit", "score", "evaluate", "series", "serve", "send", "listen", "check", "inspect", "devices"}) {
    const Outcome outcome = run(std::string(command) + " --help");
    EXPECT_EQ(outcome.status, 0) << command;
    EXPECT_THAT(outcome.out, HasSubstr("Example")) << command;
    const Outcome version = run(std::string(command) + " --version");
    EXPECT_EQ(version.status, 0) << command;
    EXPECT_THAT(version.out, HasSubstr("lanner "));
  }
  EXPECT_EQ(run("--help").status, 0);
}

TEST_F(CommandLine, UsageErrorsAreStatus2WithOneLine) {
  for (const char* arguments : {"", "fly", "fit", "score --model x", "fit --data x --bogus", "send --to x"}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
}

TEST_F(CommandLine, FitsScoresAndInspects) {
  const std::string data = rows(4000), fresh = rows(999, "fresh.csv", "0,50\n");
  for (const char* detector :
       {"nearest_neighbours", "local_outlier_factor", "kernel_density", "histogram", "autoencoder"}) {
    const Outcome fit = run("fit --data " + data + " --detector " + detector + " --out " + path("m.lanner"));
    ASSERT_EQ(fit.status, 0) << fit.err;
    const Outcome inspect = run("inspect " + path("m.lanner"));
    EXPECT_EQ(inspect.status, 0);
    EXPECT_THAT(inspect.out, HasSubstr(detector));
    EXPECT_THAT(inspect.out, HasSubstr("sha256:"));
    const Outcome score =
        run("score --model " + path("m.lanner") + " --data " + fresh + " --out " + path("s.csv"));
    ASSERT_EQ(score.status, 0) << score.err;
    std::ifstream scores(path("s.csv"));
    std::string line;
    std::getline(scores, line);
    EXPECT_EQ(line, "score,p_value,threshold,flag");
    int lines = 0;
    double p_value = 1, threshold = 0;
    for (; std::getline(scores, line); ++lines) {
      int flag = 0;
      ASSERT_EQ(std::sscanf(line.c_str(), "%*[^,],%lf,%lf,%d", &p_value, &threshold, &flag), 3) << line;
      EXPECT_EQ(threshold, 0.001);
      EXPECT_EQ((flag & 1) != 0, p_value <= threshold) << line;
      EXPECT_EQ((flag & 8) != 0, p_value < 1.0 / 801) << "beyond what 800 calibration rows support: " << line;
    }
    EXPECT_EQ(lines, 1000);
    // A histogram sees each feature alone: a corner of the cloud is as odd to it as a value far outside.
    EXPECT_LE(p_value, std::string(detector) == "histogram" ? 0.01 : 0.001)
        << detector << ": the planted row";
  }
}

TEST_F(CommandLine, AutoFitsWhatItChoosesAndSaysWhy) {
  const std::string data = rows(1000);
  const Outcome fit =
      run("fit --data " + data + " --detector auto --set event_us_max=2 --out " + path("m.lanner"));
  ASSERT_EQ(fit.status, 0) << fit.err;
  const Outcome inspect = run("inspect " + path("m.lanner"));
  EXPECT_THAT(inspect.out, HasSubstr("detector     mahalanobis: "));
  for (const std::string& text : {fit.out, inspect.out})
    EXPECT_THAT(text, HasSubstr("auto: 800 rows of 2 features; mahalanobis, because the first of the order"));
  EXPECT_EQ(run("score --model " + path("m.lanner") + " --data " + data + " --out " + path("s.csv")).status,
            0);

  const std::string labelled = write("labelled.csv", [] {
    std::ostringstream text;
    text << "x,y,odd\n";
    for (int i = 0; i < 300; ++i) text << i % 7 << ',' << i % 11 << ",0\n";
    for (int i = 0; i < 20; ++i) text << 50 + i % 3 << ',' << -40 - i % 4 << ",1\n";
    return text.str();
  }());
  const Outcome evaluate =
      run("evaluate --data " + labelled + " --label odd --detectors auto,histogram --seeds 1,2 " +
          "--set auto.event_us_max=2 --out " + path("table.csv"));
  ASSERT_EQ(evaluate.status, 0) << evaluate.err;
  EXPECT_THAT(evaluate.out, HasSubstr("auto chose mahalanobis for 2 of 2 runs"));
  std::ifstream table(path("table.csv"));
  std::string line;
  std::getline(table, line);
  std::getline(table, line);
  EXPECT_THAT(line, StartsWith("labelled,auto,1,"));
}

TEST_F(CommandLine, SegmentsAreCalibratedEachByItsOwnRows) {
  std::mt19937 generator(3);
  std::normal_distribution<double> normal;
  std::ostringstream text;
  text << "a,shop,note\n";
  std::vector<int> large;
  for (int i = 0; i < 12'000; ++i) {
    large.push_back(static_cast<int>(generator() & 1));
    text << normal(generator) * (large.back() ? 4 : 1) << ',' << (large.back() ? "large" : "small") << ",x\n";
  }
  const std::string data = write("shops.csv", text.str());
  const Outcome fit =
      run("fit --data " + data + " --detector mahalanobis --set segment=shop --set trim=false --out " +
          path("m.lanner"));
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_THAT(fit.err, HasSubstr("columns of text are left out: note"));
  const std::string inspect = run("inspect " + path("m.lanner")).out;
  EXPECT_THAT(inspect, HasSubstr("segment      large: "));
  EXPECT_THAT(inspect, HasSubstr("segment      small: "));
  EXPECT_THAT(inspect, HasSubstr("by 'shop'"));
  for (const char* device : {"cpu", "emulated"}) {
    ASSERT_EQ(
        run("score --model " + path("m.lanner") + " --data " + data + " --false-alarm-rate 0.01 --device " +
            device + " --out " + path(std::string(device) + ".csv"))
            .status,
        0);
  }
  EXPECT_EQ(std::system(("cmp -s " + path("cpu.csv") + " " + path("emulated.csv")).c_str()), 0);
  std::ifstream scores(path("cpu.csv"));
  std::string line;
  std::getline(scores, line);
  int flagged[2] = {0, 0};
  for (int i = 0; std::getline(scores, line); ++i)
    flagged[large.at(static_cast<std::size_t>(i))] += (line.back() - '0') & 1;
  // About 60 of the 6,000 of each; a common calibration flags none of the small shop's.
  EXPECT_GT(flagged[0], 25);
  EXPECT_LT(flagged[0], 110);
  EXPECT_GT(flagged[1], 25);
  EXPECT_LT(flagged[1], 110);
  ASSERT_EQ(run("score --model " + path("m.lanner") + " --data " + data + " --false-alarm-rate 0.01 --out " +
                path("s.csv") + " --explain " + path("why.jsonl"))
                .status,
            0);
  std::ifstream why(path("why.jsonl"));
  double least[2] = {1e9, 1e9};  // of what would have been normal for each
  for (int explained = 0; std::getline(why, line); ++explained) {
    const auto json = nlohmann::json::parse(line);
    double& own = least[large.at(json["row"].get<std::size_t>())];
    if (!json["counterfactual"].is_null()) own = std::min(own, json["counterfactual"]["score"].get<double>());
    EXPECT_LT(explained, 300);
  }
  EXPECT_GT(least[1], 4 * least[0]) << "a large shop's normal is no small one's";
  EXPECT_THAT(run("fit --data " + data + " --set segment=shp --out x").err,
              HasSubstr("segment: found 'shp', allowed a field of text or the entity: none, shop, note"));
}

TEST_F(CommandLine, ExplainsWhatItFlags) {
  const std::string fresh = rows(300, "fresh.csv", "0,50\n40,-90\n");
  ASSERT_EQ(run("fit --data " + rows(4000) +
                " --detector nearest_neighbours --set k=10 scale=standard --out " + path("m.lanner"))
                .status,
            0);
  const Outcome score = run("score --model " + path("m.lanner") + " --data " + fresh + " --out " +
                            path("s.csv") + " --explain " + path("why.jsonl"));
  ASSERT_EQ(score.status, 0) << score.err;
  std::ifstream lines(path("why.jsonl"));
  std::map<std::size_t, nlohmann::json> why;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    why[json["row"]] = json;
  }
  std::ifstream scores(path("s.csv"));
  std::string line;
  std::getline(scores, line);
  for (std::size_t row = 0; std::getline(scores, line); ++row)
    EXPECT_EQ(why.contains(row), std::atoi(line.substr(line.rfind(',') + 1).c_str()) % 2 == 1) << line;

  const auto& far = why.at(300);
  EXPECT_EQ(far["contributions"][0]["feature"], "b");
  EXPECT_NEAR(far["contributions"][0]["value"].get<double>(), 50, 1e-4);
  double sum = far["base"].get<double>();
  for (const auto& part : far["contributions"]) sum += part["contribution"].get<double>();
  EXPECT_NEAR(sum, far["score"].get<double>(), 1e-5 * sum);
  EXPECT_LT(far["nearest_normal"]["score"], far["score"]);
  EXPECT_NEAR(far["nearest_normal"]["values"]["b"].get<double>(), 0, 5) << "in the field's own unit";
  EXPECT_EQ(far["counterfactual"]["feature"], "b");
  EXPECT_TRUE(why.at(301)["counterfactual"].is_null()) << "no single feature can";

  // The change, made in the file, is one that isn't flagged any more.
  std::ostringstream changed;
  changed.precision(17);
  changed << "a,b\n0," << far["counterfactual"]["instead"].get<double>() << "\n0,50\n";
  ASSERT_EQ(run("score --model " + path("m.lanner") + " --data " + write("changed.csv", changed.str()) +
                " --out " + path("c.csv"))
                .status,
            0);
  std::ifstream again(path("c.csv"));
  std::getline(again, line);
  std::getline(again, line);
  EXPECT_EQ(std::strtof(line.c_str(), nullptr), far["counterfactual"]["score"].get<float>());
  EXPECT_EQ(std::atoi(line.substr(line.rfind(',') + 1).c_str()) & 1, 0) << line;

  const Outcome nowhere = run("score --model " + path("m.lanner") + " --data " + fresh + " --out " +
                              path("s.csv") + " --explain /nowhere/why.jsonl");
  EXPECT_EQ(nowhere.status, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("--explain: found '/nowhere/why.jsonl'"));
}

TEST_F(CommandLine, SettingsFollowOneFlagOrEachTheirOwn) {
  const std::string data = rows(500);
  for (const char* set : {"--set k=7 scale=standard", "--set k=7 --set scale=standard"}) {
    ASSERT_EQ(run("fit --data " + data + " " + set + " --out " + path("m.lanner")).status, 0) << set;
    const std::string text = run("inspect " + path("m.lanner")).out;
    EXPECT_THAT(text, HasSubstr("k=7")) << set;
    EXPECT_THAT(text, HasSubstr("scale=standard")) << set;
  }
  EXPECT_THAT(run("fit --data " + data + " --set k=7 stray --out " + path("m.lanner")).err,
              HasSubstr("--set: found 'stray'"));
}

TEST_F(CommandLine, TheSameSeedGivesTheSameFile) {
  const std::string data = rows(500);
  for (const char* folder : {"one", "two"}) {
    fs::create_directory(path(folder));
    ASSERT_EQ(
        run("fit --data " + data + " --detector autoencoder --seed 5 --out " + path(folder) + "/m.lanner")
            .status,
        0);
  }
  EXPECT_EQ(std::system(("cmp -s " + path("one/m.lanner") + " " + path("two/m.lanner")).c_str()), 0);
}

TEST_F(CommandLine, EveryTierGivesTheSameScores) {
  const std::string data = rows(700);
  ASSERT_EQ(run("fit --data " + data + " --out " + path("m.lanner")).status, 0);
  const auto score = [&](const std::string& tier, const std::string& out) {
    return run("score --model " + path("m.lanner") + " --data " + data + " --out " + path(out),
               "LANNER_THREADS=1 LANNER_CPU=" + tier);
  };
  ASSERT_EQ(score("scalar", "scalar.npy").status, 0);
  const Outcome avx2 = score("avx2", "avx2.npy");
  if (avx2.status == 2) GTEST_SKIP() << "this machine has no AVX2";
  EXPECT_EQ(std::system(("cmp -s " + path("scalar.npy") + " " + path("avx2.npy")).c_str()), 0);
}

TEST_F(CommandLine, FaultsOfTheUserAreStatus2AndNameThePlace) {
  const std::string data = rows(200);
  ASSERT_EQ(run("fit --data " + data + " --out " + path("m.lanner")).status, 0);
  const std::string bad_cell = write("bad.csv", "a,b\n1,2\n3\n");
  const std::string text_column = write("text.csv", "a,b\n1,x\n2,y\n");
  const std::string other_columns = write("other.csv", "a,c\n1,2\n");
  const struct {
    std::string arguments, expected;
  } cases[] = {
      {"fit --data /nowhere.csv --out x", "/nowhere.csv"},
      {"fit --data " + data + " --detector nearest_neighbors --out x", "nearest_neighbours"},
      {"fit --data " + data + " --set kk=3 --out " + path("x"), "kk"},
      {"fit --data " + data + " --set k=-3 --out " + path("x"), "k: found"},
      {"fit --data " + data + " --set k --out " + path("x"), "--set: found 'k'"},
      {"fit --data " + bad_cell + " --out " + path("x"), "bad.csv:3:"},
      {"fit --data " + data, "--out"},
      {"score --model " + data + " --data " + data + " --out " + path("x.csv"), "rows.csv"},
      {"score --model /nowhere --data " + data + " --out " + path("x.csv"), "/nowhere"},
      {"score --model " + path("m.lanner") + " --data " + text_column + " --out " + path("x.csv"),
       "b: found text, allowed numbers"},
      {"score --model " + path("m.lanner") + " --data " + other_columns + " --out " + path("x.csv"),
       "b: found no such column"},
      {"score --model " + path("m.lanner") + " --data " + data + " --out " + path("x.csv") +
           " --false-alarms-per-day 5",
       "--false-alarms-per-day"},
      {"inspect " + data, "rows.csv"},
      {"check --config /nowhere.yaml", "/nowhere.yaml:1:"},
      {"serve --model x", "--stream: found nothing"},
  };
  for (const auto& [arguments, expected] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments << '\n' << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(expected)) << arguments;
  }
  EXPECT_EQ(run("devices", "LANNER_CPU=sse9").status, 2);
  EXPECT_EQ(run("devices", "LANNER_THREADS=none").status, 2);
}

TEST_F(CommandLine, AForcedGpuThatIsNotThereIsStatus3) {
  const std::string data = rows(200);
  ASSERT_EQ(run("fit --data " + data + " --out " + path("m.lanner")).status, 0);
  EXPECT_EQ(
      run("score --device cuda --model " + path("m.lanner") + " --data " + data + " --out " + path("x.csv"))
          .status,
      3);
  EXPECT_FALSE(fs::exists(path("x.csv")));
}

TEST_F(CommandLine, AGpuScoresToTheSameFile) {
  const std::string data = rows(20'000, "many.csv", "nan,1\n");
  ASSERT_EQ(run("fit --data " + data + " --detector histogram --out " + path("m.lanner")).status, 0);
  const auto scored = [&](const std::string& device, const std::string& environment) {
    const Outcome outcome = run("score --device " + device + " --model " + path("m.lanner") + " --data " +
                                    data + " --out " + path("s.csv"),
                                environment);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(device == "cpu" ? "(cpu" : "(emulated GPU"));
    std::stringstream text;
    text << std::ifstream(path("s.csv")).rdbuf();
    return text.str();
  };
  const std::string expected = scored("cpu", "");
  for (const char* options : {"", "seed=1", "seed=2"})
    EXPECT_EQ(scored("emulated", std::string("LANNER_EMULATED=") + options), expected) << options;
  EXPECT_NE(scored("emulated", "LANNER_EMULATED=perturb=1"), expected);
  fs::remove(path("s.csv"));
  const Outcome failed = run(
      "score --device emulated --model " + path("m.lanner") + " --data " + data + " --out " + path("s.csv"),
      "LANNER_EMULATED=fail_at=60,failure=lost");
  EXPECT_EQ(failed.status, 3) << "there is no falling back where a GPU is asked for";
  EXPECT_FALSE(fs::exists(path("s.csv")));
  EXPECT_EQ(run("devices", "LANNER_EMULATED=speed=9").status, 0);
}

TEST_F(CommandLine, AGpuHelpsToFitTheSameFile) {
  const std::string data = rows(2000);
  const auto fitted = [&](const std::string& arguments, const std::string& environment = "") {
    const Outcome outcome =
        run("fit --data " + data + " --out " + path("m.lanner") + " " + arguments, environment);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    std::stringstream bytes;
    bytes << std::ifstream(path("m.lanner"), std::ios::binary).rdbuf();
    return bytes.str();
  };
  const std::string expected = fitted("--detector histogram");
  EXPECT_EQ(fitted("--detector histogram --device cpu"), expected);
  EXPECT_EQ(fitted("--detector histogram --device emulated"), expected);
  EXPECT_NE(fitted("--detector histogram --device emulated", "LANNER_EMULATED=perturb=1"), expected);

  fitted("--detector autoencoder --set epochs=1 --device emulated");
  const Outcome score =
      run("score --model " + path("m.lanner") + " --data " + data + " --out " + path("s.csv"));
  EXPECT_EQ(score.status, 0) << score.err;

  const std::string fit =
      "fit --data " + data + " --out " + path("none.lanner") + " --detector histogram --device ";
  const Outcome lost = run(fit + "emulated", "LANNER_EMULATED=fail_at=4,failure=lost");
  EXPECT_EQ(lost.status, 3);
  EXPECT_THAT(lost.err, HasSubstr("the context was lost"));
  EXPECT_EQ(run(fit + "cuda", "CUDA_VISIBLE_DEVICES=").status, 3);
  EXPECT_EQ(run(fit + "abacus").status, 2);
  EXPECT_FALSE(fs::exists(path("none.lanner")));
}

TEST_F(CommandLine, FalseDiscoveryRateOverTheFile) {
  const std::string data = rows(1000);
  ASSERT_EQ(run("fit --data " + data + " --out " + path("m.lanner")).status, 0);
  const Outcome outcome = run("score --false-discovery-rate 0.1 --model " + path("m.lanner") + " --data " +
                              data + " --out " + path("s.csv"));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST_F(CommandLine, ChecksAConfigurationWithoutStartingIt) {
  const Outcome fine = run("check --config " LANNER_SOURCE_DIR "/configs/quickstart.yaml");
  EXPECT_EQ(fine.status, 0) << fine.err;
  const std::string bad = write("bad.yaml", "streams:\n  s:\n    lern: {rows: 10}\ningest: []\n");
  const Outcome outcome = run("check --config " + bad);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("bad.yaml:3: streams.s.lern: found an unknown key"));
  EXPECT_THAT(outcome.err, HasSubstr("bad.yaml:4: ingest: found"));
}

TEST_F(CommandLine, EveryFaultOfAStartIsSaidAtOnceWithItsLine) {
  const std::string data = rows(200);
  ASSERT_EQ(run("fit --data " + data + " --out " + path("m.lanner")).status, 0);
  const std::string config = write("all.yaml", R"(streams:
  broken: {fields: [a], learn: {rows: 1}}
  lost:
    models:
      - {file: m.lanner}
      - {file: nowhere.lanner, role: shadow}
  others:
    fields: [a, c]
    models: [{file: m.lanner}]
ingest:
  - zeromq: {bind: "tcp://127.0.0.1:5555", delivery: ack}
  - zeromq: {bind: "tcp://0.0.0.0:5556"}
publish: [{zeromq: {bind: "tcp://*:5557"}}]
api: {bind: "0.0.0.0:8080"}
device: {require: cuda}
)");
  const Outcome outcome = run("check --config " + config);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 8) << outcome.err;
  std::size_t at = 0;
  for (const char* expected :
       {":2: streams.broken.learn.rows: found '1'", ":6: streams.lost.models.file: found ",
        ":9: streams.others.models.file: found ", ":11: ingest.zeromq.delivery: found 'ack'",
        ":12: ingest.zeromq.bind: found 'tcp://0.0.0.0:5556', allowed only loopback",
        ":13: publish.zeromq.bind: found 'tcp://*:5557'", ":14: api.bind: found '0.0.0.0:8080'",
        ":15: device.require: found 'cuda'"}) {
    const std::size_t found = outcome.err.find(config + expected, at);
    EXPECT_NE(found, std::string::npos) << expected << "\nin this order in\n" << outcome.err;
    at = found == std::string::npos ? at : found;
  }
  const Outcome serve = run("serve --config " + config);
  EXPECT_EQ(serve.status, 2);
  EXPECT_EQ(serve.err, outcome.err);
}

TEST_F(CommandLine, ARequiredDeviceThatIsAllThatIsMissingIsStatus3) {
  const std::string config = write("gpu.yaml",
                                   "streams: {s: {fields: [a], learn: {rows: 10}}}\n"
                                   "ingest: [{zeromq: {bind: \"ipc://" +
                                       path("in") + "\"}}]\ndevice: {require: cuda}\n");
  for (const char* command : {"check", "serve"}) {
    const Outcome outcome = run(std::string(command) + " --config " + config);
    EXPECT_EQ(outcome.status, 3) << command;
    EXPECT_THAT(outcome.err, HasSubstr("gpu.yaml:3: device.require: found 'cuda'")) << command;
  }
}

TEST_F(CommandLine, AStreamsFeaturesAreThoseOfItsModel) {
  rows(300);
  const std::string start = "streams:\n  s:\n    features:\n",
                    models =
                        "    models:\n"
                        "      - file: m.lanner\n"
                        "        fit: {set: {scale: standard}}\n"
                        "ingest: [{zeromq: {bind: \"ipc://in\"}}]\n";
  const std::string features =
      "      - a: {log1p: a, scale: robust, missing: median}\n"
      "      - b: {identity: b, missing: 0.1, categories_max: 8}\n";
  write("win.yaml", start + features + models);
  // From the folder of the configuration, where the model has no folder of its own.
  const std::string here = "cd " + folder_.string() + " &&";
  const Outcome fit = run("fit --config win.yaml --stream s --data rows.csv", here);
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_TRUE(fs::exists(path("m.lanner")));
  EXPECT_EQ(run("check --config win.yaml", here).status, 0)
      << "what it was fitted with, the scale of the fit included";
  write("none.yaml", "streams:\n  s:\n" + models);
  EXPECT_EQ(run("check --config none.yaml", here).status, 0) << "the model brings them";
  const struct {
    const char *features, *first;
  } others[] = {
      {"      - a: {log1p: a, scale: robust, missing: mean}\n      - b: {identity: b, missing: 0.1, "
       "categories_max: 8}\n",
       "'a'"},
      {"      - a: {log1p: a, scale: robust, missing: median}\n", "'b'"},
      {"      - a: {log1p: a, scale: robust, missing: median}\n      - b: {identity: b, missing: 0.1, "
       "categories_max: 8}\n      - c\n",
       "'c'"},
  };
  for (const auto& [other, first] : others) {
    write("other.yaml", start + other + models);
    const Outcome outcome = run("check --config other.yaml", here);
    EXPECT_EQ(outcome.status, 2) << other;
    EXPECT_THAT(outcome.err,
                HasSubstr("other.yaml:4: streams.s.features: found features other than those that "
                          "m.lanner was fitted with (the first: " +
                          std::string(first) + "), allowed the model's own: fit it again"));
  }
}

TEST_F(CommandLine, FeaturesOfAStreamThatHasLearnedAreThoseThatItLearnedWith) {
  ASSERT_EQ(run("fit --data " + rows(300) + " --out " + path("learned.lanner")).status, 0);
  const auto config = [&](const std::string& features) {
    return write("learns.yaml", "streams:\n  s:\n    features: " + features +
                                    "\n    learn: {rows: 300, save: learned.lanner}\n"
                                    "ingest: [{zeromq: {bind: \"ipc://in\"}}]\n");
  };
  EXPECT_EQ(run("check --config " + config("[a, b]")).status, 0);
  const Outcome outcome = run("check --config " + config("[a, {b: {log1p: b}}]"));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("remove the file to learn again"));
}

}  // namespace
}  // namespace lanner::host
