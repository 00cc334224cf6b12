// The loops that measure a roofline (see core/peak.h).
//
// Multiply-adds form as many independent chains as hide the latency, all in registers. A latency of 4 cycles on two
// ports needs 8 chains; a separate multiplication and addition need 16. Factor and summand keep every chain near 1,
// away from denormals. The loops over memory move eight registers in a round, so that the loads and stores themselves
// take the time.
#include "../core/peak.h"

#include "../core/processor.h"
#include "simd/vector.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace simd;

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512 || FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_neon
constexpr int chains = 24;  // of 32 registers
#else
constexpr int chains = 12;  // of 16
#endif
constexpr int unroll = 8;

float multiply_add(int64_t rounds) {
  const Vec factor = set(0.999f), summand = set(0.001f);
  Vec x[chains];
  for (int i = 0; i < chains; i++) x[i] = set(1.0f + float(i) / chains);
  for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 24
    for (int i = 0; i < chains; i++) x[i] = fma(x[i], factor, summand);
  }
  Vec sum = x[0];
  for (int i = 1; i < chains; i++) sum = sum + x[i];
  return reduce_add(sum);
}

#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
__attribute__((target("avx512bf16"))) float multiply_add_bfloat16(int64_t rounds) {
  const __m512bh small = (__m512bh)_mm512_set1_epi32(0x33803380);  // pairs of 2^-24, so that the sums stay finite
  __m512 x[chains];
  for (int i = 0; i < chains; i++) x[i] = _mm512_set1_ps(1.0f + float(i) / chains);
  for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 24
    for (int i = 0; i < chains; i++) x[i] = _mm512_dpbf16_ps(x[i], small, small);
  }
  __m512 sum = x[0];
  for (int i = 1; i < chains; i++) sum = _mm512_add_ps(sum, x[i]);
  return reduce_add(Vec{sum});
}
bool has_bfloat16() { return this_processor().avx512bf16; }
constexpr PeakLoops::Arithmetic bfloat16 = {int64_t(4) * lanes * chains, multiply_add_bfloat16, has_bfloat16};
#else
constexpr PeakLoops::Arithmetic bfloat16 = {0, nullptr, nullptr};
#endif

float read(const float* x, int64_t count) {
  Vec sum[unroll];
  for (int j = 0; j < unroll; j++) sum[j] = zero();
  for (int64_t i = 0; i < count; i += unroll * lanes)
    for (int j = 0; j < unroll; j++) sum[j] = sum[j] + load(x + i + j * lanes);
  Vec total = sum[0];
  for (int j = 1; j < unroll; j++) total = total + sum[j];
  return reduce_add(total);
}

void copy(float* out, const float* x, int64_t count) {
  for (int64_t i = 0; i < count; i += unroll * lanes)
    for (int j = 0; j < unroll; j++) store(out + i + j * lanes, load(x + i + j * lanes));
}

// Copies without first reading the lines that it overwrites, if the instruction set has such a store.
void copy_past_caches(float* out, const float* x, int64_t count) {
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx2 || FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_avx512
  for (int64_t i = 0; i < count; i += 8) _mm256_stream_ps(out + i, _mm256_load_ps(x + i));
  _mm_sfence();
#elif defined(__SSE2__)
  for (int64_t i = 0; i < count; i += 4) _mm_stream_ps(out + i, _mm_load_ps(x + i));
  _mm_sfence();
#else
  copy(out, x, count);
#endif
}

}  // namespace

extern const PeakLoops peak_loops;
const PeakLoops peak_loops = {
    {int64_t(2) * lanes * chains, multiply_add, nullptr}, bfloat16, read, copy, copy_past_caches};

}  // namespace firesteel::FIRESTEEL_ISA
