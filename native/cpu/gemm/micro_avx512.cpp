// The micro-kernels for AVX-512. Both have 24 accumulators, so that a step of depth is 24 fused multiply-adds, which
// take 12 cycles if two start per cycle. The 12 x 32 kernel takes 14 loads: two vectors of B and twelve broadcasts of
// A. The 8 x 48 kernel takes three and eight. Ice Lake does 1.1 loads of 512 bits a cycle, broadcasts included. This
// limits the first kernel to 0.91 of the multiply-adds' peak, and lets the second reach 0.98.
#include "micro.h"

#if defined(FIRESTEEL_MICRO_AVX512)
// gcc 12 warns of its own _mm512_undefined_ps wherever an AVX-512 function is used.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace firesteel::FIRESTEEL_ISA::gemm {

extern const int64_t MR = tile_rows, NR = tile_columns, KC = block_depth;

namespace {

constexpr int lanes = 16;
// The number of steps of depth before the end at which C is prefetched, or its last row if tiles are wide.
// This is early enough for the third-level cache, and so late that panels do not evict rows a power of two apart, which
// share a set of the first level.
constexpr int64_t c_ahead = 64;
// The number of steps from prefetching one row of C to prefetching the next, if tiles are wide. A core
// awaits a dozen lines at a time, and needs most of them for panels, which do not fit the first level there.
constexpr int64_t c_apart = 8;

// The lanes below `count` of a vector.
inline __mmask16 first_lanes(int64_t count) { return __mmask16((1u << count) - 1); }

// Loads and stores of C and bias, in `Vectors` vectors. The last one is masked if the tile ends inside it.
template <int Vectors, bool Masked>
inline __m512 load(const float* from, int vector, __mmask16 mask) {
  return Masked && vector == Vectors - 1 ? _mm512_maskz_loadu_ps(mask, from + vector * lanes)
                                         : _mm512_loadu_ps(from + vector * lanes);
}

template <int Vectors, bool Masked>
inline void store(float* to, int vector, __mmask16 mask, __m512 value) {
  if (Masked && vector == Vectors - 1)
    _mm512_mask_storeu_ps(to + vector * lanes, mask, value);
  else
    _mm512_storeu_ps(to + vector * lanes, value);
}

// One step of depth: sum[i][v] += A[i] * B[v]. element(Index<i>()) is the address of A[i].
template <int Rows, int Vectors, class F>
FIRESTEEL_UNROLLED inline void step(__m512 (&sum)[Rows][Vectors], const F& element, const float* b) {
  __m512 row_of_b[Vectors];
  repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { row_of_b[v.value] = _mm512_loadu_ps(b + v.value * lanes); });
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    const __m512 a = _mm512_set1_ps(*element(i));
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { add_product(sum[i.value][v.value], a, row_of_b[v.value]); });
  });
}

// The step of depth at a place, which moves on.
template <bool Packed, int Rows, int Vectors>
FIRESTEEL_UNROLLED inline void next_step(__m512 (&sum)[Rows][Vectors], Place<Rows>& place) {
  constexpr bool is_wide = Vectors * lanes > tile_columns;
  if constexpr (Packed) {
    const auto element = [&](auto i) FIRESTEEL_UNROLLED { return place.a + i.value; };
    step<Rows, Vectors>(sum, element, place.b);
    place.a += is_wide ? wide_rows : tile_rows;
    place.b += is_wide ? wide_columns : tile_columns;
  } else {
    // The lines of the vectors' last elements, because B may not begin with a line. The other tile has no loads to
    // spare.
    if constexpr (is_wide)
      repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED {
        __builtin_prefetch(place.b + place.fetched + v.value * lanes + lanes - 1);
      });
    const auto element = [&](auto i) FIRESTEEL_UNROLLED { return element_of<i.value>(place.column); };
    step<Rows, Vectors>(sum, element, place.b);
    next_column(place.column, place.a_depth);
    place.b = opaque(place.b + place.b_depth);
  }
}

template <int Rows, int Vectors, bool Masked, bool Packed>
void kernel(const Tile& tile) {
  const __mmask16 mask = first_lanes(tile.columns - (Vectors - 1) * lanes);
  constexpr bool is_wide = Vectors * lanes > tile_columns;
  constexpr int64_t panel_rows = is_wide ? wide_rows : tile_rows;
  const int64_t ldc = tile.ldc;
  float* c = tile.c;
  const char* ahead = tile.ahead;
  Place<Rows> place = first_place<Rows>(tile);

  __m512 sum[Rows][Vectors];
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { sum[i.value][v.value] = _mm512_setzero_ps(); });
  });

  int64_t d = tile.depth;
  constexpr int at_once = is_wide ? 1 : Rows;  // rows of C that are prefetched together
  float* wanted = c;                           // the first of them
  for (int64_t last = d > c_ahead ? c_ahead + (Rows - at_once) * c_apart : 0;;
       last = last > c_ahead ? last - c_apart : 0) {
    for (; d >= last + asked_steps; d -= asked_steps) {
      // The panel of A comes from the second-level cache, so this prefetches a few steps ahead.
      if (Packed)
        repeat<int(asked_steps * panel_rows) / lanes>(
            [&](auto line) FIRESTEEL_UNROLLED { __builtin_prefetch(place.a + 12 * panel_rows + lanes * line.value); });
      if (Packed && is_wide) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += tile.ahead_step;
      }
      repeat<int(asked_steps)>([&](auto) FIRESTEEL_UNROLLED { next_step<Packed>(sum, place); });
    }
    if (last == 0) break;
    repeat<at_once>([&](auto i) FIRESTEEL_UNROLLED {
      repeat<Vectors>([&](auto v)
                          FIRESTEEL_UNROLLED { __builtin_prefetch(wanted + i.value * ldc + v.value * lanes, 1); });
    });
    wanted += at_once * ldc;
  }
  for (; d > 0; d--) next_step<Packed>(sum, place);

  finish_tile<Masked>(tile, [&](auto adds_bias, auto accumulates) FIRESTEEL_UNROLLED {
    __m512 bias[Vectors];
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED {
      if (adds_bias.value) bias[v.value] = load<Vectors, Masked>(tile.bias, v.value, mask);
    });
    repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
      float* row = c + i.value * ldc;
      repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED {
        __m512 value = sum[i.value][v.value];
        if (accumulates.value) value = _mm512_add_ps(load<Vectors, Masked>(row, v.value, mask), value);
        if (adds_bias.value) value = _mm512_add_ps(value, bias[v.value]);
        store<Vectors, Masked>(row, v.value, mask, value);
      });
    });
  });
}

template <int Rows, bool Packed>
MicroKernel kernel_of_columns(int64_t columns) {
  if (columns == tile_columns) return kernel<Rows, 2, false, Packed>;
  // Narrower tiles keep their strides as run-time values, which leaves half as many kernels to compile.
  return columns > lanes ? kernel<Rows, 2, true, false> : kernel<Rows, 1, true, false>;
}

}  // namespace

MicroKernel find_micro_kernel(const Tile& tile) {
  if (tile.pairs) return find_pairs_kernel(tile);
  if (asks_ahead(tile)) return kernel<int(wide_rows), 3, false, true>;
  if (tile.columns > tile_columns)
    return with_rows<int(wide_rows)>(tile.rows, [&](auto rows) -> MicroKernel {
      if (tile.columns == wide_columns) return kernel<rows.value, 3, false, false>;
      return kernel<rows.value, 3, true, false>;
    });
  const bool packed = is_packed(tile);
  return with_rows<int(tile_rows)>(tile.rows, [&](auto rows) {
    return packed ? kernel_of_columns<rows.value, true>(tile.columns)
                  : kernel_of_columns<rows.value, false>(tile.columns);
  });
}

void micro_kernel(const Tile& tile) { find_micro_kernel(tile)(tile); }

}  // namespace firesteel::FIRESTEEL_ISA::gemm
#endif
