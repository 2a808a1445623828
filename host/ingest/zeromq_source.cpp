#include "host/ingest/zeromq_source.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "host/endpoint.hpp"

namespace lanner::host {
namespace {

// What a connection may hold in our memory before its sender is made to wait: libzmq counts messages, not
// bytes.
constexpr std::uint64_t queued_bytes_max = 256u << 20;
// Batches between the limit and this many times the limit are answered; a larger frame ends the connection.
constexpr std::uint64_t frame_limit_factor = 4;
constexpr std::uint64_t header_allowance = 64u << 10;
// So much lies in the system's buffer of a connection before its sender is made to wait, and is read at once.
constexpr int received_bytes = 4 << 20;

// A system that allows less would hold us to less than it gives by itself.
bool allowed_to_receive(int bytes) {
  std::ifstream file("/proc/sys/net/core/rmem_max");
  int most = 0;
  return file >> most && most >= bytes;
}

}  // namespace

ZeromqSource::ZeromqSource(zmq::context_t& context, const IngestConfig& config)
    : config_(config),
      socket_(context,
              config.delivery == Delivery::acked ? zmq::socket_type::router : zmq::socket_type::pull) {
  if (!is_loopback_endpoint(config.bind))
    throw std::runtime_error(
        "ingest: bind: found '" + config.bind +
        "', allowed only loopback (tcp://127.0.0.1:PORT, ipc://PATH): beyond it CURVE keys are "
        "required, which this version does not have");
  const std::uint64_t batch = std::max<std::uint64_t>(config.batch_bytes_max, 1);
  socket_.set(zmq::sockopt::maxmsgsize,
              static_cast<std::int64_t>(batch * frame_limit_factor + header_allowance));
  socket_.set(zmq::sockopt::rcvhwm,
              static_cast<int>(std::clamp<std::uint64_t>(queued_bytes_max / batch, 16, 1000)));
  if (allowed_to_receive(received_bytes)) socket_.set(zmq::sockopt::rcvbuf, received_bytes);
  socket_.set(zmq::sockopt::linger, 1000);
  socket_.set(zmq::sockopt::tcp_keepalive, 1);
  socket_.set(zmq::sockopt::ipv6, is_ipv6(config.bind));
  if (config.delivery == Delivery::acked) {
    socket_.set(zmq::sockopt::router_mandatory, true);
    socket_.set(zmq::sockopt::router_handover, true);
    socket_.set(zmq::sockopt::heartbeat_ivl, 10000);
    socket_.set(zmq::sockopt::heartbeat_timeout, 30000);
  }
  try {
    socket_.bind(bindable(config.bind));
  } catch (const zmq::error_t& error) {
    throw std::runtime_error(config.bind + ": " + error.what());
  }
}

bool ZeromqSource::receive(Message& message) {
  message.count = 0;
  message.payload_bytes = 0;
  message.frames_dropped = false;
  message.frames.resize(Message::frames_max);

  bool more = true;
  if (config_.delivery == Delivery::acked) {
    zmq::message_t peer;
    if (!socket_.recv(peer, zmq::recv_flags::dontwait)) return false;
    message.peer.assign(peer.data<char>(), peer.size());
    more = peer.more();
  }
  while (more) {
    zmq::message_t beyond;
    zmq::message_t& frame = message.count < Message::frames_max ? message.frames[message.count] : beyond;
    if (!socket_.recv(frame, zmq::recv_flags::dontwait)) return false;  // only before a message's first frame
    more = frame.more();
    if (message.count > 0) message.payload_bytes += frame.size();
    if (message.count < Message::frames_max) {
      ++message.count;
    } else {
      message.frames_dropped = true;
    }
  }
  return true;
}

Replied ZeromqSource::reply(std::string_view peer, std::string_view json) {
  try {
    if (!socket_.send(zmq::const_buffer(peer.data(), peer.size()),
                      zmq::send_flags::dontwait | zmq::send_flags::sndmore))
      return Replied::later;
    socket_.send(zmq::const_buffer(json.data(), json.size()), zmq::send_flags::dontwait);
    return Replied::sent;
  } catch (const zmq::error_t&) {
    return Replied::gone;
  }
}

}  // namespace lanner::host
