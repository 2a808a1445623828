#include <unistd.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <zmq.hpp>

#include "host/cli/commands.hpp"
#include "host/cli/options.hpp"
#include "host/cli/progress_line.hpp"
#include "host/endpoint.hpp"

namespace lanner::host {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Json = nlohmann::json;

struct SendArguments {
  std::string to, stream, data, producer;
  Delivery delivery = Delivery::acked;
  std::size_t batch = 1024, repeat = 1;
  double rate = 0, timeout_s = 30;
  bool time_now = false;
  ReadOptions columns;
};

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Batches of a file as messages: `tensor` where all columns are numbers, else `jsonl`.
class Batches {
 public:
  Batches(const SendArguments& arguments, DataFile data) : arguments_(arguments), data_(std::move(data)) {
    for (const auto& field : data_.schema.fields) tensor_ &= field.kind == engine::ColumnKind::number;
    for (const auto& column : data_.records.columns)
      for (double value : column.numbers)
        single_ &= std::isnan(value) || static_cast<double>(static_cast<float>(value)) == value;
  }

  std::size_t rows() const { return data_.records.count; }
  std::size_t a_pass() const { return (rows() + arguments_.batch - 1) / arguments_.batch; }
  std::size_t count() const { return a_pass() * arguments_.repeat; }
  std::size_t rows_of(std::size_t i) const {
    return std::min(arguments_.batch, rows() - i % a_pass() * arguments_.batch);
  }

  /// Header and payload of batch i; acked batches carry producer and seq.
  std::vector<std::string> frames(std::size_t i, const std::string& producer, std::uint64_t seq) const {
    const std::size_t begin = i % a_pass() * arguments_.batch, count = rows_of(i);
    Json header{{"v", 1}, {"stream", arguments_.stream}};
    if (!producer.empty()) {
      header["producer"] = producer;
      header["seq"] = seq;
    }
    std::vector<std::string> frames(1);
    if (tensor_) {
      header["format"] = "tensor";
      header["dtype"] = single_ ? "float32" : "float64";
      header["shape"] = {count, data_.schema.fields.size()};
      frames.push_back(single_ ? matrix<float>(begin, count) : matrix<double>(begin, count));
      add_sidecars(begin, count, header, frames);
    } else {
      header["format"] = "jsonl";
      frames.push_back(lines(begin, count));
    }
    frames[0] = header.dump();
    return frames;
  }

 private:
  template <class T>
  std::string matrix(std::size_t begin, std::size_t count) const {
    const std::size_t width = data_.schema.fields.size();
    std::vector<T> values(count * width);
    for (std::size_t r = 0; r < count; ++r)
      for (std::size_t c = 0; c < width; ++c)
        values[r * width + c] = static_cast<T>(data_.records.columns[c].numbers[begin + r]);
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  }

  void add_sidecars(std::size_t begin, std::size_t count, Json& header,
                    std::vector<std::string>& frames) const {
    Json names = Json::array();
    const auto texts = [&](const char* name, const engine::Texts& from) {
      if (from.empty()) return;
      names.push_back(name);
      std::string frame;
      for (std::size_t r = 0; r < count; ++r) frame.append(from[begin + r]).push_back('\n');
      frames.push_back(std::move(frame));
    };
    texts("entity", data_.records.entity);
    if (arguments_.time_now || !data_.records.time.empty()) {
      names.push_back("time");
      std::vector<std::int64_t> times(count, arguments_.time_now ? now_ns() : 0);
      if (!arguments_.time_now)
        std::copy_n(data_.records.time.begin() + static_cast<std::ptrdiff_t>(begin), count, times.begin());
      frames.emplace_back(reinterpret_cast<const char*>(times.data()), count * sizeof(std::int64_t));
    }
    texts("id", data_.records.id);
    if (!names.empty()) header["sidecars"] = names;
  }

  std::string lines(std::size_t begin, std::size_t count) const {
    std::string text;
    for (std::size_t r = begin; r < begin + count; ++r) {
      Json event = Json::object();
      for (std::size_t c = 0; c < data_.schema.fields.size(); ++c) {
        const auto& column = data_.records.columns[c];
        const std::string& name = data_.schema.fields[c].name;
        if (data_.schema.fields[c].kind == engine::ColumnKind::text)
          event[name] = column.missing[r] ? Json(nullptr) : Json(std::string(column.texts[r]));
        else
          event[name] = std::isnan(column.numbers[r]) ? Json(nullptr) : Json(column.numbers[r]);
      }
      if (!data_.records.entity.empty())
        event[arguments_.columns.entity] = std::string(data_.records.entity[r]);
      if (!data_.records.id.empty()) event[arguments_.columns.id] = std::string(data_.records.id[r]);
      if (!data_.records.time.empty()) event[arguments_.columns.time] = data_.records.time[r];
      if (arguments_.time_now)
        event[arguments_.columns.time.empty() ? "time" : arguments_.columns.time] = now_ns();
      text += event.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
    }
    return text;
  }

  const SendArguments& arguments_;
  DataFile data_;
  bool tensor_ = true, single_ = true;
};

std::size_t payload_bytes(const std::vector<std::string>& frames) {
  std::size_t bytes = 0;
  for (std::size_t i = 1; i < frames.size(); ++i) bytes += frames[i].size();
  return bytes;
}

bool send_frames(zmq::socket_t& socket, const std::vector<std::string>& frames, zmq::send_flags flags) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    if (!socket.send(zmq::buffer(frames[i]), flags | more))
      return false;  // only the first frame can fail to queue
  }
  return true;
}

// Keeps to a rate of events a second.
class Pace {
 public:
  explicit Pace(double rate) : rate_(rate) {}
  /// When the next batch may go.
  SteadyClock::time_point due() const {
    return rate_ > 0 ? start_ + std::chrono::duration_cast<SteadyClock::duration>(
                                    std::chrono::duration<double>(events_ / rate_))
                     : start_;
  }
  void sent(std::size_t events) { events_ += static_cast<double>(events); }

 private:
  double rate_, events_ = 0;
  SteadyClock::time_point start_ = SteadyClock::now();
};

struct Counts {
  std::uint64_t events = 0, batches = 0, rows_refused = 0, batches_refused = 0, resent = 0;
  SteadyClock::time_point start = SteadyClock::now();

  void print(const std::string& verb) const {
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
    std::cout << verb << ' ' << events << " events in " << batches << " batches in " << seconds << " s ("
              << static_cast<std::uint64_t>(static_cast<double>(events) / std::max(seconds, 1e-9))
              << " events/s)";
    if (batches_refused || rows_refused)
      std::cout << "; refused " << batches_refused << " batches and " << rows_refused << " rows";
    if (resent) std::cout << "; sent again " << resent << " batches";
    std::cout << '\n';
  }
};

int send_lossy(const SendArguments& arguments, const Batches& batches) {
  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::push);
  socket.set(zmq::sockopt::linger, static_cast<int>(arguments.timeout_s * 1000));
  socket.set(zmq::sockopt::sndtimeo, static_cast<int>(arguments.timeout_s * 1000));
  socket.set(zmq::sockopt::ipv6, is_ipv6(arguments.to));
  socket.connect(arguments.to);
  ProgressLine line("send");
  Pace pace(arguments.rate);
  Counts counts;
  for (std::size_t i = 0; i < batches.count(); ++i) {
    std::this_thread::sleep_until(pace.due());
    if (!send_frames(socket, batches.frames(i, "", 0), zmq::send_flags::none))
      throw UsageError("--to: found nobody taking messages at " + arguments.to + " for " +
                       std::to_string(arguments.timeout_s) + " s");
    counts.events += batches.rows_of(i);
    ++counts.batches;
    pace.sent(batches.rows_of(i));
    line.show(static_cast<double>(i + 1) / static_cast<double>(batches.count()),
              std::to_string(counts.events) + " events");
  }
  counts.print("sent");
  return exit_done;
}

// The producer's side of acked delivery (docs/wire.md): hello, credits, acks, and sending again what was not
// settled.
class AckedSender {
 public:
  AckedSender(const SendArguments& arguments, const Batches& batches)
      : arguments_(arguments), batches_(batches) {
    connect();
  }

  int run() {
    ProgressLine line("send");
    Pace pace(arguments_.rate);
    while (settled_ < batches_.count()) {
      const auto now = SteadyClock::now();
      if (greeted_ && next_ < batches_.count() && now >= pace.due() && send_next()) {
        if (next_ > furthest_) {
          pace.sent(batches_.rows_of(next_ - 1));
          furthest_ = next_;
        } else {
          ++counts_.resent;
        }
        receive(std::chrono::milliseconds(0));
      } else {
        const bool paced = greeted_ && next_ < batches_.count() && now < pace.due();
        const auto wait = paced ? std::chrono::duration_cast<std::chrono::milliseconds>(pace.due() - now) +
                                      std::chrono::milliseconds(1)
                                : std::chrono::milliseconds(100);
        receive(std::min(wait, std::chrono::milliseconds(100)));
      }
      if (SteadyClock::now() - heard_ > std::chrono::duration<double>(arguments_.timeout_s) &&
          (next_ > settled_ || !greeted_)) {
        if (++silences_ >= 3)
          throw UsageError("--to: found no answer from " + arguments_.to + " in " +
                           std::to_string(3 * arguments_.timeout_s) + " s; settled " +
                           std::to_string(settled_) + " of " + std::to_string(batches_.count()) + " batches");
        connect();
      }
      line.show(
          static_cast<double>(settled_) / static_cast<double>(std::max<std::size_t>(batches_.count(), 1)),
          std::to_string(counts_.events) + " events acknowledged");
    }
    counts_.print("acknowledged");
    return exit_done;
  }

 private:
  // libzmq connects again by itself and says so to its monitor: each connection begins with a hello, because
  // the host at its other end may be another process than before.
  void connect() {
    socket_ = zmq::socket_t(context_, zmq::socket_type::dealer);
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::ipv6, is_ipv6(arguments_.to));
    const std::string events = "inproc://connections-" + std::to_string(++connects_);
    if (zmq_socket_monitor(socket_.handle(), events.c_str(), ZMQ_EVENT_HANDSHAKE_SUCCEEDED) != 0)
      throw zmq::error_t();
    connections_ = zmq::socket_t(context_, zmq::socket_type::pair);
    connections_.set(zmq::sockopt::linger, 0);
    connections_.connect(events);
    socket_.connect(arguments_.to);
    greeted_ = false;
    heard_ = SteadyClock::now();
  }

  void greet() {
    const std::string hello = Json{{"v", 1}, {"hello", true}, {"producer", arguments_.producer}}.dump();
    socket_.send(zmq::buffer(hello), zmq::send_flags::dontwait);
    greeted_ = false;
  }

  bool send_next() {
    if (pending_.empty()) pending_ = batches_.frames(next_, arguments_.producer, first_seq_ + next_);
    const std::size_t bytes = payload_bytes(pending_);
    if (bytes > batch_bytes_max_)
      throw UsageError("--batch: found batches of " + std::to_string(bytes) + " bytes, allowed at most " +
                       std::to_string(batch_bytes_max_));
    if (bytes > credit_ || !send_frames(socket_, pending_, zmq::send_flags::dontwait)) return false;
    credit_ -= bytes;
    pending_.clear();
    ++next_;
    return true;
  }

  void go_back_to(std::uint64_t seq) {
    next_ =
        std::max<std::size_t>(settled_, seq > first_seq_ ? static_cast<std::size_t>(seq - first_seq_) : 0);
    pending_.clear();
  }

  void receive(std::chrono::milliseconds wait) {
    zmq::pollitem_t items[]{{socket_, 0, ZMQ_POLLIN, 0}, {connections_, 0, ZMQ_POLLIN, 0}};
    zmq::poll(items, 2, wait);
    zmq::message_t message;
    while (connections_.recv(message, zmq::recv_flags::dontwait))
      if (!message.more()) greet();  // an event is two frames
    while (socket_.recv(message, zmq::recv_flags::dontwait)) {
      heard_ = SteadyClock::now();
      silences_ = 0;
      take(Json::parse(message.to_string_view(), nullptr, false));
    }
  }

  void take(const Json& reply) {
    if (!reply.is_object()) return;
    if (reply.contains("nack")) return take_nack(reply);
    if (!greeted_ && reply.contains("batch_bytes_max")) {
      const auto last = reply.at("ack").get<std::uint64_t>();
      if (!first_seq_) first_seq_ = last + 1;
      if (last + 1 < first_seq_ + settled_)
        throw UsageError("--to: found a host that has forgotten what it acknowledged (batch " +
                         std::to_string(first_seq_ + settled_ - 1) + ", now " + std::to_string(last) +
                         "): it was started again and keeps no results");
      credit_ = reply.at("credit").get<std::uint64_t>();
      batch_bytes_max_ = reply.at("batch_bytes_max").get<std::uint64_t>();
      greeted_ = true;
      settle(last);
      go_back_to(last + 1);
      return;
    }
    if (reply.contains("credit")) credit_ += reply.at("credit").get<std::uint64_t>();
    if (reply.contains("ack")) settle(reply.at("ack").get<std::uint64_t>());
  }

  void settle(std::uint64_t seq) {
    while (first_seq_ && settled_ < batches_.count() && first_seq_ + settled_ <= seq) {
      counts_.events += batches_.rows_of(settled_++);
      ++counts_.batches;
    }
    next_ = std::max(next_, settled_);
  }

  void take_nack(const Json& reply) {
    const std::string reason = reply.value("reason", "");
    if (reply["nack"].is_null())
      throw UsageError("--producer: found '" + arguments_.producer + "' refused: " + reason +
                       (reason == "superseded" ? " by another connection of that name" : ""));
    if (reply.value("retry", false)) {
      if (!greeted_) return;  // to what an earlier connection left in the queue
      go_back_to(reply.value("expected", first_seq_ + settled_));
      std::this_thread::sleep_for(
          std::chrono::milliseconds(20));  // what it refuses for now it needs a moment for
      return;
    }
    if (reply.contains("rows")) {
      counts_.rows_refused += reply.value("rows_refused", std::uint64_t{0});
    } else {
      ++counts_.batches_refused;
    }
    if (complaints_++ < 5)
      std::cerr << "batch " << reply["nack"] << " refused: " << reason
                << (reply.contains("rows") ? reply["rows"].dump() : "") << '\n';
  }

  const SendArguments& arguments_;
  const Batches& batches_;
  zmq::context_t context_;
  zmq::socket_t socket_, connections_;
  std::vector<std::string> pending_;
  std::size_t next_ = 0, settled_ = 0, furthest_ = 0;  // indices of batches
  std::uint64_t first_seq_ = 0, credit_ = 0, batch_bytes_max_ = 0;
  bool greeted_ = false;
  int silences_ = 0, complaints_ = 0, connects_ = 0;
  SteadyClock::time_point heard_;
  Counts counts_;
};

int send(SendArguments& arguments) {
  if (arguments.producer.empty()) {
    char host[256] = "host";
    gethostname(host, sizeof host - 1);
    arguments.producer = std::string("send-") + host;
  }
  DataFile data = read_data(arguments.data, arguments.columns);
  if (data.records.count == 0)
    throw InvalidData(arguments.data + ":1: (rows): found none, allowed at least one");
  const Batches batches(arguments, std::move(data));
  try {
    return arguments.delivery == Delivery::lossy ? send_lossy(arguments, batches)
                                                 : AckedSender(arguments, batches).run();
  } catch (const zmq::error_t& error) {
    throw UsageError("--to: found '" + arguments.to + "': " + error.what());
  } catch (const Json::exception& error) {
    throw UsageError("--to: found an answer that is not Lanner's: " + std::string(error.what()));
  }
}

}  // namespace

void add_send(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<SendArguments>();
  CLI::App* command = app.add_subcommand("send", "Send a file's rows as a producer would");
  command->add_option("--to", arguments->to, "The host's ingest endpoint")->required();
  command->add_option("--stream", arguments->stream, "Which stream")->required();
  command->add_option("--data", arguments->data, "Rows: .csv, .npy, .npz, .arrow, .feather")->required();
  command
      ->add_option("--delivery", arguments->delivery,
                   "acked (default) or lossy, as the endpoint is configured")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Delivery>{{"acked", Delivery::acked}, {"lossy", Delivery::lossy}}));
  command->add_option("--batch", arguments->batch, "Rows a batch (default 1024)")
      ->check(CLI::Range(1u, 1u << 24));
  command->add_option("--rate", arguments->rate, "Events a second (default: as fast as it goes)")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--repeat", arguments->repeat, "Times the file is sent (default 1)")
      ->check(CLI::Range(1u, 1u << 30));
  command->add_option("--producer", arguments->producer,
                      "acked: the producer's name (default: send-HOSTNAME)");
  command
      ->add_option("--timeout", arguments->timeout_s,
                   "Seconds without an answer before it tries again (default 30)")
      ->check(CLI::PositiveNumber);
  command->add_flag("--time-now", arguments->time_now, "Stamp events with the time of sending");
  add_column_options(*command, arguments->columns);
  command->footer("Example: lanner send --to tcp://127.0.0.1:5555 --stream checkout --data today.csv");
  command->callback([&chosen, arguments] { chosen = [arguments] { return send(*arguments); }; });
}

}  // namespace lanner::host
