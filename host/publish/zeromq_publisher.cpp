#include "host/publish/zeromq_publisher.hpp"

#include <stdexcept>

#include "host/endpoint.hpp"

namespace lanner::host {

ZeromqPublisher::ZeromqPublisher(zmq::context_t& context, const PublishConfig& config)
    : socket_(context, zmq::socket_type::xpub) {
  if (!is_loopback_endpoint(config.bind))
    throw std::runtime_error(
        "publish: bind: found '" + config.bind +
        "', allowed only loopback (tcp://127.0.0.1:PORT, ipc://PATH): beyond it CURVE keys are "
        "required, which this version does not have");
  socket_.set(zmq::sockopt::sndhwm, config.queue_messages_max);
  socket_.set(zmq::sockopt::linger, 1000);
  socket_.set(zmq::sockopt::xpub_nodrop, true);
  socket_.set(zmq::sockopt::tcp_keepalive, 1);
  socket_.set(zmq::sockopt::ipv6, is_ipv6(config.bind));
  socket_.set(zmq::sockopt::maxmsgsize, std::int64_t{65536});  // subscribers send subscriptions only
  try {
    socket_.bind(bindable(config.bind));
  } catch (const zmq::error_t& error) {
    throw std::runtime_error(config.bind + ": " + error.what());
  }
}

void ZeromqPublisher::publish(std::string_view topic, std::span<const Bytes> frames) {
  const auto flags = [&](std::size_t left) {
    return left > 0 ? zmq::send_flags::dontwait | zmq::send_flags::sndmore : zmq::send_flags::dontwait;
  };
  const zmq::const_buffer first(topic.data(), topic.size());
  // With NODROP the send is refused whole when any subscriber is full, which is how we learn of it; sent
  // again without, it reaches all the others.
  const bool all = socket_.send(first, flags(frames.size())).has_value();
  if (!all) {
    ++dropped_;
    socket_.set(zmq::sockopt::xpub_nodrop, false);
    socket_.send(first, flags(frames.size()));
  }
  for (std::size_t i = 0; i < frames.size(); ++i)
    socket_.send(zmq::const_buffer(frames[i].data(), frames[i].size()), flags(frames.size() - i - 1));
  if (!all) socket_.set(zmq::sockopt::xpub_nodrop, true);
}

void ZeromqPublisher::tend() {
  while (socket_.recv(subscription_, zmq::recv_flags::dontwait)) {
  }
}

}  // namespace lanner::host
