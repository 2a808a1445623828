#include "host/ingest/zeromq_source.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "host/endpoint.hpp"

namespace lanner::host {
namespace {

using namespace std::chrono_literals;

bool receive_within(Source& source, Message& message, std::chrono::milliseconds wait = 5s) {
  for (const auto end = std::chrono::steady_clock::now() + wait; std::chrono::steady_clock::now() < end;) {
    if (source.receive(message)) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

std::string text(const zmq::message_t& frame) {
  return frame.to_string();
}

IngestConfig any_port(Delivery delivery) {
  IngestConfig config;
  config.bind = "tcp://127.0.0.1:*";
  config.delivery = delivery;
  return config;
}

TEST(ZeromqSource, RefusesToBindBeyondThisMachine) {
  zmq::context_t context;
  for (const char* bind : {"tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://192.168.1.1:5555", "tcp://eth0:5555",
                           "tcp://127.evil.example:5555", "tcp://[::]:5555"}) {
    IngestConfig config;
    config.bind = bind;
    EXPECT_THROW(ZeromqSource(context, config), std::runtime_error) << bind;
  }
  for (const char* bind :
       {"tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "ipc:///tmp/x", "inproc://x"})
    EXPECT_TRUE(is_loopback_endpoint(bind)) << bind;
}

TEST(ZeromqSource, BindsToLoopbackByNameAndByAddress) {
  zmq::context_t context;
  for (const char* bind : {"tcp://localhost:*", "tcp://127.0.0.1:*", "tcp://[::1]:*"}) {
    IngestConfig config;
    config.bind = bind;
    try {
      ZeromqSource source(context, config);
      EXPECT_TRUE(is_loopback_endpoint(source.endpoint())) << source.endpoint();
    } catch (const std::runtime_error& error) {
      if (!is_ipv6(bind)) FAIL() << error.what();
      EXPECT_NE(std::string(error.what()).find(bind), std::string::npos) << "a machine without IPv6 says so";
    }
  }
}

TEST(ZeromqSource, SaysWhichEndpointIsTaken) {
  zmq::context_t context;
  ZeromqSource first(context, any_port(Delivery::lossy));
  IngestConfig again;
  again.bind = first.endpoint();
  try {
    ZeromqSource second(context, again);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(again.bind), std::string::npos) << error.what();
  }
}

TEST(ZeromqSource, TakesWholeMessagesAndCountsPayloadBytes) {
  zmq::context_t context;
  ZeromqSource source(context, any_port(Delivery::lossy));
  zmq::socket_t push(context, zmq::socket_type::push);
  push.connect(source.endpoint());
  push.send(zmq::str_buffer("head"), zmq::send_flags::sndmore);
  push.send(zmq::str_buffer("one"), zmq::send_flags::sndmore);
  push.send(zmq::str_buffer("three"));
  push.send(zmq::str_buffer("alone"));
  Message message;
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_EQ(message.count, 3u);
  EXPECT_EQ(text(message.frames[0]), "head");
  EXPECT_EQ(text(message.frames[2]), "three");
  EXPECT_EQ(message.payload_bytes, 8u);
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_EQ(message.count, 1u);
  EXPECT_EQ(message.payload_bytes, 0u);
  EXPECT_FALSE(source.receive(message));
}

TEST(ZeromqSource, KeepsNoMoreFramesThanAnyFormatHas) {
  zmq::context_t context;
  ZeromqSource source(context, any_port(Delivery::lossy));
  zmq::socket_t push(context, zmq::socket_type::push);
  push.connect(source.endpoint());
  for (int i = 0; i < 100; ++i) push.send(zmq::str_buffer("xy"), zmq::send_flags::sndmore);
  push.send(zmq::str_buffer("xy"));
  push.send(zmq::str_buffer("next"));
  Message message;
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_TRUE(message.frames_dropped);
  EXPECT_EQ(message.count, Message::frames_max);
  EXPECT_EQ(message.payload_bytes, 200u);
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_FALSE(message.frames_dropped);
  EXPECT_EQ(text(message.frames[0]), "next");
}

TEST(ZeromqSource, AnswersTheConnectionThatAsked) {
  zmq::context_t context;
  ZeromqSource source(context, any_port(Delivery::acked));
  zmq::socket_t one(context, zmq::socket_type::dealer), two(context, zmq::socket_type::dealer);
  for (zmq::socket_t* dealer : {&one, &two}) {
    dealer->set(zmq::sockopt::rcvtimeo, 5000);
    dealer->connect(source.endpoint());
  }
  one.send(zmq::str_buffer("from one"));
  Message message;
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_EQ(text(message.frames[0]), "from one");
  EXPECT_EQ(source.reply(message.peer, "to one"), Replied::sent);
  two.send(zmq::str_buffer("from two"));
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_EQ(source.reply(message.peer, "to two"), Replied::sent);
  zmq::message_t answer;
  ASSERT_TRUE(two.recv(answer));
  EXPECT_EQ(text(answer), "to two");
  ASSERT_TRUE(one.recv(answer));
  EXPECT_EQ(text(answer), "to one");
}

TEST(ZeromqSource, SaysWhenAPeerIsGoneOrNotReading) {
  zmq::context_t context;
  ZeromqSource source(context, any_port(Delivery::acked));
  EXPECT_EQ(source.reply("nobody", "hello?"), Replied::gone);

  zmq::context_t theirs;
  zmq::socket_t dealer(theirs, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::rcvhwm, 1);
  dealer.set(zmq::sockopt::rcvbuf, 4096);
  dealer.connect(source.endpoint());
  dealer.send(zmq::str_buffer("here"));
  Message message;
  ASSERT_TRUE(receive_within(source, message));
  const std::string large(1 << 20, 'x');
  Replied last = Replied::sent;
  for (int i = 0; i < 5000 && last == Replied::sent; ++i) last = source.reply(message.peer, large);
  EXPECT_EQ(last, Replied::later) << "a peer that doesn't read must not hold up the host, nor fill it";
}

TEST(ZeromqSource, ALargerFrameThanAnyBatchEndsItsConnectionAndNoOther) {
  zmq::context_t context;
  IngestConfig config = any_port(Delivery::lossy);
  config.batch_bytes_max = 1000;
  ZeromqSource source(context, config);
  zmq::socket_t good(context, zmq::socket_type::push), bad(context, zmq::socket_type::push);
  good.connect(source.endpoint());
  bad.connect(source.endpoint());
  bad.set(zmq::sockopt::linger, 0);
  bad.send(zmq::message_t(1 << 20), zmq::send_flags::none);
  good.send(zmq::str_buffer("fine"));
  Message message;
  ASSERT_TRUE(receive_within(source, message));
  EXPECT_EQ(text(message.frames[0]), "fine");
  good.send(zmq::str_buffer("h"), zmq::send_flags::sndmore);
  good.send(zmq::message_t(3000), zmq::send_flags::none);
  ASSERT_TRUE(receive_within(source, message)) << "over the limit, but not so much that it can't be answered";
  EXPECT_EQ(message.payload_bytes, 3000u);
}

}  // namespace
}  // namespace lanner::host
