// kill -9 at random moments: what was synced is there exactly once, nothing is torn, and the positions agree
// with the rows. A child writes and says on a pipe what it has synced; the parent kills it, opens again, and
// goes on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "tests/host/results/directory.hpp"

namespace lanner::host {
namespace {

constexpr std::size_t kRows = 37;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr unsigned kKillMaxUs = 800'000;  // in which it gets as far
#else
constexpr unsigned kKillMaxUs = 150'000;
#endif
constexpr const char* kProducers[] = {"till-7", "till,8"};

ResultsOptions options(const Directory& directory, ResultsFormat format) {
  ResultsOptions options = directory.options(format);
  options.rotate_bytes = 60'000;
  return options;
}

/// Continues every producer from its settled position for ever, writing each synced position to the pipe.
[[noreturn]] void write_until_killed(const ResultsOptions& options, int pipe) {
  auto sink = open_results(options);
  std::map<std::string, std::uint64_t, std::less<>> next;
  for (const char* producer : kProducers) {
    const auto found = sink->settled().find(producer);
    next[producer] = found == sink->settled().end() ? 1 : found->second + 1;
  }
  for (std::uint64_t round = 0;; ++round) {
    for (const char* producer : kProducers) {
      // Now and then several batches a sync, now and then more than the buffer holds.
      for (std::uint64_t batch = 0; batch < 1 + round % 3; ++batch) {
        const std::uint64_t seq = next[producer]++;
        sink->append(Made(producer, seq, kRows).rows);
        sink->settle(producer, seq);
      }
    }
    sink->sync();
    std::uint64_t synced[2];
    for (std::size_t i = 0; i < 2; ++i) synced[i] = next[kProducers[i]] - 1;
    if (::write(pipe, synced, sizeof synced) != sizeof synced) ::_exit(1);
  }
}

using Event = std::tuple<std::string, std::uint64_t, std::uint64_t>;

void collect_csv(const std::string& text, std::multiset<Event>& events) {
  ASSERT_FALSE(text.empty());
  ASSERT_EQ(text.back(), '\n');
  std::istringstream lines(text);
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  ASSERT_EQ(line + "\n", kHeader);
  while (std::getline(lines, line)) {
    const bool quoted = line.starts_with("\"till,8\",");
    ASSERT_TRUE(quoted || line.starts_with("till-7,")) << line;
    std::istringstream rest(line.substr(quoted ? 9 : 7));
    std::uint64_t seq, row;
    char comma;
    ASSERT_TRUE(rest >> seq >> comma >> row) << line;
    ASSERT_TRUE(line.ends_with(",neighbours,sha256:00")) << line;
    events.emplace(quoted ? "till,8" : "till-7", seq, row);
  }
}

void collect_arrow(const std::string& bytes, std::multiset<Event>& events) {
  arrow::Reader reader;
  ASSERT_EQ(reader.read_file(std::as_bytes(std::span(bytes)), 1'000'000), "");
  for (std::size_t batch = 0; batch < reader.batches(); ++batch) {
    for (std::size_t row = 0; row < reader.rows_of(batch); ++row) {
      std::string_view producer;
      ASSERT_TRUE(reader.text_at(reader.fields()[0], reader.column(batch, 0), row, producer));
      events.emplace(producer, arrow::value_at<std::uint64_t>(reader.column(batch, 1).data, row),
                     arrow::value_at<std::uint32_t>(reader.column(batch, 2).data, row));
    }
  }
}

void kill_and_look(ResultsFormat format, int kills) {
  Directory directory;
  std::mt19937_64 random(format == ResultsFormat::csv ? 1 : 2);
  std::map<std::string, std::uint64_t, std::less<>> acknowledged;
  for (int kill = 0; kill < kills; ++kill) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      write_until_killed(options(directory, format), pipe[1]);
    }
    ::close(pipe[1]);
    ::usleep(static_cast<useconds_t>(random() % kKillMaxUs));
    ::kill(child, SIGKILL);
    int status;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";
    std::uint64_t synced[2];
    while (::read(pipe[0], synced, sizeof synced) == sizeof synced) {
      for (std::size_t i = 0; i < 2; ++i) acknowledged[kProducers[i]] = synced[i];
    }
    ::close(pipe[0]);

    std::map<std::string, std::uint64_t, std::less<>> settled;
    {
      const auto sink = open_results(options(directory, format));
      settled = sink->settled();
    }
    std::multiset<Event> events;
    for (const std::string& name : directory.names()) {
      if (format == ResultsFormat::csv) {
        collect_csv(directory.read(name), events);
      } else {
        ASSERT_TRUE(name.ends_with(".arrow")) << name;
        collect_arrow(directory.read(name), events);
      }
      if (::testing::Test::HasFatalFailure()) return;
    }
    std::size_t expected = 0;
    for (const char* producer : kProducers) {
      ASSERT_GE(settled[producer], acknowledged[producer]);
      for (std::uint64_t seq = 1; seq <= settled[producer]; ++seq) {
        for (std::uint64_t row = 0; row < kRows; ++row) {
          ASSERT_EQ(events.count({producer, seq, row}), 1u) << producer << ":" << seq << ":" << row;
        }
      }
      expected += settled[producer] * kRows;
    }
    ASSERT_EQ(events.size(), expected);
  }
  EXPECT_GT(acknowledged["till-7"], static_cast<std::uint64_t>(kills))
      << "killed before anything was written";
}

TEST(Crash, CsvRowsExactlyOnce) {
  kill_and_look(ResultsFormat::csv, 30);
}
TEST(Crash, ArrowRowsExactlyOnce) {
  kill_and_look(ResultsFormat::arrow, 30);
}

}  // namespace
}  // namespace lanner::host
