// The thread that fits what streams have collected, one after the other, behind the events that flow.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "engine/detectors/detector.hpp"
#include "host/pipeline/learning.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

class Learner {
 public:
  struct Job {
    std::string stream;
    std::shared_ptr<Learning> learning;
  };
  /// Thrown by `Progress` where the learner is to stop.
  struct Stopped {};
  using Fit = std::function<void(const Job&, Device&, const engine::Progress&)>;

  /// threads: of the device it fits on; 0 for as many as there are.
  Learner(unsigned threads, Fit);
  ~Learner();

  void add(Job);
  /// No further fits; the one under way is left at its next step. false: it hasn't come there in that time,
  /// and this learner can't be destroyed yet.
  bool stop(std::chrono::nanoseconds patience);

 private:
  void run();

  unsigned threads_;
  Fit fit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace lanner::host
