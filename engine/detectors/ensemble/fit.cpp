#include "engine/detectors/ensemble/fit.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/detectors/covariance.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/mlp/random.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::ensemble {
namespace {

constexpr float limit = 1e6f;  // deviations
constexpr double near_share = 0.1, local_share = 0.01;
constexpr std::size_t neighbours_least = 20;
constexpr double low_share = 0.05, least_offset = 1e-9, least_deviation = 0.01;
constexpr std::size_t rows_a_piece = 4096;

struct Table {
  std::size_t width = 0;
  std::vector<float> values;
  Rows rows() const { return {values.data(), values.size() / width, width, width}; }
};

Table chosen(Rows rows, std::span<const std::size_t> which) {
  Table table{rows.width, {}};
  table.values.reserve(which.size() * rows.width);
  for (const std::size_t i : which)
    table.values.insert(table.values.end(), rows.row(i), rows.row(i) + rows.width);
  return table;
}

// As the header says of copies; then no more rows than are wanted.
Table thinned(Rows rows, std::size_t most, std::uint64_t seed) {
  const nearest::ReferenceSet distinct = nearest::distinct_rows(rows);
  std::vector<std::uint32_t> counts(distinct.weight.begin(), distinct.weight.end());
  const auto middle = counts.begin() + static_cast<std::ptrdiff_t>((counts.size() - 1) / 2);
  std::nth_element(counts.begin(), middle, counts.end());
  const std::uint32_t median = *middle;
  std::vector<std::size_t> which;
  if (median > 1) {
    for (std::size_t i = 0; i < distinct.distinct(); ++i)
      which.insert(which.end(), std::max<std::uint32_t>(1, (2 * distinct.weight[i] + median) / (2 * median)),
                   i);
  } else {
    which.resize(rows.count);
    std::iota(which.begin(), which.end(), std::size_t{0});
  }
  if (which.size() > most) {
    mlp::Random random(seed);
    random.shuffle(std::span(which));
    which.resize(most);
    std::sort(which.begin(), which.end());
  }
  return chosen(median > 1 ? distinct.view() : rows, which);
}

mlp::Network map_of(mlp::Standardisation input, std::vector<float> weight) {
  const std::size_t width = input.shift.size();
  mlp::Layer layer{width, width, std::move(weight), std::vector<float>(width), mlp::Activation::identity};
  return {{std::move(layer)}, std::move(input)};
}

mlp::Network standardising(Rows rows, Rows all) {
  std::vector<float> weight(rows.width * rows.width);
  for (std::size_t j = 0; j < rows.width; ++j) weight[j * rows.width + j] = 1;
  return map_of(standardisation_of(rows, all, limit), std::move(weight));
}

mlp::Network whitening_map(Rows rows, Rows all) {
  const std::size_t width = rows.width;
  mlp::Standardisation input = standardisation_of(rows, all, limit);
  Covariance covariance = covariance_of(rows, input);
  constexpr double least_shrinkage = 1e-6;
  shrink(covariance, std::max(ledoit_wolf(rows, input, covariance), least_shrinkage));
  const Axes axes = principal_axes(covariance);
  std::vector<double> root(width * width);  // V diag(1 / sqrt(variance)) V'
  for (std::size_t c = 0; c < width; ++c) {
    const double* v = axes.directions.data() + c * width;
    if (!(axes.variances[c] > 0)) continue;
    for (std::size_t i = 0; i < width; ++i) {
      const double factor = v[i] / std::sqrt(axes.variances[c]);
      for (std::size_t j = 0; j < width; ++j) root[i * width + j] += factor * v[j];
    }
  }
  return map_of(std::move(input), {root.begin(), root.end()});
}

Table mapped(Device& device, const mlp::Network& map, Rows rows) {
  Table table{rows.width, std::vector<float>(rows.count * rows.width)};
  const auto network = mlp::make_resident(device, map);
  auto workspace = device.array<std::byte>(network->workspace_bytes(rows.count));
  Stream stream = device.stream();
  mlp::forward(stream, *network, rows, workspace.span(),
               {table.values.data(), rows.count, rows.width, rows.width});
  return table;
}

std::vector<float> scores_of(Device& device, const Fitted& fitted, Rows rows) {
  std::vector<float> scores(rows.count);
  const auto scorer = fitted.resident(device);
  auto workspace = device.array<std::byte>(scorer->workspace_bytes(std::min(rows.count, rows_a_piece)));
  Stream stream = device.stream();
  for (std::size_t begin = 0; begin < rows.count; begin += rows_a_piece) {
    const Rows piece = rows.slice(begin, std::min(begin + rows_a_piece, rows.count));
    scorer->score(stream, piece, workspace.span(), std::span(scores).subspan(begin, piece.count));
  }
  return scores;
}

using Given = std::map<std::string, std::string>;

struct Maker {
  const FitRequest& request;

  Member make(std::string_view name, const Given& given, std::optional<mlp::Network> map, Rows rows) const {
    Member member{find_detector(name), std::move(map), nullptr};
    Table table;
    if (member.map) {
      table = mapped(request.device, *member.map, rows);
      rows = table.rows();
    }
    const Settings settings = Settings::parse(member.detector->parameters, given);
    member.fitted = member.detector->fit({request.device, rows, settings, request.seed, {}, request.gpu});
    return member;
  }
  Member near(Rows rows, Rows all) const {
    return make("nearest_neighbours", {{"k", neighbours(rows, near_share)}, {"distance", "mean"}},
                standardising(rows, all), rows);
  }
  Member local(Rows rows, Rows all) const {
    return make("local_outlier_factor", {{"k", neighbours(rows, local_share)}}, whitening_map(rows, all),
                rows);
  }
  static std::string neighbours(Rows rows, double share) {
    const auto wanted = static_cast<std::size_t>(std::llround(share * static_cast<double>(rows.count)));
    const std::size_t others = std::max<std::size_t>(rows.count - 1, 1);
    return std::to_string(std::min(std::max(wanted, neighbours_least), others));
  }

  // Of all rows, of which the member was fitted on those `kept` (rising).
  std::vector<float> scores(const Member& member, Rows rows, std::span<const std::size_t> kept) const {
    Table table;
    if (member.map) {
      table = mapped(request.device, *member.map, rows);
      rows = table.rows();
    }
    std::vector<float> scores = scores_of(request.device, *member.fitted, rows);
    const std::vector<float> left_out = member.fitted->leave_one_out_scores(request.device);
    for (std::size_t i = 0; i < left_out.size(); ++i) scores[kept[i]] = left_out[i];
    return scores;
  }
};

// (ln(s + offset) - mean) / deviation.
struct Scale {
  double offset, mean, deviation;
  double operator()(float score) const {
    return (std::log(std::max(static_cast<double>(score), 0.0) + offset) - mean) / deviation;
  }
};
Scale scale_of(const std::vector<float>& scores) {
  std::vector<float> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  const auto low = sorted[static_cast<std::size_t>(low_share * static_cast<double>(sorted.size() - 1))];
  Scale scale{std::max(static_cast<double>(low), least_offset), 0, 1};
  const double n = static_cast<double>(scores.size());
  double sum = 0, squares = 0;
  for (const float score : scores) sum += scale(score);
  const double mean = sum / n;
  for (const float score : scores) squares += (scale(score) - mean) * (scale(score) - mean);
  scale.mean = mean;
  scale.deviation = std::max(std::sqrt(squares / n), least_deviation);
  return scale;
}

// All but the share that the members agree on most, in their order.
std::vector<std::size_t> clean(const std::vector<std::vector<float>>& scores, double share) {
  const std::size_t n = scores.front().size();
  std::vector<double> suspicion(n);
  for (const auto& of_member : scores) {
    const Scale scale = scale_of(of_member);
    for (std::size_t i = 0; i < n; ++i) suspicion[i] += scale(of_member[i]);
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return suspicion[a] < suspicion[b]; });
  const auto kept = static_cast<std::size_t>(std::llround((1 - share) * static_cast<double>(n)));
  order.resize(std::max<std::size_t>(kept, 1));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace

std::shared_ptr<const Learned> learn(const FitRequest& request, const Making& making) {
  check_training_rows(request.rows);
  const auto progress = [&](double done, std::string_view what) {
    if (request.progress) request.progress(done, what);
  };
  const Maker maker{request};
  const Table table = thinned(request.rows, making.rows_most, making.seed);
  const Rows rows = table.rows();
  std::vector<std::size_t> all(rows.count);
  std::iota(all.begin(), all.end(), std::size_t{0});

  auto learned = std::make_shared<Learned>();
  learned->width = rows.width;
  std::vector<Member>& members = learned->members;
  members.push_back(maker.make("isolation_forest", {{"trees", std::to_string(making.trees)}}, {}, rows));
  std::vector<std::vector<float>> scores{maker.scores(members[0], rows, all)};
  progress(0.1, "trees grown");
  scores.push_back(maker.scores(maker.near(rows, rows), rows, all));
  scores.push_back(maker.scores(maker.local(rows, rows), rows, all));
  progress(0.4, "neighbours found");

  const std::vector<std::size_t> kept = clean(scores, making.cleaned);
  const Table cleaned = chosen(rows, kept);
  members.push_back(maker.near(cleaned.rows(), rows));
  members.push_back(maker.local(cleaned.rows(), rows));
  members.push_back(maker.make("mahalanobis", {}, {}, rows));
  progress(0.7, "neighbours found among cleaned rows");

  scores.resize(1);
  for (std::size_t m = 1; m < members.size(); ++m) scores.push_back(maker.scores(members[m], rows, kept));
  for (const auto& of_member : scores) {
    const Scale scale = scale_of(of_member);
    learned->blend.push_back({static_cast<float>(scale.offset), static_cast<float>(1 / scale.deviation),
                              static_cast<float>(-scale.mean / scale.deviation)});
  }
  progress(1, "scores scaled");
  return learned;
}

}  // namespace lanner::engine::ensemble
