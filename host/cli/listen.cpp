#include <csignal>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <zmq.hpp>

#include "engine/calibrate/decide.hpp"
#include "host/cli/commands.hpp"
#include "host/endpoint.hpp"

namespace lanner::host {
namespace {

using Json = nlohmann::json;

struct ListenArguments {
  std::string from, topic;
  bool json = false;
  std::uint64_t count = 0;
};

volatile std::sig_atomic_t interrupted = 0;

template <class T>
Json values(const zmq::message_t& frame) {
  Json list = Json::array();
  for (std::size_t i = 0; i < frame.size() / sizeof(T); ++i) {
    T value;
    std::memcpy(&value, static_cast<const char*>(frame.data()) + i * sizeof(T), sizeof(T));
    list.push_back(value);  // a NaN is written as null
  }
  return list;
}

// The header of a scores message with its arrays beside it, by the names and types that the header lists.
Json scores_object(const Json& header, const std::vector<zmq::message_t>& frames) {
  Json object = header;
  object.erase("frames");
  const Json listed = header.value("frames", Json::array());
  for (std::size_t i = 0; i < listed.size() && i + 2 < frames.size(); ++i) {
    const std::string entry = listed[i].get<std::string>();
    const std::string name = entry.substr(0, entry.find(':')), type = entry.substr(entry.find(':') + 1);
    if (type == "float32")
      object[name] = values<float>(frames[i + 2]);
    else if (type == "float64")
      object[name] = values<double>(frames[i + 2]);
    else if (type == "uint8")
      object[name] = values<std::uint8_t>(frames[i + 2]);
  }
  return object;
}

std::string scores_line(const std::string& topic, const Json& object) {
  std::size_t flagged = 0, refused = 0;
  double least = 1;
  for (const auto& flag : object.value("flag", Json::array())) {
    flagged += flag.get<int>() & engine::flag_anomalous;
    refused += (flag.get<int>() & engine::flag_refused) != 0;
  }
  for (const auto& p : object.value("p_value", Json::array()))
    if (p.is_number()) least = std::min(least, p.get<double>());
  std::string text = topic + "  " + object.value("producer", "") + ":" +
                     std::to_string(object.value("seq", std::uint64_t{0})) + "  " +
                     object.value("model", "") + "  " + std::to_string(object.value("n", std::uint64_t{0})) +
                     " rows, " + std::to_string(flagged) + " flagged";
  if (refused) text += ", " + std::to_string(refused) + " refused";
  char p[32];
  std::snprintf(p, sizeof p, "%.3g", least);
  return text + ", smallest p-value " + p;
}

std::string alert_line(const std::string& topic, const Json& alert) {
  char numbers[96];
  std::snprintf(numbers, sizeof numbers, "score %.6g  p-value %.3g (threshold %.3g)",
                alert.value("score", 0.0), alert.value("p_value", 0.0), alert.value("threshold", 0.0));
  std::string text =
      topic + "  " + alert.value("event", "") + "  " + alert.value("entity", "") + "  " + numbers;
  std::size_t shown = 0;
  for (const auto& part : alert.value("contributions", Json::array())) {
    if (++shown > 3) break;
    char share[160];
    std::snprintf(share, sizeof share, "%s%s = %.6g (%.0f %%)", shown == 1 ? "  because " : ", ",
                  part.value("feature", "").c_str(),
                  part["value"].is_number() ? part["value"].get<double>() : 0.0,
                  100 * part.value("share", 0.0));
    text += share;
  }
  return text;
}

void print(const ListenArguments& arguments, const std::vector<zmq::message_t>& frames) {
  const std::string topic = frames[0].to_string();
  Json object = frames.size() > 1 ? Json::parse(frames[1].to_string_view(), nullptr, false) : Json(nullptr);
  if (object.is_discarded()) object = nullptr;
  if (object.is_object() && frames.size() > 2) object = scores_object(object, frames);
  if (arguments.json) {
    std::cout << Json{{"topic", topic}, {"message", object}}.dump() << std::endl;
  } else if (!object.is_object()) {
    std::cout << topic << "  (not a message of Lanner's)" << std::endl;
  } else if (topic.starts_with("scores.")) {
    std::cout << scores_line(topic, object) << std::endl;
  } else if (topic.starts_with("alerts.")) {
    std::cout << alert_line(topic, object) << std::endl;
  } else {
    std::cout << topic << "  " << object.dump() << std::endl;
  }
}

int listen(const ListenArguments& arguments) {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  std::signal(SIGTERM, [](int) { interrupted = 1; });
  try {
    zmq::context_t context;
    zmq::socket_t socket(context, zmq::socket_type::sub);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::subscribe, arguments.topic);
    socket.set(zmq::sockopt::ipv6, is_ipv6(arguments.from));
    socket.connect(arguments.from);
    for (std::uint64_t seen = 0; !interrupted && (arguments.count == 0 || seen < arguments.count);) {
      zmq::pollitem_t item{socket, 0, ZMQ_POLLIN, 0};
      try {
        zmq::poll(&item, 1, std::chrono::milliseconds(200));
      } catch (const zmq::error_t& error) {
        if (error.num() == EINTR) continue;
        throw;
      }
      if (!(item.revents & ZMQ_POLLIN)) continue;
      std::vector<zmq::message_t> frames;
      do {
        if (!socket.recv(frames.emplace_back())) break;
      } while (frames.back().more());
      print(arguments, frames);
      ++seen;
    }
  } catch (const zmq::error_t& error) {
    throw UsageError("--from: found '" + arguments.from + "': " + error.what());
  }
  return exit_done;
}

}  // namespace

void add_listen(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<ListenArguments>();
  CLI::App* command = app.add_subcommand("listen", "Print what the host publishes");
  command->add_option("--from", arguments->from, "The host's publish endpoint")->required();
  command->add_option("--topic", arguments->topic,
                      "Only topics that begin so: scores.checkout, alerts., status");
  command->add_flag("--json", arguments->json, "One JSON object a message, arrays included");
  command->add_option("--count", arguments->count, "Stop after so many messages (default: on Ctrl-C)");
  command->footer("Example: lanner listen --from tcp://127.0.0.1:5556 --topic alerts.");
  command->callback([&chosen, arguments] { chosen = [arguments] { return listen(*arguments); }; });
}

}  // namespace lanner::host
