#include "host/publish/zeromq_publisher.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <thread>

namespace lanner::host {
namespace {

using namespace std::chrono_literals;

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

PublishConfig any_port(int queue) {
  PublishConfig config;
  config.bind = "tcp://127.0.0.1:*";
  config.queue_messages_max = queue;
  return config;
}

zmq::socket_t subscriber(zmq::context_t& context, const std::string& endpoint, const std::string& topic,
                         int queue) {
  zmq::socket_t socket(context, zmq::socket_type::sub);
  socket.set(zmq::sockopt::rcvhwm, queue);
  socket.set(zmq::sockopt::rcvbuf, 16384);
  socket.set(zmq::sockopt::rcvtimeo, 2000);
  socket.set(zmq::sockopt::subscribe, topic);
  socket.connect(endpoint);
  return socket;
}

// A subscription takes a moment to arrive: publishes until it has.
void await(ZeromqPublisher& publisher, zmq::socket_t& socket, const std::string& topic) {
  socket.set(zmq::sockopt::rcvtimeo, 20);
  zmq::message_t frame;
  const std::array<Bytes, 0> none{};
  for (int i = 0; i < 250; ++i) {
    publisher.publish(topic, none);
    if (socket.recv(frame)) break;
  }
  while (socket.recv(frame)) {
  }
  socket.set(zmq::sockopt::rcvtimeo, 2000);
}

TEST(ZeromqPublisher, SendsTopicAndFramesToThoseWhoAsked) {
  zmq::context_t context;
  ZeromqPublisher publisher(context, any_port(1000));
  zmq::socket_t scores = subscriber(context, publisher.endpoint(), "scores.", 1000);
  await(publisher, scores, "scores.warm");
  const std::string header = "{}", body = "0123";
  publisher.publish("alerts.x", std::array{bytes_of(header)});
  publisher.publish("scores.x", std::array{bytes_of(header), bytes_of(body)});
  zmq::message_t frame;
  ASSERT_TRUE(scores.recv(frame));
  EXPECT_EQ(frame.to_string(), "scores.x");
  ASSERT_TRUE(scores.recv(frame));
  EXPECT_EQ(frame.to_string(), "{}");
  ASSERT_TRUE(frame.more() && scores.recv(frame));
  EXPECT_EQ(frame.to_string(), "0123");
  EXPECT_FALSE(frame.more());
  EXPECT_EQ(publisher.dropped(), 0u);
}

TEST(ZeromqPublisher, ASlowSubscriberLosesMessagesThatAreCountedAndHarmsNobody) {
  zmq::context_t context, slow_context;
  ZeromqPublisher publisher(context, any_port(50));
  zmq::socket_t fast = subscriber(context, publisher.endpoint(), "scores.", 0);
  zmq::socket_t slow = subscriber(slow_context, publisher.endpoint(), "scores.", 1);
  await(publisher, fast, "scores.warm");
  await(publisher, slow, "scores.warm");
  zmq::message_t frame;
  fast.set(zmq::sockopt::rcvtimeo, 100);
  while (fast.recv(frame)) {
  }
  fast.set(zmq::sockopt::rcvtimeo, 5000);

  const std::string body(256 << 10, 'x');
  constexpr int sent = 500;
  int received = 0;
  for (int i = 0; i < sent; ++i) {
    publisher.publish("scores.x", std::array{bytes_of(body)});
    // The fast one keeps up; the slow one never reads.
    ASSERT_TRUE(fast.recv(frame)) << i;
    ASSERT_TRUE(fast.recv(frame));
    EXPECT_EQ(frame.size(), body.size());
    ++received;
  }
  EXPECT_EQ(received, sent);
  EXPECT_GT(publisher.dropped(), 0u);
  slow.set(zmq::sockopt::rcvtimeo, 500);
  int slow_received = 0;
  while (slow.recv(frame) && slow.recv(frame)) ++slow_received;
  EXPECT_LT(slow_received, sent) << "otherwise nothing was lost and there was nothing to count";
}

// A batch may raise an alert for each of its rows, faster than any subscriber reads them.
TEST(ZeromqPublisher, HoldsTheAlertsOfSeveralBatchesByDefault) {
  zmq::context_t context, slow_context;
  PublishConfig config;
  config.bind = "tcp://127.0.0.1:*";
  ZeromqPublisher publisher(context, config);
  zmq::socket_t alerts = subscriber(slow_context, publisher.endpoint(), "alerts.", 1);
  await(publisher, alerts, "alerts.warm");
  constexpr int raised = 9000;
  for (int i = 0; i < raised; ++i) {
    const std::string alert = std::to_string(i) + std::string(1000, ' ');
    publisher.publish("alerts.x", std::array{bytes_of(alert)});
  }
  EXPECT_EQ(publisher.dropped(), 0u);
  zmq::message_t frame;
  for (int i = 0; i < raised; ++i) {
    ASSERT_TRUE(alerts.recv(frame)) << i;
    ASSERT_TRUE(alerts.recv(frame));
    ASSERT_EQ(std::stoi(frame.to_string()), i);
  }
}

TEST(ZeromqPublisher, RefusesToBindBeyondThisMachine) {
  zmq::context_t context;
  PublishConfig config;
  config.bind = "tcp://*:5556";
  EXPECT_THROW(ZeromqPublisher(context, config), std::runtime_error);
}

}  // namespace
}  // namespace lanner::host
