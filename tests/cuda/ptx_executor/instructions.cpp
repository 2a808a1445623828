#include "tests/cuda/ptx_executor/instructions.hpp"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

namespace lanner::ptx {
namespace {

using u8 = std::uint8_t;
using s8 = std::int8_t;
using u16 = std::uint16_t;
using s16 = std::int16_t;
using u32 = std::uint32_t;
using s32 = std::int32_t;
using u64 = std::uint64_t;
using s64 = std::int64_t;
__extension__ using u128 = unsigned __int128;
using f32 = float;
using f64 = double;

// Rows of one operand are those of another or apart, never askew: ivdep.

template <class R, class F>
inline __attribute__((always_inline)) void each(R* to, Mask lanes, F value) {
  if (lanes == all_lanes) {
#pragma GCC ivdep
    for (unsigned lane = 0; lane < warp_lanes; ++lane) to[lane] = value(lane);
  } else {
#pragma GCC ivdep
    for (unsigned lane = 0; lane < warp_lanes; ++lane) {
      const R made = value(lane);
      to[lane] = lanes >> lane & 1 ? made : to[lane];
    }
  }
}

template <class F>
inline __attribute__((always_inline)) void each_of(Mask lanes, F work) {
  for (; lanes != 0; lanes &= lanes - 1) work(static_cast<unsigned>(std::countr_zero(lanes)));
}

template <class F>
inline __attribute__((always_inline)) Mask lanes_where(F condition) {
  alignas(32) u32 flags[warp_lanes];
  for (unsigned lane = 0; lane < warp_lanes; ++lane) flags[lane] = condition(lane) ? ~0u : 0u;
  Mask lanes = 0;
  for (unsigned i = 0; i < warp_lanes; i += 8) {
    const __m256i eight = _mm256_load_si256(reinterpret_cast<const __m256i*>(flags + i));
    lanes |= static_cast<Mask>(_mm256_movemask_ps(_mm256_castsi256_ps(eight))) << i;
  }
  return lanes;
}

void set_predicate(Warp& warp, const Instruction& i, Mask lanes, Mask value) {
  Mask& to = warp.predicates[i.at[0]];
  to = (to & ~lanes) | (value & lanes);
}

template <class R, class A, auto f>
void unary(Warp& warp, const Instruction& i, Mask lanes) {
  const A* const a = warp.row<A>(i.at[1]);
  each(warp.row<R>(i.at[0]), lanes, [&](unsigned lane) { return static_cast<R>(f(a[lane])); });
}
template <class R, class A, class B, auto f>
void binary(Warp& warp, const Instruction& i, Mask lanes) {
  const A* const a = warp.row<A>(i.at[1]);
  const B* const b = warp.row<B>(i.at[2]);
  each(warp.row<R>(i.at[0]), lanes, [&](unsigned lane) { return static_cast<R>(f(a[lane], b[lane])); });
}
template <class R, class A, class B, class C, auto f>
void ternary(Warp& warp, const Instruction& i, Mask lanes) {
  const A* const a = warp.row<A>(i.at[1]);
  const B* const b = warp.row<B>(i.at[2]);
  const C* const c = warp.row<C>(i.at[3]);
  each(warp.row<R>(i.at[0]), lanes,
       [&](unsigned lane) { return static_cast<R>(f(a[lane], b[lane], c[lane])); });
}
template <class A, auto f>
void compare(Warp& warp, const Instruction& i, Mask lanes) {
  const A* const a = warp.row<A>(i.at[1]);
  const A* const b = warp.row<A>(i.at[2]);
  set_predicate(warp, i, lanes, lanes_where([&](unsigned lane) { return f(a[lane], b[lane]); }));
}
template <class T>
void select(Warp& warp, const Instruction& i, Mask lanes) {
  const T* const a = warp.row<T>(i.at[1]);
  const T* const b = warp.row<T>(i.at[2]);
  const Mask first = warp.predicates[i.at[3]];
  each(warp.row<T>(i.at[0]), lanes, [&](unsigned lane) { return first >> lane & 1 ? a[lane] : b[lane]; });
}

template <auto f>
void combine_predicates(Warp& warp, const Instruction& i, Mask lanes) {
  set_predicate(warp, i, lanes, f(warp.predicates[i.at[1]], warp.predicates[i.at[2]]));
}
template <bool negated>
void copy_predicate(Warp& warp, const Instruction& i, Mask lanes) {
  const Mask value = warp.predicates[i.at[1]];
  set_predicate(warp, i, lanes, negated ? ~value : value);
}

void nothing(Warp&, const Instruction&, Mask) {}

// ---- arithmetic ----

constexpr auto same = [](auto a) { return a; };
constexpr auto add = [](auto a, auto b) { return a + b; };
constexpr auto subtract = [](auto a, auto b) { return a - b; };
constexpr auto multiply = [](auto a, auto b) {
  return 1u * a * b;
};  // not as int, which 16 bits would become
constexpr auto multiply_add = [](auto a, auto b, auto c) { return a * b + c; };
constexpr auto bit_and = [](auto a, auto b) { return a & b; };
constexpr auto bit_or = [](auto a, auto b) { return a | b; };
constexpr auto bit_xor = [](auto a, auto b) { return a ^ b; };
constexpr auto bit_not = [](auto a) { return ~a; };
constexpr auto negate_integer = [](auto a) { return decltype(a){0} - a; };
constexpr auto smaller = [](auto a, auto b) { return b < a ? b : a; };
constexpr auto larger = [](auto a, auto b) { return a < b ? b : a; };

// float32 results that are NaN are this one (PTX ISA, 9.7.3).
inline f32 canonical(f32 value) {
  return value == value ? value : std::bit_cast<f32>(0x7FFFFFFFu);
}
inline f64 canonical(f64 value) {
  return value;
}

constexpr auto float_add = [](auto a, auto b) { return canonical(a + b); };
constexpr auto float_subtract = [](auto a, auto b) { return canonical(a - b); };
constexpr auto float_multiply = [](auto a, auto b) { return canonical(a * b); };
constexpr auto float_divide = [](auto a, auto b) { return canonical(a / b); };
constexpr auto float_fma = [](auto a, auto b, auto c) { return canonical(std::fma(a, b, c)); };
constexpr auto square_root = [](auto a) { return canonical(std::sqrt(a)); };
constexpr auto reciprocal = [](auto a) { return canonical(decltype(a){1} / a); };

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, u32, u64>;
template <class T>
constexpr Bits<T> sign_bit = Bits<T>{1} << (8 * sizeof(T) - 1);

constexpr auto float_negate = [](auto a) {
  using T = decltype(a);
  return std::bit_cast<T>(std::bit_cast<Bits<T>>(a) ^ sign_bit<T>);
};
constexpr auto float_absolute = [](auto a) {
  using T = decltype(a);
  return std::bit_cast<T>(std::bit_cast<Bits<T>>(a) & ~sign_bit<T>);
};
// The number, if one is NaN; -0 is less than +0.
constexpr auto float_min = [](auto a, auto b) {
  using T = decltype(a);
  const T equal = std::bit_cast<T>(std::bit_cast<Bits<T>>(a) | std::bit_cast<Bits<T>>(b));
  const T least = a < b ? a : b < a ? b : equal;
  return canonical(a != a ? b : b != b ? a : least);
};
constexpr auto float_max = [](auto a, auto b) {
  using T = decltype(a);
  const T equal = std::bit_cast<T>(std::bit_cast<Bits<T>>(a) & std::bit_cast<Bits<T>>(b));
  const T most = a > b ? a : b > a ? b : equal;
  return canonical(a != a ? b : b != b ? a : most);
};

constexpr auto is_equal = [](auto a, auto b) { return a == b; };
constexpr auto is_not_equal = [](auto a, auto b) { return a != b; };
constexpr auto is_less = [](auto a, auto b) { return a < b; };
constexpr auto is_less_or_equal = [](auto a, auto b) { return a <= b; };
constexpr auto is_greater = [](auto a, auto b) { return a > b; };
constexpr auto is_greater_or_equal = [](auto a, auto b) { return a >= b; };
constexpr auto is_not_greater = [](auto a, auto b) { return !(a > b); };
constexpr auto is_not_greater_or_equal = [](auto a, auto b) { return !(a >= b); };
constexpr auto is_not_less = [](auto a, auto b) { return !(a < b); };
constexpr auto is_not_less_or_equal = [](auto a, auto b) { return !(a <= b); };
constexpr auto is_unordered = [](auto a, auto b) { return a != a || b != b; };

constexpr auto divide = [](auto a, auto b) {
  return b == 0 ? ~decltype(a){0} : static_cast<decltype(a)>(a / b);
};
constexpr auto remainder = [](auto a, auto b) { return b == 0 ? a : static_cast<decltype(a)>(a % b); };
constexpr auto high_32 = [](u32 a, u32 b) { return u64{a} * b >> 32; };
constexpr auto high_64 = [](u64 a, u64 b) { return static_cast<u64>(static_cast<u128>(a) * b >> 64); };
template <class Wide>
constexpr auto wide_product = [](auto a, auto b) { return static_cast<Wide>(a) * static_cast<Wide>(b); };

// Shifts by more than there are bits give no bits, or signs alone.
constexpr auto shift_left = [](auto a, u32 by) {
  constexpr u32 bits = 8 * sizeof a;
  return by < bits ? static_cast<decltype(a)>(a << (by % bits)) : decltype(a){0};
};
constexpr auto shift_right = [](auto a, u32 by) {
  constexpr u32 bits = 8 * sizeof a;
  if constexpr (std::is_signed_v<decltype(a)>)
    return static_cast<decltype(a)>(a >> std::min(by, bits - 1));
  else
    return by < bits ? static_cast<decltype(a)>(a >> (by % bits)) : decltype(a){0};
};

constexpr auto reverse_bits = [](u32 a) {
  a = (a >> 1 & 0x55555555u) | (a & 0x55555555u) << 1;
  a = (a >> 2 & 0x33333333u) | (a & 0x33333333u) << 2;
  a = (a >> 4 & 0x0F0F0F0Fu) | (a & 0x0F0F0F0Fu) << 4;
  return __builtin_bswap32(a);
};
constexpr auto count_ones = [](auto a) { return std::popcount(a); };
constexpr auto leading_zeros = [](auto a) { return std::countl_zero(a); };
constexpr auto shift_of_first_one = [](u32 a) {
  return a == 0 ? ~0u : static_cast<u32>(std::countl_zero(a));
};

u32 permute_bytes(u32 a, u32 b, u32 selectors) {
  const u64 bytes = u64{b} << 32 | a;
  u32 made = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const u32 selector = selectors >> 4 * i & 15;
    u32 byte = static_cast<u32>(bytes >> 8 * (selector & 7)) & 0xFF;
    if (selector & 8) byte = byte & 0x80 ? 0xFF : 0;  // its sign
    made |= byte << 8 * i;
  }
  return made;
}
constexpr auto permute = [](u32 a, u32 b, u32 selectors) { return permute_bytes(a, b, selectors); };

void insert_bits(Warp& warp, const Instruction& i, Mask lanes) {
  const u32* const a = warp.row<u32>(i.at[1]);
  const u32* const b = warp.row<u32>(i.at[2]);
  const u32* const position = warp.row<u32>(i.at[3]);
  const u32* const length = warp.row<u32>(i.at[4]);
  each(warp.row<u32>(i.at[0]), lanes, [&](unsigned lane) {
    const u32 first = position[lane] & 0xFF, count = length[lane] & 0xFF;
    const u32 ones = count >= 32 ? ~0u : (1u << count) - 1;
    const u32 mask = first >= 32 ? 0 : ones << first;
    return (b[lane] & ~mask) | ((first >= 32 ? 0 : a[lane] << first) & mask);
  });
}

template <class Half, class Whole>
void join(Warp& warp, const Instruction& i, Mask lanes) {
  const Half* const low = warp.row<Half>(i.at[1]);
  const Half* const high = warp.row<Half>(i.at[2]);
  each(warp.row<Whole>(i.at[0]), lanes, [&](unsigned lane) {
    return static_cast<Whole>(static_cast<Whole>(high[lane]) << 8 * sizeof(Half) | low[lane]);
  });
}
template <class Half, class Whole>
void split(Warp& warp, const Instruction& i, Mask lanes) {
  const Whole* const whole = warp.row<Whole>(i.at[2]);
  each(warp.row<Half>(i.at[0]), lanes, [&](unsigned lane) { return static_cast<Half>(whole[lane]); });
  each(warp.row<Half>(i.at[1]), lanes,
       [&](unsigned lane) { return static_cast<Half>(whole[lane] >> 8 * sizeof(Half)); });
}

// ---- conversions ----

// Of a whole number held in a float: saturated, 0 for NaN.
template <class To, class From>
To saturated(From whole) {
  // The largest To + 1 is a power of two, which every From holds.
  constexpr To half = std::numeric_limits<To>::max() / 2 + 1;
  constexpr From end = From{2} * static_cast<From>(half);
  if (whole != whole) return 0;
  if (whole >= end) return std::numeric_limits<To>::max();
  if (whole < static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return static_cast<To>(whole);
}
constexpr auto to_even = [](auto a) { return canonical(std::nearbyint(a)); };
template <class To>
constexpr auto whole_to_even = [](auto a) { return saturated<To>(std::nearbyint(a)); };
template <class To>
constexpr auto whole_to_zero = [](auto a) { return saturated<To>(std::trunc(a)); };
template <class To>
constexpr auto whole_down = [](auto a) { return saturated<To>(std::floor(a)); };
template <class To>
constexpr auto whole_up = [](auto a) { return saturated<To>(std::ceil(a)); };
template <class To>
constexpr auto rounded = [](auto a) { return canonical(static_cast<To>(a)); };

// ---- memory ----

std::string hexadecimal(u64 value) {
  std::string digits;
  do digits.insert(digits.begin(), "0123456789abcdef"[value & 15]);
  while ((value >>= 4) != 0);
  return "0x" + digits;
}

[[noreturn]] void fail_access(Fault::Kind kind, const Warp& warp, unsigned lane, std::size_t bytes,
                              const char* space, u64 address, const std::string& why) {
  throw Fault(kind, "thread " + std::to_string(warp.number * warp_lanes + lane) + ": " +
                        std::to_string(bytes) + " bytes of " + space + " at " + hexadecimal(address) + why);
}

void check_aligned(const Warp& warp, unsigned lane, std::size_t bytes, const char* space, u64 address) {
  if (address % bytes != 0)
    fail_access(Fault::Kind::misaligned_address, warp, lane, bytes, space, address,
                ", which are not aligned");
}

// Bytes in a space, by a lane's address; throws Fault where they are not there or not aligned.
class Global {
 public:
  Global(const Warp& warp, const Instruction& i) : warp_(warp), seen_(warp.seen[i.index]) {}
  std::byte* at(unsigned lane, u64 address, std::size_t bytes) {
    check_aligned(warp_, lane, bytes, "global memory", address);
    if (!seen_.holds(address, bytes)) {
      seen_ = warp_.memory->find(address);
      if (!seen_.holds(address, bytes))
        fail_access(Fault::Kind::illegal_address, warp_, lane, bytes, "global memory", address,
                    seen_.last == 0
                        ? ", which nobody allocated"
                        : ", of which not all belong to the " + std::to_string(seen_.last - seen_.first) +
                              " bytes allocated at " + hexadecimal(seen_.first));
    }
    return Memory::host_pointer(address);
  }

 private:
  const Warp& warp_;
  Range& seen_;
};

class Shared {
 public:
  Shared(const Warp& warp, const Instruction&) : warp_(warp) {}
  std::byte* at(unsigned lane, u64 address, std::size_t bytes) {
    check_aligned(warp_, lane, bytes, "shared memory", address);
    if (address > warp_.shared.size() || bytes > warp_.shared.size() - address)
      fail_access(Fault::Kind::illegal_address, warp_, lane, bytes, "shared memory", address,
                  ", of which there are " + std::to_string(warp_.shared.size()));
    return warp_.shared.data() + address;
  }

 private:
  const Warp& warp_;
};

class Parameters {
 public:
  Parameters(const Warp& warp, const Instruction&) : warp_(warp) {}
  const std::byte* at(unsigned lane, u64 address, std::size_t bytes) {
    check_aligned(warp_, lane, bytes, "parameters", address);
    if (address > warp_.parameters.size() || bytes > warp_.parameters.size() - address)
      fail_access(Fault::Kind::illegal_address, warp_, lane, bytes, "parameters", address,
                  ", of which there are " + std::to_string(warp_.parameters.size()));
    return warp_.parameters.data() + address;
  }

 private:
  const Warp& warp_;
};

class Generic {
 public:
  Generic(const Warp& warp, const Instruction& i) : global_(warp, i), shared_(warp, i) {}
  std::byte* at(unsigned lane, u64 address, std::size_t bytes) {
    return address & shared_bit ? shared_.at(lane, address & ~shared_bit, bytes)
                                : global_.at(lane, address, bytes);
  }

 private:
  Global global_;
  Shared shared_;
};

struct Addresses {
  u64 of[warp_lanes];
  Addresses(const Warp& warp, const Instruction& i, unsigned operand, unsigned which) {
    const auto offset = static_cast<u64>(i.offset[which]);
    if (i.wide_address[which]) {
      const u64* const base = warp.row<u64>(i.at[operand]);
      for (unsigned lane = 0; lane < warp_lanes; ++lane) of[lane] = base[lane] + offset;
    } else {
      const u32* const base = warp.row<u32>(i.at[operand]);
      for (unsigned lane = 0; lane < warp_lanes; ++lane) of[lane] = base[lane] + offset;
    }
  }
};

template <class Space, class T, class Register, unsigned count>
void load(Warp& warp, const Instruction& i, Mask lanes) {
  const Addresses addresses(warp, i, count, 0);
  Space space(warp, i);
  Register* to[count];
  for (unsigned j = 0; j < count; ++j) to[j] = warp.row<Register>(i.at[j]);
  each_of(lanes, [&](unsigned lane) {
    T values[count];
    std::memcpy(values, space.at(lane, addresses.of[lane], sizeof values), sizeof values);
    for (unsigned j = 0; j < count; ++j) to[j][lane] = static_cast<Register>(values[j]);
  });
}
template <class Space, class T, class Register, unsigned count>
void store(Warp& warp, const Instruction& i, Mask lanes) {
  const Addresses addresses(warp, i, 0, 0);
  Space space(warp, i);
  const Register* from[count];
  for (unsigned j = 0; j < count; ++j) from[j] = warp.row<Register>(i.at[1 + j]);
  each_of(lanes, [&](unsigned lane) {
    T values[count];
    for (unsigned j = 0; j < count; ++j) values[j] = static_cast<T>(from[j][lane]);
    std::memcpy(space.at(lane, addresses.of[lane], sizeof values), values, sizeof values);
  });
}

template <class Space, class T, auto f>
void atomic(Warp& warp, const Instruction& i, Mask lanes) {
  const Addresses addresses(warp, i, 1, 0);
  Space space(warp, i);
  T* const old = warp.row<T>(i.at[0]);
  const T* const value = warp.row<T>(i.at[2]);
  each_of(lanes, [&](unsigned lane) {
    std::byte* const at = space.at(lane, addresses.of[lane], sizeof(T));
    T held;
    std::memcpy(&held, at, sizeof held);
    const T made = static_cast<T>(f(held, value[lane]));
    std::memcpy(at, &made, sizeof made);
    old[lane] = held;
  });
}
constexpr auto exchange = [](auto, auto b) { return b; };

void compare_and_swap(Warp& warp, const Instruction& i, Mask lanes) {
  const Addresses addresses(warp, i, 1, 0);
  Global space(warp, i);
  u32* const old = warp.row<u32>(i.at[0]);
  const u32* const expected = warp.row<u32>(i.at[2]);
  const u32* const value = warp.row<u32>(i.at[3]);
  each_of(lanes, [&](unsigned lane) {
    std::byte* const at = space.at(lane, addresses.of[lane], sizeof(u32));
    u32 held = 0;
    std::memcpy(&held, at, sizeof held);
    if (held == expected[lane]) std::memcpy(at, &value[lane], sizeof held);
    old[lane] = held;
  });
}

// At once: that waits are not missing is what the emulated GPU is there to show.
void copy_async(Warp& warp, const Instruction& i, Mask lanes) {
  constexpr std::size_t bytes = 16;
  const Addresses to(warp, i, 0, 0), from(warp, i, 1, 1);
  Shared shared(warp, i);
  Global global(warp, i);
  each_of(lanes, [&](unsigned lane) {
    std::memcpy(shared.at(lane, to.of[lane], bytes), global.at(lane, from.of[lane], bytes), bytes);
  });
}

constexpr auto to_generic = [](u64 address) { return address | shared_bit; };

// ---- among lanes ----

enum class Shuffle { up, down, butterfly, index };

template <Shuffle mode, bool with_predicate>
void shuffle(Warp& warp, const Instruction& i, Mask lanes) {
  constexpr unsigned first = with_predicate ? 2 : 1;
  const u32* const a = warp.row<u32>(i.at[first]);
  const u32* const b = warp.row<u32>(i.at[first + 1]);
  const u32* const c = warp.row<u32>(i.at[first + 2]);
  u32 made[warp_lanes];
  Mask in_range = 0;
  each_of(lanes, [&](unsigned lane) {
    const u32 by = b[lane] & 31, segment = c[lane] >> 8 & 31;
    const u32 last = (lane & segment) | (c[lane] & 31 & ~segment);
    int from = 0;
    bool valid = false;
    if constexpr (mode == Shuffle::up) {
      from = static_cast<int>(lane) - static_cast<int>(by);
      valid = from >= static_cast<int>(last);
    } else {
      if constexpr (mode == Shuffle::down) from = static_cast<int>(lane + by);
      if constexpr (mode == Shuffle::butterfly) from = static_cast<int>(lane ^ by);
      if constexpr (mode == Shuffle::index) from = static_cast<int>((lane & segment) | (by & ~segment));
      valid = from <= static_cast<int>(last);
    }
    if (!valid) from = static_cast<int>(lane);
    if (!(lanes >> from & 1))
      throw Fault(Fault::Kind::other, "lane " + std::to_string(lane) + " reads from lane " +
                                          std::to_string(from) + ", which takes no part");
    in_range |= Mask{valid} << lane;
    made[lane] = a[from];
  });
  u32* const to = warp.row<u32>(i.at[0]);
  each_of(lanes, [&](unsigned lane) { to[lane] = made[lane]; });
  if constexpr (with_predicate) {
    Mask& predicate = warp.predicates[i.at[1]];
    predicate = (predicate & ~lanes) | in_range;
  }
}

void ballot(Warp& warp, const Instruction& i, Mask lanes) {
  const Mask votes = warp.predicates[i.at[1]] & lanes;
  const u32* const members = warp.row<u32>(i.at[2]);
  each(warp.row<u32>(i.at[0]), lanes, [&](unsigned lane) { return votes & members[lane]; });
}
template <bool all>
void vote(Warp& warp, const Instruction& i, Mask lanes) {
  const Mask votes = (all ? ~warp.predicates[i.at[1]] : warp.predicates[i.at[1]]) & lanes;
  const u32* const members = warp.row<u32>(i.at[2]);
  set_predicate(warp, i, lanes,
                lanes_where([&](unsigned lane) { return ((votes & members[lane]) == 0) == all; }));
}

// Fragments as in "Matrix Fragments for mma.m16n8k16"; two bf16 a register, the lower half first. Hardware
// leaves the order of an output's sum and its roundings open; here products are exact and are summed in
// float64.
void multiply_matrices(Warp& warp, const Instruction& i, Mask) {
  constexpr unsigned rows = 16, columns = 8, depth = 16;
  float a[rows][depth], b[depth][columns];
  const auto bf16 = [](u32 pair, unsigned which) {
    return std::bit_cast<float>(which ? pair & 0xFFFF0000u : pair << 16);
  };
  for (unsigned lane = 0; lane < warp_lanes; ++lane) {
    const unsigned group = lane / 4, k = lane % 4 * 2;
    for (unsigned which = 0; which < 2; ++which) {
      for (unsigned j = 0; j < 4; ++j)
        a[group + j % 2 * 8][k + j / 2 * 8 + which] = bf16(warp.row<u32>(i.at[4 + j])[lane], which);
      for (unsigned j = 0; j < 2; ++j)
        b[k + j * 8 + which][group] = bf16(warp.row<u32>(i.at[8 + j])[lane], which);
    }
  }
  double sums[rows][columns];
  for (unsigned row = 0; row < rows; ++row) {
    for (unsigned column = 0; column < columns; ++column)
      sums[row][column] = warp.row<f32>(i.at[10 + row / 8 * 2 + column % 2])[row % 8 * 4 + column / 2];
    for (unsigned k = 0; k < depth; ++k)
      for (unsigned column = 0; column < columns; ++column)
        sums[row][column] += static_cast<double>(a[row][k]) * b[k][column];
  }
  for (unsigned row = 0; row < rows; ++row)
    for (unsigned column = 0; column < columns; ++column)
      warp.row<f32>(i.at[row / 8 * 2 + column % 2])[row % 8 * 4 + column / 2] =
          canonical(static_cast<float>(sums[row][column]));
}

// ---- the list ----

class Set {
 public:
  std::multimap<std::string, Known> known;

  void put(const std::string& opcode, const std::string& operands, Handler handler, Flow flow = Flow::next,
           Reduction reduction = Reduction::none) {
    known.emplace(opcode, Known{operands, handler, flow, reduction});
  }

  template <class T>
  static std::string letter() {
    return sizeof(T) == 8 ? "d" : sizeof(T) == 4 ? "w" : "h";
  }

  // Operations on T that give a T.
  template <class T, auto f>
  void one(const std::string& opcode) {
    put(opcode, letter<T>() + letter<T>(), &unary<T, T, f>);
  }
  template <class T, auto f>
  void two(const std::string& opcode) {
    put(opcode, letter<T>() + letter<T>() + letter<T>(), &binary<T, T, T, f>);
  }
  template <class T, auto f>
  void three(const std::string& opcode) {
    put(opcode, letter<T>() + letter<T>() + letter<T>() + letter<T>(), &ternary<T, T, T, T, f>);
  }
  template <class T, auto f>
  void shift(const std::string& opcode) {
    put(opcode, letter<T>() + letter<T>() + "w", &binary<T, T, u32, f>);
  }
  template <class To, class From, auto f>
  void convert(const std::string& opcode) {
    put(opcode, letter<To>() + letter<From>(), &unary<To, From, f>);
  }
  template <class T, auto f>
  void comparison(const std::string& opcode) {
    put(opcode, "p" + letter<T>() + letter<T>(), &compare<T, f>);
  }

  template <class T>
  void float_arithmetic(const std::string& type) {
    one<T, same>("mov." + type);
    two<T, float_add>("add.rn." + type);
    two<T, float_subtract>("sub.rn." + type);
    two<T, float_multiply>("mul.rn." + type);
    two<T, float_divide>("div.rn." + type);
    three<T, float_fma>("fma.rn." + type);
    one<T, square_root>("sqrt.rn." + type);
    one<T, float_negate>("neg." + type);
    one<T, float_absolute>("abs." + type);
    two<T, float_min>("min." + type);
    two<T, float_max>("max." + type);
    put("selp." + type, letter<T>() + letter<T>() + letter<T>() + "p", &select<T>);
    comparison<T, is_equal>("setp.eq." + type);
    comparison<T, is_not_equal>("setp.neu." + type);
    comparison<T, is_less>("setp.lt." + type);
    comparison<T, is_less_or_equal>("setp.le." + type);
    comparison<T, is_greater>("setp.gt." + type);
    comparison<T, is_greater_or_equal>("setp.ge." + type);
    comparison<T, is_not_greater_or_equal>("setp.ltu." + type);
    comparison<T, is_not_greater>("setp.leu." + type);
    comparison<T, is_not_less_or_equal>("setp.gtu." + type);
    comparison<T, is_not_less>("setp.geu." + type);
    comparison<T, is_unordered>("setp.nan." + type);
  }

  // Where it makes no difference nvcc writes one of s, u and b.
  template <class Signed>
  void integer_arithmetic(const std::string& bits) {
    using T = std::make_unsigned_t<Signed>;
    for (const char* sign : {"s", "u", "b"}) {
      const std::string type = sign + bits;
      one<T, same>("mov." + type);
      put("selp." + type, letter<T>() + letter<T>() + letter<T>() + "p", &select<T>);
      comparison<T, is_equal>("setp.eq." + type);
      comparison<T, is_not_equal>("setp.ne." + type);
    }
    two<T, bit_and>("and.b" + bits);
    two<T, bit_or>("or.b" + bits);
    two<T, bit_xor>("xor.b" + bits);
    one<T, bit_not>("not.b" + bits);
    two<T, add>("add.s" + bits);
    two<T, subtract>("sub.s" + bits);
    two<T, multiply>("mul.lo.s" + bits);
    one<T, negate_integer>("neg.s" + bits);
    shift<T, shift_left>("shl.b" + bits);
    shift<T, shift_right>("shr.u" + bits);
    shift<Signed, shift_right>("shr.s" + bits);
    comparison<T, is_less>("setp.lt.u" + bits);
    comparison<T, is_less_or_equal>("setp.le.u" + bits);
    comparison<T, is_greater>("setp.gt.u" + bits);
    comparison<T, is_greater_or_equal>("setp.ge.u" + bits);
    comparison<Signed, is_less>("setp.lt.s" + bits);
    comparison<Signed, is_less_or_equal>("setp.le.s" + bits);
    comparison<Signed, is_greater>("setp.gt.s" + bits);
    comparison<Signed, is_greater_or_equal>("setp.ge.s" + bits);
  }

  // Registers may be wider than what is read or written.
  template <class Space, class T, class Register, unsigned count>
  void reads(const std::string& space, const std::string& type) {
    std::string registers;
    for (unsigned j = 0; j < count; ++j) registers += letter<Register>();
    const std::string vector = count == 1 ? "" : ".v" + std::to_string(count);
    put("ld" + space + vector + type, registers + "a", &load<Space, T, Register, count>);
    if constexpr (std::is_same_v<Space, Global>)
      put("ld.global.nc" + vector + type, registers + "a", &load<Space, T, Register, count>);
  }
  template <class Space, class T, class Register, unsigned count>
  void writes(const std::string& space, const std::string& type) {
    std::string registers;
    for (unsigned j = 0; j < count; ++j) registers += letter<Register>();
    const std::string vector = count == 1 ? "" : ".v" + std::to_string(count);
    put("st" + space + vector + type, "a" + registers, &store<Space, T, Register, count>);
  }
  template <class Space, class T, class Register, unsigned count>
  void accesses(const std::string& space, const std::string& type) {
    reads<Space, T, Register, count>(space, type);
    if constexpr (!std::is_same_v<Space, Parameters>) writes<Space, T, Register, count>(space, type);
  }
  // Vectors come in registers of the least width that there is, and so do floats.
  template <class Space, class T, class Least, bool widens = true>
  void all_accesses(const std::string& space, const std::string& type) {
    accesses<Space, T, Least, 1>(space, type);
    if constexpr (widens && sizeof(Least) < 4) accesses<Space, T, u32, 1>(space, type);
    if constexpr (widens && sizeof(Least) < 8) accesses<Space, T, u64, 1>(space, type);
    if constexpr (!std::is_same_v<Space, Generic>) {
      accesses<Space, T, Least, 2>(space, type);
      if constexpr (sizeof(T) <= 4) accesses<Space, T, Least, 4>(space, type);
    }
  }
  template <class Space>
  void memory(const std::string& space) {
    all_accesses<Space, u8, u16>(space, ".u8");
    all_accesses<Space, s8, u16>(space, ".s8");
    all_accesses<Space, u16, u16>(space, ".u16");
    all_accesses<Space, u32, u32>(space, ".u32");
    all_accesses<Space, s32, u32>(space, ".s32");
    all_accesses<Space, u32, u32, false>(space, ".f32");
    all_accesses<Space, u64, u64>(space, ".u64");
    all_accesses<Space, u64, u64>(space, ".f64");
  }

  template <class Space, class T, auto f>
  void atomically(const std::string& opcode) {
    put("atom" + opcode, letter<T>() + "a" + letter<T>(), &atomic<Space, T, f>);
  }

  template <Shuffle mode>
  void shuffles(const std::string& name) {
    put("shfl.sync." + name + ".b32", "wpwwwm", &shuffle<mode, true>, Flow::together);
    put("shfl.sync." + name + ".b32", "wwwwm", &shuffle<mode, false>, Flow::together);
  }
};

std::multimap<std::string, Known> make_instruction_set() {
  Set set;
  set.float_arithmetic<f32>("f32");
  set.float_arithmetic<f64>("f64");
  set.one<f32, reciprocal>("rcp.rn.f32");
  set.integer_arithmetic<s16>("16");
  set.integer_arithmetic<s32>("32");
  set.integer_arithmetic<s64>("64");

  set.three<u32, multiply_add>("mad.lo.s32");
  set.two<u32, high_32>("mul.hi.u32");
  set.two<u64, high_64>("mul.hi.u64");
  set.put("mul.wide.u16", "whh", &binary<u32, u16, u16, wide_product<u32>>);
  set.put("mul.wide.u32", "dww", &binary<u64, u32, u32, wide_product<u64>>);
  set.two<u32, divide>("div.u32");
  set.two<u64, divide>("div.u64");
  set.two<u32, remainder>("rem.u32");
  set.two<u32, smaller>("min.u32");
  set.two<u32, larger>("max.u32");
  set.two<u64, smaller>("min.u64");
  set.two<u64, larger>("max.u64");
  set.one<u32, reverse_bits>("brev.b32");
  set.one<u32, count_ones>("popc.b32");
  set.convert<u32, u64, leading_zeros>("clz.b64");
  set.one<u32, shift_of_first_one>("bfind.shiftamt.u32");
  set.three<u32, permute>("prmt.b32");
  set.put("bfi.b32", "wwwww", &insert_bits);
  set.put("mov.b32", "whh", &join<u16, u32>);
  set.put("mov.b64", "dww", &join<u32, u64>);
  set.put("mov.b64", "wwd", &split<u32, u64>);

  set.convert<u16, u32, same>("cvt.u16.u32");
  set.convert<u32, u64, same>("cvt.u32.u64");
  set.convert<u64, u32, same>("cvt.u64.u32");
  set.convert<s64, s32, same>("cvt.s64.s32");
  set.convert<f64, f32, rounded<f64>>("cvt.f64.f32");
  set.convert<f32, f64, rounded<f32>>("cvt.rn.f32.f64");
  set.convert<f32, s32, rounded<f32>>("cvt.rn.f32.s32");
  set.convert<f32, u32, rounded<f32>>("cvt.rn.f32.u32");
  set.convert<f32, u64, rounded<f32>>("cvt.rn.f32.u64");
  set.convert<f64, s64, rounded<f64>>("cvt.rn.f64.s64");
  set.convert<f64, u32, rounded<f64>>("cvt.rn.f64.u32");
  set.convert<f32, f32, to_even>("cvt.rni.f32.f32");
  set.convert<f64, f64, to_even>("cvt.rni.f64.f64");
  set.convert<s32, f32, whole_to_even<s32>>("cvt.rni.s32.f32");
  set.convert<u32, f32, whole_to_even<u32>>("cvt.rni.u32.f32");
  set.convert<s64, f64, whole_to_even<s64>>("cvt.rni.s64.f64");
  set.convert<s32, f32, whole_to_zero<s32>>("cvt.rzi.s32.f32");
  set.convert<s64, f64, whole_to_zero<s64>>("cvt.rzi.s64.f64");
  set.convert<s32, f32, whole_down<s32>>("cvt.rmi.s32.f32");
  set.convert<s32, f32, whole_up<s32>>("cvt.rpi.s32.f32");

  set.put("mov.pred", "pp", &copy_predicate<false>);
  set.put("not.pred", "pp", &copy_predicate<true>);
  set.put("and.pred", "ppp", &combine_predicates<bit_and>);
  set.put("or.pred", "ppp", &combine_predicates<bit_or>);
  set.put("xor.pred", "ppp", &combine_predicates<bit_xor>);

  set.memory<Global>(".global");
  set.memory<Shared>(".shared");
  set.memory<Parameters>(".param");
  set.memory<Generic>("");
  set.one<u64, same>("cvta.to.global.u64");
  set.one<u64, to_generic>("cvta.shared.u64");
  set.atomically<Shared, u32, add>(".shared.add.u32");
  set.atomically<Global, u32, add>(".global.add.u32");
  set.atomically<Global, u64, add>(".global.add.u64");
  set.atomically<Global, f32, float_add>(".global.add.f32");
  set.atomically<Global, f64, float_add>(".global.add.f64");
  set.atomically<Global, u32, smaller>(".global.min.u32");
  set.atomically<Global, s32, smaller>(".global.min.s32");
  set.atomically<Global, s32, larger>(".global.max.s32");
  set.atomically<Global, u64, larger>(".global.max.u64");
  set.atomically<Global, u32, bit_or>(".global.or.b32");
  set.atomically<Global, u32, exchange>(".global.exch.b32");
  set.put("atom.global.cas.b32", "waww", &compare_and_swap);
  set.put("cp.async.cg.shared.global", "aaw", &copy_async);
  set.put("cp.async.commit_group", "", &nothing);
  set.put("cp.async.wait_group", "w", &nothing);
  set.put("membar.gl", "", &nothing);

  set.shuffles<Shuffle::up>("up");
  set.shuffles<Shuffle::down>("down");
  set.shuffles<Shuffle::butterfly>("bfly");
  set.shuffles<Shuffle::index>("idx");
  set.put("vote.sync.ballot.b32", "wpm", &ballot, Flow::together);
  set.put("vote.sync.any.pred", "ppm", &vote<false>, Flow::together);
  set.put("vote.sync.all.pred", "ppm", &vote<true>, Flow::together);
  set.put("bar.warp.sync", "m", &nothing, Flow::together);
  set.put("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "wwwwwwwwwwwwww", &multiply_matrices,
          Flow::together);

  set.put("bar.sync", "b", nullptr, Flow::barrier);
  set.put("bar.red.and.pred", "pbp", nullptr, Flow::barrier, Reduction::all);
  set.put("bar.red.or.pred", "pbp", nullptr, Flow::barrier, Reduction::any);
  set.put("bar.red.popc.u32", "wbp", nullptr, Flow::barrier, Reduction::count);
  set.put("bra", "t", nullptr, Flow::branch);
  set.put("bra.uni", "t", nullptr, Flow::branch);
  set.put("ret", "", nullptr, Flow::end);
  return std::move(set.known);
}

}  // namespace

const std::multimap<std::string, Known>& instruction_set() {
  static const std::multimap<std::string, Known> known = make_instruction_set();
  return known;
}

}  // namespace lanner::ptx
