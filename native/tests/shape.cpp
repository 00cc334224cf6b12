// Copies, conversions, fills and concatenations: every pair of dtypes, all layouts on both sides, numbers that round,
// wrap around or overflow, transposes large enough for tiles, and calls that must be refused. Results are exact to the
// bit.
#include <float.h>

#include "../cpu/elementwise/driver.h"
#include "../cpu/shape/convert.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

// Numbers halfway between two neighbouring 16-bit floats, limits of integers, and numbers that wrap around.
const double numbers[] = {0,
                          -0.0,
                          1,
                          -1,
                          0.5,
                          -0.5,
                          1.5,
                          -1.99,
                          255,
                          256,
                          257,
                          -1,
                          -256.5,
                          2147483520.0,
                          2147483648.0,
                          -2147483648.0,
                          4294967296.0,
                          1e10,
                          -1e10,
                          1e19,
                          -3e38,
                          3.4e38,
                          INFINITY,
                          -INFINITY,
                          NAN,
                          65504,
                          65519,
                          65520,
                          -65536,
                          1.00390625,
                          1.01171875,
                          1.0048828125,
                          1.00048828125,
                          1.00146484375,
                          6e-8,
                          2.9e-8,
                          3e-8,
                          6.1e-5,
                          6.0976e-5,
                          1e-45,
                          1e-40,
                          16777217,
                          16842752,
                          16842753,
                          16842751,
                          2147483647,
                          -2147483647,
                          2155872256.0,
                          33685504,
                          33685505,
                          33685503,
                          -33685505,
                          127,
                          -128,
                          300,
                          1e-30};
constexpr int64_t count = sizeof numbers / sizeof *numbers;

const Sizes shapes[] = {{},           {0},       {1},       {7},      {33},        {1023},    {1025},
                        {3, 5},       {31, 33},  {33, 31},  {0, 3},   {5, 0},      {4, 300},  {300, 3},
                        {2, 3, 4, 5}, {1, 7, 1}, {9, 8, 7}, {64, 70}, {3, 40, 41}, {17, 513}, {2, 1, 2, 1, 2, 1, 2, 3}};

std::string describe(const char* kernel, const Sizes& sizes, DType to, Layout to_layout, DType from,
                     Layout from_layout) {
  return std::string(kernel) + " of " + text(sizes) + " " + name(from) + " layout " + std::to_string(int(from_layout)) +
         " to " + name(to) + " layout " + std::to_string(int(to_layout));
}

void test_conversions() {
  for (DType from : all_dtypes)
    for (DType to : all_dtypes) {
      const Sizes sizes = {3, count};
      const std::string what = describe("copy", sizes, to, Layout::dense, from, Layout::dense);
      Array x(sizes, from), out(sizes, to);
      randomise(x, 1, 300);
      for (int64_t i = 0; i < count; i++) x.set(i, numbers[i]);
      run(what, out, [&](Context& c) { isa::copy(c, out.view, x.view); });
      check_equal(what, out, [&](int64_t i) { return as_dtype(to, x.get(i)); });
      for (int64_t i = 0; i < out.size(); i++)
        if (is_float(from) && is_float(to) && out.get(i) == 0)
          check(signbit(out.get(i)) == signbit(x.get(i)), what + ": the sign of 0");
    }
  // Every 16-bit float, widened and narrowed again.
  for (DType half : {DType::bfloat16, DType::float16}) {
    Array all({65536}, half), wide({65536}, DType::float32), back({65536}, half);
    for (int64_t i = 0; i < 65536; i++) {
      const uint16_t bits = uint16_t(i);
      memcpy(all.at(i), &bits, sizeof bits);
    }
    run("widen", wide, [&](Context& c) { isa::copy(c, wide.view, all.view); });
    check_equal("widen", wide, [&](int64_t i) { return all.get(i); });
    run("narrow", back, [&](Context& c) { isa::copy(c, back.view, wide.view); });
    check_equal("narrow", back, [&](int64_t i) { return all.get(i); });
  }
}

void test_copies() {
  int round = 0;
  for (const Sizes& sizes : shapes)
    for (Layout to_layout : own_layouts)
      for (Layout from_layout : all_layouts) {
        const DType to = all_dtypes[++round % 6], from = round % 4 ? to : all_dtypes[round / 6 % 6];
        Array x(sizes, from, from_layout), out(sizes, to, to_layout);
        randomise(x, uint32_t(round), 100);
        const std::string what = describe("copy_into", sizes, to, to_layout, from, from_layout);
        run(what, out, [&](Context& c) { isa::copy_into(c, out.view, x.view); });
        check_equal(what, out, [&](int64_t i) { return as_dtype(to, x.get(i)); });
        if (to_layout != Layout::dense) continue;
        run(what, out, [&](Context& c) { isa::copy(c, out.view, x.view); });
        check_equal(what, out, [&](int64_t i) { return as_dtype(to, x.get(i)); });
      }
  for (const Sizes& sizes : {Sizes{70001}, Sizes{301, 257}, Sizes{5, 129, 200}})
    for (Layout to_layout : own_layouts)
      for (Layout from_layout : own_layouts)
        for (DType to : {DType::float32, DType::bfloat16}) {
          const DType from = int(from_layout) % 2 ? to : DType::float32;
          Array x(sizes, from, from_layout), out(sizes, to, to_layout);
          randomise(x, 5);
          const std::string what = describe("copy_into", sizes, to, to_layout, from, from_layout);
          run(what, out, [&](Context& c) { isa::copy_into(c, out.view, x.view); });
          check_equal(what, out, [&](int64_t i) { return as_dtype(to, x.get(i)); });
        }
}

void test_accumulate() {
  int round = 0;
  for (const Sizes& sizes : {Sizes{}, Sizes{0}, Sizes{1}, Sizes{9}, Sizes{1025}, Sizes{31, 33}, Sizes{4, 300},
                             Sizes{0, 3}, Sizes{2, 3, 4, 5}, Sizes{64, 70}, Sizes{301, 257}})
    for (Layout to_layout : own_layouts)
      for (Layout from_layout : all_layouts) {
        const DType dtypes[] = {DType::float32, DType::int32, DType::bfloat16}, dtype = dtypes[++round % 3];
        Array x(sizes, dtype, from_layout), out(sizes, dtype, to_layout), before(sizes, dtype);
        randomise(x, 6, 1e6);
        randomise(before, 7, 2e7);
        for (int64_t i = 0; i < out.size(); i++) out.set(i, before.get(i));
        const std::string what = describe("accumulate", sizes, dtype, to_layout, dtype, from_layout);
        run(what, out, [&](Context& c) { isa::accumulate(c, out.view, x.view); });
        check_equal(what, out, [&](int64_t i) {
          const double sum = before.get(i) + x.get(i);
          return as_dtype(dtype, is_float(dtype) ? as_dtype(DType::float32, sum) : sum);
        });
      }
}

void test_fill() {
  for (DType dtype : all_dtypes)
    for (double value : numbers)
      for (const Sizes& sizes : {Sizes{}, Sizes{0}, Sizes{37}}) {
        Array out(sizes, dtype);
        const std::string what = std::string("fill of ") + name(dtype) + " with " + std::to_string(value);
        run(what, out, [&](Context& c) { isa::fill(c, out.view, value); });
        check_equal(what, out, [&](int64_t) { return as_dtype(dtype, value); });
      }
  // Numbers for which rounding to float32 first would give another neighbour.
  for (double value :
       {1 + 0x1p-8 + 0x1p-30, 1 + 0x1p-11 + 0x1p-40, 1 + 3 * 0x1p-8 - 0x1p-35, 1e300, -1e300, 0x1p63, -0x1p64})
    for (DType dtype : all_dtypes) {
      Array out({3}, dtype);
      run("fill", out, [&](Context& c) { isa::fill(c, out.view, value); });
      check_equal(std::string("fill of ") + name(dtype) + " with " + std::to_string(value), out,
                  [&](int64_t) { return as_dtype(dtype, value); });
    }
  for (DType dtype : {DType::float32, DType::uint8}) {
    Array out({150001}, dtype);
    run("fill of many", out, [&](Context& c) { isa::fill(c, out.view, 7.25); });
    check_equal("fill of many", out, [&](int64_t) { return as_dtype(dtype, 7.25); });
  }
}

// Counts around the size that is written past the caches, beginning anywhere in a register.
void test_large_fill() {
  for (DType dtype : {DType::float32, DType::bfloat16, DType::uint8}) {
    const int64_t bytes = int64_t(bytes_of(dtype)), limit = isa::simd::streaming_bytes / bytes;
    for (int64_t count : {limit - 1, limit, limit + 1, limit + 133}) {
      const size_t offset = size_t(count % 7 * bytes);
      std::vector<uint8_t> memory(size_t(count * bytes) + 128, 0xA5), expected = memory;
      Array one({1}, dtype);
      one.set(0, 7);
      View view = one.view;
      view.data = memory.data() + offset;
      view.count = view.sizes[0] = count;
      for (int64_t i = 0; i < count; i++)
        memcpy(expected.data() + offset + size_t(i * bytes), one.at(0), size_t(bytes));
      for (int threads = 1; threads <= 3; threads++) {
        isa::fill(context_of(threads), view, 7);
        check(memory == expected, std::string("a large fill of ") + name(dtype));
      }
    }
  }
}

void test_arange() {
  const double starts[] = {0, -3.7, 16777216, 2147483600}, steps[] = {1, 0.1, -2.5, 0};
  for (DType dtype : {DType::float32, DType::int32})
    for (int64_t n : {0, 1, 9, 1025, 70001})
      for (double start : starts)
        for (double step : steps) {
          Array out({n}, dtype);
          const std::string what = "arange of " + std::to_string(n) + " " + name(dtype) + " from " +
                                   std::to_string(start) + " by " + std::to_string(step);
          run(what, out, [&](Context& c) { isa::arange(c, out.view, start, step); });
          check_equal(what, out, [&](int64_t i) { return as_dtype(dtype, start + double(i) * step); });
        }
}

void test_cat() {
  int round = 0;
  for (DType dtype : all_dtypes)
    for (int64_t dim = 0; dim < 3; dim++)
      for (Layout layout : all_layouts) {
        const int64_t lengths[] = {3, 0, 1, 40};
        std::vector<View> views;
        Sizes total = {5, 6, 7};
        total[size_t(dim)] = 44;
        Sizes sizes = total;
        std::vector<Array*> inputs;
        for (int64_t length : lengths) {
          sizes[size_t(dim)] = length;
          inputs.push_back(new Array(sizes, dtype, all_layouts[size_t(int(layout) + ++round) % 8]));
          randomise(*inputs.back(), uint32_t(round));
          views.push_back(inputs.back()->view);
        }
        Array out(total, dtype);
        const std::string what = std::string("cat of ") + name(dtype) + " along " + std::to_string(dim);
        run(what, out, [&](Context& c) { isa::cat(c, out.view, {views.data(), int64_t(views.size())}, dim); });
        check_equal(what, out, [&](int64_t i) {
          int64_t inner = 1;
          for (size_t d = size_t(dim) + 1; d < 3; d++) inner *= total[d];
          int64_t along = i / inner % 44, input = 0;
          while (along >= lengths[input]) along -= lengths[input++];
          return inputs[size_t(input)]->get((i / inner / 44 * lengths[input] + along) * inner + i % inner);
        });
        for (Array* input : inputs) delete input;
      }
  Array none({0, 4}, DType::float32);
  run("cat of nothing", none, [&](Context& c) { isa::cat(c, none.view, {nullptr, 0}, 0); });
}

void test_one_copy(const Sizes& sizes, DType to, Layout to_layout, DType from, Layout from_layout) {
  Array x(sizes, from, from_layout), out(sizes, to, to_layout);
  randomise(x, 9, 300);
  const std::string what = describe("copy_into", sizes, to, to_layout, from, from_layout);
  run(what, out, [&](Context& c) { isa::copy_into(c, out.view, x.view); });
  check_equal(what, out, [&](int64_t i) { return as_dtype(to, x.get(i)); });
}

void test_one_sum(const Sizes& sizes, DType dtype, Layout to_layout, Layout from_layout) {
  Array x(sizes, dtype, from_layout), out(sizes, dtype, to_layout), before(sizes, dtype);
  randomise(x, 10, 1000);
  randomise(before, 11, 1000);
  for (int64_t i = 0; i < out.size(); i++) out.set(i, before.get(i));
  const std::string what = describe("accumulate", sizes, dtype, to_layout, dtype, from_layout);
  run(what, out, [&](Context& c) { isa::accumulate(c, out.view, x.view); });
  check_equal(what, out, [&](int64_t i) {
    const double sum = before.get(i) + x.get(i);
    return as_dtype(dtype, is_float(dtype) ? as_dtype(DType::float32, sum) : sum);
  });
}

// Counts around registers, staged rows, blocks, chunks, tiles, and the elements converted at a time.
void test_blocks() {
  using namespace FIRESTEEL_ISA;
  using test::Layout;  // the kernels have another Layout
  const Layout lines[] = {Layout::dense, Layout::sliced, Layout::flipped};
  const DType sums[] = {DType::float32, DType::bfloat16, DType::int32};
  int round = 0;
  const auto next = [&] { return all_dtypes[round++ / 3 % 6]; };
  for (int64_t n : about({simd::lanes, convert_limit}))
    for (DType from : all_dtypes)
      for (DType to : all_dtypes) test_one_copy({n}, to, Layout::dense, from, Layout::dense);
  for (int64_t n : about({simd::lanes, shortest_row, block_size, chunk_elements, 2 * chunk_elements}))
    for (Layout to_layout : lines)
      for (Layout from_layout : lines) {
        if (n > 2 * block_size + 3 && to_layout != Layout::dense && from_layout != Layout::dense) continue;
        const DType to = next();
        test_one_copy({n}, to, to_layout, round % 2 ? to : all_dtypes[round % 6], from_layout);
        test_one_sum({n}, sums[round % 3], to_layout, from_layout);
      }
  // Rows, with several to a block and with several blocks to each.
  for (int64_t n : about({shortest_row, block_size}))
    for (Layout to_layout : own_layouts)
      for (Layout from_layout : all_layouts) {
        const DType to = next();
        test_one_copy({3, n}, to, to_layout, round % 2 ? to : all_dtypes[round % 6], from_layout);
        test_one_sum({5, n}, sums[round % 3], to_layout, from_layout);
      }
  // Tiles and chunks of them, and transposed input that is copied first.
  for (int64_t rows : about({least_side, tile}))
    for (int64_t columns : about({least_side, tile})) {
      const DType dtype = next();
      test_one_copy({rows, columns}, dtype, Layout::dense, dtype, Layout::transposed);
      test_one_copy({rows, columns}, dtype, Layout::transposed, dtype, Layout::dense);
      test_one_copy({3, rows, columns}, dtype, Layout::dense, dtype, Layout::rotated);
    }
  for (int64_t elements : about({large_transpose, tiled_elements, 2 * tiled_elements}))
    for (int64_t rows : {least_side, tile + 1}) {
      const Sizes sizes = {rows, elements / rows}, more = {rows, elements / rows + 1};
      const DType dtype = next();
      for (const Sizes& of : {sizes, more}) {
        test_one_copy(of, dtype, Layout::dense, dtype, Layout::transposed);
        test_one_copy(of, DType::bfloat16, Layout::dense, DType::float32, Layout::transposed);
        test_one_sum(of, sums[round % 3], Layout::dense, Layout::transposed);
      }
    }
  for (int64_t planes : about({tiled_elements / (tile * tile)}))
    test_one_copy({planes, tile, tile + 1}, DType::float32, Layout::dense, DType::float32, Layout::rotated);
  for (int64_t n : about({chunk_elements, 2 * chunk_elements})) {
    const DType dtype = next();
    Array filled({n}, dtype), numbered({n}, DType::float32);
    run("fill of many", filled, [&](Context& c) { isa::fill(c, filled.view, 1); });
    check_equal("fill of " + std::to_string(n), filled, [&](int64_t) { return 1; });
    run("arange of many", numbered, [&](Context& c) { isa::arange(c, numbered.view, 3, 0.5); });
    check_equal("arange of " + std::to_string(n), numbered, [&](int64_t i) { return 3 + double(i) * 0.5; });
    // Parts of a result, along either dimension.
    for (int64_t dim = 0; dim < 2; dim++) {
      const int64_t length = dim ? n / 3 : 3, width = dim ? 2 : n / 3;
      Array a(dim ? Sizes{2, length} : Sizes{length, width}, dtype), b(dim ? Sizes{2, 5} : Sizes{2, width}, dtype);
      Array out(dim ? Sizes{2, length + 5} : Sizes{length + 2, width}, dtype);
      randomise(a, 12);
      randomise(b, 13);
      const View parts[] = {a.view, b.view};
      const std::string what = "cat of " + text({length, width}) + " along " + std::to_string(dim);
      run(what, out, [&](Context& c) { isa::cat(c, out.view, {parts, 2}, dim); });
      const int64_t row = out.view.sizes[1], a_row = a.view.sizes[1], b_row = b.view.sizes[1];
      check_equal(what, out, [&](int64_t i) {
        const int64_t r = i / row, c = i % row;
        if (dim) return c < a_row ? a.get(r * a_row + c) : b.get(r * b_row + c - a_row);
        return r < length ? a.get(i) : b.get(i - length * width);
      });
    }
  }
}

void test_wrong_calls() {
  Array a({2, 3}, DType::float32), b({3, 2}, DType::float32), ints({2, 3}, DType::int32), bytes({2, 3}, DType::uint8);
  Array out({2, 3}, DType::float32), one({2, 3}, DType::float32, Layout::uniform), tall({5, 3}, DType::float32);
  Array whole({4}, DType::uint8);
  check_refused("copy of other sizes", out, [&](Context& c) { isa::copy(c, out.view, b.view); });
  check_refused("copy_into what is broadcast", one, [&](Context& c) { isa::copy_into(c, one.view, a.view); });
  check_refused("accumulate of other sizes", out, [&](Context& c) { isa::accumulate(c, out.view, b.view); });
  check_refused("accumulate of another dtype", out, [&](Context& c) { isa::accumulate(c, out.view, ints.view); });
  check_refused("accumulate of bytes", bytes, [&](Context& c) { isa::accumulate(c, bytes.view, bytes.view); });
  check_refused("accumulate into what is broadcast", one, [&](Context& c) { isa::accumulate(c, one.view, a.view); });
  check_refused("arange of bytes", whole, [&](Context& c) { isa::arange(c, whole.view, 0, 1); });
  const View too_many[] = {a.view, a.view, a.view}, narrow[] = {b.view}, other[] = {ints.view};
  check_refused("cat along a dimension that is not", tall, [&](Context& c) {
    isa::cat(c, tall.view, {too_many, 2}, 2);
  });
  check_refused("cat of another width", tall, [&](Context& c) { isa::cat(c, tall.view, {narrow, 1}, 0); });
  check_refused("cat of another dtype", tall, [&](Context& c) { isa::cat(c, tall.view, {other, 1}, 0); });
  check(error_of([&](Context& c) {
          isa::cat(c, tall.view, {too_many, 3}, 0);
        }).code == ErrorCode::internal &&
            tall.intact(),
        "cat of too much");
}

}  // namespace

int main() {
  test_conversions();
  test_copies();
  test_accumulate();
  test_fill();
  test_large_fill();
  test_arange();
  test_cat();
  test_blocks();
  test_wrong_calls();
  return finish("shape");
}
