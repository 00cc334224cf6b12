// Matrix multiplication against a float64 oracle: ragged sizes, strides, epilogues, packed operands, batches; equal
// bits for 1, 2 and 3 threads; nothing written outside C. The allowed error follows from K and the operands.
#include "../cpu/gemm/gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "../core/context.h"
#include "../generated/kernels.h"

namespace {

using namespace firesteel;
using namespace firesteel::FIRESTEEL_ISA::gemm;

int passed = 0, failed = 0;

void check(bool condition, const std::string& what) {
  condition ? passed++ : failed++;
  if (!condition && failed <= 20) fprintf(stderr, "failed: %s\n", what.c_str());
}

// Uniform in [-1, 1), the same on every machine.
struct Numbers {
  uint32_t state;
  float next() {
    state = state * 1664525u + 1013904223u;
    return float(int32_t(state >> 8) - (1 << 23)) / float(1 << 23);
  }
};

// A matrix in a buffer that ends with its last element, in one of the layouts that kernels meet.
enum class Layout { rows, padded_rows, columns, both_strided };

struct Operand {
  std::vector<float> memory;
  Matrix matrix;
};

Operand make_operand(int64_t rows, int64_t columns, Layout layout, uint32_t seed) {
  const int64_t row_stride = layout == Layout::rows           ? columns
                             : layout == Layout::padded_rows  ? columns + 3
                             : layout == Layout::both_strided ? 2 * columns + 1
                                                              : 1;
  const int64_t column_stride = layout == Layout::columns ? rows : layout == Layout::both_strided ? 2 : 1;
  const int64_t extent = rows && columns ? (rows - 1) * row_stride + (columns - 1) * column_stride + 1 : 0;
  Operand operand;
  operand.memory.resize(size_t(extent));
  Numbers numbers{seed};
  for (float& x : operand.memory) x = numbers.next();
  operand.matrix = {operand.memory.data(), row_stride, column_stride};
  return operand;
}

double element(Matrix a, int64_t i, int64_t j) {
  return static_cast<const float*>(a.data)[i * a.row_stride + j * a.column_stride];
}

constexpr float guard = 12345.0f;

std::vector<float> make_c(int64_t m, int64_t ldc) {
  std::vector<float> c(size_t(m * ldc), guard);
  return c;
}

// |error| <= (depth of the sum + 3) * epsilon * sum of |terms|, because no smaller bound holds for every order of
// summation.
void check_product(const std::string& what, int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, const float* bias,
                   bool accumulate, const std::vector<float>& c, int64_t ldc) {
  bool right = true, inside = true;
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) {
      double sum = (accumulate ? double(guard) : 0) + (bias ? double(bias[j]) : 0);
      double size = fabs(sum);
      for (int64_t d = 0; d < k; d++) {
        const double term = element(a, i, d) * element(b, d, j);
        sum += term;
        size += fabs(term);
      }
      const double longest = double(k < KC ? k : KC + k / KC) + 3;
      if (!(fabs(c[size_t(i * ldc + j)] - sum) <= longest * 0x1p-24 * size)) right = false;
    }
    for (int64_t j = n; j < ldc; j++)
      if (c[size_t(i * ldc + j)] != guard) inside = false;
  }
  check(right, what + ": wrong product");
  check(inside, what + ": wrote outside C");
}

std::string describe(const char* what, int64_t m, int64_t n, int64_t k, Layout la, Layout lb, bool accumulate,
                     bool with_bias) {
  char text[160];
  snprintf(text, sizeof text, "%s %lldx%lldx%lld layouts %d %d%s%s", what, (long long)m, (long long)n, (long long)k,
           int(la), int(lb), accumulate ? " accumulate" : "", with_bias ? " bias" : "");
  return text;
}

struct Threads {
  Context one{1}, two{2}, three{3};
};

void test_multiply(Threads& threads, int64_t m, int64_t n, int64_t k, Layout la, Layout lb, bool accumulate,
                   bool with_bias) {
  const Operand a = make_operand(m, k, la, 1), b = make_operand(k, n, lb, 2),
                bias = make_operand(1, n, Layout::rows, 3);
  const Epilogue epilogue{accumulate, with_bias ? bias.memory.data() : nullptr};
  const int64_t ldc = n + 2;
  const std::string what = describe("multiply", m, n, k, la, lb, accumulate, with_bias);
  std::vector<float> first;
  for (Context* context : {&threads.one, &threads.two, &threads.three}) {
    std::vector<float> c = make_c(m, ldc);
    multiply(*context, m, n, k, a.matrix, b.matrix, c.data(), ldc, epilogue);
    context->release_scratch();
    if (first.empty()) {
      check_product(what, m, n, k, a.matrix, b.matrix, epilogue.bias, accumulate, c, ldc);
      first = c;
    } else {
      check(!first.size() || !memcmp(first.data(), c.data(), c.size() * sizeof(float)),
            what + ": bits depend on the number of threads");
    }
  }
}

void test_packed(int64_t m, int64_t n, int64_t k, Layout la, Layout lb, bool accumulate, bool with_bias) {
  const Operand a = make_operand(m, k, la, 4), b = make_operand(k, n, lb, 5),
                bias = make_operand(1, n, Layout::rows, 6);
  const Epilogue epilogue{accumulate, with_bias ? bias.memory.data() : nullptr};
  const int64_t ldc = n + 1;
  const std::string what = describe("packed", m, n, k, la, lb, accumulate, with_bias);
  std::vector<float> packed_a(size_t(packed_a_size(m, k))), packed_b(size_t(packed_b_size(k, n)));
  pack_a(packed_a.data(), a.matrix, m, k);
  pack_b(packed_b.data(), b.matrix, k, n);
  std::vector<float> c = make_c(m, ldc);
  multiply_packed(m, n, k, packed_a.data(), packed_b.data(), c.data(), ldc, epilogue);
  check_product(what, m, n, k, a.matrix, b.matrix, epilogue.bias, accumulate, c, ldc);

  std::vector<float> room(size_t(room_for_rows(m, k))), again = make_c(m, ldc);
  multiply_rows(m, n, k, a.matrix, packed_b.data(), again.data(), ldc, epilogue, room.data());
  check(c.empty() || !memcmp(c.data(), again.data(), c.size() * sizeof(float)),
        what + ": multiply_rows and multiply_packed differ");
}

void test_sizes(Threads& threads) {
  const int64_t sizes[] = {0, 1, 5, 6, 7, 15, 16, 17, 31, 33};
  int round = 0;
  for (int64_t m : sizes)
    for (int64_t n : sizes)
      for (int64_t k : sizes) {
        round++;
        const Layout la = Layout(round % 4), lb = Layout(round / 4 % 4);
        test_multiply(threads, m, n, k, la, lb, round % 3 == 0, round % 5 < 2);
        test_packed(m, n, k, la, lb, round % 3 == 1, round % 5 < 2);
      }
  const int64_t deep[] = {KC - 1, KC, KC + 1, 2 * KC + 5};
  for (int64_t k : deep)
    for (int layouts = 0; layouts < 16; layouts++) {
      const Layout la = Layout(layouts % 4), lb = Layout(layouts / 4);
      test_multiply(threads, 1, 33, k, la, lb, layouts % 3 == 0, true);
      test_multiply(threads, 35, 1, k, la, lb, layouts % 3 == 0, true);
      test_multiply(threads, 33, 17, k, la, lb, true, layouts % 3 == 0);
      test_multiply(threads, 257, 39, k, la, lb, layouts % 3 == 0, true);
      test_packed(17, 33, k, la, lb, true, true);
    }
  for (int64_t m : {255, 256, 257})
    for (int64_t n : {255, 256, 257}) {
      test_multiply(threads, m, n, 257, Layout::rows, Layout::columns, false, true);
      test_multiply(threads, m, n, 31, Layout::columns, Layout::rows, true, false);
    }
  // Products that are long in one dimension each, which take every way of cutting the work.
  test_multiply(threads, 3, 5000, 300, Layout::rows, Layout::rows, false, true);
  test_multiply(threads, 3, 3000, 300, Layout::rows, Layout::columns, false, true);
  test_multiply(threads, 5000, 7, 300, Layout::rows, Layout::rows, false, true);
  test_multiply(threads, 613, 150, 300, Layout::padded_rows, Layout::rows, true, true);
  test_multiply(threads, 613, 150, 300, Layout::columns, Layout::columns, false, true);
  test_multiply(threads, 13, 9, 70001, Layout::columns, Layout::rows, true, true);
  test_multiply(threads, 40, 70, 20011, Layout::columns, Layout::rows, false, true);
  for (int layout = 0; layout < 4; layout++) {
    test_multiply(threads, 1, 1500, 1501, Layout::rows, Layout(layout), layout % 2 == 0, true);
    test_multiply(threads, 1501, 1, 1500, Layout(layout), Layout::rows, layout % 2 == 0, true);
    test_multiply(threads, 1, 17, 100003, Layout::rows, Layout(layout), true, true);
  }
}

// The kernel ----------------------------------------------------------------------------------------------------------

View make_view(float* data, std::vector<int64_t> sizes, std::vector<int64_t> strides) {
  View view{};
  view.data = data;
  view.dtype = DType::float32;
  view.ndim = int(sizes.size());
  view.count = 1;
  for (size_t d = 0; d < sizes.size(); d++) {
    view.sizes[d] = sizes[d];
    view.strides[d] = strides[d];
    view.count *= sizes[d];
  }
  return view;
}

// Two batch dimensions [p, q]. The strides of a and b in them are given, so that broadcasts and transposes occur.
void test_matmul(Threads& threads, int64_t p, int64_t q, int64_t m, int64_t n, int64_t k, bool broadcast_a_p,
                 bool broadcast_b_p, bool broadcast_b_q, bool transposed, bool with_bias) {
  Operand a = make_operand(p * q * m, k, Layout::rows, 7), b = make_operand(p * q * k, n, Layout::rows, 8);
  Operand bias = make_operand(1, n, Layout::rows, 9);
  const int64_t a_p = broadcast_a_p ? 0 : q * m * k, a_q = m * k;
  const int64_t b_p = broadcast_b_p ? 0 : q * k * n, b_q = broadcast_b_q ? 0 : k * n;
  const Matrix shape_b = transposed ? Matrix{nullptr, 1, k} : Matrix{nullptr, n, 1};
  const View view_a = make_view(a.memory.data(), {p, q, m, k}, {a_p, a_q, k, 1});
  const View view_b = make_view(b.memory.data(), {p, q, k, n}, {b_p, b_q, shape_b.row_stride, shape_b.column_stride});
  const View view_bias = make_view(bias.memory.data(), {n}, {1});
  char what[160];
  snprintf(what, sizeof what, "matmul [%lld, %lld] %lldx%lldx%lld %d%d%d%d%d", (long long)p, (long long)q, (long long)m,
           (long long)n, (long long)k, broadcast_a_p, broadcast_b_p, broadcast_b_q, transposed, with_bias);
  std::vector<float> first;
  for (Context* context : {&threads.one, &threads.two, &threads.three}) {
    std::vector<float> c = make_c(p * q * m, n);
    const View out = make_view(c.data(), {p, q, m, n}, {q * m * n, m * n, n, 1});
    FIRESTEEL_ISA::matmul(*context, out, view_a, view_b, with_bias ? &view_bias : nullptr);
    context->release_scratch();
    check(!context->failed.load(), std::string(what) + ": recorded an error");
    if (!first.empty()) {
      check(!memcmp(first.data(), c.data(), c.size() * sizeof(float)), std::string(what) + ": bits differ by threads");
      continue;
    }
    first = c;
    for (int64_t i = 0; i < p * q; i++) {
      const Matrix one_a{a.memory.data() + i / q * a_p + i % q * a_q, k, 1};
      const Matrix one_b{b.memory.data() + i / q * b_p + i % q * b_q, shape_b.row_stride, shape_b.column_stride};
      const std::vector<float> one_c(c.begin() + i * m * n, c.begin() + (i + 1) * m * n);
      check_product(what, m, n, k, one_a, one_b, with_bias ? bias.memory.data() : nullptr, false, one_c, n);
    }
  }
}

void test_batches(Threads& threads) {
  for (int form = 0; form < 32; form++) {
    const bool f0 = form & 1, f1 = form & 2, f2 = form & 4, f3 = form & 8, f4 = form & 16;
    test_matmul(threads, 3, 2, 5, 7, 9, f0, f1, f2, f3, f4);
    test_matmul(threads, 2, 3, 33, 17, 65, f0, f1, f2, f3, f4);
    test_matmul(threads, 2, 2, 70, 90, 130, f0, f1, f2, f3, f4);
    test_matmul(threads, 1, 3, 1, 40, 30, f0, f1, f2, f3, f4);
    test_matmul(threads, 2, 2, 4, 5, 0, f0, f1, f2, f3, f4);
    test_matmul(threads, 0, 2, 4, 5, 3, f0, f1, f2, f3, f4);
  }
}

void test_wrong_calls() {
  Context context(1);
  float a[6] = {}, b[6] = {}, c[4] = {guard, guard, guard, guard};
  const View view_a = make_view(a, {2, 3}, {3, 1}), view_b = make_view(b, {2, 3}, {3, 1});
  FIRESTEEL_ISA::matmul(context, make_view(c, {2, 2}, {2, 1}), view_a, view_b, nullptr);
  check(context.failed.load() && c[0] == guard, "matmul of unequal inner sizes is refused");
}

}  // namespace

int main() {
  Threads threads;
  test_sizes(threads);
  test_batches(threads);
  test_wrong_calls();
  printf("gemm: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
