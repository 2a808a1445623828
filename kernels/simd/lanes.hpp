// A register's worth of values, for the AVX2 and AVX-512 tiers. The names are those of
// kernels/arithmetic/scalar.hpp, so that a formula written once gives the same bits in every lane.
//
// Everything here is a template over the tier and always inlined: a translation unit compiled for AVX-512
// must not leave behind a function that the linker could hand to code that runs on lesser machines.
//
// With LANNER_AVX512_LOWERED the Avx512 tier is compiled for AVX2 machines (a 512-bit register becomes a
// pair): slow, but it runs the tier's own code where AVX-512 is missing.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#define LANNER_INLINE [[gnu::always_inline]] inline

namespace lanner::simd {

struct Avx2 {
  static constexpr int bytes = 32;
};
struct Avx512 {
  static constexpr int bytes = 64;
};

template <class T, int width>
struct VectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * width)));
};

/// `width` values of T in a register of the tier.
template <class Tier, class T, int lanes = Tier::bytes / static_cast<int>(sizeof(T))>
struct Lanes {
  static constexpr int width = lanes;
  using Value = T;
  using Vector = typename VectorOf<T, width>::type;
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  /// All bits of a lane set, or none: what comparisons give.
  using Mask = Lanes<Tier, Integer, width>;

  Vector v;

  Lanes() = default;
  LANNER_INLINE Lanes(Vector vector) : v(vector) {}      // NOLINT(google-explicit-constructor)
  LANNER_INLINE Lanes(T value) : v(value - Vector{}) {}  // NOLINT(google-explicit-constructor): broadcast

  LANNER_INLINE static Lanes load(const T* from) {  // unaligned
    Lanes r;
    __builtin_memcpy(&r.v, from, sizeof(Vector));
    return r;
  }
  LANNER_INLINE void store(T* to) const { __builtin_memcpy(to, &v, sizeof(Vector)); }
  LANNER_INLINE T operator[](int i) const { return v[i]; }

  LANNER_INLINE friend Lanes operator+(Lanes a, Lanes b) { return a.v + b.v; }
  LANNER_INLINE friend Lanes operator-(Lanes a, Lanes b) { return a.v - b.v; }
  LANNER_INLINE friend Lanes operator*(Lanes a, Lanes b) { return a.v * b.v; }
  LANNER_INLINE friend Lanes operator/(Lanes a, Lanes b) { return a.v / b.v; }
  LANNER_INLINE friend Lanes operator-(Lanes a) { return -a.v; }
  LANNER_INLINE friend Mask operator<(Lanes a, Lanes b) { return typename Mask::Vector(a.v < b.v); }
  LANNER_INLINE friend Mask operator<=(Lanes a, Lanes b) { return typename Mask::Vector(a.v <= b.v); }
  LANNER_INLINE friend Mask operator>(Lanes a, Lanes b) { return typename Mask::Vector(a.v > b.v); }
  LANNER_INLINE friend Mask operator>=(Lanes a, Lanes b) { return typename Mask::Vector(a.v >= b.v); }
  LANNER_INLINE friend Mask operator==(Lanes a, Lanes b) { return typename Mask::Vector(a.v == b.v); }
  // Integers only.
  LANNER_INLINE friend Lanes operator&(Lanes a, Lanes b) { return a.v & b.v; }
  LANNER_INLINE friend Lanes operator|(Lanes a, Lanes b) { return a.v | b.v; }
  LANNER_INLINE friend Lanes operator^(Lanes a, Lanes b) { return a.v ^ b.v; }
  LANNER_INLINE friend Lanes operator<<(Lanes a, int n) { return a.v << n; }
  LANNER_INLINE friend Lanes operator>>(Lanes a, int n) { return a.v >> n; }
};

template <class Tier>
using Floats = Lanes<Tier, float>;
template <class Tier>
using Doubles = Lanes<Tier, double>;

// A 512-bit register lowered to two of 256 bits, and back.
template <class L>
struct Halves {
  using Half = Lanes<Avx2, typename L::Value>;
  typename Half::Vector low, high;
  LANNER_INLINE explicit Halves(L x) { __builtin_memcpy(this, &x.v, sizeof x.v); }
  LANNER_INLINE Halves(typename Half::Vector l, typename Half::Vector h) : low(l), high(h) {}
  LANNER_INLINE L whole() const {
    L r;
    __builtin_memcpy(&r.v, this, sizeof r.v);
    return r;
  }
};

template <class L>
concept Wide = L::width * sizeof(typename L::Value) == 64;

template <class Tier>
LANNER_INLINE Lanes<Tier, float> fma(Lanes<Tier, float> a, Lanes<Tier, float> b, Lanes<Tier, float> c) {
  if constexpr (Wide<Lanes<Tier, float>>) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a.v, b.v, c.v);
#else
    using H = Halves<Lanes<Tier, float>>;
    const H x(a), y(b), z(c);
    return H(_mm256_fmadd_ps(x.low, y.low, z.low), _mm256_fmadd_ps(x.high, y.high, z.high)).whole();
#endif
  } else {
    return _mm256_fmadd_ps(a.v, b.v, c.v);
  }
}

template <class Tier>
LANNER_INLINE Lanes<Tier, double> fma(Lanes<Tier, double> a, Lanes<Tier, double> b, Lanes<Tier, double> c) {
  if constexpr (Wide<Lanes<Tier, double>>) {
#if defined(__AVX512F__)
    return _mm512_fmadd_pd(a.v, b.v, c.v);
#else
    using H = Halves<Lanes<Tier, double>>;
    const H x(a), y(b), z(c);
    return H(_mm256_fmadd_pd(x.low, y.low, z.low), _mm256_fmadd_pd(x.high, y.high, z.high)).whole();
#endif
  } else {
    return _mm256_fmadd_pd(a.v, b.v, c.v);
  }
}

template <class Tier>
LANNER_INLINE Lanes<Tier, float> square_root(Lanes<Tier, float> a) {
  if constexpr (Wide<Lanes<Tier, float>>) {
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(a.v);
#else
    using H = Halves<Lanes<Tier, float>>;
    const H x(a);
    return H(_mm256_sqrt_ps(x.low), _mm256_sqrt_ps(x.high)).whole();
#endif
  } else {
    return _mm256_sqrt_ps(a.v);
  }
}

template <class Tier>
LANNER_INLINE Lanes<Tier, double> square_root(Lanes<Tier, double> a) {
  if constexpr (Wide<Lanes<Tier, double>>) {
#if defined(__AVX512F__)
    return _mm512_sqrt_pd(a.v);
#else
    using H = Halves<Lanes<Tier, double>>;
    const H x(a);
    return H(_mm256_sqrt_pd(x.low), _mm256_sqrt_pd(x.high)).whole();
#endif
  } else {
    return _mm256_sqrt_pd(a.v);
  }
}

template <class Tier>
LANNER_INLINE Lanes<Tier, float> round_even(Lanes<Tier, float> a) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  if constexpr (Wide<Lanes<Tier, float>>) {
#if defined(__AVX512F__)
    return _mm512_roundscale_ps(a.v, nearest);
#else
    using H = Halves<Lanes<Tier, float>>;
    const H x(a);
    return H(_mm256_round_ps(x.low, nearest), _mm256_round_ps(x.high, nearest)).whole();
#endif
  } else {
    return _mm256_round_ps(a.v, nearest);
  }
}

template <class Tier>
LANNER_INLINE Lanes<Tier, double> round_even(Lanes<Tier, double> a) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  if constexpr (Wide<Lanes<Tier, double>>) {
#if defined(__AVX512F__)
    return _mm512_roundscale_pd(a.v, nearest);
#else
    using H = Halves<Lanes<Tier, double>>;
    const H x(a);
    return H(_mm256_round_pd(x.low, nearest), _mm256_round_pd(x.high, nearest)).whole();
#endif
  } else {
    return _mm256_round_pd(a.v, nearest);
  }
}

template <class Tier, class T, int width>
LANNER_INLINE Lanes<Tier, T, width> select(typename Lanes<Tier, T, width>::Mask chosen,
                                           Lanes<Tier, T, width> yes, Lanes<Tier, T, width> no) {
  return chosen.v ? yes.v : no.v;
}
template <class Tier, class T, int width>
LANNER_INLINE Lanes<Tier, T, width> minimum(Lanes<Tier, T, width> a, Lanes<Tier, T, width> b) {
  // The compiler would spell floats out as a comparison and a blend; the instruction means the same.
  if constexpr (std::is_same_v<T, float> && width == 8) {
    return _mm256_min_ps(a.v, b.v);
  } else if constexpr (std::is_same_v<T, float> && width == 16) {
#if defined(__AVX512F__)
    return _mm512_min_ps(a.v, b.v);
#else
    using H = Halves<Lanes<Tier, T, width>>;
    const H x(a), y(b);
    return H(_mm256_min_ps(x.low, y.low), _mm256_min_ps(x.high, y.high)).whole();
#endif
  } else {
    return a.v < b.v ? a.v : b.v;
  }
}
template <class Tier, class T, int width>
LANNER_INLINE Lanes<Tier, T, width> maximum(Lanes<Tier, T, width> a, Lanes<Tier, T, width> b) {
  // The compiler would spell floats out as a comparison and a blend; the instruction means the same.
  if constexpr (std::is_same_v<T, float> && width == 8) {
    return _mm256_max_ps(a.v, b.v);
  } else if constexpr (std::is_same_v<T, float> && width == 16) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a.v, b.v);
#else
    using H = Halves<Lanes<Tier, T, width>>;
    const H x(a), y(b);
    return H(_mm256_max_ps(x.low, y.low), _mm256_max_ps(x.high, y.high)).whole();
#endif
  } else {
    return a.v > b.v ? a.v : b.v;
  }
}
template <class Tier, class T, int width>
LANNER_INLINE typename Lanes<Tier, T, width>::Mask to_bits(Lanes<Tier, T, width> a) {
  return typename Lanes<Tier, T, width>::Mask::Vector(a.v);
}
template <class Tier, int width>
LANNER_INLINE Lanes<Tier, float, width> from_bits(Lanes<Tier, std::int32_t, width> a) {
  return typename Lanes<Tier, float, width>::Vector(a.v);
}
template <class Tier, int width>
LANNER_INLINE Lanes<Tier, double, width> from_bits(Lanes<Tier, std::int64_t, width> a) {
  return typename Lanes<Tier, double, width>::Vector(a.v);
}
template <class Tier, class T, int width>
requires std::is_floating_point_v<T> LANNER_INLINE Lanes<Tier, T, width> absolute(Lanes<Tier, T, width> a) {
  using Integer = typename Lanes<Tier, T, width>::Integer;
  return from_bits(to_bits(a) & typename Lanes<Tier, T, width>::Mask(
                                    static_cast<Integer>(~Integer{0} ^ (Integer{1} << (sizeof(T) * 8 - 1)))));
}
template <class Tier, class T, int width>
requires std::is_floating_point_v<T> LANNER_INLINE typename Lanes<Tier, T, width>::Mask to_integer(
    Lanes<Tier, T, width> a) {
  return __builtin_convertvector(a.v, typename Lanes<Tier, T, width>::Mask::Vector);
}
template <class Tier, int width>
LANNER_INLINE Lanes<Tier, float, width> to_float(Lanes<Tier, std::int32_t, width> a) {
  return __builtin_convertvector(a.v, typename Lanes<Tier, float, width>::Vector);
}

/// As many floats as the tier has doubles, widened: reads Doubles<Tier>::width floats.
template <class Tier>
LANNER_INLINE Doubles<Tier> load_as_doubles(const float* from) {
  typename VectorOf<float, Doubles<Tier>::width>::type narrow;
  __builtin_memcpy(&narrow, from, sizeof narrow);
  return __builtin_convertvector(narrow, typename Doubles<Tier>::Vector);
}

/// The least lane; none is NaN.
template <class Tier>
LANNER_INLINE float least_lane(Lanes<Tier, float, 8> a) {
  const __m128 four = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
}
template <class Tier>
LANNER_INLINE float least_lane(Lanes<Tier, float, 16> a) {
  const Halves<Lanes<Tier, float, 16>> half(a);
  return least_lane(Lanes<Tier, float, 8>(_mm256_min_ps(half.low, half.high)));
}

/// Bit i set where lane i of a mask is.
template <class Tier, int width>
LANNER_INLINE std::uint32_t lane_bits(Lanes<Tier, std::int32_t, width> mask) {
  if constexpr (width == 16) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask.v));
#else
    Halves<Lanes<Tier, std::int32_t, width>> h(mask);
    return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(h.low))) |
           static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(h.high))) << 8;
#endif
  } else {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask.v)));
  }
}
template <class Tier, int width>
LANNER_INLINE std::uint32_t lane_bits(Lanes<Tier, std::int64_t, width> mask) {
  if constexpr (width == 8) {
#if defined(__AVX512F__)
    return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask.v));
#else
    Halves<Lanes<Tier, std::int64_t, width>> h(mask);
    return static_cast<std::uint32_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(h.low))) |
           static_cast<std::uint32_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(h.high))) << 4;
#endif
  } else {
    return static_cast<std::uint32_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(mask.v)));
  }
}

/// lane_bits(a <= b), without the detour over a mask of lanes that GCC 12 takes with AVX-512.
template <class Tier, int width>
LANNER_INLINE std::uint32_t bits_at_most(Lanes<Tier, float, width> a, Lanes<Tier, float, width> b) {
#if defined(__AVX512F__)
  if constexpr (width == 16)
    return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(a.v), reinterpret_cast<__m512>(b.v), _CMP_LE_OQ);
#endif
  return lane_bits(a <= b);
}

}  // namespace lanner::simd
