// Cross entropy of the logits x weight^T + bias, which never exist as a whole.
//
// N rows, D features, V classes. Only the rows that count take part, so n counting rows of N cost n / N as much. They
// are cut into groups of some hundred, gathered from x if others lie between them, and for each group
//   z [R, V] = x weight^T + bias                                          2 R V D operations
//   l = c tanh(z / c) with a soft cap c, else z; the sums over its rows, and the losses, of cross_entropy.cpp
//   dz, in the place of z: the gradient of the logits, times 1 - (l / c)^2
//   dx = dz weight, dweight += dz^T x, dbias += the sum of dz's rows      4 R V D operations
// So the memory is that of one group's logits. Cutting along the rows, and computing gradients while the logits exist,
// is the idea of the Liger kernels (Hsu et al., 2024). If each row's loss has its own gradient, which only backward
// knows, backward computes the logits a second time.
//
// Gradients are added over the groups in float32, in order. If x and weight are bfloat16, dz is too, because the
// processor has instructions for that; logits are not rounded.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../gemm/gemm.h"
#include "../simd/math.h"
#include "blocks.h"
#include "labels.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace loss;
using namespace simd;
using gemm::Matrix;

template <class T>
T* room_for(Context& context, int64_t count) {
  return static_cast<T*>(scratch(context, size_t(count) * sizeof(T)));
}

struct Head {
  Labels labels;
  int64_t features;
  Matrix x, weight;  // [N, D], [V, D]
  const float* bias;
  float softcap;        // 0: none
  int64_t count;        // of the rows that count
  const int64_t* rows;  // the numbers of those rows
};

// The gradients. A gradient that is null or empty is not wanted.
struct Gradients {
  const View *x, *weight, *bias;
};

bool is_wanted(const View* gradient) { return gradient && gradient->count > 0; }

const float* widened(Context& context, const View* values) {
  if (!values) return nullptr;
  if (values->dtype == DType::float32) return pointer<const float>(*values);
  float* wide = room_for<float>(context, values->count);
  widen_bfloat16(values->count, wide, pointer<const uint16_t>(*values));
  return wide;
}

bool make_head(Context& context, Head& head, const View& statistics, const Gradients& gradients, const View& x,
               const View& weight, const View* bias, const View& target, const View* class_weight, double softcap,
               int64_t ignore_index, double smoothing) {
  if (!expect(context, x.ndim == 2 && weight.ndim == 2 && x.sizes[1] == weight.sizes[1],
              "linear_cross_entropy: x is not [N, D] or weight not [V, D]"))
    return false;
  const int64_t rows = x.sizes[0], features = x.sizes[1], classes = weight.sizes[0];
  const auto fits = [](const View* gradient, const View& given) {
    return !is_wanted(gradient) || same_shape(*gradient, given);
  };
  if (!expect(context, target.count == rows && statistics.count == 2 * rows,
              "linear_cross_entropy: numbers of rows differ") ||
      !expect(context, !bias || bias->count == classes, "linear_cross_entropy: bias is not [V]") ||
      !expect(context, !class_weight || class_weight->count == classes,
              "linear_cross_entropy: class weights are not [V]") ||
      !expect(context, fits(gradients.x, x) && fits(gradients.weight, weight),
              "linear_cross_entropy: a gradient has not the shape of its tensor") ||
      !expect(context, !is_wanted(gradients.bias) || (bias && gradients.bias->count == classes),
              "linear_cross_entropy: dbias is not [V]"))
    return false;
  head.labels = make_labels(rows, classes, pointer<const int32_t>(target), widened(context, class_weight), ignore_index,
                            smoothing);
  head.features = features;
  head.x = {x.data, features, 1, x.dtype};
  head.weight = {weight.data, features, 1, weight.dtype};
  head.bias = widened(context, bias);
  head.softcap = float(softcap);
  int64_t* counted = room_for<int64_t>(context, rows);
  head.count = 0;
  for (int64_t n = 0; n < rows; n++)
    if (counts(head.labels, n)) counted[head.count++] = n;
  head.rows = counted;
  return true;
}

// Rows of a group. They are whole blocks of depth of the product that sums over them, unless that number is one that
// suits the product with the weight badly.
int64_t group_rows(int64_t classes) {
  const int64_t rows = min(logits_at_once / max(classes, 1), most_rows_at_once);
  if (rows >= rows_of_thread && rows < 2 * rows_of_thread) return rows_of_thread;
  return max(rows / gemm::KC, 1) * gemm::KC;
}

int64_t size_of(DType dtype) { return dtype == DType::bfloat16 ? 2 : 4; }

Chunks chunks_of_rows(int64_t rows, int64_t width) { return {rows, ceil_div(moved_elements, max(width, 1))}; }

// Rows [first, first + count) of those that count, one after another.
Matrix picked_rows_of(Context& context, const Head& head, int64_t first, int64_t count, char* room) {
  const int64_t bytes = head.features * size_of(head.x.dtype);
  const char* data = static_cast<const char*>(head.x.data);
  const int64_t* rows = head.rows + first;
  // Rows without features have no memory, so nothing may be copied from them.
  if (bytes == 0 || rows[count - 1] - rows[0] == count - 1)
    return {data + rows[0] * bytes, head.features, 1, head.x.dtype};
  for_items(context, chunks_of_rows(count, head.features),
            [&](int64_t i) { memcpy(room + i * bytes, data + rows[i] * bytes, size_t(bytes)); });
  return {room, head.features, 1, head.x.dtype};
}

// Writes the gradients of a group's rows to their places.
void place_rows(Context& context, const Head& head, const View& dx, int64_t first, int64_t count, const float* from) {
  const int64_t width = head.features;
  if (width == 0) return;
  for_items(context, chunks_of_rows(count, width), [&](int64_t i) {
    const int64_t at = head.rows[first + i] * width;
    if (dx.dtype == DType::bfloat16)
      narrow_bfloat16(width, pointer<uint16_t>(dx) + at, from + i * width);
    else
      memcpy(pointer<float>(dx) + at, from + i * width, size_t(width) * sizeof(float));
  });
}

void clear_other_rows(Context& context, const Head& head, const View& dx) {
  const int64_t bytes = head.features * size_of(dx.dtype);
  if (bytes == 0) return;
  for_items(context, chunks_of_rows(head.labels.rows, head.features), [&](int64_t n) {
    if (!counts(head.labels, n)) memset(pointer<char>(dx) + n * bytes, 0, size_t(bytes));
  });
}

Vec load_element(const float* from, int64_t count) { return load_some(from, count); }
Vec load_element(const uint16_t* from, int64_t count) {
  if (count == lanes) return load_bfloat16(from);
  uint16_t some[lanes] = {};
  memcpy(some, from, size_t(count) * sizeof(uint16_t));
  return load_bfloat16(some);
}

// sum [V] (+)= the rows of dz. Each group has new sums, so that at most a group's rows are added one after another.
template <class T>
void sum_rows(Context& context, float* sum, Matrix dz, int64_t rows, int64_t columns, bool accumulate) {
  for_chunks(context, {columns, summed_columns}, [&](int64_t begin, int64_t end) {
    alignas(64) float part[summed_columns] = {};
    const int64_t width = end - begin;
    for (int64_t i = 0; i < rows; i++) {
      const T* row = static_cast<const T*>(dz.data) + i * dz.row_stride + begin;
      for_row(width, [&](int64_t j, int64_t count) { store(part + j, load(part + j) + load_element(row + j, count)); });
    }
    for (int64_t j = 0; j < width; j++) sum[begin + j] = accumulate ? sum[begin + j] + part[j] : part[j];
  });
}

// A gradient's sums in float32. If the gradient is float32, its own memory holds them.
float* sums_of(Context& context, const View* gradient) {
  if (!is_wanted(gradient)) return nullptr;
  return gradient->dtype == DType::float32 ? pointer<float>(*gradient) : room_for<float>(context, gradient->count);
}

// Writes the sums to their gradient; zeros if nothing was summed.
void finish_sums(Context& context, const View* gradient, const float* sums, bool empty) {
  if (!sums) return;
  const bool narrows = gradient->dtype == DType::bfloat16;
  if (!narrows && !empty) return;
  for_chunks(context, {gradient->count, moved_elements}, [&](int64_t start, int64_t end) {
    if (empty)
      memset(pointer<char>(*gradient) + start * size_of(gradient->dtype), 0,
             size_t((end - start) * size_of(gradient->dtype)));
    else
      narrow_bfloat16(end - start, pointer<uint16_t>(*gradient) + start, sums + start);
  });
}

void cap_logits(float* logits, int64_t classes, float softcap) {
  const Vec cap = set(softcap), inverse = set(1 / softcap);
  for_row(classes, [&](int64_t i, int64_t count) {
    store_some(logits + i, cap * tanh(load_some(logits + i, count) * inverse), count);
  });
}

// dz in the place of l.
void differentiate_row(const Head& head, float* logits, int64_t label, float largest, const RowGradient& row) {
  const Labels& labels = head.labels;
  const float* const weights = labels.smoothing != 0 ? labels.weight : nullptr;
  const Vec center = set(largest), factor = set(row.factor), constant = set(row.constant);
  const bool capped = head.softcap != 0;
  const Vec inverse = set(capped ? 1 / head.softcap : 0), one = set(1);
  const float part_at_label = logits[label] * (capped ? 1 / head.softcap : 0);
  for_row(labels.classes, [&](int64_t i, int64_t count) {
    const Vec logit = load_some(logits + i, count);
    const Vec everywhere = weights ? load_some(weights + i, count) * constant : constant;
    Vec gradient = fma(softmax::exp_of_negative(logit - center), factor, everywhere);
    if (capped) {
      const Vec part = logit * inverse;
      gradient = gradient * (one - part * part);
    }
    store_some(logits + i, gradient, count);
  });
  logits[label] -= float(row.at_label) * (1 - part_at_label * part_at_label);
}

// Calls each(row, logits) for all rows that count, on all threads. If a gradient is wanted, `each` leaves dz in the
// place of the logits.
template <class Each>
void walk(Context& context, const Head& head, const Gradients& gradients, const Each& each) {
  const int64_t classes = head.labels.classes, features = head.features;
  const int64_t most = min(group_rows(classes), head.count);
  const bool wants_x = is_wanted(gradients.x);
  float* const dweight = sums_of(context, gradients.weight);
  float* const dbias = sums_of(context, gradients.bias);
  const bool differentiates = wants_x || dweight || dbias;
  const bool halves = head.x.dtype == DType::bfloat16 && head.weight.dtype == DType::bfloat16;
  if (wants_x) clear_other_rows(context, head, *gradients.x);
  if (head.count > 0) {
    float* const logits = room_for<float>(context, most * classes);
    char* const room = room_for<char>(context, most * features * size_of(head.x.dtype));
    float* const dx = wants_x ? room_for<float>(context, most * features) : nullptr;
    for (int64_t first = 0; first < head.count; first += most) {
      const int64_t rows = min(most, head.count - first);
      const Matrix x = picked_rows_of(context, head, first, rows, room);
      gemm::multiply(context, rows, classes, features, x, transposed(head.weight), logits, classes, {false, head.bias});
      for_items(context, even_chunks(rows, classes, softmax::chunk_elements), [&](int64_t i) {
        float* const row = logits + i * classes;
        if (head.softcap != 0) cap_logits(row, classes, head.softcap);
        each(head.rows[first + i], row);
        // Rounds into the place of the row's first half, block by block. Every block there has been read by then.
        if (!differentiates || !halves) return;
        alignas(64) float block[row_block];
        for (int64_t start = 0; start < classes; start += row_block) {
          const int64_t count = min(row_block, classes - start);
          memcpy(block, row + start, size_t(count) * sizeof(float));
          narrow_bfloat16(count, reinterpret_cast<uint16_t*>(row) + start, block);
        }
      });
      const Matrix dz{logits, halves ? 2 * classes : classes, 1, halves ? DType::bfloat16 : DType::float32};
      if (wants_x) {
        gemm::multiply(context, rows, features, classes, dz, head.weight, dx, features, {false, nullptr});
        place_rows(context, head, *gradients.x, first, rows, dx);
      }
      if (dweight)
        gemm::multiply(context, classes, features, rows, transposed(dz), x, dweight, features, {first > 0, nullptr});
      if (dbias) (halves ? sum_rows<uint16_t> : sum_rows<float>)(context, dbias, dz, rows, classes, first > 0);
    }
  }
  finish_sums(context, gradients.weight, dweight, head.count == 0);
  finish_sums(context, gradients.bias, dbias, head.count == 0);
}

}  // namespace

void linear_cross_entropy_forward(Context& context, const View& out, const View& statistics, const View* dx,
                                  const View* dweight, const View* dbias, const View& x, const View& weight,
                                  const View* bias, const View& target, const View* class_weight, double softcap,
                                  int64_t ignore_index, double smoothing, int64_t reduction) {
  Head head;
  const Gradients gradients = {dx, dweight, dbias};
  if (!make_head(context, head, statistics, gradients, x, weight, bias, target, class_weight, softcap, ignore_index,
                 smoothing) ||
      !expect(context, reduction >= reduce_none && reduction <= reduce_sum,
              "linear_cross_entropy: unknown reduction") ||
      !expect(context, out.count == (reduction == reduce_none ? head.labels.rows : 1),
              "linear_cross_entropy: the loss has the wrong size"))
    return;
  const Labels& labels = head.labels;
  double* const losses = room_for<double>(context, labels.rows);
  double weights = 0;
  for (int64_t n = 0; n < labels.rows; n++) {
    losses[n] = pointer<float>(statistics)[n] = pointer<float>(statistics)[labels.rows + n] = 0;
    if (counts(labels, n)) weights += weight_of(labels, labels.target[n]);
    check_label(context, labels, n);
  }
  const bool differentiates = is_wanted(dx) || is_wanted(dweight) || is_wanted(dbias);
  const double gradient_of_loss = reduction == reduce_mean ? 1 / double(float(weights)) : 1;
  walk(context, head, gradients, [&](int64_t n, float* logits) {
    const RowSums sums = sum_logits(labels, [&](int64_t start, int64_t) { return logits + start; });
    pointer<float>(statistics)[n] = sums.largest;
    pointer<float>(statistics)[labels.rows + n] = float(sums.exponentials);
    const int64_t label = labels.target[n];
    losses[n] = loss_of_row(labels, label, sums, double(logits[label]));
    if (differentiates)
      differentiate_row(head, logits, label, sums.largest,
                        row_gradient(labels, label, gradient_of_loss, double(float(sums.exponentials))));
  });
  double sum = 0;
  for (int64_t n = 0; n < labels.rows; n++) {
    sum += losses[n];
    if (reduction == reduce_none) pointer<float>(out)[n] = float(losses[n]);
  }
  if (reduction == reduce_mean) *pointer<float>(out) = float(sum / weights);
  if (reduction == reduce_sum) *pointer<float>(out) = float(sum);
}

void linear_cross_entropy_backward(Context& context, const View* dx, const View* dweight, const View* dbias,
                                   const View& dy, const View& statistics, const View& x, const View& weight,
                                   const View* bias, const View& target, const View* class_weight, double softcap,
                                   int64_t ignore_index, double smoothing) {
  Head head;
  const Gradients gradients = {dx, dweight, dbias};
  if (!make_head(context, head, statistics, gradients, x, weight, bias, target, class_weight, softcap, ignore_index,
                 smoothing) ||
      !expect(context, dy.count == head.labels.rows, "linear_cross_entropy: dy is not [N]"))
    return;
  if (!is_wanted(dx) && !is_wanted(dweight) && !is_wanted(dbias)) return;
  const Labels& labels = head.labels;
  walk(context, head, gradients, [&](int64_t n, float* logits) {
    const int64_t label = labels.target[n];
    const double exponentials = double(pointer<const float>(statistics)[labels.rows + n]);
    differentiate_row(head, logits, label, pointer<const float>(statistics)[n],
                      row_gradient(labels, label, double(pointer<const float>(dy)[n]), exponentials));
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
