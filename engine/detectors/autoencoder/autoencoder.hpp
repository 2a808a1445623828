// An autoencoder's reconstruction error: Hawkins et al. 2002, "Outlier Detection Using Replicator Neural
// Networks"; Sakurada & Yairi 2014. kernels/mlp/mlp.hpp states the network, its training and the error.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::autoencoder {

Detector detector();

}  // namespace lanner::engine::autoencoder
