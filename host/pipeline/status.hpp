// What the host says about itself: the status message and page, and the metrics.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "host/pipeline/counters.hpp"
#include "host/pipeline/routes.hpp"

namespace lanner::host {

/// Reasons why the host is not all it should be, while it goes on. By key, so that each can be taken back.
class Conditions {
 public:
  void set(const std::string& key, std::string text);
  void clear(const std::string& key);
  std::vector<std::string> list() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> texts_;
};

/// Reasons likewise: one for each model whose guarantee is withdrawn.
std::vector<std::string> drifts(const Routes&);

/// Where the host stands, for one moment.
struct Standing {
  double uptime_s = 0;
  std::string device;
  std::size_t slots_queued = 0, batches_queued = 0, batches = 0;
  bool ready = false;
  std::vector<std::string> degraded;
};

/// JSON:
/// {"v":1,"version","uptime_s","device","ready","degraded":[...],"queues":{...},"events":{...},"streams":{...},
/// ...}
std::string status_json(const Standing&, const Counters&, const Routes&);
/// Prometheus text format.
std::string metrics_text(const Standing&, const Counters&, const StreamCounterTable&, const Routes&);

}  // namespace lanner::host
