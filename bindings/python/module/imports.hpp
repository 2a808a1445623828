// Detectors that were fitted elsewhere, from NumPy arrays.
#pragma once

#include <nanobind/nanobind.h>

namespace lanner::python {

void add_imports(nanobind::module_&);

}  // namespace lanner::python
