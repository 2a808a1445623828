#include "host/publish/messages.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

namespace lanner::host {
namespace {

// Length of the UTF-8 sequence at the start of text, 0 if there is none: no overlong forms, no surrogates.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

template <class Float>
void append_number(std::string& out, Float value) {
  if (value == 0 && std::signbit(value)) {
    out += "-0.0";  // "-0" is an integer to many readers
  } else if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(out), "{}", value);
  } else {
    out += "null";
  }
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out += '"';
}

void append_json(std::string& out, double value) {
  append_number(out, value);
}
void append_json(std::string& out, float value) {
  append_number(out, value);
}

ScoresHeader::ScoresHeader(std::string_view stream, std::string_view model, std::string_view model_hash,
                           std::string_view device) {
  before_producer_ = R"({"v":1,"stream":)";
  append_json(before_producer_, stream);
  before_producer_ += R"(,"producer":)";
  after_n_ = R"(,"model":)";
  append_json(after_n_, model);
  after_n_ += R"(,"model_hash":)";
  append_json(after_n_, model_hash);
  after_n_ += R"(,"device":)";
  append_json(after_n_, device);
  after_n_ += R"(,"frames":)";
  after_n_ += score_frames;
  after_n_ += '}';
}

void ScoresHeader::write(std::string& out, std::string_view producer, std::uint64_t seq,
                         std::size_t n) const {
  out = before_producer_;
  append_json(out, producer);
  fmt::format_to(std::back_inserter(out), R"(,"seq":{},"n":{})", seq, n);
  out += after_n_;
}

void append_event_name(std::string& out, std::string_view producer, std::uint64_t seq, std::size_t row) {
  fmt::format_to(std::back_inserter(out), "{}:{}:{}", producer, seq, row);
}

void AlertWriter::write(std::string& out, const Alert& alert) {
  out = R"({"v":1,"id":)";
  std::string& text = scratch_;
  text.clear();
  fmt::format_to(std::back_inserter(text), "{}/{}/{}", alert.stream, alert.model, alert.event);
  append_json(out, text);
  out += R"(,"stream":)";
  append_json(out, alert.stream);
  out += R"(,"event":)";
  append_json(out, alert.event);
  if (!alert.entity.empty()) {
    out += R"(,"entity":)";
    append_json(out, alert.entity);
  }
  if (alert.time) fmt::format_to(std::back_inserter(out), R"(,"time":{})", *alert.time);
  out += R"(,"score":)";
  append_json(out, alert.score);
  out += R"(,"p_value":)";
  append_json(out, alert.p_value);
  out += R"(,"threshold":)";
  append_json(out, alert.threshold);
  fmt::format_to(std::back_inserter(out), R"(,"flag":{},"model":)", alert.flag);
  append_json(out, alert.model);
  out += R"(,"model_hash":)";
  append_json(out, alert.model_hash);
  out += R"(,"base":)";
  append_json(out, alert.base);
  if (!std::isnan(alert.expected)) {
    out += R"(,"expected":)";
    append_json(out, alert.expected);
  }

  double sizes = 0;
  for (const float contribution : alert.contributions) sizes += std::fabs(static_cast<double>(contribution));
  order_.resize(alert.contributions.size());
  std::iota(order_.begin(), order_.end(), 0u);
  // Ties in the features' order, so that the same event always reads the same.
  std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
    const float size_a = std::fabs(alert.contributions[a]), size_b = std::fabs(alert.contributions[b]);
    return size_a != size_b ? size_a > size_b : a < b;
  });
  out += R"(,"contributions":[)";
  bool first = true;
  for (const std::uint32_t i : order_) {
    if (!first) out += ',';
    first = false;
    out += R"({"feature":)";
    append_json(out, alert.names[i]);
    out += R"(,"value":)";
    append_json(out, alert.values[i]);
    out += R"(,"contribution":)";
    append_json(out, alert.contributions[i]);
    out += R"(,"share":)";
    append_json(out, sizes > 0 ? std::fabs(static_cast<double>(alert.contributions[i])) / sizes : 0.0);
    out += '}';
  }
  out += "]}";
}

}  // namespace lanner::host
