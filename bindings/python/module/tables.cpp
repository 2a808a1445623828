#include "bindings/python/module/tables.hpp"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <string>
#include <vector>

#include "engine/choose/choose.hpp"
#include "engine/model/model.hpp"

namespace nb = nanobind;

namespace lanner::python {
namespace {

const char* name_of(engine::Kind kind) {
  switch (kind) {
    case engine::Kind::boolean:
      return "boolean";
    case engine::Kind::integer:
      return "integer";
    case engine::Kind::number:
      return "number";
    case engine::Kind::word:
      return "word";
    case engine::Kind::integers:
      return "integers";
    case engine::Kind::count_or_share:
      return "count_or_share";
    case engine::Kind::text:
      return "text";
  }
  return "word";
}

struct Automatic {};

}  // namespace

void add_tables(nb::module_& module) {
  nb::class_<engine::Parameter>(module, "Parameter", "One setting of a detector or of every fit.")
      .def_ro("name", &engine::Parameter::name)
      .def_prop_ro("kind", [](const engine::Parameter& parameter) { return name_of(parameter.kind); })
      .def_ro("fallback", &engine::Parameter::fallback, "The default, as text.")
      .def_ro("summary", &engine::Parameter::summary)
      .def_ro("words", &engine::Parameter::words, "Words it may take, beside values or instead of them.")
      .def_prop_ro("allowed", [](const engine::Parameter& parameter) { return engine::allowed(parameter); });

  nb::class_<engine::Detector>(module, "Detector", "One line of the catalogue.")
      .def_ro("name", &engine::Detector::name)
      .def_ro("summary", &engine::Detector::summary)
      .def_ro("paper", &engine::Detector::paper)
      .def_prop_ro("parameters", [](const engine::Detector& detector) {
        return std::vector<engine::Parameter>(detector.parameters.begin(), detector.parameters.end());
      });

  module.def(
      "catalogue",
      [] {
        const auto detectors = engine::catalogue();
        return std::vector<engine::Detector>(detectors.begin(), detectors.end());
      },
      "Every detector there is.");
  nb::class_<Automatic>(module, "Automatic", "What chooses a detector, as a line of the catalogue.")
      .def_prop_ro("name", [](const Automatic&) { return engine::auto_name; })
      .def_prop_ro("summary", [](const Automatic&) { return engine::auto_summary; })
      .def_prop_ro("parameters", [](const Automatic&) {
        const auto table = engine::auto_parameters();
        return std::vector<engine::Parameter>(table.begin(), table.end());
      });
  module.def("automatic", [] { return Automatic(); });

  module.def(
      "fit_parameters",
      [] {
        const auto table = engine::fit_parameters();
        return std::vector<engine::Parameter>(table.begin(), table.end());
      },
      "The settings that every fit takes beside its detector's.");
  module.def(
      "check",
      [](const std::string& detector, const std::map<std::string, std::string>& settings) {
        engine::Settings::parse(engine::all_parameters(detector), settings);
      },
      nb::arg("detector"), nb::arg("settings"), "Raises ValueError, with every fault there is.");
}

}  // namespace lanner::python
