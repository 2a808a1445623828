#include "bindings/python/module/series.hpp"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/python/module/arrays.hpp"
#include "bindings/python/module/devices.hpp"
#include "bindings/python/module/events.hpp"
#include "engine/series/multivariate.hpp"
#include "engine/series/series_model.hpp"
#include "engine/series/series_scorer.hpp"
#include "engine/series/series_settings.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace nb = nanobind;

namespace lanner::python {
namespace {

using Given = std::map<std::string, std::string>;
using DoubleRows = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::bytes to_bytes(const std::vector<T>& values) {
  return nb::bytes(values.data(), values.size() * sizeof(T));
}
template <class T>
std::vector<T> from_bytes(const nb::bytes& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// Work on one detector at a time, by whichever thread. The lock is taken without the GIL, so that a thread
// that waits for it holds up no other.
class Turns {
 public:
  template <class Work>
  auto take(const Work& work) {
    nb::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    const FloatEnvironment environment;
    return work();
  }

 private:
  std::mutex mutex_;
};

class SeriesDetector {
 public:
  explicit SeriesDetector(Given settings)
      : settings_(std::move(settings)),
        detector_(engine::series_parameters(engine::Settings::parse(engine::series_settings(), settings_))) {}

  nb::tuple push(double value, std::int64_t time_ns) {
    const engine::SeriesScore row = turns_.take([&] { return detector_.push(time_ns, value); });
    const auto stated = stated_of(row);
    return nb::make_tuple(row.score, row.alarm, stated[0], stated[1], stated[2], stated[3], stated[4]);
  }

  nb::tuple push_rows(const Numbers& values, const Times& times) {
    const std::size_t n = values.shape(0);
    if (times.shape(0) != n)
      throw std::invalid_argument("times: found " + std::to_string(times.shape(0)) +
                                  ", allowed one a value: " + std::to_string(n));
    std::vector<double> scores(n);
    std::vector<std::uint8_t> alarms(n);
    std::array<std::vector<double>, 1 + engine::series_channels> stated;
    for (auto& column : stated) column.resize(n);
    turns_.take([&] {
      for (std::size_t i = 0; i < n; ++i) {
        const engine::SeriesScore row = detector_.push(times.data()[i], values.data()[i]);
        scores[i] = row.score;
        alarms[i] = row.alarm;
        const auto of_row = stated_of(row);
        for (std::size_t c = 0; c < stated.size(); ++c) stated[c][i] = of_row[c];
      }
    });
    return nb::make_tuple(to_numpy(std::move(scores)), to_numpy(std::move(alarms)),
                          to_numpy(std::move(stated[0])), to_numpy(std::move(stated[1])),
                          to_numpy(std::move(stated[2])), to_numpy(std::move(stated[3])),
                          to_numpy(std::move(stated[4])));
  }

  std::uint64_t missing() {
    return turns_.take([&] { return detector_.missing(); });
  }
  nb::bytes snapshot() {
    return to_bytes(turns_.take([&] { return detector_.snapshot(); }));
  }
  void restore(const nb::bytes& bytes) {
    const auto copy = from_bytes<std::byte>(bytes);
    turns_.take([&] { detector_.restore(copy); });
  }
  const Given& settings() const { return settings_; }

 private:
  // What was expected and the channels' surprises: NaN where the row has none.
  static std::array<double, 1 + engine::series_channels> stated_of(const engine::SeriesScore& row) {
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    if (row.warming_up || row.missing) return {none, none, none, none, none};
    return {row.expected, row.surprises[0], row.surprises[1], row.surprises[2], row.surprises[3]};
  }

  Given settings_;
  Turns turns_;
  engine::SeriesDetector detector_;
};

class MultivariateModel {
 public:
  explicit MultivariateModel(std::shared_ptr<const engine::SeriesModel> model) : model_(std::move(model)) {}

  static MultivariateModel fit(const DoubleRows& rows, Given settings,
                               const std::vector<std::string>& metrics, const std::string& name,
                               const std::string& device_name) {
    const auto device = device_named(device_name);
    nb::gil_scoped_release release;
    const FloatEnvironment environment;
    engine::Schema schema;
    for (const std::string& metric : metrics) schema.fields.push_back({metric});
    engine::Records records;
    records.count = rows.shape(0);
    records.dense = {nullptr, rows.data(), rows.shape(1)};
    return MultivariateModel(engine::SeriesModel::fit(*device, schema, records, {std::move(settings), name}));
  }
  static MultivariateModel of_bytes(const nb::bytes& bytes) {
    return MultivariateModel(engine::SeriesModel::from_bytes(from_bytes<std::byte>(bytes)));
  }
  static MultivariateModel load(const std::string& path) {
    return MultivariateModel(engine::SeriesModel::load(path));
  }

  const std::shared_ptr<const engine::SeriesModel>& data() const { return model_; }
  nb::bytes bytes() const { return to_bytes(model_->bytes()); }
  std::vector<std::string> metrics() const {
    std::vector<std::string> names;
    for (const engine::FieldSpec& field : model_->schema().fields) names.push_back(field.name);
    return names;
  }

 private:
  std::shared_ptr<const engine::SeriesModel> model_;
};

constexpr std::size_t rows_a_piece = 4096;

void check_rows(const DoubleRows& rows, std::size_t metrics) {
  if (rows.shape(1) != metrics)
    throw std::invalid_argument("found rows of " + std::to_string(rows.shape(1)) + " metrics, allowed " +
                                std::to_string(metrics));
}

// Rows of one machine, from its first on; `each` is told of a piece, which has been pushed.
template <class Each>
void pass(engine::SeriesScorer& scorer, const DoubleRows& rows, std::span<double> p_values,
          const Each& each) {
  std::vector<engine::EntityRow> piece;
  std::vector<float> scores(std::min(rows_a_piece, rows.shape(0)));
  std::vector<std::uint8_t> unguaranteed(scores.size());
  for (std::size_t begin = 0; begin < rows.shape(0); begin += piece.size()) {
    const std::size_t count = std::min(rows_a_piece, rows.shape(0) - begin);
    piece.clear();
    for (std::size_t i = begin; i < begin + count; ++i)
      piece.push_back({{}, rows.data() + i * rows.shape(1)});
    scorer.push_rows(piece, 1, std::span(scores).first(count), p_values.subspan(begin, count),
                     std::span(unguaranteed).first(count));
    each(begin, count);
  }
}

Vector<double> p_values(const MultivariateModel& model, const DoubleRows& rows,
                        const std::string& device_name) {
  check_rows(rows, model.data()->schema().fields.size());
  const auto device = device_named(device_name);
  std::vector<double> out(rows.shape(0));
  {
    nb::gil_scoped_release release;
    const FloatEnvironment environment;
    engine::SeriesScorer scorer(*device, model.data());
    pass(scorer, rows, out, [](std::size_t, std::size_t) {});
  }
  return to_numpy(std::move(out));
}

Table<double> contributions(const MultivariateModel& model, const DoubleRows& rows,
                            const std::string& device_name) {
  const std::size_t metrics = model.data()->schema().fields.size();
  check_rows(rows, metrics);
  const auto device = device_named(device_name);
  std::vector<double> out(rows.shape(0) * metrics), unused(rows.shape(0));
  {
    nb::gil_scoped_release release;
    const FloatEnvironment environment;
    engine::SeriesScorer scorer(*device, model.data());
    pass(scorer, rows, unused, [&](std::size_t begin, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i)
        scorer.machines().contributions(i, std::span(out).subspan((begin + i) * metrics, metrics));
    });
  }
  return to_numpy<Table<double>>(std::move(out), {rows.shape(0), metrics});
}

class MultivariateDetector {
 public:
  MultivariateDetector(const MultivariateModel& model, const std::string& device)
      : model_(model.data()->learned()), device_(device_named(device)), detector_(made()) {}

  Vector<double> push_rows(const DoubleRows& rows) {
    check_rows(rows, model_->metrics());
    if (rows.shape(0) == 0) return to_numpy(std::vector<double>());
    return to_numpy(turns_.take([&] { return detector_.push_rows(std::span(rows.data(), rows.size())); }));
  }
  nb::bytes snapshot() {
    return to_bytes(turns_.take([&] { return detector_.snapshot(); }));
  }
  void restore(const nb::bytes& bytes) {
    const auto copy = from_bytes<std::byte>(bytes);
    turns_.take([&] { detector_.restore(copy); });
  }

 private:
  engine::MultivariateDetector made() const {
    nb::gil_scoped_release release;
    const FloatEnvironment environment;
    return {*device_, model_};
  }
  std::shared_ptr<const engine::MultivariateModel> model_;
  std::shared_ptr<Device> device_;
  Turns turns_;
  engine::MultivariateDetector detector_;
};

std::vector<engine::Parameter> listed(std::span<const engine::Parameter> table) {
  return {table.begin(), table.end()};
}

}  // namespace

void add_series(nb::module_& module) {
  module.def(
      "series_settings", [] { return listed(engine::series_settings()); }, "What SeriesDetector takes.");
  module.def(
      "multivariate_settings", [] { return listed(engine::series_model_settings()); },
      "What MultivariateModel.fit takes.");

  nb::class_<SeriesDetector>(module, "SeriesDetector", "One series, watched row by row.")
      .def(nb::init<Given>(), nb::arg("settings"))
      .def(
          "push", &SeriesDetector::push, nb::arg("value"), nb::arg("time"),
          "score, alarm, expected, and the surprises of point, shape, stretch and season; NaN where there is "
          "none.")
      .def("push_rows", &SeriesDetector::push_rows, nb::arg("values").noconvert(),
           nb::arg("times").noconvert(),
           "values: float64 [n]; times: int64 [n], ns since 1970. The same, as arrays of [n].")
      .def_prop_ro("missing", &SeriesDetector::missing, "Rows without a value so far.")
      .def("snapshot", &SeriesDetector::snapshot)
      .def("restore", &SeriesDetector::restore, nb::arg("snapshot"))
      .def("__getstate__",
           [](SeriesDetector& detector) { return std::make_tuple(detector.settings(), detector.snapshot()); })
      .def("__setstate__", [](SeriesDetector& detector, const std::tuple<Given, nb::bytes>& state) {
        new (&detector) SeriesDetector(std::get<0>(state));
        detector.restore(std::get<1>(state));
      });

  nb::class_<MultivariateModel>(module, "MultivariateModel", "What was learned of a machine's metrics.")
      .def_static("fit", &MultivariateModel::fit, nb::arg("rows").noconvert(), nb::arg("settings"),
                  nb::arg("metrics"), nb::arg("name"), nb::arg("device") = "cpu",
                  "rows: float64 [n, metrics] in the order of time; NaN: missing.")
      .def_static("load", &MultivariateModel::load, nb::arg("path"))
      .def(
          "save", [](const MultivariateModel& model, const std::string& path) { model.data()->save(path); },
          nb::arg("path"))
      .def_prop_ro("metrics", &MultivariateModel::metrics, "Their names.")
      .def_prop_ro("name", [](const MultivariateModel& model) { return model.data()->name(); })
      .def_prop_ro("hash", [](const MultivariateModel& model) { return model.data()->hash(); })
      .def_prop_ro("settings",
                   [](const MultivariateModel& model) { return model.data()->settings().values(); })
      .def_prop_ro("provenance", [](const MultivariateModel& model) { return model.data()->provenance(); })
      .def("p_values", &p_values, nb::arg("rows").noconvert(), nb::arg("device") = "cpu",
           "rows: float64 [n, metrics], a machine's from its first on. float64 [n].")
      .def("contributions", &contributions, nb::arg("rows").noconvert(), nb::arg("device") = "cpu",
           "rows: likewise. float64 [n, metrics].")
      .def("__getstate__", [](const MultivariateModel& model) { return std::make_tuple(model.bytes()); })
      .def("__setstate__", [](MultivariateModel& model, const std::tuple<nb::bytes>& state) {
        new (&model) MultivariateModel(MultivariateModel::of_bytes(std::get<0>(state)));
      });

  nb::class_<MultivariateDetector>(module, "MultivariateDetector", "A machine's rows, scored as they come.")
      .def(nb::init<const MultivariateModel&, const std::string&>(), nb::arg("model"),
           nb::arg("device") = "cpu")
      .def("push_rows", &MultivariateDetector::push_rows, nb::arg("rows").noconvert(),
           "rows: float64 [n, metrics]. Scores, float64 [n].")
      .def("snapshot", &MultivariateDetector::snapshot)
      .def("restore", &MultivariateDetector::restore, nb::arg("snapshot"));
}

}  // namespace lanner::python
