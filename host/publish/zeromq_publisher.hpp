// A bound ZeroMQ socket that results go out by. An XPUB, which subscribers can't tell from a PUB: it tells us
// when a subscriber is behind.
#pragma once

#include <zmq.hpp>

#include "host/config/config.hpp"
#include "host/publish/publisher.hpp"

namespace lanner::host {

class ZeromqPublisher final : public Publisher {
 public:
  /// Binds. Throws std::runtime_error naming the endpoint, as ZeromqSource does.
  ZeromqPublisher(zmq::context_t&, const PublishConfig&);

  void publish(std::string_view topic, std::span<const Bytes> frames) override;
  /// Reads what subscribers asked for, which libzmq queues for us and nobody else has a use for.
  void tend() override;
  std::uint64_t dropped() const override { return dropped_; }

  std::string endpoint() const { return socket_.get(zmq::sockopt::last_endpoint); }

 private:
  zmq::socket_t socket_;
  zmq::message_t subscription_;
  std::uint64_t dropped_ = 0;
};

}  // namespace lanner::host
