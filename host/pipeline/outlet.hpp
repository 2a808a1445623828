// The outlet: scored batches in the order of intake are published, their alerts raised, stored, and marked
// durable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/batch.hpp"
#include "host/clock.hpp"
#include "host/pipeline/counters.hpp"
#include "host/publish/messages.hpp"
#include "host/publish/publisher.hpp"
#include "host/results/results.hpp"

namespace lanner::host {

class Outlet {
 public:
  using OpenResults = std::function<std::unique_ptr<ResultsSink>()>;

  /// results: null where nothing is stored. reopen: makes a new sink after one has failed; what has not been
  /// synced is then written again.
  Outlet(const Clock&, std::vector<Publisher*>, std::unique_ptr<ResultsSink> results, OpenResults reopen,
         std::size_t batches, Counters&);

  /// A finished batch, in any order.
  void add(Batch&);
  /// Publishes what is next in the order of intake and waits for the next commit.
  void publish_ready();
  /// One sync for all that was published: afterwards these batches may be answered. Empty while the sink
  /// fails: they stay, and it is tried again, at most once a second.
  std::span<Batch* const> commit();
  void committed() { group_.clear(); }

  /// Once a second.
  void publish_status(std::string_view json);
  /// Syncs what nobody waits for: lossy batches, about once a second.
  void sync_idle();
  bool failing() const { return failing_; }
  /// At the end: what is stored is synced and its files are closed. false: it could not be.
  bool close();

 private:
  void publish(Batch&);
  void raise_alerts(Batch&);
  void append(const Batch&);
  bool sync();
  void fail(std::string_view reason);
  void send(std::string_view topic, std::span<const Bytes> frames);

  const Clock& clock_;
  std::vector<Publisher*> publishers_;
  std::unique_ptr<ResultsSink> results_;
  OpenResults reopen_;
  Counters& counters_;
  std::vector<Batch*> window_;  ///< by order
  std::uint64_t next_order_ = 0;
  std::vector<Batch*> group_;
  std::size_t appended_ = 0;  ///< of the group
  bool unsynced_ = false, failing_ = false;
  std::int64_t retry_ns_ = 0, synced_ns_ = 0;
  std::string header_, event_;
  std::vector<double> values_;
  AlertWriter alerts_;
};

}  // namespace lanner::host
