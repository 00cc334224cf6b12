// Block dtypes: numbers to blocks and blocks to numbers. Numbers become blocks in float32, with the rounding of the
// quantisers that the formats come from (native/cpu/shape/blocks.cpp names them). A thread makes a block, or four
// numbers.
#include "blocks.h"
#include "stored.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

// The number of largest magnitude, or the first of several; NaN if any number is not finite.
DEVICE float extreme(const float* numbers, int count) {
  float most = 0;
  for (int i = 0; i < count; i++) {
    if (!(fabsf(numbers[i]) <= 3.4028234663852886e38f)) return NAN;
    if (fabsf(numbers[i]) > fabsf(most)) most = numbers[i];
  }
  return most;
}

// 1 / scale, or 0 if there is no inverse that float32 can hold.
DEVICE float inverse(float scale) {
  const float result = 1.0f / scale;
  return fabsf(result) <= 3.4028234663852886e38f ? result : 0.0f;
}

DEVICE void store_half(uint8_t* to, float value) {
  const uint16_t bits = narrow<float16>(value).bits;
  to[0] = uint8_t(bits);
  to[1] = uint8_t(bits >> 8);
}

DEVICE void encode(uint8_t* to, const float* numbers, Q8) {
  const float scale = fabsf(extreme(numbers, 32)) / 127.0f, factor = inverse(scale);
  store_half(to, scale);
  for (int i = 0; i < 32; i++) {
    // Halves are rounded away from 0. The addition of one half is exact in float64.
    const double scaled = factor == 0 ? 0.0 : double(numbers[i] * factor);
    to[2 + i] = uint8_t(int8_t(scaled < 0 ? -int(0.5 - scaled) : int(scaled + 0.5)));
  }
}

DEVICE uint32_t q4_bits(float x, float factor) {
  const int level = factor == 0 ? 8 : int(x * factor + 8.5f);
  return uint32_t(level < 15 ? level : 15);
}

DEVICE void encode(uint8_t* to, const float* numbers, Q4) {
  const float scale = extreme(numbers, 32) / -8.0f, factor = inverse(scale);
  store_half(to, scale);
  for (int i = 0; i < 16; i++) to[2 + i] = uint8_t(q4_bits(numbers[i], factor) | q4_bits(numbers[16 + i], factor) << 4);
}

// The number of borders (halfway between levels) below x. Four of them have the values to which a compiler rounds
// bitsandbytes' literals.
DEVICE uint32_t nf4_bits(float x, float factor) {
  if (factor == 0) return 7;
  constexpr float borders[15] = {
      -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
      -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
      0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f};
  const float scaled = x * factor;
  uint32_t level = 0;
#pragma unroll
  for (int k = 0; k < 15; k++) level += scaled > borders[k];
  return level;
}

DEVICE void encode(uint8_t* to, const float* numbers, Nf4) {
  const float magnitude = fabsf(extreme(numbers, 64)), factor = inverse(magnitude);
  const uint32_t stored = bits_of(factor == 0 && magnitude > 0 ? 0.0f : magnitude);
  for (int i = 0; i < 4; i++) to[i] = uint8_t(stored >> 8 * i);
  for (int i = 0; i < 32; i++)
    to[4 + i] = uint8_t(nf4_bits(numbers[2 * i], factor) << 4 | nf4_bits(numbers[2 * i + 1], factor));
}

template <class Format>
DEVICE void encode(const Stored& job) {
  for_rows<1>(job.count / Format::count, [&](int64_t block) {
    encode(static_cast<uint8_t*>(job.to) + block * Format::bytes,
           static_cast<const float*>(job.from) + block * Format::count, Format());
  });
}

template <class Format>
DEVICE void decode(const Stored& job) {
  for_rows<1>(job.count / 4, [&](int64_t n) {
    const Numbers numbers = numbers_at<Format>(job.from, 4 * n);
    for (int q = 0; q < 4; q++) static_cast<float*>(job.to)[4 * n + q] = numbers.of[q];
  });
}

}  // namespace

#define FORMAT(name, Format)                                                         \
  KERNEL(encode_##name, const __grid_constant__ Stored job) { encode<Format>(job); } \
  KERNEL(decode_##name, const __grid_constant__ Stored job) { decode<Format>(job); }

FORMAT(q8_0, Q8)
FORMAT(q4_0, Q4)
FORMAT(nf4, Nf4)
