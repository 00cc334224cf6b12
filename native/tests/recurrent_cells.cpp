// LSTM, GRU and RNN of one instruction set (FIRESTEEL_ISA), with and without lengths, against their definitions in
// float64. Each sequence of the batch walks through its own steps alone, which the kernels never do. Sizes lie around
// those at which a sequence is cut (recurrent/blocks.h). Bits are the same for 1 to 3 threads.
#include <math.h>

#include "../cpu/recurrent/plan.h"
#include "tensors.h"

extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace {

using namespace firesteel;
namespace isa = firesteel::FIRESTEEL_ISA;
using Doubles = std::vector<double>;

enum class Kind { lstm, gru, tanh, relu };
constexpr const char* kind_names[] = {"lstm", "gru", "rnn", "rnn with relu"};

struct Problem {
  Kind kind;
  int64_t T, B, I, H;
  bool reverse = false, initial = true, biases = true, lengths = true;
};

int64_t gates_of(Kind kind) { return kind == Kind::lstm ? 4 : kind == Kind::gru ? 3 : 1; }

struct Numbers {
  std::vector<float> values;
  View view = {};
  explicit Numbers(std::vector<int64_t> shape) {
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    values.assign(size_t(count), NAN);  // so that an output that is not overwritten is found
    view = {values.data(), DType::float32, int(shape.size()), count, {}, {}};
    for (int i = view.ndim, step = 1; i-- > 0; step *= int(shape[size_t(i)])) {
      view.sizes[i] = shape[size_t(i)];
      view.strides[i] = step;
    }
  }
  Numbers(Numbers&&) = default;
  void fill(test::Numbers& from, float scale) {
    for (float& value : values) value = from.next() * scale;
  }
  double operator[](int64_t i) const { return double(values[size_t(i)]); }
};

// The inputs and outputs of one layer. Only the LSTM has c0, cn, cells and dcn.
struct Layer {
  Problem p;
  int64_t K;
  Numbers x, h0, c0, w_ih, w_hh, b_ih, b_hh, dy, dhn, dcn;
  Numbers out, hn, cn, gates, cells, dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh;
  std::vector<int32_t> lengths;
  View lengths_view = {};

  explicit Layer(Problem problem)
      : p(problem),
        K(gates_of(p.kind) * p.H),
        x({p.T, p.B, p.I}),
        h0({p.B, p.H}),
        c0({p.B, p.H}),
        w_ih({K, p.I}),
        w_hh({K, p.H}),
        b_ih({K}),
        b_hh({K}),
        dy({p.T, p.B, p.H}),
        dhn({p.B, p.H}),
        dcn({p.B, p.H}),
        out({p.T, p.B, p.H}),
        hn({p.B, p.H}),
        cn({p.B, p.H}),
        gates({p.T, p.B, 4 * p.H}),
        cells({p.T, p.B, p.H}),
        dx({p.T, p.B, p.I}),
        dh0({p.B, p.H}),
        dc0({p.B, p.H}),
        dw_ih({K, p.I}),
        dw_hh({K, p.H}),
        db_ih({K}),
        db_hh({K}) {
    test::Numbers from = {7};
    const float weight = 1.2f / sqrtf(float(p.H + 1));
    for (Numbers* n : {&x, &h0, &c0, &dy, &dhn, &dcn}) n->fill(from, 1.0f);
    for (Numbers* n : {&w_ih, &w_hh, &b_ih, &b_hh}) n->fill(from, weight);
    for (int64_t b = 0; b < p.B; b++) lengths.push_back(p.lengths ? int32_t(1 + (b * 7 + 2) % p.T) : int32_t(p.T));
    lengths_view = {lengths.data(), DType::int32, 1, p.B, {p.B}, {1}};
    // Elements behind a sequence's end must not matter. x itself is masked before the kernel.
    for (int64_t t = 0; t < p.T; t++)
      for (int64_t b = 0; b < p.B; b++)
        for (int64_t j = 0; t >= lengths[size_t(b)] && j < p.H; j++) dy.values[size_t((t * p.B + b) * p.H + j)] = NAN;
  }

  void run(int threads) {
    Context context(threads);
    const View *given = p.lengths ? &lengths_view : nullptr, *h = p.initial ? &h0.view : nullptr;
    const View *c = p.initial ? &c0.view : nullptr, *b1 = p.biases ? &b_ih.view : nullptr;
    const View* b2 = p.biases ? &b_hh.view : nullptr;
    const bool relu = p.kind == Kind::relu;
    if (p.kind == Kind::lstm) {
      isa::lstm_forward(context, out.view, hn.view, cn.view, &gates.view, &cells.view, x.view, h, c, w_ih.view,
                        w_hh.view, b1, b2, given, p.reverse);
      isa::lstm_backward(context, &dx.view, &dh0.view, &dc0.view, &dw_ih.view, &dw_hh.view, &db_ih.view, &dy.view,
                         &dhn.view, &dcn.view, x.view, h, c, w_ih.view, w_hh.view, given, out.view, gates.view,
                         cells.view, p.reverse);
      db_hh.values = db_ih.values;
    } else if (p.kind == Kind::gru) {
      isa::gru_forward(context, out.view, hn.view, &gates.view, x.view, h, w_ih.view, w_hh.view, b1, b2, given,
                       p.reverse);
      isa::gru_backward(context, &dx.view, &dh0.view, &dw_ih.view, &dw_hh.view, &db_ih.view, &db_hh.view, &dy.view,
                        &dhn.view, x.view, h, w_ih.view, w_hh.view, given, out.view, gates.view, p.reverse);
    } else {
      isa::rnn_forward(context, out.view, hn.view, x.view, h, w_ih.view, w_hh.view, b1, b2, given, relu, p.reverse);
      isa::rnn_backward(context, &dx.view, &dh0.view, &dw_ih.view, &dw_hh.view, &db_ih.view, &db_hh.view, &dy.view,
                        &dhn.view, x.view, h, w_ih.view, w_hh.view, given, out.view, relu, p.reverse);
    }
    context.release_scratch();
    test::check(!context.failed.load(), "no error is recorded");
  }
  std::vector<const Numbers*> outputs() const { return {&out, &hn, &dx, &dh0, &dw_ih, &dw_hh, &db_ih, &db_hh}; }
};

constexpr const char* output_names[] = {"out", "hn", "dx", "dh0", "dwIh", "dwHh", "dbIh", "dbHh"};

double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// The values of one step of one sequence, for the way back.
struct Step {
  int64_t time;
  Doubles h, c;           // before the step
  Doubles gate[4], cell;  // activated gates (a GRU's last one is the state's part of n); c after the step
  Doubles hidden;         // h after the step
};

std::vector<Doubles> expected(const Layer& l) {
  const Problem& p = l.p;
  const int64_t B = p.B, I = p.I, H = p.H, K = l.K;
  std::vector<Doubles> all;
  for (const Numbers* n : l.outputs()) all.emplace_back(n->values.size());
  Doubles &out = all[0], &hn = all[1], &dx = all[2], &dh0 = all[3];
  Doubles &dw_ih = all[4], &dw_hh = all[5], &db_ih = all[6], &db_hh = all[7];
  for (int64_t b = 0; b < B; b++) {
    const int64_t length = l.lengths[size_t(b)];
    Doubles h(size_t(H), 0.0), c = h;
    for (int64_t j = 0; p.initial && j < H; j++) h[size_t(j)] = l.h0[b * H + j], c[size_t(j)] = l.c0[b * H + j];
    std::vector<Step> steps;
    for (int64_t s = 0; s < length; s++) {
      Step step = {p.reverse ? length - 1 - s : s, h, c, {h, h, h, h}, c, h};
      for (int64_t j = 0; j < H; j++) {
        const auto part = [&](int64_t gate, bool of_input) {
          const int64_t k = gate * H + j;
          double sum = p.biases ? (of_input ? l.b_ih[k] : l.b_hh[k]) : 0;
          if (of_input)
            for (int64_t i = 0; i < I; i++) sum += l.x[(step.time * B + b) * I + i] * l.w_ih[k * I + i];
          else
            for (int64_t m = 0; m < H; m++) sum += step.h[size_t(m)] * l.w_hh[k * H + m];
          return sum;
        };
        const auto both = [&](int64_t gate) { return part(gate, true) + part(gate, false); };
        const size_t u = size_t(j);
        if (p.kind == Kind::lstm) {
          for (int64_t g = 0; g < 4; g++) step.gate[g][u] = g == 2 ? ::tanh(both(g)) : sigmoid(both(g));
          step.cell[u] = step.gate[1][u] * step.c[u] + step.gate[0][u] * step.gate[2][u];
          step.hidden[u] = step.gate[3][u] * ::tanh(step.cell[u]);
        } else if (p.kind == Kind::gru) {
          const double r = sigmoid(both(0)), z = sigmoid(both(1)), state = part(2, false);
          const double n = ::tanh(part(2, true) + r * state);
          step.gate[0][u] = r, step.gate[1][u] = z, step.gate[2][u] = n, step.gate[3][u] = state;
          step.hidden[u] = (1 - z) * n + z * step.h[u];
        } else {
          step.hidden[u] = p.kind == Kind::relu ? fmax(both(0), 0) : ::tanh(both(0));
        }
        out[size_t((step.time * B + b) * H + j)] = step.hidden[u];
      }
      h = step.hidden, c = step.cell;
      steps.push_back(step);
    }
    for (int64_t j = 0; j < H; j++) hn[size_t(b * H + j)] = h[size_t(j)];
    Doubles dh(size_t(H), 0.0), dc = dh;
    for (int64_t j = 0; j < H; j++) dh[size_t(j)] = l.dhn[b * H + j], dc[size_t(j)] = l.dcn[b * H + j];
    for (int64_t s = length - 1; s >= 0; s--) {
      const Step& step = steps[size_t(s)];
      const int64_t row = step.time * B + b;
      Doubles input(size_t(K), 0.0), state(size_t(K), 0.0), before(size_t(H), 0.0);
      for (int64_t j = 0; j < H; j++) {
        const size_t u = size_t(j), g1 = size_t(H + j), g2 = size_t(2 * H + j);
        const double d = dh[u] + l.dy[row * H + j];
        const double a = step.gate[0][u], z = step.gate[1][u], n = step.gate[2][u], o = step.gate[3][u];
        if (p.kind == Kind::lstm) {
          const double y = ::tanh(step.cell[u]), dcell = dc[u] + d * o * (1 - y * y);
          input[u] = dcell * n * a * (1 - a);
          input[g1] = dcell * step.c[u] * z * (1 - z);
          input[g2] = dcell * a * (1 - n * n);
          input[size_t(3 * H + j)] = d * y * o * (1 - o);
          dc[u] = dcell * z;
        } else if (p.kind == Kind::gru) {
          input[g2] = d * (1 - z) * (1 - n * n);
          input[u] = input[g2] * o * a * (1 - a);
          input[g1] = d * (step.h[u] - n) * z * (1 - z);
          before[u] = d * z;
        } else {
          const double y = step.hidden[u];
          input[u] = p.kind == Kind::relu ? (y > 0 ? d : 0) : d * (1 - y * y);
        }
      }
      state = input;
      for (int64_t j = 0; p.kind == Kind::gru && j < H; j++) state[size_t(2 * H + j)] *= step.gate[0][size_t(j)];
      for (int64_t k = 0; k < K; k++) {
        db_ih[size_t(k)] += input[size_t(k)], db_hh[size_t(k)] += state[size_t(k)];
        for (int64_t i = 0; i < I; i++) {
          dx[size_t(row * I + i)] += input[size_t(k)] * l.w_ih[k * I + i];
          dw_ih[size_t(k * I + i)] += input[size_t(k)] * l.x[row * I + i];
        }
        for (int64_t m = 0; m < H; m++) {
          before[size_t(m)] += state[size_t(k)] * l.w_hh[k * H + m];
          dw_hh[size_t(k * H + m)] += state[size_t(k)] * step.h[size_t(m)];
        }
      }
      dh = before;
    }
    for (int64_t j = 0; j < H; j++) dh0[size_t(b * H + j)] = dh[size_t(j)];
  }
  return all;
}

void check(Problem p) {
  Layer layer(p);
  layer.run(2);
  const std::string name = std::string(kind_names[int(p.kind)]) + " T " + std::to_string(p.T) + " B " +
                           std::to_string(p.B) + " I " + std::to_string(p.I) + " H " + std::to_string(p.H) +
                           (p.reverse ? " reverse" : "") + (p.lengths ? " lengths" : "") + ": ";
  const std::vector<Doubles> wanted = expected(layer);
  const double longest = double(16 + p.I + 5 * p.H + p.T * p.B);
  for (size_t k = 0; k < wanted.size(); k++) {
    double scale = 0.1, worst = 0;
    for (double value : wanted[k]) scale = fmax(scale, fabs(value));
    for (size_t i = 0; i < wanted[k].size(); i++) {
      const double error = fabs((*layer.outputs()[k])[int64_t(i)] - wanted[k][i]);
      worst = error <= worst ? worst : error;  // also for NaN
    }
    // A unit at the kink of relu may fall on either side.
    if (p.kind == Kind::relu && worst > ldexp(longest, -24) * scale && worst < 1e-3) continue;
    test::check(worst <= ldexp(longest, -24) * scale, name + output_names[k] + " is off by " + std::to_string(worst));
  }
  for (int threads : {1, 3}) {
    Layer again(p);
    again.run(threads);
    for (size_t k = 0; k < wanted.size(); k++) {
      const std::vector<float>&a = again.outputs()[k]->values, &b = layer.outputs()[k]->values;
      test::check(a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0,
                  name + output_names[k] + " has the same bits with other threads");
    }
  }
}

// Sizes around the blocks, with one option changed in each.
void check_blocks(Kind kind) {
  using namespace isa::recurrent;
  int seen = 0;
  const auto run = [&](int64_t T, int64_t B, int64_t I, int64_t H) {
    if (T < 1 || B < 1 || I < 1 || H < 1) return;
    seen++;
    if ((__asan_init || __tsan_init) && seen % 4 != 2) return;
    check({kind, T, B, I, H, seen % 2 == 0, seen % 3 != 0, seen % 5 != 0, seen % 4 != 0});
  };
  for (int64_t size : test::about({int64_t(lanes), NR})) run(3, MR + 1, 5, size), run(3, 2, size, 7);
  for (int64_t B : test::about({rows_beside, MR, 2 * MR})) run(3, B, 9, 7), run(2, B, 3, NR + 1);
  for (int64_t depth : {isa::gemm::KC - 1, isa::gemm::KC, isa::gemm::KC + 1}) run(2, 3, depth, 5), run(2, 3, 3, depth);
  // The number of units at which a step has several tiles.
  int64_t least = 1;
  while (make_plan(2, MR, 3, least, gates_of(kind), false).unit_blocks < 2) least++;
  for (int64_t H : {least - 1, least, least + 1, least + least / 3}) run(2, MR, 3, H);
  // Steps whose input part is computed at once, and steps whose gradients are.
  for (int64_t T : test::about({blocks(input_rows, MR)})) run(T, 2 * MR + 1, 4, 3);
  for (int64_t T : test::about({rows_at_once / 7})) run(T, 7, 3, 2);
}

}  // namespace

int main() {
  for (Kind kind : {Kind::lstm, Kind::gru, Kind::tanh, Kind::relu}) {
    for (bool reverse : {false, true})
      for (bool lengths : {false, true})
        for (bool initial : {false, true}) {
          check({kind, 5, 7, 6, 9, reverse, initial, initial, lengths});
          check({kind, 1, 1, 1, 1, reverse, initial, true, lengths});
        }
    check({kind, 2, 40, 5, 64});
    check_blocks(kind);
  }
  return test::finish("recurrent_cells");
}
