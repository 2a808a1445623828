// The elementary functions over arrays, in the lanes of one tier: each tier's own file compiles them with its
// flags.
#pragma once

#include <cstddef>

namespace lanner::test {

enum class Function { exp, exp_normal, log, log1p, expm1, tanh, sin, cos };
enum class WideFunction { exp, log, log1p };

/// count must be a multiple of 16 (floats) or 8 (doubles).
using Evaluate = void (*)(Function, const float* x, float* y, std::size_t count);
using WideEvaluate = void (*)(WideFunction, const double* x, double* y, std::size_t count);

void evaluate_avx2(Function, const float* x, float* y, std::size_t count);
void evaluate_avx512(Function, const float* x, float* y, std::size_t count);
void evaluate_avx2(WideFunction, const double* x, double* y, std::size_t count);
void evaluate_avx512(WideFunction, const double* x, double* y, std::size_t count);

}  // namespace lanner::test
