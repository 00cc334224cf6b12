// Cross entropy of the logits x weight^T + bias, which never exist as a whole (Hsu et al., "Liger kernel", 2024).
//
// One block lists the rows that count. Groups of some hundred rows take turns in one piece of memory. The rows of x are
// gathered, and a product makes their logits. A block for each row turns the logits into the row's loss and into the
// logits' gradient, which replaces the logits or is rounded and stored beside them. Products make the gradients of x
// and weight from it. Only the GPU knows how many rows count, so the host launches groups for all rows, and superfluous
// groups end at once.
//
// A row's logits are read twice (three times if labels are smoothed), and their gradient is written once. A soft cap c
// turns the logit z into l = c tanh(z / c), and multiplies the gradient of l by 1 - (l / c)^2.
#include "head.h"
#include "label_rows.h"

using namespace firesteel::cuda;

namespace {

struct Votes {
  uint32_t of[warps_of_block];
};

// Runs in one block. If there are losses, it writes zeros for rows that do not count, and reports wrong labels.
DEVICE void list_rows(const Head& job) {
  SHARED(Votes, votes);
  const Labels& labels = job.labels;
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  int32_t listed = 0;
  double weights = 0;
  for (int64_t start = 0; start < labels.rows; start += 256) {
    const int64_t row = start + thread;
    const bool here = row < labels.rows && counts(labels, labels.target[row]);
    const uint32_t vote = __ballot_sync(~0u, here);
    if (thread % 32 == 0) votes.of[thread / 32] = vote;
    __syncthreads();
    int32_t earlier = 0, all = 0;
    for (int32_t w = 0; w < warps_of_block; w++) {
      if (w < thread / 32) earlier += __popc(votes.of[w]);
      all += __popc(votes.of[w]);
    }
    if (here) {
      job.rows[listed + earlier + __popc(vote & ((1u << thread % 32) - 1))] = static_cast<int32_t>(row);
      weights += weight_of(labels, labels.target[row]);
    } else if (row < labels.rows && labels.losses) {
      check_label(labels, row, labels.target[row]);
      labels.losses[row] = 0;
      labels.statistics[row] = labels.statistics[labels.rows + row] = 0;
    }
    listed += all;
    // The barrier is needed because the next votes overwrite these.
    __syncthreads();
  }
  weights = sum_of<256>(weights);
  if (thread != 0) return;
  *job.count = listed;
  if (labels.total) *labels.total = float(weights);
}

DEVICE int32_t rows_of_group(const Head& job) {
  const int32_t left = *job.count - job.first;
  return left < job.together ? left : job.together;
}

// Calls move(element of the group's memory, element among all rows).
template <class F>
DEVICE void for_elements(const Head& job, const F& move) {
  const int64_t count = rows_of_group(job) * job.width;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < count; n += int64_t(gridDim.x) * 256) {
    const int64_t row = n / job.width;
    move(n, job.rows[job.first + row] * job.width + n - row * job.width);
  }
}

// T has the width of one element, or of 16 bytes.
template <class T>
DEVICE void gather(const Head& job) {
  for_elements(job, [&](int64_t here, int64_t there) {
    store(static_cast<T*>(job.to) + here, load<T>(static_cast<const T*>(job.from) + there));
  });
}

template <class T>
DEVICE void place(const Head& job) {
  for_elements(job, [&](int64_t here, int64_t there) {
    static_cast<T*>(job.to)[there] = narrow<T>(static_cast<const float*>(job.from)[here]);
  });
}

// Computes the gradient of a row's logits, in their place if T is float.
template <class T>
DEVICE void differentiate(const Head& job, int64_t i, int32_t label, double gradient, float largest, float sum) {
  const Labels& labels = job.labels;
  const RowGradient of = row_gradient<256>(labels, label, gradient, sum);
  const float* x = job.logits + i * labels.classes;
  T* dx = static_cast<T*>(job.dlogits) + i * job.stride;
  const float inverse = job.softcap != 0 ? 1 / job.softcap : 0.0f;
  for (int32_t c = rank_in_team<256>(); c < labels.classes; c += 256) {
    const float part = x[c] * inverse;
    dx[c] = narrow<T>(gradient_at(labels, of, c, label, x[c] - largest) * (1 - part * part));
  }
}

// Each thread caps the logits that it alone reads until the next barrier.
DEVICE void cap(const Head& job, float* x) {
  if (job.softcap == 0) return;
  for (int32_t c = rank_in_team<256>(); c < job.labels.classes; c += 256)
    x[c] = job.softcap * tanhf(x[c] * (1 / job.softcap));
}

template <class T>
DEVICE void forward(const Head& job) {
  const Labels& labels = job.labels;
  for_rows<256>(rows_of_group(job), [&](int64_t i) {
    float* x = job.logits + i * labels.classes;
    cap(job, x);
    Exponentials mine = {-INFINITY, 0.0f};
    for (int32_t c = rank_in_team<256>(); c < labels.classes; c += 256) add(mine, x[c]);
    const Exponentials all = of_team<256>(mine);
    const double smooth = smooth_part<256>(labels, all, [&](int32_t c) { return x[c]; });
    const int64_t row = job.rows[job.first + i];
    const int32_t label = labels.target[row];
    if (threadIdx.x == 0) {
      labels.statistics[row] = all.largest;
      labels.statistics[labels.rows + row] = all.sum;
      labels.losses[row] = loss_of_row(labels, label, all, x[label], smooth);
    }
    if (!job.dlogits) return;
    // The barrier is needed because the gradient replaces the logits, of which the first thread has just read one.
    __syncthreads();
    const double gradient = labels.reduction == reduce_mean ? 1 / double(*labels.total) : 1.0;
    differentiate<T>(job, i, label, gradient, all.largest, all.sum);
  });
}

template <class T>
DEVICE void backward(const Head& job) {
  const Labels& labels = job.labels;
  for_rows<256>(rows_of_group(job), [&](int64_t i) {
    cap(job, job.logits + i * labels.classes);
    const int64_t row = job.rows[job.first + i];
    differentiate<T>(job, i, labels.target[row], labels.out[row], labels.statistics[row],
                     labels.statistics[labels.rows + row]);
  });
}

// Sums the columns of the group's gradients. A thread has one column.
template <class T>
DEVICE void add_columns(const Head& job) {
  const int32_t rows = rows_of_group(job);
  for_rows<1>(job.width, [&](int64_t c) {
    const T* column = static_cast<const T*>(job.from) + c;
    float sum = 0;
    for (int32_t i = 0; i < rows; i++) sum += widen(column[i * job.stride]);
    float* to = static_cast<float*>(job.to) + c;
    *to = job.begins ? sum : *to + sum;
  });
}

template <class T, class From>
DEVICE void convert(const Converted& job) {
  for_rows<1>(job.count,
              [&](int64_t n) { static_cast<T*>(job.to)[n] = narrow<T>(widen(static_cast<const From*>(job.from)[n])); });
}

struct alignas(16) Sixteen {
  uint32_t of[4];
};

}  // namespace

#define HEAD(name, body) \
  KERNEL(name, const __grid_constant__ Head job) { body(job); }

HEAD(head_list, list_rows)
HEAD(head_gather_2, gather<uint16_t>)
HEAD(head_gather_4, gather<uint32_t>)
HEAD(head_gather_16, gather<Sixteen>)
HEAD(head_forward_float32, forward<float>)
HEAD(head_forward_bfloat16, forward<bfloat16>)
HEAD(head_backward_float32, backward<float>)
HEAD(head_backward_bfloat16, backward<bfloat16>)
HEAD(head_place_float32, place<float>)
HEAD(head_place_bfloat16, place<bfloat16>)
HEAD(head_add_columns_float32, add_columns<float>)
HEAD(head_add_columns_bfloat16, add_columns<bfloat16>)
KERNEL(head_widen, const __grid_constant__ Converted job) { convert<float, bfloat16>(job); }
KERNEL(head_narrow, const __grid_constant__ Converted job) { convert<bfloat16, float>(job); }
