#include "bindings/python/module/events.hpp"

#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

namespace nb = nanobind;

namespace lanner::python {
namespace {

void check_length(const char* what, std::size_t found, std::size_t allowed) {
  if (found != allowed)
    throw std::invalid_argument(std::string(what) + ": found " + std::to_string(found) +
                                " values, allowed one a row: " + std::to_string(allowed));
}

engine::Column column_of(nb::handle values, std::size_t count) {
  engine::Column column;
  if (nb::isinstance<nb::list>(values)) {
    check_length("a column of text", nb::len(values), count);
    column.missing.reserve(count);
    for (nb::handle value : nb::borrow<nb::list>(values)) {
      column.missing.push_back(value.is_none());
      column.texts.push_back(value.is_none() ? std::string() : nb::cast<std::string>(value));
    }
    return column;
  }
  const auto numbers = nb::cast<Numbers>(values);
  check_length("a column of numbers", numbers.shape(0), count);
  column.numbers.assign(numbers.data(), numbers.data() + count);
  return column;
}

}  // namespace

Events::Events(Matrix rows) : rows_(std::move(rows)) {
  records_.count = rows_->shape(0);
  records_.dense.width = rows_->shape(1);
  if (rows_->dtype() == nb::dtype<float>())
    records_.dense.floats = static_cast<const float*>(rows_->data());
  else if (rows_->dtype() == nb::dtype<double>())
    records_.dense.doubles = static_cast<const double*>(rows_->data());
  else
    throw nb::type_error("rows: allowed float32 or float64");
}

Events::Events(std::size_t count, const nb::list& columns, const std::optional<nb::list>& entity,
               const std::optional<Times>& time) {
  records_.count = count;
  for (nb::handle values : columns) records_.columns.push_back(column_of(values, count));
  if (entity) {
    check_length("entity", nb::len(*entity), count);
    for (nb::handle name : *entity) records_.entity.push_back(nb::cast<std::string>(name));
  }
  if (time) {
    check_length("time", time->shape(0), count);
    records_.time.assign(time->data(), time->data() + count);
  }
}

std::uintptr_t Events::address() const {
  return rows_ ? reinterpret_cast<std::uintptr_t>(rows_->data()) : 0;
}

}  // namespace lanner::python
