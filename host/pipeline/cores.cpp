#include "host/pipeline/cores.hpp"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace lanner::host {

std::vector<int> usable_cores() {
  cpu_set_t set;
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

void refuse_missing_cores(const CoresConfig& cores, const std::vector<int>& usable,
                          std::vector<ConfigError>& faults) {
  std::string allowed = "cores that this process may use:";
  for (const int core : usable) allowed += " " + std::to_string(core);
  for (const auto& [key, asked] :
       {std::pair<std::string_view, const std::vector<int>&>{"intake", cores.intake},
        {"score", cores.score},
        {"outlet", cores.outlet},
        {"sockets", cores.sockets}})
    for (const int core : asked)
      if (!std::ranges::binary_search(usable, core))
        faults.push_back(
            {.key = "cores." + std::string(key), .found = std::to_string(core), .allowed = allowed});
}

void stay_on(const std::vector<int>& cores) {
  if (cores.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  if (const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set); error != 0)
    throw std::system_error(error, std::generic_category(), "cores");
}

OnCores::OnCores(const std::vector<int>& cores) {
  if (const int error = pthread_getaffinity_np(pthread_self(), sizeof before_, &before_); error != 0)
    throw std::system_error(error, std::generic_category(), "cores");
  stay_on(cores);
}

OnCores::~OnCores() {
  pthread_setaffinity_np(pthread_self(), sizeof before_, &before_);
}

}  // namespace lanner::host
