#include "host/decode/row_writer.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "host/decode/time_text.hpp"

namespace lanner::host {
namespace {

std::string_view kind_name(const Value& value) {
  switch (value.kind) {
    case Value::Kind::missing:
      return "nothing";
    case Value::Kind::integer:
    case Value::Kind::unsigned_integer:
      return "an integer";
    case Value::Kind::number:
      return "a number with a fraction or exponent";
    case Value::Kind::boolean:
      return "a boolean";
    case Value::Kind::text:
      return "text";
    case Value::Kind::time:
      return "a timestamp";
    case Value::Kind::other:
      return value.text;
  }
  return {};
}

bool is_number(const Value& value) {
  return value.kind == Value::Kind::integer || value.kind == Value::Kind::unsigned_integer ||
         value.kind == Value::Kind::number || value.kind == Value::Kind::boolean;
}

bool is_label(const Value& value) {
  return value.kind == Value::Kind::text || value.kind == Value::Kind::integer ||
         value.kind == Value::Kind::unsigned_integer;
}

double as_double(const Value& value) {
  switch (value.kind) {
    case Value::Kind::integer:
    case Value::Kind::boolean:
      return static_cast<double>(value.integer);
    case Value::Kind::unsigned_integer:
      return static_cast<double>(value.unsigned_integer);
    case Value::Kind::number:
      return value.number;
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

/// Nanoseconds; false: not a time. A value of the right type that is out of range or no date is false too.
bool as_time(const Value& value, std::int64_t& out) {
  if (value.kind == Value::Kind::integer || value.kind == Value::Kind::time) {
    out = value.integer;
    return true;
  }
  if (value.kind != Value::Kind::text) return false;
  const auto time = parse_time(value.text);
  out = time.value_or(0);
  return time.has_value();
}

}  // namespace

std::size_t SchemaNames::add(std::string_view name) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].name == name) return i;
  }
  slots_.emplace_back().name = name;
  return slots_.size() - 1;
}

void SchemaNames::set(const engine::Schema& schema) {
  if (is_set_ && schema == schema_) return;
  schema_ = schema;
  is_set_ = true;
  slots_.clear();
  index_.clear();
  for (std::size_t f = 0; f < schema_.fields.size(); ++f) {
    Slot& slot = slots_.emplace_back();
    slot.name = schema_.fields[f].name;
    slot.field = static_cast<std::ptrdiff_t>(f);
    slot.kind = schema_.fields[f].kind;
  }
  if (has_entity()) slots_[add(schema_.entity)].entity = true;
  if (has_time()) slots_[add(schema_.time)].time = true;
  if (has_id()) slots_[add(schema_.id)].id = true;
  for (std::size_t i = 0; i < slots_.size(); ++i)
    index_.emplace(slots_[i].name, static_cast<std::ptrdiff_t>(i));
}

void RowWriter::start(const SchemaNames& names, engine::Records& out) {
  names_ = &names;
  out_ = &out;
  values_.assign(names.slots().size(), Value{});
  order_.clear();
}

Value* RowWriter::value(std::size_t position, std::string_view name) {
  if (position < order_.size()) {
    const std::ptrdiff_t guess = order_[position];
    if (guess >= 0 && names_->slots()[static_cast<std::size_t>(guess)].name == name)
      return &values_[static_cast<std::size_t>(guess)];
  }
  const std::ptrdiff_t slot = names_->find(name);
  // A row of many keys must not grow the memory of where they stood.
  if (position < 1024) {
    if (position >= order_.size()) order_.resize(position + 1, -1);
    order_[position] = slot;
  }
  return slot < 0 ? nullptr : &values_[static_cast<std::size_t>(slot)];
}

std::string RowWriter::fault() const {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const SchemaNames::Slot& slot = names_->slots()[i];
    const Value& value = values_[i];
    if (value.kind == Value::Kind::missing) {
      if (slot.time) return fmt::format("{}: missing, and it is the stream's time", slot.name);
      continue;
    }
    if (slot.field >= 0 && slot.kind == engine::ColumnKind::number && !is_number(value))
      return fmt::format("{}: found {}, allowed a number", slot.name, kind_name(value));
    if (slot.field >= 0 && slot.kind == engine::ColumnKind::text && value.kind != Value::Kind::text)
      return fmt::format("{}: found {}, allowed text", slot.name, kind_name(value));
    if ((slot.entity || slot.id) && !is_label(value))
      return fmt::format("{}: found {}, allowed text or an integer", slot.name, kind_name(value));
    if (std::int64_t time; slot.time && !as_time(value, time)) {
      if (value.kind == Value::Kind::text)
        return fmt::format(
            "{}: found text that is no time, allowed ISO 8601 (2026-09-21T12:00:00Z) or integer nanoseconds",
            slot.name);
      if (value.kind == Value::Kind::unsigned_integer)
        return fmt::format("{}: found {}, allowed int64 nanoseconds", slot.name, value.unsigned_integer);
      return fmt::format("{}: found {}, allowed integer nanoseconds or ISO 8601 text", slot.name,
                         kind_name(value));
    }
  }
  return {};
}

void RowWriter::append_text(engine::Texts& texts, const Value& value) {
  char digits[24];
  if (value.kind == Value::Kind::integer) {
    const auto end = std::to_chars(digits, digits + sizeof digits, value.integer).ptr;
    texts.push_back(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  } else if (value.kind == Value::Kind::unsigned_integer) {
    const auto end = std::to_chars(digits, digits + sizeof digits, value.unsigned_integer).ptr;
    texts.push_back(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  } else {
    texts.push_back(value.kind == Value::Kind::text ? value.text : std::string_view());
  }
}

void RowWriter::clear_values() {
  for (Value& value : values_) value.kind = Value::Kind::missing;
}

void RowWriter::finish() {
  if (std::string reason = fault(); !reason.empty()) return refuse(std::move(reason));
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const SchemaNames::Slot& slot = names_->slots()[i];
    const Value& value = values_[i];
    if (slot.field >= 0) {
      engine::Column& column = out_->columns[static_cast<std::size_t>(slot.field)];
      if (slot.kind == engine::ColumnKind::number) {
        column.numbers.push_back(as_double(value));
      } else {
        column.texts.push_back(value.kind == Value::Kind::text ? value.text : std::string_view());
        column.missing.push_back(value.kind == Value::Kind::missing);
      }
    }
    if (slot.entity) append_text(out_->entity, value);
    if (slot.id) append_text(out_->id, value);
    if (slot.time) {
      std::int64_t time = 0;
      as_time(value, time);
      out_->time.push_back(time);
    }
  }
  ++out_->count;
  clear_values();
}

void RowWriter::refuse(std::string reason) {
  out_->refused.push_back({static_cast<std::uint32_t>(out_->count), std::move(reason)});
  for (const SchemaNames::Slot& slot : names_->slots()) {
    if (slot.field >= 0) {
      engine::Column& column = out_->columns[static_cast<std::size_t>(slot.field)];
      if (slot.kind == engine::ColumnKind::number) {
        column.numbers.push_back(std::numeric_limits<double>::quiet_NaN());
      } else {
        column.texts.push_back({});
        column.missing.push_back(1);
      }
    }
    if (slot.entity) out_->entity.push_back({});
    if (slot.id) out_->id.push_back({});
    if (slot.time) out_->time.push_back(0);
  }
  ++out_->count;
  clear_values();
}

}  // namespace lanner::host
