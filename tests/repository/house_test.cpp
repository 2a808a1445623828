// The rules of the house that a compiler doesn't enforce: who may include whom, where intrinsics live, that
// code compiled for one CPU tier leaves nothing behind that the linker could hand to another, and that the
// documents' links lead somewhere.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path root = LANNER_SOURCE_DIR;

struct Include {
  std::string file, included;
  int line;
};

std::vector<fs::path> sources(const std::string& folder) {
  std::vector<fs::path> found;
  if (!fs::exists(root / folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const auto ending = entry.path().extension();
    if (ending == ".cpp" || ending == ".hpp" || ending == ".cu" || ending == ".cuh")
      found.push_back(entry.path());
  }
  return found;
}

std::vector<Include> includes(const std::string& folder) {
  static const std::regex pattern(R"(^\s*#\s*include\s*["<]([^">]+)[">])");
  std::vector<Include> found;
  for (const fs::path& path : sources(folder)) {
    std::ifstream file(path);
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      std::smatch match;
      if (std::regex_search(line, match, pattern))
        found.push_back({fs::relative(path, root).string(), match[1], number});
    }
  }
  return found;
}

bool any_prefix(const std::string& text, std::initializer_list<const char*> prefixes) {
  for (const char* prefix : prefixes)
    if (text.starts_with(prefix)) return true;
  return false;
}

TEST(House, DependenciesRunOneWay) {
  const std::map<std::string, std::set<std::string>> may_include{
      {"kernels", {"kernels"}},
      {"engine", {"kernels", "engine"}},
      {"host", {"kernels", "engine", "host"}},
      {"bindings", {"kernels", "engine", "bindings"}},
  };
  std::size_t seen = 0;
  for (const auto& [folder, allowed] : may_include) {
    for (const Include& include : includes(folder)) {
      ++seen;
      const std::string top = include.included.substr(0, include.included.find('/'));
      EXPECT_TRUE(!may_include.contains(top) || allowed.contains(top))
          << include.file << ':' << include.line << " includes " << include.included;
    }
  }
  EXPECT_GT(seen, 100u);
}

TEST(House, KernelsKnowNoFilesAndNoText) {
  for (const Include& include : includes("kernels"))
    EXPECT_FALSE(any_prefix(include.included,
                            {"fstream", "iostream", "filesystem", "yaml", "nlohmann", "spdlog", "zmq"}))
        << include.file << ':' << include.line << " includes " << include.included;
}

TEST(House, TheEngineKnowsNoSocketsAndNoYaml) {
  for (const Include& include : includes("engine"))
    EXPECT_FALSE(any_prefix(include.included,
                            {"yaml", "zmq", "boost/asio", "boost/beast", "spdlog", "sys/socket", "CLI"}))
        << include.file << ':' << include.line << " includes " << include.included;
}

TEST(House, IntrinsicsLiveInKernels) {
  for (const char* folder : {"engine", "host", "bindings"})
    for (const Include& include : includes(folder))
      EXPECT_FALSE(any_prefix(include.included, {"immintrin", "x86intrin", "kernels/simd"}))
          << include.file << ':' << include.line << " includes " << include.included;
}

TEST(House, StagesOfTheHostDoNotIncludeEachOther) {
  const std::set<std::string> stages{"ingest", "decode", "publish", "results", "api"};
  for (const std::string& stage : stages)
    for (const Include& include : includes("host/" + stage))
      for (const std::string& other : stages)
        EXPECT_FALSE(other != stage && include.included.starts_with("host/" + other + "/"))
            << include.file << ':' << include.line << " includes " << include.included;
}

TEST(House, NoFolderWithoutANoun) {
  const std::set<std::string> forbidden{"common", "utils",   "util",   "core",
                                        "misc",   "manager", "helper", "helpers"};
  for (const char* folder : {"kernels", "engine", "host", "tests", "bench", "bindings"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder))
      EXPECT_FALSE(forbidden.contains(entry.path().stem().string())) << entry.path();
  }
}

std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return lines;
  std::array<char, 16384> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe)) lines.emplace_back(buffer.data());
  pclose(pipe);
  return lines;
}

// The tracked Markdown files; in a source archive, which has no git, those at the root and in docs/.
std::vector<fs::path> documents() {
  std::vector<fs::path> found;
  for (std::string line : lines_of("git -C '" + root.string() + "' ls-files '*.md' 2>/dev/null")) {
    while (line.ends_with('\n')) line.pop_back();
    if (fs::exists(root / line)) found.push_back(root / line);
  }
  if (!found.empty()) return found;
  const auto take = [&](const fs::directory_entry& entry) {
    if (entry.path().extension() == ".md") found.push_back(entry.path());
  };
  for (const auto& entry : fs::directory_iterator(root)) take(entry);
  for (const auto& entry : fs::recursive_directory_iterator(root / "docs")) take(entry);
  return found;
}

struct Link {
  int line;
  std::string target;
};

// Targets of [text](target) and ![text](target), outside code.
std::vector<Link> links(const fs::path& document) {
  static const std::regex code("`[^`]*`"), pattern(R"(\]\(\s*<?([^)\s>]+))");
  std::vector<Link> found;
  std::ifstream file(document);
  bool fenced = false;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(' ') != line.npos &&
        line.substr(line.find_first_not_of(' ')).starts_with("```"))
      fenced = !fenced;
    if (fenced) continue;
    const std::string text = std::regex_replace(line, code, "code");
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
      found.push_back({number, (*match)[1]});
  }
  return found;
}

TEST(House, LinksInDocumentsLeadToFilesOfTheRepository) {
  std::size_t followed = 0;
  for (const fs::path& document : documents()) {
    const std::string name = fs::relative(document, root).string();
    for (const Link& link : links(document)) {
      if (link.target.starts_with('#') || std::regex_search(link.target, std::regex("^[a-z][a-z0-9+.-]*:")))
        continue;
      ++followed;
      const fs::path target =
          (document.parent_path() / link.target.substr(0, link.target.find('#'))).lexically_normal();
      EXPECT_FALSE(target.lexically_relative(root).string().starts_with(".."))
          << name << ':' << link.line << ": " << link.target << " leads out of the repository";
      EXPECT_TRUE(fs::exists(target)) << name << ':' << link.line << ": there is no " << link.target;
    }
  }
  EXPECT_GT(followed, 10u);
}

TEST(House, TierObjectsLeaveNoFunctionsForOthers) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers add symbols of their own";
#endif
  std::size_t objects = 0;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(LANNER_BINARY_DIR) / "kernels")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with("_avx2.cpp.o") && !name.ends_with("_avx512.cpp.o")) continue;
    ++objects;
    for (const std::string& line : lines_of("nm -C --defined-only '" + entry.path().string() + "'")) {
      const bool weak = line.find(" W ") != std::string::npos || line.find(" V ") != std::string::npos;
      const bool of_the_tier =
          line.find("Avx2") != std::string::npos || line.find("Avx512") != std::string::npos;
      EXPECT_TRUE(!weak || of_the_tier) << name << ": " << line;
    }
  }
  EXPECT_GE(objects, 8u);
}

}  // namespace
