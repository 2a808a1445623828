// How far long work is, told to Python, and Ctrl-C heard.
#pragma once

#include <nanobind/nanobind.h>

#include "engine/detectors/detector.hpp"

namespace lanner::python {

/// Calls `callback` (done in [0, 1], what), or nothing where it is None. Where a signal's handler or the
/// callback raises, the work ends with that exception. To be called without the GIL; `callback` must outlive
/// it.
engine::Progress progress_to(nanobind::handle callback);

}  // namespace lanner::python
