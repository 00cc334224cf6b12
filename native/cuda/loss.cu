// Cross entropy of logits with class indices, forward and backward, fused with the logarithm of softmax, so that the
// gradient is the only array of the logits' size.
//
// C classes, y the label of a row, w the classes' weights (1 without), s the smoothing, W the sum of w:
//   loss = (1 - s) w_y (lse - x_y) + s / C sum_c w_c (lse - x_c)          lse = log sum_c exp(x_c)
//   dx_c = g (((1 - s) w_y + s W / C) exp(x_c - lse) - (1 - s) w_y [c = y] - s / C w_c)
//
// A warp or a block handles a row. The forward pass reads the logits once (twice if labels are smoothed). The backward
// pass reads them once and writes the gradient once. Losses of rows are float64, and one block adds them in one order.
#include "label_rows.h"

using namespace firesteel::cuda;

namespace {

template <class T, int team>
DEVICE void forward(const Labels& job) {
  for_rows<team>(job.rows, [&](int64_t row) {
    const T* x = static_cast<const T*>(job.logits) + row * job.classes;
    const int32_t rank = rank_in_team<team>();
    Exponentials mine = {-INFINITY, 0.0f};
    for (int32_t c = rank; c < job.classes; c += team) add(mine, widen(x[c]));
    const Exponentials all = of_team<team>(mine);
    const double smooth = smooth_part<team>(job, all, [&](int32_t c) { return widen(x[c]); });
    if (rank != 0) return;
    job.statistics[row] = all.largest;
    job.statistics[job.rows + row] = all.sum;
    const int32_t label = job.target[row];
    check_label(job, row, label);
    job.losses[row] = counts(job, label) ? loss_of_row(job, label, all, widen(x[label]), smooth) : 0.0;
  });
}

DEVICE void finish(const Labels& job) {
  double weights = 0, losses = 0;
  for (int64_t row = threadIdx.x; row < job.rows; row += 256) {
    const int32_t label = job.target[row];
    if (counts(job, label)) weights += weight_of(job, label);
    losses += job.losses[row];
    if (job.reduction == reduce_none) job.out[row] = float(job.losses[row]);
  }
  weights = sum_of<256>(weights);
  losses = sum_of<256>(losses);
  if (threadIdx.x != 0) return;
  *job.total = float(weights);
  if (job.reduction == reduce_mean) *job.out = float(losses / weights);
  if (job.reduction == reduce_sum) *job.out = float(losses);
}

template <class T, int team>
DEVICE void backward(const Labels& job) {
  for_rows<team>(job.rows, [&](int64_t row) {
    const T* x = static_cast<const T*>(job.logits) + row * job.classes;
    T* dx = static_cast<T*>(job.dlogits) + row * job.classes;
    const int32_t rank = rank_in_team<team>(), label = job.target[row];
    if (!counts(job, label)) {
      for (int32_t c = rank; c < job.classes; c += team) dx[c] = narrow<T>(0.0f);
      return;
    }
    double gradient = job.out[job.reduction == reduce_none ? row : 0];
    if (job.reduction == reduce_mean) gradient /= double(*job.total);
    const RowGradient of = row_gradient<team>(job, label, gradient, job.statistics[job.rows + row]);
    const float largest = job.statistics[row];
    for (int32_t c = rank; c < job.classes; c += team)
      dx[c] = narrow<T>(gradient_at(job, of, c, label, widen(x[c]) - largest));
  });
}

DEVICE int64_t place_of_label(const Labels& job, int64_t row) {
  return (row / job.inner * job.classes + job.target[row]) * job.inner + row % job.inner;
}

// A thread handles a row.
template <class T>
DEVICE void pick(const Labels& job) {
  for_rows<1>(job.rows, [&](int64_t row) {
    const int32_t label = job.target[row];
    check_label(job, row, label);
    job.losses[row] = 0;
    if (counts(job, label))
      job.losses[row] =
          -weight_of(job, label) * double(widen(static_cast<const T*>(job.logits)[place_of_label(job, row)]));
  });
}

// The rest of the gradient is 0 already.
template <class T>
DEVICE void put(const Labels& job) {
  for_rows<1>(job.rows, [&](int64_t row) {
    const int32_t label = job.target[row];
    if (!counts(job, label)) return;
    double gradient = job.out[job.reduction == reduce_none ? row : 0];
    if (job.reduction == reduce_mean) gradient /= double(*job.total);
    static_cast<T*>(job.dlogits)[place_of_label(job, row)] = narrow<T>(float(-gradient * weight_of(job, label)));
  });
}

}  // namespace

#define LOSS(name, body, T)                                                   \
  KERNEL(name##_32, const __grid_constant__ Labels job) { body<T, 32>(job); } \
  KERNEL(name##_256, const __grid_constant__ Labels job) { body<T, 256>(job); }

LOSS(cross_entropy_forward_float32, forward, float)
LOSS(cross_entropy_forward_bfloat16, forward, bfloat16)
LOSS(cross_entropy_backward_float32, backward, float)
LOSS(cross_entropy_backward_bfloat16, backward, bfloat16)
KERNEL(nll_loss_forward_float32, const __grid_constant__ Labels job) { pick<float>(job); }
KERNEL(nll_loss_forward_bfloat16, const __grid_constant__ Labels job) { pick<bfloat16>(job); }
// A division in float64 is a call, before which sm_90 would spill if threads had fewer registers.
KERNEL_ALONE(nll_loss_backward_float32, const __grid_constant__ Labels job) { put<float>(job); }
KERNEL_ALONE(nll_loss_backward_bfloat16, const __grid_constant__ Labels job) { put<bfloat16>(job); }
// The sums of both losses.
KERNEL(loss_finish, const __grid_constant__ Labels job) { finish(job); }
