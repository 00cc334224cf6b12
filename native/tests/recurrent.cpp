// The LSTM's kernels of one instruction set (FIRESTEEL_ISA) against its definition in float64. Values come from
// evaluating the equations one scalar at a time. Gradients come from differentiating that record backwards, which
// shares nothing with the kernels' formulas. It prints differences and returns the number of failures.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <initializer_list>
#include <utility>
#include <vector>

#include "../core/context.h"
#include "../cpu/recurrent/plan.h"
#include "../generated/kernels.h"

extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace {

using namespace firesteel;
namespace isa = firesteel::FIRESTEEL_ISA;

// A record of scalars. Each is a leaf, a sum of products of earlier ones, or a function of an earlier one.
class Tape {
 public:
  using Products = std::vector<std::pair<int, int>>;

  int leaf(double value) { return add(value, Kind::leaf, 0, 0); }
  int sum(const Products& products) {
    const size_t first = products_.size();
    double value = 0;
    for (const auto& [a, b] : products) {
      value += nodes_[a].value * nodes_[b].value;
      products_.emplace_back(a, b);
    }
    return add(value, Kind::sum, first, products_.size());
  }
  int sigmoid(int x) { return add(1 / (1 + exp(-nodes_[x].value)), Kind::sigmoid, x, 0); }
  int tanh(int x) { return add(::tanh(nodes_[x].value), Kind::tanh, x, 0); }

  double value(int node) const { return nodes_[node].value; }
  double& gradient(int node) { return nodes_[node].gradient; }

  void backward() {
    for (size_t n = nodes_.size(); n-- > 0;) {
      const Node node = nodes_[n];
      const double d = node.gradient, y = node.value;
      if (node.kind == Kind::sigmoid) nodes_[node.first].gradient += d * y * (1 - y);
      if (node.kind == Kind::tanh) nodes_[node.first].gradient += d * (1 - y * y);
      if (node.kind != Kind::sum) continue;
      for (size_t i = node.first; i < node.end; i++) {
        const auto [a, b] = products_[i];
        nodes_[a].gradient += d * nodes_[b].value;
        nodes_[b].gradient += d * nodes_[a].value;
      }
    }
  }

 private:
  enum class Kind { leaf, sum, sigmoid, tanh };
  struct Node {
    double value, gradient;
    Kind kind;
    size_t first, end;
  };
  int add(double value, Kind kind, size_t first, size_t end) {
    nodes_.push_back({value, 0, kind, first, end});
    return static_cast<int>(nodes_.size()) - 1;
  }
  std::vector<Node> nodes_;
  Products products_;
};

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
  View view = {};
  std::vector<int> nodes;  // of the tape, for inputs and outputs of the definition

  explicit Tensor(std::vector<int64_t> sizes) : shape(std::move(sizes)) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    values.assign(static_cast<size_t>(count), NAN);  // so that an output that is not overwritten is found
    view = {values.data(), DType::float32, static_cast<int>(shape.size()), count, {}, {}};
    for (int i = view.ndim; i-- > 0; count = view.strides[i] * view.sizes[i]) {
      view.sizes[i] = shape[static_cast<size_t>(i)];
      view.strides[i] = i + 1 < view.ndim ? view.strides[i + 1] * view.sizes[i + 1] : 1;
    }
  }
  Tensor(Tensor&&) = default;

  void fill(uint32_t& state, float scale) {
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * scale;
    }
  }
  void record(Tape& tape) {
    for (float value : values) nodes.push_back(tape.leaf(value));
  }
};

struct Shape {
  int64_t T, B, I, H;
};

// The optional arguments that a case has.
struct Options {
  bool reverse = false, initial = true, biases = true, gradients_of_state = true, gradient_of_out = true;
};

int failures = 0;

void fail(const Shape& s, const Options& o, const char* what, double given, double expected) {
  failures++;
  printf("T %lld B %lld I %lld H %lld%s%s%s: %s is %.9g, expected %.9g\n", static_cast<long long>(s.T),
         static_cast<long long>(s.B), static_cast<long long>(s.I), static_cast<long long>(s.H),
         o.reverse ? " reverse" : "", o.initial ? " initial" : "", o.biases ? " biases" : "", what, given, expected);
}

// The inputs and outputs of one layer.
struct Layer {
  Shape s;
  Options o;
  Tensor x, h0, c0, w_ih, w_hh, b_ih, b_hh, dy, dhn, dcn;
  Tensor out, hn, cn, gates, cells;
  Tensor dx, dh0, dc0, dw_ih, dw_hh, dbias;

  Layer(Shape shape, Options options)
      : s(shape),
        o(options),
        x({s.T, s.B, s.I}),
        h0({s.B, s.H}),
        c0({s.B, s.H}),
        w_ih({4 * s.H, s.I}),
        w_hh({4 * s.H, s.H}),
        b_ih({4 * s.H}),
        b_hh({4 * s.H}),
        dy({s.T, s.B, s.H}),
        dhn({s.B, s.H}),
        dcn({s.B, s.H}),
        out({s.T, s.B, s.H}),
        hn({s.B, s.H}),
        cn({s.B, s.H}),
        gates({s.T, s.B, 4 * s.H}),
        cells({s.T, s.B, s.H}),
        dx({s.T, s.B, s.I}),
        dh0({s.B, s.H}),
        dc0({s.B, s.H}),
        dw_ih({4 * s.H, s.I}),
        dw_hh({4 * s.H, s.H}),
        dbias({4 * s.H}) {
    uint32_t state = 7;
    const float weight = 1.5f / sqrtf(static_cast<float>(s.H + 1));
    for (Tensor* t : {&x, &h0, &c0, &dy, &dhn, &dcn}) t->fill(state, 1.0f);
    for (Tensor* t : {&w_ih, &w_hh, &b_ih, &b_hh}) t->fill(state, weight);
  }

  void forward(Context& context, bool keep) {
    isa::lstm_forward(context, out.view, hn.view, cn.view, keep ? &gates.view : nullptr, keep ? &cells.view : nullptr,
                      x.view, o.initial ? &h0.view : nullptr, o.initial ? &c0.view : nullptr, w_ih.view, w_hh.view,
                      o.biases ? &b_ih.view : nullptr, o.biases ? &b_hh.view : nullptr, nullptr, o.reverse);
  }
  // `wanted` has a bit for each of dx, dh0, dc0, dw_ih, dw_hh, dbias.
  void backward(Context& context, unsigned wanted) {
    const auto want = [&](int bit, const Tensor& t) { return (wanted >> bit) & 1 ? &t.view : nullptr; };
    isa::lstm_backward(context, want(0, dx), want(1, dh0), want(2, dc0), want(3, dw_ih), want(4, dw_hh), want(5, dbias),
                       o.gradient_of_out ? &dy.view : nullptr, o.gradients_of_state ? &dhn.view : nullptr,
                       o.gradients_of_state ? &dcn.view : nullptr, x.view, o.initial ? &h0.view : nullptr,
                       o.initial ? &c0.view : nullptr, w_ih.view, w_hh.view, nullptr, out.view, gates.view, cells.view,
                       o.reverse);
  }
  std::vector<const Tensor*> outputs() const {
    return {&out, &hn, &cn, &gates, &cells, &dx, &dh0, &dc0, &dw_ih, &dw_hh, &dbias};
  }
};

constexpr const char* output_names[] = {"out", "hn",  "cn",   "gates", "cells", "dx",
                                        "dh0", "dc0", "dwIh", "dwHh",  "dbias"};

// Checks an output of the kernel against float64. `length` is the longest sum on the way; rounding errors grow no
// faster.
void compare(const Layer& layer, const char* what, const Tensor& given, const std::vector<double>& expected,
             int64_t length) {
  double scale = 0;
  for (double value : expected) scale = fmax(scale, fabs(value));
  const double tolerance = ldexp(static_cast<double>(16 + length), -24) * fmax(scale, 0.1);
  for (size_t i = 0; i < expected.size(); i++)
    if (!(fabs(static_cast<double>(given.values[i]) - expected[i]) <= tolerance))
      return fail(layer.s, layer.o, what, static_cast<double>(given.values[i]), expected[i]);
}

void check_against_definition(Shape s, Options o) {
  Layer layer(s, o);
  Context context(2);
  layer.forward(context, true);
  layer.backward(context, 63);
  context.release_scratch();

  Tape tape;
  const int one = tape.leaf(1), none = tape.leaf(0);
  for (Tensor* t : {&layer.x, &layer.h0, &layer.c0, &layer.w_ih, &layer.w_hh, &layer.b_ih, &layer.b_hh})
    t->record(tape);
  std::vector<int> bias;
  for (int64_t k = 0; k < 4 * s.H; k++)
    bias.push_back(o.biases ? tape.sum({{layer.b_ih.nodes[k], one}, {layer.b_hh.nodes[k], one}}) : none);
  std::vector<int> h(static_cast<size_t>(s.B * s.H), none), c = h;
  std::vector<int> out(static_cast<size_t>(s.T * s.B * s.H)), cells = out;
  std::vector<int> gates(static_cast<size_t>(s.T * s.B * 4 * s.H));
  if (o.initial) h = layer.h0.nodes, c = layer.c0.nodes;
  for (int64_t step = 0; step < s.T; step++) {
    const int64_t t = o.reverse ? s.T - 1 - step : step;
    const std::vector<int> before = h;
    for (int64_t b = 0; b < s.B; b++)
      for (int64_t k = 0; k < 4 * s.H; k++) {
        Tape::Products products = {{bias[k], one}};
        for (int64_t i = 0; i < s.I; i++)
          products.emplace_back(layer.x.nodes[(t * s.B + b) * s.I + i], layer.w_ih.nodes[k * s.I + i]);
        for (int64_t j = 0; j < s.H; j++) products.emplace_back(before[b * s.H + j], layer.w_hh.nodes[k * s.H + j]);
        const int a = tape.sum(products);
        gates[(t * s.B + b) * 4 * s.H + k] = k / s.H == 2 ? tape.tanh(a) : tape.sigmoid(a);
      }
    for (int64_t b = 0; b < s.B; b++)
      for (int64_t j = 0; j < s.H; j++) {
        const int* gate = &gates[(t * s.B + b) * 4 * s.H + j];
        int& cell = c[b * s.H + j];
        cell = tape.sum({{gate[s.H], cell}, {gate[0], gate[2 * s.H]}});
        h[b * s.H + j] = tape.sum({{gate[3 * s.H], tape.tanh(cell)}});
        cells[(t * s.B + b) * s.H + j] = cell;
        out[(t * s.B + b) * s.H + j] = h[b * s.H + j];
      }
  }
  for (size_t i = 0; o.gradient_of_out && i < out.size(); i++)
    tape.gradient(out[i]) += static_cast<double>(layer.dy.values[i]);
  for (size_t i = 0; o.gradients_of_state && i < h.size(); i++) {
    tape.gradient(h[i]) += static_cast<double>(layer.dhn.values[i]);
    tape.gradient(c[i]) += static_cast<double>(layer.dcn.values[i]);
  }
  tape.backward();

  const auto values = [&](const std::vector<int>& nodes) {
    std::vector<double> result;
    for (int node : nodes) result.push_back(tape.value(node));
    return result;
  };
  const auto gradients = [&](const std::vector<int>& nodes) {
    std::vector<double> result;
    for (int node : nodes) result.push_back(tape.gradient(node));
    return result;
  };
  const int64_t forward = s.I + s.H, through = forward + 4 * s.H, over = through + s.T * s.B;
  compare(layer, "out", layer.out, values(out), forward);
  compare(layer, "hn", layer.hn, values(h), forward);
  compare(layer, "cn", layer.cn, values(c), forward);
  compare(layer, "gates", layer.gates, values(gates), forward);
  compare(layer, "cells", layer.cells, values(cells), forward);
  compare(layer, "dx", layer.dx, gradients(layer.x.nodes), through);
  compare(layer, "dwIh", layer.dw_ih, gradients(layer.w_ih.nodes), over);
  compare(layer, "dwHh", layer.dw_hh, gradients(layer.w_hh.nodes), over);
  if (o.biases) compare(layer, "dbias", layer.dbias, gradients(layer.b_ih.nodes), over);
  if (o.initial) {
    compare(layer, "dh0", layer.dh0, gradients(layer.h0.nodes), through);
    compare(layer, "dc0", layer.dc0, gradients(layer.c0.nodes), through);
  }
  if (context.failed.load()) fail(s, o, "the error flag", 1, 0);
}

// The same for sizes whose record would not fit into memory: the equations and their gradients, in float64. Small sizes
// are checked in both ways.
void check_against_formulas(Shape s, Options o) {
  Layer layer(s, o), again(s, o);
  for (Layer* one : {&layer, &again}) {
    Context context(one == &layer ? 3 : 1);
    one->forward(context, true);
    one->backward(context, 63);
    context.release_scratch();
    if (context.failed.load()) fail(s, o, "the error flag", 1, 0);
  }
  for (size_t i = 0; i < layer.outputs().size(); i++) {
    const std::vector<float>&a = layer.outputs()[i]->values, &b = again.outputs()[i]->values;
    if (!a.empty() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) {
      printf("threads, %s: ", output_names[i]);
      fail(s, o, "equality of bits", 0, 1);
    }
  }
  using Doubles = std::vector<double>;
  const auto widened = [](const Tensor& t) { return Doubles(t.values.begin(), t.values.end()); };
  const int64_t T = s.T, B = s.B, I = s.I, H = s.H, G = 4 * H;
  const Doubles x = widened(layer.x), w_ih = widened(layer.w_ih), w_hh = widened(layer.w_hh);
  const size_t states = size_t(B * H);
  Doubles h(states), c(states), out(size_t(T * B * H)), cells(out.size()), gates(size_t(T * B * G));
  const Doubles h0 = o.initial ? widened(layer.h0) : h, c0 = o.initial ? widened(layer.c0) : c;
  const auto time_of = [&](int64_t step) { return o.reverse ? T - 1 - step : step; };
  const auto state_before = [&](int64_t step, const Doubles& all, const Doubles& initial) {
    return step > 0 ? &all[size_t(time_of(step - 1) * B * H)] : initial.data();
  };
  for (int64_t step = 0; step < T; step++) {
    const int64_t t = time_of(step);
    for (int64_t b = 0; b < B; b++) {
      const double* before = state_before(step, out, h0) + b * H;
      double* gate = &gates[size_t((t * B + b) * G)];
      for (int64_t k = 0; k < G; k++) {
        double a = o.biases ? double(layer.b_ih.values[size_t(k)]) + double(layer.b_hh.values[size_t(k)]) : 0;
        for (int64_t i = 0; i < I; i++) a += x[size_t((t * B + b) * I + i)] * w_ih[size_t(k * I + i)];
        for (int64_t j = 0; j < H; j++) a += before[j] * w_hh[size_t(k * H + j)];
        gate[k] = k / H == 2 ? ::tanh(a) : 1 / (1 + exp(-a));
      }
      for (int64_t j = 0; j < H; j++) {
        const size_t at = size_t((t * B + b) * H + j);
        cells[at] = gate[H + j] * state_before(step, cells, c0)[b * H + j] + gate[j] * gate[2 * H + j];
        out[at] = gate[3 * H + j] * ::tanh(cells[at]);
      }
    }
  }
  Doubles dh(states), dc(states), dx(x.size()), dw_ih(w_ih.size()), dw_hh(w_hh.size()), dbias = Doubles(size_t(G)),
                                                                                        d = dbias;
  if (o.gradients_of_state) dh = widened(layer.dhn), dc = widened(layer.dcn);
  for (int64_t step = T - 1; step >= 0; step--) {
    const int64_t t = time_of(step);
    for (int64_t b = 0; b < B; b++) {
      const double *hidden = state_before(step, out, h0) + b * H, *cell = state_before(step, cells, c0) + b * H;
      const double *gate = &gates[size_t((t * B + b) * G)], *input = &x[size_t((t * B + b) * I)];
      for (int64_t j = 0; j < H; j++) {
        const size_t at = size_t((t * B + b) * H + j), unit = size_t(b * H + j);
        if (o.gradient_of_out) dh[unit] += double(layer.dy.values[at]);
        const double i = gate[j], f = gate[H + j], g = gate[2 * H + j], u = gate[3 * H + j], y = ::tanh(cells[at]);
        const double dcell = dc[unit] + dh[unit] * u * (1 - y * y);
        d[size_t(j)] = dcell * g * i * (1 - i);
        d[size_t(H + j)] = dcell * cell[j] * f * (1 - f);
        d[size_t(2 * H + j)] = dcell * i * (1 - g * g);
        d[size_t(3 * H + j)] = dh[unit] * y * u * (1 - u);
        dc[unit] = dcell * f;
        dh[unit] = 0;
      }
      for (int64_t k = 0; k < G; k++) {
        const double grad = d[size_t(k)];
        dbias[size_t(k)] += grad;
        for (int64_t i = 0; i < I; i++) {
          dx[size_t((t * B + b) * I + i)] += grad * w_ih[size_t(k * I + i)];
          dw_ih[size_t(k * I + i)] += grad * input[i];
        }
        for (int64_t j = 0; j < H; j++) {
          dh[size_t(b * H + j)] += grad * w_hh[size_t(k * H + j)];
          dw_hh[size_t(k * H + j)] += grad * hidden[j];
        }
      }
    }
  }
  const int64_t last = time_of(T - 1) * B * H;
  const int64_t forward = I + H, through = forward + G, over = through + T * B;
  compare(layer, "out", layer.out, out, forward);
  compare(layer, "hn", layer.hn, Doubles(out.begin() + last, out.begin() + last + B * H), forward);
  compare(layer, "cn", layer.cn, Doubles(cells.begin() + last, cells.begin() + last + B * H), forward);
  compare(layer, "gates", layer.gates, gates, forward);
  compare(layer, "cells", layer.cells, cells, forward);
  compare(layer, "dx", layer.dx, dx, through);
  compare(layer, "dwIh", layer.dw_ih, dw_ih, over);
  compare(layer, "dwHh", layer.dw_hh, dw_hh, over);
  compare(layer, "dbias", layer.dbias, dbias, over);
  compare(layer, "dh0", layer.dh0, dh, through);
  compare(layer, "dc0", layer.dc0, dc, through);
}

// Sizes around each at which the sequence is cut differently: one below, at, one above, and with a rest. Under
// sanitizers every fourth runs, without the largest.
void check_blocks() {
  using namespace isa::recurrent;
  const auto around = [](int64_t size) {
    return std::vector<int64_t>{size - 1, size, size + 1, 2 * size + size / 2 + 1};
  };
  const auto near = [](int64_t size) { return std::vector<int64_t>{size - 1, size, size + 1, size + size / 5 + 1}; };
  int seen = 0;
  const auto run = [&](int64_t T, int64_t B, int64_t I, int64_t H) {
    if (T < 1 || B < 1 || I < 1 || H < 1) return;
    seen++;
    if ((__asan_init || __tsan_init) && (seen % 4 != 2 || T * B * H * (H + I) > 2000000)) return;
    check_against_formulas({T, B, I, H}, {.reverse = seen % 2 == 0, .initial = seen % 3 != 0, .biases = seen % 5 != 0});
  };
  const auto plan_of = [](int64_t B, int64_t H) { return make_plan(2, B, 3, H, 4, false); };
  // Registers and panels of units, of inputs and of rows.
  for (const int64_t block : {int64_t(lanes), NR})
    for (const int64_t size : around(block)) run(3, MR + 1, 5, size), run(3, 2, size, 7), run(2, MR, size, size);
  for (const int64_t block : {rows_beside, MR, 2 * MR})
    for (const int64_t B : around(block)) run(3, B, 9, 7), run(2, B, 3, NR + 1);
  // Depths of a block: of the input, of the state, and of all gates.
  for (const int64_t depth : near(isa::gemm::block_depth))
    run(2, 3, depth, 5), run(2, 3, 3, depth), run(2, MR + 1, 3, depth / 4);
  // The number of units at which a step has several tiles.
  for (const int64_t B : {int64_t(1), rows_beside, MR}) {
    int64_t least = 1;
    while (plan_of(B, least).unit_blocks < 2) least++;
    if (plan_of(B, least).units * least * 4 * B > 4 * tile_work)
      fail({2, B, 3, least}, {}, "the units of tile_work", 0, 1);
    for (const int64_t H : near(least)) run(2, B, 3, H);
    const int64_t H = 2 * least + 3, units = plan_of(B, H).units;
    run(3, B, 3, H);
    if (B < MR) continue;
    // Tiles whose weights are packed together, of the input and of the state.
    for (const int64_t tiles : {1, 2})
      for (const int64_t I : near(chunk_floats / (4 * FIRESTEEL_ISA::round_up(units, NR) * tiles))) run(2, B, I, H);
  }
  for (const int64_t I : near(lanes * (chunk_floats / weights_size(4 * lanes, lanes)))) run(2, MR, I, lanes);
  // The place of the weights in the caches decides the rows of a block.
  int64_t core = 1, shared = 1;
  while (16 * (core + 1) * (core + 1) <= core_cache_bytes) core++;
  while (16 * (shared + 1) * (shared + 1) <= shared_cache_bytes) shared++;
  for (const int64_t H : {core, core + 1})
    for (const int64_t B : {MR, MR + 1, 2 * MR, 2 * MR + 1, 4 * MR + 3}) run(2, B, 3, H);
  for (const int64_t H : {shared, shared + 1})
    for (const int64_t B : {2 * MR, 2 * MR + 1}) run(2, B, 3, H);
  for (const int64_t B : {far_rows, far_rows + 1}) run(2, B, 2, shared + 1);
  // Steps whose input part is computed at once, and steps whose gradients are.
  for (const int64_t B : {int64_t(1), MR / 2 + 1, 3 * MR + 1})
    for (const int64_t T : around(blocks(input_rows, plan_of(B, 3).rows))) run(T, B, 4, 3);
  for (const int64_t B : {1, 7, 100})
    for (const int64_t T : around(rows_at_once / B)) run(T, B, 3, 2);
  for (const int64_t B : around(rows_at_once)) run(2, B, 3, 2);
}

// The same bits for any number of threads, whether or not gates are kept, and for each output wanted alone.
void check_sameness(Shape s, Options o) {
  Layer expected(s, o);
  Context one(1);
  expected.forward(one, true);
  expected.backward(one, 63);
  one.release_scratch();
  // `which` has a bit for each of outputs().
  const auto same = [&](const Layer& layer, unsigned which, const char* what) {
    for (size_t i = 0; i < layer.outputs().size(); i++) {
      if (!((which >> i) & 1)) continue;
      const Tensor &a = *layer.outputs()[i], &b = *expected.outputs()[i];
      if (!a.values.empty() && memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) != 0) {
        printf("%s, %s: ", what, output_names[i]);
        fail(s, o, "equality of bits", 0, 1);
      }
    }
  };
  for (int threads : {1, 2, 3}) {
    Context context(threads);
    Layer layer(s, o);
    layer.forward(context, true);
    layer.backward(context, 63);
    same(layer, 2047, "threads");
    context.release_scratch();
  }
  Context context(2);
  for (unsigned bit = 0; bit < 6; bit++) {
    Layer layer(s, o);
    layer.forward(context, false);
    same(layer, 7, "without gates");
    layer.forward(context, true);
    layer.backward(context, 1u << bit);
    same(layer, 32u << bit, "one output");
    context.release_scratch();
  }
}

// A call whose shapes do not fit records an error and writes nothing.
void check_misfits() {
  const Shape s = {3, 2, 4, 5};
  for (int which = 0; which < 4; which++) {
    Layer layer(s, {});
    Tensor short_state({s.B, s.H - 1}), short_weight({4 * s.H, s.H - 1}), short_x({s.T, s.B - 1, s.I});
    if (which == 0) layer.h0.view = short_state.view;
    if (which == 1) layer.w_hh.view = short_weight.view;
    if (which == 2) layer.x.view = short_x.view;
    if (which == 3) layer.x.view.ndim = 2;
    Context context(1);
    layer.forward(context, true);
    if (!context.failed.load()) fail(s, layer.o, "the error flag of forward", 0, 1);
    context.take_error();
    layer.backward(context, 63);
    if (!context.failed.load()) fail(s, layer.o, "the error flag of backward", 0, 1);
    for (const Tensor* t : layer.outputs())
      for (float value : t->values)
        if (!isnan(value)) return fail(s, layer.o, "an output of a refused call", static_cast<double>(value), 0);
  }
}

}  // namespace

int main() {
  std::vector<Shape> shapes;
  for (int64_t H : {1, 3, 17, 33})
    for (int64_t B : {1, 7})
      for (int64_t T : {1, 5}) shapes.push_back({T, B, H == 17 ? 1 : 6, H});
  shapes.push_back({1, 5000, 2, 3});  // a step larger than what is multiplied at once
  shapes.push_back({900, 7, 2, 3});   // time in several blocks
  for (const Shape& s : shapes) {
    for (bool reverse : {false, true}) check_against_definition(s, {.reverse = reverse});
    check_against_definition(s, {.initial = false, .biases = false, .gradients_of_state = false});
    check_against_formulas(s, {.reverse = s.H == 3, .initial = s.B == 1});
  }
  check_blocks();
  check_against_definition({2, 40, 5, 64}, {});                   // several blocks of rows
  check_against_definition({3, 15, 5, 192}, {});                  // one barrier a step
  check_against_definition({2, 66, 3, 187}, {.reverse = true});   // the same, and sizes that no block divides
  check_against_definition({3, 2, 300, 270}, {.reverse = true});  // depths beyond a block of gemm
  check_against_definition({4, 3, 5, 9}, {.reverse = true, .initial = false, .gradient_of_out = false});
  // Nothing to compute, or nothing to sum over.
  for (const Shape& s : {Shape{0, 2, 3, 4}, Shape{2, 0, 3, 4}, Shape{2, 3, 0, 4}, Shape{2, 3, 4, 0}})
    for (bool initial : {false, true}) check_against_definition(s, {.initial = initial});

  for (const Shape& s : {Shape{4, 33, 7, 64}, Shape{3, 70, 7, 200}, Shape{900, 7, 3, 5}, Shape{5, 1, 3, 33}})
    for (bool reverse : {false, true}) check_sameness(s, {.reverse = reverse});
  check_misfits();
  if (failures == 0) printf("recurrent: all as defined\n");
  return failures;
}
