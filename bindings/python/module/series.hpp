// The series detectors for Python: state that rows go through, one by one or many at a time.
#pragma once

#include <nanobind/nanobind.h>

namespace lanner::python {

void add_series(nanobind::module_&);

}  // namespace lanner::python
