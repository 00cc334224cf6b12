// The common part of softmax and cross entropy: exponentials of differences to the largest element, which are at most
// 1, that element, and how work is cut.
#pragma once
#include <math.h>

#include "../integers.h"
#include "../simd/math.h"
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA::softmax {

// e^x for x <= 0 with a relative error of 2e-7, and where it is below e^-20 of 4e-7; 0 where that is below 1.2e-38 (no
// denormals). Shorter than simd::exp: one scaling suffices for these arguments, and one more term of the polynomial, or
// more bits of ln 2, would be lost in the sum that all of this goes into. Adding a large number rounds, and leaves the
// exponent in the lowest bits.
FIRESTEEL_INLINE simd::Vec exp_of_negative(simd::Vec x) {
  using namespace simd;
  const Vec lowest = set(-87.3365f), magic = set(12582912.0f);  // 1.5 * 2^23
  const Vec shifted = fma(x, set(log2_e), magic), k = shifted - magic;
#if FIRESTEEL_ISA_NUMBER == FIRESTEEL_ISA_base
  const Vec r = fma(k, set(-ln2_low), fma(k, set(-ln2_high), x));  // the product would be rounded
#else
  const Vec r = fma(k, set(-0.693147182f), x);
#endif
  const Vec power = polynomial(r, 1.0f, 0.99999971f, 0.49999149f, 0.16667637f, 0.04189798f, 0.0082903f);
  // The power is multiplied, because adding to the bits of a NaN could give a number.
  return select(x < lowest, zero(), power * as_float(shift_left(as_int(shifted) + set_int(127), 23)));
}

constexpr int64_t chunk_elements = 16384;  // of a chunk of work
constexpr int64_t room_floats = 4096;      // exponentials that are kept where results are written past the caches

// The largest of n elements that is a number, or -infinity: a NaN shows in the sum of exponentials, and looking for it
// here too would take as long as the maximum.
FIRESTEEL_INLINE float largest_number(const float* x, int64_t n) {
  using namespace simd;
  Vec largest[4];
  for (int way = 0; way < 4; way++) largest[way] = set(-INFINITY);
  const auto raise = [](Vec a, Vec b) { return Vec{b.v > a.v ? b.v : a.v}; };
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
    for (int way = 0; way < 4; way++) largest[way] = raise(largest[way], load(x + i + way * lanes));
  for (; i + lanes <= n; i += lanes) largest[0] = raise(largest[0], load(x + i));
  if (i < n) largest[1] = raise(largest[1], first_of(load_partial(x + i, n - i), n - i, set(-INFINITY)));
  return reduce_max(raise(raise(largest[0], largest[1]), raise(largest[2], largest[3])));
}

}  // namespace firesteel::FIRESTEEL_ISA::softmax
