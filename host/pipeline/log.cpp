#include "host/pipeline/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "host/pipeline/status.hpp"

namespace lanner::host {
namespace {

using namespace std::chrono_literals;

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const auto ns = message.time.time_since_epoch() / 1ns;
    line_ = fmt::format(R"({{"time":{},"level":")", ns);
    const auto level = spdlog::level::to_string_view(message.level);
    line_.append(level.data(), level.size());
    line_ += R"(","message":)";
    append_json(line_, std::string_view(message.payload.data(), message.payload.size()));
    line_ += "}\n";
    out.append(line_.data(), line_.data() + line_.size());
  }
  std::unique_ptr<formatter> clone() const override { return std::make_unique<JsonFormatter>(); }

 private:
  std::string line_;
};

}  // namespace

void start_log(const LogConfig& config) {
  auto logger = std::make_shared<spdlog::logger>("lanner", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  if (config.json) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  }
  logger->set_level(spdlog::level::from_str(config.level));
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace lanner::host
