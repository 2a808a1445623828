// Training on GPUs: training_cuda.cu, compiled for each of the two kinds.
#pragma once

#include <memory>

#include "kernels/mlp/trainer.hpp"

namespace lanner::mlp::cuda {
std::unique_ptr<Trainer> make_trainer(Device&, const TrainerTask&);
}
namespace lanner::mlp::emulated {
std::unique_ptr<Trainer> make_trainer(Device&, const TrainerTask&);
}
