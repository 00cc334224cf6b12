// The cross entropy of a linear layer against float64: bias, weights, smoothing, soft cap, ignored rows, both dtypes,
// gradients of forward and of backward; equal bits for 1, 2 and 3 threads. The allowed errors follow from the products
// that a logit sums, the sums over rows and classes, and a few roundings.
#include "../cpu/gemm/gemm.h"
#include "../cpu/loss/blocks.h"
#include "../cpu/softmax/row.h"
#include "arrays.h"
#include "sanitizers.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

constexpr int64_t ignored = -100;

struct Options {
  bool biased = true, weighted = false;
  double smoothing = 0, softcap = 0;
  int64_t reduction = 1;
  int64_t one_of = 5;  // one row in this many does not count; with 1 none counts, with 0 all do
  DType dtype = DType::float32;
  double scale = 1;  // of the weight
};

using Doubles = std::vector<double>;
Doubles numbers_of(int64_t count) { return Doubles(size_t(count), 0.0); }

struct Exact {
  Doubles loss, allowed_loss;  // of rows
  Doubles dz, allowed_dz;      // of logits, from a gradient of 1 for each row's loss
  double weights = 0, sum = 0, allowed_sum = 0;
};

Exact solve(const Array& x, const Array& weight, const Floats& bias, const Floats& factors,
            const Tensor<int32_t>& target, Options o) {
  const int64_t N = x.view.sizes[0], D = x.view.sizes[1], V = weight.view.sizes[0];
  Exact exact{numbers_of(N), numbers_of(N), numbers_of(N * V), numbers_of(N * V)};
  const double s = o.smoothing, length = double(V < 1024 ? V : 1024) + 8;
  double weight_sum = 0;
  for (int64_t v = 0; v < V; v++) weight_sum += o.weighted ? double(factors[size_t(v)]) : 1;
  Doubles logits = numbers_of(V), slope = numbers_of(V);
  const Doubles rows = x.values(), weights = weight.values();
  for (int64_t n = 0; n < N; n++) {
    if (target[size_t(n)] == ignored) continue;
    double largest = -INFINITY, error = 0, exponentials = 0, smooth = 0, smooth_size = 0;
    for (int64_t v = 0; v < V; v++) {
      double sum = o.biased ? double(bias[size_t(v)]) : 0, size = fabs(sum);
      for (int64_t d = 0; d < D; d++) {
        const double product = rows[size_t(n * D + d)] * weights[size_t(v * D + d)];
        sum += product;
        size += fabs(product);
      }
      const double capped = o.softcap != 0 ? o.softcap * tanh(sum / o.softcap) : sum;
      error = fmax(error, double(D + 4) * epsilon * size + (o.softcap != 0 ? 8 * epsilon * fabs(capped) : 0));
      slope[size_t(v)] = o.softcap != 0 ? 1 - capped * capped / o.softcap / o.softcap : 1;
      largest = fmax(largest, logits[size_t(v)] = capped);
    }
    for (double z : logits) exponentials += exp(z - largest);
    const double lse = largest + log(exponentials);
    const size_t y = size_t(target[size_t(n)]);
    const auto factor_of = [&](size_t v) { return o.weighted ? double(factors[v]) : 1.0; };
    const double everywhere = s / double(V), relative = (length + 8) * epsilon + 2 * error;
    for (size_t v = 0; v < size_t(V); v++) {
      smooth += factor_of(v) * (lse - logits[v]);
      smooth_size += factor_of(v) * (fabs(lse - logits[v]) + fabs(logits[v] - logits[0]) + 1);
    }
    exact.loss[size_t(n)] = (1 - s) * factor_of(y) * (lse - logits[y]) + everywhere * smooth;
    exact.allowed_loss[size_t(n)] = ((1 - s) * factor_of(y) + everywhere * weight_sum) * relative +
                                    everywhere * smooth_size * length * epsilon +
                                    4 * epsilon * fabs(exact.loss[size_t(n)]);
    exact.weights += factor_of(y);
    exact.sum += exact.loss[size_t(n)];
    exact.allowed_sum += exact.allowed_loss[size_t(n)];
    for (size_t v = 0; v < size_t(V); v++) {
      const double p = ((1 - s) * factor_of(y) + everywhere * weight_sum) * exp(logits[v] - lse);
      const double at = v == y ? (1 - s) * factor_of(y) : 0, rest = everywhere * factor_of(v);
      const double cap_error = o.softcap != 0 ? 4 * (error / o.softcap + epsilon) : 0;
      const size_t i = size_t(n) * size_t(V) + v;
      exact.dz[i] = (p - at - rest) * slope[v];
      exact.allowed_dz[i] = p * (2 * error + (16 + fabs(logits[v] - largest) + length) * epsilon) +
                            4 * epsilon * (at + rest) + cap_error * (p + at + rest) + 1e-38;
      if (o.dtype == DType::bfloat16) exact.allowed_dz[i] += 0x1p-8 * fabs(exact.dz[i]);
    }
  }
  return exact;
}

// Checks the gradients against dz times each row's factor.
void check_gradients(const std::string& what, const Exact& exact, const Doubles& factors, const Array& x,
                     const Array& weight, const Array& dx, const Array& dweight, const Array& dbias) {
  const int64_t N = x.view.sizes[0], D = x.view.sizes[1], V = weight.view.sizes[0];
  const auto rounding = [](const Array& result) { return result.view.dtype == DType::bfloat16 ? 0x1p-8 : 0; };
  Doubles sum = numbers_of(D), size = numbers_of(D);
  bool right = true;
  const auto clear = [&] {
    for (size_t d = 0; d < size_t(D); d++) sum[d] = size[d] = 0;
  };
  const auto compare = [&](const Array& result, int64_t row) {
    for (int64_t d = 0; d < D; d++)
      right = right && near(result.get(row * D + d), sum[size_t(d)],
                            size[size_t(d)] + rounding(result) * (fabs(sum[size_t(d)]) + size[size_t(d)]));
  };
  const Doubles rows = x.values(), weights = weight.values();
  const auto add = [&](int64_t n, int64_t v, const Doubles& others, int64_t row, double terms) {
    const size_t i = size_t(n * V + v);
    const double dz = exact.dz[i] * factors[size_t(n)];
    const double allowed = exact.allowed_dz[i] * fabs(factors[size_t(n)]) + (terms + 6) * epsilon * fabs(dz);
    for (int64_t d = 0; d < D; d++) {
      const double other = others[size_t(row * D + d)];
      sum[size_t(d)] += dz * other;
      size[size_t(d)] += allowed * fabs(other);
    }
  };
  for (int64_t n = 0; n < N; n++) {
    clear();
    for (int64_t v = 0; v < V; v++) add(n, v, weights, v, double(V));
    compare(dx, n);
  }
  check(right, what + ": dx");
  right = true;
  bool bias_right = true;
  for (int64_t v = 0; v < V; v++) {
    clear();
    double total = 0, allowed = 0;
    for (int64_t n = 0; n < N; n++) {
      add(n, v, rows, n, double(N));
      const size_t i = size_t(n * V + v);
      total += exact.dz[i] * factors[size_t(n)];
      allowed += fabs(factors[size_t(n)]) * (exact.allowed_dz[i] + double(N + 4) * epsilon * fabs(exact.dz[i]));
    }
    compare(dweight, v);
    bias_right = bias_right && near(dbias.get(v), total, allowed + rounding(dbias) * (fabs(total) + allowed));
  }
  check(right, what + ": dweight");
  check(bias_right, what + ": dbias");
}

void test_case(int64_t N, int64_t D, int64_t V, Options o = {}) {
  char what[200];
  snprintf(what, sizeof what,
           "linear cross entropy [%lld, %lld] [%lld] %s biased %d weighted %d smoothing %g cap %g "
           "reduction %lld one of %lld",
           (long long)N, (long long)D, (long long)V, name(o.dtype), o.biased, o.weighted, o.smoothing, o.softcap,
           (long long)o.reduction, (long long)o.one_of);
  const bool each = o.reduction == 0;
  Array x({N, D}, o.dtype), weight({V, D}, o.dtype), dx({N, D}, o.dtype), dweight({V, D}, o.dtype), dbias({V}, o.dtype);
  Array kept_dx({N, D}, DType::float32), kept_dweight({V, D}, DType::float32), kept_dbias({V}, DType::float32);
  Floats bias({V}), factors({V}), statistics({2, N}), dy({N});
  Floats out(each ? std::initializer_list<int64_t>{N} : std::initializer_list<int64_t>{});
  randomise(x, 1, 1);
  randomise(weight, 2, o.scale);
  randomise(bias, 3);
  randomise(factors, 4, 0.5, 1);
  randomise(dy, 5, 1, 2);
  Tensor<int32_t> target({N}, DType::int32);
  Numbers numbers{6};
  for (int64_t n = 0; n < N; n++) {
    const bool out_of_count = o.one_of > 0 && n % o.one_of == o.one_of / 2;
    target[size_t(n)] = out_of_count ? int32_t(ignored) : int32_t((numbers.next() + 1) / 2 * float(V));
  }
  const View* b = o.biased ? &bias.view : nullptr;
  const View* w = o.weighted ? &factors.view : nullptr;
  const Exact exact = solve(x, weight, bias, factors, target, o);

  const auto forward = [&](Context& c, const View* to_x, const View* to_weight, const View* to_bias) {
    FIRESTEEL_ISA::linear_cross_entropy_forward(c, out.view, statistics.view, to_x, to_weight, to_bias, x.view,
                                                weight.view, b, target.view, w, o.softcap, ignored, o.smoothing,
                                                o.reduction);
  };
  run<float>(what, {&out, &statistics}, [&](Context& c) { forward(c, nullptr, nullptr, nullptr); });
  bool right = true;
  for (size_t n = 0; each && n < size_t(N); n++) right = right && near(out[n], exact.loss[n], exact.allowed_loss[n]);
  const double sum = exact.sum / (o.reduction == 1 ? exact.weights : 1);
  if (!each)
    right = near(out[0], sum, exact.allowed_sum / (o.reduction == 1 ? exact.weights : 1) + 4 * epsilon * fabs(sum));
  check(right, std::string(what) + ": loss");

  if (each) {
    const auto backward = [&](Context& c, const View* to_x, const View* to_weight, const View* to_bias) {
      FIRESTEEL_ISA::linear_cross_entropy_backward(c, to_x, to_weight, to_bias, dy.view, statistics.view, x.view,
                                                   weight.view, b, target.view, w, o.softcap, ignored, o.smoothing);
    };
    run(what, dx, [&](Context& c) { backward(c, &dx.view, nullptr, nullptr); });
    run(what, dweight, [&](Context& c) { backward(c, nullptr, &dweight.view, nullptr); });
    if (o.biased)
      run(what, dbias, [&](Context& c) { backward(c, nullptr, nullptr, &dbias.view); });
    else
      for (int64_t v = 0; v < V; v++) dbias.set(v, 0);
    if (!o.biased) return;
    Doubles gradients = numbers_of(N);
    for (size_t n = 0; n < size_t(N); n++) gradients[n] = double(dy[n]);
    return check_gradients(what, exact, gradients, x, weight, dx, dweight, dbias);
  }
  const float loss = out[0];
  run(what, kept_dx,
      [&](Context& c) { forward(c, &kept_dx.view, &kept_dweight.view, b ? &kept_dbias.view : nullptr); });
  check(same_bits(&loss, out.view.data, 4), std::string(what) + ": the loss with gradients");
  Array lone({V, D}, DType::float32);
  run(what, lone, [&](Context& c) { forward(c, nullptr, &lone.view, nullptr); });
  check_equal(what, lone, [&](int64_t i) { return kept_dweight.get(i); });
  if (!o.biased || !(exact.weights > 0)) return;
  const Doubles gradients(size_t(N), o.reduction == 1 ? 1 / exact.weights : 1);
  check_gradients(what, exact, gradients, x, weight, kept_dx, kept_dweight, kept_dbias);
}

// Wrong labels are recorded and count for nothing. If no row counts, the mean is NaN and gradients are zeros.
void test_labels() {
  Floats x({4, 2}), weight({3, 2}), statistics({2, 4}), out({4}), mean({}), dx({4, 2}), dweight({3, 2});
  randomise(x, 1);
  randomise(weight, 2);
  Tensor<int32_t> target({4}, DType::int32);
  const int32_t labels[] = {1, 3, -1, 2};
  memcpy(target.view.data, labels, sizeof labels);
  const auto forward = [&](Context& c, const View& to, const View* to_x, const View* to_weight, int64_t ignore,
                           int64_t reduction) {
    FIRESTEEL_ISA::linear_cross_entropy_forward(c, to, statistics.view, to_x, to_weight, nullptr, x.view, weight.view,
                                                nullptr, target.view, nullptr, 0, ignore, 0, reduction);
  };
  const RecordedError error = error_of([&](Context& c) { forward(c, out.view, nullptr, nullptr, ignored, 0); });
  check(error.code == ErrorCode::index && error.text.find("outside [0, 3)") != std::string::npos,
        "a wrong label is recorded: " + error.text);
  check(out[0] > 0 && out[1] == 0 && out[2] == 0 && out[3] > 0, "wrong labels count for nothing");
  for (size_t n = 0; n < 4; n++) target[n] = 2;
  Context context(1);
  forward(context, mean.view, &dx.view, &dweight.view, 2, 1);
  check(mean[0] != mean[0] && dx[0] == 0 && dx[7] == 0 && dweight[0] == 0 && dweight[5] == 0,
        "the mean of nothing is NaN, its gradients are 0");
  // NaN in a row that does not count stays there. In a row that counts it spreads.
  target[1] = 0;
  x[0] = NAN;
  forward(context, mean.view, &dx.view, &dweight.view, 2, 1);
  check(isfinite(mean[0]) && isfinite(dweight[0]), "a row that does not count may hold NaN");
  x[2] = NAN;
  forward(context, mean.view, &dx.view, &dweight.view, 2, 1);
  check(mean[0] != mean[0] && dweight[0] != dweight[0], "NaN spreads");
  x[2] = 1;
  weight[0] = INFINITY;
  forward(context, mean.view, nullptr, nullptr, 2, 1);
  check(mean[0] != mean[0], "an infinite logit of the label gives NaN, as in PyTorch");
  weight[0] = -INFINITY;
  forward(context, mean.view, nullptr, nullptr, 2, 1);
  check(mean[0] == INFINITY, "a label that cannot be has an infinite loss");
  context.release_scratch();
}

}  // namespace

int main() {
  using namespace FIRESTEEL_ISA::loss;
  const int64_t KC = FIRESTEEL_ISA::gemm::KC;
  using FIRESTEEL_ISA::simd::lanes;
  using FIRESTEEL_ISA::simd::row_block;
  for (DType dtype : {DType::float32, DType::bfloat16})
    for (int form = 0; form < 24; form++) {
      Options o;
      o.dtype = dtype;
      o.weighted = form % 2 == 1;
      o.smoothing = form / 2 % 2 ? 0.1 : 0;
      o.softcap = form / 4 % 2 ? 1.5 : 0;
      o.reduction = form / 8;
      test_case(13, 11, 37, o);
      o.one_of = form % 3;  // all count, none does, every other does
      o.biased = o.one_of != 2;
      test_case(6, 3, 9, o);
    }
  for (int64_t V : {int64_t(1), int64_t(lanes - 1), int64_t(lanes), int64_t(lanes + 1), row_block - 1, row_block,
                    row_block + 1, summed_columns * 2 + 1})
    for (DType dtype : {DType::float32, DType::bfloat16}) test_case(5, 4, V, {true, true, 0.1, 0, 0, 0, dtype});
  // Sizes around groups of rows, gathered rows, and the number of them in a chunk.
  for (int64_t N : around(most_rows_at_once / KC * KC)) {
    test_case(N, 3, 5, {true, false, 0, 0, 1, 0});
    test_case(N, 2, 3, {true, false, 0, 0, 0, 2});
  }
  for (int64_t N : around(KC)) test_case(N, 2, 5);
  for (int64_t N : around(moved_elements / 1024)) test_case(N, 1024, 3, {true, false, 0, 0, 2, 3});
  // The least classes that lead to a group of as many rows as one thread packs the weight for. They are so many that
  // sanitizers would take minutes.
  if (!__asan_init && !__tsan_init)
    test_case(rows_of_thread + 1, 1, logits_at_once / (2 * rows_of_thread) + 1, {true, false, 0, 0, 1, 7});
  for (int64_t N : {KC, KC + 1}) test_case(N, 1, logits_at_once / KC / 4 + 1, {true, false, 0, 0, 1, 7});
  for (double scale : {10.0, 100.0, 1000.0}) {
    test_case(9, 12, 33, {true, false, 0, 0, 1, 5, DType::float32, scale});
    test_case(9, 12, 33, {true, true, 0.1, 30, 0, 5, DType::bfloat16, scale});
  }
  test_case(0, 3, 4, {true, false, 0, 0, 2});
  test_case(0, 3, 4, {true, false, 0, 0, 0});
  test_case(4, 0, 5, {true, false, 0, 0, 1});
  test_labels();
  return finish("linear_cross_entropy");
}
