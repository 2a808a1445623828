#include <cstdint>
#include <cstring>
#include <vector>

#include "host/arrow/writer.hpp"
#include "host/results/encoder.hpp"

namespace lanner::host {
namespace {

constexpr std::size_t kBatchRowsMax = 65536;
constexpr std::size_t kBatchTextMax = 64u << 20;

/// One column being collected: numbers as raw bytes, or texts.
struct Collected {
  std::string data;
  std::vector<std::int32_t> offsets{0};
  std::vector<std::uint8_t> validity;
  std::size_t rows = 0, nulls = 0;

  template <class T>
  void number(T value, bool valid = true) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    mark(valid);
  }
  void text(std::string_view value, bool valid = true) {
    data.append(value);
    offsets.push_back(static_cast<std::int32_t>(data.size()));
    mark(valid);
  }
  void clear() {
    data.clear();
    offsets.resize(1);
    validity.clear();
    rows = nulls = 0;
  }

 private:
  void mark(bool valid) {
    if (rows % 8 == 0) validity.push_back(0);
    if (valid) {
      validity.back() |= static_cast<std::uint8_t>(1u << (rows % 8));
    } else {
      ++nulls;
    }
    ++rows;
  }
};

std::vector<arrow::WrittenField> fields() {
  using arrow::Kind;
  return {{"producer", Kind::text, 32, false},        {"seq", Kind::unsigned_integer, 64, false},
          {"row", Kind::unsigned_integer, 32, false}, {"id", Kind::text, 32, false},
          {"entity", Kind::text, 32, true},           {"time", Kind::timestamp, 64, true},
          {"score", Kind::floating, 32, false},       {"p_value", Kind::floating, 64, false},
          {"flag", Kind::unsigned_integer, 8, false}, {"threshold", Kind::floating, 64, false},
          {"model", Kind::text, 32, false},           {"model_hash", Kind::text, 32, false}};
}

class ArrowEncoder final : public RowEncoder {
 public:
  void begin(std::string& out) override { writer_.begin(out); }

  std::size_t append(const ScoredRows& rows, Keep keep, std::string& out) override {
    std::size_t kept = 0;
    for (std::size_t row = 0; row < rows.count; ++row) {
      if (!is_kept(rows, row, keep)) continue;
      ++kept;
      std::size_t c = 0;
      columns_[c++].text(rows.producer);
      columns_[c++].number(rows.seq);
      columns_[c++].number(static_cast<std::uint32_t>(row));
      columns_[c++].text(event_id(rows, row, id_));
      columns_[c++].text(rows.entity != nullptr ? (*rows.entity)[row] : std::string_view(),
                         rows.entity != nullptr);
      columns_[c++].number(rows.time.empty() ? std::int64_t{0} : rows.time[row], !rows.time.empty());
      columns_[c++].number(rows.score[row]);
      columns_[c++].number(rows.p_value[row]);
      columns_[c++].number(rows.flag[row]);
      columns_[c++].number(rows.threshold[row]);
      columns_[c++].text(rows.model);
      columns_[c++].text(rows.model_hash);
      if (columns_[0].rows >= kBatchRowsMax ||
          columns_[3].data.size() + columns_[4].data.size() > kBatchTextMax)
        flush(out);
    }
    return kept;
  }

  void flush(std::string& out) override {
    const std::size_t rows = columns_[0].rows;
    if (rows == 0) return;
    written_.clear();
    for (const Collected& column : columns_) {
      written_.push_back({std::as_bytes(std::span(column.data)), std::as_bytes(std::span(column.offsets)),
                          std::as_bytes(std::span(column.validity)), column.nulls});
    }
    writer_.batch(rows, written_, out);
    for (Collected& column : columns_) column.clear();
  }

  void end(std::string& out) override {
    flush(out);
    writer_.end(out);
  }

  std::optional<std::size_t> resume(std::string_view bytes) override {
    const std::size_t whole = writer_.resume(std::as_bytes(std::span(bytes.data(), bytes.size())));
    if (whole > 0) return whole;
    std::string beginning;
    arrow::FileWriter(fields()).begin(beginning);
    if (beginning.starts_with(bytes)) return 0;
    return std::nullopt;
  }

  std::string_view open_ending() const override { return ".arrow.part"; }
  std::string_view closed_ending() const override { return ".arrow"; }

 private:
  arrow::FileWriter writer_{fields()};
  std::vector<Collected> columns_{fields().size()};
  std::vector<arrow::WrittenColumn> written_;
  std::string id_;
};

}  // namespace

std::unique_ptr<RowEncoder> make_arrow_encoder() {
  return std::make_unique<ArrowEncoder>();
}

}  // namespace lanner::host
