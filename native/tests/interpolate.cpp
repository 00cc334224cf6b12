// Resampling against plain loops over the terms of its tables: any tables, both orders of passes, bfloat16, and tables
// that must be refused. Numbers of rows lie around a register, and of planes around a chunk.
#include "../cpu/interpolate/blocks.h"
#include "../cpu/simd/vector.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

constexpr int64_t lanes = isa::simd::lanes;

// A table of random terms: 0 to 4 for each result.
struct Table {
  int64_t length, results;
  std::vector<int64_t> ends{0}, index;
  std::vector<double> weights;
  Table(int64_t length, int64_t results, uint32_t seed) : length(length), results(results) {
    Numbers numbers{seed};
    for (int64_t r = 0; r < results; r++) {
      const int64_t terms = length == 0 ? 0 : int64_t((numbers.next() + 1) * 2.5);
      for (int64_t k = 0; k < terms; k++) {
        index.push_back(int64_t((double(numbers.next()) + 1) / 2 * double(length)) % length);
        weights.push_back(numbers.next());
      }
      ends.push_back(int64_t(index.size()));
    }
  }
};

struct Tensors {
  Array taps, weights;
  explicit Tensors(const Table& table)
      : taps({int64_t(table.ends.size() + table.index.size())}, DType::int32),
        weights({int64_t(table.weights.size())}, DType::float32) {
    int64_t at = 0;
    for (int64_t end : table.ends) taps.set(at++, double(end));
    for (int64_t index : table.index) taps.set(at++, double(index));
    for (size_t k = 0; k < table.weights.size(); k++) weights.set(int64_t(k), table.weights[k]);
  }
};

// Calls body(position, weight) for the terms of a result. Without a table the result itself is the only term.
template <class F>
void for_terms(const Table* table, int64_t r, const F& body) {
  if (table == nullptr) return body(r, 1.0);
  for (int64_t k = table->ends[size_t(r)]; k < table->ends[size_t(r) + 1]; k++)
    body(table->index[size_t(k)], table->weights[size_t(k)]);
}

void test_case(int64_t planes, int64_t H, int64_t W, int64_t P, int64_t Q, bool down, bool across, DType dtype) {
  const std::string what = "resample of " + text({planes, H, W}) + " to " + text({P, Q}) + (down ? " down" : "") +
                           (across ? " across" : "") + " in " + name(dtype);
  const Table rows(H, P, uint32_t(H * 31 + P)), columns(W, Q, uint32_t(W * 37 + Q));
  const Tensors row_tensors(rows), column_tensors(columns);
  Array x({planes, H, W}, dtype), out({planes, P, Q}, dtype);
  randomise(x, 7);
  run(what, out, [&](Context& c) {
    isa::resample(c, out.view, x.view, down ? &row_tensors.taps.view : nullptr,
                  down ? &row_tensors.weights.view : nullptr, across ? &column_tensors.taps.view : nullptr,
                  across ? &column_tensors.weights.view : nullptr);
  });
  bool right = true;
  for (int64_t i = 0; i < out.size(); i++) {
    double sum = 0, total = 0;
    for_terms(down ? &rows : nullptr, i / Q % P, [&](int64_t h, double a) {
      for_terms(across ? &columns : nullptr, i % Q, [&](int64_t w, double b) {
        const double term = a * b * x.get((i / (P * Q) * H + h) * W + w);
        sum += term;
        total += fabs(term);
      });
    });
    const double rounding = dtype == DType::float32 ? 0 : 0x1p-8 * fabs(sum);
    right = right && near(out.get(i), sum, 24 * epsilon * total + rounding);
  }
  check(right, what);
}

void test_wrong_calls() {
  Array x({2, 3, 5}, DType::float32), out({2, 4, 5}, DType::float32), flat({4, 5}, DType::float32);
  Array more({3, 4, 5}, DType::float32), halves({2, 4, 5}, DType::bfloat16), wide({2, 4, 6}, DType::float32);
  const Table table(3, 4, 5);
  const Tensors good(table);
  const auto call = [&](const Array& to, const Array& taps, const Array& weights) {
    return [&](Context& c) { isa::resample(c, to.view, x.view, &taps.view, &weights.view, nullptr, nullptr); };
  };
  check_refused("resample to another rank", flat, call(flat, good.taps, good.weights));
  check_refused("resample to more planes", more, call(more, good.taps, good.weights));
  check_refused("resample to another dtype", halves, call(halves, good.taps, good.weights));
  check_refused("resample to other columns without a table", wide, call(wide, good.taps, good.weights));
  check_refused("resample by no table", out,
                [&](Context& c) { isa::resample(c, out.view, x.view, nullptr, nullptr, nullptr, nullptr); });
  check_refused("resample by taps without weights", out,
                [&](Context& c) { isa::resample(c, out.view, x.view, &good.taps.view, nullptr, nullptr, nullptr); });
  Array longer({good.weights.size() + 1}, DType::float32), empty({0}, DType::int32);
  check_refused("resample by other weights", out, call(out, good.taps, longer));
  check_refused("resample by no taps", out, call(out, empty, good.weights));
  for (int64_t place : {int64_t(0), int64_t(2), int64_t(4), int64_t(5)})
    for (double wrong : {-1.0, 99.0}) {
      Tensors bad(table);
      bad.taps.set(place, wrong);
      check_refused("resample by a table with " + std::to_string(wrong) + " at " + std::to_string(place), out,
                    call(out, bad.taps, bad.weights));
    }
}

}  // namespace

int main() {
  for (DType dtype : {DType::float32, DType::bfloat16})
    for (int64_t size : around(lanes))
      for (int64_t other : {int64_t(1), int64_t(3), lanes, 2 * lanes + 1})
        for (int form = 1; form < 4; form++) {
          // Smaller, equal and larger results, with rows first and with columns first.
          test_case(3, size, other, form & 1 ? other : size, form & 2 ? size : other, form & 1, form & 2, dtype);
          test_case(2, other, size, form & 1 ? size : other, form & 2 ? 5 : size, form & 1, form & 2, dtype);
        }
  for (int64_t planes : about({isa::resample_elements / 32})) test_case(planes, 4, 4, 4, 4, true, true, DType::float32);
  // Planes so few that they are cut into bands: as many bands as pay, or as there are rows.
  for (int64_t planes : about({isa::enough_planes}))
    for (int64_t H : {40, 70}) {
      test_case(planes, H, 90, 70, 80, true, true, DType::float32);
      test_case(planes, H, 90, 70, 90, true, false, DType::float32);
    }
  for (int64_t P : about({isa::enough_bands}))
    for (DType dtype : {DType::float32, DType::bfloat16}) {
      test_case(1, P / 2, 1100, P, 1000, true, true, dtype);
      test_case(1, 2 * P, 600, P, 500, true, true, dtype);
      test_case(3, P, 800, P, 800, true, false, dtype);
    }
  for (int64_t rows : about({isa::resample_elements / 8})) test_case(1, rows, 4, rows, 4, false, true, DType::float32);
  test_case(0, 4, 4, 4, 4, true, true, DType::float32);
  test_case(2, 0, 4, 3, 3, true, true, DType::float32);
  test_case(2, 3, 0, 3, 3, true, true, DType::float32);
  test_case(2, 3, 4, 0, 3, true, true, DType::float32);
  test_wrong_calls();
  return finish("interpolate");
}
