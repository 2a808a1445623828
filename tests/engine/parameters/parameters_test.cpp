#include "engine/parameters/parameters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanner::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const std::vector<Parameter> table = {
    {"k", Kind::count_or_share, "0.1", "neighbours", {}, 1, 1000},
    {"bins", Kind::integer, "10", "bins of each feature", {"auto"}, 2, 1000000},
    {"rate", Kind::number, "1e-3", "learning rate", {}, 0},
    {"distance", Kind::word, "kth", "summary", {"kth", "mean"}},
    {"layers", Kind::integers, "auto", "widths", {"auto"}, 1, 4096},
    {"trim", Kind::boolean, "true", "trim"},
};

TEST(Settings, DefaultsAreFilledInCanonically) {
  const Settings settings = Settings::parse(table, {});
  EXPECT_THAT(settings.values(),
              ElementsAre(Pair("bins", "10"), Pair("distance", "kth"), Pair("k", "0.1"),
                          Pair("layers", "auto"), Pair("rate", "0.001"), Pair("trim", "true")));
  EXPECT_DOUBLE_EQ(settings.number("k"), 0.1);
  EXPECT_EQ(settings.integer("bins"), 10);
  EXPECT_EQ(settings.number("rate"), 1e-3);
  EXPECT_EQ(settings.word("distance"), "kth");
  EXPECT_TRUE(settings.is("layers", "auto"));
  EXPECT_TRUE(settings.boolean("trim"));
}

TEST(Settings, EveryWritingOfAValueBecomesOne) {
  const Settings settings = Settings::parse(
      table,
      {{"k", " 25 "}, {"bins", "auto"}, {"rate", "0.5000"}, {"layers", "[32, 16,8]"}, {"trim", "off"}});
  EXPECT_EQ(settings.number("k"), 25);
  EXPECT_TRUE(settings.is("bins", "auto"));
  EXPECT_EQ(settings.word("rate"), "0.5");
  EXPECT_EQ(settings.word("layers"), "32,16,8");
  EXPECT_THAT(settings.integers("layers"), ElementsAre(32, 16, 8));
  EXPECT_FALSE(settings.boolean("trim"));
  // What a model file records reads back to itself.
  EXPECT_EQ(Settings::parse(table, settings.values()).values(), settings.values());
}

TEST(Settings, ValuesThatAreNotAllowedAreRefused) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"k", "0"},          {"k", "-3"},        {"k", "1.5"},
      {"k", "1001"},       {"k", ""},          {"k", "all"},
      {"k", "1.0"},        {"k", "0.0"},       {"k", "nan"},
      {"bins", "1"},       {"bins", "10.5"},   {"bins", "1000001"},
      {"bins", "Auto"},    {"bins", "10x"},    {"bins", "99999999999999999999"},
      {"rate", "-0.1"},    {"rate", "inf"},    {"rate", "nan"},
      {"rate", "1e999"},   {"rate", "1,5"},    {"distance", ""},
      {"distance", "max"}, {"layers", "1,,2"}, {"layers", ""},
      {"layers", "[3"},    {"layers", "0"},    {"layers", "5,5000"},
      {"trim", "maybe"},   {"trim", "1"}};
  for (const auto& [name, value] : wrong) {
    const auto errors = Settings::check(table, {{name, value}});
    ASSERT_THAT(errors, SizeIs(1)) << name << "=" << value;
    EXPECT_EQ(errors[0].name, name);
    EXPECT_THROW(Settings::parse(table, {{name, value}}), InvalidSettings);
  }
}

TEST(Settings, AllFaultsAreNamedAtOnceWithWhatWasFoundAndWhatIsAllowed) {
  try {
    Settings::parse(table, {{"k", "0"}, {"distance", "maen"}, {"bin", "3"}, {"zzzzzz", "1"}});
    FAIL() << "accepted";
  } catch (const InvalidSettings& invalid) {
    EXPECT_THAT(invalid.errors(), SizeIs(4));
    EXPECT_STREQ(
        invalid.what(),
        "k: found 0, allowed a whole number from 1 to 1000, or a share of the rows above 0 and below 1\n"
        "distance: found maen, allowed kth or mean (nearest: mean)\n"
        "bin: found an unknown setting, allowed k, bins, rate, distance, layers, trim (nearest: bins)\n"
        "zzzzzz: found an unknown setting, allowed k, bins, rate, distance, layers, trim");
  }
}

TEST(Settings, AnErrorStaysOneShortLine) {
  const auto errors =
      Settings::check(table, {{"bins", "1\n2" + std::string(1000, 'x')}, {"a\nb", "1"}, {"k", " "}});
  ASSERT_THAT(errors, SizeIs(3));
  for (const auto& error : errors) {
    EXPECT_EQ(error.text().find('\n'), std::string::npos);
    EXPECT_LT(error.text().size(), 250u);
  }
  EXPECT_EQ(errors[0].found, "nothing");
}

TEST(Settings, NamesAndKindsThatAreNotThereAreOurFault) {
  const Settings settings = Settings::parse(table, {});
  EXPECT_THROW(settings.number("q"), std::logic_error);
  EXPECT_THROW(settings.integer("distance"), std::logic_error);
  EXPECT_THROW(settings.integers("layers"), std::logic_error);
  EXPECT_THROW(settings.boolean("k"), std::logic_error);
  const std::vector<Parameter> wrong_default = {{"k", Kind::integer, "0", "", {}, 1, 9}};
  EXPECT_THROW(Settings::parse(wrong_default, {}), std::logic_error);
}

TEST(Settings, AnEmptyTableAllowsNothing) {
  EXPECT_THAT(Settings::parse({}, {}).values(), IsEmpty());
  const auto errors = Settings::check({}, {{"k", "1"}});
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0].text(), "k: found an unknown setting, allowed none");
}

TEST(Allowed, ReadsAsASentencePart) {
  EXPECT_EQ(allowed(table[1]), "a whole number from 2 to 1000000, or auto");
  EXPECT_EQ(allowed(table[2]), "a number of at least 0");
  EXPECT_EQ(allowed(table[3]), "kth or mean");
  EXPECT_EQ(allowed(table[4]), "whole numbers separated by commas, each from 1 to 4096, or auto");
  EXPECT_EQ(allowed(table[5]), "true or false");
}

TEST(NearestName, FindsWhatWasMeantAndNothingElse) {
  const std::vector<std::string_view> names = {"nearest_neighbours", "local_outlier_factor", "kernel_density",
                                               "pca", "k"};
  EXPECT_EQ(nearest_name("nearest_neighbors", names), "nearest_neighbours");
  EXPECT_EQ(nearest_name("Kernel-Density", names), "kernel_density");
  EXPECT_EQ(nearest_name("kernel_desnity", names), "kernel_density");
  EXPECT_EQ(nearest_name("pac", names), "pca");
  EXPECT_EQ(nearest_name("kk", names), "k");
  EXPECT_EQ(nearest_name("q", names), "");
  EXPECT_EQ(nearest_name("autoencoder", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'k'), names), "");
}

}  // namespace
}  // namespace lanner::engine
