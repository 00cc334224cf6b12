// Attention against a float64 oracle: ragged sizes, strides, grouped heads, masks, rows without keys, dropout,
// gradients singly and together; equal bits for 1, 2 and 3 threads; nothing written outside the outputs. The allowed
// error follows from the number and size of the summed terms. The file is over 600 lines because every limit of the
// loops is tried against one oracle.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../core/context.h"
#include "../cpu/attention/tile.h"
#include "../cpu/random/philox.h"

namespace firesteel::FIRESTEEL_ISA {
void attention_forward(Context& context, const View& out, const View& statistics, const View& q, const View& k,
                       const View& v, const View* mask_bool, const View* mask_add, const View* lengths, double scale,
                       int64_t offset, int64_t window, double dropout, const Philox& random);
void attention_backward(Context& context, const View* dq, const View* dk, const View* dv, const View* dmask,
                        const View& dy, const View& q, const View& k, const View& v, const View& out,
                        const View& statistics, const View* mask_bool, const View* mask_add, const View* lengths,
                        double scale, int64_t offset, int64_t window, double dropout, const Philox& random);
}  // namespace firesteel::FIRESTEEL_ISA

namespace {

using namespace firesteel;
namespace isa = firesteel::FIRESTEEL_ISA;

int passed = 0, failed = 0;

void check(bool condition, const std::string& what) {
  condition ? passed++ : failed++;
  if (!condition && failed <= 20) fprintf(stderr, "failed: %s\n", what.c_str());
}

struct Numbers {
  uint32_t state;
  uint32_t bits() { return (state = state * 1664525u + 1013904223u) >> 8; }
  float next() { return float(int32_t(bits()) - (1 << 23)) / float(1 << 23); }  // in [-1, 1)
};

// Memory orders of a tensor of four dimensions, outermost first. `sparse` leaves gaps between elements.
enum class Layout { dense, time_major, features_outside, sparse };

struct Tensor {
  std::vector<float> memory;
  View view;
  float& at(int64_t a, int64_t b, int64_t c, int64_t d) {
    return memory[size_t(a * view.strides[0] + b * view.strides[1] + c * view.strides[2] + d * view.strides[3])];
  }
};

// A view without memory, and the number of elements that its memory needs.
View make_view(std::vector<int64_t> sizes, Layout layout, size_t* elements) {
  static const int orders[][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 1, 3, 2}, {0, 1, 2, 3}};
  View view = {nullptr, DType::float32, 4, 1, {}, {}};
  int64_t stride = layout == Layout::sparse ? 2 : 1, last = 0;
  for (int i = 3; i >= 0; i--) {
    const int dim = orders[int(layout)][i];
    view.sizes[dim] = sizes[size_t(dim)];
    view.strides[dim] = stride;
    view.count *= sizes[size_t(dim)];
    last += (sizes[size_t(dim)] - 1) * stride;
    stride *= sizes[size_t(dim)];
  }
  *elements = view.count ? size_t(last + 1) : 0;
  return view;
}

Tensor make_tensor(std::vector<int64_t> sizes, Layout layout, uint32_t seed) {
  Tensor t;
  size_t elements = 0;
  t.view = make_view(sizes, layout, &elements);
  t.memory.resize(elements);
  Numbers numbers{seed};
  for (float& x : t.memory) x = numbers.next();
  t.view.data = t.memory.data();
  return t;
}

// An output between guards, dense or placed by a layout.
struct Output {
  static constexpr size_t guard = 32;
  std::vector<float> memory;
  View view;
  explicit Output(std::vector<int64_t> sizes) {
    view = {nullptr, DType::float32, int(sizes.size()), 1, {}, {}};
    for (int i = view.ndim - 1; i >= 0; i--) {
      view.sizes[i] = sizes[size_t(i)];
      view.strides[i] = view.count;
      view.count *= sizes[size_t(i)];
    }
    take_memory(size_t(view.count));
  }
  Output(std::vector<int64_t> sizes, Layout layout) {
    size_t elements = 0;
    view = make_view(sizes, layout, &elements);
    take_memory(elements);
  }
  void take_memory(size_t elements) {
    memory.assign(elements + 2 * guard, 12345.f);
    view.data = memory.data() + guard;
  }
  const float* data() const { return memory.data() + guard; }
  bool guarded() const {
    for (size_t i = 0; i < guard; i++)
      if (memory[i] != 12345.f || memory[memory.size() - 1 - i] != 12345.f) return false;
    return true;
  }
};

enum class MaskKind { none, boolean, by_key, additive, both };

struct Case {
  int64_t B, Hq, Hk, Tq, Tk, D, Dv;
  bool causal = false;
  MaskKind mask = MaskKind::none;
  double dropout = 0;
  Layout layout = Layout::dense;
  double scale = 0;  // 0: 1 / sqrt(D)
  int64_t offset = 0, window = 0;
  std::vector<int32_t> lengths = {};  // empty: none
};

Case limited(Case c, int64_t offset, int64_t window, std::vector<int32_t> lengths = {}) {
  c.offset = offset;
  c.window = window;
  c.lengths = lengths;
  return c;
}

std::string describe(const Case& c) {
  char text[200];
  snprintf(text, sizeof text, "B %d Hq %d Hk %d Tq %d Tk %d D %d Dv %d causal %d mask %d dropout %g layout %d",
           int(c.B), int(c.Hq), int(c.Hk), int(c.Tq), int(c.Tk), int(c.D), int(c.Dv), c.causal, int(c.mask), c.dropout,
           int(c.layout));
  std::string all = text;
  snprintf(text, sizeof text, " offset %d window %d lengths", int(c.offset), int(c.window));
  all += text;
  for (int32_t length : c.lengths) all += " " + std::to_string(length);
  return all;
}

// The inputs of a case.
struct Inputs {
  Tensor q, k, v, dy, add;
  std::vector<uint8_t> bytes;
  View bool_view;
  const View *mask_bool = nullptr, *mask_add = nullptr;
  double scale;
  std::vector<int32_t> of_lengths;
  View lengths_view;
  int64_t offset;
  const View* lengths() const { return of_lengths.empty() ? nullptr : &lengths_view; }
  Philox random = {0x123456789abcdefull, 7, 0x1ffffffffull};

  explicit Inputs(const Case& c)
      : q(make_tensor({c.B, c.Hq, c.Tq, c.D}, c.layout, 1)),
        k(make_tensor({c.B, c.Hk, c.Tk, c.D}, c.layout, 2)),
        v(make_tensor({c.B, c.Hk, c.Tk, c.Dv}, c.layout, 3)),
        dy(make_tensor({c.B, c.Hq, c.Tq, c.Dv}, c.layout, 4)),
        scale(c.scale != 0 ? c.scale : 1 / sqrt(double(std::max<int64_t>(c.D, 1)))),
        of_lengths(c.lengths),
        offset(c.causal ? c.offset : c.Tk) {
    lengths_view = {of_lengths.data(), DType::int32, 1, int64_t(of_lengths.size()), {int64_t(of_lengths.size())}, {1}};
    Numbers numbers{5};
    bool_view = {nullptr, DType::boolean, 4, c.B * c.Hq * c.Tq * c.Tk, {c.B, c.Hq, c.Tq, c.Tk}, {}};
    if (c.mask == MaskKind::boolean || c.mask == MaskKind::both) {  // one for all heads; row 1 has no keys
      bytes.resize(size_t(c.B * c.Tq * c.Tk));
      for (size_t e = 0; e < bytes.size(); e++)
        bytes[e] = e / size_t(c.Tk) % size_t(c.Tq) != 1 && numbers.bits() % 3 != 0;
      const int64_t strides[4] = {c.Tq * c.Tk, 0, c.Tk, 1};
      memcpy(bool_view.strides, strides, sizeof strides);
      mask_bool = &bool_view;
    }
    if (c.mask == MaskKind::by_key) {  // two thirds of a sequence are padding
      bytes.resize(size_t(c.B * c.Tk));
      for (size_t e = 0; e < bytes.size(); e++) bytes[e] = int64_t(e) % c.Tk < (c.Tk + 1) / 3;
      const int64_t strides[4] = {c.Tk, 0, 0, 1};
      memcpy(bool_view.strides, strides, sizeof strides);
      mask_bool = &bool_view;
    }
    bool_view.data = bytes.data();
    if (c.mask == MaskKind::additive || c.mask == MaskKind::both) {  // one for all batches
      add = make_tensor({1, c.Hq, c.Tq, c.Tk}, c.layout, 6);
      for (float& x : add.memory) x = numbers.bits() % 5 == 0 ? -INFINITY : 2 * x;
      add.view.sizes[0] = c.B;
      add.view.strides[0] = 0;
      add.view.count *= c.B;
      mask_add = &add.view;
    }
  }
};

// A result in float64, and for each element the sum of its terms' sizes, by which its error is measured.
struct Exact {
  std::vector<double> value, size;
  explicit Exact(int64_t count) : value(size_t(count)), size(size_t(count)) {}
  void add(int64_t at, double term, double term_size) {
    value[size_t(at)] += term;
    size[size_t(at)] += term_size;
  }
};

bool sees(const Case& c, int64_t b, int64_t i, int64_t j) {
  if (c.causal && j > c.offset + i) return false;
  if (c.window && j <= (c.causal ? c.offset : c.Tk) + i - c.window) return false;
  return c.lengths.empty() || j < c.lengths[size_t(b)];
}

struct Oracle {
  Exact out, statistics, dq, dk, dv, dmask;
  // The sum of the sizes of a score's terms. The score's error grows with it, and so does a weight's relative error.
  double widest = 0;

  Oracle(const Case& c, Inputs& in)
      : out(c.B * c.Hq * c.Tq * c.Dv),
        statistics(c.B * c.Hq * c.Tq * 2),
        dq(c.B * c.Hq * c.Tq * c.D),
        dk(c.B * c.Hk * c.Tk * c.D),
        dv(c.B * c.Hk * c.Tk * c.Dv),
        dmask(c.B * c.Hq * c.Tq * c.Tk) {
    for (int64_t b = 0; b < c.B; b++)
      for (int64_t h = 0; h < c.Hq; h++)
        for (int64_t i = 0; i < c.Tq; i++) row(c, in, b, h, i);
  }

  void row(const Case& c, Inputs& in, int64_t b, int64_t h, int64_t i) {
    const int64_t hk = h / (c.Hq / c.Hk), index = (b * c.Hq + h) * c.Tq + i;
    std::vector<double> p(size_t(c.Tk), 0.), kept(size_t(c.Tk), 1.);
    double largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < c.Tk; j++) {
      double score = 0, size = 0;
      for (int64_t d = 0; d < c.D; d++) {
        const double term = in.scale * in.q.at(b, h, i, d) * in.k.at(b, hk, j, d);
        score += term;
        size += fabs(term);
      }
      widest = std::max(widest, size);
      if (in.mask_add) score += in.add.at(b, h, i, j);
      const int64_t* s = in.bool_view.strides;
      if (in.mask_bool && !in.bytes[size_t(b * s[0] + h * s[1] + i * s[2] + j * s[3])]) score = -INFINITY;
      if (!sees(c, b, i, j)) score = -INFINITY;
      p[size_t(j)] = score;
      largest = std::max(largest, score);
      if (c.dropout > 0) {
        const uint64_t element = uint64_t(index * c.Tk + j);
        uint32_t words[4];
        isa::random::philox4(words, in.random.seed, in.random.stream, in.random.offset + element / 4);
        kept[size_t(j)] = double(words[element % 4]) < round(c.dropout * 4294967296.0) ? 0 : 1 / (1 - c.dropout);
      }
    }
    for (double& x : p) sum += x = largest == -INFINITY ? 0 : exp(x - largest);
    const int64_t at = (index - i) * 2 + i;
    statistics.add(at, largest, 1 + (isfinite(largest) ? fabs(largest) : 0));
    statistics.add(at + c.Tq, sum, 2 * sum);
    for (double& x : p) x = sum == 0 ? 0 : x / sum;

    double delta = 0, delta_size = 0;
    for (int64_t d = 0; d < c.Dv; d++) {
      double y = 0, size = 0;
      for (int64_t j = 0; j < c.Tk; j++) {
        const double term = p[size_t(j)] * kept[size_t(j)] * in.v.at(b, hk, j, d);
        y += term;
        size += fabs(term);
      }
      out.add(index * c.Dv + d, y, size);
      delta += y * in.dy.at(b, h, i, d);
      delta_size += size * fabs(in.dy.at(b, h, i, d));
    }
    for (int64_t j = 0; j < c.Tk; j++) {
      const double weight = p[size_t(j)], factor = kept[size_t(j)];
      const int64_t key = (b * c.Hk + hk) * c.Tk + j;
      double g = 0, g_size = 0;
      for (int64_t d = 0; d < c.Dv; d++) {
        const double term = in.dy.at(b, h, i, d);
        g += factor * term * in.v.at(b, hk, j, d);
        g_size += fabs(factor * term * in.v.at(b, hk, j, d));
        dv.add(key * c.Dv + d, weight * factor * term, fabs(weight * factor * term));
      }
      const double ds = weight * (g - delta), ds_size = weight * (g_size + delta_size);
      dmask.add(index * c.Tk + j, ds, ds_size);
      for (int64_t d = 0; d < c.D; d++) {
        const double key_element = in.scale * in.k.at(b, hk, j, d), query_element = in.scale * in.q.at(b, h, i, d);
        dq.add(index * c.D + d, ds * key_element, ds_size * fabs(key_element));
        dk.add(key * c.D + d, ds * query_element, ds_size * fabs(query_element));
      }
    }
  }
};

// `length` is the number of terms that go into an element, through all sums one after another.
void compare(const std::string& what, const Output& given, const Exact& exact, double widest, int64_t length) {
  const double allowed = (8 + 4 * widest + 2 * sqrt(double(length))) / (1 << 24);
  for (size_t i = 0; i < exact.value.size(); i++) {
    const double x = given.data()[i], y = exact.value[i];
    if (x == y || fabs(x - y) <= allowed * exact.size[i] + 1e-30) continue;
    char text[120];
    snprintf(text, sizeof text, ": element %zu is %.9g, not %.9g; allowed %.3g", i, x, y, allowed * exact.size[i]);
    return check(false, what + text);
  }
  check(given.guarded(), what + ": writes outside its output");
}

struct Outputs {
  Output out, statistics, dq, dk, dv, dmask;
  explicit Outputs(const Case& c, Layout layout = Layout::dense)
      : out({c.B, c.Hq, c.Tq, c.Dv}, layout),
        statistics({c.B, c.Hq, 2, c.Tq}),
        dq({c.B, c.Hq, c.Tq, c.D}, layout),
        dk({c.B, c.Hk, c.Tk, c.D}, layout),
        dv({c.B, c.Hk, c.Tk, c.Dv}, layout),
        dmask({c.B, c.Hq, c.Tq, c.Tk}) {}
};

// wanted: bit 0 dq, 1 dk, 2 dv, 3 dmask
void run(Context& context, const Case& c, const Inputs& in, Outputs& to, int wanted) {
  isa::attention_forward(context, to.out.view, to.statistics.view, in.q.view, in.k.view, in.v.view, in.mask_bool,
                         in.mask_add, in.lengths(), in.scale, in.offset, c.window, c.dropout, in.random);
  context.release_scratch();
  isa::attention_backward(context, wanted & 1 ? &to.dq.view : nullptr, wanted & 2 ? &to.dk.view : nullptr,
                          wanted & 4 ? &to.dv.view : nullptr, wanted & 8 ? &to.dmask.view : nullptr, in.dy.view,
                          in.q.view, in.k.view, in.v.view, to.out.view, to.statistics.view, in.mask_bool, in.mask_add,
                          in.lengths(), in.scale, in.offset, c.window, c.dropout, in.random);
  context.release_scratch();
}

bool same_bits(const Output& a, const Output& b) {
  return memcmp(a.memory.data(), b.memory.data(), a.memory.size() * sizeof(float)) == 0;
}

// Whether a placed output has the elements of a dense one, with nothing written between them.
bool same_elements(const Output& dense, const Output& placed) {
  const int64_t *sizes = dense.view.sizes, *strides = placed.view.strides;
  size_t untouched = placed.memory.size();
  for (int64_t e = 0; e < dense.view.count; e++, untouched--) {
    int64_t rest = e, at = 0;
    for (int d = 3; d >= 0; rest /= sizes[d--]) at += rest % sizes[d] * strides[d];
    if (memcmp(dense.data() + e, placed.data() + at, sizeof(float)) != 0) return false;
  }
  return size_t(std::count(placed.memory.begin(), placed.memory.end(), 12345.f)) == untouched;
}

struct Threads {
  Context one{1}, two{2}, three{3};
};

void test(Threads& threads, const Case& c) {
  const std::string name = describe(c);
  Inputs in(c);
  const Oracle exact(c, in);
  Outputs given(c);
  run(threads.one, c, in, given, 15);
  check(!threads.one.take_error().text.size(), name + ": records no error");
  compare(name + " out", given.out, exact.out, exact.widest, c.Tk + c.D);
  compare(name + " statistics", given.statistics, exact.statistics, exact.widest, c.Tk + c.D);
  compare(name + " dq", given.dq, exact.dq, exact.widest, c.Tk + c.D + c.Dv);
  compare(name + " dk", given.dk, exact.dk, exact.widest, c.Tq * (c.Hq / c.Hk) + c.D + c.Dv);
  compare(name + " dv", given.dv, exact.dv, exact.widest, c.Tq * (c.Hq / c.Hk) + c.D);
  compare(name + " dmask", given.dmask, exact.dmask, exact.widest, c.D + c.Dv);

  for (Context* context : {&threads.two, &threads.three}) {
    Outputs again(c);
    run(*context, c, in, again, 15);
    check(same_bits(given.out, again.out) && same_bits(given.statistics, again.statistics) &&
              same_bits(given.dq, again.dq) && same_bits(given.dk, again.dk) && same_bits(given.dv, again.dv) &&
              same_bits(given.dmask, again.dmask),
          name + ": bits depend on the number of threads");
  }
  for (Layout layout : {Layout::time_major, Layout::features_outside, Layout::sparse}) {
    Outputs placed(c, layout);
    run(threads.two, c, in, placed, 7);
    check(same_elements(given.out, placed.out) && same_elements(given.dq, placed.dq) &&
              same_elements(given.dk, placed.dk) && same_elements(given.dv, placed.dv),
          name + ": results depend on where they are placed");
  }
  for (int wanted : {0, 1, 2, 4, 8, 5}) {
    Outputs some(c), untouched(c);
    run(threads.two, c, in, some, wanted);
    check(same_bits(some.dq, wanted & 1 ? given.dq : untouched.dq) &&
              same_bits(some.dk, wanted & 2 ? given.dk : untouched.dk) &&
              same_bits(some.dv, wanted & 4 ? given.dv : untouched.dv) &&
              same_bits(some.dmask, wanted & 8 ? given.dmask : untouched.dmask),
          name + ": a gradient depends on which others are wanted");
  }
}

void test_shapes(Threads& threads) {
  for (bool causal : {false, true}) {
    for (int64_t tq : {1, 33, 130})
      for (int64_t tk : {1, 33, 130}) test(threads, {1, 2, 1, tq, tk, 17, 17, causal});
    for (int64_t d : {1, 4, 24, 31, 48, 64, 80}) test(threads, {2, 1, 1, 65, 67, d, d, causal});
    test(threads, {1, 2, 2, 40, 50, 24, 7, causal});    // Dv smaller
    test(threads, {1, 2, 2, 40, 50, 5, 40, causal});    // Dv larger
    test(threads, {1, 1, 1, 9, 11, 300, 290, causal});  // deeper than gemm's blocks
    test(threads, {2, 6, 2, 70, 70, 16, 16, causal});   // grouped heads
    for (MaskKind mask : {MaskKind::none, MaskKind::boolean, MaskKind::by_key, MaskKind::additive, MaskKind::both})
      for (double dropout : {0.0, 0.2}) test(threads, {2, 6, 2, 1, 70, 16, 12, causal, mask, dropout});
    test(threads, {1, 4, 1, 33, 600, 8, 8, causal});     // keys in pieces, fewer queries
    test(threads, {1, 1, 1, 700, 650, 16, 16, causal});  // keys in pieces
  }
  test(threads, {1, 1, 1, 20, 30, 16, 16, false, MaskKind::none, 0, Layout::dense, -0.3});
  // One query of each head of a group, as many heads as make one panel, and more.
  for (int64_t heads : {int64_t(2), isa::attention::NR - 1, isa::attention::NR, isa::attention::NR + 1,
                        isa::attention::most_panels * isa::attention::NR + 1})
    test(threads, limited({2, 2 * heads, 2, 1, 130, 5, 7}, 0, 0, {130, 77}));
  for (int64_t offset : {128, 129, 200})
    for (int64_t window : {0, 100, 130}) test(threads, limited({1, 6, 2, 1, 130, 5, 7, true}, offset, window));
  for (Layout layout : {Layout::time_major, Layout::features_outside, Layout::sparse})
    test(threads, {2, 6, 2, 1, 45, 12, 20, false, MaskKind::both, 0, layout});
  for (Layout layout : {Layout::time_major, Layout::features_outside, Layout::sparse})
    for (int64_t tq : {3, 37}) test(threads, {2, 4, 2, tq, 45, 12, 20, true, MaskKind::both, 0.2, layout});
}

// Sizes one below, at and one above each size by which the kernels cut, and larger ones with a rest.
void test_blocks(Threads& threads) {
  using namespace isa::attention;
  const auto around = [](int64_t n) { return std::vector<int64_t>{n - 1, n, n + 1, 2 * n + n / 2 + 1}; };
  for (bool causal : {false, true}) {
    for (int64_t n : around(lanes)) test(threads, {1, 1, 1, 11, 13, n, n, causal});
    for (int64_t n : around(most_vectors * lanes)) test(threads, {1, 1, 1, 5, 13, n, 3, causal});
    for (int64_t n : around(most_vectors * lanes)) test(threads, {1, 1, 1, 5, 13, 3, n, causal});
    for (int64_t n : around(NR)) test(threads, {1, 2, 1, n, 19, 8, 8, causal, MaskKind::both, 0.1});
    for (int vectors = 1; vectors <= most_vectors; vectors++)
      for (int64_t n : around(block_rows(vectors))) test(threads, {1, 1, 1, n, n, 8, vectors * lanes, causal});
    for (int64_t n : around(most_panels * NR)) test(threads, {1, 1, 1, n, 21, 8, 8, causal});
    for (int64_t n : around(tile_keys))
      for (MaskKind mask : {MaskKind::none, MaskKind::by_key, MaskKind::both})
        test(threads, {1, 1, 1, 40, n, 8, 8, causal, mask});
    // Queries and keys end together, at a block's corner.
    for (int64_t n : around(tile_keys)) test(threads, {1, 1, 1, n, n, 8, 8, causal});
    for (int64_t tiles : {2, 3, 4, 5})
      test(threads, {1, 1, 1, 9, tiles * tile_keys + 1, 4, 4, causal});  // pieces of keys
    test(threads, {1, 1, 1, 1999, 2001, 8, 8, causal});
  }
}

// The edges of offset, window and lengths lie one before, at and one after those of blocks, and anywhere between.
void test_limits(Threads& threads) {
  using namespace isa::attention;
  const auto around = [](int64_t n) { return std::vector<int64_t>{n - 1, n, n + 1, 2 * n + n / 2 + 1}; };
  const Case wide = {1, 2, 1, 70, 300, 9, 7, true}, square = {1, 2, 1, 290, 290, 5, 7, true};
  for (int64_t block : {int64_t(lanes), NR, tile_keys})
    for (int64_t n : around(block)) {
      test(threads, limited(wide, n, 0));
      test(threads, limited(wide, n, NR + 3));
      test(threads, limited(wide, 150, n));
      test(threads, limited(square, 0, n));
      test(threads, limited({3, 1, 1, 33, 301, 5, 3}, 0, 0, {int32_t(n), 301, 0}));
      test(threads, limited({2, 2, 2, 130, 301, 5, 3, true}, 100, n, {int32_t(n), 0}));
    }
  for (int64_t n : {1, 2}) test(threads, limited(square, 0, n));
  // The first and the last query that see a tile, around the panels of a band.
  for (int64_t n : around(most_panels * NR)) test(threads, limited({1, 1, 1, n + 3, n + 150, 5, 3, true}, 140, n));
  // Blocks of sums of all sizes at the edges.
  for (int64_t d = 1; d <= most_vectors; d++)
    for (int64_t n = 1; n <= most_rows + 1; n += 2)
      test(threads, limited({1, 1, 1, 61, 67, d * lanes, d * lanes, true}, n, n + 3));
  // Positions that see all keys, positions whose window has passed all keys or all real ones, and positions beyond 32
  // bits.
  test(threads, limited(wide, 299, 0));
  test(threads, limited(wide, 298, 0));
  test(threads, limited(wide, 350, 100));
  test(threads, limited(wide, 1000, 100));
  test(threads, limited({2, 1, 1, 20, 100, 4, 4, true}, 60, 30, {31, 62}));
  test(threads, limited(wide, int64_t(1) << 53, int64_t(1) << 53));
  test(threads, limited(wide, int64_t(1) << 53, 5));
  // A window that ends at the last key without being causal, with pieces of keys, and with masks and dropout that hit
  // the same elements.
  test(threads, limited({1, 1, 1, 40, 130, 4, 4}, 0, 140));
  test(threads, limited({1, 1, 1, 700, 750, 4, 4, true}, 40, 130, {744}));
  for (MaskKind mask : {MaskKind::by_key, MaskKind::both})
    test(threads, limited({2, 4, 2, 70, 200, 5, 3, true, mask, 0.3}, 110, 77, {150, 199}));
}

// Keys and values that take no part are not read, nor is anything that depends on them: NaN there changes no bit.
void test_unseen(Threads& threads) {
  for (const Case& c : {limited({1, 2, 1, 45, 70, 5, 7, true}, 20, 0), limited({2, 2, 1, 45, 70, 5, 7}, 0, 0, {33, 0}),
                        limited({1, 1, 1, 3, 260, 5, 7, true}, 200, 70), limited({1, 2, 1, 61, 90, 4, 8, true}, 26, 3)})
    for (Layout layout : {Layout::dense, Layout::time_major}) {
      Case placed = c;
      placed.layout = layout;
      Outputs results[2] = {Outputs(c), Outputs(c)};
      for (int spoilt = 0; spoilt < 2; spoilt++) {
        Inputs in(placed);
        for (int64_t b = 0; b < c.B; b++)
          for (int64_t j = 0; spoilt && j < c.Tk; j++) {
            bool seen = false;
            for (int64_t i = 0; i < c.Tq; i++) seen |= sees(c, b, i, j);
            for (int64_t h = 0; !seen && h < c.Hk; h++) in.k.at(b, h, j, 1) = in.v.at(b, h, j, 1) = NAN;
          }
        run(threads.two, placed, in, results[spoilt], 15);
      }
      check(same_bits(results[0].out, results[1].out) && same_bits(results[0].dq, results[1].dq) &&
                same_bits(results[0].dk, results[1].dk) && same_bits(results[0].dv, results[1].dv) &&
                same_bits(results[0].dmask, results[1].dmask),
            describe(placed) + ": keys that take no part show in the results");
    }
  // Only the queries that see key 30 become NaN.
  const Case c = limited({1, 1, 1, 61, 61, 4, 5, true}, 0, 9);
  Inputs in(c);
  Outputs to(c);
  in.k.at(0, 0, 30, 1) = in.v.at(0, 0, 30, 1) = NAN;
  run(threads.two, c, in, to, 15);
  bool right = true;
  for (int64_t i = 0; i < c.Tq; i++) {
    right &= std::isnan(to.out.data()[i * c.Dv + 1]) == sees(c, 0, i, 30);
    right &= std::isnan(to.dq.data()[i * c.D + 1]) == sees(c, 0, i, 30);
  }
  // Keys 22 to 38 are seen by some query that also sees key 30.
  for (int64_t j = 0; j < c.Tk; j++) right &= std::isnan(to.dk.data()[j * c.D + 1]) == (j >= 22 && j <= 38);
  check(right, "NaN shows where it is seen");
}

// Weights are as exact for scores near a large number as near 0. Scores are integers, and then the same integers plus
// 4096.
void test_large_scores(Threads& threads) {
  for (MaskKind mask : {MaskKind::none, MaskKind::boolean})
    for (bool causal : {false, true}) {
      const Case c = {1, 2, 1, 37, 131, 4, 5, causal, mask, 0, Layout::dense, 1};
      Outputs results[2] = {Outputs(c), Outputs(c)};
      for (int far = 0; far < 2; far++) {
        Inputs in(c);
        for (Tensor* x : {&in.q, &in.k})
          for (size_t e = 0; e < x->memory.size(); e++) x->memory[e] = roundf(2 * x->memory[e]);
        for (size_t e = 0; e < in.q.memory.size(); e += 4) in.q.memory[e] = 64;
        for (size_t e = 0; e < in.k.memory.size(); e += 4) in.k.memory[e] = far ? 64 : 0;
        run(threads.two, c, in, results[far], 15);
      }
      check(same_bits(results[0].out, results[1].out) && same_bits(results[0].dv, results[1].dv) &&
                same_bits(results[0].dmask, results[1].dmask) && same_bits(results[0].dk, results[1].dk),
            describe(c) + ": results depend on what all scores have in common");
    }
}

void test_masks(Threads& threads) {
  for (MaskKind mask : {MaskKind::boolean, MaskKind::by_key, MaskKind::additive, MaskKind::both})
    for (bool causal : {false, true}) {
      test(threads, {2, 2, 1, 33, 45, 8, 8, causal, mask});
      test(threads, {1, 2, 2, 130, 270, 16, 16, causal, mask, 0.1});
    }
  test(threads, {1, 2, 1, 20, 600, 8, 8, false, MaskKind::by_key});  // whole tiles of padding
}

void test_dropout(Threads& threads) {
  for (double p : {0.1, 0.5, 1.0}) test(threads, {1, 2, 2, 33, 300, 8, 8, false, MaskKind::none, p});
  test(threads, {2, 4, 2, 45, 33, 8, 8, true, MaskKind::none, 0.3});
}

struct Halves {
  std::vector<uint16_t> memory;
  View view;
};
uint16_t rounded(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float widened(uint16_t half) {
  const uint32_t bits = uint32_t(half) << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// Rounds the numbers in memory, and returns them as bfloat16.
Halves halve(std::vector<float>& memory, const View& like, size_t first) {
  Halves to = {{}, like};
  for (float& x : memory) {
    to.memory.push_back(rounded(x));
    x = widened(to.memory.back());
  }
  to.view.dtype = DType::bfloat16;
  to.view.data = to.memory.data() + first;
  return to;
}

// Results of bfloat16 are the rounded float32 results of the same numbers. Nothing else is written.
void test_halves(Threads& threads, const Case& c) {
  const std::string name = describe(c) + " of bfloat16";
  Inputs in(c);
  Outputs exact(c, c.layout), to(c, c.layout);
  const Halves q = halve(in.q.memory, in.q.view, 0), k = halve(in.k.memory, in.k.view, 0),
               v = halve(in.v.memory, in.v.view, 0), dy = halve(in.dy.memory, in.dy.view, 0);
  const auto place = [](Output& like) { return halve(like.memory, like.view, Output::guard); };
  Halves out = place(to.out), dq = place(to.dq), dk = place(to.dk), dv = place(to.dv);
  const auto same = [](const Halves& half, const Output& wide) {
    for (size_t e = 0; e < half.memory.size(); e++)
      if (half.memory[e] != rounded(wide.memory[e])) return false;
    return true;
  };
  for (Context* context : {&threads.one, &threads.three}) {
    isa::attention_forward(*context, exact.out.view, exact.statistics.view, in.q.view, in.k.view, in.v.view,
                           in.mask_bool, in.mask_add, in.lengths(), in.scale, in.offset, c.window, c.dropout,
                           in.random);
    context->release_scratch();
    isa::attention_forward(*context, out.view, to.statistics.view, q.view, k.view, v.view, in.mask_bool, in.mask_add,
                           in.lengths(), in.scale, in.offset, c.window, c.dropout, in.random);
    context->release_scratch();
    check(same(out, exact.out) && same_bits(to.statistics, exact.statistics), name + ": forward");
    for (float& x : exact.out.memory) x = widened(rounded(x));
    isa::attention_backward(*context, &exact.dq.view, &exact.dk.view, &exact.dv.view, &exact.dmask.view, in.dy.view,
                            in.q.view, in.k.view, in.v.view, exact.out.view, exact.statistics.view, in.mask_bool,
                            in.mask_add, in.lengths(), in.scale, in.offset, c.window, c.dropout, in.random);
    context->release_scratch();
    isa::attention_backward(*context, &dq.view, &dk.view, &dv.view, &to.dmask.view, dy.view, q.view, k.view, v.view,
                            out.view, to.statistics.view, in.mask_bool, in.mask_add, in.lengths(), in.scale, in.offset,
                            c.window, c.dropout, in.random);
    context->release_scratch();
    check(same(dq, exact.dq) && same(dk, exact.dk) && same(dv, exact.dv) && same_bits(to.dmask, exact.dmask),
          name + ": backward");
    check(!context->take_error().text.size(), name + ": records no error");
  }
}

// Sizes of 0. Without keys, out is 0, the largest score -infinity and the sum 0. Without queries, the keys' gradients
// are 0.
void test_empty(Threads& threads) {
  for (Context* context : {&threads.one, &threads.three}) {
    for (bool causal : {false, true}) {
      const Case no_keys = {2, 2, 1, 5, 0, 4, 3, causal}, no_queries = {2, 2, 1, 0, 5, 4, 3, causal};
      Inputs a(no_keys), b(no_queries);
      Outputs from_a(no_keys), from_b(no_queries);
      run(*context, no_keys, a, from_a, 15);
      run(*context, no_queries, b, from_b, 15);
      bool right = true;
      for (int64_t i = 0; i < from_a.out.view.count; i++) right &= from_a.out.data()[i] == 0;
      for (int64_t i = 0; i < from_a.statistics.view.count; i++)
        right &= from_a.statistics.data()[i] == (i / 5 % 2 ? 0 : -INFINITY);
      for (int64_t i = 0; i < from_a.dq.view.count; i++) right &= from_a.dq.data()[i] == 0;
      for (int64_t i = 0; i < from_b.dk.view.count; i++) right &= from_b.dk.data()[i] == 0;
      for (int64_t i = 0; i < from_b.dv.view.count; i++) right &= from_b.dv.data()[i] == 0;
      check(right, "without keys or queries");
      for (const Case& c : {Case{0, 2, 1, 5, 5, 4, 3, causal}, Case{2, 0, 0, 5, 5, 4, 3, causal},
                            Case{1, 2, 1, 5, 6, 0, 3, causal}, Case{1, 2, 1, 5, 6, 3, 0, causal}}) {
        Inputs in(c);
        Outputs to(c);
        run(*context, c, in, to, 15);
        check(to.out.guarded() && to.dq.guarded() && to.dk.guarded() && to.dv.guarded(), "a size of 0: " + describe(c));
      }
      check(!context->take_error().text.size(), "sizes of 0 record no error");
    }
  }
}

// Calls whose arguments do not fit together record an error and touch nothing.
void test_wrong_calls(Threads& threads) {
  const Case c = {1, 4, 2, 5, 6, 4, 3};
  const auto refused = [&](const char* what, void (*spoil)(Inputs&, Outputs&)) {
    Inputs in(c);
    Outputs to(c), untouched(c);
    spoil(in, to);
    run(threads.one, c, in, to, 15);
    check(threads.one.take_error().code == ErrorCode::internal, std::string("is refused: ") + what);
    check(same_bits(to.out, untouched.out) && same_bits(to.dk, untouched.dk), std::string("writes nothing: ") + what);
  };
  refused("more keys than values", [](Inputs& in, Outputs&) { in.k.view.sizes[2]++; });
  refused("another D", [](Inputs& in, Outputs&) { in.q.view.sizes[3]--; });
  refused("heads that cannot be grouped", [](Inputs& in, Outputs&) { in.k.view.sizes[1] = in.v.view.sizes[1] = 3; });
  refused("a smaller output", [](Inputs&, Outputs& to) { to.out.view.sizes[2]--; });
  refused("lengths of other rows", [](Inputs& in, Outputs&) {
    in.of_lengths = {1, 2};
    in.lengths_view = {in.of_lengths.data(), DType::int32, 1, 2, {2}, {1}};
  });
  refused("a negative offset", [](Inputs& in, Outputs&) { in.offset = -1; });
  for (int32_t length : {-1, 7}) {
    Inputs in(limited(c, 0, 0, {length}));
    Outputs to(c), untouched(c);
    run(threads.one, c, in, to, 15);
    check(threads.one.take_error().code == ErrorCode::value, "is refused: a length of " + std::to_string(length));
    check(same_bits(to.out, untouched.out) && same_bits(to.dk, untouched.dk), "writes nothing: a length outside");
  }
  refused("three dimensions", [](Inputs& in, Outputs&) { in.v.view.ndim = 3; });
}

}  // namespace

int main() {
  Threads threads;
  test_shapes(threads);
  test_blocks(threads);
  test_limits(threads);
  test_unseen(threads);
  test_large_scores(threads);
  test_masks(threads);
  test_dropout(threads);
  for (Layout layout : {Layout::dense, Layout::time_major, Layout::features_outside, Layout::sparse}) {
    test_halves(threads, {2, 4, 2, 33, 35, 19, 17, true, MaskKind::none, 0, layout});
    test_halves(threads, {1, 2, 2, 150, 300, 64, 64, false, MaskKind::both, 0.2, layout});
  }
  test_empty(threads);
  test_wrong_calls(threads);
  printf("attention: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
