// Connectionist temporal classification (Graves et al., 2006), with the formulas and names of native/cpu/loss/ctc.cpp:
// T steps, N sequences, C classes, at most S labels. A target of K labels has 2 K + 1 states, with blanks before,
// between and behind the labels. Alpha and beta are stored as logarithms, relative to the largest element of the
// previous row.
//
// A block handles a sequence, its threads handle the states, and steps follow one another. A step is so short that it
// takes the time of a few barriers; many sequences at once hide that time. The gradient of a label is the sum over its
// states, in their order; lists of these are made once. Half of all states are the blank's, and the whole block sums
// them.
#include "ctc.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

constexpr int team = 256;

struct Sequence {
  int64_t number;
  int32_t steps, states;
  bool sound;  // whether lengths and labels are in range
};

DEVICE int32_t label_of(const Ctc& job, int64_t sequence, int32_t state) {
  return state % 2 == 0 ? job.blank : job.targets[sequence * job.labels + state / 2];
}

// Whether the state may directly follow the state two places before it.
DEVICE bool skips(const Ctc& job, int64_t sequence, int32_t state) {
  return state > 2 && state % 2 == 1 && label_of(job, sequence, state) != label_of(job, sequence, state - 2);
}

DEVICE void bring_wrong(uint64_t* slot, int64_t sequence, int32_t value) {
  if (slot) bring_least(slot, uint64_t(sequence) << 32 | uint32_t(value));
}

DEVICE Sequence read_sequence(const Ctc& job, int64_t number) {
  const int32_t steps = job.input_lengths[number], labels = job.target_lengths[number];
  const bool has_steps = steps >= 0 && steps <= job.steps, has_labels = labels >= 0 && labels <= job.labels;
  bool wrong = !has_steps || !has_labels;
  if (threadIdx.x == 0 && !has_steps) bring_wrong(job.wrong_steps, number, steps);
  if (threadIdx.x == 0 && !has_labels) bring_wrong(job.wrong_labels, number, labels);
  for (int32_t k = rank_in_team<team>(); has_labels && k < labels; k += team) {
    const int32_t label = job.targets[number * job.labels + k];
    if (label >= 0 && label < job.classes) continue;
    bring_wrong(job.wrong_label, number, label);
    wrong = true;
  }
  return {number, steps, 2 * labels + 1, !__syncthreads_or(wrong)};
}

DEVICE const float* classes_at(const Ctc& job, const Sequence& of, int32_t step) {
  return job.log_probs + (step * job.sequences + of.number) * job.classes;
}

DEVICE float log_sum(float x, float y, float z) {
  const float most = largest(x, largest(y, z));
  if (most == -INFINITY) return most;
  return most + logf(expf(x - most) + expf(y - most) + expf(z - most));
}

// The logarithm of the sum over the states in which an alignment may end.
DEVICE double at_end(const float* row, int32_t states) {
  const double x = row[states - 1], y = states > 1 ? double(row[states - 2]) : double(-INFINITY);
  const double most = x > y ? x : y;
  return most == double(-INFINITY) ? most : most + log(exp(x - most) + exp(y - most));
}

// The largest of the team's values, or 0 if all are -infinity.
DEVICE float center_of(float mine) {
  const float most = largest_of<team>(mine);
  return most == -INFINITY ? 0.0f : most;
}

DEVICE double loss_of(const Ctc& job, const Sequence& of) {
  float* const alpha = job.alpha + of.number * job.steps * job.width;
  double taken = 0;
  for (int32_t t = 0; t < of.steps; t++) {
    const float* before = alpha + (t - 1) * int64_t(job.width);
    // The first step begins as if a blank came before it.
    const auto at = [&](int32_t s) { return t > 0 && s >= 0 ? before[s] : s == 0 ? 0.0f : -INFINITY; };
    float mine = -INFINITY;
    for (int32_t s = rank_in_team<team>(); s < of.states; s += team) mine = largest(mine, at(s));
    // Its barriers also make the previous row visible to all threads.
    const float center = center_of(mine);
    taken += double(center);
    const float* y = classes_at(job, of, t);
    for (int32_t s = rank_in_team<team>(); s < of.states; s += team) {
      const float skipped = skips(job, of.number, s) ? at(s - 2) : -INFINITY;
      alpha[t * int64_t(job.width) + s] =
          log_sum(at(s), at(s - 1), skipped) + (y[label_of(job, of.number, s)] - center);
    }
  }
  __syncthreads();
  if (of.steps == 0) return of.states == 1 ? 0.0 : double(INFINITY);
  return -(at_end(alpha + (of.steps - 1) * int64_t(job.width), of.states) + taken);
}

DEVICE void forward(const Ctc& job) {
  for_rows<team>(job.sequences, [&](int64_t number) {
    const Sequence of = read_sequence(job, number);
    const double loss = of.sound ? loss_of(job, of) : 0.0;
    if (threadIdx.x == 0) job.out[number] = job.zero_infinity && loss == double(INFINITY) ? 0.0f : float(loss);
  });
}

DEVICE void list_same(const Ctc& job, const Sequence& of, SameLabel* same) {
  for (int32_t s = 2 * rank_in_team<team>() + 1; s < of.states; s += 2 * team) {
    const int32_t label = label_of(job, of.number, s);
    int32_t before = 1, next = s + 2;
    while (before < s && label_of(job, of.number, before) != label) before += 2;
    while (next < of.states && label_of(job, of.number, next) != label) next += 2;
    // The blank's states have a sum of their own.
    same[s] = {next, before >= s && label != job.blank};
  }
}

DEVICE void gradient_of(const Ctc& job, const Sequence& of, float gradient) {
  const float* const alpha = job.alpha + of.number * job.steps * job.width;
  float* now = job.rows + of.number * 3 * job.width;
  float* next = now + job.width;
  float* const shares = next + job.width;
  SameLabel* const same = job.same + of.number * job.width;
  const int32_t rank = rank_in_team<team>(), states = of.states;
  list_same(job, of, same);
  for (int32_t s = rank; s < states; s += team) now[s] = s >= states - 2 ? 0.0f : -INFINITY;
  for (int32_t t = of.steps - 1; t >= 0; t--) {
    const float* row = alpha + t * int64_t(job.width);
    float most = -INFINITY, most_now = -INFINITY;
    for (int32_t s = rank; s < states; s += team) {
      most = largest(most, row[s] + now[s]);
      most_now = largest(most_now, now[s]);
    }
    const float center = center_of(most), center_now = center_of(most_now);
    float sum = 0, blanks = 0;
    for (int32_t s = rank; s < states; s += team) {
      shares[s] = expf(row[s] + now[s] - center);
      sum += shares[s];
      if (label_of(job, of.number, s) == job.blank) blanks += shares[s];
    }
    sum = sum_of<team>(sum);
    blanks = sum_of<team>(blanks);
    const float* y = classes_at(job, of, t);
    float* to = job.dlog_probs + (t * job.sequences + of.number) * job.classes;
    for (int32_t c = rank; c < job.classes; c += team) to[c] = expf(y[c]) * gradient;
    __syncthreads();
    const float factor = float(double(gradient) / double(sum));
    if (rank == 0) to[job.blank] -= factor * blanks;
    for (int32_t s = 2 * rank + 1; s < states; s += 2 * team) {
      if (!same[s].first) continue;
      float share = 0;
      for (int32_t k = s; k < states; k = same[k].next) share += shares[k];
      to[label_of(job, of.number, s)] -= factor * share;
    }
    if (t == 0) break;
    // beta takes in the step's log probabilities before it moves one step back.
    for (int32_t s = rank; s < states; s += team) now[s] += y[label_of(job, of.number, s)] - center_now;
    __syncthreads();
    const auto at = [&](int32_t s) { return s < states ? now[s] : -INFINITY; };
    for (int32_t s = rank; s < states; s += team) {
      const bool skipped = s + 2 < states && skips(job, of.number, s + 2);
      next[s] = log_sum(at(s), at(s + 1), skipped ? at(s + 2) : -INFINITY);
    }
    float* const swapped = now;
    now = next;
    next = swapped;
  }
}

DEVICE void backward(const Ctc& job) {
  for_rows<team>(job.sequences, [&](int64_t number) {
    const Sequence of = read_sequence(job, number);
    const int32_t steps = of.sound ? of.steps : 0;
    bool possible = steps == 0;
    if (steps > 0) {
      const float* last = job.alpha + (number * job.steps + steps - 1) * job.width;
      possible = last[of.states - 1] != -INFINITY || (of.states > 1 && last[of.states - 2] != -INFINITY);
    }
    if (steps > 0 && possible) gradient_of(job, of, job.dy[number]);
    for (int32_t t = possible ? steps : 0; t < job.steps; t++) {
      const float value = t < steps && !job.zero_infinity ? NAN : 0.0f;
      float* to = job.dlog_probs + (t * job.sequences + number) * job.classes;
      for (int32_t c = rank_in_team<team>(); c < job.classes; c += team) to[c] = value;
    }
  });
}

}  // namespace

KERNEL(ctc_forward, const __grid_constant__ Ctc job) { forward(job); }
// Steps keep many values in registers between barriers.
KERNEL_ALONE(ctc_backward, const __grid_constant__ Ctc job) { backward(job); }
