// Sorting against std::stable_sort: lines around every size at which the method changes, ties, NaN, infinities and
// zeros; searches against counting; calls that must be refused.
#include <algorithm>

#include "../cpu/simd/vector.h"
#include "../cpu/sort/blocks.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

// Whether a comes before b. NaN is larger than everything else.
bool less(double a, double b) { return isnan(b) ? !isnan(a) : a < b; }

enum class Kind { few, many, rising, falling, special };

void fill(Array& x, Kind kind) {
  Numbers numbers{99};
  for (int64_t i = 0; i < x.size(); i++) {
    const double u = double(numbers.next());
    const double line[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1};
    double value = kind == Kind::few      ? floor(u * 4)
                   : kind == Kind::many   ? u * 1e6
                   : kind == Kind::rising ? double(i)
                                          : double(x.size() - i);
    if (kind == Kind::special)
      value = x.view.dtype == DType::float32 ? line[i * 7 % 6] : u > 0 ? 2147483647.0 : -2147483648.0;
    x.set(i, x.view.dtype == DType::int32 ? floor(value) : value);
  }
}

void test_lines(const Sizes& sizes, int64_t dim, int64_t k, Kind kind, DType dtype) {
  Array x(sizes, dtype);
  fill(x, kind);
  Sizes kept = sizes;
  kept[size_t(dim)] = k;
  Array out(kept, dtype), indices(kept, DType::int32);
  int64_t inner = 1;
  for (size_t d = size_t(dim) + 1; d < sizes.size(); d++) inner *= sizes[d];
  const int64_t n = sizes[size_t(dim)], lines = n == 0 ? 0 : x.size() / n;
  for (bool descending : {false, true}) {
    const std::string what = "sort of " + text(sizes) + " along " + std::to_string(dim) + " to " + std::to_string(k) +
                             (descending ? " falling " : " rising ") + std::to_string(int(kind)) + " " + name(dtype);
    run(what, out, [&](Context& c) { isa::sort(c, out.view, indices.view, x.view, dim, descending); });
    bool right = indices.intact();
    for (int64_t line = 0; line < lines; line++) {
      const auto place = [&](int64_t i, int64_t length) { return (line / inner * length + i) * inner + line % inner; };
      std::vector<int64_t> order;
      for (int64_t i = 0; i < n; i++) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        const double u = x.get(place(a, n)), v = x.get(place(b, n));
        return descending ? less(v, u) : less(u, v);
      });
      for (int64_t i = 0; i < k; i++) {
        const double got = out.get(place(i, k)), wanted = x.get(place(order[size_t(i)], n));
        right = right && indices.get(place(i, k)) == double(order[size_t(i)]) &&
                (isnan(wanted) ? isnan(got) : got == wanted && signbit(got) == signbit(wanted));
      }
    }
    check(right, what);
  }
}

void test_search(int64_t rows, int64_t n, int64_t each, DType dtype) {
  const bool one = rows == 0;
  Array sorted(one ? Sizes{n} : Sizes{rows, n}, dtype), values(one ? Sizes{each} : Sizes{rows, each}, dtype);
  Array out(one ? Sizes{each} : Sizes{rows, each}, DType::int32);
  for (int64_t i = 0; i < sorted.size(); i++) sorted.set(i, double(i % n / 2));
  Numbers numbers{5};
  for (int64_t i = 0; i < values.size(); i++) values.set(i, floor(double(numbers.next()) * double(n)));
  for (bool right : {false, true}) {
    const std::string what = "searchsorted in " + text({rows, n}) + (right ? " right " : " left ") + name(dtype);
    run(what, out, [&](Context& c) { isa::searchsorted(c, out.view, sorted.view, values.view, right); });
    check_equal(what, out, [&](int64_t i) {
      const int64_t row = one ? 0 : i / each;
      double count = 0;
      for (int64_t j = 0; j < n; j++) {
        const double here = sorted.get(row * n + j), value = values.get(i);
        count += right ? here <= value : here < value;
      }
      return count;
    });
  }
}

void test_wrong_calls() {
  Array x({3, 4}, DType::float32), out({3, 2}, DType::float32), indices({3, 2}, DType::int32);
  Array ints({3, 2}, DType::int32), long_out({3, 5}, DType::float32), long_indices({3, 5}, DType::int32);
  Array bytes({3, 4}, DType::uint8), byte_out({3, 2}, DType::uint8), row({4}, DType::float32),
      found({3, 4}, DType::int32);
  check_refused("sort along a dimension that is not", out,
                [&](Context& c) { isa::sort(c, out.view, indices.view, x.view, 2, false); });
  check_refused("sort along another", out, [&](Context& c) { isa::sort(c, out.view, indices.view, x.view, 0, false); });
  check_refused("sort to more than there are", long_out,
                [&](Context& c) { isa::sort(c, long_out.view, long_indices.view, x.view, 1, false); });
  check_refused("sort to another dtype", ints,
                [&](Context& c) { isa::sort(c, ints.view, indices.view, x.view, 1, false); });
  check_refused("sort of bytes", byte_out,
                [&](Context& c) { isa::sort(c, byte_out.view, indices.view, bytes.view, 1, false); });
  check_refused("searchsorted of another dtype", found,
                [&](Context& c) { isa::searchsorted(c, found.view, row.view, bytes.view, false); });
  check_refused("searchsorted to another shape", indices,
                [&](Context& c) { isa::searchsorted(c, indices.view, row.view, x.view, false); });
}

}  // namespace

int main() {
  for (DType dtype : {DType::float32, DType::int32})
    for (Kind kind : {Kind::few, Kind::many, Kind::rising, Kind::falling, Kind::special}) {
      for (int64_t n : about({isa::insertion_most, isa::least_candidates, isa::simd::lanes})) {
        test_lines({n}, 0, n, kind, dtype);
        test_lines({2, n}, 1, n / 2, kind, dtype);
      }
      for (int64_t k : about({isa::least_candidates / 4}))
        for (int64_t n : {4 * k - 1, 4 * k, 4 * k + 1, 9 * k + 3}) test_lines({n}, 0, k, kind, dtype);
      for (int64_t k : {1, 50}) test_lines({9001}, 0, k, kind, dtype);
      for (int64_t dim = 0; dim < 3; dim++) test_lines({4, 5, 6}, dim, 3, kind, dtype);
      test_lines({0, 3}, 0, 0, kind, dtype);
      test_lines({3, 0}, 0, 2, kind, dtype);
      test_lines({isa::sorted_chunk / 8 + 1, 8}, 1, 8, kind, dtype);
      test_lines({70, 130}, 0, 70, kind, dtype);
    }
  for (DType dtype : {DType::float32, DType::int32})
    for (int64_t n : {1, 2, 7, 33})
      for (int64_t rows : {0, 1, 3}) test_search(rows, n, 9, dtype);
  for (int64_t each : about({isa::sorted_chunk / 4})) test_search(0, 16, each, DType::float32);
  test_wrong_calls();
  return finish("sort");
}
