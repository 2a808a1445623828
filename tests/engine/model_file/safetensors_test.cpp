// What the format's own Python package makes of our files, and we of its files, where it is installed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "engine/model_file/tensors.hpp"

namespace lanner::engine {
namespace {

TEST(Safetensors, ItsPythonPackageReadsOursAndWeReadIts) {
  const std::string python = LANNER_PYTHON;
  if (std::system((python + " -c 'import safetensors.numpy' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << "the Python package safetensors isn't installed";
  std::string folder = (std::filesystem::temp_directory_path() / "lanner-safetensors-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);

  TensorWriter writer;
  const std::vector<float> rows{1.5f, -2, 3, 4, 5, 6};
  const std::vector<double> tail{0.1, 1e300};
  const std::vector<std::uint32_t> counts{4'000'000'000u};
  const std::vector<std::int64_t> ends{-1, 1LL << 40};
  writer.add("rows", {2, 3}, rows);
  writer.add("tail", {2}, tail);
  writer.add("counts", {1}, counts);
  writer.add("ends", {2, 1}, ends);
  writer.add("none", {0, 4}, std::span<const float>{});
  writer.metadata("name", "caf\xc3\xa9");
  write_file(folder + "/ours", writer.bytes());

  const std::string script =
      python + " " LANNER_SOURCE_DIR "/tests/engine/model_file/safetensors_check.py " + folder;
  EXPECT_EQ(std::system(script.c_str()), 0);

  const TensorReader theirs(read_file(folder + "/theirs"));
  EXPECT_EQ(theirs.floats("rows"), rows);
  EXPECT_EQ(theirs.doubles("tail"), tail);
  EXPECT_EQ(theirs.integers("ends"), ends);
  EXPECT_EQ(theirs.shape("ends"), (std::vector<std::size_t>{2, 1}));
  EXPECT_EQ(theirs.metadata("name"), "caf\xc3\xa9");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lanner::engine
