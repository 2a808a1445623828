// The module lanner._engine: what the Python files of the package are written on.
#include <nanobind/nanobind.h>

#include <cerrno>
#include <exception>
#include <system_error>

#include "bindings/python/module/imports.hpp"
#include "bindings/python/module/model.hpp"
#include "bindings/python/module/series.hpp"
#include "bindings/python/module/tables.hpp"
#include "engine/model_file/tensors.hpp"

namespace nb = nanobind;

namespace {

// std::invalid_argument is a ValueError already, std::bad_alloc a MemoryError.
void translate(const std::exception_ptr& error, void*) {
  try {
    std::rethrow_exception(error);
  } catch (const lanner::engine::InvalidModel& invalid) {
    PyErr_SetString(PyExc_ValueError, invalid.what());
  } catch (const std::system_error& failed) {
    // OSError makes FileNotFoundError and its like of an errno.
    const nb::object arguments = nb::make_tuple(failed.code().value(), failed.what());
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  }
}

}  // namespace

NB_MODULE(_engine, module) {
  nb::register_exception_translator(translate);
  module.attr("__version__") = LANNER_VERSION;
  lanner::python::add_tables(module);
  lanner::python::add_imports(module);
  lanner::python::add_model(module);
  lanner::python::add_series(module);
}
