// Pooling against plain loops over windows: strides, padding, dilation, windows that extend beyond the end or lie in
// the padding, numbers of planes around a register's width, ties, NaN and infinities, indices out of range, and calls
// that must be refused.
//
// A maximum is exact. An average of n numbers may be off by n roundings of the sum of their sizes. A gradient may be
// off by one rounding for each window that contains the position, and two for each share.
#include "../cpu/pool/windows.h"
#include "arrays.h"
#include "integers.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

// One axis: windows of `taps`, and the number of results.
struct Axis {
  int64_t length, taps, stride, pad, dilation,
      extra;  // `extra` results whose windows extend beyond the end
  int64_t results() const {
    const int64_t room = length + 2 * pad - dilation * (taps - 1) - 1;
    return (room < 0 ? 0 : room / stride + 1) + extra;
  }
};

struct Case {
  int64_t images, channels;
  Axis rows, columns;
  std::string describe() const {
    std::string s = text({images, channels, rows.length, columns.length});
    for (const Axis& a : {rows, columns})
      s += " taps " + std::to_string(a.taps) + " stride " + std::to_string(a.stride) + " pad " + std::to_string(a.pad) +
           " dilation " + std::to_string(a.dilation) + (a.extra ? " over the end" : "");
    return s;
  }
};

// Calls body(position in the plane) for the taps of window (p, q) that lie in the source, in order.
template <class F>
void for_taps(const Case& k, int64_t p, int64_t q, const F& body) {
  for (int64_t r = 0; r < k.rows.taps; r++)
    for (int64_t s = 0; s < k.columns.taps; s++) {
      const int64_t y = p * k.rows.stride - k.rows.pad + r * k.rows.dilation;
      const int64_t x = q * k.columns.stride - k.columns.pad + s * k.columns.dilation;
      if (y >= 0 && y < k.rows.length && x >= 0 && x < k.columns.length) body(y * k.columns.length + x);
    }
}

// The divisor of a window's average: the number of its elements in the source, or in the source and the padding.
double divisor(const Case& k, int64_t p, int64_t q, bool padding) {
  double product = 1;
  for (const auto& [axis, at] :
       {std::pair<const Axis&, int64_t>{k.rows, p}, std::pair<const Axis&, int64_t>{k.columns, q}}) {
    const int64_t start = at * axis.stride - axis.pad, margin = padding ? axis.pad : 0;
    int64_t covered = 0;
    for (int64_t t = start; t < start + axis.taps; t++) covered += t >= -margin && t < axis.length + margin;
    product *= double(covered);
  }
  return product;
}

void test_case(const Case& k, bool special) {
  const int64_t planes = k.images * k.channels, plane_x = k.rows.length * k.columns.length;
  const int64_t P = k.rows.results(), Q = k.columns.results(), plane = P * Q;
  const Sizes x_sizes = {k.images, k.channels, k.rows.length, k.columns.length}, sizes = {k.images, k.channels, P, Q};
  Array x(x_sizes, DType::float32), dx(x_sizes, DType::float32), out(sizes, DType::float32), dy(sizes, DType::float32);
  Array indices(sizes, DType::int32);
  randomise(x, 1);
  randomise(dy, 2);
  for (int64_t i = 0; i < x.size(); i += 3) x.set(i, floor(x.get(i)));  // ties
  if (special)
    for (int64_t i = 0; i < x.size(); i += 5)
      x.set(i, i % 4 == 0 ? double(NAN) : i % 4 == 1 ? double(INFINITY) : -double(INFINITY));
  const auto forward = [&](Context& c) {
    isa::max_pool2d_forward(c, out.view, indices.view, x.view, Vector{k.rows.taps, k.columns.taps},
                            Vector{k.rows.stride, k.columns.stride}, Vector{k.rows.pad, k.columns.pad},
                            Vector{k.rows.dilation, k.columns.dilation});
  };
  const std::string what = "max_pool2d of " + k.describe();
  std::vector<int64_t> best(size_t(planes * plane), -1);
  std::vector<float> gradient(size_t(planes * plane_x), 0.0f);
  for (int64_t i = 0; i < planes * plane; i++) {
    int64_t& at = best[size_t(i)];
    const int64_t base = i / plane * plane_x;
    for_taps(k, i % plane / Q, i % Q, [&](int64_t position) {
      const double value = x.get(base + position), so_far = at < 0 ? 0 : x.get(base + at);
      if (at < 0 || (!isnan(so_far) && (isnan(value) || value > so_far))) at = position;
    });
    if (at >= 0) gradient[size_t(base + at)] += float(dy.get(i));
  }
  run(what, out, forward);
  run(what, indices, forward);
  check_equal(what, out, [&](int64_t i) {
    return best[size_t(i)] < 0 ? -INFINITY : x.get(i / plane * plane_x + best[size_t(i)]);
  });
  check_equal(what + ": indices", indices, [&](int64_t i) { return double(best[size_t(i)]); });
  run(what + " backward", dx, [&](Context& c) { isa::max_pool2d_backward(c, dx.view, dy.view, indices.view); });
  check_equal(what + " backward", dx, [&](int64_t i) { return gradient[size_t(i)]; });

  if (special || k.rows.dilation > 1 || k.columns.dilation > 1) return;
  for (const auto& [padding, by_hand] : {std::pair<bool, int64_t>{false, 0}, {true, 0}, {true, -3}}) {
    const std::string kind = std::string("avg_pool2d") + (padding ? " with padding of " : " of ") + k.describe() +
                             (by_hand ? " divided by " + std::to_string(by_hand) : "");
    std::vector<double> share(size_t(planes * plane_x), 0), size(size_t(planes * plane_x), 0),
        windows(size_t(planes * plane_x), 0);
    std::vector<double> sum(size_t(planes * plane), 0), total(size_t(planes * plane), 0);
    for (int64_t i = 0; i < planes * plane; i++) {
      const int64_t p = i % plane / Q, q = i % Q, base = i / plane * plane_x;
      const double by = by_hand ? double(by_hand) : divisor(k, p, q, padding);
      for_taps(k, p, q, [&](int64_t position) {
        const size_t at = size_t(base + position);
        sum[size_t(i)] += x.get(base + position) / by;
        total[size_t(i)] += fabs(x.get(base + position) / by);
        share[at] += dy.get(i) / by;
        size[at] += fabs(dy.get(i) / by);
        windows[at]++;
      });
    }
    bool right = true;
    run(kind, out, [&](Context& c) {
      isa::avg_pool2d_forward(c, out.view, x.view, Vector{k.rows.taps, k.columns.taps},
                              Vector{k.rows.stride, k.columns.stride}, Vector{k.rows.pad, k.columns.pad}, padding,
                              by_hand);
    });
    const double roundings = double(k.rows.taps * k.columns.taps) + 2;
    for (int64_t i = 0; i < out.size(); i++)
      right = right && near(out.get(i), sum[size_t(i)], roundings * epsilon * total[size_t(i)]);
    check(right, kind);
    run(kind + " backward", dx, [&](Context& c) {
      isa::avg_pool2d_backward(c, dx.view, dy.view, Vector{k.rows.taps, k.columns.taps},
                               Vector{k.rows.stride, k.columns.stride}, Vector{k.rows.pad, k.columns.pad}, padding,
                               by_hand);
    });
    right = true;
    for (int64_t i = 0; i < dx.size(); i++)
      right = right && near(dx.get(i), share[size_t(i)], (windows[size_t(i)] + 2) * epsilon * size[size_t(i)]);
    check(right, kind + " backward");
  }
}

// Numbers of neighbouring windows around the least that are read as vectors, half a register (two rows share one) and a
// register; chunks of planes, and numbers of planes around a chunk.
void test_blocks() {
  using isa::pool::chunk_elements;
  using isa::simd::lanes;
  int round = 0;
  for (int64_t windows : about({isa::pool::least_together, lanes / 2, lanes, 2 * lanes}))
    for (int64_t taps : {1, 2, 3, 5})
      for (int64_t stride : {1, 2})
        for (int64_t down : {1, 2, 3}) {
          round++;
          const int64_t pad = round % 3 == 0 ? taps / 2 : 0, rest = round % 2 ? stride - 1 : 0;
          const int64_t tall = round % 4 < 2 ? taps < 4 ? taps : 3 : 2;
          const Axis columns = {(windows - 1) * stride + taps + rest, taps, stride, pad, 1, 0};
          const Axis rows = {(down - 1) * stride + tall, tall, stride, 0, 1, 0};
          test_case({1, 3, rows, columns}, round % 5 == 0);
        }
  // Forward and backward count the elements of a plane in three ways.
  for (int64_t elements : {256, 2 * 256, 4 * 256})
    for (int64_t planes : about({chunk_elements / elements}))
      test_case({1, planes, {16, 1, 1, 0, 1, 0}, {16, 1, 1, 0, 1, 0}}, false);
  for (int64_t planes : about({chunk_elements / (14 * 14 + 7 * 7), chunk_elements / (14 * 14)}))
    test_case({1, planes, {14, 2, 2, 0, 1, 0}, {14, 2, 2, 0, 1, 0}}, false);
  for (int64_t elements : about({chunk_elements / 2, chunk_elements}))
    test_case({1, 3, {1, 1, 1, 0, 1, 0}, {elements, 1, 1, 0, 1, 0}}, false);
}

void test_wrong_calls() {
  const Vector two = {2, 2}, none = {0, 0};
  Array x({2, 3, 6, 6}, DType::float32), out({2, 3, 3, 3}, DType::float32), indices({2, 3, 3, 3}, DType::int32);
  Array other({2, 4, 3, 3}, DType::float32), ints({2, 3, 6, 6}, DType::int32), flat({6, 3, 3}, DType::float32);
  Array large({2, 3, 30, 30}, DType::float32), large_indices({2, 3, 30, 30}, DType::int32),
      dx({2, 3, 6, 6}, DType::float32);
  const auto maximum = [&](const Array& to, const Array& places, const Array& from, int64_t taps, int64_t stride,
                           int64_t pad, int64_t dilation) {
    return [&, taps, stride, pad, dilation](Context& c) {
      isa::max_pool2d_forward(c, to.view, places.view, from.view, Vector{taps, taps}, Vector{stride, stride},
                              Vector{pad, pad}, Vector{dilation, dilation});
    };
  };
  check_refused("max_pool2d to other channels", other, maximum(other, indices, x, 2, 2, 0, 1));
  check_refused("max_pool2d to another rank", flat, maximum(flat, indices, x, 2, 2, 0, 1));
  check_refused("max_pool2d of int32", out, maximum(out, indices, ints, 2, 2, 0, 1));
  check_refused("max_pool2d with other indices", out, maximum(out, large_indices, x, 2, 2, 0, 1));
  check_refused("max_pool2d with too many results", large, maximum(large, large_indices, x, 2, 2, 0, 1));
  for (int64_t wrong : {int64_t(0), int64_t(-1), int64_t(1) << 62}) {
    check_refused("max_pool2d with such taps", out, maximum(out, indices, x, wrong, 2, 0, 1));
    check_refused("max_pool2d with such a stride", out, maximum(out, indices, x, 2, wrong, 0, 1));
    check_refused("max_pool2d with such a dilation", out, maximum(out, indices, x, 2, 2, 0, wrong));
    if (wrong) check_refused("max_pool2d with such padding", out, maximum(out, indices, x, 2, 2, wrong, 1));
    check_refused("avg_pool2d with such taps", out, [&](Context& c) {
      isa::avg_pool2d_forward(c, out.view, x.view, Vector{wrong, 2}, two, none, true, 0);
    });
    check_refused("avg_pool2d_backward with such a stride", dx, [&](Context& c) {
      isa::avg_pool2d_backward(c, dx.view, out.view, two, Vector{2, wrong}, none, true, 0);
    });
  }
  for (const Vector& wrong : {Vector{}, Vector{2}, Vector{2, 2, 2}}) {
    check_refused("max_pool2d with a kernel of another rank", out, [&](Context& c) {
      isa::max_pool2d_forward(c, out.view, indices.view, x.view, wrong, two, none, Vector{1, 1});
    });
    check_refused("max_pool2d with a dilation of another rank", out, [&](Context& c) {
      isa::max_pool2d_forward(c, out.view, indices.view, x.view, two, two, none, wrong);
    });
    check_refused("avg_pool2d with a stride of another rank", out,
                  [&](Context& c) { isa::avg_pool2d_forward(c, out.view, x.view, two, wrong, none, true, 0); });
    check_refused("avg_pool2d_backward with a padding of another rank", dx,
                  [&](Context& c) { isa::avg_pool2d_backward(c, dx.view, out.view, two, two, wrong, true, 0); });
  }
  check_refused("max_pool2d_backward with other indices", dx,
                [&](Context& c) { isa::max_pool2d_backward(c, dx.view, out.view, large_indices.view); });
  for (double wrong : {-2.0, 36.0, 2147483647.0, -2147483648.0}) {
    for (int64_t i = 0; i < indices.size(); i++) indices.set(i, i == 9 ? wrong : 7), out.set(i, 1);
    char text[32];
    snprintf(text, sizeof text, "index %.0f of plane 1", wrong);
    const RecordedError error =
        error_of([&](Context& c) { isa::max_pool2d_backward(c, dx.view, out.view, indices.view); });
    check(error.code == ErrorCode::index && error.text.find(text) != std::string::npos &&
              error.text.find("0 to 35") != std::string::npos,
          "an index out of range: " + error.text);
    check_equal("max_pool2d_backward without it", dx, [&](int64_t i) { return i % 36 != 7 ? 0 : i / 36 == 1 ? 8 : 9; });
    check(dx.intact(), "nothing else is written");
  }
  // An index may be any position of the plane, even one outside its own window.
  for (int64_t foreign : {0, 3, 17, 35}) {
    for (int64_t i = 0; i < indices.size(); i++)
      indices.set(i, i % 9 == 4 ? foreign : i % 9 / 3 * 12 + i % 3 * 2 + i % 2 * 7), out.set(i, double(i));
    std::vector<double> sums(size_t(dx.size()), 0);
    for (int64_t i = 0; i < indices.size(); i++) sums[size_t(i / 9 * 36 + int64_t(indices.get(i)))] += double(i);
    run("max_pool2d_backward with foreign indices", dx,
        [&](Context& c) { isa::max_pool2d_backward(c, dx.view, out.view, indices.view); });
    check_equal("max_pool2d_backward with foreign indices", dx, [&](int64_t i) { return sums[size_t(i)]; });
  }
}

}  // namespace

int main() {
  for (int64_t width : {1, 2, 5, 7, 8, 9, 15, 16, 17, 31, 33, 40})
    for (int64_t taps : {1, 2, 3, 5})
      for (int64_t stride : {1, 2, 3})
        for (int64_t pad : {int64_t(0), taps / 2})
          for (int64_t dilation : {1, 2}) {
            const Case k = {
                2, 2, {6, taps < 4 ? taps : 3, stride, pad / 2, 1, 0}, {width, taps, stride, pad, dilation, 0}};
            test_case(k, false);
            test_case(k, true);
          }
  // Windows that extend beyond the end (ceil mode), that lie in the padding alone, or that are larger than the plane.
  test_case({1, 3, {7, 2, 2, 0, 1, 1}, {9, 2, 2, 0, 1, 1}}, false);
  test_case({1, 3, {7, 3, 2, 1, 1, 0}, {10, 3, 2, 1, 1, 1}}, true);
  test_case({1, 2, {3, 2, 1, 1, 4, 0}, {3, 2, 1, 1, 4, 0}}, false);
  test_case({1, 1, {3, 7, 1, 3, 1, 0}, {5, 9, 1, 4, 1, 0}}, false);
  test_case({1, 1, {4, 5, 1, 0, 1, 0}, {4, 5, 1, 0, 1, 0}}, false);
  test_case({0, 3, {6, 2, 2, 0, 1, 0}, {6, 2, 2, 0, 1, 0}}, false);
  test_case({2, 0, {6, 2, 2, 0, 1, 0}, {6, 2, 2, 0, 1, 0}}, false);
  test_blocks();
  // Many planes, and planes larger than a chunk.
  test_case({9, 30, {14, 2, 2, 0, 1, 0}, {14, 2, 2, 0, 1, 0}}, false);
  test_case({1, 3, {150, 3, 1, 1, 1, 0}, {161, 3, 1, 1, 1, 0}}, false);
  test_wrong_calls();
  return finish("pool");
}
