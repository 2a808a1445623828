// Mutates good inputs and feeds them to code that must refuse or survive them.
//
// Each test here is a target and gets its share of LANNER_FUZZ_SECONDS, at least a fifth of a second. Its
// inputs follow from LANNER_FUZZ_SEED: a fixed one where neither is set, so that an ordinary run repeats; a
// random one, which is printed, in a longer run. An input that fails is written to a file, also if it ends
// the process; LANNER_FUZZ_INPUT=FILE feeds that one alone to the target that --gtest_filter names.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace lanner::fuzz {

using Bytes = std::span<const std::byte>;
using Input = std::vector<std::byte>;

Input input(std::string_view text);
std::string_view text_of(Bytes);

/// Feeds the corpus, cuts of it, then mutations for as long as there is time. `words` are what the format is
/// made of: bytes put in as they are. The test fails, and the loop ends, when `feed` throws, fails an
/// expectation, takes longer than a minute or a gigabyte, or ends the process. The bytes fed lie in memory of
/// just their length.
void fuzz(const std::vector<Input>& corpus, std::span<const std::string_view> words,
          const std::function<void(Bytes)>& feed);

}  // namespace lanner::fuzz
