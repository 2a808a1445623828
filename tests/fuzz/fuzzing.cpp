#include "tests/fuzz/fuzzing.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <typeinfo>

// Only there in a build with a sanitizer, which ends the process by itself.
extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

namespace lanner::fuzz {
namespace {

constexpr std::uint64_t kFixedSeed = 20260921;
constexpr double kShareMin = 0.2;
constexpr unsigned kSecondsMax = 60;    // an input, also on a busy machine and under a sanitizer
constexpr long kMemoryMaxKb = 1 << 20;  // an input, beyond what the process had at the target's start
constexpr std::size_t kInputMax = 1 << 16;

double seconds_asked_for() {
  const char* text = std::getenv("LANNER_FUZZ_SECONDS");
  return text == nullptr ? 0 : std::max(0.0, std::strtod(text, nullptr));
}

std::uint64_t chosen_seed() {
  static const std::uint64_t seed = [] {
    std::uint64_t chosen = kFixedSeed;
    if (const char* text = std::getenv("LANNER_FUZZ_SEED"); text != nullptr && *text != '\0') {
      chosen = std::strtoull(text, nullptr, 10);
    } else if (seconds_asked_for() > 0) {
      std::random_device random;
      chosen = std::uint64_t{random()} << 32 | random();
    }
    if (seconds_asked_for() > 0) std::cerr << "LANNER_FUZZ_SEED=" << chosen << "\n";
    return chosen;
  }();
  return seed;
}

/// SplitMix64 (Steele et al. 2014): an iteration's numbers follow from the seed and the iteration alone.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t iteration) : state_(seed + iteration * 0xD1342543DE82EF95u) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }

 private:
  std::uint64_t state_;
};

Input mutated(const std::vector<Input>& corpus, std::span<const std::string_view> words, Random& random) {
  Input bytes = corpus[random.below(corpus.size())];
  const auto place = [&bytes](std::size_t at) { return bytes.begin() + static_cast<std::ptrdiff_t>(at); };
  // Lengths and counts that overflow something, or are off by one.
  constexpr std::uint64_t kNumbers[] = {0,
                                        1,
                                        2,
                                        0x7F,
                                        0x80,
                                        0xFF,
                                        0x7FFF,
                                        0xFFFF,
                                        0x7FFFFFFF,
                                        0x80000000,
                                        0xFFFFFFFF,
                                        0x7FFFFFFFFFFFFFFF,
                                        0x8000000000000000,
                                        ~std::uint64_t{0}};
  const std::size_t changes = std::size_t{1} << random.below(4);
  for (std::size_t change = 0; change < changes; ++change) {
    if (bytes.empty()) bytes.push_back(static_cast<std::byte>(random.next()));
    const std::size_t at = random.below(bytes.size());
    const std::size_t run = std::min<std::size_t>(1 + random.below(16), bytes.size() - at);
    switch (random.below(9)) {
      case 0:
        bytes[at] ^= static_cast<std::byte>(1u << random.below(8));
        break;
      case 1:
        for (std::size_t k = at; k < at + run; ++k) bytes[k] = static_cast<std::byte>(random.next());
        break;
      case 2: {
        const std::uint64_t number = kNumbers[random.below(std::size(kNumbers))] + random.below(2);
        std::memcpy(bytes.data() + at, &number,
                    std::min<std::size_t>(std::size_t{1} << random.below(4), bytes.size() - at));
        break;
      }
      case 3:
        bytes.erase(place(at), place(at + run));
        break;
      case 4: {
        const Input piece(place(at), place(at + run));
        const std::size_t to = random.below(bytes.size() + 1), times = random.below(20) == 0 ? 200 : 1;
        for (std::size_t i = 0; i < times; ++i) bytes.insert(place(to), piece.begin(), piece.end());
        break;
      }
      case 5:
      case 6: {
        if (words.empty()) break;
        const std::string_view word = words[random.below(words.size())];
        const auto as_bytes = std::as_bytes(std::span(word.data(), word.size()));
        if (random.below(2) == 0) bytes.erase(place(at), place(std::min(bytes.size(), at + word.size())));
        bytes.insert(place(at), as_bytes.begin(), as_bytes.end());
        break;
      }
      case 7: {
        const Input& other = corpus[random.below(corpus.size())];
        if (other.empty()) break;
        const std::size_t from = random.below(other.size());
        const std::size_t length = std::min<std::size_t>(1 + random.below(64), other.size() - from);
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
        bytes.insert(place(at), begin, begin + static_cast<std::ptrdiff_t>(length));
        break;
      }
      default:
        if (random.below(4) == 0) bytes.resize(at);
        break;
    }
    if (bytes.size() > kInputMax) bytes.resize(kInputMax);
  }
  return bytes;
}

// What is being fed, for the handlers below: they may do little more than write it.
const Input* current = nullptr;
std::uint64_t current_iteration = 0;
std::array<char, 256> current_file{};

void write_current() {
  if (current == nullptr) return;
  const int file = ::open(current_file.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return;
  std::size_t written = 0;
  while (written < current->size()) {
    const ssize_t got = ::write(file, current->data() + written, current->size() - written);
    if (got <= 0) break;
    written += static_cast<std::size_t>(got);
  }
  ::close(file);
}

void say_current() {
  write_current();
  std::array<char, 512> text;
  const int length =
      std::snprintf(text.data(), text.size(), "\nLANNER_FUZZ_SEED=%llu, iteration %llu, input in %s\n",
                    static_cast<unsigned long long>(chosen_seed()),
                    static_cast<unsigned long long>(current_iteration), current_file.data());
  if (length > 0 && ::write(STDERR_FILENO, text.data(), static_cast<std::size_t>(length)) < 0) return;
}

void ended_by(int signal) {
  std::signal(signal, SIG_DFL);
  say_current();
  std::raise(signal);
}

void watch_for_the_end() {
  static const bool watching = [] {
    // A stack of its own: endless recursion has used up the other.
    static std::array<std::byte, 1 << 16> memory;
    stack_t stack{};
    stack.ss_sp = memory.data();
    stack.ss_size = memory.size();
    ::sigaltstack(&stack, nullptr);
    struct sigaction action {};
    action.sa_handler = ended_by;
    action.sa_flags = SA_ONSTACK;
    for (const int signal : {SIGABRT, SIGALRM}) ::sigaction(signal, &action, nullptr);
    if (__sanitizer_set_death_callback != nullptr) {
      __sanitizer_set_death_callback(say_current);
    } else {
      for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::sigaction(signal, &action, nullptr);
    }
    return true;
  }();
  static_cast<void>(watching);
}

long memory_peak_kb() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

Input input(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void fuzz(const std::vector<Input>& corpus, std::span<const std::string_view> words,
          const std::function<void(Bytes)>& feed) {
  const std::uint64_t seed = chosen_seed();
  const auto& unit = *::testing::UnitTest::GetInstance();
  const double share = std::max(kShareMin, seconds_asked_for() / std::max(1, unit.test_to_run_count()));
  const auto& test = *unit.current_test_info();
  const std::string name = std::string(test.test_suite_name()) + "." + test.name();
  const std::string file =
      (std::filesystem::temp_directory_path() / ("lanner-fuzz-" + name + "-" + std::to_string(::getpid())))
          .string();
  ASSERT_LT(file.size(), current_file.size());
  std::copy_n(file.c_str(), file.size() + 1, current_file.begin());
  watch_for_the_end();

  const long memory_at_start_kb = memory_peak_kb();
  std::uint64_t iteration = 0;
  const auto survives = [&](const Input& bytes) {
    const Input exact(bytes.begin(), bytes.end());
    current = &exact;
    current_iteration = iteration++;
    ::alarm(kSecondsMax);
    std::string thrown;
    try {
      feed(exact);
    } catch (const std::exception& error) {
      thrown = std::string(typeid(error).name()) + ": " + error.what();
    } catch (...) {
      thrown = "not a std::exception";
    }
    ::alarm(0);
    const bool is_greedy = memory_peak_kb() - memory_at_start_kb > kMemoryMaxKb;
    const bool is_fine = thrown.empty() && !is_greedy && !::testing::Test::HasFailure();
    if (!is_fine) {
      write_current();
      ADD_FAILURE() << (thrown.empty() ? "" : "thrown: " + thrown + "\n")
                    << (is_greedy ? "it took more than a gigabyte\n" : "") << "LANNER_FUZZ_SEED=" << seed
                    << ", iteration " << current_iteration << ", input in " << file;
    }
    current = nullptr;
    return is_fine;
  };

  if (const char* again = std::getenv("LANNER_FUZZ_INPUT"); again != nullptr && *again != '\0') {
    std::ostringstream text;
    text << std::ifstream(again, std::ios::binary).rdbuf();
    survives(input(text.str()));
    return;
  }

  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(share);
  const auto has_time = [&] { return std::chrono::steady_clock::now() < end; };
  for (const Input& good : corpus)
    if (!survives(good)) return;
  // Some cuts of each, so that long inputs don't take all the time there is.
  constexpr std::size_t kCuts = 64;
  for (const Input& good : corpus)
    for (std::size_t cut = 0; cut < good.size() && has_time();
         cut += std::max<std::size_t>(1, good.size() / kCuts))
      if (!survives({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut)})) return;
  while (has_time()) {
    Random random(seed, iteration);
    if (!survives(mutated(corpus, words, random))) return;
  }
  if (seconds_asked_for() > 0) std::cerr << name << ": " << iteration << " inputs\n";
}

}  // namespace lanner::fuzz
