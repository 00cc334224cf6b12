// The common part of softmax and cross entropy: the largest element, the exponentials of differences from it, which are
// at most 1, and how work is cut.
#pragma once
#include <math.h>

#include "../integers.h"
#include "../simd/math.h"
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA::softmax {

// e^x for x <= 0. The relative error is 2e-7, or 4e-7 for results below e^-20. Results below 1.2e-38 are 0 (no
// denormals). This is shorter than simd::exp. One scaling suffices for these arguments. Another term of the polynomial,
// or more bits of ln 2, would be lost in the sum to which these results are added. Adding a large number rounds, and
// leaves the exponent in the lowest bits.
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
  // The power is multiplied, because adding it to the bits of a NaN could give a number.
  return select(x < lowest, zero(), power * as_float(shift_left(as_int(shifted) + set_int(127), 23)));
}

constexpr int64_t chunk_elements = 16384;  // elements of a chunk of work
constexpr int64_t room_floats = 4096;      // exponentials that are kept if results are written past the caches

// The largest of n elements that is a number, or -infinity. A NaN shows in the sum of exponentials, and looking for it
// here would take as long as the maximum itself.
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
