// The thread that fits what streams have collected, one after the other, behind the events that flow.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/detectors/detector.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

class Learner {
 public:
  /// One fit. Its progress throws `Stopped` where the learner is to stop, and the job lets it through.
  using Job = std::function<void(Device&, const engine::Progress&)>;
  struct Stopped {};

  /// threads: of the device it fits on; 0 for as many as there are.
  explicit Learner(unsigned threads);
  ~Learner();

  void add(Job);
  /// No further fits; the one under way is left at its next step. false: it hasn't come there in that time,
  /// and this learner can't be destroyed yet.
  bool stop(std::chrono::nanoseconds patience);

 private:
  void run();

  unsigned threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace lanner::host
