// Negative log likelihood of labels. It picks the element of each row's label, and reads nothing else.
//
// logProbs is [N, C, I], and its N I rows have their classes I elements apart. With y the label of a row and w the
// classes' weights (1 without), loss = -w_y logProbs[n, y, i]. mean divides by the sum of w_y over the rows that count;
// rows with y = ignoreIndex, or with a wrong label, count for nothing. logProbs and their gradient may be bfloat16.
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/half.h"
#include "../simd/stream.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

constexpr int64_t reduce_none = 0, reduce_mean = 1, reduce_sum = 2;

struct Problem {
  int64_t rows, classes, inner;
  const int32_t* target;
  const float* weight;  // null: 1 each
  int64_t ignore_index;
};

bool make_problem(Context& context, Problem& problem, const View& log_probs, const View& target, const View* weight,
                  const View& total, const View& loss, int64_t ignore_index, int64_t reduction) {
  if (!expect(context, log_probs.ndim == 3, "nll_loss: log_probs are not [N, C, I]")) return false;
  const int64_t rows = log_probs.sizes[0] * log_probs.sizes[2], classes = log_probs.sizes[1];
  if (!expect(context, target.count == rows, "nll_loss: numbers of rows differ") ||
      !expect(context, !weight || weight->count == classes, "nll_loss: weight is not [C]") ||
      !expect(context, reduction >= reduce_none && reduction <= reduce_sum, "nll_loss: unknown reduction") ||
      !expect(context, loss.count == (reduction == reduce_none ? rows : 1), "nll_loss: the loss has the wrong size") ||
      !expect(context, total.count == 1, "nll_loss: total is not a scalar"))
    return false;
  problem = {rows,
             classes,
             log_probs.sizes[2],
             pointer<const int32_t>(target),
             weight ? pointer<const float>(*weight) : nullptr,
             ignore_index};
  return true;
}

bool counts(const Problem& problem, int64_t row) {
  const int64_t label = problem.target[row];
  return label != problem.ignore_index && label >= 0 && label < problem.classes;
}

double weight_of(const Problem& problem, int64_t row) {
  return problem.weight ? double(problem.weight[problem.target[row]]) : 1.0;
}

// The offset of the element that a row's label names.
int64_t place_of(const Problem& problem, int64_t row) {
  const int64_t n = row / problem.inner, i = row % problem.inner;
  return (n * problem.classes + problem.target[row]) * problem.inner + i;
}

}  // namespace

void nll_loss_forward(Context& context, const View& out, const View& total, const View& log_probs, const View& target,
                      const View* weight, int64_t ignore_index, int64_t reduction) {
  Problem problem;
  if (!make_problem(context, problem, log_probs, target, weight, total, out, ignore_index, reduction)) return;
  double* const losses = static_cast<double*>(scratch(context, sizeof(double) * size_t(problem.rows)));
  for_items(context, {problem.rows, loss::picked_rows}, [&](int64_t row) {
    losses[row] = 0;
    const int64_t label = problem.target[row];
    if (counts(problem, row)) {
      const int64_t at = place_of(problem, row);
      float value;
      if (log_probs.dtype == DType::float32)
        value = pointer<const float>(log_probs)[at];
      else
        simd::widen_bfloat16(1, &value, pointer<const uint16_t>(log_probs) + at);
      losses[row] = -weight_of(problem, row) * double(value);
    } else if (label != ignore_index) {
      record_error(context, ErrorCode::index,
                   "label %lld of row %lld is outside [0, %lld) and is not ignoreIndex (%lld)", (long long)label,
                   (long long)row, (long long)problem.classes, (long long)ignore_index);
    }
  });
  double weights = 0, sum = 0;
  for (int64_t row = 0; row < problem.rows; row++) {
    if (counts(problem, row)) weights += weight_of(problem, row);
    sum += losses[row];
    if (reduction == reduce_none) pointer<float>(out)[row] = float(losses[row]);
  }
  *pointer<float>(total) = float(weights);
  if (reduction == reduce_mean) *pointer<float>(out) = float(sum / weights);
  if (reduction == reduce_sum) *pointer<float>(out) = float(sum);
}

void nll_loss_backward(Context& context, const View& dlog_probs, const View& dy, const View& total, const View& target,
                       const View* weight, int64_t ignore_index, int64_t reduction) {
  Problem problem;
  if (!make_problem(context, problem, dlog_probs, target, weight, total, dy, ignore_index, reduction)) return;
  const bool narrows = dlog_probs.dtype == DType::bfloat16;
  const int64_t of_batch = problem.classes * problem.inner;
  const bool stream = dlog_probs.count * (narrows ? 2 : 4) >= simd::streaming_bytes;
  const int64_t batches = problem.inner > 0 ? problem.rows / problem.inner : 0;
  for_items(context, even_chunks(batches, of_batch, loss::cleared_elements), [&](int64_t n) {
    if (narrows)
      simd::write_same<uint16_t>(pointer<uint16_t>(dlog_probs) + n * of_batch, of_batch, 0, stream);
    else
      simd::write_same(pointer<float>(dlog_probs) + n * of_batch, of_batch, 0.0f, stream);
    for (int64_t row = n * problem.inner; row < (n + 1) * problem.inner; row++) {
      if (!counts(problem, row)) continue;
      double gradient = double(pointer<const float>(dy)[reduction == reduce_none ? row : 0]);
      if (reduction == reduce_mean) gradient /= double(*pointer<const float>(total));
      const float value = float(-gradient * weight_of(problem, row));
      const int64_t at = place_of(problem, row);
      if (narrows)
        simd::narrow_bfloat16(1, pointer<uint16_t>(dlog_probs) + at, &value);
      else
        pointer<float>(dlog_probs)[at] = value;
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
