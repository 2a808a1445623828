#include "bindings/python/module/progress.hpp"

namespace nb = nanobind;

namespace lanner::python {

engine::Progress progress_to(nb::handle callback) {
  return [callback](double done, std::string_view what) {
    nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (!callback.is_none()) callback(done, nb::str(what.data(), what.size()));
  };
}

}  // namespace lanner::python
