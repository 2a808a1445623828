#include "host/cli/options.hpp"

#include <algorithm>

#include "engine/parameters/parameters.hpp"
#include "host/cli/commands.hpp"
#include "kernels/device/error.hpp"
#include "kernels/device/gpu.hpp"

namespace lanner::host {

std::map<std::string, std::string> key_values(const std::vector<std::string>& words,
                                              const std::string& option) {
  std::map<std::string, std::string> settings;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(option + ": found '" + word + "', allowed key=value");
    if (!settings.emplace(word.substr(0, equals), word.substr(equals + 1)).second)
      throw UsageError(option + ": found '" + word.substr(0, equals) +
                       "' a second time, allowed each key once");
  }
  return settings;
}

void add_column_options(CLI::App& command, ReadOptions& options) {
  command.add_option("--array", options.array, "Which array of an .npz the rows are (default X)");
  command.add_option("--label", options.label, "Column that holds the labels: not a feature");
  command.add_option("--entity", options.entity, "Column that names the entity");
  command.add_option("--time", options.time, "Column that holds the event time (ns since 1970, or ISO 8601)");
  command.add_option("--id", options.id, "Column that holds the event id");
}

std::shared_ptr<Device> device_named(const std::string& name) {
  if (name == "cpu") return Device::cpu();
  try {
    return open_gpus(name == "cuda" ? Backend::cuda : Backend::emulated).front();
  } catch (const DeviceError& error) {
    throw DeviceMissing(std::string("--device ") + name + ": " + error.what());
  }
}

engine::Records in_schema_order(DataFile data, const engine::Schema& schema, const std::string& file) {
  std::vector<std::string_view> names;
  for (const auto& field : data.schema.fields) names.push_back(field.name);
  const auto find = [&](const std::string& name) {
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  const bool any_name = std::any_of(schema.fields.begin(), schema.fields.end(),
                                    [&](const auto& field) { return find(field.name) < names.size(); });
  const bool by_position = !any_name && names.size() == schema.fields.size();

  engine::Records records;
  records.count = data.records.count;
  records.entity = std::move(data.records.entity);
  records.id = std::move(data.records.id);
  records.time = std::move(data.records.time);
  std::string faults;
  for (std::size_t i = 0; i < schema.fields.size(); ++i) {
    const engine::FieldSpec& field = schema.fields[i];
    const std::size_t at = by_position ? i : find(field.name);
    const std::string kind = field.kind == engine::ColumnKind::number ? "numbers" : "text";
    std::string fault;
    if (at == names.size()) {
      fault = "found no such column, allowed a column of " + kind;
      if (const std::string nearest = engine::nearest_name(field.name, names); !nearest.empty())
        fault += " (did you mean '" + nearest + "'?)";
    } else if (data.schema.fields[at].kind != field.kind) {
      fault = std::string("found ") + (field.kind == engine::ColumnKind::number ? "text" : "numbers") +
              ", allowed " + kind;
    }
    if (!fault.empty()) {
      faults += (faults.empty() ? "" : "\n") + file + ":1: " + field.name + ": " + fault;
    } else {
      records.columns.push_back(std::move(data.records.columns[at]));
    }
  }
  if (!faults.empty()) throw InvalidData(faults);
  return records;
}

}  // namespace lanner::host
