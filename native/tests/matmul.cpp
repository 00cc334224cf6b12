// The matmul kernel against float64: ranks 2 to 5, all layouts of a, b and their batches, broadcast batches, bias, sums
// without terms, NaN and infinities, several products in one call, and calls that must be refused. gemm.cpp tests the
// products of single matrices of all sizes.
//
// A sum of K products may be off by K + 2 roundings of the sum of their sizes, plus one rounding if the result is
// bfloat16.
#include <deque>

#include "../cpu/gemm/micro.h"
#include "../cpu/gemm/tile.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

std::vector<double> absolute(std::vector<double> values) {
  for (double& x : values) x = fabs(x);
  return values;
}

struct Types {
  DType out = DType::float32, a = DType::float32, b = DType::float32, bias = DType::float32;
};

void test_product(const Sizes& batch, int64_t M, int64_t N, int64_t K, Layout left, Layout right, bool with_bias,
                  bool special, Types types = {}) {
  Sizes a_sizes = batch, b_sizes = batch, sizes = batch;
  int64_t matrices = 1;
  for (int64_t size : batch) matrices *= size;
  a_sizes.insert(a_sizes.end(), {M, K});
  b_sizes.insert(b_sizes.end(), {K, N});
  sizes.insert(sizes.end(), {M, N});
  const std::string what = std::string(name(types.out)) + " matmul of " + name(types.a) + " " + text(a_sizes) +
                           " layout " + std::to_string(int(left)) + " and " + name(types.b) + " " + text(b_sizes) +
                           " layout " + std::to_string(int(right)) + (with_bias ? " with bias" : "");
  Array a(a_sizes, types.a, left), b(b_sizes, types.b, right), bias({N}, types.bias);
  Array out(sizes, types.out);
  randomise(a, 1);
  randomise(b, 2);
  randomise(bias, 3);
  if (special && a.size() > 2 && b.size() > 2) {
    a.set(a.size() / 2, NAN);
    a.set(0, INFINITY);
    b.set(b.size() - 1, -INFINITY);
  }
  run(what, out, [&](Context& c) { isa::matmul(c, out.view, a.view, b.view, with_bias ? &bias.view : nullptr); });
  Array total(sizes, DType::float32);  // the product plus the former elements
  randomise(total, 4);
  const std::vector<double> before = total.values(), left_values = a.values(), right_values = b.values();
  run("accumulated " + what, total, [&](Context& c) { isa::matmul_accumulate(c, total.view, a.view, b.view); });
  std::vector<double> products(before.size()), magnitudes(before.size());
  const std::vector<double> left_sizes = absolute(left_values), right_sizes = absolute(right_values);
  for (int64_t m = 0; m < matrices; m++) {
    const int64_t at = m * M * N, from = m * M * K, by = m * K * N;
    add_product(products.data() + at, left_values.data() + from, right_values.data() + by, M, N, K);
    add_product(magnitudes.data() + at, left_sizes.data() + from, right_sizes.data() + by, M, N, K);
  }
  bool right_sums = true, right_totals = true;
  for (int64_t i = 0; i < out.size(); i++) {
    const double shift = with_bias ? bias.get(i % N) : 0, product = products[size_t(i)], start = before[size_t(i)];
    const double magnitude = magnitudes[size_t(i)];
    const double rounding = types.out == DType::bfloat16 ? 0x1p-8 * fabs(product + shift) : 0;
    right_sums =
        right_sums && near(out.get(i), product + shift, double(K + 2) * epsilon * (magnitude + fabs(shift)) + rounding);
    right_totals =
        right_totals && near(total.get(i), product + start, double(K + 2) * epsilon * (magnitude + fabs(start)));
  }
  check(right_sums, what);
  check(right_totals, "accumulated " + what);
}

// bfloat16 as either operand, or as the result, with every way of cutting the work.
void test_mixed(Layout left, Layout right, int round) {
  const Types types = {DType(round & 1), DType(round >> 1 & 1), DType(round >> 2 & 1), DType(round >> 3 & 1)};
  const bool with_bias = round % 3 != 0;
  test_product({2}, 7, 9, 5, left, right, with_bias, round % 5 == 0, types);
  test_product({}, 1, 70, 450, left, right, with_bias, false, types);
  test_product({}, 70, 1, 450, left, right, with_bias, false, types);
  test_product({3}, 1, 33, 21, left, right, with_bias, false, types);
  test_product({2, 2}, 37, 41, 43, left, right, with_bias, false, types);
  test_product({}, 20, 90, 410, left, right, with_bias, false, types);
  test_product({}, 90, 20, 410, left, right, with_bias, false, types);
  test_product({}, 7, 9, 2100, left, right, with_bias, false, types);
  test_product({}, 130, 131, 132, left, right, with_bias, false, types);
  // The last element of an odd number has no partner when bfloat16 is multiplied in pairs.
  test_product({}, 7, 9, 2101, left, right, with_bias, false, types);
  test_product({}, 130, 67, 541, left, right, with_bias, false, types);
}

// Numbers of rows, columns and depths around the blocks of matrix multiplication, with small and larger other sizes.
void test_blocks() {
  using namespace isa::gemm;
  const auto product = [](int64_t m, int64_t n, int64_t k) {
    test_product({}, m, n, k, Layout::dense, Layout::dense, true, false);
    test_product({}, m, n, k, Layout::transposed, Layout::transposed, false, false);
  };
  for (int64_t m : about({tile_rows, few_rows}))
    for (int64_t n : about({tile_columns, 2 * tile_columns})) product(m, n, 5), product(m, n, 70);
  for (int64_t k : about({block_depth}))
    for (int64_t m : {int64_t(1), tile_rows + 1, few_rows + 1}) product(m, tile_columns + 1, k);
  for (int64_t n : about({16 * tile_columns})) product(tile_rows + 1, n, 9), product(1, n, 33);
  for (int64_t m : about({16 * tile_rows})) product(m, tile_columns + 1, 9), product(m, 1, 33);
}

// Several products of one matrix: each has the bits of a product alone.
void test_each(int64_t M, int64_t K, const Sizes& widths, DType weights, bool biased, DType dtype) {
  const std::string what = std::string(name(dtype)) + " matmul_each of " + text({M, K}) + " and " + text(widths) +
                           " in " + name(weights) + (biased ? " with biases" : "");
  Array a({M, K}, dtype);
  randomise(a, 1);
  std::deque<Array> b, biases;  // arrays cannot move
  std::vector<View> b_views, bias_views;
  int64_t columns = 0;
  for (int64_t width : widths) {
    b.emplace_back(Sizes{K, width}, weights, Layout::transposed);
    biases.emplace_back(Sizes{width}, dtype);
    randomise(b.back(), uint32_t(columns + 2));
    randomise(biases.back(), uint32_t(columns + 3));
    columns += width;
  }
  for (size_t i = 0; i < b.size(); i++) b_views.push_back(b[i].view), bias_views.push_back(biases[i].view);
  const auto count = int64_t(widths.size());
  Array out({M * columns}, dtype);
  run(what, out, [&](Context& c) {
    isa::matmul_each(c, out.view, a.view, {b_views.data(), count}, {bias_views.data(), biased ? count : 0});
  });
  int64_t at = 0;
  for (size_t i = 0; i < b.size(); i++) {
    Array alone({M, widths[i]}, dtype);
    run(what, alone,
        [&](Context& c) { isa::matmul(c, alone.view, a.view, b[i].view, biased ? &biases[i].view : nullptr); });
    bool same = true;
    for (int64_t j = 0; j < alone.size(); j++) same = same && alone.get(j) == out.get(at++);
    check(same, what + ": other bits than alone");
  }
}

void test_wrong_each() {
  Array a({3, 4}, DType::float32), b({4, 5}, DType::float32), tall({5, 5}, DType::float32), bias({5}, DType::float32);
  Array out({15}, DType::float32), less({14}, DType::float32), vector({4}, DType::float32);
  const View one[] = {b.view}, misfit[] = {tall.view}, line[] = {vector.view}, biases[] = {bias.view, bias.view};
  const View narrow[] = {vector.view};
  const auto call = [&](const Array& to, const Array& from, ViewList each, ViewList more) {
    return [&, each, more](Context& c) { isa::matmul_each(c, to.view, from.view, each, more); };
  };
  check_refused("matmul_each into less", less, call(less, a, {one, 1}, {nullptr, 0}));
  check_refused("matmul_each of a vector", out, call(out, vector, {one, 1}, {nullptr, 0}));
  check_refused("matmul_each by a vector", out, call(out, a, {line, 1}, {nullptr, 0}));
  check_refused("matmul_each of another depth", out, call(out, a, {misfit, 1}, {nullptr, 0}));
  check_refused("matmul_each with two biases", out, call(out, a, {one, 1}, {biases, 2}));
  check_refused("matmul_each with a short bias", out, call(out, a, {one, 1}, {narrow, 1}));
}

void test_wrong_calls() {
  Array a({2, 3, 4}, DType::float32), b({2, 4, 5}, DType::float32), out({2, 3, 5}, DType::float32),
      bias({4}, DType::float32);
  Array other({2, 5, 4}, DType::float32), more({3, 4, 5}, DType::float32), flat({3, 4}, DType::float32);
  Array wide({2, 3, 6}, DType::float32), vector({4}, DType::float32), scalar({}, DType::float32);
  check_refused("inner sizes", out, [&](Context& c) { isa::matmul(c, out.view, a.view, other.view, nullptr); });
  check_refused("batches", out, [&](Context& c) { isa::matmul(c, out.view, a.view, more.view, nullptr); });
  check_refused("ranks", out, [&](Context& c) { isa::matmul(c, out.view, flat.view, b.view, nullptr); });
  check_refused("columns", wide, [&](Context& c) { isa::matmul(c, wide.view, a.view, b.view, nullptr); });
  check_refused("bias", out, [&](Context& c) { isa::matmul(c, out.view, a.view, b.view, &bias.view); });
  check_refused("vectors", vector, [&](Context& c) { isa::matmul(c, vector.view, vector.view, vector.view, nullptr); });
  check_refused("sums of another shape", wide,
                [&](Context& c) { isa::matmul_accumulate(c, wide.view, a.view, b.view); });
  check_refused("scalars", scalar, [&](Context& c) { isa::matmul(c, scalar.view, scalar.view, scalar.view, nullptr); });
}

}  // namespace

int main() {
  int round = 0;
  for (const Sizes& batch : {Sizes{}, Sizes{1}, Sizes{3}, Sizes{2, 3}, Sizes{2, 1, 3}, Sizes{0}, Sizes{2, 0}})
    for (Layout left : all_layouts)
      for (Layout right : all_layouts) {
        round++;
        test_product(batch, 5, 7, 6, left, right, round % 2, round % 3 == 0);
        test_product(batch, round % 4 ? 17 : 1, round % 5 ? 33 : 1, round % 6 ? 19 : 1, left, right, round % 3 == 0,
                     false);
      }
  for (const Sizes& batch : {Sizes{}, Sizes{4}}) {
    for (int64_t none = 0; none < 3; none++)
      test_product(batch, none == 0 ? 0 : 4, none == 1 ? 0 : 5, none == 2 ? 0 : 3, Layout::dense, Layout::dense, true,
                   false);
    test_product(batch, 1, 1, 1, Layout::dense, Layout::dense, true, false);
  }
  // Many small products, rows that join, and products for all threads.
  test_product({300}, 9, 8, 7, Layout::dense, Layout::transposed, true, false);
  test_product({20, 15}, 9, 8, 7, Layout::dense, Layout::repeated, true, false);
  test_product({40, 7}, 3, 33, 20, Layout::dense, Layout::uniform, false, false);
  test_product({3}, 130, 140, 120, Layout::rotated, Layout::sliced, true, false);
  test_product({}, 257, 129, 300, Layout::transposed, Layout::flipped, true, false);
  for (Layout left : own_layouts)
    for (Layout right : own_layouts)
      for (int half = 0; half < 2; half++) test_mixed(left, right, 1 + round++ % 15);
  test_blocks();
  for (bool biased : {false, true})
    for (int64_t M : {int64_t(0), int64_t(1), int64_t(2), isa::gemm::tile_rows + 1}) {
      test_each(M, 64, {33, 7, 70}, DType::float32, biased, DType::float32);
      test_each(M, 64, {33, 7, 70}, DType::bfloat16, biased, DType::bfloat16);
      test_each(M, 0, {3}, DType::float32, biased, DType::float32);
    }
  test_each(2, 3, {}, DType::float32, false, DType::float32);
  test_each(1, 900, {960, 320, 0, 320}, DType::float32, true, DType::float32);
  test_wrong_each();
  test_wrong_calls();
  return finish("matmul");
}
