// `lanner fit`, `score` and `inspect` with a model of series, through the real binary.
#include <gmock/gmock.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/host/cli/command_line.hpp"

namespace lanner::host {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SeriesModels : public CommandLine {
 protected:
  /// Of two hosts by turns: what `disk` is follows `cpu`, but in the last `odd` rows.
  std::string machines(std::size_t n, std::size_t odd, const std::string& name) const {
    std::ostringstream text;
    text << "host,cpu,memory,disk\n";
    unsigned state = 9;
    for (std::size_t i = 0; i < n; ++i) {
      state = state * 1664525 + 1013904223;
      const double cpu = static_cast<double>(i / 2 % 40) + state / 4294967296.0;
      text << (i % 2 ? "a" : "b") << ',' << cpu << ',' << state % 1000 << ','
           << (i + odd < n ? cpu : 40 - cpu) << '\n';
    }
    return write(name, text.str());
  }
  Outcome fit(const std::string& more = "--set windows=5,20") const {
    return run("fit --data " + machines(1000, 0, "train.csv") +
               " --entity host --detector multivariate_series " + more + " --out " + path("m.lanner"));
  }
  std::vector<std::string> lines(const std::string& name) const {
    std::ifstream file(path(name));
    std::vector<std::string> result;
    for (std::string line; std::getline(file, line);) result.push_back(line);
    return result;
  }
};

TEST_F(SeriesModels, AreFittedInspectedAndScoreAFile) {
  const Outcome fitted = fit();
  ASSERT_EQ(fitted.status, 0) << fitted.err;
  EXPECT_THAT(fitted.out,
              AllOf(HasSubstr("multivariate_series, 3 metrics, sha256:"), HasSubstr("rows_fitted_on: 800"),
                    HasSubstr("rows_calibrated_on: 154"), HasSubstr("entities: 2")));
  const Outcome shown = run("inspect " + path("m.lanner"));
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("metrics      3: cpu memory disk\nentity       host\n"),
                               HasSubstr("800 rows of 15 features; an entity is warm with its row 24"),
                               HasSubstr("no p-value is guaranteed"), HasSubstr("windows=5,20")));
  const Outcome scored =
      run("score --model " + path("m.lanner") + " --data " + machines(300, 40, "test.csv") +
          " --false-alarm-rate 0.02 --explain " + path("why.jsonl") + " --out " + path("out.csv"));
  ASSERT_EQ(scored.status, 0) << scored.err;
  EXPECT_THAT(scored.out, HasSubstr("300 rows, "));
  const auto rows = lines("out.csv");
  ASSERT_EQ(rows.size(), 301u);
  EXPECT_EQ(rows[0], "score,p_value,threshold,flag");
  std::size_t flagged = 0, late = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    double score = 0, p_value = 0, threshold = 0;
    int flag = 0;
    ASSERT_EQ(std::sscanf(rows[i + 1].c_str(), "%lf,%lf,%lf,%d", &score, &p_value, &threshold, &flag), 4);
    EXPECT_EQ(flag & 8, i < 2 * 23 ? 0 : 8) << "each host's rows before its 24th have no p-value";
    if (i < 2 * 23) {
      EXPECT_EQ(p_value, 1);
    }
    flagged += flag & 1;
    late += i >= 260 ? flag & 1 : 0;
  }
  EXPECT_GT(late, 20u);
  EXPECT_LT(flagged - late, 10u);
  const auto why = lines("why.jsonl");
  EXPECT_EQ(why.size(), flagged);
  EXPECT_THAT(why.back(),
              AllOf(HasSubstr(R"("row":299,)"), HasSubstr(R"("base":0,"contributions":[{"feature":")"),
                    HasSubstr(R"({"feature":"disk","value":)")));
}

TEST_F(SeriesModels, AGpuHasTheSameBits) {
  ASSERT_EQ(fit().status, 0);
  const std::string data = " --data " + machines(120, 40, "test.csv");
  ASSERT_EQ(run("score --model " + path("m.lanner") + data + " --out " + path("cpu.csv")).status, 0);
  ASSERT_EQ(
      run("score --device emulated --model " + path("m.lanner") + data + " --out " + path("gpu.csv")).status,
      0);
  EXPECT_EQ(lines("gpu.csv"), lines("cpu.csv"));
}

TEST_F(SeriesModels, AConfigurationFitsThem) {
  write("lanner.yaml",
        "streams:\n  s:\n    entity: host\n    models:\n"
        "      - {file: machines.lanner, fit: {detector: multivariate_series, set: {windows: [5, 20]}}}\n"
        "ingest:\n  - zeromq: {bind: \"tcp://127.0.0.1:5555\"}\n");
  const Outcome fitted =
      run("fit --config " + path("lanner.yaml") + " --stream s --data " + machines(1000, 0, "train.csv"));
  ASSERT_EQ(fitted.status, 0) << fitted.err;
  EXPECT_EQ(run("check --config " + path("lanner.yaml")).status, 0);
  EXPECT_THAT(run("inspect " + path("machines.lanner")).out, HasSubstr("model        machines\n"));
}

TEST_F(SeriesModels, SayWhatIsWrongWithStatus2) {
  ASSERT_EQ(fit().status, 0);
  const std::string model = path("m.lanner"), out = " --out " + path("o.csv");
  write("narrow.csv", "host,cpu,disk\na,1,2\n");
  write("config.yaml",
        "streams:\n  s:\n    learn: {detector: multivariate_series}\n    fields: [a]\n"
        "ingest:\n  - zeromq: {bind: \"tcp://127.0.0.1:5555\"}\n");
  const std::string data = path("train.csv");
  const std::pair<std::string, std::string> cases[] = {
      {"fit --data " + data + " --detector multivariate_serie" + out, "(nearest: multivariate_series)"},
      {"fit --data " + data + " --detector multivariate_series --set k=3" + out,
       "k: found an unknown setting"},
      {"fit --data " + data + " --detector multivariate_series --set windows=9,5" + out, "windows: allowed"},
      {"fit --data " + data + " --detector multivariate_series --set windows=250" + out,
       "calibration: found 200 rows held out, and none of them the 254th of its entity or later"},
      {"score --model " + model + " --data " + path("narrow.csv") + out, "memory: found no such column"},
      {"check --config " + path("config.yaml"), "streams.s.learn.detector: found 'multivariate_series'"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_THAT(outcome.err, HasSubstr(message)) << arguments;
  }
}

}  // namespace
}  // namespace lanner::host
