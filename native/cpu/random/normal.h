// Turns random words into normal numbers by the inverse of the normal distribution function: Wichura, "Algorithm AS
// 241: the percentage points of the normal distribution" (Applied Statistics 37, 1988), PPND16.
//
// Everything is + - * / and sqrt of float64 in a fixed order, the logarithm included, so that every IEEE machine gives
// the same bits; lib/core/distributions.ts is the same sequence in TypeScript. So no multiplication may be fused with
// an addition here. Only 2^32 probabilities occur, (word + 0.5) / 2^32, so AS 241's third region, below e^-25, is never
// needed.
#pragma once
#include "philox.h"

namespace firesteel::FIRESTEEL_ISA::random {

constexpr int normal_lanes = philox_lanes;  // 64-bit lanes of a register
typedef uint64_t NormalBits __attribute__((vector_size(8 * normal_lanes)));
typedef int64_t NormalMask __attribute__((vector_size(8 * normal_lanes)));
typedef double NormalDoubles __attribute__((vector_size(8 * normal_lanes)));

static inline NormalDoubles square_root(NormalDoubles x) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  return NormalDoubles(_mm512_maskz_sqrt_pd(0xFF, __m512d(x)));  // as in multiply_words
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return NormalDoubles(_mm256_sqrt_pd(__m256d(x)));
#elif defined(__SSE2__)
  return NormalDoubles(_mm_sqrt_pd(__m128d(x)));
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
  return NormalDoubles(vsqrtq_f64(float64x2_t(x)));
#else
  for (int lane = 0; lane < normal_lanes; lane++) x[lane] = __builtin_sqrt(x[lane]);
  return x;
#endif
}

static inline NormalDoubles select(NormalMask mask, NormalDoubles yes, NormalDoubles no) {
  return NormalDoubles((mask & NormalMask(yes)) | (~mask & NormalMask(no)));
}

// Converts integers below 2^52 exactly, by placing them in the lowest bits of 2^52.
static inline NormalDoubles to_double(NormalBits integers) {
  return NormalDoubles(integers | 0x4330000000000000u) - 4503599627370496.0;
}

// -log(odd / 2^33) for odd integers below 2^32, to 2 units in the last place. log(m 2^e) = log(m) + e log(2) with m in
// [sqrt(1/2), sqrt(2)], and log(m) = 2 artanh(s), s = (m - 1) / (m + 1), as a power series up to s^21.
static inline NormalDoubles negative_log(NormalDoubles odd) {
  const NormalBits bits = NormalBits(odd);
  NormalDoubles m = NormalDoubles((bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u);
  NormalDoubles e = to_double(bits >> 52) - 1056.0;  // 1023 + 33
  const NormalMask large = m > 1.4142135623730951;
  m = select(large, m * 0.5, m);
  e = select(large, e + 1.0, e);
  const NormalDoubles s = (m - 1.0) / (m + 1.0), z = s * s;
  NormalDoubles series = z * 0.09523809523809523 + 0.10526315789473684;
  series = series * z + 0.11764705882352941;
  series = series * z + 0.13333333333333333;
  series = series * z + 0.15384615384615385;
  series = series * z + 0.18181818181818182;
  series = series * z + 0.2222222222222222;
  series = series * z + 0.2857142857142857;
  series = series * z + 0.4;
  series = series * z + 0.6666666666666666;
  series = series * z + 2.0;
  return e * -0.6931471805599453 - series * s;
}

// By symmetry, words in the upper half mirror those in the lower. `odd` is 2^33 times the distance of the probability
// (word + 0.5) / 2^32 to the nearer end, and `upper` tells which end that is.
struct NormalPlace {
  NormalDoubles odd;
  NormalMask upper;
};

static inline NormalPlace place_of(NormalBits words) {
  const NormalMask upper = words > 0x7FFFFFFFu;
  const NormalBits mirrored = words ^ (NormalBits(upper) & 0xFFFFFFFFu);
  return {to_double(mirrored + mirrored + 1), upper};
}

// Quantiles of probabilities from 0.075 to 0.925.
static inline NormalDoubles central_quantile(NormalBits words) {
  const NormalPlace place = place_of(words);
  const NormalDoubles q = 0.5 - place.odd * 1.1641532182693481e-10;  // 2^-33
  const NormalDoubles r = 0.180625 - q * q;
  NormalDoubles top = r * 2509.0809287301227 + 33430.57558358813;
  top = top * r + 67265.7709270087;
  top = top * r + 45921.95393154987;
  top = top * r + 13731.69376550946;
  top = top * r + 1971.5909503065513;
  top = top * r + 133.14166789178438;
  top = top * r + 3.3871328727963665;
  NormalDoubles bottom = r * 5226.495278852854 + 28729.085735721943;
  bottom = bottom * r + 39307.89580009271;
  bottom = bottom * r + 21213.794301586597;
  bottom = bottom * r + 5394.196021424751;
  bottom = bottom * r + 687.1870074920579;
  bottom = bottom * r + 42.31333070160091;
  bottom = bottom * r + 1.0;

  const NormalDoubles size = q * top / bottom;
  return select(place.upper, size, -size);
}

// Quantiles of the other probabilities.
static inline NormalDoubles tail_quantile(NormalBits words) {
  const NormalPlace place = place_of(words);
  const NormalDoubles t = square_root(negative_log(place.odd)) - 1.6;
  NormalDoubles top = t * 0.0007745450142783414 + 0.022723844989269184;
  top = top * t + 0.2417807251774506;
  top = top * t + 1.2704582524523684;
  top = top * t + 3.6478483247632045;
  top = top * t + 5.769497221460691;
  top = top * t + 4.630337846156546;
  top = top * t + 1.4234371107496835;
  NormalDoubles bottom = t * 1.0507500716444169e-9 + 0.0005475938084995345;
  bottom = bottom * t + 0.015198666563616457;
  bottom = bottom * t + 0.14810397642748008;
  bottom = bottom * t + 0.6897673349851;
  bottom = bottom * t + 1.6763848301838038;
  bottom = bottom * t + 2.053191626637759;
  bottom = bottom * t + 1.0;

  const NormalDoubles size = top / bottom;
  return select(place.upper, size, -size);
}

// Whether the word is in AS 241's tail, |q| > 0.425.
static inline bool in_tail(uint32_t word) {
  constexpr uint32_t tail_words = 322122547;  // at each end; 0.075 * 2^32
  return (word <= 0x7FFFFFFFu ? word : ~word) < tail_words;
}

constexpr int64_t normal_buffer = 768;

// z[i] = quantile of (words[i] + 0.5) / 2^32 for i < count <= normal_buffer; both have room for whole registers. The
// numbers in the tails, three in twenty, are collected first, so that only they take the longer way.
static inline void normal_quantiles(double* z, const uint32_t* words, int64_t count) {
  typedef uint32_t Words __attribute__((vector_size(4 * normal_lanes)));
  int32_t tails[normal_buffer];
  int64_t tail_count = 0;
  for (int64_t i = 0; i < count; i += normal_lanes) {
    Words piece;
    memcpy(&piece, words + i, sizeof piece);
    const NormalDoubles quantiles = central_quantile(__builtin_convertvector(piece, NormalBits));
    memcpy(z + i, &quantiles, sizeof quantiles);
  }
  for (int64_t i = 0; i < count; i++) {
    tails[tail_count] = int32_t(i);
    tail_count += in_tail(words[i]);
  }
  for (int64_t i = 0; i < tail_count; i += normal_lanes) {
    NormalBits piece = {};
    const int64_t left = tail_count - i;
    for (int64_t lane = 0; lane < normal_lanes && lane < left; lane++) piece[lane] = words[tails[i + lane]];
    const NormalDoubles quantiles = tail_quantile(piece);
    for (int64_t lane = 0; lane < normal_lanes && lane < left; lane++) z[tails[i + lane]] = quantiles[lane];
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::random
