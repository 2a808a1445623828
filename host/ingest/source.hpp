// Where batches come from: messages in, answers out. ZeroMQ sockets behind it in the process, a queue in a
// simulation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <zmq.hpp>

#include "host/config/config.hpp"

namespace lanner::host {

/// One multipart message. Reused: frames beyond `count` are empty and wait for the next message.
struct Message {
  std::string peer;  ///< whom to answer; empty where nobody listens
  std::vector<zmq::message_t> frames;
  std::size_t count = 0;
  std::uint64_t bytes_after_first = 0;  ///< of all frames after the first, dropped ones included
  bool frames_dropped = false;          ///< more frames than any format has; the rest were not kept
};

class Source {
 public:
  virtual ~Source() = default;
  virtual const IngestConfig& config() const = 0;
  /// The next message, whole; false if there is none now.
  virtual bool receive(Message&) = 0;
  /// false: the peer is gone, or it doesn't read its answers; nothing was sent.
  virtual bool reply(std::string_view peer, std::string_view json) = 0;
};

}  // namespace lanner::host
