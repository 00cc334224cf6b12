// Reductions against float64: any set of dimensions, all layouts of an input, lengths around every block of the
// kernels, NaN and infinities, sums that int32 cannot hold, and calls that must be refused.
//
// A sum of n terms may be off by as many roundings of the sum of their sizes as terms are added in float32, which is at
// most 128 (see reduce/sum_max.cpp), and by its result's rounding. A running sum is float64 and is rounded once.
#include "../cpu/reduce/blocks.h"
#include "../cpu/simd/vector.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

// The element of the result to which each element of x belongs, in row-major order. Dimensions in `reduced` (bits)
// count as 1.
std::vector<int64_t> places(const Sizes& sizes, unsigned reduced) {
  int64_t count = 1;
  for (int64_t size : sizes) count *= size;
  std::vector<int64_t> place(size_t(count), 0);
  for (int64_t i = 0; i < count; i++) {
    int64_t rest = i, stride = 1;
    for (int d = int(sizes.size()) - 1; d >= 0; d--) {
      if (!(reduced >> d & 1)) {
        place[size_t(i)] += rest % sizes[size_t(d)] * stride;
        stride *= sizes[size_t(d)];
      }
      rest /= sizes[size_t(d)];
    }
  }
  return place;
}

Sizes reduced_sizes(Sizes sizes, unsigned reduced) {
  for (size_t d = 0; d < sizes.size(); d++)
    if (reduced >> d & 1) sizes[d] = 1;
  return sizes;
}

bool held(double sum) { return sum >= INT32_MIN && sum <= INT32_MAX; }

// A sum that int32 cannot hold is an error of the call, which names it.
template <class F>
void check_overflow(const std::string& what, const F& kernel) {
  const RecordedError error = error_of(kernel);
  check(error.code == ErrorCode::value && error.text.find("int32") != std::string::npos, what + " beyond int32");
}

void test_shape(const Sizes& sizes, unsigned reduced, Layout layout) {
  const std::string shape = text(sizes) + " over " + std::to_string(reduced) + " layout " + std::to_string(int(layout));
  const std::vector<int64_t> place = places(sizes, reduced);
  for (DType dtype : {DType::float32, DType::bfloat16, DType::int32}) {
    const std::string what = shape + " " + name(dtype);
    const bool half = dtype == DType::bfloat16;
    Array x(sizes, dtype, layout), out(reduced_sizes(sizes, reduced), half ? DType::float32 : dtype);
    randomise(x, 1, dtype == DType::int32 ? 1e7 : 4);
    const size_t outputs = size_t(out.size());
    std::vector<double> total(outputs, 0), size(outputs, 0), largest(outputs, -INFINITY), smallest(outputs, INFINITY);
    std::vector<int64_t> terms(outputs, 0);
    for (size_t i = 0; i < place.size(); i++) {
      const double value = x.get(int64_t(i));
      const size_t to = size_t(place[i]);
      total[to] += value;
      size[to] += fabs(value);
      largest[to] = fmax(largest[to], value);
      smallest[to] = fmin(smallest[to], value);
      terms[to]++;
    }
    for (double scale : {1.0, 0.375}) {
      bool fits = true;
      for (size_t i = 0; i < outputs; i++) fits = fits && (dtype != DType::int32 || held(total[i] * scale));
      if (!fits) {
        check_overflow("sum of " + what, [&](Context& c) { isa::sum(c, out.view, x.view, scale); });
        continue;
      }
      run("sum of " + what, out, [&](Context& c) { isa::sum(c, out.view, x.view, scale); });
      bool right = true;
      for (size_t i = 0; i < outputs; i++) {
        const double got = out.get(int64_t(i)), want = total[i] * scale;
        const double roundings = double(terms[i] < 128 ? terms[i] : 128) + 2;
        right = right &&
                (dtype == DType::int32 ? got == trunc(want) : near(got, want, roundings * epsilon * size[i] * scale));
      }
      check(right, "sum of " + what);
      if (dtype == DType::int32) continue;
      Array rounded(reduced_sizes(sizes, reduced), DType::bfloat16);
      run("rounded sum of " + what, rounded, [&](Context& c) { isa::sum(c, rounded.view, x.view, scale); });
      check_equal("rounded sum of " + what, rounded, [&](int64_t i) { return as_dtype(DType::bfloat16, out.get(i)); });
    }
    if (half) continue;
    const auto extreme = [&](double value, double of_none) {
      return isfinite(value) || dtype == DType::float32 ? value : of_none;
    };
    run("amax of " + what, out, [&](Context& c) { isa::amax(c, out.view, x.view); });
    check_equal("amax of " + what, out, [&](int64_t i) { return extreme(largest[size_t(i)], INT32_MIN); });
    run("amin of " + what, out, [&](Context& c) { isa::amin(c, out.view, x.view); });
    check_equal("amin of " + what, out, [&](int64_t i) { return extreme(smallest[size_t(i)], INT32_MAX); });
  }
}

// One NaN among infinities, at each place of a row or column in turn.
void test_nan() {
  for (int64_t n : {1, 5, 31, 32, 33, 64, 67, 130})
    for (int columns = 0; columns < 2; columns++)
      for (int64_t at = 0; at < n; at++) {
        Array x(columns ? Sizes{n, 19} : Sizes{2, n}, DType::float32),
            out(columns ? Sizes{1, 19} : Sizes{2, 1}, DType::float32);
        const int64_t other = columns ? 19 : 2;
        randomise(x, 2);
        const auto position = [&](int64_t line, int64_t i) { return columns ? i * other + line : line * n + i; };
        x.set(position(1, at), NAN);
        if (n > 1) x.set(position(1, (at + 1) % n), INFINITY);
        const auto spreads = [&](const char* what) {
          check(isnan(out.get(1)) && !isnan(out.get(0)), std::string(what) + " of NaN among " + std::to_string(n));
        };
        run("amax", out, [&](Context& c) { isa::amax(c, out.view, x.view); });
        spreads("amax");
        run("amin", out, [&](Context& c) { isa::amin(c, out.view, x.view); });
        spreads("amin");
        run("sum", out, [&](Context& c) { isa::sum(c, out.view, x.view, 1); });
        spreads("sum");
      }
}

void test_best(const Sizes& sizes, int64_t dim, Layout layout, DType dtype, bool with_nan) {
  const std::string what =
      text(sizes) + " along " + std::to_string(dim) + " layout " + std::to_string(int(layout)) + " " + name(dtype);
  Array x(sizes, dtype, layout);
  // Few different values, so that many elements are equally good.
  Numbers numbers{77};
  for (int64_t i = 0; i < x.size(); i++) x.set(i, floor(double(numbers.next()) * 6));
  if (with_nan)
    for (int64_t i = 0; i < x.size(); i += 7) x.set(i, i % 2 ? double(NAN) : -double(INFINITY));
  const unsigned reduced = sizes.empty() ? 0 : 1u << dim;
  const std::vector<int64_t> place = places(sizes, reduced);
  Array out(reduced_sizes(sizes, reduced), DType::int32);
  for (bool largest : {true, false}) {
    std::vector<double> best(size_t(out.size()), 0);
    std::vector<int64_t> index(size_t(out.size()), -1), seen(size_t(out.size()), 0);
    for (size_t i = 0; i < place.size(); i++) {  // along dim in order
      const size_t to = size_t(place[i]);
      const double value = x.get(int64_t(i));
      if (index[to] < 0 || (!isnan(best[to]) && (isnan(value) || (largest ? value > best[to] : value < best[to]))))
        best[to] = value, index[to] = seen[to];
      seen[to]++;
    }
    const std::string kernel = largest ? "argmax of " : "argmin of ";
    run(kernel + what, out,
        [&](Context& c) { largest ? isa::argmax(c, out.view, x.view, dim) : isa::argmin(c, out.view, x.view, dim); });
    check_equal(kernel + what, out, [&](int64_t i) { return double(index[size_t(i)]); });
  }
}

void test_running(const Sizes& sizes, int64_t dim) {
  for (DType dtype : {DType::float32, DType::int32})
    for (bool reverse : {false, true}) {
      const std::string what =
          "cumsum of " + text(sizes) + " along " + std::to_string(dim) + (reverse ? " reversed " : " ") + name(dtype);
      Array x(sizes, dtype), out(sizes, dtype);
      randomise(x, 3, dtype == DType::int32 ? 1e7 : 4);
      const unsigned reduced = sizes.empty() ? 0 : 1u << dim;
      const std::vector<int64_t> place = places(sizes, reduced);
      std::vector<double> total(place.size() + 1, 0), size(place.size() + 1, 0);
      bool right = true, fits = true;
      for (size_t k = 0; k < place.size(); k++) {
        const size_t i = reverse ? place.size() - 1 - k : k;
        fits = held(total[size_t(place[i])] += x.get(int64_t(i))) && fits;
      }
      if (dtype == DType::int32 && !fits) {
        check_overflow(what, [&](Context& c) { isa::cumsum(c, out.view, x.view, dim, reverse); });
        continue;
      }
      total.assign(total.size(), 0);
      run(what, out, [&](Context& c) { isa::cumsum(c, out.view, x.view, dim, reverse); });
      for (size_t k = 0; k < place.size(); k++) {
        const size_t i = reverse ? place.size() - 1 - k : k, to = size_t(place[i]);
        total[to] += x.get(int64_t(i));
        size[to] += fabs(x.get(int64_t(i)));
        const double got = out.get(int64_t(i));
        right = right && (dtype == DType::int32 ? got == total[to]
                                                : near(got, total[to], epsilon * fabs(total[to]) + 1e-12 * size[to]));
      }
      check(right, what);
    }
}

// Running products, running extremes with their places, and running logarithms of sums.
void test_others_running(const Sizes& sizes, int64_t dim, bool special) {
  const std::string what = text(sizes) + " along " + std::to_string(dim);
  Array x(sizes, DType::float32), out(sizes, DType::float32), index(sizes, DType::int32);
  Numbers numbers{31};
  const double extremes[] = {NAN, INFINITY, -INFINITY, -INFINITY, 2, 2};
  for (int64_t i = 0; i < x.size(); i++)
    x.set(i, special && i % 3 == 0 ? extremes[i / 3 % 6] : floor(double(numbers.next()) * 8) / 4 + 0.125);
  const std::vector<int64_t> place = places(sizes, sizes.empty() ? 0 : 1u << dim);
  const size_t lines = place.size() + 1;
  for (bool largest : {true, false}) {
    const std::string kernel = largest ? "cummax of " : "cummin of ";
    run(kernel + what, index, [&](Context& c) {
      largest ? isa::cummax(c, index.view, x.view, dim) : isa::cummin(c, index.view, x.view, dim);
    });
    std::vector<double> best(lines, 0);
    std::vector<int64_t> at(lines, -1), seen(lines, 0);
    check_equal(kernel + what, index, [&](int64_t i) {
      const size_t to = size_t(place[size_t(i)]);
      const double value = x.get(i);
      if (at[to] < 0 || isnan(value) || (largest ? value >= best[to] : value <= best[to]))
        best[to] = value, at[to] = seen[to];
      seen[to]++;
      return double(at[to]);
    });
  }
  if (!special) {
    run("cumprod of " + what, out, [&](Context& c) { isa::cumprod(c, out.view, x.view, dim); });
    std::vector<double> total(lines, 1);
    bool right = true;
    for (size_t i = 0; i < place.size(); i++) {
      const double wanted = total[size_t(place[i])] *= x.get(int64_t(i));
      right = right && near(out.get(int64_t(i)), wanted, epsilon * fabs(wanted) + 1e-37);
    }
    check(right, "cumprod of " + what);
  }
  for (bool reverse : {false, true}) {
    run("logcumsumexp of " + what, out, [&](Context& c) { isa::logcumsumexp(c, out.view, x.view, dim, reverse); });
    std::vector<double> total(lines, -INFINITY);
    bool right = true;
    for (size_t k = 0; k < place.size(); k++) {
      const size_t i = reverse ? place.size() - 1 - k : k;
      double& so_far = total[size_t(place[i])];
      const double value = x.get(int64_t(i)), top = so_far != so_far || so_far > value ? so_far : value;
      so_far = value != value ? value : isfinite(top) ? top + log(exp(so_far - top) + exp(value - top)) : top;
      const double got = out.get(int64_t(i));
      right = right && (isfinite(so_far) ? near(got, so_far, 8 * epsilon * (1 + fabs(so_far)))
                        : isnan(so_far)  ? isnan(got)
                                         : got == so_far);
    }
    check(right, "logcumsumexp of " + what);
  }
}

// One product that int32 cannot hold, and one that it can.
void test_products_of_integers() {
  Array x({3}, DType::int32), out({3}, DType::int32);
  x.set(0, 65536), x.set(1, 32767), x.set(2, -1);
  run("cumprod of int32", out, [&](Context& c) { isa::cumprod(c, out.view, x.view, 0); });
  check(out.get(2) == -65536.0 * 32767, "cumprod of int32");
  x.set(1, 32768);
  check_overflow("cumprod", [&](Context& c) { isa::cumprod(c, out.view, x.view, 0); });
}

// Sums at the ends of the range and just beyond them, in rows, planes and columns of several segments.
void test_ends() {
  for (const Sizes& sizes : {Sizes{2}, Sizes{70001}, Sizes{2, 3}, Sizes{40000, 3}, Sizes{150, 3, 65}})
    for (double end : {double(INT32_MAX), double(INT32_MIN)})
      for (double more : {0.0, end > 0 ? 1.0 : -1.0}) {
        const unsigned reduced = sizes.size() == 3 ? 5 : 1;
        Array x(sizes, DType::int32), out(reduced_sizes(sizes, reduced), DType::int32), all(sizes, DType::int32);
        for (int64_t i = 0; i < x.size(); i++) x.set(i, 0);
        // In the last column of each, the first and the last element.
        x.set(sizes.size() == 1 ? 0 : sizes[sizes.size() - 1] - 1, end);
        x.set(x.size() - 1, sizes.size() == 3 ? 0 : more);
        if (sizes.size() == 3) x.set(0, end), x.set(1, more), x.set(64, 0);
        const std::string what = "of " + text(sizes) + " at an end";
        const auto sum = [&](Context& c) { isa::sum(c, out.view, x.view, 1); };
        const auto running = [&](Context& c) { isa::cumsum(c, all.view, x.view, sizes.size() == 3 ? 2 : 0, false); };
        if (more != 0) {
          check_overflow("sum " + what, sum);
          check_overflow("cumsum " + what, running);
        } else {
          run("sum " + what, out, sum);
          check(out.get(sizes.size() == 3 ? 0 : out.size() - 1) == end, "sum " + what);
          run("cumsum " + what, all, running);
          check(all.get(sizes.size() == 3 ? 64 : all.size() - 1) == end, "cumsum " + what);
        }
      }
}

void test_blocks() {
  const int64_t registers = 4 * isa::simd::lanes;
  for (int64_t n : about({registers, isa::float_row, isa::short_row / 2, isa::short_row, isa::segment_elements})) {
    test_shape({n}, 1, Layout::dense);
    test_shape({2, n}, 2, Layout::dense);
    test_shape({n, 2}, 2, Layout::transposed);
    test_best({n}, 0, Layout::dense, DType::float32, false);
  }
  for (int64_t rows : about({isa::float_rows, isa::rows_together}))
    for (int64_t columns : about({isa::simd::lanes, isa::column_tile, isa::along_tile})) {
      test_shape({rows, columns}, 1, Layout::dense);
      if (rows > 2 * isa::rows_together) continue;
      test_best({rows, columns}, 0, Layout::dense, DType::int32, false);
      test_running({rows, columns}, 0);
    }
  // Rows of a segment of columns, and planes side by side.
  for (int64_t rows : about({isa::segment_elements / 32})) test_shape({rows, 32}, 1, Layout::dense);
  for (int64_t planes : about({isa::most_together}))
    for (int64_t row : {int64_t(3), isa::short_row / 2 - 1, isa::short_row / 2, isa::short_row / 2 + 1})
      test_shape({3, planes, row}, 5, Layout::dense);
}

void test_wrong_calls() {
  Array x({3, 4}, DType::float32), ints({3, 4}, DType::int32), bytes({3, 4}, DType::uint8), row({1, 4}, DType::float32);
  Array flat({4}, DType::float32), wrong({2, 4}, DType::float32), index({3, 1}, DType::int32),
      none({0, 4}, DType::float32);
  Array byte_row({1, 4}, DType::uint8), best_of_none({1, 4}, DType::int32), out({3, 4}, DType::float32);
  check_refused("sum to another rank", flat, [&](Context& c) { isa::sum(c, flat.view, x.view, 1); });
  check_refused("sum to a size between", wrong, [&](Context& c) { isa::sum(c, wrong.view, x.view, 1); });
  check_refused("sum to another dtype", row, [&](Context& c) { isa::sum(c, row.view, ints.view, 1); });
  Array half({3, 4}, DType::bfloat16), half_row({1, 4}, DType::bfloat16);
  check_refused("sum of int32 to bfloat16", half_row, [&](Context& c) { isa::sum(c, half_row.view, ints.view, 1); });
  check_refused("sum of bfloat16 to int32", best_of_none,
                [&](Context& c) { isa::sum(c, best_of_none.view, half.view, 1); });
  check_refused("amax of bytes", byte_row, [&](Context& c) { isa::amax(c, byte_row.view, bytes.view); });
  check_refused("argmax to floats", row, [&](Context& c) { isa::argmax(c, row.view, x.view, 0); });
  check_refused("argmax along a dimension that is not", index,
                [&](Context& c) { isa::argmax(c, index.view, x.view, 2); });
  check_refused("argmax along a negative one", index, [&](Context& c) { isa::argmax(c, index.view, x.view, -1); });
  check_refused("argmin along another", index, [&](Context& c) { isa::argmin(c, index.view, x.view, 0); });
  check_refused("argmax of nothing", best_of_none,
                [&](Context& c) { isa::argmax(c, best_of_none.view, none.view, 0); });
  check_refused("cumsum of another shape", row, [&](Context& c) { isa::cumsum(c, row.view, x.view, 0, false); });
  check_refused("cumsum of another dtype", out, [&](Context& c) { isa::cumsum(c, out.view, ints.view, 0, false); });
  check_refused("cumsum along a dimension that is not", out,
                [&](Context& c) { isa::cumsum(c, out.view, x.view, 2, false); });
  check_refused("cumprod of another dtype", out, [&](Context& c) { isa::cumprod(c, out.view, ints.view, 0); });
  check_refused("cummax to floats", out, [&](Context& c) { isa::cummax(c, out.view, x.view, 0); });
  check_refused("logcumsumexp of integers", ints,
                [&](Context& c) { isa::logcumsumexp(c, ints.view, ints.view, 0, false); });
}

}  // namespace

int main() {
  const Sizes shapes[] = {
      {},       {0},          {1},       {2},       {7},         {31},      {33},
      {64},     {1023},       {1025},    {3, 0},    {0, 3},      {3, 5},    {5, 129},
      {129, 5}, {2, 3, 4, 5}, {1, 6, 1}, {3, 1, 7}, {4, 17, 33}, {8, 2, 8}, {2, 2, 2, 2, 2, 2, 2, 3}};
  for (const Sizes& sizes : shapes)
    for (unsigned reduced = 0; reduced<1u << sizes.size(); reduced += sizes.size()> 5 ? 7 : 1)
      for (Layout layout : all_layouts) test_shape(sizes, reduced, layout);
  // Longer than a segment, and several of them.
  test_shape({70001}, 1, Layout::dense);
  test_shape({150, 11, 65}, 5, Layout::dense);  // planes in several segments
  test_shape({70001}, 1, Layout::sliced);
  for (unsigned reduced : {0u, 1u, 2u, 3u}) {
    test_shape({2, 40000}, reduced, Layout::dense);
    test_shape({40000, 3}, reduced, Layout::dense);
    test_shape({333, 600}, reduced, Layout::transposed);
    test_shape({333, 600}, reduced, Layout::dense);
  }
  for (unsigned reduced : {2u, 5u, 6u, 7u})
    for (Layout layout : {Layout::dense, Layout::rotated, Layout::spread}) test_shape({37, 40, 65}, reduced, layout);
  test_nan();
  test_ends();
  test_blocks();

  for (DType dtype : {DType::float32, DType::int32})
    for (bool with_nan : {false, true}) {
      if (with_nan && dtype == DType::int32) continue;
      for (Layout layout : all_layouts) {
        test_best({}, 0, layout, dtype, with_nan);
        for (int64_t n : {1, 2, 7, 15, 16, 17, 31, 32, 33, 100}) {
          test_best({n}, 0, layout, dtype, with_nan);
          test_best({3, n}, 1, layout, dtype, with_nan);
          test_best({n, 21}, 0, layout, dtype, with_nan);
        }
        for (int64_t dim = 0; dim < 3; dim++) test_best({4, 5, 6}, dim, layout, dtype, with_nan);
        test_best({0, 3}, 1, layout, dtype, with_nan);
      }
      test_best({300, 301}, 0, Layout::dense, dtype, with_nan);
      test_best({300, 301}, 1, Layout::dense, dtype, with_nan);
      test_best({300, 301}, 1, Layout::transposed, dtype, with_nan);
    }

  test_running({}, 0);
  for (const Sizes& sizes : {Sizes{0}, Sizes{1}, Sizes{9}, Sizes{70001}}) test_running(sizes, 0);
  for (const Sizes& sizes : {Sizes{3, 0, 2}, Sizes{4, 5, 6}, Sizes{1, 40, 1}, Sizes{3, 33, 257}, Sizes{30, 70, 40}})
    for (int64_t dim = 0; dim < 3; dim++) test_running(sizes, dim);
  for (bool special : {false, true}) {
    test_others_running({}, 0, special);
    for (const Sizes& sizes : {Sizes{0}, Sizes{1}, Sizes{31}, Sizes{33}}) test_others_running(sizes, 0, special);
    for (const Sizes& sizes : {Sizes{3, 0, 2}, Sizes{4, 5, 6}, Sizes{2, 9, isa::along_tile + 1}})
      for (int64_t dim = 0; dim < 3; dim++) test_others_running(sizes, dim, special);
    for (int64_t lines : about({isa::lines_together})) test_others_running({lines, 7}, 1, special);
  }
  test_products_of_integers();
  test_wrong_calls();
  return finish("reduce");
}
