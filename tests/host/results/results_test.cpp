#include "host/results/results.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <csignal>
#include <limits>
#include <random>
#include <system_error>

#include "tests/host/results/directory.hpp"

namespace lanner::host {
namespace {

class SetClock final : public Clock {
 public:
  std::int64_t unix_ns() const override { return 1789992799'000'000'000 + steady; }
  std::int64_t steady_ns() const override { return steady; }
  std::int64_t steady = 0;
};

TEST(Results, CsvAsDocumented) {
  Directory directory;
  SetClock clock;
  Made made("till-7", 17, 3);
  engine::Texts entity, id;
  for (const char* text : {"c-1", "a,b", "say \"hi\"\n"}) entity.push_back(text);
  for (const char* text : {"e-1", "", "e;3"}) id.push_back(text);
  const std::int64_t time[] = {1789999999000000000, -1, 0};
  made.score[1] = std::numeric_limits<float>::quiet_NaN();
  made.p_value[1] = -std::numeric_limits<double>::quiet_NaN();
  made.score[2] = std::numeric_limits<float>::infinity();
  made.p_value[0] = 0.1;
  made.threshold[2] = 2.3e-5;
  made.flag[1] = 2;
  made.rows.entity = &entity;
  made.rows.id = &id;
  made.rows.time = time;
  auto sink = open_results(directory.options(), &clock);
  EXPECT_TRUE(sink->settled().empty());
  sink->append(made.rows);
  sink->settle("till-7", 17);
  sink->sync();
  EXPECT_EQ(sink->rows_written(), 3u);
  const auto names = directory.names();
  ASSERT_THAT(names, testing::ElementsAre("checkout-20260921T121319Z-0001.csv"));
  EXPECT_EQ(directory.read(names[0]),
            std::string(kHeader) +
                "till-7,17,0,e-1,c-1,1789999999000000000,17,0.1,0,0.001,neighbours,sha256:00\n"
                "till-7,17,1,till-7:17:1,\"a,b\",-1,nan,nan,2,0.001,neighbours,sha256:00\n"
                "till-7,17,2,e;3,\"say \"\"hi\"\"\n\",0,inf,0.2,0,2.3e-05,neighbours,sha256:00\n");
}

TEST(Results, FloatsReadBackToTheSameBits) {
  Directory directory;
  const std::size_t count = 5000;
  Made made("p", 1, count);
  std::mt19937_64 random(11);
  for (std::size_t i = 0; i < count; ++i) {
    do made.score[i] = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    while (std::isnan(made.score[i]));
    do made.p_value[i] = std::bit_cast<double>(random());
    while (std::isnan(made.p_value[i]));
    made.threshold[i] = i % 3 == 0 ? made.p_value[i] : -0.0;
  }
  made.score[0] = 7.038531e-26f;  // its shortest text, read as a double and rounded, is another float
  auto sink = open_results(directory.options());
  sink->append(made.rows);
  sink->sync();
  std::istringstream lines(directory.read(directory.names().at(0)));
  std::string line;
  std::getline(lines, line);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    std::vector<std::string> cells;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
    ASSERT_EQ(cells.size(), 12u);
    float score;
    double p_value, threshold, score_as_double;
    std::from_chars(cells[6].data(), cells[6].data() + cells[6].size(), score);
    std::from_chars(cells[7].data(), cells[7].data() + cells[7].size(), p_value);
    std::from_chars(cells[9].data(), cells[9].data() + cells[9].size(), threshold);
    std::from_chars(cells[6].data(), cells[6].data() + cells[6].size(), score_as_double);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(score), std::bit_cast<std::uint32_t>(made.score[i]));
    EXPECT_EQ(static_cast<float>(score_as_double), made.score[i]);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(p_value), std::bit_cast<std::uint64_t>(made.p_value[i]));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(threshold), std::bit_cast<std::uint64_t>(made.threshold[i]));
  }
}

TEST(Results, PositionsAreFoundAgain) {
  Directory directory;
  for (int round = 0; round < 3; ++round) {
    auto sink = open_results(directory.options());
    if (round > 0) {
      EXPECT_THAT(sink->settled(),
                  testing::ElementsAre(testing::Pair("a,\n\"", 7u + static_cast<unsigned>(round)),
                                       testing::Pair("till-7", 3)));
    }
    sink->settle("till-7", 3);
    sink->settle("till-7", 2);
    sink->settle("a,\n\"", 8u + static_cast<unsigned>(round));
    sink->sync();
    sink->settle("till-7", 99);  // never synced: never happened
  }
}

TEST(Results, KeepFlaggedOrNone) {
  Directory directory;
  ResultsOptions options = directory.options();
  options.keep = Keep::flagged;
  {
    auto sink = open_results(options);
    Made made("p", 1, 4);
    made.flag = {2, 1, 9, 8};
    made.rows.flag = made.flag;
    sink->append(made.rows);
    Made quiet("p", 2, 4);
    quiet.flag.assign(4, 0);
    quiet.rows.flag = quiet.flag;
    quiet.rows.stream = "another";
    sink->append(quiet.rows);
    sink->sync();
    EXPECT_EQ(sink->rows_written(), 2u);
    ASSERT_EQ(directory.names().size(), 1u);
    const std::string text = directory.read(directory.names()[0]);
    EXPECT_THAT(text, testing::HasSubstr("\np,1,1,p:1:1,"));
    EXPECT_THAT(text, testing::HasSubstr("\np,1,2,p:1:2,"));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  }
  Directory empty;
  options = empty.options();
  options.keep = Keep::none;
  auto sink = open_results(options);
  sink->append(Made("p", 1, 4).rows);
  sink->settle("p", 1);
  sink->sync();
  EXPECT_TRUE(empty.names().empty());
  sink.reset();
  EXPECT_EQ(open_results(options)->settled().at("p"), 1u);
}

TEST(Results, RotatesBySizeAndTime) {
  for (const ResultsFormat format : {ResultsFormat::csv, ResultsFormat::arrow}) {
    Directory directory;
    SetClock clock;
    ResultsOptions options = directory.options(format);
    options.rotate_bytes = 4000;
    options.rotate_s = 60;
    auto sink = open_results(options, &clock);
    sink->append(Made("p", 1, 10).rows);
    sink->sync();
    EXPECT_EQ(directory.names().size(), 1u);
    clock.steady += 61'000'000'000;
    sink->sync();  // old
    sink->append(Made("p", 2, 200).rows);
    sink->sync();  // large
    sink->append(Made("p", 3, 1).rows);
    sink->sync();
    const auto names = directory.names();
    ASSERT_EQ(names.size(), 3u);
    if (format == ResultsFormat::csv) {
      for (const auto& name : names)
        EXPECT_THAT(directory.read(name), testing::StartsWith(std::string(kHeader)));
    } else {
      EXPECT_THAT(names[0], testing::EndsWith("0001.arrow"));
      EXPECT_THAT(names[1], testing::EndsWith("0002.arrow"));
      EXPECT_THAT(names[2], testing::EndsWith("0003.arrow.part"));
      const std::string bytes = directory.read(names[1]);
      arrow::Reader reader;
      ASSERT_EQ(reader.read_file(std::as_bytes(std::span(bytes)), 1000), "");
      EXPECT_EQ(reader.rows(), 200u);
    }
  }
}

TEST(Results, ArrowAfterACleanStop) {
  Directory directory;
  Made made("till-7", 17, 3);
  engine::Texts entity;
  for (const char* text : {"c-1", "", "\u00e9"}) entity.push_back(text);
  {
    auto sink = open_results(directory.options(ResultsFormat::arrow));
    sink->append(made.rows);
    sink->sync();
    Made second("till-8", 1, 2);
    const std::int64_t time[] = {5, 6};
    entity = {};
    entity.push_back("x");
    entity.push_back("y");
    second.rows.time = time;
    second.rows.entity = &entity;
    sink->append(second.rows);
    sink->sync();
  }
  const auto names = directory.names();
  ASSERT_EQ(names.size(), 1u);
  EXPECT_THAT(names[0], testing::EndsWith(".arrow"));
  const std::string bytes = directory.read(names[0]);
  arrow::Reader reader;
  ASSERT_EQ(reader.read_file(std::as_bytes(std::span(bytes)), 100), "");
  ASSERT_EQ(reader.batches(), 2u);
  std::string header;
  for (const arrow::Field& field : reader.fields()) header.append(field.name).append(",");
  header.back() = '\n';
  EXPECT_EQ(header, kHeader);
  std::string_view text;
  ASSERT_TRUE(reader.text_at(reader.fields()[3], reader.column(0, 3), 2, text));
  EXPECT_EQ(text, "till-7:17:2");
  EXPECT_FALSE(reader.column(0, 4).valid(0));
  EXPECT_FALSE(reader.column(0, 5).valid(0));
  EXPECT_TRUE(reader.column(1, 5).valid(1));
  EXPECT_EQ(arrow::value_at<std::int64_t>(reader.column(1, 5).data, 1), 6);
  EXPECT_EQ(arrow::value_at<float>(reader.column(0, 6).data, 1), made.score[1]);
  EXPECT_EQ(arrow::value_at<std::uint8_t>(reader.column(0, 8).data, 1), 1);
}

TEST(Results, WhatWasNeverSyncedIsCut) {
  Directory directory;
  {
    auto sink = open_results(directory.options());
    sink->append(Made("p", 1, 10).rows);
    sink->settle("p", 1);
    sink->sync();
    sink->append(Made("p", 2, 20000).rows);  // more than the buffer: partly in the file already
    sink->settle("p", 2);
  }
  const std::string name = directory.names().at(0);
  EXPECT_GT(std::filesystem::file_size(directory.path() / name), 100000u);
  auto sink = open_results(directory.options());
  EXPECT_EQ(sink->settled().at("p"), 1u);
  const std::string text = directory.read(name);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
  EXPECT_EQ(text.back(), '\n');
}

TEST(Results, ATornLineIsCutWithoutAJournalToo) {
  Directory directory;
  const std::string whole = std::string(kHeader) + "p,1,0,\"a\nb\",,,1,1,0,1,m,h\n";
  directory.write("s-20260921T121319Z-0001.csv", whole + "p,1,1,\"a\nb");
  directory.write("s-20260921T121319Z-0002.csv", whole);
  directory.write("mine.csv", "a,b\n1,2\n3");  // somebody else's
  directory.write("s-20260921T121319Z-0003.csv", "producer,seq");
  open_results(directory.options());
  EXPECT_EQ(directory.read("s-20260921T121319Z-0001.csv"), whole);
  EXPECT_EQ(directory.read("s-20260921T121319Z-0002.csv"), whole);
  EXPECT_EQ(directory.read("mine.csv"), "a,b\n1,2\n3");
  EXPECT_THAT(directory.names(), testing::Not(testing::Contains("s-20260921T121319Z-0003.csv")));
}

TEST(Results, ATornJournalIsCutADamagedOneRefused) {
  Directory directory;
  std::vector<std::uint64_t> ends;
  {
    auto sink = open_results(directory.options());
    for (std::uint64_t seq = 1; seq <= 3; ++seq) {
      sink->settle("p", seq);
      sink->sync();
      ends.push_back(std::filesystem::file_size(directory.path() / "producers.journal"));
    }
  }
  const std::string journal = directory.read("producers.journal").substr(0, ends[2]);
  for (std::size_t cut = ends[1]; cut <= ends[2]; ++cut) {
    directory.write("producers.journal", journal.substr(0, cut));
    EXPECT_EQ(open_results(directory.options())->settled().at("p"), cut == ends[2] ? 3u : 2u) << cut;
  }
  for (std::size_t at = 0; at < ends[2]; ++at) {
    std::string damaged = journal;
    damaged[at] ^= 0x10;
    directory.write("producers.journal", damaged);
    if (at >= ends[1]) {
      EXPECT_EQ(open_results(directory.options())->settled().at("p"), 2u) << at;
    } else {
      EXPECT_THROW(open_results(directory.options()), std::runtime_error) << at;
    }
  }
}

TEST(Results, TheJournalStaysSmall) {
  Directory directory;
  auto sink = open_results(directory.options());
  const std::string producer(200, 'p');
  for (std::uint64_t seq = 1; seq <= 100000; ++seq) {
    for (int i = 0; i < 10; ++i) sink->settle(producer + static_cast<char>('a' + i), seq);
    if (seq % 1000 == 0) sink->sync();
  }
  EXPECT_LT(std::filesystem::file_size(directory.path() / "producers.journal"), 17u << 20);
  sink.reset();
  EXPECT_EQ(open_results(directory.options())->settled().at(producer + "j"), 100000u);
}

TEST(Results, StreamsOfAnyNameEachTheirFile) {
  Directory directory;
  SetClock clock;
  auto sink = open_results(directory.options(), &clock);
  for (const char* stream : {"../../etc/passwd", ".hidden", "a b", "\u00e9", "plain-1_x.y"}) {
    Made made("p", 1, 1);
    made.rows.stream = stream;
    sink->append(made.rows);
  }
  sink->sync();
  EXPECT_THAT(directory.names(),
              testing::UnorderedElementsAre(
                  "%2E.%2F..%2Fetc%2Fpasswd-20260921T121319Z-0001.csv", "%2Ehidden-20260921T121319Z-0002.csv",
                  "a%20b-20260921T121319Z-0003.csv", "%C3%A9-20260921T121319Z-0004.csv",
                  "plain-1_x.y-20260921T121319Z-0005.csv"));
}

TEST(Results, ErrorsNameThePath) {
  Directory directory;
  directory.write("file", "x");
  ResultsOptions options = directory.options();
  options.directory = directory.path() / "file" / "below";
  try {
    open_results(options);
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(options.directory.string()));
  }
  options.directory = directory.path() / "in" / "use";
  auto first = open_results(options);
  try {
    open_results(options);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("another process"));
  }
  first.reset();
  open_results(options);
}

TEST(Results, AFullDiskIsAnErrorAndTheNextSinkGoesOn) {
  Directory directory;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  {
    auto sink = open_results(directory.options());
    sink->append(Made("p", 1, 100).rows);
    sink->settle("p", 1);
    sink->sync();
    rlimit small = before;
    small.rlim_cur = 20000;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    sink->append(Made("p", 2, 1000).rows);
    sink->settle("p", 2);
    try {
      sink->sync();
      ADD_FAILURE() << "a write beyond the limit went through";
    } catch (const std::system_error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(directory.path().string()));
      EXPECT_EQ(error.code().value(), EFBIG);
    }
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  auto sink = open_results(directory.options());
  EXPECT_EQ(sink->settled().at("p"), 1u);
  sink->append(Made("p", 2, 1000).rows);
  sink->settle("p", 2);
  sink->sync();
  std::size_t lines = 0;
  for (const auto& name : directory.names()) {
    const std::string text = directory.read(name);
    EXPECT_EQ(text.back(), '\n');
    lines += static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) - 1;
  }
  EXPECT_EQ(lines, 1100u);
}

}  // namespace
}  // namespace lanner::host
