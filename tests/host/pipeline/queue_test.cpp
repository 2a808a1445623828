#include "host/pipeline/queue.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "host/pipeline/wake.hpp"

namespace lanner::host {
namespace {

using namespace std::chrono_literals;

bool readable(int descriptor, int wait_ms) {
  pollfd item{descriptor, POLLIN, 0};
  return poll(&item, 1, wait_ms) == 1;
}

TEST(Queue, KeepsOrderBetweenThreads) {
  Queue<int> queue(100'000);
  std::thread producer([&] {
    for (int i = 0; i < 100'000; ++i) queue.push(i);
  });
  for (int i = 0; i < 100'000; ++i) {
    int item = -1;
    ASSERT_TRUE(queue.wait(5s));
    ASSERT_TRUE(queue.try_pop(item));
    ASSERT_EQ(item, i);
  }
  producer.join();
  EXPECT_EQ(queue.size(), 0u);
}

TEST(Queue, WaitsNoLongerThanItIsTold) {
  Queue<int> queue(1);
  int item;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(queue.wait(20ms));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 19ms);
  EXPECT_FALSE(queue.try_pop(item));
}

TEST(Queue, ClosingWakesWhoeverWaitsAndLeavesTheRest) {
  Queue<int> queue(2);
  std::thread waiting([&] { EXPECT_FALSE(queue.wait(-1ns)); });
  std::this_thread::sleep_for(20ms);
  queue.close();
  waiting.join();
  queue.push(7);
  int item = 0;
  EXPECT_TRUE(queue.wait(-1ns));
  EXPECT_TRUE(queue.try_pop(item));
  EXPECT_EQ(item, 7);
}

TEST(Wake, WakesOnlyWhoSleepsForThatReason) {
  Wake wake;
  wake.signal(Wake::answers);
  EXPECT_FALSE(readable(wake.descriptor(), 0)) << "nobody sleeps";
  wake.arm(Wake::answers);
  wake.signal(Wake::room);
  EXPECT_FALSE(readable(wake.descriptor(), 0)) << "not for room";
  wake.signal(Wake::answers);
  EXPECT_TRUE(readable(wake.descriptor(), 1000));
  wake.disarm();
  EXPECT_FALSE(readable(wake.descriptor(), 0));
  wake.arm(0);
  wake.signal(Wake::always);
  EXPECT_TRUE(readable(wake.descriptor(), 1000));
}

}  // namespace
}  // namespace lanner::host
