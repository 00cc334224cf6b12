// Rotation by positions against double: both layouts of pairs, there and back, all layouts of x, both dtypes, tables
// for all batch rows or for each, features that stay, keys and values put into a memory, and calls that must be
// refused. Numbers of rows lie around a chunk.
#include "../cpu/attention/rotary.h"

#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

void test_case(const Sizes& sizes, int64_t R, bool each, DType dtype, Layout layout) {
  const int64_t n = int64_t(sizes.size()), T = sizes[size_t(n - 2)], D = sizes[size_t(n - 1)];
  Array x(sizes, dtype, layout), out(sizes, dtype);
  const Sizes of_tables = each ? Sizes{sizes[0], T, R} : Sizes{T, R};
  Array cosines(of_tables, DType::float32), sines(of_tables, DType::float32);
  randomise(x, 1);
  randomise(cosines, 2);
  randomise(sines, 3);
  const int64_t of_batch = n > 2 && sizes[0] > 0 ? x.size() / sizes[0] : x.size();
  for (bool neighbours : {false, true})
    for (bool backwards : {false, true}) {
      const std::string what = "rotary of " + text(sizes) + " in " + name(dtype) + " laid " +
                               std::to_string(int(layout)) + " by " + std::to_string(R) + (each ? " each" : "") +
                               (neighbours ? " neighbours" : "") + (backwards ? " backwards" : "");
      run(what, out,
          [&](Context& c) { isa::rotary(c, out.view, x.view, cosines.view, sines.view, neighbours, backwards); });
      bool right = true;
      for (int64_t i = 0; i < x.size(); i++) {
        const int64_t feature = i % D, row = i / D, table = (each ? i / of_batch * T : 0) + row % T;
        double exact = x.get(i), size = 0;
        if (feature < 2 * R) {
          const int64_t pair = neighbours ? feature / 2 : feature % R;
          const bool second = neighbours ? feature % 2 : feature >= R;
          const int64_t partner = i + (second ? -1 : 1) * (neighbours ? 1 : R);
          const double c = cosines.get(table * R + pair), s = (backwards ? -1 : 1) * sines.get(table * R + pair);
          exact = x.get(i) * c + (second ? 1 : -1) * x.get(partner) * s;
          size = fabs(x.get(i) * c) + fabs(x.get(partner) * s);
        }
        const double rounding = dtype == DType::float32 ? 0 : 0x1p-8 * fabs(exact) + 4 * epsilon * size;
        right = right && near(out.get(i), exact, 4 * epsilon * size + rounding);
      }
      check(right, what);
    }
}

// Columns of a memory: keys turned, values as they are, the rest of the memory as it was.
void test_append(const Sizes& memory, int64_t heads, int64_t from, int64_t count, bool each, DType dtype,
                 Layout layout) {
  const std::string what = "rotary_append of " + std::to_string(count) + " columns into " + text(memory) + " in " +
                           name(dtype) + " laid " + std::to_string(int(layout));
  const int64_t D = memory[3];
  const Sizes of_keys = {memory[0], memory[1], count, D}, of_queries = {memory[0], heads, count, D};
  const Sizes of_tables = each ? Sizes{memory[0], count, D / 2} : Sizes{count, D / 2};
  Array q(of_queries, dtype, layout), k(of_keys, dtype, layout), v(of_keys, dtype, layout);
  Array cosines(of_tables, DType::float32), sines(of_tables, DType::float32);
  uint32_t seed = 0;
  for (Array* each_of : {&q, &k, &v, &cosines, &sines}) randomise(*each_of, ++seed);
  const auto rotated = [&](const Array& x, const Sizes& sizes) {
    Array out(sizes, dtype);
    run(what, out, [&](Context& c) { isa::rotary(c, out.view, x.view, cosines.view, sines.view, false, false); });
    return out.values();
  };
  const std::vector<double> queries = rotated(q, of_queries), turned = rotated(k, of_keys), given = v.values();
  Array keys(memory, dtype), values(memory, dtype), out(of_queries, dtype);
  randomise(keys, 6);
  randomise(values, 7);
  const std::vector<double> keys_before = keys.values(), values_before = values.values();
  const auto columns = [&](const Array& whole) {
    View view = whole.view;
    view.sizes[2] = count;
    view.count = memory[0] * memory[1] * count * D;
    view.data = static_cast<char*>(view.data) + size_t(from * D) * (dtype == DType::float32 ? 4 : 2);
    return view;
  };
  run(what, out, [&](Context& c) {
    isa::rotary_append(c, out.view, columns(keys), columns(values), q.view, k.view, v.view, cosines.view, sines.view);
  });
  bool right = queries == out.values();
  for (int64_t i = 0; i < keys.size(); i++) {
    const int64_t column = i / D % memory[2] - from, row = i / D / memory[2];
    const bool fresh = column >= 0 && column < count;
    const auto at = size_t(fresh ? (row * count + column) * D + i % D : i);
    right = right && keys.get(i) == (fresh ? turned : keys_before)[at] &&
            values.get(i) == (fresh ? given : values_before)[at];
  }
  check(right, what);
}

void test_wrong_append() {
  Array q({1, 2, 3, 4}, DType::float32), k({1, 1, 3, 4}, DType::float32), out({1, 2, 3, 4}, DType::float32);
  Array other({1, 1, 2, 4}, DType::float32), table({3, 2}, DType::float32), short_table({2, 2}, DType::float32);
  Array apart({1, 1, 3, 4}, DType::float32, Layout::transposed);
  const auto call = [&](const Array& keys, const Array& values, const Array& c) {
    return [&](Context& context) {
      isa::rotary_append(context, out.view, keys.view, values.view, q.view, k.view, k.view, c.view, c.view);
    };
  };
  check_refused("rotary_append of other values", other, call(k, other, table));
  check_refused("rotary_append by too few rows", k, call(k, k, short_table));
  check_refused("rotary_append to other keys", other, call(other, k, table));
  check_refused("rotary_append to features apart", apart, call(apart, k, table));
}

void test_wrong_calls() {
  Array x({2, 3, 4, 6}, DType::float32), out({2, 3, 4, 6}, DType::float32), line({6}, DType::float32);
  Array table({4, 3}, DType::float32), short_table({3, 3}, DType::float32), wide({4, 4}, DType::float32);
  Array halves({4, 3}, DType::bfloat16), ints({2, 3, 4, 6}, DType::int32), other({2, 3, 4, 5}, DType::float32);
  const auto call = [&](const Array& to, const Array& from, const Array& c, const Array& s) {
    return [&](Context& context) { isa::rotary(context, to.view, from.view, c.view, s.view, false, false); };
  };
  check_refused("rotary of a vector", line, call(line, line, table, table));
  check_refused("rotary to another shape", other, call(other, x, table, table));
  check_refused("rotary of int32", ints, call(ints, ints, table, table));
  check_refused("rotary by too few rows", out, call(out, x, short_table, short_table));
  check_refused("rotary by too many pairs", out, call(out, x, wide, wide));
  check_refused("rotary by two shapes", out, call(out, x, table, wide));
  check_refused("rotary by bfloat16", out, call(out, x, halves, halves));
}

}  // namespace

int main() {
  for (DType dtype : {DType::float32, DType::bfloat16})
    for (Layout layout : all_layouts)
      for (int64_t R : {0, 1, 3, 4}) {
        test_case({2, 3, 5, 8}, R, false, dtype, layout);
        test_case({2, 3, 5, 8}, R, true, dtype, layout);
        test_case({5, 9}, R, false, dtype, layout);
        test_case({3, 5, 8}, R, true, dtype, layout);
      }
  for (int64_t rows : about({isa::attention::turned_elements / 64})) {
    test_case({1, rows, 64}, 32, false, DType::float32, Layout::dense);
    test_case({rows, 1, 64}, 32, true, DType::bfloat16, Layout::dense);
  }
  for (int64_t D : about({isa::attention::turned_elements}))
    test_case({3, D}, D / 4, false, DType::float32, Layout::dense);
  test_case({2, 0, 8}, 4, false, DType::float32, Layout::dense);
  test_case({0, 3, 8}, 4, true, DType::float32, Layout::dense);
  test_case({3, 0}, 0, false, DType::float32, Layout::dense);
  for (DType dtype : {DType::float32, DType::bfloat16})
    for (Layout layout : all_layouts) {
      test_append({2, 2, 9, 8}, 6, 3, 5, false, dtype, layout);
      test_append({2, 2, 9, 8}, 2, 8, 1, true, dtype, layout);
    }
  test_append({1, 3, 4, 6}, 3, 0, 4, false, DType::float32, Layout::dense);
  test_append({1, 1, 4, 1}, 1, 2, 1, false, DType::float32, Layout::dense);
  test_append({2, 2, 4, 6}, 2, 2, 0, false, DType::float32, Layout::dense);
  test_wrong_append();
  test_wrong_calls();
  return finish("rotary");
}
