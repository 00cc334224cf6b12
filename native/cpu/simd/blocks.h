// Block dtypes (their layouts are in lib/core/dtype.ts) as floats: runs of elements, beginning anywhere in a block.
//
// The whole blocks of a run are decoded a register at a time. Every product of a scale and a number is rounded at most
// once, so that values are the same on every instruction set.
#pragma once
#include "../../core/kernel.h"
#include "half.h"

namespace firesteel::FIRESTEEL_ISA::simd {

static inline bool is_blocks(DType dtype) { return dtype >= first_block_dtype; }
static inline int64_t block_of(DType dtype) { return dtype_block[int(dtype)]; }
// The bytes of `elements` elements of a block dtype, which fill whole blocks.
static inline int64_t bytes_of_blocks(DType dtype, int64_t elements) {
  return elements / block_of(dtype) * dtype_bytes[int(dtype)];
}

constexpr int64_t longest_block = 64;

// The levels of nf4, indexed by their bits (QLoRA, https://arxiv.org/abs/2305.14314, appendix E).
static constexpr float nf4_levels[16] = {-1.0f,
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

// A float16 at `from`, in all lanes.
FIRESTEEL_INLINE Vec float16_at(const uint8_t* from) {
  uint16_t half;
  memcpy(&half, from, sizeof half);
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  return {_mm512_cvtph_ps(_mm256_set1_epi16(short(half)))};
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  return {_mm256_cvtph_ps(_mm_set1_epi16(short(half)))};
#else
  float value;
  widen_float16(1, &value, &half);
  return set(value);
#endif
}

// `lanes` bytes as numbers. The instruction is called by name if g++ would convert each of them separately.
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
FIRESTEEL_INLINE NativeInt signed_bytes(const uint8_t* from) {
  return (NativeInt)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from));
}
FIRESTEEL_INLINE NativeInt unsigned_bytes(const uint8_t* from) {
  return (NativeInt)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from));
}
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
FIRESTEEL_INLINE NativeInt signed_bytes(const uint8_t* from) {
  return (NativeInt)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from));
}
FIRESTEEL_INLINE NativeInt unsigned_bytes(const uint8_t* from) {
  return (NativeInt)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from));
}
#else
FIRESTEEL_INLINE NativeInt signed_bytes(const uint8_t* from) {
  typedef int8_t Bytes __attribute__((vector_size(lanes)));
  Bytes bytes;
  memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, NativeInt);
}
FIRESTEEL_INLINE NativeInt unsigned_bytes(const uint8_t* from) {
  typedef uint8_t Bytes __attribute__((vector_size(lanes)));
  Bytes bytes;
  memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, NativeInt);
}
#endif

// The number of vectors in a block of 32.
constexpr int vectors_of_32 = 32 / lanes;

// The numbers of a block of q8_0, or of q4_0, in registers, without the scale, which is a float16 at `from`.
FIRESTEEL_INLINE void numbers_of_q8_0(Vec (&to)[vectors_of_32], const uint8_t* from) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors_of_32; v++)
    to[v] = {__builtin_convertvector(signed_bytes(from + 2 + v * lanes), NativeFloat)};
}
FIRESTEEL_INLINE void numbers_of_q4_0(Vec (&to)[vectors_of_32], const uint8_t* from) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  // The instruction uses the lowest four bits as the index.
  const NativeInt bytes = unsigned_bytes(from + 2);
  const __m512 levels = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  to[0] = {(NativeFloat)_mm512_permutexvar_ps((__m512i)bytes, levels)};
  to[1] = {(NativeFloat)_mm512_permutexvar_ps((__m512i)(bytes >> 4), levels)};
#else
#pragma GCC unroll 4
  for (int v = 0; v < vectors_of_32 / 2; v++) {
    const NativeInt bytes = unsigned_bytes(from + 2 + v * lanes);
    to[v] = {__builtin_convertvector((bytes & 15) - 8, NativeFloat)};
    to[vectors_of_32 / 2 + v] = {__builtin_convertvector((bytes >> 4) - 8, NativeFloat)};
  }
#endif
}

// The elements of a block of q8_0 or q4_0.
FIRESTEEL_INLINE void read_q8_0(Vec (&to)[vectors_of_32], const uint8_t* from) {
  numbers_of_q8_0(to, from);
  const Vec scale = float16_at(from);
#pragma GCC unroll 8
  for (int v = 0; v < vectors_of_32; v++) to[v] = to[v] * scale;
}
FIRESTEEL_INLINE void read_q4_0(Vec (&to)[vectors_of_32], const uint8_t* from) {
  numbers_of_q4_0(to, from);
  const Vec scale = float16_at(from);
#pragma GCC unroll 8
  for (int v = 0; v < vectors_of_32; v++) to[v] = to[v] * scale;
}

template <class Read>
FIRESTEEL_INLINE void decode_32(float* to, const uint8_t* from, const Read& read) {
  Vec numbers[vectors_of_32];
  read(numbers, from);
#pragma GCC unroll 8
  for (int v = 0; v < vectors_of_32; v++) store(to + v * lanes, numbers[v]);
}

static inline void decode_q8_0(float* to, const uint8_t* from) { decode_32(to, from, read_q8_0); }
static inline void decode_q4_0(float* to, const uint8_t* from) { decode_32(to, from, read_q4_0); }

// table[i] for each i < 16.
FIRESTEEL_INLINE NativeFloat looked_up(const float* table, NativeInt i) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  return (NativeFloat)_mm512_permutexvar_ps((__m512i)i, _mm512_loadu_ps(table));
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)i);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), (__m256i)i);
  return (NativeFloat)_mm256_blendv_ps(low, high, (__m256)(i << 28));
#else
  return NativeFloat{table[i[0]], table[i[1]], table[i[2]], table[i[3]]};
#endif
}

// a[0], b[0], a[1], b[1], ...
FIRESTEEL_INLINE void store_in_turns(float* to, NativeFloat a, NativeFloat b) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  store(to, Vec{__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)});
  store(to + 16, Vec{__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)});
#elif FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2
  store(to, Vec{__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)});
  store(to + 8, Vec{__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)});
#else
  store(to, Vec{__builtin_shufflevector(a, b, 0, 4, 1, 5)});
  store(to + 4, Vec{__builtin_shufflevector(a, b, 2, 6, 3, 7)});
#endif
}

static inline void decode_nf4(float* to, const uint8_t* from) {
  float scale;
  memcpy(&scale, from, sizeof scale);
  float scaled[16];
  for (int i = 0; i < 16; i += lanes) store(scaled + i, load(nf4_levels + i) * set(scale));
  for (int i = 0; i < 32; i += lanes) {
    const NativeInt bytes = unsigned_bytes(from + 4 + i);
    store_in_turns(to + 2 * i, looked_up(scaled, bytes >> 4), looked_up(scaled, bytes & 15));
  }
}

static inline void decode_block(DType dtype, float* to, const uint8_t* from) {
  if (dtype == DType::q8_0) return decode_q8_0(to, from);
  dtype == DType::q4_0 ? decode_q4_0(to, from) : decode_nf4(to, from);
}

// Elements [first, first + count) of consecutive blocks.
static inline void decode_blocks(DType dtype, const void* blocks, int64_t first, int64_t count, float* to) {
  const int64_t block = block_of(dtype), bytes = dtype_bytes[int(dtype)];
  const uint8_t* from = static_cast<const uint8_t*>(blocks) + first / block * bytes;
  for (int64_t skipped = first % block; count > 0; from += bytes, skipped = 0) {
    const int64_t n = block - skipped < count ? block - skipped : count;
    if (n == block) {
      decode_block(dtype, to, from);
    } else {
      float whole[longest_block];
      decode_block(dtype, whole, from);
      memcpy(to, whole + skipped, size_t(n) * sizeof(float));
    }
    to += n;
    count -= n;
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::simd
