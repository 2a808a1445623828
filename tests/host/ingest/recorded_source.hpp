// A source without sockets: what it was asked to answer, by peer.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "host/ingest/source.hpp"

namespace lanner::host {

class RecordedSource final : public Source {
 public:
  explicit RecordedSource(IngestConfig config = {}) : config_(std::move(config)) {}

  const IngestConfig& config() const override { return config_; }
  bool receive(Message&) override { return false; }
  Replied reply(std::string_view peer, std::string_view json) override {
    if (next != Replied::sent) return next;
    answers[std::string(peer)].push_back(nlohmann::json::parse(json));
    return Replied::sent;
  }

  /// Takes the oldest answer to a peer; null where there is none.
  nlohmann::json pop(const std::string& peer) {
    auto& queue = answers[peer];
    if (queue.empty()) return nullptr;
    nlohmann::json answer = queue.front();
    queue.pop_front();
    return answer;
  }

  std::map<std::string, std::deque<nlohmann::json>> answers;
  Replied next = Replied::sent;

 private:
  IngestConfig config_;
};

}  // namespace lanner::host
