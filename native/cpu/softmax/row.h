// What softmax and cross entropy share: exponentials of differences to the largest element, which are at most 1.
#pragma once
#include "../simd/math.h"
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA::softmax {

// e^x for x <= 0, to the error of simd::exp; 0 where that is below 1.2e-38 (no denormals). One scaling suffices for
// these arguments, where simd::exp needs two.
FIRESTEEL_INLINE simd::Vec exp_of_negative(simd::Vec x) {
  using namespace simd;
  const Vec lowest = set(-87.3365f);
  const ExpParts e = exp_parts(clamp(x, -88.0f, 0.5f));
  const Vec power = as_float(shift_left(round_to_int(e.k) + set_int(127), 23));
  return select(x < lowest, zero(), fma(power, e.tail, power));
}

}  // namespace firesteel::FIRESTEEL_ISA::softmax
