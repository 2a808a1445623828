// Data files: InvalidData that names the file, or columns that are whole.
#include <gtest/gtest.h>

#include "tests/fuzz/fuzzing.hpp"
#include "tests/host/data_file/data_folder.hpp"

namespace lanner::fuzz {
namespace {

using host::DataFolder;
using host::InvalidData;
using host::ReadOptions;

/// As a file of that name, with no columns named and with these.
void fuzz_file(const std::string& name, const std::vector<Input>& corpus,
               std::span<const std::string_view> words, const ReadOptions& options) {
  const DataFolder folder;
  fuzz(corpus, words, [&](Bytes bytes) {
    const auto path = folder.write(name, text_of(bytes));
    for (const ReadOptions& given : {ReadOptions{}, options}) try {
        host::expect_consistent(host::read_data(path, given));
      } catch (const InvalidData& error) {
        EXPECT_TRUE(std::string_view(error.what()).starts_with(path.string() + ":")) << error.what();
      }
  });
}

std::vector<Input> fixtures_of(std::initializer_list<std::string_view> endings) {
  std::vector<Input> out;
  for (const host::Fixture& fixture : host::all_fixtures())
    if (std::find(endings.begin(), endings.end(), fixture.ending) != endings.end())
      out.push_back(input(fixture.bytes()));
  return out;
}

constexpr std::string_view kNpyWords[] = {"'descr': ",
                                          "'fortran_order': True",
                                          "'shape': (",
                                          "'<f8'",
                                          "'>U3'",
                                          "'|S0'",
                                          "'<M8[ns]'",
                                          "'|V4'",
                                          "'|O'",
                                          "'?'",
                                          "[('a', '",
                                          "')]",
                                          "(0,)",
                                          "(4, 3)",
                                          "18446744073709551615",
                                          "4294967296",
                                          "1L",
                                          ",",
                                          ")",
                                          "}"};

TEST(File, Npy) {
  fuzz_file("x.npy", fixtures_of({".npy"}), kNpyWords, host::columns("y", "who", "at", "code"));
}

TEST(File, Npz) {
  constexpr std::string_view words[] = {
      "PK\x01\x02",       "PK\x03\x04", "PK\x05\x06", "PK\x06\x06", "PK\x06\x07", "\xFF\xFF\xFF\xFF",
      "\x01\x00\x10\x00", "X.npy",      "y.npy",      ".npy",       "\x93NUMPY"};
  ReadOptions options;
  options.array = "test";
  fuzz_file("x.npz", fixtures_of({".npz"}), words, options);
}

TEST(File, Csv) {
  const std::vector<Input> corpus{
      input("key,at,\"a \"\"b\"\"\",who,y\r\n"
            "e-1,2026-09-21T12:00:00.25Z,1e-3,\"c\n1\",0\r\n"
            "e-2,1789992000000000000,NA,Ελλάδα,1\n\ne-3,2026-09-21,,,0"),
      input("\xEF\xBB\xBF"
            "who,y,a\n1,0,+1.5\n2,1,\n"),
  };
  constexpr std::string_view words[] = {",",
                                        "\n",
                                        "\r",
                                        "\r\n",
                                        "\"",
                                        "\"\"",
                                        "\"\n\"",
                                        "NA",
                                        "nan",
                                        "inf",
                                        "1e999",
                                        "-0",
                                        "\xEF\xBB\xBF",
                                        "\xFF",
                                        "2026-09-21",
                                        "T24:00:00Z",
                                        "9223372036854775808",
                                        "+-1",
                                        "y",
                                        "who"};
  fuzz_file("x.csv", corpus, words, host::columns("y", "who", "at", "key"));
}

TEST(File, Arrow) {
  fuzz_file("x.arrow", fixtures_of({".arrow", ".feather"}), {}, host::columns("y", "who", "at", "n"));
}

}  // namespace
}  // namespace lanner::fuzz
