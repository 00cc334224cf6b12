// Bits of int32: out = a op b. Overwrites out. Memory is the limit.
#include "../../generated/kernels.h"
#include "driver.h"

namespace firesteel::FIRESTEEL_ISA {

using simd::VecI;

void bitwise_and(Context& context, const View& out, const View& a, const View& b) {
  map_binary<int32_t>(context, out, a, b, [](VecI x, VecI y) { return x & y; });
}
void bitwise_or(Context& context, const View& out, const View& a, const View& b) {
  map_binary<int32_t>(context, out, a, b, [](VecI x, VecI y) { return x | y; });
}
void bitwise_xor(Context& context, const View& out, const View& a, const View& b) {
  map_binary<int32_t>(context, out, a, b, [](VecI x, VecI y) { return x ^ y; });
}

namespace {

// C++ does not define shifts by less than 0, or by the width or more. Here such shifts leave nothing, or only the sign.
bool is_within(int32_t shift) { return shift >= 0 && shift < 32; }

}  // namespace

void bitwise_left_shift(Context& context, const View& out, const View& a, const View& b) {
  each<int32_t, int32_t, int32_t>(context, out, a, b, [](int64_t n, int32_t* o, const int32_t* x, const int32_t* y) {
    for (int64_t i = 0; i < n; i++) o[i] = is_within(y[i]) ? int32_t(uint32_t(x[i]) << y[i]) : 0;
  });
}
void bitwise_right_shift(Context& context, const View& out, const View& a, const View& b) {
  each<int32_t, int32_t, int32_t>(context, out, a, b, [](int64_t n, int32_t* o, const int32_t* x, const int32_t* y) {
    for (int64_t i = 0; i < n; i++) o[i] = x[i] >> (is_within(y[i]) ? y[i] : 31);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
