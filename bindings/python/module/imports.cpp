#include "bindings/python/module/imports.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/detectors/autoencoder/import.hpp"
#include "engine/detectors/isolation_forest/import.hpp"
#include "engine/detectors/networks.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace nb = nanobind;

namespace lanner::python {
namespace {

template <class T>
using Values = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weights = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Layer = std::tuple<Weights, Values<float>, std::string>;

template <class Array>
auto view(const Array& array) {
  return std::span(array.data(), array.size());
}

engine::Imported forest(std::size_t width, std::size_t samples, double average_length,
                        const Values<std::int64_t>& tree_begin, const Values<std::int64_t>& left,
                        const Values<std::int64_t>& right, const Values<std::int64_t>& feature,
                        const Values<double>& threshold, const Values<double>& rows,
                        const Values<double>& length, std::string source) {
  nb::gil_scoped_release release;
  const FloatEnvironment environment;
  engine::Imported imported = engine::isolation_forest::import_forest(
      {width, samples, average_length, view(tree_begin), view(left), view(right), view(feature),
       view(threshold), view(rows), view(length)});
  imported.from = std::move(source);
  return imported;
}

engine::Imported network(const std::vector<Layer>& layers, const Values<double>& mean,
                         const Values<double>& scale, std::string source) {
  std::vector<mlp::Layer> taken;
  for (const auto& [weight, bias, name] : layers) {
    const auto activation = engine::activation_named(name);
    if (!activation) throw std::invalid_argument("activation: found '" + name + "', which there is not");
    const auto weights = view(weight), biases = view(bias);
    taken.push_back({weight.shape(1),
                     weight.shape(0),
                     {weights.begin(), weights.end()},
                     {biases.begin(), biases.end()},
                     *activation});
  }
  nb::gil_scoped_release release;
  const FloatEnvironment environment;
  engine::Imported imported =
      engine::autoencoder::import_network(std::move(taken), {view(mean), view(scale)});
  imported.from = std::move(source);
  return imported;
}

}  // namespace

void add_imports(nb::module_& module) {
  nb::class_<engine::Imported>(module, "Imported",
                               "A detector that was fitted elsewhere; Model.calibrate takes it.")
      .def_ro("detector", &engine::Imported::detector)
      .def_ro("settings", &engine::Imported::settings, "Those of its detector that say the same, as text.")
      .def_ro("source", &engine::Imported::from, "What it was.");
  module.def("import_isolation_forest", &forest, nb::arg("width"), nb::arg("samples"),
             nb::arg("average_length"), nb::arg("tree_begin"), nb::arg("left"), nb::arg("right"),
             nb::arg("feature"), nb::arg("threshold"), nb::arg("rows"), nb::arg("length"), nb::arg("source"),
             "Of arrays as engine/detectors/isolation_forest/import.hpp states them.");
  module.def("import_autoencoder", &network, nb::arg("layers"), nb::arg("mean"), nb::arg("scale"),
             nb::arg("source"),
             "layers: (weight float32 [outputs, inputs], bias float32 [outputs], activation) of each; mean, "
             "scale: float64 [inputs], or empty.");
}

}  // namespace lanner::python
