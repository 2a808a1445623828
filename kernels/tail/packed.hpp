// A calibration as every backend keeps it: the tables of rank.hpp, the p-value of each rank, the tail's
// constants. Made on the host; pointers are set once the arrays are on their device.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/tail/rank.hpp"
#include "kernels/tail/tail.hpp"
#include "kernels/tail/tail_formula.hpp"

namespace lanner::tail {

struct Packed {
  std::vector<Piece> pieces;
  std::vector<std::uint32_t> cells;
  std::vector<float> distinct;
  std::vector<double> p_of_first;  ///< (1 + scores >= distinct[i]) / (n + 1); beyond the last, 1 / (n + 1)
  RankTables tables;               ///< without its pointers
  std::uint32_t distinct_count = 0;
  bool extrapolates = false;
  TailFormula formula;
};
Packed pack(const Calibration&);

/// The same on a device.
struct ResidentArrays {
  Array<Piece> pieces;
  Array<std::uint32_t> cells;
  Array<float> distinct;
  Array<double> p_of_first;

  ResidentArrays(Device& device, const Packed& packed)
      : pieces(resident_copy(device, packed.pieces)),
        cells(resident_copy(device, packed.cells)),
        distinct(resident_copy(device, packed.distinct)),
        p_of_first(resident_copy(device, packed.p_of_first)) {}
  RankTables tables(RankTables shape) const {
    shape.pieces = pieces.data();
    shape.cells = cells.data();
    shape.distinct = distinct.data();
    return shape;
  }
};

}  // namespace lanner::tail
