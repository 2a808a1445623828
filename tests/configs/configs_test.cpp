// Every shipped configuration is run by the real host.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::vector<std::string> configurations() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(LANNER_SOURCE_DIR "/configs"))
    if (entry.path().extension() == ".yaml") found.push_back(entry.path().string());
  return found;
}

class Configuration : public ::testing::TestWithParam<std::string> {};

TEST_P(Configuration, LearnsAndScores) {
  std::string pattern = (fs::temp_directory_path() / "lanner-config-XXXXXX").string();
  ASSERT_TRUE(mkdtemp(pattern.data()));
  const fs::path folder = pattern;
  const std::string command = LANNER_PYTHON " " LANNER_SOURCE_DIR
                                            "/tests/configs/run_config.py " LANNER_BINARY_DIR "/bin/lanner " +
                              GetParam() + " " + folder.string();
  const int status = std::system(command.c_str());
  std::stringstream log;
  log << std::ifstream(folder / "host.log").rdbuf();
  fs::remove_all(folder);
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127))
    GTEST_SKIP() << "no python3 with pyzmq here";
  EXPECT_EQ(status, 0) << log.str();
}

INSTANTIATE_TEST_SUITE_P(Shipped, Configuration, ::testing::ValuesIn(configurations()),
                         [](const auto& info) { return fs::path(info.param).stem().string(); });

}  // namespace
