#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <system_error>
#include <thread>

#include "engine/model_file/tensors.hpp"

namespace lanner::engine {
namespace {

namespace fs = std::filesystem;

class ModelFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "lanner-model-file-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static std::vector<std::byte> filled(std::size_t size, int value) {
    return std::vector<std::byte>(size, static_cast<std::byte>(value));
  }
  fs::path folder_;
};

TEST_F(ModelFile, IsReadBackAndLeavesNothingBeside) {
  const auto path = folder_ / "m.lanner";
  for (const auto& bytes : {filled(0, 0), filled(3, 1), filled(100'000, 2)}) {
    write_file(path, bytes);
    EXPECT_EQ(read_file(path), bytes);
    EXPECT_EQ(files(), 1u);
  }
}

TEST_F(ModelFile, FollowsALinkRatherThanReplacingIt) {
  write_file(folder_ / "m-1.lanner", filled(3, 1));
  fs::create_symlink("m-1.lanner", folder_ / "current.lanner");
  write_file(folder_ / "current.lanner", filled(4, 2));
  EXPECT_TRUE(fs::is_symlink(folder_ / "current.lanner"));
  EXPECT_EQ(read_file(folder_ / "m-1.lanner"), filled(4, 2));
}

TEST_F(ModelFile, ErrorsNameThePath) {
  const auto error = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const std::system_error& problem) {
      return problem.what();
    }
    return "";
  };
  const auto absent = folder_ / "absent" / "m.lanner";
  EXPECT_NE(error([&] { read_file(absent); }).find(absent.string()), std::string::npos);
  EXPECT_NE(error([&] { write_file(absent, {}); }).find(absent.string()), std::string::npos);
  EXPECT_NE(error([&] { read_file(folder_); }).find(folder_.string()), std::string::npos);
  EXPECT_NE(error([&] { write_file(folder_, {}); }).find(folder_.string()), std::string::npos);
  EXPECT_NE(error([&] { write_file("/dev/null", {}); }).find("/dev/null"), std::string::npos);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const auto fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_NE(error([&] { read_file(fifo); }).find(fifo.string()), std::string::npos) << "and it doesn't wait";
}

TEST_F(ModelFile, AFullDiskLeavesTheOldFile) {
  // The size limit of a process stands in for a full disk: the write fails half way.
  const auto path = folder_ / "m.lanner";
  write_file(path, filled(1000, 1));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const ::rlimit limit{5000, 5000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file(path, filled(100'000, 2));
    } catch (const std::system_error&) {
      ::_exit(7);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(read_file(path), filled(1000, 1));
  EXPECT_EQ(files(), 1u);
}

TEST_F(ModelFile, AReaderSeesOneWholeFileOrTheOther) {
  const auto path = folder_ / "m.lanner";
  write_file(path, filled(200'000, 0));
  std::vector<std::thread> writers;
  for (int writer = 1; writer <= 2; ++writer)
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 20; ++i)
        write_file(path, filled(100'000 + 1000 * static_cast<std::size_t>(i), writer));
    });
  for (int i = 0; i < 200; ++i) {
    const auto bytes = read_file(path);
    ASSERT_GE(bytes.size(), 100'000u);
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == bytes[0]; }));
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(files(), 1u);
}

}  // namespace
}  // namespace lanner::engine
