#include "host/pipeline/learner.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace lanner::host {

Learner::Learner(unsigned threads) : threads_(threads), thread_([this] { run(); }) {}

Learner::~Learner() {
  stop({});
  thread_.join();
}

void Learner::add(Job job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

bool Learner::stop(std::chrono::nanoseconds patience) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  return changed_.wait_for(lock, patience, [this] { return ended_; });
}

void Learner::run() {
  pthread_setname_np(pthread_self(), "learn");
  // Events that flow come first. (On Linux a thread has a priority of its own.)
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
  std::shared_ptr<Device> device;
  const engine::Progress progress = [this](double, std::string_view) {
    std::lock_guard lock(mutex_);
    if (stopping_) throw Stopped();
  };
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) break;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    try {
      if (!device)
        device = Device::cpu(threads_ > 0 ? CpuOptions{chosen_cpu_tier(), threads_} : CpuOptions{});
      job(*device, progress);
    } catch (const Stopped&) {
    }
    lock.lock();
  }
  ended_ = true;
  changed_.notify_all();
}

}  // namespace lanner::host
