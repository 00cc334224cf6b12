// The 6 x 16 micro-kernel for AVX2 with FMA (Zen, Haswell and later), with 12 accumulators, two vectors of B and two
// broadcasts of A. A step of depth is 12 fused multiply-adds and 8 loads, which take 6 cycles if two of each start per
// cycle. The 12 independent chains cover the latency of 4 to 5 cycles.
#include "micro.h"

#if defined(FIRESTEEL_MICRO_AVX2)
#include <immintrin.h>

namespace firesteel::FIRESTEEL_ISA::gemm {

extern const int64_t MR = tile_rows, NR = tile_columns, KC = block_depth;

namespace {

constexpr int lanes = 8;

// The lanes below `count` of a vector.
inline __m256i first_lanes(int64_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(count)), index);
}

// Loads and stores of C and bias, in `Vectors` vectors. The last one is masked if the tile ends inside it.
template <int Vectors, bool Masked>
inline __m256 load(const float* from, int vector, __m256i mask) {
  return Masked && vector == Vectors - 1 ? _mm256_maskload_ps(from + vector * lanes, mask)
                                         : _mm256_loadu_ps(from + vector * lanes);
}

template <int Vectors, bool Masked>
inline void store(float* to, int vector, __m256i mask, __m256 value) {
  if (Masked && vector == Vectors - 1)
    _mm256_maskstore_ps(to + vector * lanes, mask, value);
  else
    _mm256_storeu_ps(to + vector * lanes, value);
}

// One step of depth: sum[i][v] += A[i] * B[v]. element(Index<i>()) is the address of A[i].
template <int Rows, int Vectors, class F>
FIRESTEEL_UNROLLED inline void step(__m256 (&sum)[Rows][Vectors], const F& element, const float* b) {
  __m256 row_of_b[Vectors];
  repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { row_of_b[v.value] = _mm256_loadu_ps(b + v.value * lanes); });
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    const __m256 a = _mm256_broadcast_ss(element(i));
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { add_product(sum[i.value][v.value], a, row_of_b[v.value]); });
  });
}

// The step of depth at a place, which moves on.
template <bool Packed, int Rows, int Vectors>
FIRESTEEL_UNROLLED inline void next_step(__m256 (&sum)[Rows][Vectors], Place<Rows>& place) {
  if constexpr (Packed) {
    const auto element = [&](auto i) FIRESTEEL_UNROLLED { return place.a + i.value; };
    step<Rows, Vectors>(sum, element, place.b);
    place.a += tile_rows;
    place.b += tile_columns;
  } else {
    // The line of the last element, because B may not begin with a line.
    __builtin_prefetch(place.b + place.fetched + Vectors * lanes - 1);
    const auto element = [&](auto i) FIRESTEEL_UNROLLED { return element_of<i.value>(place.column); };
    step<Rows, Vectors>(sum, element, place.b);
    next_column(place.column, place.a_depth);
    place.b = opaque(place.b + place.b_depth);
  }
}

template <int Rows, int Vectors, bool Masked, bool Packed>
void kernel(const Tile& tile) {
  const __m256i mask = first_lanes(tile.columns - (Vectors - 1) * lanes);
  const int64_t ldc = tile.ldc;
  float* c = tile.c;
  Place<Rows> place = first_place<Rows>(tile);

  __m256 sum[Rows][Vectors];
  repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
    __builtin_prefetch(c + i.value * ldc, 1);
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED { sum[i.value][v.value] = _mm256_setzero_ps(); });
  });

  int64_t d = tile.depth;
  for (; d >= 4; d -= 4) {
    // The panel of A comes from the second-level cache, so this prefetches a few steps ahead. B is in the first level
    // already.
    if (Packed) {
      __builtin_prefetch(place.a + 16 * tile_rows);
      __builtin_prefetch(place.a + 16 * tile_rows + 16);
    }
    repeat<4>([&](auto) FIRESTEEL_UNROLLED { next_step<Packed>(sum, place); });
  }
  for (; d > 0; d--) next_step<Packed>(sum, place);

  finish_tile<Masked>(tile, [&](auto adds_bias, auto accumulates) FIRESTEEL_UNROLLED {
    __m256 bias[Vectors];
    repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED {
      if (adds_bias.value) bias[v.value] = load<Vectors, Masked>(tile.bias, v.value, mask);
    });
    repeat<Rows>([&](auto i) FIRESTEEL_UNROLLED {
      float* row = c + i.value * ldc;
      repeat<Vectors>([&](auto v) FIRESTEEL_UNROLLED {
        __m256 value = sum[i.value][v.value];
        if (accumulates.value) value = _mm256_add_ps(load<Vectors, Masked>(row, v.value, mask), value);
        if (adds_bias.value) value = _mm256_add_ps(value, bias[v.value]);
        store<Vectors, Masked>(row, v.value, mask, value);
      });
    });
  });
}

template <int Rows, bool Packed>
MicroKernel kernel_of_columns(int64_t columns) {
  if (columns == tile_columns) return kernel<Rows, 2, false, Packed>;
  return columns > lanes ? kernel<Rows, 2, true, Packed> : kernel<Rows, 1, true, Packed>;
}

}  // namespace

MicroKernel find_micro_kernel(const Tile& tile) {
  const bool packed = is_packed(tile);
  return with_rows<int(tile_rows)>(tile.rows, [&](auto rows) {
    return packed ? kernel_of_columns<rows.value, true>(tile.columns)
                  : kernel_of_columns<rows.value, false>(tile.columns);
  });
}

void micro_kernel(const Tile& tile) { find_micro_kernel(tile)(tile); }

}  // namespace firesteel::FIRESTEEL_ISA::gemm
#endif
