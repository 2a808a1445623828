// Options that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/calibrate/decide.hpp"
#include "host/config/config.hpp"
#include "host/data_file/data_file.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

/// "key=value" words. Throws UsageError for a word without '='.
std::map<std::string, std::string> key_values(const std::vector<std::string>& words,
                                              const std::string& option);

/// --array, --label, --entity, --time, --id: columns of a data file with a meaning of their own.
void add_column_options(CLI::App&, ReadOptions&);

/// The device of that name: cpu, cuda or emulated. Throws DeviceMissing where there is none.
std::shared_ptr<Device> device_named(const std::string& name);

/// The file's columns as the schema wants them: by name, or, where no name matches and the file is as wide,
/// by position. Throws InvalidData naming the file and the column that is missing or of the wrong kind.
engine::Records in_schema_order(DataFile, const engine::Schema&, const std::string& file);

}  // namespace lanner::host
