// A calibration as every backend keeps it: the tables of rank.hpp, the p-value of each rank, the tail's
// constants. Made on the host; pointers are set once the arrays are on their device. Of several calibrations
// the arrays lie one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/tail/rank.hpp"
#include "kernels/tail/tail.hpp"
#include "kernels/tail/tail_formula.hpp"

namespace lanner::tail {

/// One calibration's.
struct Look {
  RankTables tables;
  const double* p_of_first = nullptr;
  std::uint32_t distinct_count = 0;
  bool extrapolates = false;
  TailFormula formula;
};

struct Packed {
  std::vector<Piece> pieces;
  std::vector<std::uint32_t> cells;
  std::vector<float> distinct;
  std::vector<double> p_of_first;  ///< (1 + scores >= distinct[i]) / (n + 1); beyond the last, 1 / (n + 1)
  struct Place {
    std::size_t pieces, cells, distinct, p_of_first;
  };
  std::vector<Place> places;  ///< where each calibration's begin
  std::vector<Look> looks;    ///< of each, without its pointers
};
Packed pack(std::span<const Calibration>);

/// The same on a device.
struct ResidentArrays {
  Array<Piece> pieces;
  Array<std::uint32_t> cells;
  Array<float> distinct;
  Array<double> p_of_first;
  std::vector<Look> looks;  ///< with pointers into the device's memory

  ResidentArrays(Device& device, const Packed& packed)
      : pieces(resident_copy(device, packed.pieces)),
        cells(resident_copy(device, packed.cells)),
        distinct(resident_copy(device, packed.distinct)),
        p_of_first(resident_copy(device, packed.p_of_first)),
        looks(packed.looks) {
    for (std::size_t c = 0; c < looks.size(); ++c) {
      const Packed::Place& place = packed.places[c];
      looks[c].tables.pieces = pieces.data() + place.pieces;
      looks[c].tables.cells = cells.data() + place.cells;
      looks[c].tables.distinct = distinct.data() + place.distinct;
      looks[c].p_of_first = p_of_first.data() + place.p_of_first;
    }
  }
};

}  // namespace lanner::tail
