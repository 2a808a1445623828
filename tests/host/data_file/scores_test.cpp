// What is written, read back; and names that are no data files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>

#include "tests/host/data_file/data_folder.hpp"

namespace lanner::host {
namespace {

using ::testing::ElementsAre;

struct Scores {
  std::vector<float> score;
  std::vector<double> p_value, threshold;
  std::vector<std::uint8_t> flag;
};

/// Floats of every size and sign, the least and the largest, and those that a double in between rounds
/// wrongly.
Scores many_scores() {
  Scores out;
  const auto add = [&out](float score, double p_value, double threshold) {
    out.score.push_back(score);
    out.p_value.push_back(p_value);
    out.threshold.push_back(threshold);
    out.flag.push_back(static_cast<std::uint8_t>(out.score.size() % 2));
  };
  using Float = std::numeric_limits<float>;
  using Double = std::numeric_limits<double>;
  add(0, 0, 0);
  add(-0.0f, 1, 5e-324);
  add(Float::quiet_NaN(), 1.0 / 3, Double::quiet_NaN());
  add(Float::infinity(), Double::min(), Double::infinity());
  add(-Float::infinity(), Double::max(), -Double::infinity());
  add(Float::denorm_min(), Double::denorm_min(), 0.001);
  add(Float::max(), 0.1, 1e300);
  add(7.038531e-26f, 0.1 + 0.2, 1e-300);  // half-way between two floats, once it is a double
  std::mt19937_64 random(3);
  for (int i = 0; i < 20'000; ++i) {
    const auto score = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    const auto p_value = std::bit_cast<double>(random());
    if (std::isnan(score) || std::isnan(p_value)) continue;
    add(score, p_value, 1.0 / static_cast<double>(random()));
  }
  return out;
}

template <class T>
void expect_same(T found, T expected) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(found));
  } else {
    EXPECT_EQ(std::memcmp(&found, &expected, sizeof found), 0) << found << " is not " << expected;
  }
}

std::string contents(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

TEST(WriteScores, ReadBackToTheSameBits) {
  const DataFolder folder;
  const Scores scores = many_scores();
  for (const char* name : {"scores.csv", "scores.npy"}) {
    SCOPED_TRACE(name);
    const auto path = folder.path() / name;
    write_scores(path, scores.score, scores.p_value, scores.threshold, scores.flag);
    const DataFile file = read_data(path);
    expect_consistent(file);
    EXPECT_THAT(names(file.schema), ElementsAre("score", "p_value", "threshold", "flag"));
    ASSERT_EQ(file.records.count, scores.score.size());
    for (std::size_t row = 0; row < scores.score.size(); ++row) {
      expect_same(static_cast<float>(file.records.number(row, 0)), scores.score[row]);
      expect_same(file.records.number(row, 1), scores.p_value[row]);
      expect_same(file.records.number(row, 2), scores.threshold[row]);
      EXPECT_EQ(file.records.number(row, 3), scores.flag[row]);
    }
  }
}

TEST(WriteScores, TheTextOfAFloatIsThatFloat) {
  const DataFolder folder;
  const Scores scores = many_scores();
  write_scores(folder.path() / "scores.csv", scores.score, scores.p_value, scores.threshold, scores.flag);
  std::istringstream lines(contents(folder.path() / "scores.csv"));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "score,p_value,threshold,flag");
  for (const float score : scores.score) {
    ASSERT_TRUE(std::getline(lines, line));
    float read = 0;
    std::from_chars(line.data(), line.data() + line.find(','), read);
    expect_same(read, score);
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(WriteScores, TheArrayIsAsNumPyWritesIt) {
  const DataFolder folder;
  const auto path = folder.path() / "scores.npy";
  const std::vector<float> score{1.5f, -2};
  const std::vector<double> p_value{0.25, 1}, threshold{0.001, 0.001};
  const std::vector<std::uint8_t> flag{0, 1};
  write_scores(path, score, p_value, threshold, flag);
  const std::string bytes = contents(path);
  EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\0\xB6\0", 10));
  EXPECT_TRUE(bytes.substr(10).starts_with(
      "{'descr': [('score', '<f4'), ('p_value', '<f8'), ('threshold', '<f8'), ('flag', '|u1')], "
      "'fortran_order': False, 'shape': (2,), }"));
  EXPECT_EQ(bytes.size(), 192u + 2 * 21) << "data begin at a multiple of 64";
  EXPECT_EQ(bytes[191], '\n');
  EXPECT_EQ(bytes.substr(192, 4), std::string("\0\0\xC0\x3F", 4));
  EXPECT_EQ(bytes.back(), '\1');
}

TEST(WriteScores, NoRows) {
  const DataFolder folder;
  for (const char* name : {"scores.csv", "scores.npy"}) {
    write_scores(folder.path() / name, {}, {}, {}, {});
    const DataFile file = read_data(folder.path() / name);
    EXPECT_EQ(file.records.count, 0u);
    EXPECT_EQ(file.schema.fields.size(), 4u);
  }
}

TEST(WriteScores, ReplacesAndLeavesNothingBeside) {
  const DataFolder folder;
  const auto path = folder.write("scores.csv", "what was there before, and it is longer than what comes\n");
  const std::vector<float> score{1};
  const std::vector<double> one{1};
  const std::vector<std::uint8_t> flag{0};
  write_scores(path, score, one, one, flag);
  EXPECT_EQ(contents(path), "score,p_value,threshold,flag\n1,1,1,0\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(WriteScores, WrongNamesAndLengths) {
  const DataFolder folder;
  const std::vector<float> score{1};
  const std::vector<double> one{1};
  const std::vector<std::uint8_t> flag{0};
  for (const char* name : {"scores.parquet", "scores", "scores.npz"})
    EXPECT_THROW(write_scores(folder.path() / name, score, one, one, flag), InvalidData) << name;
  EXPECT_THROW(write_scores(folder.path() / "scores.csv", score, one, {}, flag), std::invalid_argument);
  EXPECT_THROW(write_scores(folder.path() / "nowhere" / "scores.csv", score, one, one, flag),
               std::system_error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

std::string fault(const std::filesystem::path& path) {
  try {
    read_data(path);
    return "";
  } catch (const InvalidData& error) {
    return error.what();
  }
}

TEST(ReadData, WhatIsNoFileIsSaid) {
  const DataFolder folder;
  const std::string at = folder.path().string();
  EXPECT_EQ(fault(at + "/nowhere.csv"), at + "/nowhere.csv: No such file or directory");
  EXPECT_EQ(fault(at + "/nowhere.npz:X"), at + "/nowhere.npz: No such file or directory");
  EXPECT_EQ(
      fault(folder.write("rows.parquet", "PAR1")),
      at + "/rows.parquet: found a name that ends in '.parquet', allowed .csv, .npy, .npz, .arrow, .feather");
  EXPECT_EQ(fault(folder.write("rows", "a\n")),
            at + "/rows: found a name that ends in '', allowed .csv, .npy, .npz, .arrow, .feather");
  std::filesystem::create_directory(folder.path() / "folder.csv");
  EXPECT_EQ(fault(at + "/folder.csv"), at + "/folder.csv: not a regular file");
}

TEST(ReadData, APipeThatNobodyWritesToIsNotWaitedFor) {
  const DataFolder folder;
  const std::string pipe = (folder.path() / "pipe.csv").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(fault(pipe), pipe + ": not a regular file");
}

}  // namespace
}  // namespace lanner::host
