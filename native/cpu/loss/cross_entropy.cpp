// Cross entropy of logits with class indices, fused with the logarithm of softmax. No array of the logits' size is made
// except the gradient.
//
// N rows, C classes, y the label of a row, w the classes' weights (1 without), s the smoothing, W the sum of w:
//   loss = (1 - s) w_y (lse - x_y) + s / C sum_c w_c (lse - x_c)          lse = log sum_c exp(x_c)
//   dx_c = g (((1 - s) w_y + s W / C) exp(x_c - lse) - (1 - s) w_y [c = y] - s / C w_c)
// with g the gradient of the row's loss. mean divides by the sum of w_y over the rows that count, as PyTorch does,
// smoothed or not; rows with y = ignoreIndex and rows with a wrong label count for nothing.
//
// Backward computes exp(x_c - lse) as exp(x_c - m) / sum_c exp(x_c - m), where m is the row's maximum. `statistics` [2,
// N] holds the maxima, then the sums. lse itself, rounded to float32, would be off by a unit of its own size, which is
// 3% of a probability if logits are about 10^6.
//
// Forward reads the logits once. A block of 1024 stays in the first-level cache for its maximum and its exponentials.
// The sum is rescaled when the maximum grows (Milakov and Gimelshein, "Online normalizer calculation for softmax",
// 2018). Backward reads the logits once and writes the gradient once. Sums are float32 within blocks, float64 across.
// Logits and their gradient may be bfloat16: blocks are widened and rounded on the way.
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/stream.h"
#include "labels.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace loss;
using namespace simd;
using softmax::exp_of_negative;

bool make_problem(Context& context, Labels& labels, const View& logits, const View& target, const View* weight,
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
  labels = make_labels(rows, classes, pointer<const int32_t>(target), weight ? pointer<const float>(*weight) : nullptr,
                       ignore_index, smoothing);
  return true;
}

// Elements [start, start + count) of row n. bfloat16 elements are widened into `room`.
const float* read_block(const View& logits, int64_t n, int64_t start, int64_t count, float* room) {
  const int64_t at = n * logits.sizes[1] + start;
  if (logits.dtype == DType::float32) return pointer<const float>(logits) + at;
  widen_bfloat16(count, room, pointer<const uint16_t>(logits) + at);
  return room;
}

template <class F>
void for_rows(Context& context, const Labels& labels, const F& row) {
  for_items(context, even_chunks(labels.rows, labels.classes, softmax::chunk_elements), row);
}

}  // namespace

void cross_entropy_forward(Context& context, const View& out, const View& statistics, const View& total,
                           const View& logits, const View& target, const View* weight, int64_t ignore_index,
                           double smoothing, int64_t reduction) {
  Labels labels;
  if (!make_problem(context, labels, logits, target, weight, statistics, total, out, ignore_index, smoothing,
                    reduction))
    return;
  double* losses = static_cast<double*>(scratch(context, sizeof(double) * size_t(labels.rows)));
  for_rows(context, labels, [&](int64_t n) {
    alignas(64) float room[row_block];
    const auto read = [&](int64_t start, int64_t count) { return read_block(logits, n, start, count, room); };
    const RowSums sums = sum_logits(labels, read);
    pointer<float>(statistics)[n] = sums.largest;
    pointer<float>(statistics)[labels.rows + n] = float(sums.exponentials);
    const int64_t label = labels.target[n];
    losses[n] = counts(labels, n) ? loss_of_row(labels, label, sums, double(*read(label, 1))) : 0;
    check_label(context, labels, n);
  });
  double weights = 0, sum_of_losses = 0;
  for (int64_t n = 0; n < labels.rows; n++) {
    if (counts(labels, n)) weights += weight_of(labels, labels.target[n]);
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
  Labels labels;
  if (!make_problem(context, labels, logits, target, weight, statistics, total, dy, ignore_index, smoothing,
                    reduction) ||
      !expect(context, same_shape(dlogits, logits), "cross_entropy_backward: dlogits and logits differ in shape"))
    return;
  const int64_t classes = labels.classes;
  const bool narrows = dlogits.dtype == DType::bfloat16, stream = !narrows && streams_rows(labels.rows, classes);
  for_rows(context, labels, [&](int64_t n) {
    if (!counts(labels, n)) {
      const int64_t bytes = classes * (narrows ? 2 : 4);
      return (void)memset(pointer<char>(dlogits) + n * bytes, 0, size_t(bytes));
    }
    double gradient_of_loss = pointer<const float>(dy)[reduction == reduce_none ? n : 0];
    if (reduction == reduce_mean) gradient_of_loss /= double(*pointer<const float>(total));
    const int64_t label = labels.target[n];
    const RowGradient row =
        row_gradient(labels, label, gradient_of_loss, double(pointer<const float>(statistics)[labels.rows + n]));
    const Vec center = set(pointer<const float>(statistics)[n]);
    const Vec factor = set(row.factor), constant = set(row.constant);
    alignas(64) float room[row_block], rounded[row_block];
    for (int64_t start = 0; start < classes; start += row_block) {
      const int64_t size = min(classes - start, row_block);
      const float* const x = read_block(logits, n, start, size, room);
      float* const gradient = narrows ? rounded : pointer<float>(dlogits) + n * classes + start;
      if (labels.weight && smoothing != 0) {
        const float* const weights = labels.weight + start;
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
      if (label >= start && label < start + size) gradient[label - start] -= float(row.at_label);
      if (narrows) narrow_bfloat16(size, pointer<uint16_t>(dlogits) + n * classes + start, rounded);
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
