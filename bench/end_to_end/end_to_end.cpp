// End to end: events a second through `lanner serve` (tensors in over ZeroMQ, lossy, no sink; scores,
// p-values, thresholds and flags out to a subscriber), beside a bare ZeroMQ relay that carries the same bytes
// both ways and does nothing. Both are processes of their own, fed and drained by this one, measured in turns
// in the same run; the answers are checked first. Only the ratio means something on a shared machine.
// With --latency instead: how long a batch is on its way, at a share of the rate that the host can keep up.
#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "engine/model/model.hpp"

namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;
using Seconds = std::chrono::duration<double>;

struct Work {
  std::size_t rows = 1024, width = 32, batches = 2000, window = 48;
  std::string header;
  std::vector<std::vector<float>> tensors;
};

double process_cpu_s(pid_t pid) {
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<float> normal_rows(std::size_t count, std::size_t width, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * width);
  for (float& value : rows) value = normal(random);
  return rows;
}

std::shared_ptr<const lanner::engine::Model> fit(lanner::Device& device, const std::string& detector,
                                                 std::size_t width) {
  lanner::engine::Schema schema;
  for (std::size_t i = 0; i < width; ++i)
    schema.fields.push_back({"x" + std::to_string(i), lanner::engine::ColumnKind::number});
  const std::vector<float> rows = normal_rows(20'000, width, 1);
  lanner::engine::Records records;
  records.count = 20'000;
  records.dense = {rows.data(), nullptr, width};
  lanner::engine::FitOptions options;
  options.detector = detector;
  options.name = detector;
  if (detector == "autoencoder") options.settings = {{"hidden", "16,8,16"}, {"epochs", "5"}};
  return lanner::engine::Model::fit(device, schema, records, options);
}

// A child process, ended with us.
class Process {
 public:
  template <class Body>
  explicit Process(Body body) : pid_(fork()) {
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      try {
        body();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      _exit(127);  // without the parent's destructors, which would take its folder away
    }
  }
  ~Process() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// A loopback port that nothing uses: the system's choice.
int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  const bool bound = fd >= 0 && bind(fd, any, size) == 0 && getsockname(fd, any, &size) == 0;
  if (fd >= 0) close(fd);
  if (!bound) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

// The same sockets, frames and bytes as the host, its way with memory for messages, and nothing in between.
void relay(const std::string& in, const std::string& out, std::size_t rows,
           const std::string& scores_header) {
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
  zmq::context_t context;
  zmq::socket_t pull(context, zmq::socket_type::pull), pub(context, zmq::socket_type::pub);
  pull.bind(in);
  pub.set(zmq::sockopt::sndhwm, 10'000);
  pub.bind(out);
  const std::vector<char> score(rows * 4), p_value(rows * 8), threshold(rows * 8), flag(rows);
  zmq::message_t header, tensor;
  while (pull.recv(header) && pull.recv(tensor)) {
    pub.send(zmq::str_buffer("scores.bench"), zmq::send_flags::sndmore);
    pub.send(zmq::buffer(scores_header), zmq::send_flags::sndmore);
    pub.send(zmq::buffer(score), zmq::send_flags::sndmore);
    pub.send(zmq::buffer(p_value), zmq::send_flags::sndmore);
    pub.send(zmq::buffer(threshold), zmq::send_flags::sndmore);
    pub.send(zmq::buffer(flag), zmq::send_flags::none);
  }
}

struct Measured {
  double events_per_s = 0, cpu_s_per_million = 0, client_cpu_s_per_million = 0;
};

struct Latency {
  double median_us = 0, p99_us = 0;
};

// Feeds and drains one process. The window bounds what is on its way, so that nothing is dropped.
class Client {
 public:
  Client(const Work& work, const std::string& in, const std::string& out)
      : work_(work), push_(context_, zmq::socket_type::push), sub_(context_, zmq::socket_type::sub) {
    push_.set(zmq::sockopt::linger, 0);
    push_.connect(in);
    sub_.set(zmq::sockopt::subscribe, "scores.");
    sub_.set(zmq::sockopt::rcvhwm, 100'000);
    sub_.connect(out);
  }

  void send(std::size_t i) {
    const std::vector<float>& rows = work_.tensors[i % work_.tensors.size()];
    push_.send(zmq::buffer(work_.header), zmq::send_flags::sndmore);
    zmq::message_t tensor(const_cast<float*>(rows.data()), rows.size() * 4, [](void*, void*) {});
    push_.send(tensor, zmq::send_flags::none);
  }

  // Frames of the next answer; empty: none within that time.
  std::vector<zmq::message_t> receive(int wait_ms) {
    sub_.set(zmq::sockopt::rcvtimeo, wait_ms);
    std::vector<zmq::message_t> frames(1);
    if (!sub_.recv(frames[0])) return {};
    while (frames.back().more()) {
      zmq::message_t frame;
      if (!sub_.recv(frame)) return {};
      frames.push_back(std::move(frame));
    }
    return frames;
  }

  // Until what is sent comes back: the subscription has arrived.
  void warm() {
    for (int i = 0; i < 400; ++i) {
      send(0);
      if (!receive(50).empty()) {
        while (!receive(200).empty()) {
        }
        return;
      }
    }
    throw std::runtime_error("nothing comes back");
  }

  // Batches are sent at that rate; each one's time from its sending to its answer's last frame.
  Latency measure_latency(double batches_per_s) {
    using Clock = std::chrono::steady_clock;
    std::vector<Clock::time_point> sent(work_.batches);
    std::vector<double> us(work_.batches);
    sub_.set(zmq::sockopt::rcvtimeo, 20'000);
    std::atomic<std::size_t> on_their_way{0};
    std::atomic<bool> failed{false};
    std::thread drain([&] {
      zmq::message_t frame;
      for (std::size_t i = 0; i < work_.batches && !failed; ++i) {
        do {
          if (!sub_.recv(frame)) {
            failed = true;
            return;
          }
        } while (frame.more());
        const auto arrived = Clock::now();
        while (on_their_way.load(std::memory_order_acquire) <= i) std::this_thread::yield();
        us[i] = std::chrono::duration<double, std::micro>(arrived - sent[i]).count();
      }
    });
    const auto step = std::chrono::duration_cast<Clock::duration>(Seconds(1 / batches_per_s));
    auto next = Clock::now();
    for (std::size_t i = 0; i < work_.batches && !failed; ++i) {
      std::this_thread::sleep_until(next += step);
      sent[i] = Clock::now();
      send(i);
      on_their_way.store(i + 1, std::memory_order_release);
    }
    drain.join();
    if (failed) throw std::runtime_error("an answer did not come");
    std::sort(us.begin(), us.end());
    return {us[us.size() / 2], us[us.size() * 99 / 100]};
  }

  Measured measure(pid_t pid) {
    sub_.set(zmq::sockopt::rcvtimeo, 20'000);
    const double cpu = process_cpu_s(pid), own = process_cpu_s(getpid());
    const auto begun = std::chrono::steady_clock::now();
    std::atomic<std::size_t> received{0};
    std::atomic<bool> failed{false};
    std::thread drain([&] {
      zmq::message_t frame;
      while (received < work_.batches) {
        do {
          if (!sub_.recv(frame)) {
            failed = true;
            received = work_.batches;
            received.notify_one();
            return;
          }
        } while (frame.more());
        ++received;
        received.notify_one();
      }
    });
    for (std::size_t i = 0; i < work_.batches; ++i) {
      for (std::size_t seen = received; i - std::min(i, seen) >= work_.window; seen = received)
        received.wait(seen);
      send(i);
    }
    drain.join();
    if (failed) throw std::runtime_error("an answer did not come");
    const double seconds = Seconds(std::chrono::steady_clock::now() - begun).count();
    const double events = static_cast<double>(work_.batches * work_.rows);
    return {events / seconds, (process_cpu_s(pid) - cpu) / events * 1e6,
            (process_cpu_s(getpid()) - own) / events * 1e6};
  }

 private:
  const Work& work_;
  zmq::context_t context_;
  zmq::socket_t push_, sub_;
};

void check_answers(Client& client, const Work& work, const lanner::engine::Model& model,
                   lanner::Device& device) {
  lanner::engine::ModelScorer scorer(lanner::engine::Model::from_bytes(model.bytes()), device);
  std::vector<float> scores(work.rows);
  std::vector<double> p_values(work.rows);
  std::vector<std::uint8_t> extrapolated(work.rows);
  auto workspace = device.pinned<std::byte>(scorer.workspace_bytes(work.rows));
  lanner::Stream stream = device.stream();
  for (std::size_t i = 0; i < work.tensors.size(); ++i) {
    client.send(i);
    const auto frames = client.receive(20'000);
    if (frames.size() != 6)
      throw std::runtime_error("wrong answer: " + std::to_string(frames.size()) + " frames");
    scorer.score(stream, {work.tensors[i].data(), work.rows, work.width, work.width}, {}, workspace.span(),
                 scores, p_values, extrapolated);
    const auto same = [](const zmq::message_t& frame, const auto& expected) {
      const std::size_t bytes = expected.size() * sizeof(expected[0]);
      return frame.size() == bytes && std::memcmp(frame.data(), expected.data(), bytes) == 0;
    };
    if (!same(frames[2], scores) || !same(frames[3], p_values))
      throw std::runtime_error("wrong answer: the scores are not those of the engine");
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Both at the same rate: a part of what the host keeps up with.
Json compare_latency(Client& host, Client& bare, pid_t host_pid, const Work& work, double load,
                     std::size_t rounds, const std::string& detector) {
  const double rate = load * host.measure(host_pid).events_per_s / static_cast<double>(work.rows);
  std::vector<double> median_us, bare_median_us, p99_us, bare_p99_us, ratios;
  for (std::size_t round = 0; round < rounds; ++round) {
    const Latency relayed = bare.measure_latency(rate), scored = host.measure_latency(rate);
    median_us.push_back(scored.median_us);
    bare_median_us.push_back(relayed.median_us);
    p99_us.push_back(scored.p99_us);
    bare_p99_us.push_back(relayed.p99_us);
    ratios.push_back(scored.p99_us / relayed.p99_us);
  }
  std::printf("%-14s %10.0f %12.0f %12.0f %12.0f %12.0f %8.2f\n", detector.c_str(), rate, median(median_us),
              median(bare_median_us), median(p99_us), median(bare_p99_us), median(ratios));
  std::fflush(stdout);
  return {{"benchmark", "latency"},
          {"detector", detector},
          {"rows", work.rows},
          {"width", work.width},
          {"load", load},
          {"batches_per_s", rate},
          {"host_median_us", median(median_us)},
          {"relay_median_us", median(bare_median_us)},
          {"host_p99_us", median(p99_us)},
          {"relay_p99_us", median(bare_p99_us)},
          {"p99_ratio", median(ratios)},
          {"p99_ratios", ratios}};
}

int run(int argc, char** argv) {
  CLI::App app("Events a second through the host, beside a bare ZeroMQ relay of the same bytes");
  std::string lanner = LANNER_BINARY, json, transport = "tcp", device_name = "cpu";
  std::vector<std::string> detectors{"histogram", "autoencoder"};
  Work work;
  std::size_t rounds = 7;
  unsigned threads = 0, slots = 0;
  bool latency = false;
  double load = 0.3;
  app.add_option("--lanner", lanner, "The binary");
  app.add_option("--json", json, "Write the results here as well");
  app.add_option("--detectors", detectors, "Detectors to score with")->delimiter(',');
  app.add_option("--rounds", rounds, "Turns of each; the median counts")->check(CLI::PositiveNumber);
  app.add_option("--batches", work.batches, "Batches a turn")->check(CLI::PositiveNumber);
  app.add_option("--rows", work.rows, "Rows a batch")->check(CLI::PositiveNumber);
  app.add_option("--width", work.width, "Features")->check(CLI::PositiveNumber);
  app.add_flag("--latency", latency, "Time on the way at a part of the load, instead of the rate");
  app.add_option("--load", load, "Which part, of the rate of the same batches")->check(CLI::Range(0.01, 1.0));
  app.add_option("--threads", threads, "Threads that score; 0: the host's default");
  app.add_option("--slots", slots, "Of the host; 0: its default");
  app.add_option("--device", device_name, "cpu, or cuda: every batch on the GPU")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--transport", transport, "tcp or ipc")->check(CLI::IsMember({"tcp", "ipc"}));
  CLI11_PARSE(app, argc, argv);

  const fs::path folder = fs::temp_directory_path() / ("lanner-bench-" + std::to_string(getpid()));
  fs::create_directories(folder);
  struct Remove {
    fs::path path;
    ~Remove() { fs::remove_all(path); }
  } remove{folder};
  int sockets = 0;
  const auto endpoint = [&] {
    return transport == "ipc" ? "ipc://" + (folder / std::to_string(sockets++)).string()
                              : "tcp://127.0.0.1:" + std::to_string(free_port());
  };
  work.header = Json{{"v", 1},
                     {"stream", "bench"},
                     {"format", "tensor"},
                     {"dtype", "float32"},
                     {"shape", {work.rows, work.width}}}
                    .dump();
  for (unsigned i = 0; i < 8; ++i) work.tensors.push_back(normal_rows(work.rows, work.width, 100 + i));

  prctl(PR_SET_TIMERSLACK, 1);  // batches are sent when they are due
  Json results = Json::array();
  if (latency)
    std::printf("%-14s %10s %12s %12s %12s %12s %8s\n", "detector", "batches/s", "host p50 us", "relay p50",
                "host p99 us", "relay p99", "ratio");
  else
    std::printf("%-14s %14s %14s %8s %18s %18s\n", "detector", "host events/s", "relay events/s", "ratio",
                "host cpu s/M", "relay cpu s/M");
  for (const std::string& detector : detectors) {
    const std::string relay_in = endpoint(), relay_out = endpoint(), host_in = endpoint(),
                      host_out = endpoint();
    const fs::path model_file = folder / (detector + ".lanner"), log = folder / "log";
    std::string device_keys = device_name == "cuda" ? "require: cuda, offload: always" : "";
    if (threads) device_keys += (device_keys.empty() ? "threads: " : ", threads: ") + std::to_string(threads);
    if (slots) device_keys += (device_keys.empty() ? "slots: " : ", slots: ") + std::to_string(slots);
    const std::string config_file = (folder / (detector + ".yaml")).string();
    std::ofstream(config_file) << "streams:\n  bench:\n    models: [{file: " << model_file.string()
                               << "}]\n    decide: {false_alarm_rate: 1.0e-9}\ningest:\n  - zeromq: {bind: \""
                               << host_in << "\", delivery: lossy}\npublish:\n  - zeromq: {bind: \""
                               << host_out << "\"}\n"
                               << "device: {" << device_keys << "}\n";
    const std::string scores_header =
        R"({"v":1,"stream":"bench","producer":"lossy-0-1789999999000","seq":12345,"n":1024,"model":"bench","model_hash":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","device":"cpu","frames":["score:float32","p_value:float64","threshold:float64","flag:uint8"]})";
    // The processes are made before this one has threads.
    Process relay_process([&] { relay(relay_in, relay_out, work.rows, scores_header); });
    int go[2];
    if (pipe2(go, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    Process host_process([&] {
      char byte;
      if (read(go[0], &byte, 1) != 1) return;  // the model is not written yet
      const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(file, 2);
      execl(lanner.c_str(), "lanner", "serve", "--config", config_file.c_str(), nullptr);
    });
    const auto device = lanner::Device::cpu();
    const auto model = fit(*device, detector, work.width);
    model->save(model_file);
    if (write(go[1], "x", 1) != 1) throw std::runtime_error("pipe failed");
    close(go[0]);
    close(go[1]);

    Client bare(work, relay_in, relay_out), host(work, host_in, host_out);
    try {
      bare.warm();
      host.warm();
      check_answers(host, work, *model, *device);
    } catch (const std::exception&) {
      std::ifstream file(log);
      std::fprintf(stderr, "%s\n", std::string(std::istreambuf_iterator<char>(file), {}).c_str());
      throw;
    }
    if (latency) {
      results.push_back(compare_latency(host, bare, host_process.pid(), work, load, rounds, detector));
      continue;
    }
    std::vector<double> rates, bare_rates, ratios, cpu, bare_cpu, client, bare_client;
    for (std::size_t round = 0; round < rounds; ++round) {
      const Measured relayed = bare.measure(relay_process.pid());
      const Measured scored = host.measure(host_process.pid());
      rates.push_back(scored.events_per_s);
      bare_rates.push_back(relayed.events_per_s);
      ratios.push_back(scored.events_per_s / relayed.events_per_s);
      cpu.push_back(scored.cpu_s_per_million);
      bare_cpu.push_back(relayed.cpu_s_per_million);
      client.push_back(scored.client_cpu_s_per_million);
      bare_client.push_back(relayed.client_cpu_s_per_million);
    }
    std::printf("%-14s %14.0f %14.0f %8.3f %18.4f %18.4f\n", detector.c_str(), median(rates),
                median(bare_rates), median(ratios), median(cpu), median(bare_cpu));
    std::fflush(stdout);
    const double total = median(cpu) + median(client), bare_total = median(bare_cpu) + median(bare_client);
    results.push_back({{"benchmark", "end_to_end"},
                       {"detector", detector},
                       {"transport", transport},
                       {"device", device_name},
                       {"rows", work.rows},
                       {"width", work.width},
                       {"batches", work.batches},
                       {"rounds", rounds},
                       {"host_events_per_s", median(rates)},
                       {"relay_events_per_s", median(bare_rates)},
                       {"ratio", median(ratios)},
                       {"ratios", ratios},
                       {"host_cpu_s_per_million", median(cpu)},
                       {"relay_cpu_s_per_million", median(bare_cpu)},
                       {"client_cpu_s_per_million", median(client)},
                       {"relay_client_cpu_s_per_million", median(bare_client)},
                       {"all_cpu_ratio", bare_total / total}});
    std::printf(
        "%-14s all processes' cpu, relay over host: %.3f (host's client %.4f s/M, relay's %.4f s/M)\n", "",
        bare_total / total, median(client), median(bare_client));
  }
  if (!json.empty()) std::ofstream(json) << results.dump(2) << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
