// A results directory to test in, and what can be read from it.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "host/arrow/reader.hpp"
#include "host/results/results.hpp"

namespace lanner::host {

constexpr std::string_view kHeader =
    "producer,seq,row,id,entity,time,score,p_value,flag,threshold,model,model_hash\n";

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "lanner-results-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  ResultsOptions options(ResultsFormat format = ResultsFormat::csv) const {
    ResultsOptions options;
    options.directory = path_;
    options.format = format;
    return options;
  }
  /// Names of the files, the journal excepted, in order.
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      if (entry.path().filename() != "producers.journal") out.push_back(entry.path().filename().string());
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path_ / name, std::ios::binary);
    std::ostringstream out;
    out << file.rdbuf();
    return out.str();
  }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

/// A batch of `count` rows, its numbers made from its seq.
struct Made {
  std::vector<float> score;
  std::vector<double> p_value, threshold;
  std::vector<std::uint8_t> flag;
  ScoredRows rows;

  Made(std::string_view producer, std::uint64_t seq, std::size_t count) {
    for (std::size_t row = 0; row < count; ++row) {
      score.push_back(static_cast<float>(seq) + static_cast<float>(row) / 7);
      p_value.push_back(1.0 / (3.0 + static_cast<double>(row)));
      threshold.push_back(1e-3);
      flag.push_back(row % 2);
    }
    rows.stream = "checkout";
    rows.producer = producer;
    rows.seq = seq;
    rows.count = count;
    rows.model = "neighbours";
    rows.model_hash = "sha256:00";
    rows.score = score;
    rows.p_value = p_value;
    rows.threshold = threshold;
    rows.flag = flag;
  }
};

}  // namespace lanner::host
