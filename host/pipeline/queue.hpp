// A bounded queue between two stages. It is made as long as there are things that can be in it, so that a
// push never waits and never allocates; what is bounded is the number of things.
#pragma once

#include <atomic>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace lanner::host {

template <class T>
class Queue {
 public:
  explicit Queue(std::size_t capacity) : ring_(capacity) {}

  void push(T item) {
    bool wake;
    {
      std::lock_guard lock(mutex_);
      assert(count_ < ring_.size());
      ring_[(first_ + count_) % ring_.size()] = item;
      ++count_;
      size_.store(count_, std::memory_order_relaxed);
      wake = waiting_;
    }
    if (wake) ready_.notify_one();
  }

  bool try_pop(T& item) {
    if (size_.load(std::memory_order_relaxed) == 0) return false;
    std::lock_guard lock(mutex_);
    return take(item);
  }

  /// Waits for something to take, until `wait` is over (below 0: without end) or the queue is closed. Whether
  /// there is something; it stays in the queue.
  bool wait(std::chrono::nanoseconds wait) {
    std::unique_lock lock(mutex_);
    waiting_ = true;
    const auto something = [&] { return count_ > 0 || closed_; };
    if (wait < std::chrono::nanoseconds(0)) {
      ready_.wait(lock, something);
    } else {
      ready_.wait_for(lock, wait, something);
    }
    waiting_ = false;
    return count_ > 0;
  }

  /// Those who wait wake up; what is in it can still be taken.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    ready_.notify_all();
  }
  bool closed_and_empty() {
    std::lock_guard lock(mutex_);
    return closed_ && count_ == 0;
  }

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  bool take(T& item) {
    if (count_ == 0) return false;
    item = ring_[first_];
    first_ = (first_ + 1) % ring_.size();
    --count_;
    size_.store(count_, std::memory_order_relaxed);
    return true;
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<T> ring_;
  std::size_t first_ = 0, count_ = 0;
  std::atomic<std::size_t> size_{0};
  bool waiting_ = false, closed_ = false;
};

}  // namespace lanner::host
