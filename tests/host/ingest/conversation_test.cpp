#include "host/ingest/conversation.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/host/ingest/recorded_source.hpp"

namespace lanner::host {
namespace {

using Json = nlohmann::json;
using Settled = std::map<std::string, std::uint64_t, std::less<>>;

IngestConfig small() {
  IngestConfig config;
  config.batch_bytes_max = 100;
  config.credit_bytes = 250;
  return config;
}

class ConversationTest : public testing::Test {
 protected:
  explicit ConversationTest(Settled settled = {}) : conversation(sources, settled) {}

  Arrival send(const std::string& peer, std::uint64_t seq, std::uint64_t bytes = 10,
               const std::string& name = "till") {
    return conversation.arrived(0, peer, name, seq, bytes, slot);
  }
  Json hello(const std::string& peer, const std::string& name = "till") {
    conversation.hello(0, peer, name);
    return source.pop(peer);
  }
  Json settle(std::uint64_t seq, const std::string& peer) {
    conversation.settled(slot, seq);
    conversation.flush();
    return source.pop(peer);
  }

  RecordedSource source{small()};
  std::vector<Source*> sources{&source};
  std::uint32_t slot = 0;
  Conversation conversation;
};

TEST_F(ConversationTest, HelloTellsTheLastDurableCreditAndLimit) {
  EXPECT_EQ(hello("a"), Json::parse(R"({"v":1,"ack":0,"credit":250,"batch_bytes_max":100})"));
  Conversation known(sources, {{"till", 41}});
  known.hello(0, "a", "till");
  EXPECT_EQ(source.pop("a")["ack"], 41);
}

TEST_F(ConversationTest, CreditIsNeverBelowOneBatch) {
  IngestConfig config = small();
  config.credit_bytes = 1;
  RecordedSource stingy(config);
  std::vector<Source*> list{&stingy};
  Conversation conversation(list, {});
  conversation.hello(0, "a", "till");
  EXPECT_EQ(stingy.pop("a")["credit"], 100);
}

TEST_F(ConversationTest, BatchesAreTakenInOrderAndAckedMergedWithTheirCredit) {
  hello("a");
  EXPECT_EQ(send("a", 1, 100), Arrival::taken);
  EXPECT_EQ(send("a", 2, 50), Arrival::taken);
  EXPECT_EQ(source.pop("a"), Json());
  conversation.settled(slot, 1);
  conversation.settled(slot, 2);
  conversation.flush();
  EXPECT_EQ(source.pop("a"), Json::parse(R"({"v":1,"ack":2,"credit":150})"));
  EXPECT_EQ(source.pop("a"), Json());
  EXPECT_EQ(conversation.in_flight(), 0u);
}

TEST_F(ConversationTest, AGapIsSentBackToWhatIsExpected) {
  hello("a");
  EXPECT_EQ(send("a", 1), Arrival::taken);
  EXPECT_EQ(send("a", 3), Arrival::refused);
  const Json nack = source.pop("a");
  EXPECT_EQ(nack["nack"], 3);
  EXPECT_EQ(nack["retry"], true);
  EXPECT_EQ(nack["expected"], 2);
  EXPECT_EQ(settle(1, "a")["ack"], 1);
  EXPECT_EQ(send("a", 2), Arrival::taken);
  EXPECT_EQ(send("a", 3), Arrival::taken);
}

TEST_F(ConversationTest, SpendingMoreThanTheCreditIsSentBackAndCostsNothing) {
  hello("a");
  EXPECT_EQ(send("a", 1, 100), Arrival::taken);
  EXPECT_EQ(send("a", 2, 100), Arrival::taken);
  EXPECT_EQ(send("a", 3, 51), Arrival::refused);
  const Json nack = source.pop("a");
  EXPECT_EQ(nack["nack"], 3);
  EXPECT_EQ(nack["retry"], true);
  EXPECT_EQ(nack["expected"], 3);
  EXPECT_EQ(send("a", 3, 50), Arrival::taken);
  EXPECT_EQ(settle(3, "a"), Json::parse(R"({"v":1,"ack":3,"credit":250})"));
}

TEST_F(ConversationTest, ABatchOverTheLimitIsTakenInItsTurnWhateverCreditIsLeft) {
  hello("a");
  EXPECT_EQ(send("a", 1, 1000), Arrival::taken);
  conversation.refuse(slot, 1, "too large");
  EXPECT_EQ(source.pop("a"), Json::parse(R"({"v":1,"nack":1,"reason":"too large"})"));
  // Its bytes were spent all the same, until it is answered.
  EXPECT_EQ(send("a", 2, 10), Arrival::refused);
  EXPECT_EQ(source.pop("a")["expected"], 2);
  EXPECT_EQ(settle(1, "a"), Json::parse(R"({"v":1,"ack":1,"credit":1000})"));
  EXPECT_EQ(send("a", 2, 10), Arrival::taken);
}

TEST_F(ConversationTest, ARepeatOfADurableBatchIsAckedAgain) {
  hello("a");
  send("a", 1, 20);
  settle(1, "a");
  EXPECT_EQ(send("a", 1, 20), Arrival::repeated);
  conversation.flush();
  EXPECT_EQ(source.pop("a"), Json::parse(R"({"v":1,"ack":1,"credit":20})"));
}

TEST_F(ConversationTest, ARepeatOfOneInFlightIsDroppedAndTheOriginalAnswers) {
  hello("a");
  send("a", 1, 20);
  EXPECT_EQ(send("a", 1, 20), Arrival::repeated);
  conversation.flush();
  const Json only_credit = source.pop("a");
  EXPECT_EQ(only_credit, Json::parse(R"({"v":1,"credit":20})"));
  EXPECT_EQ(settle(1, "a"), Json::parse(R"({"v":1,"ack":1,"credit":20})"));
  EXPECT_EQ(source.pop("a"), Json());
}

TEST_F(ConversationTest, TheNewestHelloOwnsTheName) {
  hello("a");
  send("a", 1);
  EXPECT_EQ(hello("b")["ack"], 0);
  EXPECT_EQ(source.pop("a"), Json::parse(R"({"v":1,"nack":null,"reason":"superseded"})"));
  EXPECT_EQ(send("a", 2), Arrival::refused);
  EXPECT_EQ(source.pop("a")["reason"], "superseded");
  EXPECT_EQ(send("b", 2), Arrival::taken);
  EXPECT_EQ(settle(2, "b")["ack"], 2);
  EXPECT_EQ(source.pop("a"), Json());
  // And back: the first connection says hello again.
  EXPECT_EQ(hello("a")["ack"], 2);
  EXPECT_EQ(source.pop("b")["reason"], "superseded");
  EXPECT_EQ(send("a", 3), Arrival::taken);
}

TEST_F(ConversationTest, AfterAReconnectResentBatchesGiveTheirCreditBackOnce) {
  hello("a");
  send("a", 1, 100);
  send("a", 2, 100);
  EXPECT_EQ(hello("b")["credit"], 250);
  EXPECT_EQ(send("b", 1, 100), Arrival::repeated);
  EXPECT_EQ(send("b", 2, 100), Arrival::repeated);
  conversation.flush();
  EXPECT_EQ(source.pop("b"), Json());
  EXPECT_EQ(send("b", 3, 51), Arrival::refused) << "the repeats hold 200 of the 250";
  source.pop("b");
  EXPECT_EQ(settle(2, "b"), Json::parse(R"({"v":1,"ack":2,"credit":200})"));
}

TEST_F(ConversationTest, WhatWasSentBeforeAHelloGivesNothingBackAfterIt) {
  hello("a");
  send("a", 1, 100);
  hello("a");
  EXPECT_EQ(settle(1, "a"), Json::parse(R"({"v":1,"ack":1})"));
}

TEST_F(ConversationTest, WithoutAHelloNothingIsTakenAndTheProducerLearnsWhereItStands) {
  EXPECT_EQ(send("a", 5), Arrival::refused);
  const Json nack = source.pop("a");
  EXPECT_EQ(nack["nack"], 5);
  EXPECT_EQ(nack["retry"], true);
  EXPECT_EQ(nack["expected"], 1);
  hello("b");
  EXPECT_EQ(send("c", 1), Arrival::refused);
  EXPECT_EQ(source.pop("c")["retry"], true) << "it was never superseded, it only didn't say hello";
}

TEST_F(ConversationTest, TheFirstSequenceNumberIsOne) {
  hello("a");
  EXPECT_EQ(send("a", 0), Arrival::refused);
  EXPECT_EQ(source.pop("a")["nack"], 0);
  EXPECT_EQ(send("a", 1), Arrival::taken);
}

TEST_F(ConversationTest, RefusedRowsAreAllCountedAndAHundredNamed) {
  hello("a");
  send("a", 1);
  std::vector<engine::RowRefusal> rows;
  for (std::uint32_t i = 0; i < 250; ++i) rows.push_back({i * 2, "bad \xff \"text\""});
  conversation.refuse_rows(slot, 1, rows);
  const Json nack = source.pop("a");
  EXPECT_EQ(nack["nack"], 1);
  EXPECT_EQ(nack["rows_refused"], 250);
  ASSERT_EQ(nack["rows"].size(), 100u);
  EXPECT_EQ(nack["rows"][99]["row"], 198);
  EXPECT_FALSE(nack.contains("retry"));
}

TEST_F(ConversationTest, AnswersWaitForAPeerThatIsNotReady) {
  hello("a");
  send("a", 1, 30);
  source.next = Replied::later;
  conversation.settled(slot, 1);
  EXPECT_TRUE(conversation.flush());
  send("a", 2, 40);
  conversation.settled(slot, 2);
  EXPECT_TRUE(conversation.flush());
  source.next = Replied::sent;
  EXPECT_FALSE(conversation.flush());
  EXPECT_EQ(source.pop("a"), Json::parse(R"({"v":1,"ack":2,"credit":70})"));
}

TEST_F(ConversationTest, NamesAreBounded) {
  Conversation narrow(sources, {}, 2);
  narrow.hello(0, "a", "one");
  narrow.hello(0, "b", "two");
  narrow.hello(0, "c", "three");
  EXPECT_EQ(source.pop("c")["nack"], nullptr);
  narrow.hello(0, "d", std::string(300, 'x'));
  EXPECT_EQ(source.pop("d")["nack"], nullptr);
  EXPECT_EQ(narrow.producers(), 2u);
}

TEST_F(ConversationTest, ManyInFlightOutgrowTheFirstRing) {
  hello("a");
  for (std::uint64_t seq = 1; seq <= 1000; ++seq) ASSERT_EQ(send("a", seq, 0), Arrival::taken);
  EXPECT_EQ(conversation.in_flight(), 1000u);
  EXPECT_EQ(settle(1000, "a")["ack"], 1000);
  EXPECT_EQ(conversation.in_flight(), 0u);
}

// A producer that keeps to the protocol, with reconnects, repeats and losses at random, gets everything
// through, once and in order, and its view of the credit never goes beyond the host's.
TEST_F(ConversationTest, AnyFaithfulProducerGetsEverythingThroughOnce) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    std::mt19937 random(seed);
    RecordedSource wire(small());
    std::vector<Source*> list{&wire};
    Conversation host(list, {});
    const std::uint64_t total = 200;
    std::vector<std::uint64_t> bytes(total + 1);
    for (auto& b : bytes) b = random() % 100 + 1;
    std::uint64_t next = 1, acked = 0, taken = 0, durable = 0;
    std::int64_t credit = 0;
    int connection = 0;
    std::uint32_t place = 0;
    std::string peer;
    const auto reconnect = [&] {
      wire.answers.erase(peer);
      peer = "c" + std::to_string(++connection);
      host.hello(0, peer, "p");
      const Json answer = wire.pop(peer);
      acked = answer["ack"];
      credit = answer["credit"];
      next = acked + 1;
    };
    reconnect();
    for (int step = 0; acked < total; ++step) {
      ASSERT_LT(step, 100'000) << "stalled, seed " << seed;
      switch (random() % 8) {
        case 0:
          if (random() % 10 == 0) reconnect();
          break;
        case 1:
        case 2:
          if (durable < taken) {
            durable += random() % (taken - durable) + 1;
            host.settled(place, durable);
            host.flush();
          }
          break;
        default:
          if (next <= total && static_cast<std::int64_t>(bytes[next]) <= credit) {
            credit -= static_cast<std::int64_t>(bytes[next]);
            const Arrival arrival = host.arrived(0, peer, "p", next, bytes[next], place);
            ASSERT_NE(arrival, Arrival::refused) << "seed " << seed;
            if (arrival == Arrival::taken) {
              ASSERT_EQ(next, ++taken);
            }
            ++next;
          }
      }
      for (Json answer = wire.pop(peer); !answer.is_null(); answer = wire.pop(peer)) {
        if (answer.contains("ack")) acked = answer["ack"];
        if (answer.contains("credit")) credit += answer["credit"].get<std::int64_t>();
        ASSERT_FALSE(answer.contains("nack")) << answer << " seed " << seed;
      }
      ASSERT_LE(credit, 250);
    }
    EXPECT_EQ(taken, total);
  }
}

}  // namespace
}  // namespace lanner::host
