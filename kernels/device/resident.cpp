#include "kernels/device/resident.hpp"

#include <chrono>
#include <thread>

#include "kernels/device/error.hpp"

namespace lanner {

void finish_copies(Stream& stream) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds patience{30};
  constexpr std::chrono::microseconds asked_again{20};
  constexpr int timed_out = 702;  // cudaErrorLaunchTimeout
  Event event = stream.device().event();
  stream.record(event);
  const Clock::time_point given_up = Clock::now() + patience;
  while (!event.happened()) {
    if (Clock::now() > given_up) throw DeviceError("copy", timed_out, "it does not end", true);
    std::this_thread::sleep_for(asked_again);
  }
}

}  // namespace lanner
