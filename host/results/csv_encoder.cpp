#include <bit>
#include <charconv>

#include "host/float_text.hpp"
#include "host/results/encoder.hpp"

namespace lanner::host {
namespace {

constexpr std::string_view kHeaderLine =
    "producer,seq,row,id,entity,time,score,p_value,flag,threshold,model,model_hash\n";

void append_cell(std::string& out, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == text.npos) {
    out.append(text);
    return;
  }
  out.push_back('"');
  for (const char c : text) {
    if (c == '"') out.push_back('"');
    out.push_back(c);
  }
  out.push_back('"');
}

class CsvEncoder final : public RowEncoder {
 public:
  void begin(std::string& out) override { out.append(kHeaderLine); }

  std::size_t append(const ScoredRows& rows, Keep keep, std::string& out) override {
    prefix_.clear();
    append_cell(prefix_, rows.producer);
    prefix_.push_back(',');
    prefix_.append(std::to_string(rows.seq));
    prefix_.push_back(',');
    suffix_.assign(1, ',');
    append_cell(suffix_, rows.model);
    suffix_.push_back(',');
    append_cell(suffix_, rows.model_hash);
    suffix_.push_back('\n');

    std::size_t kept = 0;
    // Neighbours share their threshold nearly always: its text is made once.
    std::uint64_t threshold_bits = 0;
    char threshold[float_text_max];
    std::size_t threshold_length = 0;
    for (std::size_t row = 0; row < rows.count; ++row) {
      if (!is_kept(rows, row, keep)) continue;
      ++kept;
      char piece[128];
      char* const end = piece + sizeof piece;
      out.append(prefix_);
      char* at = std::to_chars(piece, end, row).ptr;
      *at++ = ',';
      out.append(piece, static_cast<std::size_t>(at - piece));
      append_cell(out, event_id(rows, row, id_));
      out.push_back(',');
      if (rows.entity != nullptr) append_cell(out, (*rows.entity)[row]);
      at = piece;
      *at++ = ',';
      if (!rows.time.empty()) at = std::to_chars(at, end, rows.time[row]).ptr;
      *at++ = ',';
      at = put_float(at, rows.score[row]);
      *at++ = ',';
      at = put_float(at, rows.p_value[row]);
      *at++ = ',';
      at = std::to_chars(at, end, static_cast<unsigned>(rows.flag[row])).ptr;
      *at++ = ',';
      const auto bits = std::bit_cast<std::uint64_t>(rows.threshold[row]);
      if (threshold_length == 0 || bits != threshold_bits) {
        threshold_bits = bits;
        threshold_length = static_cast<std::size_t>(put_float(threshold, rows.threshold[row]) - threshold);
      }
      out.append(piece, static_cast<std::size_t>(at - piece));
      out.append(threshold, threshold_length);
      out.append(suffix_);
    }
    return kept;
  }

  void flush(std::string&) override {}
  void end(std::string&) override {}

  std::optional<std::size_t> resume(std::string_view bytes) override {
    if (!bytes.starts_with(kHeaderLine)) {
      if (kHeaderLine.starts_with(bytes)) return 0;
      return std::nullopt;
    }
    std::size_t whole = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == '"') quoted = !quoted;
      if (bytes[i] == '\n' && !quoted) whole = i + 1;  // within quotes it ends no row
    }
    return whole;
  }

  std::string_view open_ending() const override { return ".csv"; }
  std::string_view closed_ending() const override { return ".csv"; }

 private:
  std::string prefix_, suffix_, id_;
};

}  // namespace

std::unique_ptr<RowEncoder> make_csv_encoder() {
  return std::make_unique<CsvEncoder>();
}

std::string_view event_id(const ScoredRows& rows, std::size_t row, std::string& scratch) {
  if (rows.id != nullptr) {
    if (const std::string_view given = (*rows.id)[row]; !given.empty()) return given;
  }
  char digits[24];
  scratch.assign(rows.producer);
  scratch.push_back(':');
  scratch.append(
      digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, rows.seq).ptr - digits));
  scratch.push_back(':');
  scratch.append(digits,
                 static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, row).ptr - digits));
  return scratch;
}

}  // namespace lanner::host
