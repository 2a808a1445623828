#include "host/machine_metrics/machine_metrics.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <zmq.hpp>

#include "host/endpoint.hpp"
#include "host/machine_metrics/sampler.hpp"
#include "host/machine_metrics/stop_signal.hpp"

namespace lanner::host {
namespace {

constexpr std::int64_t second = 1'000'000'000;

std::int64_t now_ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * second + now.tv_nsec;
}

/// A signal ends it early.
void sleep_until(std::int64_t steady_ns) {
  const timespec until{steady_ns / second, steady_ns % second};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

std::string own_name() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
  return name;
}

void check(const MachineMetricsOptions& options) {
  if (options.stream.empty()) throw std::invalid_argument("--stream: found nothing, allowed a stream's name");
  if (!(options.every_ms >= 10 && options.every_ms <= 3'600'000))
    throw std::invalid_argument("--every-ms: found " + std::to_string(options.every_ms) +
                                ", allowed 10 to 3600000");
  if (!(options.seconds >= 0 && options.seconds <= 1e9))
    throw std::invalid_argument("--seconds: found " + std::to_string(options.seconds) + ", allowed 0 to 1e9");
  if (options.time_field == options.entity_field)
    throw std::invalid_argument("the time and the machine's name need fields of their own");
  for (const machine::Metric& metric : machine::metrics()) {
    if (metric.name == options.time_field || metric.name == options.entity_field)
      throw std::invalid_argument("'" + std::string(metric.name) + "' is a metric's name already");
  }
}

}  // namespace

std::string describe_machine_metrics() {
  const machine::Sampler sampler;
  std::string text;
  for (const std::size_t m : sampler.available()) {
    const machine::Metric& metric = machine::metrics()[m];
    text.append(metric.name)
        .append(" [")
        .append(metric.unit)
        .append("] ")
        .append(metric.summary)
        .append("\n");
  }
  return text;
}

int run_machine_metrics(const MachineMetricsOptions& options, const Say& say) {
  check(options);
  const machine::StopSignal signals;
  machine::Sampler sampler;
  if (!sampler.absent().empty()) {
    std::string names;
    for (const std::size_t m : sampler.absent())
      names.append(names.empty() ? "" : ", ").append(machine::metrics()[m].name);
    say("left out, as this machine doesn't tell: " + names);
  }

  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::push);
  // Old samples are of no use: what the host does not take soon is dropped here, and none is kept for a host
  // to come.
  socket.set(zmq::sockopt::sndhwm, 50);
  socket.set(zmq::sockopt::immediate, true);
  socket.set(zmq::sockopt::linger, 1000);
  try {
    socket.set(zmq::sockopt::ipv6, is_ipv6(options.to));
    socket.connect(options.to);
  } catch (const zmq::error_t& error) {
    throw std::invalid_argument("--to: found '" + options.to + "': " + error.what());
  }

  const std::string header = nlohmann::json{{"v", 1}, {"stream", options.stream}, {"format", "jsonl"}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
  const std::string name = own_name();
  const auto every_ns = static_cast<std::int64_t>(options.every_ms * 1e6);
  const std::int64_t start = now_ns(CLOCK_MONOTONIC);
  const std::int64_t end = options.seconds > 0 ? start + static_cast<std::int64_t>(options.seconds * 1e9) : 0;
  std::uint64_t sent = 0, dropped = 0;
  for (std::int64_t due = start + every_ns; !machine::StopSignal::came() && (end == 0 || due <= end);) {
    sleep_until(due);
    if (machine::StopSignal::came()) break;
    const auto values = sampler.sample();
    nlohmann::json event{{options.time_field, now_ns(CLOCK_REALTIME)}, {options.entity_field, name}};
    for (const std::size_t m : sampler.available()) {
      // A metric that can't be told this time is null, for the stream's policy to deal with.
      event[std::string(machine::metrics()[m].name)] =
          std::isnan(values[m]) ? nlohmann::json(nullptr) : nlohmann::json(values[m]);
    }
    const std::string line = event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    try {
      const bool taken =
          socket.send(zmq::buffer(header), zmq::send_flags::sndmore | zmq::send_flags::dontwait) &&
          socket.send(zmq::buffer(line), zmq::send_flags::dontwait);
      ++(taken ? sent : dropped);
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) throw;
      ++dropped;
    }
    // After a pause (a stopped machine, say) it goes on from now, and does not catch up.
    due = std::max(due + every_ns, now_ns(CLOCK_MONOTONIC));
  }
  say("sent " + std::to_string(sent) + " events, " + std::to_string(dropped) +
      " dropped as nobody took them");
  return 0;
}

}  // namespace lanner::host
