#include "host/results/results.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "host/results/encoder.hpp"
#include "host/results/file.hpp"
#include "host/results/journal.hpp"

namespace lanner::host {
namespace {

constexpr std::size_t kBufferBytes = 1u << 20;
constexpr std::int64_t kSecond = 1'000'000'000;

class MachineClock final : public Clock {
 public:
  std::int64_t unix_ns() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  std::int64_t steady_ns() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

const Clock& machine_clock() {
  static const MachineClock clock;
  return clock;
}

std::unique_ptr<RowEncoder> make_encoder(ResultsFormat format) {
  return format == ResultsFormat::csv ? make_csv_encoder() : make_arrow_encoder();
}

/// A stream may be called anything; a file may not.
std::string file_stem(std::string_view stream) {
  std::string out;
  for (const char c : stream) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || (c == '.' && !out.empty());
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  constexpr std::size_t kStemMax =
      160;  // with the rest of the name below the 255 bytes that file systems take
  if (out.size() > kStemMax) out.resize(kStemMax);
  return out;
}

std::string utc_text(std::int64_t unix_ns) {
  using namespace std::chrono;
  const auto seconds = floor<std::chrono::seconds>(sys_time<nanoseconds>(nanoseconds(unix_ns)));
  const auto day = floor<days>(seconds);
  const year_month_day date(day);
  const hh_mm_ss time(seconds - day);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count());
}

/// Cuts a file that a crash left to `bytes`, and completes it.
void settle_file(const std::filesystem::path& path, std::uint64_t bytes, RowEncoder& encoder) {
  DurableFile file(path, DurableFile::Open::create_or_keep);
  if (file.size() < bytes)
    spdlog::error("results: {} has {} bytes, {} were synced: it was cut or replaced by someone else",
                  path.string(), file.size(), bytes);
  std::string left = read_whole(path);
  if (left.size() > bytes) left.resize(bytes);
  const std::optional<std::size_t> resumed = encoder.resume(left);
  if (!resumed) {
    spdlog::error("results: {} is not a results file of this version; it is left as it is", path.string());
    return;
  }
  const std::size_t whole = *resumed;
  if (whole == 0) {
    file.close();
    if (std::error_code error; !std::filesystem::remove(path, error) && error)
      fail(path, "can't remove a file with no rows", error.value());
    return;
  }
  if (whole != file.size()) {
    spdlog::info("results: {}: {} bytes beyond the last sync were cut", path.string(), file.size() - whole);
    file.cut(whole);
  }
  std::string end;
  encoder.end(end);
  file.append(end);
  file.sync();
  file.close();
  if (encoder.open_ending() == encoder.closed_ending()) return;
  std::string closed = path.string();
  closed.resize(closed.size() - encoder.open_ending().size());
  closed += encoder.closed_ending();
  if (std::error_code error; std::filesystem::rename(path, closed, error), error)
    fail(closed, "can't rename into place", error.value());
}

/// Brings the directory to the state of the journal's last record.
void recover(const std::filesystem::path& directory, Journal& journal) {
  const Journal::Positions known = journal.files();
  const auto encoder_for = [](std::string_view name) -> std::unique_ptr<RowEncoder> {
    if (name.ends_with(".csv")) return make_csv_encoder();
    if (name.ends_with(".arrow.part")) return make_arrow_encoder();
    return nullptr;
  };
  for (const auto& [name, bytes] : known) {
    const std::filesystem::path path = directory / name;
    const auto encoder = encoder_for(name);
    std::error_code error;
    if (encoder && std::filesystem::is_regular_file(path, error)) settle_file(path, bytes, *encoder);
    journal.forget(name);
  }
  // Files that no journal knows (it was lost, or they were put here): a torn end is cut, nothing else is
  // touched.
  std::vector<std::filesystem::path> strangers;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || known.contains(name)) continue;
    if (name.ends_with(".arrow.part")) strangers.push_back(entry.path());
    if (!name.ends_with(".csv")) continue;
    std::FILE* file = std::fopen(entry.path().c_str(), "rb");
    if (file == nullptr) continue;
    const bool torn = std::fseek(file, -1, SEEK_END) == 0 && std::fgetc(file) != '\n';
    std::fclose(file);
    if (torn) strangers.push_back(entry.path());
  }
  for (const std::filesystem::path& path : strangers)
    settle_file(path, std::filesystem::file_size(path), *encoder_for(path.filename().string()));
  sync_directory(directory);
  journal.commit();
}

class Sink final : public ResultsSink {
 public:
  Sink(const ResultsOptions& options, const Clock& clock)
      : options_(options),
        clock_(clock),
        lock_((prepare(options.directory), options.directory)),
        journal_(options.directory / "producers.journal"),
        found_(journal_.producers()) {
    recover(options_.directory, journal_);
    if (options_.keep == Keep::none)
      spdlog::warn("results: {}: no rows are kept; positions of producers only", options_.directory.string());
    if (options_.keep == Keep::flagged)
      spdlog::warn("results: {}: flagged rows only are kept; the others are no part of the durable point",
                   options_.directory.string());
  }

  ~Sink() override {
    if (unsynced_) return;  // the next start cuts what was never synced
    try {
      for (auto& [stream, output] : outputs_) {
        finish(output);
        journal_.forget(output.name);
      }
      journal_.commit();
    } catch (const std::exception& error) {
      spdlog::warn("results: {}; the next start completes the file", error.what());
    }
  }

  void append(const ScoredRows& rows) override {
    if (options_.keep == Keep::none) return;
    std::size_t first = 0;
    while (first < rows.count && !is_kept(rows, first, options_.keep)) ++first;
    if (first == rows.count) return;
    Output& output = output_of(rows.stream);
    unsynced_ = true;
    rows_written_ += output.encoder->append(rows, options_.keep, output.buffer);
    if (output.buffer.size() >= kBufferBytes) write(output);
  }

  void settle(std::string_view producer, std::uint64_t seq) override {
    unsynced_ = true;
    journal_.settle(producer, seq);
  }

  void sync() override {
    for (auto& [stream, output] : outputs_) {
      output.encoder->flush(output.buffer);
      write(output);
      output.file.sync();
      if (output.file.size() != output.journalled) {
        journal_.extend(output.name, output.file.size());
        output.journalled = output.file.size();
      }
    }
    journal_.commit();
    unsynced_ = false;
    rotate();
  }

  const std::map<std::string, std::uint64_t, std::less<>>& settled() const override { return found_; }
  std::uint64_t rows_written() const override { return rows_written_; }

 private:
  struct Output {
    std::string name;
    DurableFile file;
    std::unique_ptr<RowEncoder> encoder;
    std::string buffer;
    std::uint64_t journalled = 0;
    std::int64_t opened_ns = 0;
  };

  static void prepare(const std::filesystem::path& directory) {
    std::error_code error;
    const bool created = std::filesystem::create_directories(directory, error);
    if (error) fail(directory, "can't create the directory", error.value());
    if (created) sync_directory(std::filesystem::absolute(directory).parent_path());
  }

  Output& output_of(std::string_view stream) {
    if (const auto found = outputs_.find(stream); found != outputs_.end()) return found->second;
    Output output;
    output.encoder = make_encoder(options_.format);
    const std::string stem = fmt::format("{}-{}", file_stem(stream), utc_text(clock_.unix_ns()));
    for (;;) {
      const std::string numbered = fmt::format("{}-{:04}", stem, ++counter_);
      output.name = numbered + std::string(output.encoder->open_ending());
      if (!std::filesystem::exists(options_.directory / output.name) &&
          !std::filesystem::exists(options_.directory /
                                   (numbered + std::string(output.encoder->closed_ending()))))
        break;
    }
    // Known before it exists: a crash leaves no file that the journal couldn't cut. Nothing else is committed
    // by this.
    journal_.announce(output.name);
    output.file = DurableFile(options_.directory / output.name, DurableFile::Open::create_new);
    sync_directory(options_.directory);
    output.opened_ns = clock_.steady_ns();
    output.encoder->begin(output.buffer);
    return outputs_.emplace(stream, std::move(output)).first->second;
  }

  static void write(Output& output) {
    output.file.append(output.buffer);
    output.buffer.clear();
  }

  void rotate() {
    for (auto at = outputs_.begin(); at != outputs_.end();) {
      const bool is_old = clock_.steady_ns() - at->second.opened_ns >= options_.rotate_s * kSecond;
      if (!is_old && at->second.file.size() < options_.rotate_bytes) {
        ++at;
        continue;
      }
      finish(at->second);
      journal_.forget(at->second.name);
      at = outputs_.erase(at);
    }
    journal_.commit();
  }

  /// Only after a sync: then the file holds what the journal says.
  void finish(Output& output) {
    output.encoder->end(output.buffer);
    write(output);
    output.file.sync();
    output.file.close();
    const std::string_view open = output.encoder->open_ending(), closed = output.encoder->closed_ending();
    if (open == closed) return;
    const std::filesystem::path from = options_.directory / output.name;
    const std::filesystem::path to =
        options_.directory / (output.name.substr(0, output.name.size() - open.size()) + std::string(closed));
    if (std::error_code error; std::filesystem::rename(from, to, error), error)
      fail(to, "can't rename into place", error.value());
    sync_directory(options_.directory);
  }

  ResultsOptions options_;
  const Clock& clock_;
  DirectoryLock lock_;
  Journal journal_;
  Journal::Positions found_;
  std::map<std::string, Output, std::less<>> outputs_;
  std::uint64_t rows_written_ = 0;
  unsigned counter_ = 0;
  bool unsynced_ = false;
};

}  // namespace

std::unique_ptr<ResultsSink> open_results(const ResultsOptions& options, const Clock* clock) {
  return std::make_unique<Sink>(options, clock != nullptr ? *clock : machine_clock());
}

}  // namespace lanner::host
