// The body of walk_avx2.cpp and walk_avx512.cpp: lanes are rows.
//
// Shallow trees (up to 8 levels: what 256 samples make) are not walked. Every inner node is compared once
// with all rows at hand, which takes no gather: a few dozen comparisons serve 32 or 64 rows. Of each node
// there is a mask of the rows that come there; it is parted between the children, and the bits of all nodes
// of a level make each row's path, which is looked up. Deeper trees have too many nodes for that: their rows
// walk by gathers, several registers side by side, since one alone would wait most of the time.
#pragma once

#include "kernels/forest/forest_layout.hpp"
#include "kernels/simd/lanes.hpp"
#include "kernels/simd/transpose.hpp"

namespace lanner::forest {

/// A set of rows, and each row's path, of as many rows as a register has bytes.
template <class Tier>
struct RowSet;

template <>
struct RowSet<simd::Avx2> {
  static constexpr int rows = 32;
  using Set = __m256i;  ///< bytes, all bits set or none
  struct Paths {
    __m256i v;
    LANNER_INLINE static Paths none() { return {_mm256_setzero_si256()}; }
    LANNER_INLINE void append(Set right) { v = _mm256_sub_epi8(_mm256_add_epi8(v, v), right); }
    LANNER_INLINE void store(std::uint8_t* to) const {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v);
    }
  };
  LANNER_INLINE static Set none() { return _mm256_setzero_si256(); }
  LANNER_INLINE static Set all() { return _mm256_set1_epi8(-1); }
  LANNER_INLINE static Set both(Set a, Set b) { return _mm256_and_si256(a, b); }
  LANNER_INLINE static Set either(Set a, Set b) { return _mm256_or_si256(a, b); }
  LANNER_INLINE static Set without(Set a, Set part) { return _mm256_xor_si256(a, part); }
  /// Which row stands at a column's place: packing leaves the halves of registers apart, which is undone
  /// here.
  static constexpr int row_at(int place) { return place % 8 / 4 * 16 + place / 8 * 4 + place % 4; }
  LANNER_INLINE static Set above(const float* column, float threshold) {
    const __m256 t = _mm256_set1_ps(threshold);
    const auto compared = [&](int i) {
      return _mm256_castps_si256(_mm256_cmp_ps(_mm256_loadu_ps(column + 8 * i), t, _CMP_GT_OQ));
    };
    return _mm256_packs_epi16(_mm256_packs_epi32(compared(0), compared(1)),
                              _mm256_packs_epi32(compared(2), compared(3)));
  }
};

template <>
struct RowSet<simd::Avx512> {
  static constexpr int rows = 64;
  using Set = std::uint64_t;
  struct Paths {
#if defined(__AVX512F__)
    __m512i v;
    LANNER_INLINE static Paths none() {
      return {_mm512_setzero_si512()};
    }
    LANNER_INLINE void append(Set right) {
      v = _mm512_sub_epi8(_mm512_add_epi8(v, v), _mm512_movm_epi8(right));
    }
    LANNER_INLINE void store(std::uint8_t* to) const {
      _mm512_storeu_si512(to, v);
    }
#else
    std::uint8_t v[64];
    LANNER_INLINE static Paths none() {
      return {};
    }
    LANNER_INLINE void append(Set right) {
      for (int r = 0; r < 64; ++r) v[r] = static_cast<std::uint8_t>(2 * v[r] + (right >> r & 1));
    }
    LANNER_INLINE void store(std::uint8_t* to) const {
      __builtin_memcpy(to, v, sizeof v);
    }
#endif
  };
  LANNER_INLINE static Set none() {
    return 0;
  }
  LANNER_INLINE static Set all() {
    return ~Set{0};
  }
  LANNER_INLINE static Set both(Set a, Set b) {
    return a & b;
  }
  LANNER_INLINE static Set either(Set a, Set b) {
    return a | b;
  }
  LANNER_INLINE static Set without(Set a, Set part) {
    return a ^ part;
  }
#if defined(__AVX512F__)
  static constexpr int row_at(int place) {
    return place % 16 / 4 * 16 + place / 16 * 4 + place % 4;
  }
#else
  static constexpr int row_at(int place) {
    return place;
  }
#endif
  LANNER_INLINE static Set above(const float* column, float threshold) {
#if defined(__AVX512F__)
    const __m512 t = _mm512_set1_ps(threshold);
    // By the sign of a difference, which no threshold but -0 makes of equals: to pack four of them takes less
    // than to put four masks together.
    const auto less = [&](int i) {
      return _mm512_castps_si512(_mm512_sub_ps(t, _mm512_loadu_ps(column + 16 * i)));
    };
    return _mm512_movepi8_mask(
        _mm512_packs_epi16(_mm512_packs_epi32(less(0), less(1)), _mm512_packs_epi32(less(2), less(3))));
#else
    Set set = 0;
    for (int r = 0; r < 64; ++r) set |= static_cast<Set>(column[r] > threshold) << r;
    return set;
#endif
  }
};

template <class Tier>
struct WalkKernel {
  using F = simd::Floats<Tier>;
  using I = simd::Lanes<Tier, std::int32_t>;
  using D = simd::Doubles<Tier>;
  using S = RowSet<Tier>;
  static constexpr int lanes = F::width;
  static constexpr int side_by_side = 4;
  static constexpr std::size_t walked = lanes * side_by_side;  ///< rows that walk by gathers together
  static constexpr std::size_t block = 4 * S::rows;            ///< rows that share the reading of a tree
  static_assert(block <= column_rows);
  static constexpr std::uint32_t trees_a_sum = 64;  ///< whose lengths 32 bits hold
  static constexpr std::size_t few = 6;             ///< rows, which are sooner walked one by one
  static constexpr std::size_t stride_max = std::size_t{1} << 23;  ///< that 32-bit offsets reach over a block

  /// bytes: between items.
  template <int bytes>
  LANNER_INLINE static F gathered(const float* from, I index) {
    if constexpr (lanes == 8) {
      return _mm256_i32gather_ps(from, reinterpret_cast<__m256i>(index.v), bytes);
    } else {
#if defined(__AVX512F__)
      return _mm512_i32gather_ps(reinterpret_cast<__m512i>(index.v), from, bytes);
#else
      const simd::Halves<I> at(index);
      return simd::Halves<F>(_mm256_i32gather_ps(from, reinterpret_cast<__m256i>(at.low), bytes),
                             _mm256_i32gather_ps(from, reinterpret_cast<__m256i>(at.high), bytes))
          .whole();
#endif
    }
  }
  template <int bytes>
  LANNER_INLINE static I gathered(const std::int32_t* from, I index) {
    return to_bits(gathered<bytes>(reinterpret_cast<const float*>(from), index));
  }
  LANNER_INLINE static I widened(const std::uint8_t* from) {
    typename simd::VectorOf<std::uint8_t, lanes>::type narrow;
    __builtin_memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, typename I::Vector);
  }

  /// Adds to sums what a tree gives the rows of these columns. Several sets share the reading of a node and
  /// the end of a level, which no processor foresees.
  template <int sets>
  LANNER_INLINE static void add_shallow(const ForestTables& forest, std::uint32_t tree, const float* columns,
                                        std::int32_t* sums) {
    const ShallowTree& shape = forest.shallow_trees[tree];
    const ShallowNode* node = forest.shallow_nodes + shape.begin;
    typename S::Set come[ShallowTree::slot_of_leaves + 1][sets];
    for (int s = 0; s < sets; ++s) come[0][s] = S::all();
    typename S::Paths paths[sets];
    for (int s = 0; s < sets; ++s) paths[s] = S::Paths::none();
    const typename S::Set(*here)[sets] = come;
    for (int level = 0; level < shape.levels; ++level) {
      typename S::Set right[sets];
      for (int s = 0; s < sets; ++s) right[s] = S::none();
      for (const ShallowNode* end = node + shape.level_nodes[level]; node != end; ++node, ++here) {
        const float* column = columns + node->feature * block;
        typename S::Set* const left = come[node->to_left];
        typename S::Set* const above = come[node->to_right];
        for (int s = 0; s < sets; ++s) {
          const auto rows = (*here)[s], part = S::both(rows, S::above(column + s * S::rows, node->threshold));
          left[s] = S::without(rows, part);
          above[s] = part;
          right[s] = S::either(right[s], part);
        }
      }
      for (int s = 0; s < sets; ++s) paths[s].append(right[s]);
    }
    constexpr std::size_t together = std::size_t{S::rows} * sets;
    alignas(64) std::uint8_t path[together];
    for (int s = 0; s < sets; ++s) paths[s].store(path + s * S::rows);
    const std::int32_t* lengths = forest.shallow_lengths + shape.lengths;
    for (std::size_t r = 0; r < together; r += lanes)
      (I::load(sums + r) + gathered<4>(lengths, widened(path + r))).store(sums + r);
  }

  /// What trees first .. end give `walked` rows. Not inlined: on its own it keeps its places in registers.
  [[gnu::noinline]] static void add_walked(const ForestTables& forest, std::uint32_t first, std::uint32_t end,
                                           const float* values, const std::int32_t* offsets,
                                           std::int32_t* sums) {
    const int bits = static_cast<int>(forest.feature_bits);
    const I features((1 << bits) - 1);
    I row[side_by_side], sum[side_by_side], at[side_by_side];
    for (int v = 0; v < side_by_side; ++v) {
      row[v] = I::load(offsets + v * lanes);
      sum[v] = I(0);
    }
    for (std::uint32_t t = first; t < end; ++t) {
      const Tree tree = forest.trees[t];
      const float* thresholds = &forest.nodes[tree.begin].threshold;
      const auto* links = reinterpret_cast<const std::int32_t*>(thresholds) + 1;
      for (int v = 0; v < side_by_side; ++v) at[v] = I(0);
      for (std::uint32_t level = 0; level < tree.depth; ++level)
        for (int v = 0; v < side_by_side; ++v) {
          const I link = gathered<8>(links, at[v]);
          const F threshold = gathered<8>(thresholds, at[v]);
          const F x = gathered<4>(values, row[v] + (link & features));
          at[v] = (link >> bits) - (x > threshold);
        }
      for (int v = 0; v < side_by_side; ++v)
        sum[v] = sum[v] + gathered<4>(forest.lengths + tree.begin, at[v]);
    }
    for (int v = 0; v < side_by_side; ++v) sum[v].store(sums + v * lanes);
  }

  /// So many rows are compared for the sake of `count`.
  LANNER_INLINE static std::size_t rows_compared(std::size_t count) {
    return count > block / 2 ? block : count > block / 4 ? block / 2 : block / 4;
  }

  /// Columns of up to `block` rows; places without a row repeat the last one.
  LANNER_INLINE static void turn_over(Rows rows, float* columns) {
    const std::size_t filled = rows_compared(rows.count);
    for (std::size_t set = 0; set < filled; set += S::rows)
      for (int place = 0; place < S::rows; place += lanes) {
        const float* source[lanes];
        for (int i = 0; i < lanes; ++i) {
          const std::size_t row = set + static_cast<std::size_t>(S::row_at(place + i));
          source[i] = rows.data + (row < rows.count ? row : rows.count - 1) * rows.stride;
        }
        float* to = columns + set + place;
        for (std::size_t j = 0; j < rows.width; j += 8, to += 8 * block) {
          F turned[8];
          simd::load_columns<Tier>(source, j, rows.width - j, turned);
          if (j + 8 <= rows.width) {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) turned[i].store(to + i * block);
          } else {
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 7; ++i)
              if (j + i < rows.width) turned[i].store(to + i * block);
          }
        }
      }
  }

  LANNER_INLINE static void walk(const ForestTables& forest, Rows rows, float* columns, float* scores) {
    alignas(64) std::int32_t sums[block], offsets[block];
    alignas(64) double lengths[block];
    alignas(64) float out[block];
    std::size_t begin = 0;
    while (rows.count - begin >= few && rows.stride <= stride_max) {
      const std::size_t count = rows.count - begin < block ? rows.count - begin : block;
      const Rows part{rows.data + begin * rows.stride, count, rows.width, rows.stride};
      const bool shallow = forest.shallow_trees != nullptr;
      if (shallow) turn_over(part, columns);
      for (std::size_t r = 0; r < block; ++r) {
        // Lanes without a row repeat the last one.
        offsets[r] = static_cast<std::int32_t>((r < count ? r : count - 1) * rows.stride);
        lengths[r] = 0;
      }
      for (std::uint32_t first = 0; first < forest.tree_count; first += trees_a_sum) {
        const std::uint32_t end =
            forest.tree_count - first < trees_a_sum ? forest.tree_count : first + trees_a_sum;
        for (std::size_t r = 0; r < block; ++r) sums[r] = 0;
        if (shallow) {
          const std::size_t compared = rows_compared(count);
          for (std::uint32_t t = first; t < end; ++t) {
            if (compared == block) {
              add_shallow<4>(forest, t, columns, sums);
            } else if (compared == block / 2) {
              add_shallow<2>(forest, t, columns, sums);
            } else {
              add_shallow<1>(forest, t, columns, sums);
            }
          }
        } else {
          for (std::size_t r = 0; r < count; r += walked)
            add_walked(forest, first, end, part.data, offsets + r, sums + r);
        }
        for (std::size_t r = 0; r < block; ++r) lengths[r] += sums[r];
      }
      for (std::uint32_t c = 0; c < forest.constant_count; ++c) {
        const Constant constant = forest.constants[c];
        for (std::size_t r = 0; r < count; ++r)
          if (part.data[r * rows.stride + constant.feature] != constant.value) lengths[r] -= forest.unseen;
      }
      for (std::size_t r = 0; r < block; r += D::width) {
        const D score = isolation_of(D::load(lengths + r), D(forest.rate));
        for (int i = 0; i < D::width; ++i)
          out[r + static_cast<std::size_t>(i)] = static_cast<float>(score[i]);
      }
      for (std::size_t r = 0; r < count; ++r) scores[begin + r] = out[r];
      begin += count;
    }
    for (; begin < rows.count; ++begin) scores[begin] = walk_row(forest, rows.data + begin * rows.stride);
  }
};

}  // namespace lanner::forest
