// The float32 screen of a cell's rows: tiles of queries against panels of references. screen.hpp has its
// bound. Rules as in search_survivors.hpp.
#pragma once

#include "kernels/nearest/search_survivors.hpp"

namespace lanner::nearest {

template <class Tier>
struct FloatTiles : Survivors<Tier> {
  static constexpr bool has_codes = false;
  using Base = Survivors<Tier>;
  using Base::infinite;
  using Base::job;
  using Base::lanes;
  using Base::panel_width;
  using Base::registers;
  using Base::scratch;
  using typename Base::Double;
  using typename Base::Float;
  using typename Base::Word;

  /// How far ahead of what they read tiles ask for more, of a cell or of the next one: in floats.
  static constexpr std::size_t panels_ahead = 2048, bias_ahead = 256;

  /// What the tiles need of a query, once its copy and its state are there.
  LANNER_INLINE void prepare(std::size_t) const {}

  /// How many of the queries may share tiles, and are first now.
  LANNER_INLINE std::size_t alike(std::uint32_t*, std::size_t count) const { return count; }

  struct TileRow {
    float threshold;
    float lower_shift;
    std::uint32_t query;
    double squared_norm;
  };

  /// Takes those of a panel's rows into a query's buffer that are not above its threshold.
  [[gnu::noinline]] void take(TileRow& row, const float* values, std::size_t position) const {
    const IndexView& index = job.index;
    QueryState& state = scratch.state[row.query];
    alignas(64) float lower[panel_width];
    alignas(64) float upper[panel_width];
    const Float upper_shift(screen_upper_shift(index.bound, row.squared_norm) + 0x1p-126f);
    const Float extra_share(index.extra_share);
    std::uint32_t survivors = 0;
    for (int v = 0; v < registers; ++v) {
      const Float a = Float::load(values + v * lanes);
      const Float below = a + Float(row.lower_shift);
      simd::maximum(fma(Float(-0x1p-22f), absolute(below), below), Float(0.0f)).store(lower + v * lanes);
      const Float extra = fma(Float::load(index.bias + position + v * lanes), extra_share, upper_shift);
      const Float above = fma(extra, Float(1 + 0x1p-22f), a);
      simd::maximum(fma(Float(0x1p-22f), absolute(above), above), Float(0.0f)).store(upper + v * lanes);
      survivors |= bits_at_most(a, Float(row.threshold)) << (v * lanes);
    }
    if (this->keep(row.query, survivors, position, lower, upper)) {
      this->make_room(row.query, state);
      row.threshold = state.bounded ? screen_threshold(state.limit, row.lower_shift) : row.threshold;
    }
  }

  /// `height` queries against the panels [panel, end), `abreast` panels at a time.
  template <int height, int abreast>
  [[gnu::noinline]] void run_tile(TileRow* rows, std::size_t panel, std::size_t end) const {
    const IndexView& index = job.index;
    const std::size_t width = index.width;
    constexpr int columns = abreast * registers;
    for (; panel < end; panel += abreast) {
      const float* r = index.panels + panel * width * panel_width;
      const float* q = scratch.tile;
      const float* bias = index.bias + panel * panel_width;
      Float sum[height][columns];
#pragma GCC unroll 16
      for (int c = 0; c < columns; ++c) {
        const Float start = Float::load(bias + c * lanes);
        __builtin_prefetch(bias + c * lanes + bias_ahead, 0, 2);
#pragma GCC unroll 16
        for (int h = 0; h < height; ++h) sum[h][c] = start;
      }
      for (std::size_t left = width;;) {
        const std::size_t some = left < tile_features ? left : tile_features;
#pragma GCC unroll 2
        for (std::size_t j = 0; j < some; ++j) {
          Float reference[columns];
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c) {
            const float* const at = r + (c / registers) * width * panel_width + (c % registers) * lanes;
            reference[c] = Float::load(at);
            __builtin_prefetch(at + panels_ahead, 0, 2);
          }
#pragma GCC unroll 16
          for (int h = 0; h < height; ++h) {
            const Float value(q[h * tile_features]);
#pragma GCC unroll 16
            for (int c = 0; c < columns; ++c) sum[h][c] = fma(value, reference[c], sum[h][c]);
          }
          r += panel_width;
          ++q;
        }
        left -= some;
        if (left == 0) break;
        q += (height - 1) * tile_features;
      }

      // One comparison: masks of one each would go through other registers.
      Float least(infinite);
#pragma GCC unroll 16
      for (int h = 0; h < height; ++h) {
        Float smallest = sum[h][0];
#pragma GCC unroll 16
        for (int c = 1; c < columns; ++c) smallest = simd::minimum(sum[h][c], smallest);
        least = simd::minimum(smallest - Float(rows[h].threshold), least);
      }
      if (__builtin_expect(bits_at_most(least, Float(0.0f)) != 0, 0)) {
        alignas(64) float values[height][columns * lanes];
#pragma GCC unroll 16
        for (int h = 0; h < height; ++h) {
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c) sum[h][c].store(values[h] + c * lanes);
        }
        for (int h = 0; h < height; ++h)
          for (int p = 0; p < abreast; ++p) {
            const float* at = values[h] + p * panel_width;
            std::uint32_t some = 0;
            for (int c = 0; c < registers; ++c)
              some |= bits_at_most(Float::load(at + c * lanes), Float(rows[h].threshold));
            if (some) take(rows[h], at, (panel + p) * panel_width);
          }
      }
    }
  }

  /// Centres a query to a cell, and writes it into the tile.
  LANNER_INLINE void pack(std::size_t cell, std::uint32_t query, TileRow& row, float* tile,
                          std::size_t tile_step) const {
    const IndexView& index = job.index;
    const float* q = scratch.query + query * index.centre_stride;
    const float* centre = index.centre + cell * index.centre_stride;
    const Float scale(index.scale);
    for (std::size_t j = 0; j < index.centre_stride; j += lanes) {
      const Float centred = fma(scale, Float::load(q + j), -Float::load(centre + j));
      (centred * Float(-2.0f)).store(tile + j / tile_features * tile_step + j % tile_features);
    }
    const Double wide_scale(static_cast<double>(index.scale));
    Double sum[2] = {Double(0.0), Double(0.0)};
    for (std::size_t j = 0; j < index.centre_stride; j += 2 * Double::width)
      for (int half = 0; half < 2; ++half) {
        const std::size_t at = j + half * Double::width;
        const Double offset =
            fma(wide_scale, simd::load_as_doubles<Tier>(q + at), -simd::load_as_doubles<Tier>(centre + at));
        sum[half] = fma(offset, offset, sum[half]);
      }
    const Double both = sum[0] + sum[1];
    double squared_norm = both[0] + both[1] + (both[2] + both[3]);
    if constexpr (Double::width == 8) squared_norm += both[4] + both[5] + (both[6] + both[7]);

    const QueryState& state = scratch.state[query];
    row.query = query;
    row.lower_shift = screen_lower_shift(index.bound, squared_norm);
    row.squared_norm = squared_norm;
    row.threshold = state.bounded ? screen_threshold(state.limit, row.lower_shift) : 0x1.fffffep127f;
  }

  /// Queries are centred to each cell.
  LANNER_INLINE static constexpr std::size_t cells_at_once() {
    return 1;
  }

  /// The `count` first of `active`, at most `height`, against a cell.
  template <int height, int abreast>
  void take_tile(std::size_t cell, std::size_t, const std::uint32_t* active, std::size_t count) const {
    TileRow rows[height];
    for (int h = 0; h < height; ++h) {
      const bool real = static_cast<std::size_t>(h) < count;
      pack(cell, active[real ? h : 0], rows[h], scratch.tile + h * tile_features, height * tile_features);
      if (!real) rows[h].threshold = -infinite;
    }
    run_tile<height, abreast>(rows, job.index.cell_begin[cell], job.index.cell_end[cell]);
  }
};

}  // namespace lanner::nearest
