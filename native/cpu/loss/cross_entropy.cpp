// Cross entropy of logits with class indices, fused with the logarithm of softmax: no array of the logits' size is made
// but the gradient.
//
// N rows, C classes, y the label of a row, w the classes' weights (1 without), s the smoothing, W the sum of w:
//   loss = (1 - s) w_y (lse - x_y) + s / C sum_c w_c (lse - x_c)          lse = log sum_c exp(x_c)
//   dx_c = g (((1 - s) w_y + s W / C) exp(x_c - lse) - (1 - s) w_y [c = y] - s / C w_c)
// with g the gradient of the row's loss. mean divides by the sum of w_y over the rows that count, as PyTorch does,
// smoothed or not; rows with y = ignoreIndex and rows with a wrong label count for nothing.
//
// Backward takes exp(x_c - lse) as exp(x_c - m) / sum_c exp(x_c - m), m the row's maximum, from `statistics` [2, N]:
// the maxima, then the sums. lse itself, rounded to float32, would be off by a unit of its own size: by 3% of a
// probability where logits are about 10^6.
//
// Forward reads the logits once: a block of 1024 is in the first-level cache for its maximum and again for its
// exponentials, and the sum is rescaled where the maximum grows (Milakov and Gimelshein, "Online normalizer
// calculation for softmax", 2018). Backward reads the logits once and writes the gradient once. Sums are float32
// within blocks, float64 across. Logits and their gradient may be bfloat16: blocks are widened and rounded on the way.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/half.h"
#include "../simd/stream.h"
#include "../softmax/row.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;
using softmax::exp_of_negative;
using softmax::largest_number;

constexpr int64_t reduce_none = 0, reduce_mean = 1, reduce_sum = 2;

struct Problem {
  int64_t rows, classes;
  const View* logits;
  const int32_t* target;
  const float* weight;  // null: 1 each
  double weight_sum;    // over all classes
  int64_t ignore_index;
  double smoothing;
};

double weight_of(const Problem& problem, int64_t label) { return problem.weight ? problem.weight[label] : 1.0; }

bool counts(const Problem& problem, int64_t row) {
  const int64_t label = problem.target[row];
  return label != problem.ignore_index && label >= 0 && label < problem.classes;
}

bool make_problem(Context& context, Problem& problem, const View& logits, const View& target, const View* weight,
                  const View& statistics, const View& total, const View& loss, int64_t ignore_index, double smoothing,
                  int64_t reduction) {
  if (!expect(context, logits.ndim == 2, "cross_entropy: logits are not [N, C]")) return false;
  const int64_t rows = logits.sizes[0], classes = logits.sizes[1];
  if (!expect(context, target.count == rows && statistics.count == 2 * rows, "cross_entropy: numbers of rows differ") ||
      !expect(context, !weight || weight->count == classes, "cross_entropy: weight is not [C]") ||
      !expect(context, reduction >= reduce_none && reduction <= reduce_sum, "cross_entropy: unknown reduction") ||
      !expect(context, loss.count == (reduction == reduce_none ? rows : 1),
              "cross_entropy: the loss has the wrong size") ||
      !expect(context, total.count == 1, "cross_entropy: total is not a scalar"))
    return false;
  problem = {rows,
             classes,
             &logits,
             pointer<const int32_t>(target),
             weight ? pointer<const float>(*weight) : nullptr,
             double(classes),
             ignore_index,
             smoothing};
  if (weight) {
    problem.weight_sum = 0;
    for (int64_t c = 0; c < classes; c++) problem.weight_sum += problem.weight[c];
  }
  return true;
}

// Elements [start, start + count) of row n, in `room` where they are bfloat16.
const float* read_block(const View& logits, int64_t n, int64_t start, int64_t count, float* room) {
  const int64_t at = n * logits.sizes[1] + start;
  if (logits.dtype == DType::float32) return pointer<const float>(logits) + at;
  widen_bfloat16(count, room, pointer<const uint16_t>(logits) + at);
  return room;
}

template <class F>
void for_rows(Context& context, const Problem& problem, const F& row) {
  for_items(context, even_chunks(problem.rows, problem.classes, softmax::chunk_elements), row);
}

struct RowSums {
  float largest;
  double exponentials;  // sum_c exp(x_c - largest)
  double log_sum_exp;
  double smooth;  // sum_c w_c (lse - x_c) if asked for, else 0
};

RowSums sum_logits(const Problem& problem, int64_t row, bool smoothed) {
  alignas(64) float room[row_block];
  const float* const weight = problem.weight;
  const int64_t classes = problem.classes;
  float largest = -INFINITY;
  double exponentials = 0, distances = 0, shift = 0;
  for (int64_t start = 0; start < classes; start += row_block) {
    const int64_t count = min(classes - start, row_block);
    const float* const block = read_block(*problem.logits, row, start, count, room);
    const float block_largest = largest_number(block, count);
    if (start == 0) shift = block_largest;
    if (block_largest > largest) {
      if (start > 0) exponentials *= ::exp(double(largest) - double(block_largest));
      largest = block_largest;
    }
    double sums[1];
    const Vec center = set(largest == -INFINITY ? 0.0f : largest);
    sum_row(count, sums, [&](int64_t i, int64_t n, Vec* s) {
      __builtin_prefetch(block + i + row_block);  // memory works while these are computed
      s[0] = s[0] + first_of(exp_of_negative(load_some(block + i, n) - center), n, zero());
    });
    exponentials += sums[0];
    if (smoothed) {
      sum_row(count, sums, [&](int64_t i, int64_t n, Vec* s) {
        const Vec distance = load_some(block + i, n) - set(float(shift));
        s[0] = weight ? fma(load_some(weight + start + i, n), distance, s[0]) : s[0] + first_of(distance, n, zero());
      });
      distances += sums[0];
    }
  }
  const double log_sum_exp = double(largest) + ::log(exponentials);
  return {largest, exponentials, log_sum_exp, smoothed ? problem.weight_sum * (log_sum_exp - shift) - distances : 0.0};
}

}  // namespace

void cross_entropy_forward(Context& context, const View& out, const View& statistics, const View& total,
                           const View& logits, const View& target, const View* weight, int64_t ignore_index,
                           double smoothing, int64_t reduction) {
  Problem problem;
  if (!make_problem(context, problem, logits, target, weight, statistics, total, out, ignore_index, smoothing,
                    reduction))
    return;
  const int64_t classes = problem.classes;
  double* losses = static_cast<double*>(scratch(context, sizeof(double) * size_t(problem.rows)));
  for_rows(context, problem, [&](int64_t n) {
    const RowSums sums = sum_logits(problem, n, smoothing != 0);
    pointer<float>(statistics)[n] = sums.largest;
    pointer<float>(statistics)[problem.rows + n] = float(sums.exponentials);
    losses[n] = 0;
    const int64_t label = problem.target[n];
    if (counts(problem, n)) {
      float room;
      const double at_label = double(*read_block(logits, n, label, 1, &room));
      losses[n] = (1.0 - smoothing) * weight_of(problem, label) * (sums.log_sum_exp - at_label);
      if (smoothing != 0) losses[n] += smoothing / double(classes) * sums.smooth;
    } else if (label != ignore_index) {
      record_error(context, ErrorCode::index,
                   "label %lld of row %lld is outside [0, %lld) and is not ignoreIndex (%lld)", (long long)label,
                   (long long)n, (long long)classes, (long long)ignore_index);
    }
  });
  double weights = 0, sum_of_losses = 0;
  for (int64_t n = 0; n < problem.rows; n++) {
    if (counts(problem, n)) weights += weight_of(problem, problem.target[n]);
    sum_of_losses += losses[n];
    if (reduction == reduce_none) pointer<float>(out)[n] = float(losses[n]);
  }
  *pointer<float>(total) = float(weights);
  if (reduction == reduce_mean) *pointer<float>(out) = float(sum_of_losses / weights);
  if (reduction == reduce_sum) *pointer<float>(out) = float(sum_of_losses);
}

void cross_entropy_backward(Context& context, const View& dlogits, const View& dy, const View& statistics,
                            const View& total, const View& logits, const View& target, const View* weight,
                            int64_t ignore_index, double smoothing, int64_t reduction) {
  Problem problem;
  if (!make_problem(context, problem, logits, target, weight, statistics, total, dy, ignore_index, smoothing,
                    reduction) ||
      !expect(context, same_shape(dlogits, logits), "cross_entropy_backward: dlogits and logits differ in shape"))
    return;
  const int64_t classes = problem.classes;
  const bool narrows = dlogits.dtype == DType::bfloat16, stream = !narrows && streams_rows(problem.rows, classes);
  for_rows(context, problem, [&](int64_t n) {
    if (!counts(problem, n)) {
      const int64_t bytes = classes * (narrows ? 2 : 4);
      return (void)memset(pointer<char>(dlogits) + n * bytes, 0, size_t(bytes));
    }
    double row_gradient = pointer<const float>(dy)[reduction == reduce_none ? n : 0];
    if (reduction == reduce_mean) row_gradient /= double(*pointer<const float>(total));
    const int64_t label = problem.target[n];
    const double at_label = row_gradient * (1.0 - smoothing) * weight_of(problem, label);
    const double everywhere = row_gradient * smoothing / double(classes);

    const Vec center = set(pointer<const float>(statistics)[n]);
    const double exponentials = double(pointer<const float>(statistics)[problem.rows + n]);
    const Vec factor = set(float((at_label + everywhere * problem.weight_sum) / exponentials));
    const Vec constant = set(float(-everywhere));
    alignas(64) float room[row_block], rounded[row_block];
    for (int64_t start = 0; start < classes; start += row_block) {
      const int64_t size = min(classes - start, row_block);
      const float* const x = read_block(logits, n, start, size, room);
      float* const gradient = narrows ? rounded : pointer<float>(dlogits) + n * classes + start;
      if (problem.weight && smoothing != 0) {
        const float* const weights = problem.weight + start;
        write_row(gradient, size, stream, [&](int64_t i, int64_t count) {
          const Vec exponential = exp_of_negative(load_some(x + i, count) - center);
          return fma(exponential, factor, load_some(weights + i, count) * constant);
        });
      } else {
        write_row(gradient, size, stream, [&](int64_t i, int64_t count) {
          __builtin_prefetch(x + i + row_block);
          const Vec exponential = exp_of_negative(load_some(x + i, count) - center);
          return fma(exponential, factor, constant);
        });
      }
      if (label >= start && label < start + size) gradient[label - start] -= float(at_label);
      if (narrows) narrow_bfloat16(size, pointer<uint16_t>(dlogits) + n * classes + start, rounded);
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
