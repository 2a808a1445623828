// Where results go: topics of frames. A ZeroMQ XPUB behind it in the process, a recorder in a simulation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "host/bytes.hpp"

namespace lanner::host {

class Publisher {
 public:
  virtual ~Publisher() = default;
  /// Sends topic and frames as one message to those who subscribed. Never waits: a subscriber that is behind
  /// by more than its queue loses it.
  virtual void publish(std::string_view topic, std::span<const Bytes> frames) = 0;
  /// What is to be done now and then, about once a second.
  virtual void tend() {}
  /// Messages at whose sending some subscriber's queue was found full.
  virtual std::uint64_t dropped() const = 0;
};

}  // namespace lanner::host
