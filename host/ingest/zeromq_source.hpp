// A bound ZeroMQ socket that batches come in by: PULL (lossy) or ROUTER (acked).
#pragma once

#include <zmq.hpp>

#include "host/ingest/source.hpp"

namespace lanner::host {

class ZeromqSource final : public Source {
 public:
  /// Binds. Throws std::runtime_error naming the endpoint: malformed, taken, or beyond loopback, which needs
  /// keys that this version doesn't have.
  ZeromqSource(zmq::context_t&, const IngestConfig&);

  const IngestConfig& config() const override { return config_; }
  bool receive(Message&) override;
  Replied reply(std::string_view peer, std::string_view json) override;

  /// To wait on: readable once there may be a message after receive() has found none, with no call in
  /// between.
  int descriptor() const { return socket_.get(zmq::sockopt::fd); }
  /// With the port that was chosen where the config said "*" or 0.
  std::string endpoint() const { return socket_.get(zmq::sockopt::last_endpoint); }

 private:
  IngestConfig config_;
  zmq::socket_t socket_;
};

}  // namespace lanner::host
