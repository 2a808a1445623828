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
  /// More than any format has; further frames are counted, not kept.
  static constexpr std::size_t frames_max = 16;

  std::string peer;  ///< whom to answer; empty where nobody listens
  std::vector<zmq::message_t> frames;
  std::size_t count = 0;
  std::uint64_t payload_bytes = 0;  ///< of all frames after the first, dropped ones included
  bool frames_dropped = false;
};

enum class Replied { sent, later, gone };

class Source {
 public:
  virtual ~Source() = default;
  virtual const IngestConfig& config() const = 0;
  /// The next message, whole; false if there is none now.
  virtual bool receive(Message&) = 0;
  /// later: the peer doesn't read its answers. gone: there is no such peer. Nothing was sent then.
  virtual Replied reply(std::string_view peer, std::string_view json) = 0;
};

}  // namespace lanner::host
