// A GPU that scores, and how it stands: fit to be used, resting after a failure, or gone for this process.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/round_trip.hpp"
#include "host/clock.hpp"
#include "kernels/device/device.hpp"
#include "kernels/device/error.hpp"

namespace lanner::host {

class Gpu {
 public:
  Gpu(std::shared_ptr<Device>, const Clock&);
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  /// What hangs is left to the end of the process: waiting for it would never end.
  ~Gpu();

  Device& device() const { return *device_; }

  // From any thread.
  bool usable() const { return clock_.steady_ns() >= usable_from_ns_.load(std::memory_order_relaxed); }
  /// Gone until the process starts again.
  bool lost() const { return usable_from_ns_.load(std::memory_order_relaxed) == never; }
  /// A call failed: it is lost where the error says so; otherwise it rests for a second, twice as long after
  /// every further failure, at most a minute.
  void failed(const DeviceError&);
  /// It will not come back in this process: its context is gone, or a kernel doesn't end.
  void lose(const std::string& why, bool hangs);
  bool hangs() const { return hangs_; }
  /// Why it isn't used; empty: it is.
  std::string trouble() const;

  // The scoring thread's.
  /// One that nothing is under way on; made where there is none. Throws DeviceError.
  std::unique_ptr<engine::RoundTrip> take();
  /// Scored well: what was taken comes back, and earlier failures are forgotten.
  void give_back(std::unique_ptr<engine::RoundTrip>);
  /// After a failure: `models` and the round trip stay until nothing can be under way on it any more.
  void abandon(std::unique_ptr<engine::RoundTrip>, std::shared_ptr<const void> models);
  std::size_t under_way = 0;  ///< slots

 private:
  static constexpr std::int64_t never = INT64_MAX;
  void drop_what_has_ended();

  std::shared_ptr<Device> device_;
  const Clock& clock_;
  std::atomic<std::int64_t> usable_from_ns_{0};
  std::atomic<bool> hangs_{false};
  std::atomic<std::int64_t> rest_ns_;
  mutable std::mutex mutex_;
  std::string trouble_;
  std::vector<std::unique_ptr<engine::RoundTrip>> free_;
  std::vector<std::pair<std::shared_ptr<const void>, std::unique_ptr<engine::RoundTrip>>> abandoned_;
};

using Gpus = std::vector<std::shared_ptr<Gpu>>;

/// What slots took to be scored, and where one is scored soonest: CPU or GPU. Sizes count by their power of
/// two. What hasn't been tried is tried; the slower of the two is tried again now and then, since a
/// machine's load changes. The scores are the same either way.
class CostModel {
 public:
  enum class Where { cpu, gpu };
  Where choose(std::size_t rows);
  /// Nothing where none of that size has been scored there.
  std::optional<double> expected_ns(Where, std::size_t rows) const;
  void learn(Where, std::size_t rows, std::int64_t ns);

 private:
  struct Cost {
    std::array<double, 2> ns_a_row{};  ///< by Where; 0: not known
    std::uint32_t since_tried = 0;
  };
  static constexpr std::uint32_t tried_again_after = 256;
  static std::size_t place(std::size_t rows);
  std::array<Cost, 32> costs_;
};

}  // namespace lanner::host
