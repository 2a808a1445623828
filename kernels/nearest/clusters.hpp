// Lloyd's k-means with k-means++ seeding, on a sample: where a reference set falls into parts. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

/// [distinct]: the nearest of at most `clusters` centres for each row. No draw of chance: the same answer
/// every time.
std::vector<std::uint32_t> clusters_of(const ReferenceSet&, std::size_t clusters);

}  // namespace lanner::nearest
