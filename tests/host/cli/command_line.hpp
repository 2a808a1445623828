// The real binary, run in a folder of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

namespace lanner::host {

struct Outcome {
  int status;
  std::string out, err;
};

class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("lanner-cli-" + std::to_string(::getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }

  Outcome run(const std::string& arguments, const std::string& environment = "") const {
    const std::string command =
        environment + " " LANNER_BINARY_DIR "/bin/lanner " + arguments + " 2>" + path("stderr");
    FILE* pipe = popen(command.c_str(), "r");
    Outcome outcome;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
      outcome.out.append(buffer.data(), n);
    const int status = pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::stringstream err;
    err << std::ifstream(path("stderr")).rdbuf();
    outcome.err = err.str();
    return outcome;
  }

  // Two correlated columns.
  std::string rows(int n, const std::string& name = "rows.csv", const std::string& more = "") const {
    std::mt19937 generator(7 + static_cast<unsigned>(n));
    std::normal_distribution<double> normal;
    std::ostringstream text;
    text.precision(17);
    text << "a,b\n";
    for (int i = 0; i < n; ++i) {
      const double a = normal(generator);
      text << a << ',' << a + 0.1 * normal(generator) << '\n';
    }
    text << more;
    return write(name, text.str());
  }

  std::filesystem::path folder_;
};

}  // namespace lanner::host
