// The interpreter against the PTX ISA, where kernels would not show that it is wrong: the edges of
// instructions, lanes that part and meet, and what must be refused.
#include "tests/cuda/ptx_executor/interpreter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>

namespace lanner::ptx {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::uint32_t canonical_nan = 0x7FFFFFFF;

// A kernel whose threads each leave a word, %r0, and what surrounds it.
std::string text(const std::string& body) {
  return R"(
.version 9.0
.target sm_80
.address_size 64
.visible .entry probe(.param .u64 probe_param_0)
.maxntid 256, 1, 1
{
.reg .pred %p<9>;
.reg .b16 %rs<9>;
.reg .b32 %r<99>;
.reg .f32 %f<99>;
.reg .f64 %fd<9>;
.reg .b64 %rd<9>;
.shared .align 16 .b8 tile[1024];
ld.param.u64 %rd0, [probe_param_0];
mov.u32 %r90, %tid.x;
mul.wide.u32 %rd1, %r90, 4;
add.s64 %rd0, %rd0, %rd1;
)" + body +
         R"(
st.global.u32 [%rd0], %r0;
ret;
}
)";
}

class Interpreted : public ::testing::Test {
 protected:
  std::vector<std::uint32_t> run(const std::string& body, unsigned threads = 32, unsigned blocks = 1) {
    Kernel kernel(parse(text(body)).at(0), perturbation.every ? &perturbation : nullptr);
    const std::size_t bytes = threads * sizeof(std::uint32_t);
    void* out = memory.allocate(true, bytes);
    void* arguments[] = {&out};
    kernel.launch(memory, {blocks, 1, 1}, {threads, 1, 1}, 0, arguments);
    std::vector<std::uint32_t> words(threads);
    std::memcpy(words.data(), Memory::host_pointer(reinterpret_cast<std::uint64_t>(out)), bytes);
    memory.release(true, out);
    instructions = kernel.instructions();
    return words;
  }
  // What one thread leaves.
  std::uint32_t one(const std::string& body) { return run(body, 1)[0]; }
  // Of an instruction with float32 operands.
  std::uint32_t of(const std::string& opcode, std::initializer_list<float> values) {
    std::string body, operands = "%r0";
    int number = 1;
    for (const float value : values) {
      const std::string name = "%f" + std::to_string(number++);
      body += "mov.b32 %r50, " + std::to_string(std::bit_cast<std::uint32_t>(value)) + "; mov.b32 " + name +
              ", %r50;\n";
      operands += ", " + name;
    }
    return one(body + opcode + " " + operands + ";");
  }
  std::string fault(const std::string& body, unsigned threads = 32) {
    try {
      run(body, threads);
    } catch (const Fault& found) {
      return found.what();
    }
    return "no fault";
  }

  Memory memory;
  Perturbation perturbation;
  std::uint64_t instructions = 0;
};

std::uint32_t bits(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

TEST_F(Interpreted, MinAndMaxPreferNumbersAndKnowTheSignOfZero) {
  const float nan = std::bit_cast<float>(0xFFC12345u);
  for (const char* opcode : {"min.f32", "max.f32"}) {
    EXPECT_EQ(of(opcode, {nan, 2}), bits(2));
    EXPECT_EQ(of(opcode, {2, nan}), bits(2));
    EXPECT_EQ(of(opcode, {nan, nan}), canonical_nan);
  }
  EXPECT_EQ(of("min.f32", {0.0f, -0.0f}), bits(-0.0f));
  EXPECT_EQ(of("max.f32", {-0.0f, 0.0f}), bits(0.0f));
  EXPECT_EQ(of("min.f32", {3, -1}), bits(-1));
  EXPECT_EQ(of("max.f32", {3, -1}), bits(3));
}

TEST_F(Interpreted, ArithmeticIsRoundedOnceAndItsNanIsCanonical) {
  EXPECT_EQ(of("add.rn.f32", {infinity, -infinity}), canonical_nan);
  EXPECT_EQ(of("div.rn.f32", {0, 0}), canonical_nan);
  EXPECT_EQ(of("sqrt.rn.f32", {-1}), canonical_nan);
  const float a = 1 + 0x1p-12f, denormal = 0x1p-149f;
  EXPECT_EQ(of("fma.rn.f32", {a, a, -1 - 0x1p-11f}), bits(0x1p-24f));
  EXPECT_EQ(of("mul.rn.f32", {denormal, 3}), bits(3 * denormal));
}

TEST_F(Interpreted, ComparisonsSayWhatTheyDoOfNan) {
  const auto holds = [&](const char* comparison, const char* a, const char* b) {
    return one(std::string("setp.") + comparison + ".f32 %p1, " + a + ", " + b +
               "; selp.b32 %r0, 1, 0, %p1;");
  };
  const char *one_ = "0f3F800000", *two = "0f40000000", *nan = "0f7FC00000";
  EXPECT_EQ(holds("lt", one_, two), 1u);
  EXPECT_EQ(holds("lt", one_, nan), 0u);
  EXPECT_EQ(holds("ltu", one_, nan), 1u);
  EXPECT_EQ(holds("ltu", two, one_), 0u);
  EXPECT_EQ(holds("geu", one_, two), 0u);
  EXPECT_EQ(holds("geu", nan, two), 1u);
  EXPECT_EQ(holds("neu", nan, nan), 1u);
  EXPECT_EQ(holds("eq", nan, nan), 0u);
  EXPECT_EQ(holds("nan", one_, two), 0u);
  EXPECT_EQ(holds("nan", one_, nan), 1u);
}

TEST_F(Interpreted, ConversionsRoundAsTheySayAndSaturate) {
  EXPECT_EQ(of("cvt.rni.s32.f32", {2.5f}), 2u);
  EXPECT_EQ(of("cvt.rzi.s32.f32", {-2.7f}), static_cast<std::uint32_t>(-2));
  EXPECT_EQ(of("cvt.rmi.s32.f32", {-2.5f}), static_cast<std::uint32_t>(-3));
  EXPECT_EQ(of("cvt.rpi.s32.f32", {2.2f}), 3u);
  EXPECT_EQ(of("cvt.rzi.s32.f32", {3e9f}), 0x7FFFFFFFu);
  EXPECT_EQ(of("cvt.rzi.s32.f32", {-3e9f}), 0x80000000u);
  EXPECT_EQ(of("cvt.rzi.s32.f32", {infinity - infinity}), 0u);
  EXPECT_EQ(of("cvt.rni.u32.f32", {-3}), 0u);
  EXPECT_EQ(one("cvt.rn.f32.u32 %f1, 16777217; mov.b32 %r0, %f1;"), bits(16777216));
  EXPECT_EQ(
      one("mov.u32 %r1, -5; cvt.s64.s32 %rd1, %r1; cvt.rn.f64.s64 %fd1, %rd1; cvt.rn.f32.f64 %f1, %fd1; "
          "mov.b32 %r0, %f1;"),
      bits(-5));
}

TEST_F(Interpreted, BitsAtTheirEdges) {
  EXPECT_EQ(one("mov.u32 %r1, 32; shl.b32 %r0, -1, %r1;"), 0u);
  EXPECT_EQ(one("mov.u32 %r1, 40; shr.u32 %r0, -1, %r1;"), 0u);
  EXPECT_EQ(one("mov.u32 %r1, 40; shr.s32 %r0, -8, %r1;"), ~0u);
  EXPECT_EQ(one("bfind.shiftamt.u32 %r0, 0;"), ~0u);
  EXPECT_EQ(one("bfind.shiftamt.u32 %r0, 65536;"), 15u);
  EXPECT_EQ(one("brev.b32 %r0, 0x12345678;"), 0x1E6A2C48u);
  EXPECT_EQ(one("clz.b64 %r0, 1;"), 63u);
  EXPECT_EQ(one("mov.u32 %r1, 0x33221180; mov.u32 %r2, 0x77665544; prmt.b32 %r0, %r1, %r2, 0x8740;"),
            0xFF774480u);
  EXPECT_EQ(one("bfi.b32 %r0, 7, 0, 30, 2;"), 0xC0000000u);
  EXPECT_EQ(one("bfi.b32 %r0, 7, 9, 32, 2;"), 9u);
  EXPECT_EQ(one("mov.u32 %r1, -1; mul.hi.u32 %r0, %r1, %r1;"), 0xFFFFFFFEu);
  EXPECT_EQ(one("mov.u32 %r1, 0; div.u32 %r0, 5, %r1;"), ~0u);
}

TEST_F(Interpreted, ShufflesKeepToTheirSegments) {
  const std::string segments_of_8 = ", 6175, -1; ";  // clamp 31, segment mask 24
  const auto up = run("shfl.sync.up.b32 %r0|%p1, %r90, 1, 6144, -1;");
  const auto down =
      run("shfl.sync.down.b32 %r0|%p1, %r90, 3" + segments_of_8 + "@!%p1 add.s32 %r0, %r0, 100;");
  const auto index = run("shfl.sync.idx.b32 %r0, %r90, 2" + segments_of_8);
  const auto butterfly = run("shfl.sync.bfly.b32 %r0, %r90, 31, 31, -1;");
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(up[lane], lane % 8 ? lane - 1 : lane);
    EXPECT_EQ(down[lane], lane % 8 < 5 ? lane + 3 : lane + 100);
    EXPECT_EQ(index[lane], lane / 8 * 8 + 2);
    EXPECT_EQ(butterfly[lane], 31 - lane);
  }
}

TEST_F(Interpreted, LanesThatPartedMeetAgain) {
  // Each goes round as often as its number says, then all vote.
  const auto words = run(R"(
mov.u32 %r1, 0;
mov.u32 %r2, 0;
$again:
setp.ge.u32 %p1, %r1, %r90;
@%p1 bra $done;
add.s32 %r2, %r2, %r1;
add.s32 %r1, %r1, 1;
bra.uni $again;
$done:
setp.lt.u32 %p2, %r2, 100;
vote.sync.ballot.b32 %r3, %p2, -1;
popc.b32 %r0, %r3;
)");
  EXPECT_THAT(words, Each(15u));  // 14 * 13 / 2 is 91
  EXPECT_LT(instructions, 32 * 5 + 20) << "lanes went round one by one";
}

TEST_F(Interpreted, HalvesOfAWarpShuffleEachAmongThemselves) {
  const auto words = run(R"(
setp.lt.u32 %p1, %r90, 16;
mov.u32 %r1, 0xFFFF0000;
@!%p1 bra $high;
shfl.sync.idx.b32 %r0, %r90, 5, 31, 0xFFFF;
bra.uni $out;
$high:
shfl.sync.idx.b32 %r0, %r90, 20, 31, %r1;
$out:
)");
  for (unsigned lane = 0; lane < 32; ++lane) EXPECT_EQ(words[lane], lane < 16 ? 5u : 20u);
}

TEST_F(Interpreted, LanesThatWaitForEachOtherAreToldOf) {
  const std::string found = fault(R"(
setp.lt.u32 %p1, %r90, 16;
@%p1 bra $first;
bar.warp.sync -1;
bra.uni $out;
$first:
shfl.sync.idx.b32 %r0, %r90, 5, 31, -1;
$out:
)");
  EXPECT_THAT(found, HasSubstr("lanes wait for each other"));
  EXPECT_THAT(found, HasSubstr("bar.warp.sync -1"));
  EXPECT_THAT(fault("setp.lt.u32 %p1, %r90, 40; @%p1 bar.sync 0;", 64), HasSubstr("bar.sync 0"));
  EXPECT_THAT(fault("setp.lt.u32 %p1, %r90, 32; @%p1 bra $a; bar.sync 0; $a: bar.sync 1;", 64),
              HasSubstr("different barriers"));
  EXPECT_THAT(fault("shfl.sync.idx.b32 %r0, %r90, 5, 31, 1;"), HasSubstr("lane 1 is not in its member mask"));
  EXPECT_THAT(fault("setp.eq.s32 %p1, %r90, 3; @%p1 ret; shfl.sync.idx.b32 %r0, %r90, 3, 31, -1;"),
              HasSubstr("reads from lane 3, which takes no part"));
}

TEST_F(Interpreted, BarriersHoldAllWarpsThatAreLeft) {
  // The last warp ends; the others read what the next one wrote.
  const auto words = run(R"(
setp.ge.u32 %p1, %r90, 96;
mov.u32 %r0, 7;
@%p1 bra $out;
mov.u32 %r1, tile;
shl.b32 %r2, %r90, 2;
add.s32 %r1, %r1, %r2;
st.shared.u32 [%r1], %r90;
bar.sync 0;
setp.lt.u32 %p2, %r90, 64;
mov.u32 %r0, 9;
@%p2 ld.shared.u32 %r0, [%r1+128];
setp.lt.u32 %p3, %r90, 50;
bar.red.popc.u32 %r4, 0, %p3;
add.s32 %r0, %r0, %r4;
bar.red.or.pred %p4, 0, %p3;
bar.red.and.pred %p5, 0, %p3;
@%p5 bra $out;
@%p4 add.s32 %r0, %r0, 1000;
$out:
)",
                         128);
  for (unsigned thread = 0; thread < 128; ++thread)
    EXPECT_EQ(words[thread], thread >= 96 ? 7 : (thread < 64 ? thread + 32 : 9) + 50 + 1000) << thread;
}

TEST_F(Interpreted, AtomicsOfOneWordAddUp) {
  const auto words = run(R"(
ld.param.u64 %rd2, [probe_param_0];
setp.ne.s32 %p1, %r90, 0;
@!%p1 st.global.u32 [%rd2], %r90;
bar.warp.sync -1;
atom.global.add.u32 %r1, [%rd2], 3;
@%p1 bra $store;
mov.u32 %r0, 96;
$store:
@%p1 mov.u32 %r0, %r1;
bar.warp.sync -1;
)");
  EXPECT_EQ(words[0], 96u);
  EXPECT_EQ(words[31], 93u);
}

TEST_F(Interpreted, MatrixProducts) {
  // a is all ones, b two in column 3 (lanes 12 to 15), c is 5: d is 37 there, 5 elsewhere.
  const std::string body = R"(
mov.u32 %r1, 0x3F803F80;
setp.ge.u32 %p1, %r90, 12;
setp.lt.u32 %p2, %r90, 16;
and.pred %p1, %p1, %p2;
selp.b32 %r2, 0x40004000, 0, %p1;
mov.f32 %f5, 0f40A00000;
mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, {%r1, %r1, %r1, %r1}, {%r2, %r2}, {%f5, %f5, %f5, %f5};
)";
  const auto odd = run(body + "mov.b32 %r0, %f4;"), even = run(body + "mov.b32 %r0, %f1;");
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(odd[lane], bits(lane % 4 == 1 ? 37 : 5)) << lane;
    EXPECT_EQ(even[lane], bits(5)) << lane;
  }
}

TEST_F(Interpreted, WhatNobodyAllocatedIsRefusedByNameAndLine) {
  const std::string beyond = fault("ld.global.u32 %r0, [%rd0+4];");
  EXPECT_THAT(beyond,
              HasSubstr("probe, block (0, 0, 0): line 19: ld.global.u32 %r0, [%rd0+4]: thread 31: 4 bytes"));
  EXPECT_THAT(beyond, HasSubstr("which nobody allocated"));
  EXPECT_THAT(
      fault("ld.param.u64 %rd2, [probe_param_0]; ld.global.u64 %rd3, [%rd2+120]; mov.u32 %r0, 1;", 31),
      HasSubstr("not all belong to the 124 bytes allocated"));
  EXPECT_THAT(fault("add.s64 %rd2, %rd0, 4; st.global.u32 [%rd2], %r90;"), HasSubstr("thread 31"));
  EXPECT_THAT(fault("mov.u64 %rd2, 64; ld.global.u32 %r0, [%rd2];"),
              HasSubstr("0x40, which nobody allocated"));
  EXPECT_THAT(fault("ld.global.u32 %r0, [%rd0+1];"), HasSubstr("not aligned"));
  EXPECT_THAT(fault("ld.shared.u32 %r0, [tile+1024];"), HasSubstr("of which there are 1024"));
  EXPECT_THAT(fault("ld.param.u32 %r0, [probe_param_0+8];"), HasSubstr("of which there are 8"));
  EXPECT_EQ(fault("mov.u32 %r0, 1;"), "no fault");
}

TEST_F(Interpreted, WhatNobodyWroteIsNan) {
  EXPECT_THAT(run("ld.shared.u32 %r0, [tile+512];"), Each(~0u));
  EXPECT_THAT(run("ld.global.u32 %r0, [%rd0];"), Each(~0u));
}

TEST_F(Interpreted, WhatIsNotKnownIsRefusedByName) {
  EXPECT_THAT(fault("ex2.approx.f32 %f1, %f2;"),
              HasSubstr("line 19: the instruction ex2.approx.f32 %f1, %f2 isn't known"));
  EXPECT_THAT(fault("add.s32 %r0, %rd0, 1;"), HasSubstr("isn't known with these operands"));
  EXPECT_THROW(parse(".version 9.0\n.visible .func f()\n{\n}"), std::runtime_error);
  EXPECT_THROW(parse(text(".local .align 4 .b8 stack[16];")), std::runtime_error);
}

TEST_F(Interpreted, APerturbedInstructionIsOffByALowBitNowAndThen) {
  const std::string body = R"(
mov.f32 %f1, 0f40000000;
fma.rn.f32 %f2, %f1, %f1, %f1;
fma.rn.f32 %f3, %f1, %f1, %f1;
setp.neu.f32 %p1, %f2, %f3;
selp.b32 %r0, 1, 0, %p1;
)";
  EXPECT_THAT(run(body), Each(0u));
  perturbation = {"fma.rn.f32", 2};
  EXPECT_THAT(run(body), Each(1u));
  perturbation = {"fma.rn.f32", 3};
  EXPECT_THAT(run(body), Each(0u));
}

}  // namespace
}  // namespace lanner::ptx
