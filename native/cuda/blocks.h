// Block dtypes on the device (lib/core/dtype.ts describes their layouts). Kernels take four neighbouring numbers at a
// time, which always lie in one block. Bytes are read in pairs, because blocks are aligned to 2 bytes and no more.
#pragma once
#include "scalar.h"

namespace firesteel::cuda {

struct Numbers {
  float of[4];
};

// Four numbers as they are stored: the block's scale, and their bits in the places that the format's `unpack` reads.
struct Packed {
  float scale;
  uint32_t bits;
};

DEVICE uint32_t pair_at(const uint8_t* from) { return load<uint16_t>(reinterpret_cast<const uint16_t*>(from)); }
DEVICE uint32_t four_at(const uint8_t* from) { return pair_at(from) | pair_at(from + 2) << 16; }
DEVICE float scale_at(const uint8_t* from) { return widen(float16{static_cast<uint16_t>(pair_at(from))}); }

struct Q8 {
  static constexpr int count = 32, bytes = 34;
  // Numbers [i, i + 4) of a block; i is a multiple of 4.
  static DEVICE Packed packed(const uint8_t* block, int i) { return {scale_at(block), four_at(block + 2 + i)}; }
  static DEVICE Numbers unpack(const Packed& four) {
    Numbers numbers;
#pragma unroll
    for (int q = 0; q < 4; q++) numbers.of[q] = four.scale * float(int8_t(four.bits >> 8 * q & 255));
    return numbers;
  }
};

struct Q4 {
  static constexpr int count = 32, bytes = 18;
  static DEVICE Packed packed(const uint8_t* block, int i) {
    return {scale_at(block), four_at(block + 2 + i % 16) >> (i < 16 ? 0 : 4)};
  }
  static DEVICE Numbers unpack(const Packed& four) {
    Numbers numbers;
#pragma unroll
    for (int q = 0; q < 4; q++) numbers.of[q] = four.scale * float(int32_t(four.bits >> 8 * q & 15) - 8);
    return numbers;
  }
};

DEVICE float nf4_level(uint32_t bits) {
  constexpr float levels[16] = {-1.0f,
                                -0.6961928009986877f,
                                -0.5250730514526367f,
                                -0.39491748809814453f,
                                -0.28444138169288635f,
                                -0.18477343022823334f,
                                -0.09105003625154495f,
                                0.0f,
                                0.07958029955625534f,
                                0.16093020141124725f,
                                0.24611230194568634f,
                                0.33791524171829224f,
                                0.44070982933044434f,
                                0.5626170039176941f,
                                0.7229568362236023f,
                                1.0f};
  // The level is chosen bit by bit, because registers cannot be indexed.
  float chosen[8];
#pragma unroll
  for (int i = 0; i < 8; i++) chosen[i] = bits & 1 ? levels[2 * i + 1] : levels[2 * i];
#pragma unroll
  for (int i = 0; i < 4; i++) chosen[i] = bits & 2 ? chosen[2 * i + 1] : chosen[2 * i];
#pragma unroll
  for (int i = 0; i < 2; i++) chosen[i] = bits & 4 ? chosen[2 * i + 1] : chosen[2 * i];
  return bits & 8 ? chosen[1] : chosen[0];
}

struct Nf4 {
  static constexpr int count = 64, bytes = 36;
  static DEVICE Packed packed(const uint8_t* block, int i) {
    return {float_of(four_at(block)), pair_at(block + 4 + i / 2)};
  }
  static DEVICE Numbers unpack(const Packed& four) {
    Numbers numbers;
#pragma unroll
    for (int q = 0; q < 4; q++) numbers.of[q] = four.scale * nf4_level(four.bits >> (q ^ 1) * 4 & 15);
    return numbers;
  }
};

// Elements [at, at + 4) of a tensor; `at` is a multiple of 4.
template <class Format>
DEVICE Packed packed_at(const void* data, int64_t at) {
  const int64_t block = at / Format::count;
  return Format::packed(static_cast<const uint8_t*>(data) + block * Format::bytes,
                        static_cast<int>(at - block * Format::count));
}
template <class Format>
DEVICE Numbers numbers_at(const void* data, int64_t at) {
  return Format::unpack(packed_at<Format>(data, at));
}

}  // namespace firesteel::cuda
