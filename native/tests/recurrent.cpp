// The LSTM's kernels of one instruction set (FIRESTEEL_ISA) against its definition in float64: values by evaluating the
// equations one scalar at a time, gradients by differentiating that record backwards, which shares nothing with the
// kernels' formulas. Prints what differs and returns the number of failures.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <initializer_list>
#include <utility>
#include <vector>

#include "../core/context.h"
#include "../generated/kernels.h"

namespace {

using namespace firesteel;
namespace isa = firesteel::FIRESTEEL_ISA;

// A record of scalars: each is a leaf, a sum of products of earlier ones, or a function of an earlier one.
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
    values.assign(static_cast<size_t>(count), NAN);  // an output that is not overwritten is found
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

// Which optional arguments a case has.
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

// Everything one layer takes and gives.
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
                      o.biases ? &b_ih.view : nullptr, o.biases ? &b_hh.view : nullptr, o.reverse);
  }
  // `wanted` has a bit for each of dx, dh0, dc0, dw_ih, dw_hh, dbias.
  void backward(Context& context, unsigned wanted) {
    const auto want = [&](int bit, const Tensor& t) { return (wanted >> bit) & 1 ? &t.view : nullptr; };
    isa::lstm_backward(context, want(0, dx), want(1, dh0), want(2, dc0), want(3, dw_ih), want(4, dw_hh), want(5, dbias),
                       o.gradient_of_out ? &dy.view : nullptr, o.gradients_of_state ? &dhn.view : nullptr,
                       o.gradients_of_state ? &dcn.view : nullptr, x.view, o.initial ? &h0.view : nullptr,
                       o.initial ? &c0.view : nullptr, w_ih.view, w_hh.view, out.view, gates.view, cells.view,
                       o.reverse);
  }
  std::vector<const Tensor*> outputs() const {
    return {&out, &hn, &cn, &gates, &cells, &dx, &dh0, &dc0, &dw_ih, &dw_hh, &dbias};
  }
};

constexpr const char* output_names[] = {"out", "hn",  "cn",   "gates", "cells", "dx",
                                        "dh0", "dc0", "dwIh", "dwHh",  "dbias"};

// An output of the kernel against float64. `length` is the longest sum on the way: its rounding errors grow no faster.
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
  }
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
