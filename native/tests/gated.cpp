// Gated functions against double: all layouts, both dtypes, one gradient or both, and calls that must be refused.
// Counts lie around a register, a chunk, and the size that is written past the caches.
#include "../cpu/elementwise/driver.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// A float32 result of a few roundings, and one more if it is bfloat16.
bool right(double got, double exact, double size, DType dtype) {
  const double rounding = dtype == DType::float32 ? 0 : 0x1p-8 * fabs(exact) + 0x1p-134;
  return near(got, exact, 16 * epsilon * size + rounding);
}

void test_swiglu(const Sizes& sizes, DType dtype, Layout layout, Layout other) {
  const std::string what = "swiglu of " + text(sizes) + " in " + name(dtype) + " laid " + std::to_string(int(layout)) +
                           " and " + std::to_string(int(other));
  Array gate(sizes, dtype, layout), up(sizes, dtype, other), dy(sizes, dtype, other), out(sizes, dtype);
  randomise(gate, 1);
  randomise(up, 2);
  randomise(dy, 3);
  if (layout == Layout::dense)
    for (int64_t i = 0; i < gate.size(); i += 3) gate.set(i, 20 * gate.get(i));
  run(what, out, [&](Context& c) { isa::swiglu(c, out.view, gate.view, up.view); });
  bool good = true;
  for (int64_t i = 0; i < out.size(); i++) {
    const double exact = gate.get(i) * sigmoid(gate.get(i)) * up.get(i);
    good = good && right(out.get(i), exact, fabs(exact), dtype);
  }
  check(good, what);
  for (int wanted = 1; wanted < 4; wanted++) {
    Array dgate(sizes, dtype), dup(sizes, dtype);
    const auto backward = [&](Context& c) {
      isa::swiglu_backward(c, wanted & 1 ? &dgate.view : nullptr, wanted & 2 ? &dup.view : nullptr, dy.view, gate.view,
                           up.view);
    };
    const std::string of = what + ": gradients " + std::to_string(wanted);
    if (wanted & 1) run(of, dgate, backward);
    if (wanted & 2) run(of, dup, backward);
    good = dgate.intact() && dup.intact();
    for (int64_t i = 0; i < out.size(); i++) {
      const double g = gate.get(i), s = sigmoid(g), d = dy.get(i), u = up.get(i);
      if (wanted & 1)
        good = good && right(dgate.get(i), d * u * s * (1 + g * (1 - s)), fabs(d * u) * s * (1 + fabs(g)), dtype);
      if (wanted & 2) good = good && right(dup.get(i), d * g * s, fabs(d * g * s), dtype);
    }
    check(good, of);
  }
}

void test_wrong_calls() {
  Array x({3, 4}, DType::float32), y({3, 5}, DType::float32), halves({3, 4}, DType::bfloat16),
      out({3, 4}, DType::float32);
  Array ints({3, 4}, DType::int32);
  check_refused("swiglu of two shapes", out, [&](Context& c) { isa::swiglu(c, out.view, x.view, y.view); });
  check_refused("swiglu of two dtypes", out, [&](Context& c) { isa::swiglu(c, out.view, x.view, halves.view); });
  check_refused("swiglu_backward to two shapes", out,
                [&](Context& c) { isa::swiglu_backward(c, &out.view, &y.view, x.view, x.view, x.view); });
  check_refused("swiglu_backward to two dtypes", out,
                [&](Context& c) { isa::swiglu_backward(c, &out.view, &halves.view, x.view, x.view, x.view); });
  check_refused("swiglu_backward of another dtype", out,
                [&](Context& c) { isa::swiglu_backward(c, &out.view, nullptr, x.view, halves.view, x.view); });
  check_refused("swiglu_backward of int32", ints,
                [&](Context& c) { isa::swiglu_backward(c, &ints.view, nullptr, ints.view, ints.view, ints.view); });
}

}  // namespace

int main() {
  for (DType dtype : {DType::float32, DType::bfloat16}) {
    for (Layout layout : all_layouts)
      for (Layout other : {Layout::dense, Layout::transposed, Layout::sliced})
        test_swiglu({3, 5, 7}, dtype, layout, other);
    for (int64_t n : around(isa::simd::lanes)) test_swiglu({n}, dtype, Layout::dense, Layout::dense);
    for (int64_t n : about({2 * isa::chunk_elements})) test_swiglu({n}, dtype, Layout::dense, Layout::dense);
    test_swiglu({0, 4}, dtype, Layout::dense, Layout::dense);
  }
  for (int64_t n : {-1, 0, 1})
    test_swiglu({isa::simd::streaming_bytes / 4 + n}, DType::float32, Layout::dense, Layout::dense);
  test_wrong_calls();
  return finish("gated");
}
