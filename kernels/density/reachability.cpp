#include "kernels/density/reachability.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/density/reachability_formula.hpp"
#include "kernels/density/reachability_gpu.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/device/resident.hpp"

namespace lanner::density {
namespace {

constexpr std::size_t rows_a_piece_of_work = 256;

[[noreturn]] void refuse(const std::string& reason) {
  throw std::invalid_argument("local outlier factors: " + reason);
}

class CpuDensities final : public ResidentDensities {
 public:
  CpuDensities(Device& device, const TrainingDensity& training)
      : weight_(resident_copy(device, std::vector(training.weight.begin(), training.weight.end()))),
        k_distance_(
            resident_copy(device, std::vector(training.k_distance.begin(), training.k_distance.end()))),
        density_(resident_copy(device, std::vector(training.density.begin(), training.density.end()))) {}

  std::size_t distinct() const override { return weight_.size(); }

  void local_outlier_factors(Stream& stream, const nearest::Neighbours& found, std::size_t count,
                             float* out) const override {
    const TrainingDensity training{weight_.span(), k_distance_.span(), density_.span()};
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      for (std::size_t i = begin; i < end; ++i)
        out[i] = distinct() == 1 ? lone_row_factor(found.distance[i * found.k])
                                 : finite_factor(neighbourhood(training, found, i).factor());
    };
    stream.for_range(count, rows_a_piece_of_work, task);
  }

 private:
  Array<std::uint32_t> weight_;
  Array<float> k_distance_;
  Array<double> density_;
};

}  // namespace

std::shared_ptr<const ResidentDensities> make_densities(Device& device, const TrainingDensity& training) {
  if (training.weight.empty()) refuse("no training rows");
  if (training.k_distance.size() != training.weight.size() ||
      training.density.size() != training.weight.size())
    refuse("weights, k-distances and densities are not of as many rows");
  if (device.backend() == Backend::cpu) return std::make_shared<CpuDensities>(device, training);
  return LANNER_ON_GPU(device, make_densities, device, training);
}

void local_outlier_factors(Stream& stream, const ResidentDensities& densities,
                           const nearest::Neighbours& found, std::size_t count, std::span<float> out) {
  if (count == 0) return;
  if (found.k == 0 || !found.row || !found.distance || !found.count) refuse("no neighbours");
  if (out.size() < count) refuse("there is no room for every row's factor");
  densities.local_outlier_factors(stream, found, count, out.data());
}

}  // namespace lanner::density
