// The GRU (K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014), as PyTorch has it.
//
//   r, z = sigmoid(x wIh^T + bIh + h' wHh^T + bHh)          s = h' wHn^T + bHn
//   n = tanh(x wIn^T + bIn + r s)   h = (1 - z) n + z h'    h': the state before the step
//
// The two parts of n stay apart until r is known. So the state's part, s, is a column of its own, and so is its
// gradient, which is r times that of n's argument.
#include "backward.h"
#include "forward.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace recurrent;

struct Gru {
  static constexpr int64_t gates = 3;
  static constexpr bool separate = true;
};

struct GruForward : Gru {
  static constexpr bool keeps = true;
  int64_t B, H;
  float *kept, *state;  // r, z, n, s of all steps (or null), and h' [B, H], which becomes h

  void finish(const ForwardRow& row) const {
    float* to = kept ? kept + (row.time * B + row.row) * 4 * H + row.unit : nullptr;
    float* now = state + row.at;
    for (int64_t u = 0; u < row.units; u += lanes) {
      const int64_t count = row.units - u;
      const Vec r = simd::sigmoid(simd::load(row.a + u)), z = simd::sigmoid(simd::load(row.a + row.width + u));
      const Vec s = simd::load(row.a + 3 * row.width + u);
      const Vec n = simd::tanh_of_gate(simd::fma(r, s, simd::load(row.a + 2 * row.width + u)));
      const Vec h = simd::fma(z, load(now + u, count) - n, n);
      if (to) {
        store(to + u, r, count);
        store(to + H + u, z, count);
        store(to + 2 * H + u, n, count);
        store(to + 3 * H + u, s, count);
      }
      store(now + u, h, count);
      store(row.hidden + u, h, count);
    }
  }

  void idle(const ForwardRow& row) const {
    for (int64_t column = 0; kept && column < 4; column++)
      memset(kept + (row.time * B + row.row) * 4 * H + column * H + row.unit, 0, size_t(row.units) * sizeof(float));
  }
};

struct GruBackward : Gru {
  static constexpr bool carries = true;
  int64_t B, H;
  const float* kept;

  void finish(const BackwardRow& row) const {
    const float* gate = kept + (row.time * B + row.row) * 4 * H + row.unit;
    const Vec one = simd::set(1.0f);
    for (int64_t u = 0; u < row.units; u += lanes) {
      const int64_t count = row.units - u;
      const Vec r = load(gate + u, count), z = load(gate + H + u, count);
      const Vec n = load(gate + 2 * H + u, count), s = load(gate + 3 * H + u, count);
      const Vec before = row.before ? load(row.before + u, count) : simd::zero();
      Vec dh = simd::load(row.dhidden + u);
      if (row.dy) dh = dh + load(row.dy + u, count);
      const Vec dn = dh * (one - z) * (one - n * n);
      const Vec d[4] = {dn * s * r * (one - r), dh * (before - n) * z * (one - z), dn, dn * r};
      for (int64_t column = 0; column < 4; column++) {
        store(row.dgates + column * H + u, d[column], count);
        float* sum = row.sums + column * row.width + u;
        simd::store(sum, simd::load(sum) + d[column]);
      }
      store(row.carry + u, dh * z, count);
    }
  }
};

}  // namespace

void gru_forward(Context& context, const View& out, const View& hn, const View* gates, const View& x, const View* h0,
                 const View& w_ih, const View& w_hh, const View* b_ih, const View* b_hh, const View* lengths,
                 bool reverse) {
  const char* what = "gru_forward: the sizes do not fit x [T, B, I] and out [T, B, H]";
  const Forward call = {&out, &hn, &x, h0, &w_ih, &w_hh, b_ih, b_hh, lengths, reverse};
  if (!forward_fits<Gru>(context, call, what)) return;
  const int64_t T = x.sizes[0], B = x.sizes[1], H = out.sizes[2];
  if (!expect(context, has_shape(gates, T, B, 4 * H), what)) return;
  GruForward cell;
  cell.B = B, cell.H = H, cell.kept = output(gates), cell.state = output(&hn);
  run_forward(context, call, cell);
}

void gru_backward(Context& context, const View* dx, const View* dh0, const View* dw_ih, const View* dw_hh,
                  const View* db_ih, const View* db_hh, const View* dy, const View* dhn, const View& x, const View* h0,
                  const View& w_ih, const View& w_hh, const View* lengths, const View& out, const View& gates,
                  bool reverse) {
  const char* what = "gru_backward: the sizes do not fit x [T, B, I] and out [T, B, H]";
  const Backward call = {dx, dh0, dw_ih, dw_hh, db_ih, db_hh, dy, dhn, &x, h0, &w_ih, &w_hh, lengths, &out, reverse};
  if (!backward_fits<Gru>(context, call, what)) return;
  const int64_t T = x.sizes[0], B = x.sizes[1], H = out.sizes[2];
  if (!expect(context, has_shape(&gates, T, B, 4 * H), what)) return;
  GruBackward cell;
  cell.B = B, cell.H = H, cell.kept = data(&gates);
  run_backward(context, call, cell);
}

}  // namespace firesteel::FIRESTEEL_ISA
