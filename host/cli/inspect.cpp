#include <iostream>

#include "engine/model/model.hpp"
#include "engine/model_file/tensors.hpp"
#include "engine/series/series_model.hpp"
#include "host/cli/commands.hpp"

namespace lanner::host {
namespace {

void describe(const tail::Calibration& calibration) {
  const std::size_t n = calibration.scores.size();
  std::cout << n << " scores; the smallest p-value they support is " << 1.0 / static_cast<double>(n + 1);
  if (calibration.pareto.fitted)
    std::cout << "; beyond " << calibration.scores.back() << " a generalised Pareto tail (shape "
              << calibration.pareto.shape << ", scale " << calibration.pareto.scale
              << "), marked as extrapolated";
}

template <class SomeModel>
void describe_head(const SomeModel& model, std::string_view detector, std::string_view summary) {
  std::cout << "model        " << model.name() << "\nhash         " << model.hash() << "\nbytes        "
            << model.bytes().size() << "\ndetector     " << detector << ": " << summary << "\nsettings    ";
  for (const auto& [key, value] : model.settings().values()) std::cout << ' ' << key << '=' << value;
}

void describe_roles(const engine::Schema& schema) {
  for (const auto& [role, field] :
       {std::pair{"entity", &schema.entity}, {"time", &schema.time}, {"id", &schema.id}})
    if (!field->empty())
      std::cout << "\n" << role << std::string(13 - std::string(role).size(), ' ') << *field;
}

int inspect_series(const engine::SeriesModel& model) {
  describe_head(model, engine::multivariate_name, engine::multivariate_summary);
  const engine::MultivariateModel& learned = *model.learned();
  std::cout << "\nmetrics      " << learned.metrics() << ':';
  for (const auto& field : model.schema().fields) std::cout << ' ' << field.name;
  describe_roles(model.schema());
  std::cout << "\nreferences   " << learned.references.rows() << " rows of " << learned.features()
            << " features; an entity is warm with its row " << learned.warm_up() << "\ncalibration  ";
  if (model.calibration()) {
    describe(*model.calibration());
    std::cout << "\n             of rows that resemble those before them: no p-value is guaranteed";
  } else {
    std::cout << "none: every p-value is 1 and nothing is flagged";
  }
  for (const auto& [key, value] : model.provenance()) std::cout << '\n' << key << ": " << value;
  std::cout << '\n';
  return exit_done;
}

int inspect(const std::string& path) {
  if (engine::is_series_model(engine::read_file(path)))
    return inspect_series(*engine::SeriesModel::load(path));
  const auto model = engine::Model::load(path);
  describe_head(*model, model->detector().name, model->detector().summary);
  std::cout << "\nfeatures     " << model->features().width() << ':';
  for (const std::string& column : model->features().column_names()) std::cout << ' ' << column;
  const engine::Schema& schema = model->features().schema();
  std::cout << "\nfields      ";
  for (const auto& field : schema.fields)
    std::cout << ' ' << field.name << (field.kind == engine::ColumnKind::text ? " (text)" : "");
  describe_roles(schema);
  if (const auto& calibration = model->calibration()) {
    std::cout << "\ncalibration  ";
    describe(*calibration);
    if (const auto& segments = model->segments()) {
      std::cout << "\n             of the events in none of the segments below, by '"
                << segments->segments.field() << '\'';
      for (std::size_t i = 0; i < segments->own.size(); ++i) {
        std::cout << "\nsegment      " << segments->segments.names()[i] << ": ";
        describe(segments->own[i]);
      }
    }
  } else {
    std::cout << "\ncalibration  none: every p-value is 1 and nothing is flagged";
  }
  if (const auto& drift = model->drift())
    std::cout << "\ndrift        the score and " << drift->columns.size() << " of "
              << model->features().width() << " features are watched against " << drift->rows
              << " calibration rows";
  else
    std::cout << "\ndrift        not watched: " << engine::drift_rows_min << " calibration rows are needed";
  for (const auto& [key, value] : model->provenance()) std::cout << '\n' << key << ": " << value;
  std::cout << '\n';
  return exit_done;
}

}  // namespace

void add_inspect(CLI::App& app, Action& chosen) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show what a model is, from what data, with what calibration, and its hash");
  command->add_option("model", *path, "The model file")->required();
  command->footer("Example: lanner inspect payments.lanner");
  command->callback([&chosen, path] { chosen = [path] { return inspect(*path); }; });
}

}  // namespace lanner::host
