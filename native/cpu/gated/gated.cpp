// Gated functions of two tensors of any strides, and both of their gradients in one pass. They overwrite their results,
// and move 12 bytes an element forward, 20 backward.
#include "../../generated/kernels.h"
#include "../elementwise/driver.h"
#include "../simd/math.h"
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;

FIRESTEEL_INLINE Vec read(const float* from, int64_t n) { return load_some(from, n); }
FIRESTEEL_INLINE Vec read(const uint16_t* from, int64_t n) {
  if (n == lanes) return load_bfloat16(from);
  uint16_t some[lanes] = {};
  memcpy(some, from, size_t(n) * sizeof *from);
  return load_bfloat16(some);
}
FIRESTEEL_INLINE void write(float* to, Vec value, int64_t n) { store_some(to, value, n); }
FIRESTEEL_INLINE void write(uint16_t* to, Vec value, int64_t n) {
  if (n == lanes) return store_bfloat16(to, value);
  uint16_t some[lanes];
  store_bfloat16(some, value);
  memcpy(to, some, size_t(n) * sizeof *to);
}

// The gradients of the gate and of the other half, given the gradient d of the result.
struct Gradients {
  Vec gate, up;
};
FIRESTEEL_INLINE Gradients swiglu_gradients(Vec d, Vec gate, Vec up) {
  const Vec one = set(1.0f), open = sigmoid(gate);
  return {d * up * (open * fma(gate, one - open, one)), d * (gate * open)};
}

// One of the results may be null. The driver knows only one result, and the other's elements have the same places.
template <class T>
void swiglu_backward_as(Context& context, const View* dgate, const View* dup, const View& dy, const View& gate,
                        const View& up) {
  const View& known = dgate ? *dgate : *dup;
  T* const base = pointer<T>(known);
  T* const other = dgate && dup ? pointer<T>(*dup) : nullptr;
  const bool wants_gate = dgate != nullptr;
  const auto loop = [=](bool stream, int64_t n, T* out, const T* d, const T* g, const T* u) {
    T* const second = other ? other + (out - base) : nullptr;
    const auto gradients = [&](int64_t i, int64_t count) __attribute__((always_inline)) {
      return swiglu_gradients(read(d + i, count), read(g + i, count), read(u + i, count));
    };
    const auto one = [&](int64_t i, int64_t count) __attribute__((always_inline)) {
      const Gradients both = gradients(i, count);
      write(out + i, wants_gate ? both.gate : both.up, count);
      if (second) write(second + i, both.up, count);
    };
    int64_t i = 0;
    if constexpr (sizeof(T) == sizeof(float)) {
      const int64_t head = min(to_alignment(out), n);
      if (stream && (!second || min(to_alignment(second), n) == head)) {
        if (head > 0) one(0, head);
        for (i = head; i + lanes <= n; i += lanes) {
          const Gradients both = gradients(i, lanes);
          store_past_caches(out + i, wants_gate ? both.gate : both.up);
          if (second) store_past_caches(second + i, both.up);
        }
      }
    }
    for (; i + lanes <= n; i += lanes) one(i, lanes);
    if (i < n) one(i, n - i);
  };
  run(context, known, dy, gate, up, body_of<T, T, T, T>(loop));
}

}  // namespace

void swiglu(Context& context, const View& out, const View& gate, const View& up) {
  map_binary<float>(context, out, gate, up, [](Vec g, Vec u) { return g * sigmoid(g) * u; });
}

void swiglu_backward(Context& context, const View* dgate, const View* dup, const View& dy, const View& gate,
                     const View& up) {
  if (!dgate && !dup) return;
  const View& known = dgate ? *dgate : *dup;
  if (dgate && dup &&
      !expect(context, same_shape(*dgate, *dup) && dgate->dtype == dup->dtype, "swiglu_backward: the gradients differ"))
    return;
  if (!expect(context, dy.dtype == known.dtype && gate.dtype == known.dtype && up.dtype == known.dtype,
              "swiglu_backward: the dtypes differ"))
    return;
  if (known.dtype == DType::float32) return swiglu_backward_as<float>(context, dgate, dup, dy, gate, up);
  if (expect(context, known.dtype == DType::bfloat16, "swiglu_backward: expected float32 or bfloat16"))
    swiglu_backward_as<uint16_t>(context, dgate, dup, dy, gate, up);
}

}  // namespace firesteel::FIRESTEEL_ISA
