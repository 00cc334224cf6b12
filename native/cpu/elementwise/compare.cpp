// Comparisons of every dtype by value, which give bool, and where. They overwrite out. NaN is unequal to everything.
// The loops are plain, because compilers by themselves vectorise comparisons of dense memory and narrowing to bytes.
#include "../../generated/kernels.h"
#include "../simd/half.h"
#include "blocks.h"
#include "driver.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

template <class T, class Op>
void compare_dense(int64_t n, uint8_t* out, const T* a, const T* b, const Op& op) {
  for (int64_t i = 0; i < n; i++) out[i] = op(a[i], b[i]);
}

template <class T, class Op>
void compare_as(Context& context, const View& out, const View& a, const View& b, const Op& op) {
  each<uint8_t, T, T>(context, out, a, b,
                      [&op](int64_t n, uint8_t* o, const T* p, const T* q) { compare_dense(n, o, p, q, op); });
}

// 16-bit floats, widened some at a time.
template <class Widen, class Op>
void compare_halves(Context& context, const View& out, const View& a, const View& b, const Widen& widen, const Op& op) {
  each<uint8_t, uint16_t, uint16_t>(context, out, a, b,
                                    [&](int64_t n, uint8_t* o, const uint16_t* p, const uint16_t* q) {
                                      float x[compared_halves], y[compared_halves];
                                      for (int64_t i = 0; i < n; i += compared_halves) {
                                        const int64_t m = min(compared_halves, n - i);
                                        widen(m, x, p + i);
                                        widen(m, y, q + i);
                                        compare_dense(m, o + i, x, y, op);
                                      }
                                    });
}

template <class Op>
void compare(Context& context, const View& out, const View& a, const View& b, const Op& op) {
  // The driver compares only the sizes of elements.
  if (!expect(context, a.dtype == b.dtype, "comparison: the inputs' dtypes differ")) return;
  switch (a.dtype) {
    case DType::float32:
      return compare_as<float>(context, out, a, b, op);
    case DType::int32:
      return compare_as<int32_t>(context, out, a, b, op);
    case DType::uint8:
    case DType::boolean:
      return compare_as<uint8_t>(context, out, a, b, op);
    case DType::bfloat16:
      return compare_halves(
          context, out, a, b, [](int64_t n, float* to, const uint16_t* from) { simd::widen_bfloat16(n, to, from); },
          op);
    case DType::float16:
      return compare_halves(
          context, out, a, b, [](int64_t n, float* to, const uint16_t* from) { simd::widen_float16(n, to, from); }, op);
    default:
      return record_error(context, ErrorCode::internal, "comparison: block dtypes cannot be compared");
  }
}

template <class T>
void where_as(Context& context, const View& out, const View& condition, const View& a, const View& b) {
  each<T, uint8_t, T, T>(context, out, condition, a, b, [](int64_t n, T* o, const uint8_t* c, const T* p, const T* q) {
    for (int64_t i = 0; i < n; i++) {
      const T x = p[i], y = q[i];
      o[i] = c[i] ? x : y;
    }
  });
}

}  // namespace

void eq(Context& context, const View& out, const View& a, const View& b) {
  compare(context, out, a, b, [](auto x, auto y) { return x == y; });
}
void ne(Context& context, const View& out, const View& a, const View& b) {
  compare(context, out, a, b, [](auto x, auto y) { return x != y; });
}
void lt(Context& context, const View& out, const View& a, const View& b) {
  compare(context, out, a, b, [](auto x, auto y) { return x < y; });
}
void le(Context& context, const View& out, const View& a, const View& b) {
  compare(context, out, a, b, [](auto x, auto y) { return x <= y; });
}
void gt(Context& context, const View& out, const View& a, const View& b) { lt(context, out, b, a); }
void ge(Context& context, const View& out, const View& a, const View& b) { le(context, out, b, a); }

// Bits are copied, so only the size of an element matters.
void where(Context& context, const View& out, const View& condition, const View& a, const View& b) {
  switch (element_size(out.dtype)) {
    case 4:
      return where_as<uint32_t>(context, out, condition, a, b);
    case 2:
      return where_as<uint16_t>(context, out, condition, a, b);
    default:
      return where_as<uint8_t>(context, out, condition, a, b);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA
