// Softmax and log-softmax against float64 along any dimension; equal bits for 1, 2 and 3 threads; infinities and NaN.
//
// An exponential may be off by 4 roundings, and its argument by one of |x - max|. Sums are float32 over at most 1024
// elements (see simd/row.h), and each result is rounded a few times.
#include "../cpu/simd/stream.h"
#include "../cpu/softmax/row.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

struct Slice {
  size_t start, size, step;
};

template <class F>
void for_slices(const View& view, int dim, const F& body) {
  size_t outer = 1, inner = 1;
  for (int d = 0; d < view.ndim; d++) (d < dim ? outer : inner) *= d == dim ? 1 : size_t(view.sizes[d]);
  const size_t size = size_t(view.sizes[dim]);
  for (size_t o = 0; o < outer; o++)
    for (size_t i = 0; i < inner; i++) body(Slice{o * size * inner + i, size, inner});
}

void test_shape(std::initializer_list<int64_t> sizes, int dim, float scale, float shift) {
  std::string what = "softmax of [";
  for (int64_t size : sizes) what += " " + std::to_string(size);
  what += " ] over " + std::to_string(dim) + " scale " + std::to_string(scale);
  Floats x(sizes), dy(sizes), y(sizes), log_y(sizes), dx(sizes), log_dx(sizes);
  randomise(x, 1, scale, shift);
  randomise(dy, 2);
  run<float>(what, {&y}, [&](Context& c) { FIRESTEEL_ISA::softmax_forward(c, y.view, x.view, dim); });
  run<float>(what, {&log_y}, [&](Context& c) { FIRESTEEL_ISA::log_softmax_forward(c, log_y.view, x.view, dim); });
  run<float>(what, {&dx}, [&](Context& c) { FIRESTEEL_ISA::softmax_backward(c, dx.view, dy.view, y.view, dim); });
  run<float>(what, {&log_dx},
             [&](Context& c) { FIRESTEEL_ISA::log_softmax_backward(c, log_dx.view, dy.view, log_y.view, dim); });

  bool right = true, log_right = true, gradient_right = true, log_gradient_right = true;
  for_slices(x.view, dim, [&](Slice s) {
    double largest = -INFINITY, sum = 0, product = 0, product_size = 0, total = 0, total_size = 0;
    for (size_t i = 0; i < s.size; i++) largest = fmax(largest, x[s.start + i * s.step]);
    for (size_t i = 0; i < s.size; i++) {
      const size_t at = s.start + i * s.step;
      sum += exp(x[at] - largest);
      product += double(dy[at]) * double(y[at]);
      product_size += fabs(double(dy[at]) * double(y[at]));
      total += dy[at];
      total_size += fabs(double(dy[at]));
    }
    const double length = double(s.size < 1024 ? s.size : 1024) + 8;
    for (size_t i = 0; i < s.size; i++) {
      const size_t at = s.start + i * s.step;
      const double distance = x[at] - largest, probability = exp(distance) / sum;
      right = right && near(y[at], probability, (length + 8 + fabs(distance)) * epsilon * probability + 1e-38);
      log_right = log_right && near(log_y[at], distance - log(sum), 4 * epsilon * (fabs(distance) + log(sum) + 2));
      gradient_right = gradient_right && near(dx[at], y[at] * (dy[at] - product),
                                              epsilon * y[at] * (length * product_size + 4 * fabs(dy[at]) + 4));
      const double p = exp(double(log_y[at]));
      log_gradient_right =
          log_gradient_right && near(log_dx[at], dy[at] - p * total,
                                     epsilon * (p * (length * total_size + 8 * fabs(total)) + 2 * fabs(dy[at])));
    }
  });
  check(right, what + ": forward");
  check(log_right, what + ": logarithm");
  check(gradient_right, what + ": backward");
  check(log_gradient_right, what + ": backward of the logarithm");
}

void test_special(int64_t size, bool columns) {
  const std::string what = "softmax of " + std::to_string(size) + (columns ? " down columns" : " along rows");
  const int dim = columns ? 0 : 1;
  Floats x(columns ? std::initializer_list<int64_t>{size, 3} : std::initializer_list<int64_t>{3, size});
  Floats y(columns ? std::initializer_list<int64_t>{size, 3} : std::initializer_list<int64_t>{3, size});
  const auto at = [&](int64_t slice, int64_t i) { return size_t(columns ? i * 3 + slice : slice * size + i); };
  // All -infinity but the last; a NaN; huge values with masked ones among them.
  for (int64_t i = 0; i < size; i++) {
    x[at(0, i)] = i == size - 1 ? -5.0f : -INFINITY;
    x[at(1, i)] = i == size / 2 ? NAN : 1.0f;
    x[at(2, i)] = i == 0 ? 3e38f : i % 2 ? -INFINITY : -3e38f;
  }
  run<float>(what, {&y}, [&](Context& c) { FIRESTEEL_ISA::softmax_forward(c, y.view, x.view, dim); });
  bool masked = true, nan = true, huge = true;
  for (int64_t i = 0; i < size; i++) {
    masked = masked && y[at(0, i)] == (i == size - 1 ? 1.0f : 0.0f);
    nan = nan && y[at(1, i)] != y[at(1, i)];
    huge = huge && y[at(2, i)] == (i == 0 ? 1.0f : 0.0f);
  }
  check(masked, what + ": -infinity gives 0");
  check(nan, what + ": NaN spreads over its slice");
  check(huge, what + ": huge values");
}

}  // namespace

int main() {
  for (int64_t size : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65, 1023, 1024, 1025, 5000}) {
    test_shape({3, size}, 1, 4, 0);
    test_shape({size, 5}, 0, 4, 0);
    test_shape({2, size, 17}, 1, 30, 100);
    test_special(size, false);
    test_special(size, true);
  }
  using namespace FIRESTEEL_ISA::simd;
  using FIRESTEEL_ISA::softmax::chunk_elements;
  for (int64_t block : {int64_t(lanes), int64_t(4 * lanes), least_aligned, row_block})
    for (int64_t size : around(block)) {
      test_shape({5, size}, 1, 4, 1e4f);
      test_shape({5, size}, 0, 4, 0);
      test_shape({size, 3}, 0, 4, 1e4f);
      test_special(size, false);
      test_special(size, true);
    }
  for (int64_t rows : around(rows_together(2))) test_shape({rows, short_row}, 1, 4, 0);
  for (int64_t rows : around(chunk_elements / 64)) test_shape({rows, 64}, 1, 4, 0);
  test_shape({2, 60'000}, 1, 10, 1e4f);
  test_shape({6, 50257}, 1, 10, -1000);
  test_shape({700, 33}, 1, 1, 0);
  test_shape({2801, 1021}, 1, 5, 0);  // written past the caches, short rows and long ones
  test_shape({601, 5003}, 1, 5, 0);
  const auto room = FIRESTEEL_ISA::softmax::room_floats;
  for (int64_t size : {room - 1, room, room + 1}) test_shape({streaming_bytes / 4 / size + 1, size}, 1, 5, 0);
  test_shape({33, 700}, 0, 1, 0);
  test_shape({2, 3, 4, 5, 6}, 2, 1, 0);
  test_shape({17}, 0, 1, 0);
  test_shape({0, 5}, 1, 1, 0);
  test_shape({5, 0}, 1, 1, 0);
  test_shape({5, 0}, 0, 1, 0);
  Floats scalar({}), other({2});
  scalar[0] = 3;
  run<float>("softmax of a scalar", {&scalar},
             [&](Context& c) { FIRESTEEL_ISA::softmax_forward(c, scalar.view, scalar.view, 0); });
  check(scalar[0] == 1, "softmax of a scalar is 1");
  check(error_of([&](Context& c) { FIRESTEEL_ISA::softmax_forward(c, other.view, scalar.view, 0); }).code ==
            ErrorCode::internal,
        "shapes that differ are refused");
  return finish("softmax");
}
