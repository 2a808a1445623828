// The pipeline: everything between the sockets, as steps on one state. The process calls each step from its
// own thread (serve.cpp); a simulation calls them in any order from one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "host/batch.hpp"
#include "host/clock.hpp"
#include "host/config/config.hpp"
#include "host/ingest/source.hpp"
#include "host/pipeline/counters.hpp"
#include "host/pipeline/intake.hpp"
#include "host/pipeline/outlet.hpp"
#include "host/pipeline/queue.hpp"
#include "host/pipeline/routes.hpp"
#include "host/pipeline/scoring.hpp"
#include "host/pipeline/stage.hpp"
#include "host/publish/publisher.hpp"
#include "host/results/results.hpp"

namespace lanner::host {

/// What the host touches outside itself. All of it outlives the pipeline.
struct Ports {
  const Clock& clock;
  Device& device;  ///< the CPU
  std::vector<Source*> sources;
  std::vector<Publisher*> publishers;
  std::function<std::unique_ptr<ResultsSink>()> open_results = {};  ///< empty: nothing is stored
  /// For whoever takes in: answers are waiting to be sent; there is room again, or new routes.
  std::function<void()> answers = {}, room = {};
  /// A stream has collected enough to learn from.
  std::function<void(const std::string& stream, std::shared_ptr<Learning>)> learn = {};
  /// A stream has collected enough to refit its model on.
  std::function<void(const std::string& stream, std::shared_ptr<Refitting>,
                     std::shared_ptr<const engine::Model> now)>
      refit = {};
  Gpus gpus = {};
};

class Pipeline {
 public:
  /// Throws what open_results throws.
  Pipeline(const DeviceConfig&, Ports, Routes, Counters&);

  // The intake thread's steps.
  /// From now on, whether this thread also scores what is scored sooner than another thread wakes, and
  /// publishes what nobody stores. At first it doesn't.
  void do_light_work(bool does) { does_light_work_ = does; }
  /// Takes one message from a source as far as it gets. false: there is none, or no room for one.
  bool take_in(std::uint32_t source);
  /// Goes on with a batch that is waiting for a slot; hands on slots that have waited long enough; takes over
  /// new routes between two batches.
  void move_on();
  /// Answers and frees what is finished. false: some peer isn't ready for its answer; call again soon.
  bool settle();
  bool has_room() const { return !stage_.under_way() && pool_.available(); }
  /// Once all that came has been taken in: rows that wait for a slot to fill don't, while scoring is idle.
  void hand_on() { stage_.close_if_idle(); }
  bool has_open() const { return stage_.has_open(); }
  /// Something that room() or answers() would announce is there already.
  bool can_go_on() const {
    return settled_.size() > 0 || (stage_.under_way() && free_slots_.size() > 0) || routes_replaced_;
  }
  std::int64_t next_expiry_ns() const { return stage_.next_expiry_ns(); }
  /// Nothing is on its way any more.
  bool idle() const { return pool_.free() == pool_.size(); }

  // The scoring thread's step: begins slots that wait, and finishes one. false: there was none within that
  // time.
  bool score(std::chrono::nanoseconds wait);
  // The outlet thread's step. false: nothing was finished within that time.
  bool put_out(std::chrono::nanoseconds wait);
  void publish_status(std::string_view json);
  /// What was put out can't be stored.
  bool failing() const { return outlet_.failing(); }
  /// After the last step of all: what is stored is synced and its files are closed. false: it could not be.
  bool close_outlet() { return outlet_.close(); }

  // From any thread.
  /// The next snapshot, taken over between two batches.
  void replace_routes(Routes);
  std::shared_ptr<const Routes> routes() const;
  /// Wakes up those who wait in score and put_out, for good.
  void close();
  std::size_t queued_slots() const { return to_score_.size(); }
  std::size_t queued_batches() const { return finished_.size(); }
  std::size_t batches() const { return pool_.size(); }

 private:
  using Settled = std::map<std::string, std::uint64_t, std::less<>>;

  void learn(Batch&);
  void remember(const Batch&);
  void filled(Slot&);
  bool score_at_once(Slot&);
  bool put_out_at_once(Batch&);
  void finish_scored(Slot&, void (Pipeline::*finish)(Batch&));
  void finish(Batch& batch) { finished_.push(&batch); }
  void finish_at_once(Batch&);
  void put_out_added();
  static std::uint64_t in_flight_bytes_max(std::span<Source* const>);
  static Stage::Options stage_options(const DeviceConfig&);
  static Scoring::Options scoring_options(const DeviceConfig&);

  static constexpr std::size_t batch_count = 1024;
  /// What takes less isn't worth waking a thread for, which costs tens of microseconds and arrives later.
  static constexpr double worth_a_thread_ns = 250e3;

  Ports ports_;
  const Clock& clock_;
  Counters& counters_;
  Queue<Slot*> to_score_, free_slots_;
  Queue<Batch*> finished_, settled_;
  mutable std::mutex routes_mutex_;
  std::shared_ptr<const Routes> routes_;  ///< the newest
  std::atomic<bool> routes_replaced_{false};
  std::shared_ptr<const Routes> in_use_;  ///< the intake thread's
  std::unique_ptr<ResultsSink> results_;  ///< until the outlet has it
  BatchPool pool_;
  Intake intake_;
  Stage stage_;
  // Each is a thread's own but for light work, so nobody waits long for either.
  std::mutex scoring_mutex_, outlet_mutex_;
  Scoring scoring_;
  bool slots_under_way_ = false;  ///< the scoring thread's: a GPU has some
  Outlet outlet_;
  bool does_light_work_ = false;    ///< the intake thread's, as the next
  std::int64_t light_work_ns_ = 0;  ///< how much that came to
  Message message_;
};

}  // namespace lanner::host
