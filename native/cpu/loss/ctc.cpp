// Connectionist temporal classification: Graves et al., "Connectionist temporal classification", 2006.
//
// T steps, N sequences, C classes, S labels at most. A target of K labels has L = 2 K + 1 states, with blanks before,
// between and after the labels. y_t(c) is the logarithm of class c's probability, and l_s the label of state s:
//   alpha_t(s) = log(e^alpha_t-1(s) + e^alpha_t-1(s-1) + e^alpha_t-1(s-2)) + y_t(l_s)     s-2 only if l_s-2 differs
//   beta_t(s)  = the same from the end, without y_t
//   loss       = -log(e^alpha_T-1(L-1) + e^alpha_T-1(L-2))
//   dy_t(c)    = g (e^y_t(c) - sum over s with l_s = c of softmax_s(alpha_t + beta_t))
// The gradient is that of the logits behind a log softmax, like PyTorch's, and that log softmax passes it on unchanged.
//
// Rows are kept relative to the largest element of the row before, so that float32 keeps its digits however long the
// sequence is. The subtracted numbers are summed in float64 for the loss, and do not affect a softmax. If no alignment
// is possible, all of the last states are -infinity.
//
// A sequence is computed on one thread. It takes T L times three exponentials and a logarithm, in registers along the
// states.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/row.h"
#include "../softmax/row.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;
using softmax::exp_of_negative;

struct Alignment {
  int64_t steps, sequences, classes, labels;  // T, N, C, S
  int64_t padded;                             // floats of a row of states with -infinity on both sides
  const float* log_probs;                     // [T, N, C]
  const int32_t* targets;                     // [N, S]
  const int32_t *input_lengths, *target_lengths;
  int64_t blank;
};

// The memory of a sequence: two rows of states between -infinity, the label of each state, and the states from which it
// may be reached.
struct Rows {
  float *now, *next, *emitted, *skips;
  int32_t* labels;
  int64_t states, steps;
};

constexpr int64_t margin = 16;  // at least two states, and the lanes that a register reads beyond the last

bool make_alignment(Context& context, Alignment& a, const View& alpha, const View& log_probs, const View& targets,
                    const View& input_lengths, const View& target_lengths, int64_t blank) {
  if (!expect(context, log_probs.ndim == 3 && targets.ndim == 2,
              "ctc: log_probs must be [T, N, C], and targets [N, S]"))
    return false;
  const int64_t steps = log_probs.sizes[0], sequences = log_probs.sizes[1], classes = log_probs.sizes[2];
  const int64_t labels = targets.sizes[1];
  if (!expect(context, targets.sizes[0] == sequences, "ctc: numbers of sequences differ") ||
      !expect(context, input_lengths.count == sequences && target_lengths.count == sequences,
              "ctc: the lengths must be [N]") ||
      !expect(context, alpha.count == sequences * steps * (2 * labels + 1), "ctc: alpha is not [N, T, 2 S + 1]") ||
      !expect(context, blank >= 0 && blank < classes, "ctc: blank is not a class"))
    return false;
  a = {steps,
       sequences,
       classes,
       labels,
       round_up(2 * labels + 1, margin) + 3 * margin,
       pointer<const float>(log_probs),
       pointer<const int32_t>(targets),
       pointer<const int32_t>(input_lengths),
       pointer<const int32_t>(target_lengths),
       blank};
  return true;
}

int64_t room_of(const Alignment& a) { return 5 * a.padded; }

void fill(float* to, int64_t n, float value) {
  for (int64_t i = 0; i < n; i++) to[i] = value;
}

bool within(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }

// Lays out the rows of sequence n in its room. Returns false if its lengths or labels are invalid, which is recorded if
// asked.
bool make_rows(Context& context, const Alignment& a, int64_t n, float* room, Rows& rows, bool records) {
  const int64_t steps = a.input_lengths[n], count = a.target_lengths[n];
  if (!within(steps, 0, a.steps) || !within(count, 0, a.labels)) {
    if (records)
      record_error(context, ErrorCode::index,
                   "sequence %lld has %lld steps and %lld labels, but there are %lld steps and %lld labels",
                   (long long)n, (long long)steps, (long long)count, (long long)a.steps, (long long)a.labels);
    return false;
  }
  const int64_t states = 2 * count + 1;
  float* const parts[] = {room, room + a.padded, room + 2 * a.padded, room + 3 * a.padded, room + 4 * a.padded};
  for (int k = 0; k < 4; k++) fill(parts[k], a.padded, -INFINITY);
  rows = {parts[0] + margin,
          parts[1] + margin,
          parts[2] + margin,
          parts[3] + margin,
          reinterpret_cast<int32_t*>(parts[4]) + margin,
          states,
          steps};
  for (int64_t s = 0; s < states; s++) {
    const int64_t label = s % 2 == 0 ? a.blank : a.targets[n * a.labels + s / 2];
    if (!within(label, 0, a.classes - 1)) {
      if (records)
        record_error(context, ErrorCode::index, "label %lld of sequence %lld is outside [0, %lld)", (long long)label,
                     (long long)n, (long long)a.classes);
      return false;
    }
    rows.labels[s] = int32_t(label);
    if (s >= 2 && rows.labels[s - 2] != label) rows.skips[s] = 0;
  }
  return true;
}

// emitted[s] = y_t(l_s) - less
void emit(const Alignment& a, const Rows& rows, int64_t n, int64_t t, float less) {
  const float* const y = a.log_probs + (t * a.sequences + n) * a.classes;
  for (int64_t s = 0; s < rows.states; s++) rows.emitted[s] = y[rows.labels[s]] - less;
}

// log(e^x + e^y + e^z), or -infinity if all three are.
FIRESTEEL_INLINE Vec log_sum(Vec x, Vec y, Vec z) {
  const Vec largest = max(x, max(y, z)), none = set(-INFINITY);
  const Vec center = select(largest == none, zero(), largest);
  return center + log(exp_of_negative(x - center) + exp_of_negative(y - center) + exp_of_negative(z - center));
}

// The number subtracted from a row's elements.
float center_of(const float* row, int64_t n) {
  const float largest = row_max(row, n);
  return largest == -INFINITY ? 0.0f : largest;
}

double log_sum(double x, double y) {
  const double largest = x > y ? x : y;
  return largest == -INFINITY ? largest : largest + ::log(::exp(x - largest) + ::exp(y - largest));
}

// The logarithm of the sum over the states in which an alignment may end.
double at_end(const float* row, int64_t states) {
  return log_sum(double(row[states - 1]), states > 1 ? double(row[states - 2]) : double(-INFINITY));
}

void swap_rows(Rows& rows) {
  float* const now = rows.now;
  rows.now = rows.next;
  rows.next = now;
}

// Fills alpha [T, states at most] of a sequence, and returns its loss.
double forward_of(const Alignment& a, Rows& rows, int64_t n, float* alpha) {
  const int64_t states = rows.states;
  rows.now[0] = 0;  // before the first step: as if a blank had come
  double taken = 0;
  for (int64_t t = 0; t < rows.steps; t++) {
    const float center = center_of(rows.now, states);
    taken += double(center);
    emit(a, rows, n, t, center);
    for_row(states, [&](int64_t s, int64_t count) {
      const Vec x = load_some(rows.now + s, count), y = load_some(rows.now + s - 1, count);
      const Vec z = load_some(rows.now + s - 2, count) + load_some(rows.skips + s, count);
      store_some(rows.next + s, log_sum(x, y, z) + load_some(rows.emitted + s, count), count);
    });
    swap_rows(rows);
    memcpy(alpha + t * (2 * a.labels + 1), rows.now, size_t(states) * sizeof(float));
  }
  return -(at_end(rows.now, states) + taken);
}

void backward_of(const Alignment& a, Rows& rows, int64_t n, const float* alpha, float gradient, float* dlog_probs) {
  const int64_t states = rows.states, width = 2 * a.labels + 1;
  const Vec g = set(gradient);
  float* const shares = rows.emitted;
  // The states that may come last.
  rows.now[states - 1] = 0;
  if (states > 1) rows.now[states - 2] = 0;
  for (int64_t t = rows.steps - 1; t >= 0; t--) {
    const float* const row = alpha + t * width;
    for_row(states, [&](int64_t s, int64_t count) {
      store_some(shares + s, load_some(row + s, count) + load_some(rows.now + s, count), count);
    });
    const float largest = center_of(shares, states);
    double sums[1];
    sum_row(states, sums, [&](int64_t s, int64_t count, Vec* sum) {
      const Vec share = exp_of_negative(load_some(shares + s, count) - set(largest));
      store_some(shares + s, share, count);
      sum[0] = sum[0] + first_of(share, count, zero());
    });
    const float* const y = a.log_probs + (t * a.sequences + n) * a.classes;
    float* const to = dlog_probs + (t * a.sequences + n) * a.classes;
    for_row(a.classes, [&](int64_t c, int64_t count) { store_some(to + c, exp(load_some(y + c, count)) * g, count); });
    const float factor = float(double(gradient) / sums[0]);
    for (int64_t s = 0; s < states; s++) to[rows.labels[s]] -= factor * shares[s];
    if (t == 0) break;
    emit(a, rows, n, t, center_of(rows.now, states));
    // The values of the next step with its labels. Beyond the last state there is nothing.
    for_row(states, [&](int64_t s, int64_t count) {
      const Vec said = load_some(rows.now + s, count) + load_some(rows.emitted + s, count);
      store_some(rows.now + s, said, count);
    });
    for_row(states, [&](int64_t s, int64_t count) {
      const Vec x = load_some(rows.now + s, count), y_next = load_some(rows.now + s + 1, count);
      const Vec z = load_some(rows.now + s + 2, count) + load_some(rows.skips + s + 2, count);
      store_some(rows.next + s, log_sum(x, y_next, z), count);
    });
    swap_rows(rows);
  }
}

}  // namespace

void ctc_forward(Context& context, const View& out, const View& alpha, const View& log_probs, const View& targets,
                 const View& input_lengths, const View& target_lengths, int64_t blank, bool zero_infinity) {
  Alignment a;
  if (!make_alignment(context, a, alpha, log_probs, targets, input_lengths, target_lengths, blank) ||
      !expect(context, out.count == a.sequences, "ctc: the loss is not [N]"))
    return;
  float* const rooms = static_cast<float*>(scratch(context, sizeof(float) * size_t(room_of(a) * a.sequences)));
  for_items(context, {a.sequences, 1}, [&](int64_t n) {
    Rows rows;
    double loss = 0;
    if (make_rows(context, a, n, rooms + n * room_of(a), rows, true))
      loss = forward_of(a, rows, n, pointer<float>(alpha) + n * a.steps * (2 * a.labels + 1));
    pointer<float>(out)[n] = zero_infinity && loss == INFINITY ? 0.0f : float(loss);
  });
}

void ctc_backward(Context& context, const View& dlog_probs, const View& dy, const View& alpha, const View& log_probs,
                  const View& targets, const View& input_lengths, const View& target_lengths, int64_t blank,
                  bool zero_infinity) {
  Alignment a;
  if (!make_alignment(context, a, alpha, log_probs, targets, input_lengths, target_lengths, blank) ||
      !expect(context, dy.count == a.sequences && same_shape(dlog_probs, log_probs), "ctc_backward: shapes differ"))
    return;
  float* const rooms = static_cast<float*>(scratch(context, sizeof(float) * size_t(room_of(a) * a.sequences)));
  for_items(context, {a.sequences, 1}, [&](int64_t n) {
    Rows rows;
    float* const to = pointer<float>(dlog_probs);
    const float* const own = pointer<const float>(alpha) + n * a.steps * (2 * a.labels + 1);
    const bool sound = make_rows(context, a, n, rooms + n * room_of(a), rows, false);
    const int64_t steps = sound ? rows.steps : 0;
    bool possible = sound;
    if (steps > 0) {
      const float* const last = own + (steps - 1) * (2 * a.labels + 1);
      possible = last[rows.states - 1] != -INFINITY || (rows.states > 1 && last[rows.states - 2] != -INFINITY);
    }
    if (steps > 0 && possible) backward_of(a, rows, n, own, pointer<const float>(dy)[n], to);
    for (int64_t t = possible ? steps : 0; t < a.steps; t++)
      fill(to + (t * a.sequences + n) * a.classes, a.classes, t < steps && !zero_infinity ? NAN : 0.0f);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
