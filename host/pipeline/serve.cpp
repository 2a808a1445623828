#include "host/pipeline/serve.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <zmq.hpp>

#include "host/api/server.hpp"
#include "host/clock.hpp"
#include "host/endpoint.hpp"
#include "host/ingest/zeromq_source.hpp"
#include "host/pipeline/cores.hpp"
#include "host/pipeline/devices.hpp"
#include "host/pipeline/learner.hpp"
#include "host/pipeline/log.hpp"
#include "host/pipeline/pipeline.hpp"
#include "host/pipeline/state.hpp"
#include "host/pipeline/status.hpp"
#include "host/pipeline/wake.hpp"
#include "host/publish/zeromq_publisher.hpp"
#include "kernels/device/error.hpp"

namespace lanner::host {
namespace {

using namespace std::chrono_literals;

// A stop reads what has come already for so long, and everything together is to be over within ten seconds.
constexpr std::int64_t last_reads_ns = second_ns / 2;
constexpr std::int64_t drain_ns = 7 * second_ns;
// Messages taken from one socket before the others have their turn.
constexpr int turn = 16;
// With a core for every thread of the pipeline and for ZeroMQ's, light work is passed on all the same while
// intake hasn't slept for so long.
constexpr std::size_t cores_for_all = 4;
constexpr std::int64_t keeps_up_ns = 2'000'000;

std::vector<std::string> texts(const std::vector<ConfigError>& faults) {
  std::vector<std::string> lines;
  for (const ConfigError& fault : faults) lines.push_back(fault.text());
  return lines;
}

sigset_t our_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

class Host {
 public:
  Host(const PartialConfig& partial, const ServeOptions& options);
  int run();

 private:
  void intake();
  void scoring();
  void outlet();
  void sleep_until_something(bool answers_wait);
  std::thread start(const char* name, const std::vector<int>& cores, void (Host::*body)());
  void learned(const std::string& stream, const Learning&, Device&, const engine::Progress&);
  void refit(const std::string& stream, Refitting&, const std::shared_ptr<const engine::Model>& now, Device&,
             const engine::Progress&);
  void reload();
  void restore();
  void keep();
  Standing standing() const;
  ApiServer::Pages pages();

  Config config_;
  ServeOptions options_;
  const Clock& clock_ = system_clock();
  std::int64_t started_ns_ = clock_.steady_ns();
  const bool few_cores_ = usable_cores().size() < cores_for_all;
  Counters counters_;
  StreamCounterTable streams_;
  Conditions conditions_;
  ChosenDevices chosen_;
  zmq::context_t context_;
  Wake wake_;
  std::vector<std::unique_ptr<ZeromqSource>> sources_;
  std::vector<std::unique_ptr<ZeromqPublisher>> publishers_;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<pollfd> poll_items_;
  std::mutex control_;        ///< one change of routes at a time
  bool first_start_ = false;  ///< with this results directory
  std::atomic<bool> ready_{false}, stopping_{false}, failed_{false}, drained_{false}, restart_{false};
  std::unique_ptr<Learner> learner_;
  std::unique_ptr<ApiServer> api_;
};

template <class Made, class Configs>
void bind_all(zmq::context_t& context, std::string_view section, const Configs& configs,
              std::vector<std::unique_ptr<Made>>& made, std::vector<ConfigError>& faults) {
  for (std::size_t i = 0; i < configs.size(); ++i) {
    try {
      made.push_back(std::make_unique<Made>(context, configs[i]));
    } catch (const std::exception& error) {
      faults.push_back({.key = fmt::format("{}[{}].zeromq.bind", section, i),
                        .found = error.what(),
                        .allowed = "an endpoint that can be bound"});
    }
  }
}

// Where a stream keeps what it learned. The model that it replaces stays beside it, to go back to.
void save_model(const engine::Model& model, const std::filesystem::path& file) {
  if (file.empty()) return;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  if (std::filesystem::exists(file)) {
    std::filesystem::path previous = file;
    previous.replace_filename(file.stem().string() + ".previous" + file.extension().string());
    std::filesystem::copy_file(file, previous, std::filesystem::copy_options::overwrite_existing);
  }
  model.save(file);
}

template <class Base, class Made>
std::vector<Base*> pointers(const std::vector<std::unique_ptr<Made>>& made) {
  std::vector<Base*> list;
  for (const auto& one : made) list.push_back(one.get());
  return list;
}

Host::Host(const PartialConfig& partial, const ServeOptions& options)
    : config_(partial.config), options_(options) {
  std::vector<ConfigError> faults = partial.errors;
  refuse_missing_cores(config_.cores, usable_cores(), faults);
  {
    const OnCores helpers(faults.empty() ? config_.cores.score : std::vector<int>());
    chosen_ = choose_devices(config_.device, clock_);
  }
  for (const int core : config_.cores.sockets) context_.set(zmq::ctxopt::thread_affinity_cpu_add, core);
  refuse_missing_device(config_.device, chosen_, faults);
  refuse_beyond_loopback(config_, faults);
  Routes routes = build_routes(config_, *chosen_.cpu, streams_, {}, faults, chosen_.gpus);
  if (faults.empty()) {
    bind_all(context_, "ingest", config_.ingest, sources_, faults);
    bind_all(context_, "publish", config_.publish, publishers_, faults);
  }
  locate(faults, options_.file);
  refuse(faults);

  Ports ports{.clock = clock_,
              .device = *chosen_.cpu,
              .sources = pointers<Source>(sources_),
              .publishers = pointers<Publisher>(publishers_),
              .gpus = chosen_.gpus};
  if (config_.results) ports.open_results = [options = *config_.results] { return open_results(options); };
  ports.answers = [this] { wake_.signal(Wake::answers); };
  ports.room = [this] { wake_.signal(Wake::room); };
  ports.learn = [this](const std::string& stream, std::shared_ptr<Learning> learning) {
    spdlog::info("stream {}: {} rows collected, fitting {}", stream, learning->rows(),
                 learning->learn().fit.detector);
    learner_->add([this, stream, learning](Device& device, const engine::Progress& progress) {
      learned(stream, *learning, device, progress);
    });
  };
  ports.refit = [this](const std::string& stream, std::shared_ptr<Refitting> refitting,
                       std::shared_ptr<const engine::Model> now) {
    spdlog::info("stream {}: fitting {} again on {} recent events", stream, now->name(), refitting->rows());
    learner_->add([this, stream, refitting, now](Device& device, const engine::Progress& progress) {
      refit(stream, *refitting, now, device, progress);
    });
  };
  if (config_.results) {
    std::error_code none;
    first_start_ = !std::filesystem::exists(config_.results->directory, none) ||
                   std::filesystem::is_empty(config_.results->directory, none);
  }
  try {
    pipeline_ = std::make_unique<Pipeline>(config_.device, std::move(ports), std::move(routes), counters_);
    learner_ = std::make_unique<Learner>(threads_of(config_.device));
    if (!config_.api.bind.empty()) api_ = std::make_unique<ApiServer>(config_.api.bind, pages());
  } catch (const std::exception& error) {
    throw CannotServe({error.what()});
  }

  spdlog::info("lanner {} on {}", LANNER_VERSION, chosen_.description());
  if (!chosen_.fallback.empty()) {
    spdlog::warn("{}", chosen_.fallback);
    conditions_.set("device", chosen_.fallback);
  }
  for (const auto& [name, route] : *pipeline_->routes()) {
    for (const auto& lane : route->lanes)
      spdlog::info("stream {}: {} {} ({}, {}), {}", name, lane->role == Role::active ? "active" : "shadow",
                   lane->name, lane->detector, lane->hash, lane->rule);
    for (const auto& lane : route->series)
      spdlog::info("stream {}: series {} ({}), warm after {} rows each, at most {}, {}", name, lane->name,
                   lane->hash, lane->warm_up, lane->entities_max, lane->rule);
    if (route->learning)
      spdlog::info("stream {}: no model yet, learning {} from {}", name, route->config.learn->fit.detector,
                   route->learning->rows_wanted()
                       ? fmt::format("{} rows", route->learning->rows_wanted())
                       : fmt::format("{} s", route->config.learn->for_ns / second_ns));
  }
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const IngestConfig& ingest = config_.ingest[i];
    const bool acked = ingest.delivery == Delivery::acked;
    spdlog::info("ingest {} ({})", sources_[i]->endpoint(), acked ? "acked" : "lossy");
    if (acked && ingest.durable == Durable::scored && !config_.results)
      spdlog::warn(
          "ingest {}: no results are stored: acks follow scoring and publication, and producers' positions "
          "are "
          "in memory only",
          ingest.bind);
  }
  for (const auto& publisher : publishers_) spdlog::info("publish {}", publisher->endpoint());
  if (config_.results)
    spdlog::info("results {} ({})", config_.results->directory.string(),
                 config_.results->keep == Keep::all ? "all rows"
                 : config_.results->keep == Keep::flagged
                     ? "flagged rows only; the others are not part of what is durable"
                     : "no rows; only producers' positions are durable");
  if (api_) spdlog::info("api http://{}:{}", host_of(config_.api.bind), api_->port());
}

Standing Host::standing() const {
  Standing standing;
  standing.uptime_s = 1e-9 * static_cast<double>(clock_.steady_ns() - started_ns_);
  standing.device = chosen_.description();
  standing.slots_queued = pipeline_->queued_slots();
  standing.batches_queued = pipeline_->queued_batches();
  standing.batches = pipeline_->batches();
  standing.ready = ready_ && !stopping_;
  standing.degraded = conditions_.list();
  for (const auto& gpu : chosen_.gpus)
    if (std::string trouble = gpu->trouble(); !trouble.empty())
      standing.degraded.push_back("device: " + trouble);
  for (std::string& text : drifts(*pipeline_->routes())) standing.degraded.push_back(std::move(text));
  return standing;
}

ApiServer::Pages Host::pages() {
  const std::string plain = "text/plain; charset=utf-8", json = "application/json";
  return {{"/health/live",
           [=] {
             return Page{200, plain, "live\n"};
           }},
          {"/health/ready",
           [=, this] {
             const Standing now = standing();
             std::string text = now.ready ? "ready\n" : "not ready\n";
             for (const std::string& reason : now.degraded) text += "degraded: " + reason + "\n";
             return Page{now.ready ? 200 : 503, plain, text};
           }},
          {"/status",
           [=, this] {
             return Page{200, json, status_json(standing(), counters_, *pipeline_->routes()) + "\n"};
           }},
          {"/metrics", [=, this] {
             return Page{200, "text/plain; version=0.0.4; charset=utf-8",
                         metrics_text(standing(), counters_, streams_, *pipeline_->routes())};
           }}};
}

// What waits is announced on the wake; a look after arming it can't miss what came before. Every source has
// just said that it has nothing, so that its descriptor becomes readable with the next message.
void Host::sleep_until_something(bool answers_wait) {
  const bool room = pipeline_->has_room();
  poll_items_.clear();
  poll_items_.push_back({wake_.descriptor(), POLLIN, 0});
  if (room)
    for (const auto& source : sources_) poll_items_.push_back({source->descriptor(), POLLIN, 0});
  const bool slots_matter = !room || stopping_ || pipeline_->has_open();
  wake_.arm(Wake::answers | (slots_matter ? std::uint32_t{Wake::room} : 0u));
  pipeline_->hand_on();
  if (!pipeline_->can_go_on()) {
    const std::int64_t expiry = pipeline_->next_expiry_ns();
    std::int64_t wait_ms = stopping_ ? 10 : answers_wait ? 20 : 1000;
    if (expiry != std::numeric_limits<std::int64_t>::max())
      wait_ms =
          std::min(wait_ms, std::max<std::int64_t>(0, (expiry - clock_.steady_ns() + 999'999) / 1'000'000));
    poll(poll_items_.data(), poll_items_.size(), static_cast<int>(wait_ms));
  }
  wake_.disarm();
}

void Host::intake() {
  std::int64_t stop_reading_ns = 0, give_up_ns = 0, slept_ns = clock_.steady_ns();
  bool reading = true;
  while (true) {
    pipeline_->do_light_work(few_cores_ || clock_.steady_ns() - slept_ns < keeps_up_ns);
    const bool answers_wait = !pipeline_->settle();
    pipeline_->move_on();
    bool took = false;
    if (reading) {
      for (std::uint32_t source = 0; source < sources_.size(); ++source)
        for (int i = 0; i < turn && pipeline_->take_in(source); ++i) took = true;
    }
    pipeline_->hand_on();
    if (stopping_) {
      const std::int64_t now = clock_.steady_ns();
      if (stop_reading_ns == 0) stop_reading_ns = now + last_reads_ns, give_up_ns = now + drain_ns;
      if (now > stop_reading_ns || (!took && pipeline_->has_room())) reading = false;
      if (!reading && pipeline_->idle()) break;
      if (now > give_up_ns) {
        spdlog::error("stopping with batches in flight: they are not acknowledged");
        failed_ = true;
        break;
      }
    }
    if (!took) {
      sleep_until_something(answers_wait);
      slept_ns = clock_.steady_ns();
    }
  }
  pipeline_->settle();
  drained_ = true;
  pipeline_->close();
}

void Host::scoring() {
  while (!drained_) pipeline_->score(-1ns);
}

void Host::outlet() {
  bool restart_when_lost;
  {
    std::lock_guard lock(control_);  // a reload replaces the configuration, though never this of it
    restart_when_lost = config_.device.restart_when_lost;
  }
  std::int64_t next_status_ns = clock_.steady_ns();
  while (!drained_) {
    const std::int64_t now = clock_.steady_ns();
    if (now >= next_status_ns) {
      next_status_ns = now + second_ns;
      if (!publishers_.empty())
        pipeline_->publish_status(status_json(standing(), counters_, *pipeline_->routes()));
    }
    const bool some =
        pipeline_->put_out(std::chrono::nanoseconds(std::max<std::int64_t>(0, next_status_ns - now)));
    if (restart_when_lost && !restart_ && !stopping_ &&
        std::ranges::any_of(chosen_.gpus, [](const auto& gpu) { return gpu->lost(); })) {
      spdlog::error("a GPU is lost to this process: ending, to be started again");
      restart_ = true;
      kill(getpid(), SIGTERM);
    }
    if (pipeline_->failing()) {
      conditions_.set("results", "results can't be written");
      if (!some) std::this_thread::sleep_for(50ms);
    } else {
      conditions_.clear("results");
    }
  }
  if (!pipeline_->close_outlet()) failed_ = true;
}

std::thread Host::start(const char* name, const std::vector<int>& cores, void (Host::*body)()) {
  return std::thread([this, name, cores, body] {
    pthread_setname_np(pthread_self(), name);
    try {
      stay_on(cores);
      (this->*body)();
    } catch (const std::exception& error) {
      // Nothing that a producer or a disk does comes here: it is our fault, and going on could lose events
      // silently.
      spdlog::critical("{}: {}", name, error.what());
      spdlog::shutdown();
      std::_Exit(1);
    }
  });
}

void Host::learned(const std::string& stream, const Learning& learning, Device& device,
                   const engine::Progress& progress) {
  const auto counters = streams_.of(stream);
  try {
    const auto model = learning.fit(device, progress);
    const auto& save = learning.learn().save;
    save_model(*model, save);
    auto state = learning.state_after(*model);
    std::lock_guard lock(control_);
    pipeline_->replace_routes(with_learned(*pipeline_->routes(), stream, learning, model, std::move(state),
                                           *chosen_.cpu, chosen_.gpus));
    conditions_.clear("learn " + stream);
    spdlog::info("stream {}: learned {} ({}) from {} rows{}", stream, learning.model_name(), model->hash(),
                 learning.rows(), save.empty() ? "" : ", saved as " + save.string());
    if (const auto reasons = model->provenance().find("auto"); reasons != model->provenance().end())
      spdlog::info("stream {}: auto: {}", stream, reasons->second);
  } catch (const std::exception& error) {
    counters->learn_failures.add();
    conditions_.set("learn " + stream, fmt::format("stream {}: learning failed: {}", stream, error.what()));
    spdlog::error("stream {}: learning failed: {}; collecting again", stream, error.what());
    std::lock_guard lock(control_);
    pipeline_->replace_routes(with_new_learning(*pipeline_->routes(), stream, learning));
  }
}

void Host::refit(const std::string& stream, Refitting& refitting,
                 const std::shared_ptr<const engine::Model>& now, Device& device,
                 const engine::Progress& progress) {
  const auto counters = streams_.of(stream);
  std::string outcome;
  try {
    const auto [model, gate] = refitting.fit(device, now, progress);
    std::string_view became = "was not let through";
    if (gate.open()) {
      std::lock_guard lock(control_);
      auto next =
          with_refitted(*pipeline_->routes(), stream, refitting, *now, model, *chosen_.cpu, chosen_.gpus);
      became = next ? "took over" : "comes too late, another model is at work";
      if (next) {
        save_model(*model, refitting.save());
        pipeline_->replace_routes(std::move(*next));
        counters->refits.add();
      }
    } else {
      counters->refits_refused.add();
    }
    outcome = fmt::format("{} {}: {}", model->hash(), became, gate.text());
    spdlog::log(gate.open() ? spdlog::level::info : spdlog::level::warn, "stream {}: refit: {}", stream,
                outcome);
  } catch (const std::exception& error) {
    counters->refits_failed.add();
    outcome = fmt::format("failed: {}", error.what());
    spdlog::error("stream {}: refit {}", stream, outcome);
  }
  refitting.done(std::move(outcome));
}

void Host::reload() {
  const auto refuse = [&](const std::vector<std::string>& reasons) {
    counters_.reloads_refused.add();
    conditions_.set("reload",
                    fmt::format("the last configuration was refused: {}", fmt::join(reasons, "; ")));
    for (const std::string& reason : reasons)
      spdlog::error("reload refused, the old configuration goes on: {}", reason);
  };
  if (!options_.reread) return refuse({"there is no configuration file"});
  try {
    auto [next, faults] = options_.reread();
    if (faults.empty()) {
      const std::vector<std::string> parts = needs_restart(config_, next);
      if (!parts.empty())
        return refuse({fmt::format("{}: a change of it needs a restart", fmt::join(parts, ", "))});
    }
    std::lock_guard lock(control_);
    refuse_beyond_loopback(next, faults);
    Routes routes = build_routes(next, *chosen_.cpu, streams_, *pipeline_->routes(), faults, chosen_.gpus);
    locate(faults, options_.file);
    if (!faults.empty()) return refuse(texts(faults));
    pipeline_->replace_routes(std::move(routes));
    spdlog::set_level(spdlog::level::from_str(next.log.level));
    config_ = std::move(next);
  } catch (const std::exception& error) {
    return refuse({error.what()});
  }
  counters_.reloads.add();
  conditions_.clear("reload");
  spdlog::info("configuration reloaded");
}

// Before any event: lanes belong to nobody yet, and the results' directory to us.
void Host::restore() {
  const auto routes = pipeline_->routes();
  bool expected = true;  // that state starts anew
  std::vector<Restored> all;
  if (!config_.results) {
    all = begin_anew("there are no results to keep it beside", *routes);
  } else if (first_start_) {
    all = begin_anew("nothing ran here before", *routes);
  } else {
    expected = false;
    std::optional<std::string> bytes;
    try {
      bytes = StateFile(config_.results->directory).take();
    } catch (const std::exception& error) {
      throw CannotServe({error.what()});
    }
    all = bytes ? restore_state(*bytes, *routes)
                : begin_anew("the last run left none (it didn't stop cleanly, or had none)", *routes);
  }
  for (const Restored& one : all)
    spdlog::log(one.whole || expected ? spdlog::level::info : spdlog::level::warn, "{}", one.text);
}

// After a clean end: everything that was taken in is settled and synced, and nobody uses the lanes any more.
void Host::keep() {
  if (failed_ || !config_.results) return;
  try {
    StateFile(config_.results->directory).keep(state_of(*pipeline_->routes()));
  } catch (const std::exception& error) {
    spdlog::warn("state: {}; windows, series and decisions start anew next time", error.what());
  }
}

int Host::run() {
  restore();
  std::thread scoring = start("score", config_.cores.score, &Host::scoring);
  std::thread outlet = start("outlet", config_.cores.outlet, &Host::outlet);
  std::thread intake = start("intake", config_.cores.intake, &Host::intake);
  ready_ = true;
  spdlog::info("ready");

  const sigset_t signals = our_signals();
  while (true) {
    const int signal = sigwaitinfo(&signals, nullptr);
    if (signal == SIGHUP) reload();
    if (signal == SIGTERM || signal == SIGINT) break;
  }
  spdlog::info("stopping: draining");
  stopping_ = true;
  wake_.signal(Wake::always);
  for (std::thread* thread : {&intake, &scoring, &outlet}) thread->join();
  const bool fit_ended = learner_->stop(1s);
  keep();
  api_.reset();
  spdlog::info("stopped: {} events in, {} scored, {} refused, {} alerts", std::uint64_t{counters_.events_in},
               std::uint64_t{counters_.events_scored}, std::uint64_t{counters_.events_refused},
               std::uint64_t{counters_.alerts});
  const int status = failed_ ? 1 : restart_ ? 3 : 0;
  const bool hangs = std::ranges::any_of(chosen_.gpus, [](const auto& gpu) { return gpu->hangs(); });
  if (!fit_ended) spdlog::warn("a fit is under way and is abandoned");
  if (!fit_ended || hangs) {
    // Neither a fit's thread nor a kernel that hangs can be waited for: what has been published leaves first,
    // then the process ends around it.
    sources_.clear();
    publishers_.clear();
    context_.close();
    spdlog::shutdown();
    std::_Exit(status);
  }
  return status;
}

}  // namespace

CannotServe::CannotServe(std::vector<std::string> faults)
    : std::runtime_error(fmt::format("{}", fmt::join(faults, "\n"))), faults_(std::move(faults)) {}

void refuse(const std::vector<ConfigError>& faults) {
  if (faults.empty()) return;
  if (faults.size() == 1 && faults[0].key == required_device) throw DeviceMissing(faults[0].text());
  throw CannotServe(texts(faults));
}

int serve(const PartialConfig& partial, const ServeOptions& options) {
  const sigset_t signals = our_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  start_log(partial.config.log);
  // Messages come and go: their memory is kept rather than mapped anew for each, and threads share it.
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
  mallopt(M_ARENA_MAX, 4);
  return Host(partial, options).run();
}

std::vector<ConfigError> check(const PartialConfig& partial, const std::filesystem::path& file) {
  const Config& config = partial.config;
  std::vector<ConfigError> faults = partial.errors;
  const ChosenDevices chosen = choose_devices(config.device, system_clock());
  refuse_missing_device(config.device, chosen, faults);
  refuse_beyond_loopback(config, faults);
  StreamCounterTable streams;
  build_routes(config, *chosen.cpu, streams, {}, faults);
  locate(faults, file);
  return faults;
}

}  // namespace lanner::host
