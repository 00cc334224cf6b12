// The LSTM (S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of F. Gers et al.,
// 2000).
//
//   a = x wIh^T + bIh + h' wHh^T + bHh          i, f, o = sigmoid(a_i, a_f, a_o)   g = tanh(a_g)
//   c = f c' + i g   h = o tanh(c)              h', c': the state before the step
#include "backward.h"
#include "forward.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace recurrent;

struct Lstm {
  static constexpr int64_t gates = 4;
  static constexpr bool separate = false;
};

struct LstmForward : Lstm {
  static constexpr bool keeps = false;
  int64_t B, H;
  float *kept, *cells, *cell;  // gates and cells of all steps (or null), and c' [B, H], which becomes c

  void finish(const ForwardRow& r) const {
    float* to = kept ? kept + (r.time * B + r.row) * 4 * H + r.unit : nullptr;
    float* now = cell + r.at;
    for (int64_t u = 0; u < r.units; u += lanes) {
      const int64_t n = r.units - u;
      const Vec i = simd::sigmoid(simd::load(r.a + u)), f = simd::sigmoid(simd::load(r.a + r.width + u));
      const Vec g = simd::tanh_of_gate(simd::load(r.a + 2 * r.width + u));
      const Vec o = simd::sigmoid(simd::load(r.a + 3 * r.width + u));
      const Vec c = simd::fma(f, load(now + u, n), i * g);
      if (to) {
        store(to + u, i, n);
        store(to + H + u, f, n);
        store(to + 2 * H + u, g, n);
        store(to + 3 * H + u, o, n);
      }
      store(now + u, c, n);
      if (cells) store(cells + r.time * B * H + r.at + u, c, n);
      store(r.hidden + u, o * simd::tanh_of_gate(c), n);
    }
  }

  void idle(const ForwardRow& r) const {
    for (int64_t gate = 0; kept && gate < 4; gate++)
      memset(kept + (r.time * B + r.row) * 4 * H + gate * H + r.unit, 0, size_t(r.units) * sizeof(float));
    if (cells) memcpy(cells + r.time * B * H + r.at, cell + r.at, size_t(r.units) * sizeof(float));
  }
};

struct LstmBackward : Lstm {
  static constexpr bool carries = false;
  Plan plan;
  const float *kept, *cells, *c0;
  float* dcell;  // the gradient of c, which becomes that of c', [B, H]

  void finish(const BackwardRow& r) const {
    const int64_t B = plan.B, H = plan.H;
    const float* gate = kept + (r.time * B + r.row) * 4 * H + r.unit;
    const float* c = cells + r.time * B * H + r.at;
    const float* all_before = r.step > 0 ? cells + time_of(plan, r.step - 1) * B * H : c0;
    const float* c_before = all_before ? all_before + r.at : nullptr;
    float* dc_row = dcell + r.at;
    const Vec one = simd::set(1.0f);
    for (int64_t u = 0; u < r.units; u += lanes) {
      const int64_t n = r.units - u;
      const Vec i = load(gate + u, n), f = load(gate + H + u, n);
      const Vec g = load(gate + 2 * H + u, n), o = load(gate + 3 * H + u, n);
      const Vec tanh_c = simd::tanh_of_gate(load(c + u, n));
      Vec dh = simd::load(r.dhidden + u);
      if (r.dy) dh = dh + load(r.dy + u, n);
      const Vec dc = load(dc_row + u, n) + dh * o * (one - tanh_c * tanh_c);
      const Vec before = c_before ? load(c_before + u, n) : simd::zero();
      const Vec d[4] = {dc * g * i * (one - i), dc * before * f * (one - f), dc * i * (one - g * g),
                        dh * tanh_c * o * (one - o)};
      for (int64_t column = 0; column < 4; column++) {
        store(r.dgates + column * H + u, d[column], n);
        float* sum = r.sums + column * r.width + u;
        simd::store(sum, simd::load(sum) + d[column]);
      }
      store(dc_row + u, dc * f, n);
    }
  }
};

}  // namespace

void lstm_forward(Context& context, const View& out, const View& hn, const View& cn, const View* gates,
                  const View* cells, const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh,
                  const View* b_ih, const View* b_hh, const View* lengths, bool reverse) {
  const char* what = "lstm_forward: the sizes do not fit x [T, B, I] and out [T, B, H]";
  const Forward call = {&out, &hn, &x, h0, &w_ih, &w_hh, b_ih, b_hh, lengths, reverse};
  if (!forward_fits<Lstm>(context, call, what)) return;
  const int64_t T = x.sizes[0], B = x.sizes[1], H = out.sizes[2];
  const bool shapes =
      has_shape(&cn, B, H) && has_shape(gates, T, B, 4 * H) && has_shape(cells, T, B, H) && has_shape(c0, B, H);
  if (!expect(context, shapes, what)) return;
  copy_or_clear(output(&cn), data(c0), B * H);
  LstmForward cell;
  cell.B = B, cell.H = H, cell.kept = output(gates), cell.cells = output(cells), cell.cell = output(&cn);
  run_forward(context, call, cell);
}

void lstm_backward(Context& context, const View* dx, const View* dh0, const View* dc0, const View* dw_ih,
                   const View* dw_hh, const View* dbias, const View* dy, const View* dhn, const View* dcn,
                   const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh,
                   const View* lengths, const View& out, const View& gates, const View& cells, bool reverse) {
  const char* what = "lstm_backward: the sizes do not fit x [T, B, I] and out [T, B, H]";
  const Backward call = {dx, dh0, dw_ih, dw_hh, dbias, nullptr, dy, dhn, &x, h0, &w_ih, &w_hh, lengths, &out, reverse};
  if (!backward_fits<Lstm>(context, call, what)) return;
  const int64_t T = x.sizes[0], B = x.sizes[1], I = x.sizes[2], H = out.sizes[2];
  const bool shapes = has_shape(dc0, B, H) && has_shape(dcn, B, H) && has_shape(c0, B, H) &&
                      has_shape(&gates, T, B, 4 * H) && has_shape(&cells, T, B, H);
  if (!expect(context, shapes, what)) return;
  LstmBackward cell;
  cell.plan = make_plan(T, B, I, H, 4, reverse);
  cell.kept = data(&gates), cell.cells = data(&cells), cell.c0 = data(c0);
  cell.dcell = dc0 ? output(dc0) : floats(context, B * H);
  copy_or_clear(cell.dcell, data(dcn), B * H);
  run_backward(context, call, cell);
}

}  // namespace firesteel::FIRESTEEL_ISA
