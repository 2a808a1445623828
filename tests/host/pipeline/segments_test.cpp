// Calibrations of segments on their way through the host: each event has its own segment's p-value, however
// batches are cut and wherever they are scored.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/device/emulated.hpp"
#include "tests/host/pipeline/simulated_host.hpp"

namespace lanner::host {
namespace {

constexpr std::size_t width = 3;

engine::Records dense(const std::vector<float>& rows) {
  engine::Records records;
  records.count = rows.size() / width;
  records.dense = {rows.data(), nullptr, width};
  return records;
}

/// The second half of a `shop`'s rows is four times as wide.
std::shared_ptr<const engine::Model> model_by(Device& device, bool entity) {
  std::vector<float> rows = normal_rows(4000, width, 1);
  for (std::size_t i = 2000 * width; i < rows.size(); ++i) rows[i] *= 4;
  engine::Records records = dense(rows);
  engine::Schema schema = numbers(width);
  if (entity) {
    schema.entity = "shop";
    for (std::size_t row = 0; row < 4000; ++row) records.entity.push_back(row < 2000 ? "small" : "large");
  } else {
    schema.fields.push_back({"shop", engine::ColumnKind::text});
    records.dense = {};
    records.columns.resize(width + 1);
    for (std::size_t row = 0; row < 4000; ++row) {
      for (std::size_t f = 0; f < width; ++f)
        records.columns[f].numbers.push_back(static_cast<double>(rows[row * width + f]));
      records.columns[width].texts.push_back(row < 2000 ? "small" : "large");
      records.columns[width].missing.push_back(0);
    }
  }
  engine::FitOptions options;
  options.detector = "mahalanobis";
  options.settings = {{"segment", "shop"}, {"segment_rows", "200"}};
  return engine::Model::fit(device, schema, records, options);
}

const std::vector<std::string> shops{"small", "large", "small", "unheard of", "large"};

std::vector<double> expected(Device& device, const std::shared_ptr<const engine::Model>& model,
                             const std::vector<float>& rows) {
  const std::size_t n = rows.size() / width;
  const engine::ModelScorer scorer(model, device);
  std::vector<float> scores(n);
  std::vector<double> p_values(n);
  std::vector<std::uint8_t> extrapolated(n);
  std::vector<std::uint32_t> which(n);
  for (std::size_t row = 0; row < n; ++row)
    which[row] = model->segments()->segments.find(shops[row % shops.size()]);
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(n));
  Stream stream = device.stream();
  scorer.score(stream, {rows.data(), n, width, width}, {}, workspace.span(), scores, p_values, extrapolated,
               which);
  return p_values;
}

Wire with_entities(const std::vector<float>& rows, std::size_t first) {
  Wire wire = tensor("", "s", rows, width);
  Json header = Json::parse(wire.frames[0]);
  header["sidecars"] = {"entity"};
  wire.frames[0] = header.dump();
  std::string names;
  for (std::size_t row = 0; row < rows.size() / width; ++row)
    names += shops[(first + row) % shops.size()] + "\n";
  wire.frames.push_back(names);
  return wire;
}

Wire lines(const std::vector<float>& rows, std::size_t first) {
  std::string text;
  for (std::size_t row = 0; row < rows.size() / width; ++row) {
    Json event = {{"shop", shops[(first + row) % shops.size()]}};
    for (std::size_t f = 0; f < width; ++f)
      event["x" + std::to_string(f)] = static_cast<double>(rows[row * width + f]);
    text += event.dump() + "\n";
  }
  return {"", {Json({{"v", 1}, {"stream", "s"}, {"format", "jsonl"}}).dump(), text}};
}

std::vector<double> through_the_host(const std::shared_ptr<const engine::Model>& model, bool entity,
                                     const std::vector<float>& rows, std::size_t batch,
                                     const std::vector<std::shared_ptr<Device>>& gpus) {
  DeviceConfig device;
  device.batch_max = 300;
  device.slots = 4;
  if (!gpus.empty()) device.offload = Offload::always;
  SimulatedHost host({device, lossy(), false, gpus}, {stream_of("s", width)});
  host.use("s", {model});
  for (std::size_t at = 0; at < rows.size() / width; at += batch) {
    const std::size_t end = std::min(at + batch, rows.size() / width);
    const std::vector<float> part(rows.begin() + static_cast<std::ptrdiff_t>(at * width),
                                  rows.begin() + static_cast<std::ptrdiff_t>(end * width));
    host.source.incoming.push_back(entity ? with_entities(part, at) : lines(part, at));
    host.step(0);
  }
  host.drain();
  EXPECT_EQ(host.counters.slots_scored_on_gpu > 0, !gpus.empty());
  EXPECT_EQ(host.counters.rows_direct > 0, entity && gpus.empty() && batch >= 256);
  std::vector<double> all;
  for (const Published& message : host.publisher.of("scores.s")) {
    const auto p_values = message.values<double>(2);
    all.insert(all.end(), p_values.begin(), p_values.end());
  }
  return all;
}

TEST(PipelineSegments, EachEventHasItsOwnSegmentsPValue) {
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const std::vector<float> rows = normal_rows(900, width, 5, 2);
  for (const bool entity : {true, false}) {
    const auto model = model_by(*device, entity);
    ASSERT_TRUE(model->segments());
    const auto wanted = expected(*device, model, rows);
    for (const std::size_t batch : {7u, 290u, 900u}) {
      EXPECT_EQ(through_the_host(model, entity, rows, batch, {}), wanted) << entity << ' ' << batch;
      EXPECT_EQ(through_the_host(model, entity, rows, batch, {make_emulated_device()}), wanted)
          << entity << ' ' << batch << " on a GPU";
    }
  }
}

}  // namespace
}  // namespace lanner::host
