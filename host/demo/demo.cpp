#include "host/demo/demo.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <zmq.hpp>

#include "engine/calibrate/decide.hpp"
#include "engine/model/model.hpp"
#include "host/config/config.hpp"
#include "host/demo/child.hpp"
#include "host/demo/timeline.hpp"

namespace lanner::host {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

volatile std::sig_atomic_t interrupted = 0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How many of n quiet events may be flagged at this rate before chance is no excuse: the 99.9 % point of the
// beta-binomial law that the counts of a split conformal p-value follow (Vovk 2012), calibrated on `scores`.
std::size_t flagged_at_most(std::size_t n, double rate, std::size_t scores) {
  const double above = std::max(1.0, std::floor(rate * static_cast<double>(scores + 1)));
  const double below = static_cast<double>(scores + 1) - above;
  double probability = 1;
  for (std::size_t i = 0; i < n; ++i)
    probability *= (below + static_cast<double>(i)) / (above + below + static_cast<double>(i));
  double sum = probability;
  std::size_t k = 0;
  for (; sum < 0.999 && k < n; ++k) {
    const double flagged = static_cast<double>(k), left = static_cast<double>(n - k);
    probability *= left / (flagged + 1) * (flagged + above) / (left - 1 + below);
    sum += probability;
  }
  return k;
}

// Scores that the demo's stream is calibrated on.
std::size_t calibration_scores(const LearnConfig& learn) {
  const auto settings =
      engine::Settings::parse(engine::all_parameters(learn.fit.detector), learn.fit.settings);
  return static_cast<std::size_t>(static_cast<double>(learn.rows) * settings.number("calibration"));
}

// The configuration with free ports instead of its own, and where they are.
struct Addresses {
  std::string ingest, publish, api;
};

Addresses with_free_ports(const std::filesystem::path& from, const std::filesystem::path& to) {
  const Config config = read_config(from);
  std::stringstream text;
  text << std::ifstream(from).rdbuf();
  std::string yaml = text.str();
  const auto move = [&](const std::string& address, const std::string& prefix) {
    const std::string moved = prefix + "127.0.0.1:" + std::to_string(free_port());
    for (std::size_t at = 0; (at = yaml.find(address, at)) != std::string::npos; at += moved.size())
      yaml.replace(at, address.size(), moved);
    return moved;
  };
  Addresses addresses{move(config.ingest.at(0).bind, "tcp://"), move(config.publish.at(0).bind, "tcp://"),
                      move(config.api.bind, "")};
  std::ofstream(to) << yaml;
  return addresses;
}

// What the host publishes, one message at a time.
class Listener {
 public:
  struct Heard {
    std::string topic;
    Json header;
    std::vector<zmq::message_t> frames;
  };

  explicit Listener(const std::string& address) : socket_(context_, zmq::socket_type::sub) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::subscribe, "");
    socket_.connect(address);
  }

  std::optional<Heard> next(std::chrono::milliseconds wait) {
    zmq::pollitem_t item{socket_, 0, ZMQ_POLLIN, 0};
    try {
      zmq::poll(&item, 1, wait);
    } catch (const zmq::error_t& error) {
      if (error.num() == EINTR) return std::nullopt;
      throw;
    }
    if (!(item.revents & ZMQ_POLLIN)) return std::nullopt;
    Heard heard;
    do {
      if (!socket_.recv(heard.frames.emplace_back())) break;
    } while (heard.frames.back().more());
    heard.topic = heard.frames[0].to_string();
    if (heard.frames.size() > 1) heard.header = Json::parse(heard.frames[1].to_string_view(), nullptr, false);
    return heard;
  }

 private:
  zmq::context_t context_;
  zmq::socket_t socket_;
};

template <class T>
T item(const zmq::message_t& frame, std::size_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(frame.data()) + i * sizeof(T), sizeof(T));
  return value;
}

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options),
        terminal_(isatty(STDOUT_FILENO)),
        config_(read_config(options.config)),
        stream_(config_.streams.at(0)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "lanner-demo-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::system_error(errno, std::generic_category(), pattern);
    folder_ = pattern;
  }
  ~Demo() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  int run() {
    const Addresses addresses = with_free_ports(options_.config, folder_ / "demo.yaml");
    const auto* rule = std::get_if<engine::FalseAlarmRate>(&stream_.decide);
    if (!rule)
      throw std::invalid_argument(options_.config.string() +
                                  ": the demo needs decide: {false_alarm_rate: ...}");
    if (!stream_.learn)
      throw std::invalid_argument(options_.config.string() + ": the demo needs learn: {...}");
    rate_ = rule->rate;
    Listener listener(addresses.publish);
    Child host({own_path(), "serve", "--config", (folder_ / "demo.yaml").string()}, log());
    Child metrics({own_path(), "machine-metrics", "--to", addresses.ingest, "--stream", stream_.name,
                   "--every-ms", "100"},
                  log());
    say("The host is up ({}, results on {}, http://{}/status). Its producer sends this machine's own "
        "metrics, ten times a second.",
        addresses.ingest, addresses.publish, addresses.api);

    if (!learn(listener, host, metrics)) return 1;
    say("Learned what is normal here. Watching the quiet for {:.0f} s (budget: {} of all events) ...",
        options_.quiet_s, rate_);
    watch(listener, options_.quiet_s);
    quiet_ = timeline_.points.size();
    quiet_flagged_ = flagged_from(0);

    say("Now a real disturbance for {:.0f} s: busy loops, memory, disk writes.", options_.disturbance_s);
    timeline_.disturbed_from = timeline_.points.empty() ? 0 : timeline_.points.back().second;
    {
      Child disturbance({own_path(), "disturb", "--seconds", fmt::format("{}", options_.disturbance_s)},
                        log());
      watch(listener, options_.disturbance_s);
    }
    timeline_.disturbed_to = timeline_.points.empty() ? 0 : timeline_.points.back().second;
    disturbed_ = timeline_.points.size() - quiet_;
    disturbed_flagged_ = flagged_from(quiet_);
    say("It is over and cleaned up.");
    watch(listener, 6);

    const int status = verdict();
    if (!options_.picture.empty()) {
      std::ofstream(options_.picture)
          << draw_svg(timeline_, "This machine's own metrics: quiet, then a disturbance");
      say("Drawn: {}", options_.picture.string());
    }
    if (!options_.exit && !interrupted) {
      say("\nStaying up (Ctrl-C ends it). Look at:\n  http://{0}/status   http://{0}/metrics   "
          "http://{0}/health/ready\n"
          "  {1} listen --from {2} --topic alerts.",
          addresses.api, own_path(), addresses.publish);
      while (!interrupted && host.running()) watch(listener, 1);
    }
    return status;
  }

 private:
  template <class... T>
  void say(fmt::format_string<T...> text, T&&... values) {
    end_line();
    fmt::print(fmt::runtime("{}\n"), fmt::format(text, std::forward<T>(values)...));
    std::fflush(stdout);
  }

  void end_line() {
    if (drawn_) fmt::print("\n");
    drawn_ = false;
  }

  // One line that redraws itself on a terminal; elsewhere a line now and then.
  void draw(const std::string& line) {
    if (terminal_) {
      fmt::print("\r\033[K{}", line);
      drawn_ = true;
    } else if (seconds_since(last_plain_) >= 5) {
      fmt::print("{}\n", line);
      last_plain_ = Clock::now();
    }
    std::fflush(stdout);
  }

  std::string log() const { return (folder_ / "host.log").string(); }

  void fail(const std::string& what) {
    say("{} The host's log:", what);
    std::ifstream file(log());
    std::string line;
    while (std::getline(file, line)) fmt::print("  {}\n", line);
  }

  bool learn(Listener& listener, Child& host, Child& metrics) {
    const auto start = Clock::now();
    const std::size_t of = stream_.learn->rows;
    const double patience_s = 60 + static_cast<double>(of) / 10 * 2;
    while (!interrupted) {
      if (!host.running() || !metrics.running()) return fail("A process of the demo ended too soon."), false;
      if (seconds_since(start) > patience_s) return fail("Nothing was learned in time."), false;
      const auto heard = listener.next(std::chrono::milliseconds(200));
      if (!heard) continue;
      if (heard->topic.starts_with("scores.")) {
        started_ = Clock::now();
        return true;
      }
      if (heard->topic == "status" && heard->header.is_object()) {
        const std::size_t rows = std::min(learned_rows(heard->header), of);
        const int full = of ? static_cast<int>(30 * rows / of) : 0;
        std::string bar;
        for (int i = 0; i < 30; ++i) bar += i < full ? "█" : "░";
        draw(fmt::format("learning {} {} of {} events", bar, rows, of));
      }
    }
    return false;
  }

  std::size_t learned_rows(const Json& status) const {
    const Json pointer =
        status.value(Json::json_pointer("/streams/" + stream_.name + "/learning/rows"), Json(0));
    return pointer.is_number() ? pointer.get<std::size_t>() : 0;
  }

  void watch(Listener& listener, double seconds) {
    const auto until =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    while (!interrupted && Clock::now() < until) {
      const auto heard = listener.next(std::chrono::milliseconds(100));
      if (!heard || !heard->header.is_object()) continue;
      if (heard->topic.starts_with("scores.") && heard->frames.size() >= 6) take_scores(*heard);
      if (heard->topic.starts_with("alerts.")) take_alert(heard->header);
    }
  }

  void take_scores(const Listener::Heard& heard) {
    const auto n = heard.header.value("n", std::size_t{0});
    for (std::size_t i = 0; i < n; ++i) {
      const auto flag = item<std::uint8_t>(heard.frames[5], i);
      if (flag & engine::flag_refused) continue;
      timeline_.threshold = item<double>(heard.frames[4], i);
      timeline_.points.push_back({seconds_since(started_), item<float>(heard.frames[2], i),
                                  item<double>(heard.frames[3], i), (flag & engine::flag_anomalous) != 0});
    }
    if (timeline_.points.empty()) return;
    const Point& last = timeline_.points.back();
    draw(fmt::format("{} score {:10.3f}  p-value {:.2e}{}", sparkline(timeline_.points, 60, terminal_),
                     last.score, last.p_value, last.flagged ? "  flagged" : ""));
  }

  void take_alert(const Json& alert) {
    if (timeline_.disturbed_from < 0 || timeline_.disturbed_to >= 0) return;
    const double score = alert.value("score", 0.0);
    if (score > strongest_) {
      strongest_ = score;
      timeline_.why.clear();
      for (const Json& part : alert.value("contributions", Json::array()))
        timeline_.why.push_back({part.value("feature", ""),
                                 part["value"].is_number() ? part["value"].get<double>() : 0,
                                 part.value("share", 0.0)});
    }
    if (shown_alerts_++) return;
    end_line();
    fmt::print("\n{}ALERT{} {}  score {:.3f}, p-value {:.2e} (budget {})\n", terminal_ ? "\033[31;1m" : "",
               terminal_ ? "\033[0m" : "", alert.value("event", ""), score, alert.value("p_value", 0.0),
               alert.value("threshold", 0.0));
    std::size_t shown = 0;
    for (const Json& part : alert.value("contributions", Json::array())) {
      if (++shown > 5) break;
      std::string bar;
      for (int i = 0; i < static_cast<int>(30 * part.value("share", 0.0) + 0.5); ++i) bar += "█";
      fmt::print("  {:<28} {:>14.6g}  {:>3.0f} % {}\n", part.value("feature", ""),
                 part["value"].is_number() ? part["value"].get<double>() : 0.0,
                 100 * part.value("share", 0.0), bar);
    }
    fmt::print("\n");
  }

  std::size_t flagged_from(std::size_t begin) const {
    return static_cast<std::size_t>(
        std::count_if(timeline_.points.begin() + static_cast<std::ptrdiff_t>(begin), timeline_.points.end(),
                      [](const Point& point) { return point.flagged; }));
  }

  int verdict() {
    const std::size_t scores = calibration_scores(*stream_.learn);
    const std::size_t allowed = flagged_at_most(quiet_, rate_, scores);
    const bool kept = quiet_ > 0 && quiet_flagged_ <= allowed;
    // A disturbance is flagged when more of it is than chance could explain, and the host said why.
    const bool flagged = disturbed_ > 0 && disturbed_flagged_ > flagged_at_most(disturbed_, rate_, scores) &&
                         !timeline_.why.empty();
    say("\nQuiet:        {} events, {} flagged; a budget of {}, calibrated on {} scores, gives {} or fewer "
        "in 999 "
        "of 1000 runs: {}",
        quiet_, quiet_flagged_, rate_, scores, allowed, kept ? "kept" : "NOT kept");
    say("Disturbance:  {} events, {} flagged: {}", disturbed_, disturbed_flagged_,
        flagged ? "found" : "NOT found");
    return kept && flagged ? 0 : 1;
  }

  DemoOptions options_;
  bool terminal_, drawn_ = false;
  Config config_;
  const StreamConfig& stream_;
  std::filesystem::path folder_;
  double rate_ = 0, strongest_ = -1;
  Timeline timeline_;
  std::size_t quiet_ = 0, quiet_flagged_ = 0, disturbed_ = 0, disturbed_flagged_ = 0;
  int shown_alerts_ = 0;
  Clock::time_point started_, last_plain_{};
};

}  // namespace

int run_demo(const DemoOptions& options) {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  return Demo(options).run();
}

}  // namespace lanner::host
