// The common part of the cross entropies: which rows count, the sums over a row of logits, and the loss and gradient of
// a row. The formulas stand in cross_entropy.cpp.
#pragma once
#include <math.h>

#include "../../core/kernel.h"
#include "../simd/half.h"
#include "../softmax/row.h"

namespace firesteel::FIRESTEEL_ISA::loss {

constexpr int64_t reduce_none = 0, reduce_mean = 1, reduce_sum = 2;

struct Labels {
  int64_t rows, classes;
  const int32_t* target;
  const float* weight;  // null: all 1
  double weight_sum;    // over all classes
  int64_t ignore_index;
  double smoothing;
};

static inline Labels make_labels(int64_t rows, int64_t classes, const int32_t* target, const float* weight,
                                 int64_t ignore_index, double smoothing) {
  Labels labels = {rows, classes, target, weight, double(classes), ignore_index, smoothing};
  if (weight) {
    labels.weight_sum = 0;
    for (int64_t c = 0; c < classes; c++) labels.weight_sum += weight[c];
  }
  return labels;
}

static inline double weight_of(const Labels& labels, int64_t label) {
  return labels.weight ? labels.weight[label] : 1.0;
}

static inline bool counts(const Labels& labels, int64_t row) {
  const int64_t label = labels.target[row];
  return label != labels.ignore_index && label >= 0 && label < labels.classes;
}

// Records an error if a row does not count because its label is wrong.
static inline void check_label(Context& context, const Labels& labels, int64_t row) {
  const int64_t label = labels.target[row];
  if (label != labels.ignore_index && !counts(labels, row))
    record_error(context, ErrorCode::index, "label %lld of row %lld is outside [0, %lld) and is not ignoreIndex (%lld)",
                 (long long)label, (long long)row, (long long)labels.classes, (long long)labels.ignore_index);
}

struct RowSums {
  float largest;
  double exponentials;  // sum_c exp(x_c - largest)
  double log_sum_exp;
  double smooth;  // sum_c w_c (lse - x_c) if labels are smoothed, else 0
};

// read(start, count) returns elements [start, start + count) of the row.
template <class Read>
static inline RowSums sum_logits(const Labels& labels, const Read& read) {
  using namespace simd;
  const float* const weight = labels.weight;
  const int64_t classes = labels.classes;
  float largest = -INFINITY;
  double exponentials = 0, distances = 0, shift = 0;
  for (int64_t start = 0; start < classes; start += row_block) {
    const int64_t count = min(classes - start, row_block);
    const float* const block = read(start, count);
    const float block_largest = softmax::largest_number(block, count);
    if (start == 0) shift = block_largest;
    if (block_largest > largest) {
      if (start > 0) exponentials *= ::exp(double(largest) - double(block_largest));
      largest = block_largest;
    }
    double sums[1];
    const Vec center = set(largest == -INFINITY ? 0.0f : largest);
    sum_row(count, sums, [&](int64_t i, int64_t n, Vec* s) {
      __builtin_prefetch(block + i + row_block);  // memory is busy while these are computed
      s[0] = s[0] + first_of(softmax::exp_of_negative(load_some(block + i, n) - center), n, zero());
    });
    exponentials += sums[0];
    if (labels.smoothing != 0) {
      sum_row(count, sums, [&](int64_t i, int64_t n, Vec* s) {
        const Vec distance = load_some(block + i, n) - set(float(shift));
        s[0] = weight ? fma(load_some(weight + start + i, n), distance, s[0]) : s[0] + first_of(distance, n, zero());
      });
      distances += sums[0];
    }
  }
  const double log_sum_exp = double(largest) + ::log(exponentials);
  const double smooth = labels.smoothing != 0 ? labels.weight_sum * (log_sum_exp - shift) - distances : 0.0;
  return {largest, exponentials, log_sum_exp, smooth};
}

// The loss of a row that counts.
static inline double loss_of_row(const Labels& labels, int64_t label, const RowSums& sums, double at_label) {
  const double loss = (1.0 - labels.smoothing) * weight_of(labels, label) * (sums.log_sum_exp - at_label);
  return labels.smoothing != 0 ? loss + labels.smoothing / double(labels.classes) * sums.smooth : loss;
}

// dx_c = factor exp(x_c - m) + constant (w_c) - [c = y] at_label
struct RowGradient {
  float factor, constant;
  double at_label;
};

// The numbers of a row's gradient, from the gradient of its loss.
static inline RowGradient row_gradient(const Labels& labels, int64_t label, double gradient, double exponentials) {
  const double at_label = gradient * (1.0 - labels.smoothing) * weight_of(labels, label);
  const double everywhere = gradient * labels.smoothing / double(labels.classes);
  return {float((at_label + everywhere * labels.weight_sum) / exponentials), float(-everywhere), at_label};
}

}  // namespace firesteel::FIRESTEEL_ISA::loss
