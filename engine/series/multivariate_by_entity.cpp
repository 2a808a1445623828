#include "engine/series/multivariate_by_entity.hpp"

#include <stdexcept>
#include <string>
#include <utility>

namespace lanner::engine {
namespace {

constexpr std::string_view snapshot_name = "LANNERF1";

}  // namespace

MultivariateByEntity::MultivariateByEntity(Device& device, std::shared_ptr<const MultivariateModel> model)
    : scorer_(device, std::move(model)) {}

void MultivariateByEntity::count(Machine& machine) {
  const std::size_t rows = machine.state.rows(), all = model().warm_up();
  warm_up_rows_ += rows - machine.counted;
  warm_ += machine.counted < all && rows == all ? 1 : 0;
  machine.counted = rows;
}

void MultivariateByEntity::push_rows(std::span<const EntityRow> rows, std::size_t entities_max,
                                     std::span<MultivariateScore> scores) {
  table_.let_go();  // until now the last push could be explained
  rows_.clear();
  pushed_.clear();
  for (const EntityRow& row : rows) {
    Machine& machine = table_.seen(row.entity, entities_max, [&] { return Machine{MachineState(model())}; });
    rows_.push_back({&machine.state, row.values});
    pushed_.push_back(&machine);
  }
  scorer_.push(rows_, scores);
  for (Machine* machine : pushed_) count(*machine);
  for (const auto& [entity, machine] : table_.leaving()) {
    warm_up_rows_ -= machine.counted;
    warm_ -= machine.counted == model().warm_up() ? 1 : 0;
  }
}

std::vector<std::byte> MultivariateByEntity::snapshot() const {
  SnapshotWriter writer(snapshot_name, fingerprint(model()));
  writer.whole(table_.size());
  for (const auto& [entity, machine] : table_.entries()) {
    writer.block(std::as_bytes(std::span(entity)));
    machine.state.save(writer);
  }
  return std::move(writer).finish();
}

void MultivariateByEntity::restore(std::span<const std::byte> bytes) {
  SnapshotReader reader(bytes, snapshot_name, fingerprint(model()));
  EntityTable<Machine> fresh;
  for (std::uint64_t left = reader.whole(bytes.size()); left > 0; --left) {
    const std::span<const std::byte> entity = reader.block();
    Machine* machine = fresh.append({reinterpret_cast<const char*>(entity.data()), entity.size()},
                                    Machine{MachineState(model())});
    if (!machine) throw std::invalid_argument("series snapshot: an entity a second time");
    machine->state.load(model(), reader);
  }
  reader.finish();
  table_ = std::move(fresh);
  warm_ = 0;
  warm_up_rows_ = 0;
  for (auto& [entity, machine] : table_.entries()) count(machine);
}

}  // namespace lanner::engine
