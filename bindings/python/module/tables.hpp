// The catalogue and its tables of parameters, as Python reads them.
#pragma once

#include <nanobind/nanobind.h>

namespace lanner::python {

void add_tables(nanobind::module_&);

}  // namespace lanner::python
