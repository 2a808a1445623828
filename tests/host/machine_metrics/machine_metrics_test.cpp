// The producer against a plain ZeroMQ socket, and the disturbance against the machine.
#include "host/machine_metrics/machine_metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>
#include <zmq.hpp>

#include "host/machine_metrics/proc_text.hpp"

namespace lanner::host {
namespace {

using Json = nlohmann::json;

struct Said {
  std::vector<std::string> lines;
  Say take() {
    return [this](const std::string& line) { lines.push_back(line); };
  }
};

TEST(MachineMetrics, SendsOneEventABatch) {
  zmq::context_t context;
  zmq::socket_t host(context, zmq::socket_type::pull);
  host.set(zmq::sockopt::rcvtimeo, 10'000);
  host.bind("tcp://127.0.0.1:*");
  MachineMetricsOptions options;
  options.to = host.get(zmq::sockopt::last_endpoint);
  options.stream = "machine";
  options.every_ms = 50;
  options.seconds = 20;
  Said said;
  std::int64_t last = 0;
  std::jthread producer([&] { EXPECT_EQ(run_machine_metrics(options, said.take()), 0); });
  for (int event = 0; event < 3; ++event) {
    zmq::message_t header, payload;
    ASSERT_TRUE(host.recv(header));
    ASSERT_TRUE(header.more());
    ASSERT_TRUE(host.recv(payload));
    EXPECT_FALSE(payload.more());
    EXPECT_EQ(Json::parse(header.to_string()), (Json{{"v", 1}, {"stream", "machine"}, {"format", "jsonl"}}));
    const std::string text = payload.to_string();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
    EXPECT_EQ(text.back(), '\n');
    const Json line = Json::parse(text);
    ASSERT_TRUE(line.at("at").is_number_integer());
    EXPECT_GT(line.at("at").get<std::int64_t>(), last);
    last = line.at("at").get<std::int64_t>();
    EXPECT_FALSE(line.at("host").get<std::string>().empty());
    for (const machine::Metric& metric : machine::metrics()) {
      if (!line.contains(metric.name)) continue;
      EXPECT_TRUE(line[std::string(metric.name)].is_number() || line[std::string(metric.name)].is_null());
    }
    EXPECT_TRUE(line.contains("cpu_user") && line.contains("memory_available") &&
                line.contains("page_faults"));
  }
  raise(SIGTERM);  // its handler is the producer's while it runs
  producer.join();
  ASSERT_FALSE(said.lines.empty());
  EXPECT_THAT(said.lines.back(), testing::StartsWith("sent "));
}

TEST(MachineMetrics, WithNobodyThereItDropsAndEndsInTime) {
  MachineMetricsOptions options;
  options.to = "tcp://127.0.0.1:9";
  options.stream = "machine";
  options.every_ms = 20;
  options.seconds = 0.3;
  Said said;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run_machine_metrics(options, said.take()), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_THAT(said.lines.back(), testing::StartsWith("sent 0 events, "));
}

TEST(MachineMetrics, RefusesOptionsThatCannotBe) {
  MachineMetricsOptions good;
  good.to = "tcp://127.0.0.1:9";
  good.stream = "machine";
  good.seconds = 0.05;
  const auto refused = [&](auto change) {
    MachineMetricsOptions options = good;
    change(options);
    EXPECT_THROW(run_machine_metrics(options, [](const std::string&) {}), std::invalid_argument);
  };
  refused([](auto& o) { o.to = "nowhere"; });
  refused([](auto& o) { o.to = ""; });
  refused([](auto& o) { o.stream = ""; });
  refused([](auto& o) { o.every_ms = 0; });
  refused([](auto& o) { o.every_ms = std::numeric_limits<double>::quiet_NaN(); });
  refused([](auto& o) { o.seconds = -1; });
  refused([](auto& o) { o.time_field = "host"; });
  refused([](auto& o) { o.entity_field = "cpu_user"; });
}

TEST(MachineMetrics, DescribesWhatThereIs) {
  EXPECT_THAT(describe_machine_metrics(), testing::HasSubstr("cpu_user [share of all CPUs]"));
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

class Disturbance : public testing::Test {
 protected:
  Disturbance() {
    options_.folder = std::filesystem::path(testing::TempDir()) / ("disturbance" + std::to_string(getpid()));
    options_.memory_bytes_max = 8 << 20;
    options_.file_bytes_max = 4 << 20;
    std::filesystem::create_directories(options_.folder);
  }
  ~Disturbance() override { std::filesystem::remove_all(options_.folder); }

  DisturbanceOptions options_;
};

TEST_F(Disturbance, IsRealBoundedAndLeavesNothing) {
  options_.seconds = 0.6;
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  const double cpu = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  Said said;
  EXPECT_EQ(run_disturbance(options_, said.take()), 0);
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  getrusage(RUSAGE_SELF, &after);
  EXPECT_GE(wall, 0.6);
  EXPECT_GT(cpu_seconds() - cpu, 0.05);
  EXPECT_GE(after.ru_minflt - before.ru_minflt, 1000)
      << "8 MiB are 2048 pages, a tenth of what is available allowing";
  EXPECT_TRUE(std::filesystem::is_empty(options_.folder));
  EXPECT_EQ(said.lines.size(), 2u);
}

TEST_F(Disturbance, EndsCleanlyWhenTold) {
  options_.seconds = 600;
  int begun[2];
  ASSERT_EQ(pipe(begun), 0);
  const pid_t child = fork();
  if (child == 0)
    _exit(run_disturbance(options_, [&](const std::string&) { (void)!write(begun[1], "x", 1); }));
  char byte;
  ASSERT_EQ(read(begun[0], &byte, 1), 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(std::filesystem::is_empty(options_.folder)) << "its file has no name even while it is written";
  kill(child, SIGTERM);
  int status = 0;
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(waitpid(child, &status, 0), child);
  for (const int end : begun) close(end);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Disturbance, RefusesOptionsThatCannotBe) {
  const auto quiet = [](const std::string&) {};
  for (const double seconds : {0.0, -1.0, 601.0, std::numeric_limits<double>::quiet_NaN()}) {
    options_.seconds = seconds;
    EXPECT_THROW(run_disturbance(options_, quiet), std::invalid_argument);
  }
  options_.seconds = 1;
  options_.folder /= "not there";
  EXPECT_THROW(run_disturbance(options_, quiet), std::system_error);
}

}  // namespace
}  // namespace lanner::host
