// Gathers and scatters against plain loops: every dtype and dimension, repeated indices (whose sums have an order),
// skipped indices, and indices out of range. These are recorded by value, place and range, and everything else stays
// right.
#include "../cpu/elementwise/driver.h"
#include "../cpu/indexing/blocks.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

// A position of `sizes` in row-major order, split around dim.
struct Place {
  int64_t outer, along, inner;
};
struct Around {
  int64_t size, inner = 1;
  Around(const Sizes& sizes, int64_t dim) : size(sizes[size_t(dim)]) {
    for (size_t d = size_t(dim) + 1; d < sizes.size(); d++) inner *= sizes[d];
  }
  Place split(int64_t i) const { return {i / inner / size, i / inner % size, i % inner}; }
  int64_t join(const Place& p) const { return (p.outer * size + p.along) * inner + p.inner; }
};

// Indices in [0, size), many of them more than once.
void fill_indices(Array& index, int64_t size, uint32_t seed) {
  Numbers numbers{seed * 31 + 7};
  for (int64_t i = 0; i < index.size(); i++) index.set(i, floor((double(numbers.next()) + 1) / 2 * double(size)));
}

void test_select(const Sizes& sizes, int64_t dim, int64_t indices, DType dtype) {
  const std::string what =
      "of " + text(sizes) + " along " + std::to_string(dim) + " by " + std::to_string(indices) + " " + name(dtype);
  Sizes selected = sizes;
  selected[size_t(dim)] = indices;
  Array x(sizes, dtype), index({indices}, DType::int32), out(selected, dtype);
  randomise(x, 1);
  fill_indices(index, sizes[size_t(dim)], 2);
  const Around large(sizes, dim), small(selected, dim);
  run("index_select " + what, out, [&](Context& c) { isa::index_select(c, out.view, x.view, index.view, dim); });
  check_equal("index_select " + what, out, [&](int64_t i) {
    Place p = small.split(i);
    p.along = int64_t(index.get(p.along));
    return x.get(large.join(p));
  });
  if (dtype != DType::float32) return;

  for (int64_t skip : {int64_t(-1), int64_t(0), sizes[size_t(dim)] + 5}) {
    if (indices > 1 && skip > 0) index.set(indices / 2, double(skip));
    Array dy(selected, dtype), dx(sizes, dtype);
    randomise(dy, 3);
    std::vector<float> sums(size_t(dx.size()), 0.0f);
    for (int64_t i = 0; i < dy.size(); i++) {  // in the order of the index
      Place p = small.split(i);
      p.along = int64_t(index.get(p.along));
      if (skip < 0 || p.along != skip) sums[size_t(large.join(p))] += float(dy.get(i));
    }
    run("index_add " + what, dx, [&](Context& c) { isa::index_add(c, dx.view, dy.view, index.view, dim, skip); });
    check_equal("index_add " + what, dx, [&](int64_t i) { return sums[size_t(i)]; });
    Array sum(sizes, dtype);
    randomise(sum, 7);
    for (int64_t i = 0; i < sum.size(); i++) sums[size_t(i)] = float(sum.get(i));
    for (int64_t i = 0; i < dy.size(); i++) {
      Place p = small.split(i);
      p.along = int64_t(index.get(p.along));
      if (skip < 0 || p.along != skip) sums[size_t(large.join(p))] += float(dy.get(i));
    }
    run("index_accumulate " + what, sum,
        [&](Context& c) { isa::index_accumulate(c, sum.view, dy.view, index.view, dim, skip); });
    check_equal("index_accumulate " + what, sum, [&](int64_t i) { return sums[size_t(i)]; });
  }
}

// `named` are the sizes of the index. Except along dim, none is larger than that of x.
void test_gather(const Sizes& sizes, const Sizes& named, int64_t dim, DType dtype) {
  const std::string what =
      "of " + text(sizes) + " by " + text(named) + " along " + std::to_string(dim) + " " + name(dtype);
  Array x(sizes, dtype), index(named, DType::int32), out(named, dtype);
  randomise(x, 4);
  fill_indices(index, sizes[size_t(dim)], 5);
  const auto where = [&](int64_t i) {  // the element of x that position i of the index names
    int64_t place = 0, stride = 1, rest = i;
    for (size_t d = sizes.size(); d-- > 0;) {
      place += (int64_t(d) == dim ? int64_t(index.get(i)) : rest % named[d]) * stride;
      rest /= named[d];
      stride *= sizes[d];
    }
    return place;
  };
  run("gather " + what, out, [&](Context& c) { isa::gather(c, out.view, x.view, index.view, dim); });
  check_equal("gather " + what, out, [&](int64_t i) { return x.get(where(i)); });
  if (dtype != DType::float32) return;
  Array dx(sizes, dtype), dy(named, dtype);
  randomise(dy, 6);
  std::vector<float> sums(size_t(dx.size()), 0.0f);
  for (int64_t i = 0; i < dy.size(); i++) sums[size_t(where(i))] += float(dy.get(i));  // along dim in order
  run("scatter_add " + what, dx, [&](Context& c) { isa::scatter_add(c, dx.view, dy.view, index.view, dim); });
  check_equal("scatter_add " + what, dx, [&](int64_t i) { return sums[size_t(i)]; });
}

// Copies and sums into existing elements, in the order of the index.
void test_scatter(const Sizes& sizes, const Sizes& named, int64_t dim, DType dtype) {
  const std::string what =
      "of " + text(named) + " into " + text(sizes) + " along " + std::to_string(dim) + " " + name(dtype);
  Array start(sizes, dtype), index(named, DType::int32), src(named, dtype);
  randomise(start, 8), randomise(src, 9);
  fill_indices(index, sizes[size_t(dim)], 10);
  const auto where = [&](int64_t i) {
    int64_t place = 0, stride = 1, rest = i;
    for (size_t d = sizes.size(); d-- > 0;) {
      place += (int64_t(d) == dim ? int64_t(index.get(i)) : rest % named[d]) * stride;
      rest /= named[d];
      stride *= sizes[d];
    }
    return place;
  };
  const auto after = [&](const auto& both) {
    std::vector<double> want(size_t(start.size()));
    for (int64_t i = 0; i < start.size(); i++) want[size_t(i)] = start.get(i);
    for (int64_t i = 0; i < src.size(); i++) {
      double& found = want[size_t(where(i))];
      found = both(found, src.get(i));
    }
    return want;
  };
  const auto changed = [&](const char* kernel, const auto& both, const auto& call) {
    Array out(sizes, dtype);
    for (int64_t i = 0; i < start.size(); i++) out.set(i, start.get(i));
    run(kernel + what, out, [&](Context& c) { call(c, out.view); });
    const std::vector<double> want = after(both);
    check_equal(kernel + what, out, [&](int64_t i) { return want[size_t(i)]; });
  };
  changed(
      "scatter_into ", [](double, double b) { return b; },
      [&](Context& c, const View& out) { isa::scatter_into(c, out, src.view, index.view, dim); });
  if (dtype != DType::float32 && dtype != DType::int32) return;
  const auto rounded = [&](double x) { return dtype == DType::int32 ? double(int32_t(int64_t(x))) : double(float(x)); };
  for (int64_t by = 0; by < 4; by++)
    changed(("scatter_accumulate " + std::to_string(by) + " ").c_str(),
            [&](double a, double b) {
              return by == 0 ? rounded(a + b) : by == 1 ? rounded(a * b) : by == 2 ? std::max(a, b) : std::min(a, b);
            },
            [&](Context& c, const View& out) { isa::scatter_accumulate(c, out, src.view, index.view, dim, by); });
}

void test_scatters() {
  for (DType dtype : all_dtypes) {
    test_scatter({9}, {5}, 0, dtype);
    test_scatter({4, 5, 6}, {4, 9, 5}, 1, dtype);
    test_scatter({4, 5, 6}, {3, 2, 9}, 2, dtype);
  }
  for (DType dtype : {DType::float32, DType::int32})
    for (int64_t n : about({isa::inner_tile, isa::least_tile})) {
      test_scatter({3, n}, {7, n}, 0, dtype);
      // As many as leave tiles whole, and one fewer.
      for (int64_t outer : {isa::enough_units - 1, isa::enough_units})
        test_scatter({outer, 3, n}, {outer, 7, n}, 1, dtype);
    }
  // A NaN remains, whichever of the two it is.
  Array value({2}, DType::float32), src({2}, DType::float32), index({2}, DType::int32);
  for (int64_t by : {2, 3}) {
    value.set(0, NAN), value.set(1, 1), src.set(0, 1), src.set(1, NAN), index.set(0, 0), index.set(1, 1);
    run("scatter_accumulate of NaN", value,
        [&](Context& c) { isa::scatter_accumulate(c, value.view, src.view, index.view, 0, by); });
    check(isnan(value.get(0)) && isnan(value.get(1)), "scatter_accumulate keeps NaN");
  }
  Array bytes({2}, DType::uint8);
  check_refused("scatter_accumulate of bytes", bytes,
                [&](Context& c) { isa::scatter_accumulate(c, bytes.view, bytes.view, index.view, 0, 0); });
  check_refused("scatter_accumulate in no way", value,
                [&](Context& c) { isa::scatter_accumulate(c, value.view, src.view, index.view, 0, 4); });
  check_refused("scatter_into of another dtype", value,
                [&](Context& c) { isa::scatter_into(c, value.view, bytes.view, index.view, 0); });
  // Sums of integers wrap around.
  Array sum({1}, DType::int32), term({1}, DType::int32), place({1}, DType::int32);
  sum.set(0, 2147483647), term.set(0, 1), place.set(0, 0);
  run("index_accumulate of int32", sum,
      [&](Context& c) { isa::index_accumulate(c, sum.view, term.view, place.view, 0, -1); });
  check(sum.get(0) == -2147483648.0, "index_accumulate of int32 wraps around");
}

bool names(const RecordedError& error, const char* value, const char* position, const char* range) {
  return error.code == ErrorCode::index &&
         error.text.find(std::string("index ") + value + " at position " + position) == 0 &&
         error.text.find(range) != std::string::npos;
}

void test_out_of_range() {
  for (double wrong : {-1.0, 3.0, 2147483647.0, -2147483648.0}) {
    Array x({3, 4}, DType::float32), index({5}, DType::int32), out({5, 4}, DType::float32), dx({3, 4}, DType::float32);
    randomise(x, 1);
    const double indices[] = {2, 0, wrong, 1, wrong};
    for (int64_t i = 0; i < 5; i++) index.set(i, indices[i]);
    char value[32];
    snprintf(value, sizeof value, "%.0f", wrong);
    const char* range = "for dimension 0 of size 3; allowed are 0 to 2";
    RecordedError error = error_of([&](Context& c) { isa::index_select(c, out.view, x.view, index.view, 0); });
    check(names(error, value, "2 ", range), "index_select says what is wrong: " + error.text);
    check_equal("index_select of a wrong index", out,
                [&](int64_t i) { return indices[i / 4] == wrong ? 0 : x.get(int64_t(indices[i / 4]) * 4 + i % 4); });
    error = error_of([&](Context& c) { isa::index_add(c, dx.view, out.view, index.view, 0, -1); });
    check(names(error, value, "2 ", range), "index_add says what is wrong: " + error.text);
    check_equal("index_add of a wrong index", dx, [&](int64_t i) { return x.get(i); });
    check(out.intact() && dx.intact(), "nothing else is written");

    Array places({2, 4}, DType::int32), named({2, 4}, DType::float32), sums({3, 4}, DType::float32);
    for (int64_t i = 0; i < 8; i++) places.set(i, i == 5 ? wrong : double(i % 3));
    error = error_of([&](Context& c) { isa::gather(c, named.view, x.view, places.view, 0); });
    check(names(error, value, "5 ", range), "gather says what is wrong: " + error.text);
    check_equal("gather of a wrong index", named,
                [&](int64_t i) { return i == 5 ? 0 : x.get(int64_t(places.get(i)) * 4 + i % 4); });
    error = error_of([&](Context& c) { isa::scatter_add(c, sums.view, named.view, places.view, 0); });
    check(names(error, value, "5 ", range), "scatter_add says what is wrong: " + error.text);
    std::vector<float> want(12, 0.0f);
    for (int64_t i = 0; i < 8; i++)
      if (i != 5) want[size_t(places.get(i)) * 4 + size_t(i) % 4] += float(named.get(i));
    check_equal("scatter_add of a wrong index", sums, [&](int64_t i) { return want[size_t(i)]; });
    check(named.intact() && sums.intact(), "nothing else is written");
  }
  Array none({0, 4}, DType::float32), index({2}, DType::int32), out({2, 4}, DType::float32);
  index.set(0, 0), index.set(1, 0);
  const RecordedError error = error_of([&](Context& c) { isa::index_select(c, out.view, none.view, index.view, 0); });
  check(error.code == ErrorCode::index && error.text.find("empty") != std::string::npos,
        "an empty dimension: " + error.text);
  check_equal("index_select of nothing", out, [](int64_t) { return 0; });
  // -1 is not a valid index, but may be skipped if it is named.
  Array dx({3, 4}, DType::float32);
  index.set(1, -1);
  check(error_of([&](Context& c) { isa::index_add(c, dx.view, out.view, index.view, 0, 2); }).code == ErrorCode::index,
        "index_add of -1");
}

// Gathering rows is the same kernel under another name, for indices of any shape.
void test_embedding() {
  Array weight({5, 7}, DType::float32), ids({2, 3}, DType::int32), out({2, 3, 7}, DType::float32);
  randomise(weight, 1);
  fill_indices(ids, 5, 2);
  run("embedding", out, [&](Context& c) { isa::embedding(c, out.view, weight.view, ids.view); });
  check_equal("embedding", out, [&](int64_t i) { return weight.get(int64_t(ids.get(i / 7)) * 7 + i % 7); });
  ids.set(4, 5);
  const RecordedError error = error_of([&](Context& c) { isa::embedding(c, out.view, weight.view, ids.view); });
  check(names(error, "5", "4 ", "of size 5; allowed are 0 to 4"), "embedding says what is wrong: " + error.text);
  Array flat({6, 7}, DType::float32), narrow({2, 3, 6}, DType::float32), turned({3, 2, 7}, DType::float32);
  for (Array* wrong : {&flat, &narrow, &turned})
    check_refused("embedding to another shape", *wrong,
                  [&](Context& c) { isa::embedding(c, wrong->view, weight.view, ids.view); });
}

void test_blocks() {
  for (int64_t n : about({isa::simd::lanes, isa::inner_tile})) {
    test_gather({3, n}, {5, n}, 0, DType::float32);
    test_gather({2, 3, n + 1}, {2, 4, n}, 1, DType::float32);
    test_select({4, n}, 0, 5, DType::float32);
    test_select({40, 2}, 0, n, DType::float32);
  }
  for (int64_t n : about({isa::chunk_elements / 64})) {
    test_select({9, 60}, 0, n, DType::float32);
    test_select({n, 60}, 0, 99, DType::float32);
  }
}

void test_wrong_calls() {
  Array x({3, 4}, DType::float32), ints({3, 4}, DType::int32), index({5}, DType::int32), floats({5}, DType::float32);
  Array out({5, 4}, DType::float32), other({5, 3}, DType::float32), whole({5, 4}, DType::int32);
  Array places({4, 4}, DType::int32), named({4, 4}, DType::float32), wide({2, 5}, DType::int32),
      wide_out({2, 5}, DType::float32);
  check_refused("index_select to another shape", other,
                [&](Context& c) { isa::index_select(c, other.view, x.view, index.view, 0); });
  check_refused("index_select to another dtype", whole,
                [&](Context& c) { isa::index_select(c, whole.view, x.view, index.view, 0); });
  check_refused("index_select by floats", out,
                [&](Context& c) { isa::index_select(c, out.view, x.view, floats.view, 0); });
  for (int64_t dim : {-1, 2, 100})
    check_refused("index_select along no dimension", out,
                  [&](Context& c) { isa::index_select(c, out.view, x.view, index.view, dim); });
  check_refused("index_add of int32", ints,
                [&](Context& c) { isa::index_add(c, ints.view, whole.view, index.view, 0, -1); });
  check_refused("index_add of another shape", x,
                [&](Context& c) { isa::index_add(c, x.view, other.view, index.view, 0, -1); });
  check_refused("gather by more than there is", wide_out,
                [&](Context& c) { isa::gather(c, wide_out.view, x.view, wide.view, 0); });
  check_refused("gather to another shape", out, [&](Context& c) { isa::gather(c, out.view, x.view, places.view, 0); });
  check_refused("gather along no dimension", named,
                [&](Context& c) { isa::gather(c, named.view, x.view, places.view, 2); });
  check_refused("scatter_add of int32", ints,
                [&](Context& c) { isa::scatter_add(c, ints.view, places.view, places.view, 0); });
  check_refused("scatter_add along no dimension", x,
                [&](Context& c) { isa::scatter_add(c, x.view, named.view, places.view, -1); });
}

}  // namespace

int main() {
  for (const Sizes& sizes :
       {Sizes{1}, Sizes{9}, Sizes{5, 6}, Sizes{4, 5, 7}, Sizes{3, 0, 2}, Sizes{33, 65}, Sizes{2, 1, 3, 1, 2}})
    for (int64_t dim = 0; dim < int64_t(sizes.size()); dim++)
      for (int64_t indices : {0, 1, 8, 37})
        for (DType dtype : all_dtypes)
          if (sizes[size_t(dim)] > 0 || indices == 0) test_select(sizes, dim, indices, dtype);
  // More than a chunk, and an embedding's gradient with few and with many rows.
  test_select({1000, 64}, 0, 3000, DType::float32);
  test_select({7, 300}, 0, 999, DType::float32);
  test_select({3, 50, 400}, 1, 200, DType::float32);
  test_select({500, 3, 40}, 2, 100, DType::bfloat16);
  test_select({100003}, 0, 70001, DType::float32);

  for (DType dtype : all_dtypes) {
    test_gather({9}, {5}, 0, dtype);
    test_gather({9}, {0}, 0, dtype);
    for (int64_t dim = 0; dim < 3; dim++) {
      test_gather({4, 5, 6}, {4, 5, 6}, dim, dtype);
      test_gather({4, 5, 6}, {dim == 0 ? 9 : 3, dim == 1 ? 9 : 2, dim == 2 ? 9 : 4}, dim, dtype);
      test_gather({4, 5, 6}, {1, 1, 1}, dim, dtype);
      test_gather({4, 5, 6}, {2, 0, 3}, dim, dtype);
    }
    test_gather({2, 3, 2, 4}, {2, 2, 5, 3}, 2, dtype);
  }
  test_gather({300, 290}, {700, 280}, 0, DType::float32);
  test_gather({300, 290}, {300, 500}, 1, DType::float32);
  test_gather({3, 70, 600}, {3, 90, 600}, 1, DType::float32);
  // A tensor of rank 0 counts as a vector of one element.
  Array x({}, DType::float32), index({}, DType::int32), out({}, DType::float32), dx({}, DType::float32);
  x.set(0, 7), index.set(0, 0);
  run("gather of a scalar", out, [&](Context& c) { isa::gather(c, out.view, x.view, index.view, 0); });
  run("scatter_add of a scalar", dx, [&](Context& c) { isa::scatter_add(c, dx.view, x.view, index.view, 0); });
  check(out.get(0) == 7 && dx.get(0) == 7, "gather and scatter_add of a scalar");
  test_out_of_range();
  test_embedding();
  test_blocks();
  test_scatters();
  test_wrong_calls();
  return finish("indexing");
}
