// Maxima of windows that fill a plane, against the definition: window p of P over H rows covers positions from floor(p
// H / P) to ceil((p + 1) H / P). The first of equal numbers counts, and NaN counts before all numbers.
#include "../cpu/pool/windows.h"
#include "arrays.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = FIRESTEEL_ISA;

struct Window {
  int64_t from, to;
};
Window window(int64_t p, int64_t results, int64_t length) {
  return {p * length / results, ((p + 1) * length + results - 1) / results};
}

void test_maxima(const Sizes& planes, Sizes x_size, Sizes size, bool special) {
  const int64_t H = x_size[0], W = x_size[1], P = size[0], Q = size[1];
  Array x({planes[0], planes[1], H, W}, DType::float32), out({planes[0], planes[1], P, Q}, DType::float32);
  Array indices({planes[0], planes[1], P, Q}, DType::int32);
  randomise(x, 1);
  for (int64_t i = 0; i < x.size(); i += 3) x.set(i, floor(x.get(i)));  // ties
  for (int64_t i = 0; special && i < x.size(); i += 5)
    x.set(i, i % 3 == 0 ? double(NAN) : i % 3 == 1 ? double(INFINITY) : -double(INFINITY));
  const std::string what = "adaptive maxima of " + text(x_size) + " to " + text(size) + (special ? " with NaN" : "");
  const auto forward = [&](Context& c) { isa::adaptive_max_pool2d_forward(c, out.view, indices.view, x.view); };
  const auto place = [&](int64_t i) {
    const Window rows = window(i / Q % P, P, H), columns = window(i % Q, Q, W);
    const int64_t plane = i / (P * Q) * H * W;
    int64_t best = rows.from * W + columns.from;
    for (int64_t r = rows.from; r < rows.to; r++)
      for (int64_t c = columns.from; c < columns.to; c++) {
        const double value = x.get(plane + r * W + c), most = x.get(plane + best);
        if (value > most || (value != value && most == most)) best = r * W + c;
      }
    return best;
  };
  run(what, out, forward);
  run(what + ", places", indices, forward);
  check_equal(what, out, [&](int64_t i) { return x.get(i / (P * Q) * H * W + place(i)); });
  check_equal(what + ", places", indices, [&](int64_t i) { return double(place(i)); });
}

}  // namespace

int main() {
  for (bool special : {false, true})
    for (const Sizes& planes : {Sizes{1, 1}, Sizes{2, 3}})
      for (const Sizes& x : {Sizes{1, 1}, Sizes{7, 7}, Sizes{5, 33}, Sizes{16, 3}})
        for (const Sizes& size : {Sizes{1, 1}, Sizes{2, 3}, Sizes{7, 7}, Sizes{9, 40}})
          test_maxima(planes, x, size, special);
  // Numbers of columns around a register, and of planes around a chunk.
  for (int64_t width : about({isa::simd::lanes}))
    for (int64_t height : {1, 3, 20})
      for (bool special : {false, true}) test_maxima({1, 3}, {height, width}, {1 + height / 3, 1 + width / 4}, special);
  for (int64_t count : about({isa::pool::chunk_elements / (16 * 16 + 4 * 4)}))
    test_maxima({1, count}, {16, 16}, {4, 4}, false);
  test_maxima({40, 64}, {14, 14}, {3, 5}, false);  // more than one chunk of planes
  Array x({1, 2, 4, 4}, DType::float32), out({1, 2, 2, 2}, DType::float32), other({1, 2, 2, 3}, DType::int32);
  check_refused("indices of another shape", out,
                [&](Context& c) { isa::adaptive_max_pool2d_forward(c, out.view, other.view, x.view); });
  return finish("adaptive_pool");
}
