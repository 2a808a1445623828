// engine::Model for Python, made resident on devices as they are asked for.
#pragma once

#include <nanobind/nanobind.h>

namespace lanner::python {

void add_model(nanobind::module_&);

}  // namespace lanner::python
