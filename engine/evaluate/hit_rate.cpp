#include "engine/evaluate/hit_rate.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace lanner::engine {

std::size_t looked_at(std::size_t metrics, std::size_t listed, double share) {
  return std::min(metrics, static_cast<std::size_t>(std::floor(share * static_cast<double>(listed))));
}

double hit_rate(std::span<const double> contributions, std::span<const std::size_t> listed, double share) {
  std::vector<bool> seen(contributions.size());
  for (const std::size_t metric : listed) {
    if (metric >= seen.size() || seen[metric])
      throw std::invalid_argument("found metric " + std::to_string(metric) +
                                  " listed, allowed each once below " + std::to_string(seen.size()));
    seen[metric] = true;
  }
  if (listed.empty()) throw std::invalid_argument("found no metric listed, allowed at least one");
  const std::size_t places = looked_at(contributions.size(), listed.size(), share);
  if (places == 0) return 0;
  std::vector<double> sorted(contributions.begin(), contributions.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double last = sorted[places - 1];
  double above = 0, tied = 0, hits = 0, tied_hits = 0;
  for (std::size_t metric = 0; metric < contributions.size(); ++metric) {
    above += contributions[metric] > last;
    tied += contributions[metric] == last;
    hits += seen[metric] && contributions[metric] > last;
    tied_hits += seen[metric] && contributions[metric] == last;
  }
  hits += tied_hits * (static_cast<double>(places) - above) / tied;
  return hits / static_cast<double>(listed.size());
}

double random_hit_rate(std::size_t metrics, std::size_t listed, double share) {
  return static_cast<double>(looked_at(metrics, listed, share)) / static_cast<double>(metrics);
}

}  // namespace lanner::engine
