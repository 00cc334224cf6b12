// Cross entropy and the likelihood of labels against float64: weights, smoothing, ignored and wrong labels, the three
// reductions; equal bits for 1, 2 and 3 threads. Allowed errors follow from the float32 sums of at most 1024 terms and
// a few roundings.
#include "../cpu/loss/blocks.h"
#include "../cpu/softmax/row.h"
#include "arrays.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

constexpr int64_t ignored = -100;

struct Options {
  bool weighted;
  double smoothing;
  int64_t reduction;
  float scale, shift;
};

void test_case(int64_t N, int64_t C, Options options) {
  char what[160];
  snprintf(what, sizeof what, "cross entropy [%lld, %lld] weighted %d smoothing %g reduction %lld shift %g",
           (long long)N, (long long)C, options.weighted, options.smoothing, (long long)options.reduction,
           options.shift);
  const bool each = options.reduction == 0;
  Floats logits({N, C}), weight({C}), statistics({2, N}), total({}), dlogits({N, C});
  Floats out(each ? std::initializer_list<int64_t>{N} : std::initializer_list<int64_t>{});
  Floats dy(each ? std::initializer_list<int64_t>{N} : std::initializer_list<int64_t>{});
  Tensor<int32_t> target({N}, DType::int32);
  randomise(logits, 1, options.scale, options.shift);
  randomise(weight, 2, 0.5, 1);
  randomise(dy, 3, 1, 2);
  Numbers numbers{4};
  for (size_t n = 0; n < size_t(N); n++)
    target[n] = n % 5 == 3 ? int32_t(ignored) : int32_t((numbers.next() + 1) / 2 * float(C));

  const View* w = options.weighted ? &weight.view : nullptr;
  run<float>(what, {&out, &statistics, &total}, [&](Context& c) {
    FIRESTEEL_ISA::cross_entropy_forward(c, out.view, statistics.view, total.view, logits.view, target.view, w, ignored,
                                         options.smoothing, options.reduction);
  });
  run<float>(what, {&dlogits}, [&](Context& c) {
    FIRESTEEL_ISA::cross_entropy_backward(c, dlogits.view, dy.view, statistics.view, total.view, logits.view,
                                          target.view, w, ignored, options.smoothing, options.reduction);
  });

  const double s = options.smoothing;
  double weights = 0, weight_sum = 0, sum = 0, allowed_sum = 0;
  for (size_t c = 0; c < size_t(C); c++) weight_sum += options.weighted ? double(weight[c]) : 1;
  std::vector<double> exact(static_cast<size_t>(N), 0.0), largest_of(static_cast<size_t>(N), 0.0);
  bool right = true, statistics_right = true, gradient_right = true;
  const double length = double(C < 1024 ? C : 1024) + 8;
  for (size_t n = 0; n < size_t(N); n++) {
    double largest = -INFINITY, exponentials = 0, smooth = 0, smooth_size = 0;
    for (size_t c = 0; c < size_t(C); c++) largest = fmax(largest, logits[n * size_t(C) + c]);
    for (size_t c = 0; c < size_t(C); c++) exponentials += exp(logits[n * size_t(C) + c] - largest);
    exact[n] = largest + log(exponentials);
    largest_of[n] = largest;
    const double relative = (length + 2 * fabs(double(options.scale)) + 8) * epsilon;  // of the sum of exponentials
    statistics_right = statistics_right && statistics[n] == float(largest) &&
                       near(statistics[size_t(N) + n], exponentials, 2 * relative * exponentials);
    if (target[n] == ignored) {
      right = right && (!each || out[n] == 0);
      continue;
    }
    const size_t y = size_t(target[n]);
    const double w_y = options.weighted ? double(weight[y]) : 1;
    for (size_t c = 0; c < size_t(C); c++) {
      const double w_c = options.weighted ? double(weight[c]) : 1;
      smooth += w_c * (exact[n] - logits[n * size_t(C) + c]);
      smooth_size += w_c * (fabs(double(options.scale)) * 2 + 1);
    }
    const double loss = (1 - s) * w_y * (exact[n] - logits[n * size_t(C) + y]) + s / double(C) * smooth;
    const double allowed = ((1 - s) * w_y + s * weight_sum / double(C)) * relative +
                           s / double(C) * smooth_size * length * epsilon + 4 * epsilon * fabs(loss);
    weights += w_y;
    sum += loss;
    allowed_sum += allowed;
    right = right && (!each || near(out[n], loss, allowed));
  }
  check(near(total[0], weights, 2 * epsilon * fabs(weights)), std::string(what) + ": total");
  check(statistics_right, std::string(what) + ": statistics");
  if (options.reduction == 1)
    right = near(out[0], sum / weights, allowed_sum / weights + epsilon * fabs(sum / weights));
  if (options.reduction == 2) right = near(out[0], sum, allowed_sum + epsilon * fabs(sum));
  check(right, std::string(what) + ": loss");

  for (size_t n = 0; n < size_t(N); n++) {
    const double g = each ? double(dy[n]) : options.reduction == 1 ? double(dy[0]) / weights : double(dy[0]);
    for (size_t c = 0; c < size_t(C); c++) {
      double expected = 0, size = 0;
      if (target[n] != ignored) {
        const size_t y = size_t(target[n]);
        const double w_y = options.weighted ? double(weight[y]) : 1, w_c = options.weighted ? double(weight[c]) : 1;
        const double factor = (1 - s) * w_y + s / double(C) * weight_sum;
        const double p = exp(logits[n * size_t(C) + c] - exact[n]);
        expected = g * (factor * p - (c == y ? (1 - s) * w_y : 0) - s / double(C) * w_c);
        size = fabs(g) * (factor * p * (16 + fabs(logits[n * size_t(C) + c] - largest_of[n]) + length) +
                          4 * (c == y ? w_y : 0) + 4 * s / double(C) * w_c);
      }
      gradient_right = gradient_right && near(dlogits[n * size_t(C) + c], expected, epsilon * size + 1e-38);
    }
  }
  check(gradient_right, std::string(what) + ": gradient");
}

// bfloat16 logits are widened to float32, and their gradient is rounded.
void test_halves(int64_t N, int64_t C, bool weighted, double smoothing) {
  const std::string what = "cross entropy of bfloat16 [" + std::to_string(N) + ", " + std::to_string(C) + "]";
  Array half({N, C}, DType::bfloat16), wide({N, C}, DType::float32);
  Array dhalf({N, C}, DType::bfloat16), dwide({N, C}, DType::float32);
  randomise(half, 1, 8);
  for (int64_t i = 0; i < half.size(); i++) wide.set(i, half.get(i));
  Floats weight({C}), dy({});
  randomise(weight, 2, 0.5, 1);
  dy[0] = 1.75f;
  Tensor<int32_t> target({N}, DType::int32);
  for (size_t n = 0; n < size_t(N); n++) target[n] = n % 5 == 3 ? int32_t(ignored) : int32_t(n * 7919 % size_t(C));
  const View* w = weighted ? &weight.view : nullptr;
  Floats out({}), statistics({2, N}), total({}), exact({}), exact_statistics({2, N});
  const auto forward = [&](Context& c, const View& logits, Floats& to, Floats& sums) {
    FIRESTEEL_ISA::cross_entropy_forward(c, to.view, sums.view, total.view, logits, target.view, w, ignored, smoothing,
                                         1);
  };
  const auto backward = [&](Context& c, const View& logits, const View& gradient) {
    FIRESTEEL_ISA::cross_entropy_backward(c, gradient, dy.view, statistics.view, total.view, logits, target.view, w,
                                          ignored, smoothing, 1);
  };
  run<float>(what, {&exact, &exact_statistics}, [&](Context& c) { forward(c, wide.view, exact, exact_statistics); });
  run<float>(what, {&out, &statistics}, [&](Context& c) { forward(c, half.view, out, statistics); });
  check(same_bits(out.view.data, exact.view.data, 4), what + ": loss");
  check(same_bits(statistics.view.data, exact_statistics.view.data, 4 * statistics.size()), what + ": statistics");
  run(what, dwide, [&](Context& c) { backward(c, wide.view, dwide.view); });
  run(what, dhalf, [&](Context& c) { backward(c, half.view, dhalf.view); });
  check_equal(what, dhalf, [&](int64_t i) { return as_dtype(DType::bfloat16, dwide.get(i)); });
}

void test_labels() {
  Floats logits({4, 3}), statistics({2, 4}), total({}), out({4}), dlogits({4, 3}), dy({4});
  randomise(logits, 1);
  randomise(dy, 2);
  Tensor<int32_t> target({4}, DType::int32);
  const int32_t labels[] = {1, 3, -1, 2};
  memcpy(target.view.data, labels, sizeof labels);
  const RecordedError error = error_of([&](Context& c) {
    FIRESTEEL_ISA::cross_entropy_forward(c, out.view, statistics.view, total.view, logits.view, target.view, nullptr,
                                         -100, 0, 0);
  });
  check(error.code == ErrorCode::index, "a wrong label is recorded");
  check(error.text.find("outside [0, 3)") != std::string::npos, "the error names the range: " + error.text);
  check(total[0] == 2 && out[1] == 0 && out[2] == 0 && out[0] > 0, "wrong labels count for nothing");
  Context context(1);
  FIRESTEEL_ISA::cross_entropy_backward(context, dlogits.view, dy.view, statistics.view, total.view, logits.view,
                                        target.view, nullptr, -100, 0, 0);
  check(dlogits[3] == 0 && dlogits[8] == 0 && dlogits[0] != 0 && dlogits.guarded(), "and have no gradient");
  // If no row counts, the mean is 0 / 0 and the gradient 0, as in PyTorch.
  for (size_t n = 0; n < 4; n++) target[n] = 7;
  Floats mean({}), gradient({});
  gradient[0] = 1;
  FIRESTEEL_ISA::cross_entropy_forward(context, mean.view, statistics.view, total.view, logits.view, target.view,
                                       nullptr, 7, 0, 1);
  check(mean[0] != mean[0] && total[0] == 0, "the mean of nothing is NaN");
  FIRESTEEL_ISA::cross_entropy_backward(context, dlogits.view, gradient.view, statistics.view, total.view, logits.view,
                                        target.view, nullptr, 7, 0, 1);
  check(dlogits[0] == 0 && dlogits[11] == 0, "the gradient of nothing is 0");
  // Logits of -infinity are impossible classes. NaN spreads.
  logits[0] = -INFINITY;
  logits[4] = NAN;
  target[0] = target[1] = 1;
  FIRESTEEL_ISA::cross_entropy_forward(context, out.view, statistics.view, total.view, logits.view, target.view,
                                       nullptr, 7, 0, 0);
  check(isfinite(out[0]) && out[1] != out[1], "-infinity and NaN among the logits");
  context.take_error();
}

// logProbs [N, C, I] of float32 or bfloat16. Each row reads its label's element and nothing else.
void test_nll(int64_t N, int64_t C, int64_t I, DType dtype, bool weighted, int64_t reduction) {
  char what[120];
  snprintf(what, sizeof what, "nll [%lld, %lld, %lld] %s weighted %d reduction %lld", (long long)N, (long long)C,
           (long long)I, name(dtype), weighted, (long long)reduction);
  const int64_t rows = N * I;
  const bool each = reduction == 0;
  Array log_probs({N, C, I}, dtype), gradient({N, C, I}, dtype);
  randomise(log_probs, 1, 8);
  Floats weight({C}), total({}), out(each ? std::initializer_list<int64_t>{rows} : std::initializer_list<int64_t>{});
  Floats dy(each ? std::initializer_list<int64_t>{rows} : std::initializer_list<int64_t>{});
  randomise(weight, 2, 0.5, 1);
  randomise(dy, 3, 1, 2);
  Tensor<int32_t> target({rows}, DType::int32);
  for (int64_t r = 0; r < rows; r++) target[size_t(r)] = r % 5 == 3 ? int32_t(ignored) : int32_t(r * 7919 % C);
  const View* w = weighted ? &weight.view : nullptr;
  run<float>(what, {&out, &total}, [&](Context& c) {
    FIRESTEEL_ISA::nll_loss_forward(c, out.view, total.view, log_probs.view, target.view, w, ignored, reduction);
  });
  run(what, gradient, [&](Context& c) {
    FIRESTEEL_ISA::nll_loss_backward(c, gradient.view, dy.view, total.view, target.view, w, ignored, reduction);
  });
  double sum = 0, weights = 0, size = 0;
  bool right = true;
  const auto weight_of = [&](int64_t r) { return weighted ? double(weight[size_t(target[size_t(r)])]) : 1.0; };
  for (int64_t r = 0; r < rows; r++) {
    double loss = 0;
    if (target[size_t(r)] != ignored) {
      loss = -weight_of(r) * log_probs.get((r / I * C + target[size_t(r)]) * I + r % I);
      weights += weight_of(r);
    }
    sum += loss;
    size += fabs(loss);
    right = right && (!each || near(out[size_t(r)], loss, epsilon * fabs(loss)));
  }
  if (reduction == 1) right = near(out[0], sum / weights, 2 * epsilon * size / weights);
  if (reduction == 2) right = near(out[0], sum, 2 * epsilon * size);
  check(right, std::string(what) + ": loss");
  check(near(total[0], weights, epsilon * weights), std::string(what) + ": total");
  check_equal(what, gradient, [&](int64_t at) {
    const int64_t r = at / (C * I) * I + at % I;
    if (target[size_t(r)] != at / I % C) return 0.0;
    double g = double(dy[size_t(each ? r : 0)]);
    if (reduction == 1) g /= double(total[0]);
    return as_dtype(dtype, as_dtype(DType::float32, -g * weight_of(r)));
  });
}

void test_nll_labels() {
  Array log_probs({4, 3, 1}, DType::float32);
  randomise(log_probs, 1);
  Floats out({4}), total({});
  Tensor<int32_t> target({4}, DType::int32);
  const int32_t labels[] = {1, 3, -1, 2};
  memcpy(target.view.data, labels, sizeof labels);
  const RecordedError error = error_of([&](Context& c) {
    FIRESTEEL_ISA::nll_loss_forward(c, out.view, total.view, log_probs.view, target.view, nullptr, -100, 0);
  });
  check(error.code == ErrorCode::index && error.text.find("outside [0, 3)") != std::string::npos,
        "a wrong label is recorded: " + error.text);
  check(total[0] == 2 && out[1] == 0 && out[2] == 0, "wrong labels count for nothing");
}

}  // namespace

int main() {
  using FIRESTEEL_ISA::loss::cleared_elements;
  using FIRESTEEL_ISA::loss::picked_rows;
  for (DType dtype : {DType::float32, DType::bfloat16})
    for (int64_t reduction : {0, 1, 2}) {
      for (bool weighted : {false, true}) test_nll(13, 7, 1, dtype, weighted, reduction);
      test_nll(3, 5, 11, dtype, true, reduction);
      test_nll(0, 5, 1, dtype, false, reduction);
    }
  for (int64_t rows : around(picked_rows)) test_nll(rows, 3, 1, DType::float32, false, 1);
  for (int64_t rows : around(cleared_elements / 1024)) test_nll(rows, 1024, 1, DType::float32, true, 1);
  test_nll_labels();
  for (int64_t C : {1, 2, 7, 8, 9, 10, 31, 33, 1023, 1024, 1025, 4099})
    for (int form = 0; form < 12; form++)
      test_case(13, C, {form % 2 == 1, form / 2 % 2 ? 0.1 : 0.0, form / 4, 5, form % 3 == 1 ? 300.0f : 0.0f});
  for (int form = 0; form < 12; form++)
    test_case(5, 50257, {form % 2 == 1, form / 2 % 2 ? 0.1 : 0.0, form / 4, 20, -50});
  for (double smoothing : {0.0, 0.1})  // the gradient is written past the caches
    test_case(131, 33025, {smoothing != 0, smoothing, 1, 20, 0});
  for (int64_t N : {1, 2, 1000, 4000}) test_case(N, 10, {false, 0, 1, 3, 0});
  using FIRESTEEL_ISA::simd::lanes;
  using FIRESTEEL_ISA::simd::row_block;
  using FIRESTEEL_ISA::softmax::chunk_elements;
  for (int64_t block : {int64_t(lanes), int64_t(4 * lanes), row_block})
    for (int64_t C : around(block)) {
      test_case(5, C, {true, 0.1, 0, 5, 0});
      test_case(5, C, {false, 0, 1, 5, 1e4f});  // logits far from 0
      test_halves(5, C, true, 0.1);
    }
  for (int64_t N : around(chunk_elements / 64)) test_case(N, 64, {false, 0, 1, 3, 0});
  test_case(3, 60'000, {true, 0.1, 0, 20, 1e4f});
  test_case(0, 10, {false, 0, 2, 1, 0});
  test_case(0, 10, {true, 0.1, 0, 1, 0});
  for (int64_t C : {1, 9, 1023, 1025, 4099})
    for (int form = 0; form < 4; form++) test_halves(13, C, form % 2 == 1, form / 2 ? 0.1 : 0);
  test_labels();
  return finish("loss");
}
