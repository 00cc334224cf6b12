// What softmax and cross entropy share: exponentials of differences to the largest element, which are at most 1.
#pragma once
#include "../simd/math.h"
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA::softmax {

// e^x for x <= 0, to the error of simd::exp; 0 where that is below 1.2e-38 (no denormals). One scaling suffices for
// these arguments, where simd::exp needs two; and the sum with a large number both rounds and has the exponent in its
// lowest bits.
FIRESTEEL_INLINE simd::Vec exp_of_negative(simd::Vec x) {
  using namespace simd;
  const Vec lowest = set(-87.3365f), magic = set(12582912.0f);  // 1.5 * 2^23
  const Vec shifted = fma(x, set(log2_e), magic);
  const Vec tail = exp_tail(x, shifted - magic);
  const Vec power = as_float(shift_left(as_int(shifted) + set_int(127), 23));
  return select(x < lowest, zero(), fma(power, tail, power));
}

}  // namespace firesteel::FIRESTEEL_ISA::softmax
