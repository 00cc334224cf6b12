// The simple recurrent network (J. Elman, "Finding Structure in Time", 1990): h = tanh(a), or relu(a), of a = x wIh^T +
// bIh + h' wHh^T + bHh, where h' is the state before the step. Its gradient needs only h.
#include "backward.h"
#include "forward.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace recurrent;

struct Rnn {
  static constexpr int64_t gates = 1;
  static constexpr bool separate = false;
};

template <bool Relu>
struct RnnForward : Rnn {
  static constexpr bool keeps = false;

  void finish(const ForwardRow& r) const {
    for (int64_t u = 0; u < r.units; u += lanes) {
      const Vec a = simd::load(r.a + u);
      store(r.hidden + u, Relu ? select(a <= simd::zero(), simd::zero(), a) : simd::tanh_of_gate(a), r.units - u);
    }
  }
  void idle(const ForwardRow&) const {}
};

template <bool Relu>
struct RnnBackward : Rnn {
  static constexpr bool carries = false;

  void finish(const BackwardRow& r) const {
    for (int64_t u = 0; u < r.units; u += lanes) {
      const int64_t n = r.units - u;
      const Vec h = load(r.out + u, n);
      Vec dh = simd::load(r.dhidden + u);
      if (r.dy) dh = dh + load(r.dy + u, n);
      const Vec d = Relu ? select(h <= simd::zero(), simd::zero(), dh) : dh * (simd::set(1.0f) - h * h);
      store(r.dgates + u, d, n);
      simd::store(r.sums + u, simd::load(r.sums + u) + d);
    }
  }
};

}  // namespace

void rnn_forward(Context& context, const View& out, const View& hn, const View& x, const View* h0, const View& w_ih,
                 const View& w_hh, const View* b_ih, const View* b_hh, const View* lengths, bool relu, bool reverse) {
  const Forward call = {&out, &hn, &x, h0, &w_ih, &w_hh, b_ih, b_hh, lengths, reverse};
  if (!forward_fits<Rnn>(context, call, "rnn_forward: the sizes do not fit x [T, B, I] and out [T, B, H]")) return;
  if (relu) return run_forward(context, call, RnnForward<true>());
  run_forward(context, call, RnnForward<false>());
}

void rnn_backward(Context& context, const View* dx, const View* dh0, const View* dw_ih, const View* dw_hh,
                  const View* db_ih, const View* db_hh, const View* dy, const View* dhn, const View& x, const View* h0,
                  const View& w_ih, const View& w_hh, const View* lengths, const View& out, bool relu, bool reverse) {
  const Backward call = {dx, dh0, dw_ih, dw_hh, db_ih, db_hh, dy, dhn, &x, h0, &w_ih, &w_hh, lengths, &out, reverse};
  if (!backward_fits<Rnn>(context, call, "rnn_backward: the sizes do not fit x [T, B, I] and out [T, B, H]")) return;
  if (relu) return run_backward(context, call, RnnBackward<true>());
  run_backward(context, call, RnnBackward<false>());
}

}  // namespace firesteel::FIRESTEEL_ISA
