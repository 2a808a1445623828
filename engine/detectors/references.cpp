#include "engine/detectors/references.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/plan.hpp"

namespace lanner::engine {

void require(bool holds, std::string_view otherwise) {
  if (!holds) throw InvalidModel(std::string(otherwise));
}

void check_training_rows(Rows rows) {
  if (rows.count == 0 || rows.width == 0)
    throw std::invalid_argument("fitting needs at least one row and one feature");
}

namespace {

void save_plan(const nearest::IndexPlan& plan, TensorWriter& writer) {
  const auto add = [&](std::string_view name, const std::vector<std::size_t>& begins) {
    const std::vector<std::uint32_t> values(begins.begin(), begins.end());
    writer.add(name, {values.size()}, std::span(values));
  };
  writer.add("references.plan.order", {plan.cells.order.size()}, std::span(plan.cells.order));
  add("references.plan.cells", plan.cells.begins);
  add("references.plan.groups", plan.cells.groups);
  const double counts[] = {plan.cells.rows_read, plan.left_over};
  writer.add("references.plan.counts", {2}, std::span(counts));
}

// Models of earlier versions have none.
std::shared_ptr<const nearest::IndexPlan> load_plan(const nearest::ReferenceSet& references,
                                                    const TensorReader& reader) {
  constexpr std::string_view parts[] = {"references.plan.order", "references.plan.cells",
                                        "references.plan.groups", "references.plan.counts"};
  if (std::none_of(std::begin(parts), std::end(parts),
                   [&](std::string_view part) { return reader.has(part); }))
    return nullptr;
  auto plan = std::make_shared<nearest::IndexPlan>();
  const std::vector<std::uint32_t> cells = reader.unsigned_integers("references.plan.cells");
  const std::vector<std::uint32_t> groups = reader.unsigned_integers("references.plan.groups");
  const std::vector<double> counts = reader.doubles("references.plan.counts");
  require(counts.size() == 2, "references.plan.counts does not hold two numbers");
  plan->cells.order = reader.unsigned_integers("references.plan.order");
  plan->cells.begins.assign(cells.begin(), cells.end());
  plan->cells.groups.assign(groups.begin(), groups.end());
  plan->cells.rows_read = counts[0];
  plan->left_over = counts[1];
  require(nearest::fits(*plan, references), "references.plan is that of other references");
  return plan;
}

}  // namespace

void save_references(const nearest::ReferenceSet& references, TensorWriter& writer) {
  writer.add("references.values", {references.distinct(), references.width}, std::span(references.values));
  const std::vector<std::uint32_t> distinct_of_row = nearest::distinct_of_rows(references);
  writer.add("references.distinct_of_row", {distinct_of_row.size()}, std::span(distinct_of_row));
  if (references.plan) save_plan(*references.plan, writer);
}

nearest::ReferenceSet load_references(const TensorReader& reader) {
  nearest::ReferenceSet references;
  references.values = reader.floats("references.values");
  const auto& shape = reader.shape("references.values");
  require(shape.size() == 2 && shape[0] > 0 && shape[1] > 0,
          "references.values is not a matrix with rows and columns");
  references.width = shape[1];
  const std::size_t distinct = shape[0];
  require(std::all_of(references.values.begin(), references.values.end(),
                      [](float x) { return std::isfinite(x); }),
          "references.values holds a value that is not finite");
  require(nearest::distinct_rows({references.values.data(), distinct, references.width, references.width})
                  .distinct() == distinct,
          "references.values holds a row twice");

  const std::vector<std::uint32_t> distinct_of_row = reader.unsigned_integers("references.distinct_of_row");
  require(distinct_of_row.size() >= distinct, "references.distinct_of_row is shorter than references.values");
  references.weight.assign(distinct, 0);
  std::size_t seen = 0;
  for (std::uint32_t row : distinct_of_row) {
    require(row <= seen && row < distinct,
            "references.distinct_of_row is not in the order of first occurrence");
    if (row == seen) ++seen;
    ++references.weight[row];
  }
  require(seen == distinct, "references.values holds a row that references.distinct_of_row does not name");

  references.member_begin.assign(distinct + 1, 0);
  for (std::size_t i = 0; i < distinct; ++i)
    references.member_begin[i + 1] = references.member_begin[i] + references.weight[i];
  references.members.resize(distinct_of_row.size());
  std::vector<std::uint32_t> next(references.member_begin.begin(), references.member_begin.end() - 1);
  for (std::size_t i = 0; i < distinct_of_row.size(); ++i)
    references.members[next[distinct_of_row[i]]++] = static_cast<std::uint32_t>(i);
  references.plan = load_plan(references, reader);
  return references;
}

bool add_split(const float* query, const float* reference, std::size_t width, double amount, double* out) {
  double s = 0;
  for (std::size_t j = 0; j < width; ++j) {
    const double d = static_cast<double>(query[j]) - static_cast<double>(reference[j]);
    s = fma(d, d, s);
  }
  if (s == 0) return false;
  for (std::size_t j = 0; j < width; ++j) {
    const double d = static_cast<double>(query[j]) - static_cast<double>(reference[j]);
    out[j] += amount * (d * d / s);
  }
  return true;
}

std::vector<float> for_every_row(const nearest::ReferenceSet& references,
                                 std::span<const float> of_distinct) {
  const std::vector<std::uint32_t> distinct_of_row = nearest::distinct_of_rows(references);
  std::vector<float> values(distinct_of_row.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = of_distinct[distinct_of_row[i]];
  return values;
}

std::size_t block_rows(std::size_t rows_max, std::size_t k) {
  constexpr std::size_t entries_max = std::size_t{1} << 20;
  return std::min(rows_max, std::clamp<std::size_t>(entries_max / std::max<std::size_t>(k, 1), 16, 8192));
}

std::size_t neighbour_bytes(std::size_t rows, std::size_t k) {
  return 2 * piece_bytes<std::uint32_t>(rows * k) + piece_bytes<float>(rows * k) +
         piece_bytes<std::uint32_t>(rows);
}

nearest::Neighbours take_neighbours(WorkspacePieces& pieces, std::size_t rows, std::size_t k) {
  return {k, pieces.take<std::uint32_t>(rows * k).data(), pieces.take<float>(rows * k).data(),
          pieces.take<std::uint32_t>(rows * k).data(), pieces.take<std::uint32_t>(rows).data()};
}

}  // namespace lanner::engine
