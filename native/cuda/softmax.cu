// Softmax and its logarithm along a dimension, forward and backward. They overwrite out. A team of threads handles a
// line: a warp or a block if the line's elements lie side by side, else one thread. Neighbouring threads then handle
// neighbouring lines. The forward pass reads x twice, and the backward pass reads both operands twice; the second read
// is mostly from a cache.
#include "lines.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

struct Line {
  int64_t first;
  int64_t step;
};

// Teams of more than one thread have lines whose elements lie side by side.
template <int team>
DEVICE Line line_at(const Lines& job, int64_t index) {
  if constexpr (team > 1) return {index * job.size, 1};
  return {index / job.inner * job.inner * job.size + index % job.inner, job.inner};
}

template <int team, bool logarithm>
DEVICE void forward(const Lines& job) {
  for_rows<team>(job.count, [&](int64_t index) {
    const Line line = line_at<team>(job, index);
    const float* x = static_cast<const float*>(job.x) + line.first;
    float* out = static_cast<float*>(job.out) + line.first;
    Exponentials mine = {-INFINITY, 0.0f};
    for (int32_t i = rank_in_team<team>(); i < job.size; i += team) add(mine, x[i * line.step]);
    const Exponentials all = of_team<team>(mine);
    const float rest = logarithm ? logf(all.sum) : 1.0f / all.sum;
    for (int32_t i = rank_in_team<team>(); i < job.size; i += team) {
      const float distance = x[i * line.step] - all.largest;
      out[i * line.step] = logarithm ? distance - rest : expf(distance) * rest;
    }
  });
}

// Here x is dy.
template <int team, bool logarithm>
DEVICE void backward(const Lines& job) {
  for_rows<team>(job.count, [&](int64_t index) {
    const Line line = line_at<team>(job, index);
    const float* dy = static_cast<const float*>(job.x) + line.first;
    const float* y = static_cast<const float*>(job.y) + line.first;
    float* dx = static_cast<float*>(job.out) + line.first;
    float mine = 0;
    for (int32_t i = rank_in_team<team>(); i < job.size; i += team)
      mine = logarithm ? mine + dy[i * line.step] : multiply_add(dy[i * line.step], y[i * line.step], mine);
    const float all = sum_of<team>(mine);
    for (int32_t i = rank_in_team<team>(); i < job.size; i += team) {
      const float value = y[i * line.step], gradient = dy[i * line.step];
      dx[i * line.step] = logarithm ? gradient - expf(value) * all : value * (gradient - all);
    }
  });
}

template <int team>
DEVICE void softmax(const Lines& job) {
  forward<team, false>(job);
}
template <int team>
DEVICE void log_softmax(const Lines& job) {
  forward<team, true>(job);
}
template <int team>
DEVICE void softmax_slope(const Lines& job) {
  backward<team, false>(job);
}
template <int team>
DEVICE void log_softmax_slope(const Lines& job) {
  backward<team, true>(job);
}

}  // namespace

BY_TEAMS(softmax_forward, Lines, softmax)
BY_TEAMS(softmax_backward, Lines, softmax_slope)
BY_TEAMS(log_softmax_forward, Lines, log_softmax)
BY_TEAMS(log_softmax_backward, Lines, log_softmax_slope)
