#include "bindings/python/module/model.hpp"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/python/module/arrays.hpp"
#include "bindings/python/module/devices.hpp"
#include "bindings/python/module/events.hpp"
#include "bindings/python/module/progress.hpp"
#include "engine/calibrate/calibrate.hpp"
#include "engine/explain/explainer.hpp"
#include "engine/model/model.hpp"
#include "engine/model/round_trip.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace nb = nanobind;

namespace lanner::python {
namespace {

constexpr std::size_t rows_a_piece_on_gpu = 65536;

// Rows are checked, then scored: in pieces that a core's own cache holds, so that memory gives them once.
// With several threads a piece must be worth sharing.
std::size_t rows_a_piece(const Device& device, std::size_t width) {
  if (device.backend() != Backend::cpu) return rows_a_piece_on_gpu;
  constexpr std::size_t values = 65536, least = 1024, to_share = 8192;
  const std::size_t rows = std::max(least, values / width);
  return device.threads() == 1 ? rows : std::max(to_share, rows * device.threads());
}

void check_all_taken(std::span<const engine::RowRefusal> reasons) {
  if (reasons.empty()) return;
  std::string text = "row " + std::to_string(reasons[0].row) + ": " + reasons[0].reason;
  if (reasons.size() > 1) text += " (and " + std::to_string(reasons.size() - 1) + " rows more)";
  throw std::invalid_argument(text);
}

// Feature rows of records, a piece at a time and in their order; none is refused. For a CPU they are viewed
// where they can be, otherwise they are made in memory that the device copies from.
class Pieces {
 public:
  Pieces(const engine::Model& model, const engine::Records& records, Device& device)
      : model_(model),
        records_(records),
        device_(device),
        size_(std::min(rows_a_piece(device, model.features().width()),
                       std::max<std::size_t>(records.count, 1))) {}

  std::size_t rows_max() const { return size_; }
  std::size_t begin() const { return begin_; }
  std::span<const std::uint32_t> segments() const { return segments_; }
  double done() const { return static_cast<double>(end_) / static_cast<double>(records_.count); }
  /// The next piece, [begin(), begin() + its count); false where there is none. Throws std::invalid_argument
  /// where a row is refused.
  bool next(Rows& rows) {
    if (!advance()) return false;
    std::optional<Rows> viewed;
    if (device_.backend() == Backend::cpu) viewed = model_.features().viewed(records_, begin_, end_);
    rows = viewed ? *viewed : made();
    if (model_.segments()) {
      segments_.resize(rows.count);
      model_.segments_of(records_, begin_, end_, segments_);
    }
    return true;
  }

  /// The next piece, [begin(), end()), without its rows.
  bool advance() {
    begin_ = end_;
    if (begin_ >= records_.count) return false;
    end_ = std::min(records_.count, begin_ + size_);
    return true;
  }
  std::size_t count() const { return end_ - begin_; }
  /// Its rows as they lie, where nobody has looked at them yet.
  std::optional<Rows> as_they_lie() const { return model_.features().as_they_lie(records_, begin_, end_); }
  Rows made() {
    const engine::FeaturePlan& plan = model_.features();
    if (!state_) {
      state_ = plan.make_state();
      refused_.resize(size_);
      room_ = device_.pinned<float>(size_ * plan.width());
    }
    const MutableRows rows{room_.data(), end_ - begin_, plan.width(), plan.width()};
    plan.transform(records_, begin_, end_, state_.get(), rows, refused_, reasons_);
    check_all_taken(reasons_);
    return {rows.data, rows.count, rows.width, rows.stride};
  }

 private:
  const engine::Model& model_;
  const engine::Records& records_;
  Device& device_;
  std::size_t size_;
  std::size_t begin_ = 0, end_ = 0;
  std::vector<std::uint32_t> segments_;
  std::unique_ptr<engine::FeatureState> state_;
  std::vector<std::uint8_t> refused_;
  std::vector<engine::RowRefusal> reasons_;
  Pinned<float> room_;
};

// Workspaces of calls that are done, for those to come: to allocate one and fill it with zeros takes longer
// than to score a few hundred rows.
class SpareWorkspace {
 public:
  Array<std::byte> take(Device& device, std::size_t bytes) {
    Array<std::byte> found;
    {
      const std::scoped_lock lock(guard_);
      std::swap(found, spare_);
    }
    return found.size() >= bytes ? std::move(found) : device.array<std::byte>(bytes);
  }
  void give_back(Array<std::byte> workspace) {
    if (workspace.size() > kept_bytes_max) return;
    const std::scoped_lock lock(guard_);
    std::swap(workspace, spare_);
  }

 private:
  static constexpr std::size_t kept_bytes_max = std::size_t{1} << 20;
  std::mutex guard_;
  Array<std::byte> spare_;
};

struct Resident {
  Resident(std::shared_ptr<Device> on, std::shared_ptr<const engine::Model> model)
      : device(std::move(on)), scorer(std::move(model), *device) {}

  std::shared_ptr<Device> device;
  engine::ModelScorer scorer;
  mutable SpareWorkspace spare;
};

// Where to write them, one a row; p-values and marks are wanted both or, where null, neither.
struct Results {
  float* scores;
  double* p_values;
  std::uint8_t* extrapolated;
};

void score_on_cpu(const Resident& resident, Pieces& pieces, const engine::Progress& progress, Results out) {
  const engine::ModelScorer& scorer = resident.scorer;
  auto workspace = resident.spare.take(*resident.device, scorer.workspace_bytes(pieces.rows_max()));
  Stream stream = resident.device->stream();
  if (out.p_values) {
    for (Rows rows; pieces.next(rows); progress(pieces.done(), "score"))
      scorer.score(stream, rows, {}, workspace.span(), {out.scores + pieces.begin(), rows.count},
                   {out.p_values + pieces.begin(), rows.count},
                   {out.extrapolated + pieces.begin(), rows.count}, pieces.segments());
  } else {
    for (; pieces.advance(); progress(pieces.done(), "score")) {
      const std::span scores(out.scores + pieces.begin(), pieces.count());
      const std::optional<Rows> rows = pieces.as_they_lie();
      if (!rows || !scorer.scorer().score_if_finite(stream, *rows, workspace.span(), scores))
        scorer.scorer().score(stream, pieces.made(), workspace.span(), scores);
    }
  }
  resident.spare.give_back(std::move(workspace));
}

void score_on_gpu(const Resident& resident, Pieces& pieces, const engine::Progress& progress, Results out) {
  engine::RoundTrip trip(*resident.device);
  trip.make_room(resident.scorer, pieces.rows_max());
  for (Rows rows; pieces.next(rows); progress(pieces.done(), "score")) {
    trip.begin(resident.scorer, rows, pieces.segments());
    trip.wait();
    std::ranges::copy(trip.scores(), out.scores + pieces.begin());
    if (!out.p_values) continue;
    std::ranges::copy(trip.p_values(), out.p_values + pieces.begin());
    std::ranges::copy(trip.extrapolated(), out.extrapolated + pieces.begin());
  }
}

void score(const Resident& resident, const engine::Records& records, const engine::Progress& progress,
           Results out) {
  const FloatEnvironment environment;
  const bool on_gpu = resident.device->backend() != Backend::cpu;
  Pieces pieces(resident.scorer.model(), records, *resident.device);
  (on_gpu ? score_on_gpu : score_on_cpu)(resident, pieces, progress, out);
}

std::vector<float> contributions(const Resident& resident, const engine::Records& records,
                                 const engine::Progress& progress) {
  const FloatEnvironment environment;
  const engine::Scorer& scorer = resident.scorer.scorer();
  Device& device = *resident.device;
  const std::size_t width = scorer.width();
  std::vector<float> out(records.count * width);
  Pieces pieces(resident.scorer.model(), records, device);
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(pieces.rows_max()));
  Stream stream = device.stream();
  for (Rows rows; pieces.next(rows); progress(pieces.done(), "explain"))
    scorer.contributions(stream, rows, workspace.span(),
                         {out.data() + pieces.begin() * width, rows.count, width, width});
  return out;
}

struct Explaining {
  std::shared_ptr<Device> device;
  engine::Explainer explainer;
};

// Of every row that isn't normal what would be, a row at a time.
template <class Explanation>
std::vector<std::optional<Explanation>> explanations(
    const engine::Model& model, Explaining& explaining, const engine::Records& records,
    const engine::Progress& progress,
    std::optional<Explanation> (engine::Explainer::*explain)(std::span<const float>, float),
    float normal_most) {
  const FloatEnvironment environment;
  std::vector<std::optional<Explanation>> out(records.count);
  Pieces pieces(model, records, *explaining.device);
  for (Rows rows; pieces.next(rows);)
    for (std::size_t i = 0; i < rows.count; ++i) {
      const std::size_t place = pieces.begin() + i;
      out[place] = (explaining.explainer.*explain)({rows.row(i), rows.width}, normal_most);
      progress(static_cast<double>(place + 1) / static_cast<double>(records.count), "explain");
    }
  return out;
}

// What a fit and a calibration are told.
struct Fitting {
  Fitting(const std::map<std::string, std::string>& settings, const std::vector<std::string>& fields,
          std::uint64_t seed, const std::string& name, const std::string& device) {
    options.settings = settings;
    options.seed = seed;
    options.name = name;
    for (const std::string& field : fields) schema.fields.push_back({field, engine::ColumnKind::number});
    if (device != "cpu") gpu = device_named(device);
    options.gpu = gpu.get();
  }

  std::shared_ptr<Device> cpu = device_named("cpu"), gpu;
  engine::Schema schema;
  engine::FitOptions options;
};

class Model {
 public:
  explicit Model(std::shared_ptr<const engine::Model> model) : model_(std::move(model)) {}

  static Model fit(const Events& events, const std::string& detector,
                   const std::map<std::string, std::string>& settings, const std::vector<std::string>& fields,
                   std::uint64_t seed, const std::string& name, const std::string& device,
                   const nb::object& progress) {
    Fitting fitting(settings, fields, seed, name, device);
    fitting.options.detector = detector;
    nb::gil_scoped_release release;
    const FloatEnvironment environment;
    return Model(engine::Model::fit(*fitting.cpu, fitting.schema, events.records(), fitting.options,
                                    progress_to(progress)));
  }

  static Model calibrate(const engine::Imported& imported, const Events& events,
                         const std::map<std::string, std::string>& settings,
                         const std::vector<std::string>& fields, std::uint64_t seed, const std::string& name,
                         const std::string& device, const nb::object& progress) {
    const Fitting fitting(settings, fields, seed, name, device);
    nb::gil_scoped_release release;
    const FloatEnvironment environment;
    return Model(engine::Model::calibrate(*fitting.cpu, fitting.schema, events.records(), imported,
                                          fitting.options, progress_to(progress)));
  }

  static Model from_bytes(const nb::bytes& bytes) {
    std::vector<std::byte> copy(bytes.size());
    std::memcpy(copy.data(), bytes.data(), bytes.size());
    nb::gil_scoped_release release;
    return Model(engine::Model::from_bytes(std::move(copy)));
  }
  static Model load(const std::string& path) {
    nb::gil_scoped_release release;
    return Model(engine::Model::load(path));
  }
  void save(const std::string& path) const {
    nb::gil_scoped_release release;
    model_->save(path);
  }
  nb::bytes bytes() const { return nb::bytes(model_->bytes().data(), model_->bytes().size()); }
  const engine::Model& data() const { return *model_; }

  nb::tuple score(const Events& events, const std::string& device, const nb::object& progress) {
    const std::size_t n = events.count();
    const NumpyFloats scores(n);
    auto p_values = std::make_unique_for_overwrite<double[]>(n);
    auto extrapolated = std::make_unique_for_overwrite<std::uint8_t[]>(n);
    score_into(events, device, progress, {scores.values, p_values.get(), extrapolated.get()});
    return nb::make_tuple(scores.array, to_numpy(std::move(p_values), n),
                          to_numpy(std::move(extrapolated), n));
  }
  nb::object anomaly_scores(const Events& events, const std::string& device, const nb::object& progress) {
    const NumpyFloats scores(events.count());
    score_into(events, device, progress, {scores.values, nullptr, nullptr});
    return scores.array;
  }
  // On the CPU always: explanations are wanted for few rows.
  Table<float> contributions(const Events& events, const nb::object& progress) {
    const auto on_cpu = resident("cpu");
    std::vector<float> parts;
    {
      nb::gil_scoped_release release;
      parts = python::contributions(*on_cpu, events.records(), progress_to(progress));
    }
    return to_numpy<Table<float>>(std::move(parts), {events.count(), model_->features().width()});
  }
  // Values as people know them, NaN where there is none; distances in spreads.
  nb::tuple nearest_normal(const Events& events, float normal_most, const nb::object& progress) {
    const auto found = explained(&engine::Explainer::nearest_normal, events, normal_most, progress);
    const engine::FeaturePlan& plan = model_->features();
    std::vector<double> values(found.size() * plan.width(), std::numeric_limits<double>::quiet_NaN());
    std::vector<double> distances(found.size(), std::numeric_limits<double>::quiet_NaN());
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!found[i]) continue;
      distances[i] = found[i]->distance;
      for (std::size_t j = 0; j < plan.width(); ++j)
        values[i * plan.width() + j] = plan.natural(j, found[i]->row[j]);
    }
    return nb::make_tuple(to_numpy<Table<double>>(std::move(values), {found.size(), plan.width()}),
                          to_numpy(std::move(distances)));
  }
  nb::list counterfactuals(const Events& events, float normal_most, const nb::object& progress) {
    nb::list changes;
    for (const auto& change : explained(&engine::Explainer::counterfactual, events, normal_most, progress)) {
      if (change)
        changes.append(nb::make_tuple(model_->features().column_names()[change->column], change->value,
                                      change->size, change->score));
      else
        changes.append(nb::none());
    }
    return changes;
  }
  float base() { return resident("cpu")->scorer.scorer().base(); }
  Vector<float> leave_one_out_scores() const {
    const auto cpu = device_named("cpu");
    std::vector<float> scores;
    {
      nb::gil_scoped_release release;
      const FloatEnvironment environment;
      scores = model_->fitted().leave_one_out_scores(*cpu);
    }
    return to_numpy(std::move(scores));
  }
  float least_score(double rate) const {
    if (!model_->calibration()) return std::numeric_limits<float>::infinity();
    const FloatEnvironment environment;
    return engine::least_score(*device_named("cpu"), *model_->calibration(), rate);
  }

 private:
  void score_into(const Events& events, const std::string& device, const nb::object& progress, Results out) {
    const auto on_device = resident(device);
    nb::gil_scoped_release release;
    python::score(*on_device, events.records(), progress_to(progress), out);
  }

  template <class Explanation>
  std::vector<std::optional<Explanation>> explained(
      std::optional<Explanation> (engine::Explainer::*explain)(std::span<const float>, float),
      const Events& events, float normal_most, const nb::object& progress) {
    nb::gil_scoped_release release;
    const std::scoped_lock lock(*explaining_guard_);
    if (!explaining_) {
      const FloatEnvironment environment;
      const auto cpu = device_named("cpu");
      explaining_.reset(new Explaining{cpu, {model_, *cpu}});
    }
    return explanations(*model_, *explaining_, events.records(), progress_to(progress), explain, normal_most);
  }

  std::shared_ptr<const Resident> resident(const std::string& name) {
    auto device = device_named(name);
    if (const auto& found = residents_[name]; found && found->device == device) return found;
    std::shared_ptr<const Resident> made;
    {
      nb::gil_scoped_release release;
      const FloatEnvironment environment;
      made = std::make_shared<const Resident>(device, model_);
    }
    return residents_[name] = std::move(made);
  }

  std::shared_ptr<const engine::Model> model_;
  std::map<std::string, std::shared_ptr<const Resident>> residents_;  // by device; the GIL guards it
  std::shared_ptr<Explaining> explaining_;
  std::shared_ptr<std::mutex> explaining_guard_ = std::make_shared<std::mutex>();
};

std::vector<std::pair<std::string, std::string>> fields_of(const Model& model) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const auto& field : model.data().features().schema().fields)
    fields.emplace_back(field.name, field.kind == engine::ColumnKind::text ? "text" : "number");
  return fields;
}

}  // namespace

void add_model(nb::module_& module) {
  nb::class_<Events>(module, "Events", "Rows to fit on or to score.")
      .def(nb::init<Matrix>(), nb::arg("rows").noconvert(),
           "rows: float32 or float64 [n, d], C-contiguous, on the CPU; viewed in place.")
      .def(nb::init<std::size_t, const nb::list&, const std::optional<nb::list>&,
                    const std::optional<Times>&>(),
           nb::arg("count"), nb::arg("columns"), nb::arg("entity").none() = nb::none(),
           nb::arg("time").none() = nb::none(),
           "columns: one a field; float64 [n], or a list of n strings or None. time: int64 [n], ns since "
           "1970.")
      .def("__len__", &Events::count)
      .def_prop_ro("address", &Events::address, "Where the rows lie that are viewed.");

  nb::class_<Model>(module, "Model", "A fitted detector, its features and calibration: immutable.")
      .def_static("fit", &Model::fit, nb::arg("events"), nb::arg("detector"), nb::arg("settings"),
                  nb::arg("fields"), nb::arg("seed") = 1, nb::arg("name") = "model",
                  nb::arg("device") = "cpu", nb::arg("progress").none() = nb::none())
      .def_static("calibrate", &Model::calibrate, nb::arg("imported"), nb::arg("events"), nb::arg("settings"),
                  nb::arg("fields"), nb::arg("seed") = 1, nb::arg("name") = "model",
                  nb::arg("device") = "cpu", nb::arg("progress").none() = nb::none())
      .def_static("from_bytes", &Model::from_bytes, nb::arg("bytes"))
      .def_static("load", &Model::load, nb::arg("path"))
      .def("save", &Model::save, nb::arg("path"))
      .def("to_bytes", &Model::bytes, "The model file's bytes.")
      .def("score", &Model::score, nb::arg("events"), nb::arg("device") = "cpu",
           nb::arg("progress").none() = nb::none(),
           "scores float32 [n], p-values float64 [n], extrapolated uint8 [n].")
      .def("anomaly_scores", &Model::anomaly_scores, nb::arg("events"), nb::arg("device") = "cpu",
           nb::arg("progress").none() = nb::none(), "The scores alone, float32 [n].")
      .def("contributions", &Model::contributions, nb::arg("events"), nb::arg("progress").none() = nb::none(),
           "float32 [n, width].")
      .def("nearest_normal", &Model::nearest_normal, nb::arg("events"), nb::arg("normal_most"),
           nb::arg("progress").none() = nb::none(),
           "The nearest rows with scores of at most `normal_most`: values float64 [n, width], distances [n].")
      .def("counterfactuals", &Model::counterfactuals, nb::arg("events"), nb::arg("normal_most"),
           nb::arg("progress").none() = nb::none(), "A list of (column, value, spreads, score), or None.")
      .def("base", &Model::base, "What contributions are added to, to make a score.")
      .def("leave_one_out_scores", &Model::leave_one_out_scores,
           "Of the rows fitted on, float32 [n]; empty where the method has none.")
      .def("least_score", &Model::least_score, nb::arg("rate"),
           "The least score with a p-value of at most `rate`; inf where there is none.")
      .def_prop_ro("name", [](const Model& model) { return model.data().name(); })
      .def_prop_ro("hash", [](const Model& model) { return model.data().hash(); })
      .def_prop_ro("detector", [](const Model& model) { return model.data().detector().name; })
      .def_prop_ro("settings", [](const Model& model) { return model.data().settings().values(); })
      .def_prop_ro("provenance", [](const Model& model) { return model.data().provenance(); })
      .def_prop_ro("fields", &fields_of, "Of its events: (name, 'number' or 'text').")
      .def_prop_ro("entity", [](const Model& model) { return model.data().features().schema().entity; })
      .def_prop_ro(
          "segments",
          [](const Model& model) {
            std::vector<std::string> names;
            if (const auto& segments = model.data().segments())
              names.assign(segments->segments.names().begin(), segments->segments.names().end());
            return names;
          },
          "Those with a calibration of their own.")
      .def_prop_ro("time", [](const Model& model) { return model.data().features().schema().time; })
      .def_prop_ro(
          "columns",
          [](const Model& model) {
            const auto names = model.data().features().column_names();
            return std::vector<std::string>(names.begin(), names.end());
          },
          "Names of the features that contributions are of.")
      .def_prop_ro(
          "takes_matrix",
          [](const Model& model) {
            const engine::Schema& schema = model.data().features().schema();
            return schema.entity.empty() && schema.time.empty() &&
                   std::all_of(schema.fields.begin(), schema.fields.end(),
                               [](const auto& field) { return field.kind == engine::ColumnKind::number; });
          },
          "Whether events are rows of numbers and nothing else.")
      .def_prop_ro(
          "takes_missing",
          [](const Model& model) {
            const auto specs = model.data().features().specs();
            return std::any_of(specs.begin(), specs.end(),
                               [](const auto& spec) { return spec.missing != engine::Missing::refuse; });
          },
          "Whether any feature has a value for what is missing.")
      .def_prop_ro(
          "calibration_scores",
          [](const Model& model) {
            const auto& calibration = model.data().calibration();
            return to_numpy(calibration ? calibration->scores : std::vector<float>());
          },
          nb::rv_policy::move, "Ascending, float32; empty without calibration.")
      .def("__getstate__", &Model::bytes)
      .def("__setstate__",
           [](Model& model, const nb::bytes& bytes) { new (&model) Model(Model::from_bytes(bytes)); });
}

}  // namespace lanner::python
