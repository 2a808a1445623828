// Decoding tensors allocates nothing once its memory has grown: counted, not assumed.
#include <gtest/gtest.h>

#include "tests/allocations/allocations.hpp"
#include "tests/host/decode/payloads.hpp"

namespace lanner::host {
namespace {

TEST(Allocation, TensorsAllocateNothingInTheSteadyState) {
  const std::size_t rows = 1024, width = 32;
  const engine::Schema schema = numbers(width);
  std::string labels;
  for (std::size_t i = 0; i < rows; ++i) labels.append("customer-").append(std::to_string(i)).append("\n");
  const Payload values(rows * width * sizeof(float) + 1), times(rows * sizeof(std::int64_t)),
      entities = payload(labels);
  const Bytes aligned[] = {Bytes(values).first(values.size() - 1), times, entities};
  const Bytes unaligned[] = {Bytes(values).last(values.size() - 1), times, entities};
  const std::string_view frame =
      R"({"v":1,"stream":"a stream's rather long name","producer":"a producer's rather long name","seq":17,)"
      R"("format":"tensor","dtype":"float32","shape":[1024,32],"sidecars":["time","entity"]})";
  HeaderParser parser;
  Decoder decoder;
  Header header;
  engine::Records records;
  for (int round = 0; round < 8; ++round) {
    const std::size_t before = test::allocations();
    for (const auto& frames : {std::span<const Bytes>(aligned), std::span<const Bytes>(unaligned)}) {
      ASSERT_EQ(parser.parse(frame, header), "");
      ASSERT_EQ(decoder.decode(header, frames, schema, 65536, records), "");
    }
    if (round == 0) {
      EXPECT_GT(test::allocations(), before);
    } else if (round >= 2) {
      EXPECT_EQ(test::allocations(), before) << "round " << round;
    }
  }
}

TEST(Allocation, RowFormatsKeepTheirMemory) {
  std::string lines;
  for (int i = 0; i < 200; ++i)
    lines +=
        R"({"amount":1.5,"country":"NL","customer":"a customer with a long name","at":1789999999000000000})"
        "\n";
  const Payload frame = payload(lines);
  const Bytes bytes = frame;
  Header header;
  header.format = Format::jsonl;
  Decoder decoder;
  engine::Records records;
  const engine::Schema schema = checkout();
  for (int round = 0; round < 4; ++round) {
    const std::size_t before = test::allocations();
    ASSERT_EQ(decoder.decode(header, std::span(&bytes, 1), schema, 65536, records), "");
    if (round >= 1) {
      EXPECT_EQ(test::allocations(), before);
    }
  }
}

}  // namespace
}  // namespace lanner::host
