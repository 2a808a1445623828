// Log density of Gaussian kernel sums over a weighted reference set.
//
// Definition (the same bits on every backend). For a query q and reference row r of weight w:
//   s = 0; for feature j in order: d = q[j] - r[j] (float32); s = fma(d, d, s);   e = -(s * scale) (float32)
// with scale = float32(1 / (2 h^2)). References are taken in blocks, chains inside a block, a fixed tree
// across: the file kernel_sum_formula.hpp states them. Terms below a stated cutoff from their block's largest
// are dropped by definition, in every backend. Result: log( sum_i w_i exp(e_i) ) as float64, finite (a stated
// floor).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/device/device.hpp"
#include "kernels/nearest/nearest.hpp"
#include "kernels/rows.hpp"

namespace lanner::density {

class ResidentKernelSum {
 public:
  virtual ~ResidentKernelSum() = default;
  virtual std::size_t width() const = 0;
  /// Bytes of device memory that each of the operations below needs.
  virtual std::size_t workspace_bytes(std::size_t queries) const = 0;

  /// What the functions below call once they have checked the request: at least one query; self may be null.
  virtual void log_kernel_sum(Stream&, Rows queries, const std::uint32_t* self,
                              std::span<std::byte> workspace, double* out) const = 0;
  virtual void negative_log_density(Stream&, Rows queries, double lowest, double log_rows,
                                    std::span<std::byte> workspace, float* out) const = 0;
  virtual void attraction(Stream&, Rows queries, std::span<std::byte> workspace, MutableRows out) const = 0;
};
/// bandwidth > 0 and finite, else std::invalid_argument.
std::shared_ptr<const ResidentKernelSum> make_kernel_sum(Device&, const nearest::ReferenceSet&,
                                                         double bandwidth);

// All throw std::invalid_argument for shapes that don't fit, and allocate nothing.

/// out [queries]: log of the weighted kernel sum (not normalised). `self`: as in nearest::search with
/// Count::rows (one original row left out).
void log_kernel_sum(Stream&, const ResidentKernelSum&, Rows queries, std::span<const std::uint32_t> self,
                    std::span<std::byte> workspace, std::span<double> out);

/// out [queries]: lowest + (log_rows - log kernel sum), within the finite floats: minus the log of the
/// density, where lowest is (d / 2) log(2 pi h^2) and log_rows the log of the number of original rows.
void negative_log_density(Stream&, const ResidentKernelSum&, Rows queries, double lowest, double log_rows,
                          std::span<std::byte> workspace, std::span<float> out);

/// out [queries, d]: for each feature the kernel-weighted mean of (q[j]-r[j])^2 / (2 h^2): where the
/// query's distance to the mass around it comes from.
void attraction(Stream&, const ResidentKernelSum&, Rows queries, std::span<std::byte> workspace,
                MutableRows out);

}  // namespace lanner::density
