// The part of the cross entropies that they share on the device: which rows count, a row's loss, and the terms of its
// gradient. loss.cu has the formulas.
#pragma once
#include "labels.h"
#include "team.h"

namespace firesteel::cuda {

DEVICE bool counts(const Labels& job, int32_t label) {
  return label >= 0 && label < job.classes && !(job.ignores && label == job.ignore_index);
}

// Records a label that is neither a class nor ignored in the call's slot.
DEVICE void check_label(const Labels& job, int64_t row, int32_t label) {
  if (!counts(job, label) && !(job.ignores && label == job.ignore_index))
    bring_least(job.wrong, uint64_t(row) << 32 | uint32_t(label));
}

DEVICE double weight_of(const Labels& job, int32_t label) { return job.weight ? double(job.weight[label]) : 1.0; }

// The sum of the classes' weights. Every thread of the team must call this.
template <int team>
DEVICE float weight_sum(const Labels& job) {
  if (!job.weight) return float(job.classes);
  float mine = 0;
  for (int32_t c = rank_in_team<team>(); c < job.classes; c += team) mine += job.weight[c];
  return sum_of<team>(mine);
}

// sum_c w_c (lse - x_c) if labels are smoothed, else 0. x(c) is a logit. Every thread of the team must call this.
template <int team, class X>
DEVICE double smooth_part(const Labels& job, const Exponentials& all, const X& x) {
  if (job.smoothing == 0) return 0;
  float distances = 0;
  for (int32_t c = rank_in_team<team>(); c < job.classes; c += team)
    distances += (job.weight ? job.weight[c] : 1.0f) * (x(c) - all.largest);
  return double(weight_sum<team>(job)) * log(double(all.sum)) - double(sum_of<team>(distances));
}

// The loss of a row that counts.
DEVICE double loss_of_row(const Labels& job, int32_t label, const Exponentials& all, float at_label, double smooth) {
  const double distance = double(all.largest) - double(at_label) + log(double(all.sum));
  const double loss = (1.0 - double(job.smoothing)) * weight_of(job, label) * distance;
  return job.smoothing != 0 ? loss + double(job.smoothing) / job.classes * smooth : loss;
}

// dx_c = factor exp(x_c - largest) - everywhere w_c - [c = label] at_label
struct RowGradient {
  float factor, everywhere, at_label;
};

// Computes the terms from the gradient of the row's loss and from its sum of exponentials.
template <int team>
DEVICE RowGradient row_gradient(const Labels& job, int32_t label, double gradient, float exponentials) {
  const double at_label = gradient * (1.0 - double(job.smoothing)) * weight_of(job, label);
  const double everywhere = gradient * double(job.smoothing) / job.classes;
  const double sum = job.smoothing != 0 ? double(weight_sum<team>(job)) : 0.0;
  return {float((at_label + everywhere * sum) / double(exponentials)), float(everywhere), float(at_label)};
}

DEVICE float gradient_at(const Labels& job, const RowGradient& row, int32_t c, int32_t label, float distance) {
  const float value = expf(distance) * row.factor - row.everywhere * (job.weight ? job.weight[c] : 1.0f);
  return c == label ? value - row.at_label : value;
}

}  // namespace firesteel::cuda
