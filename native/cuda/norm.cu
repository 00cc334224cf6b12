// Layer, RMS, group and batch normalisation, forward and backward. Outputs are overwritten.
//
//   h = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), out = h w + b
//   dx = rstd (g - mean(g) - h mean(g h)) with g = dy w; dw = sum of dy h, db = sum of dy
//
// RMS norm has a mean of 0 and no mean(g). A warp or a block handles a row (in batch norm, a block handles a channel).
// It goes over the row once for each of its means and once for the results; all readings but the first come from a
// cache. Variances are computed from distances to the mean. Sums over 64 rows each give dw and db: a second kernel adds
// them in order.
#include "index.h"
#include "normalisation.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

// The place in weight of a row's first element. The place of element i is divide(i, job.length) further.
DEVICE int32_t first_weight(const Normalisation& job, int64_t row) {
  if (job.groups == 1) return 0;
  const int32_t channels = job.columns / static_cast<int32_t>(job.length.size);
  return static_cast<int32_t>(row % job.groups) * channels;
}

DEVICE float weight_at(const Normalisation& job, int32_t at) { return job.weight ? job.weight[at] : 1.0f; }

template <int team>
DEVICE void forward(const Normalisation& job) {
  for_rows<team>(job.rows, [&](int64_t row) {
    const float* x = job.x + row * job.columns;
    float* out = job.out + row * job.columns;
    const int32_t rank = rank_in_team<team>(), first = first_weight(job, row);
    float mean = 0, mine = 0;
    if (job.mean) {
      for (int32_t i = rank; i < job.columns; i += team) mine += x[i];
      mean = sum_of<team>(mine) / float(job.columns);
    }
    mine = 0;
    for (int32_t i = rank; i < job.columns; i += team) mine = multiply_add(x[i] - mean, x[i] - mean, mine);
    const float rstd = float(1.0 / sqrt(double(sum_of<team>(mine)) / job.columns + job.eps));
    if (rank == 0) {
      if (job.mean) job.mean[row] = mean;
      job.rstd[row] = rstd;
    }
    for (int32_t i = rank; i < job.columns; i += team) {
      const int32_t at = first + divide(i, job.length);
      const float h = (x[i] - mean) * rstd * weight_at(job, at);
      out[i] = job.bias ? h + job.bias[at] : h;
    }
  });
}

template <int team>
DEVICE void backward(const Normalisation& job) {
  for_rows<team>(job.rows, [&](int64_t row) {
    const float *x = job.x + row * job.columns, *dy = job.dy + row * job.columns;
    float* dx = job.out + row * job.columns;
    const float mean = job.mean ? job.mean[row] : 0.0f, rstd = job.rstd[row];
    const int32_t rank = rank_in_team<team>(), first = first_weight(job, row);
    float mine_g = 0, mine_gh = 0;
    for (int32_t i = rank; i < job.columns; i += team) {
      const float g = dy[i] * weight_at(job, first + divide(i, job.length));
      mine_g += g;
      mine_gh = multiply_add(g, (x[i] - mean) * rstd, mine_gh);
    }
    const float mean_g = job.mean ? sum_of<team>(mine_g) / float(job.columns) : 0.0f;
    const float mean_gh = sum_of<team>(mine_gh) / float(job.columns);
    for (int32_t i = rank; i < job.columns; i += team) {
      const float g = dy[i] * weight_at(job, first + divide(i, job.length)), h = (x[i] - mean) * rstd;
      dx[i] = rstd * (g - mean_g - h * mean_gh);
    }
  });
}

// A thread handles a column and a part of the rows.
DEVICE void sum_columns(const Normalisation& job) {
  const int64_t parts = (job.rows + rows_of_part - 1) / rows_of_part;
  for (int64_t n = int64_t(blockIdx.x) * 256 + threadIdx.x; n < parts * job.columns; n += int64_t(gridDim.x) * 256) {
    const int64_t part = n / job.columns, column = n - part * job.columns;
    const int64_t last = job.rows < (part + 1) * rows_of_part ? job.rows : (part + 1) * rows_of_part;
    float of_weight = 0, of_bias = 0;
    for (int64_t row = part * rows_of_part; row < last; row++) {
      const float dy = job.dy[row * job.columns + column];
      const float mean = job.mean ? job.mean[row] : 0.0f;
      of_weight = multiply_add(dy, (job.x[row * job.columns + column] - mean) * job.rstd[row], of_weight);
      of_bias += dy;
    }
    job.parts[n] = of_weight;
    job.parts[parts * job.columns + n] = of_bias;
  }
}

DEVICE void add_columns(const Normalisation& job) {
  const int64_t parts = (job.rows + rows_of_part - 1) / rows_of_part;
  for (int64_t column = int64_t(blockIdx.x) * 256 + threadIdx.x; column < job.columns;
       column += int64_t(gridDim.x) * 256) {
    double of_weight = 0, of_bias = 0;
    for (int64_t part = 0; part < parts; part++) {
      of_weight += job.parts[part * job.columns + column];
      of_bias += job.parts[(parts + part) * job.columns + column];
    }
    if (job.dweight) job.dweight[column] = float(of_weight);
    if (job.dbias) job.dbias[column] = float(of_bias);
  }
}

// Calls each(place, image) for this thread's elements of a channel.
template <class F>
DEVICE void for_channel(const Normalisation& job, uint32_t channel, const F& each) {
  const uint32_t length = job.length.size, count = static_cast<uint32_t>(job.images) * length;
  for (uint32_t n = threadIdx.x; n < count; n += 256) {
    const uint32_t image = divide(n, job.length);
    each((int64_t(image) * job.channels + channel) * length + (n - image * length), image);
  }
}

template <class F>
DEVICE float sum_channel(const Normalisation& job, uint32_t channel, const F& term) {
  float mine = 0;
  for_channel(job, channel, [&](int64_t at, uint32_t image) { mine += term(at, image); });
  return sum_of<256>(mine);
}

DEVICE void batch_forward(const Normalisation& job) {
  const uint32_t count = static_cast<uint32_t>(job.images) * job.length.size;
  for (uint32_t channel = blockIdx.x; channel < static_cast<uint32_t>(job.channels); channel += gridDim.x) {
    float mean, rstd;
    if (job.training) {
      const float sum = sum_channel(job, channel, [&](int64_t at, uint32_t) { return job.x[at]; });
      mean = count > 0 ? float(double(sum) / count) : 0;
      const float squares = sum_channel(job, channel, [&](int64_t at, uint32_t) {
        const float distance = job.x[at] - mean;
        return distance * distance;
      });
      rstd = float(1.0 / sqrt((count > 0 ? double(squares) / count : 0.0) + job.eps));
      if (threadIdx.x == 0 && count > 0) {
        const double unbiased = count > 1 ? double(squares) / (count - 1) : 0;
        if (job.running_mean)
          job.running_mean[channel] = float((1 - job.momentum) * job.running_mean[channel] + job.momentum * mean);
        if (job.running_var)
          job.running_var[channel] = float((1 - job.momentum) * job.running_var[channel] + job.momentum * unbiased);
      }
    } else {
      mean = job.running_mean[channel];
      rstd = float(1.0 / sqrt(double(job.running_var[channel]) + job.eps));
    }
    if (threadIdx.x == 0) {
      job.mean[channel] = mean;
      job.rstd[channel] = rstd;
    }
    const float scale = weight_at(job, channel), shift = job.bias ? job.bias[channel] : 0.0f;
    for_channel(job, channel, [&](int64_t at, uint32_t) { job.out[at] = (job.x[at] - mean) * rstd * scale + shift; });
  }
}

// dw and db of a channel, whose statistics are its own or those of its group in each image; and dx of batch norm.
DEVICE void channel_backward(const Normalisation& job) {
  const double count = double(job.images) * job.length.size;
  const uint32_t together = job.groups > 0 ? job.channels / job.groups : 1;
  for (uint32_t channel = blockIdx.x; channel < static_cast<uint32_t>(job.channels); channel += gridDim.x) {
    const auto h = [&](int64_t at, uint32_t image) {
      const int64_t row = job.groups > 0 ? int64_t(image) * job.groups + channel / together : channel;
      return (job.x[at] - job.mean[row]) * job.rstd[row];
    };
    const float of_weight =
        sum_channel(job, channel, [&](int64_t at, uint32_t image) { return job.dy[at] * h(at, image); });
    const float of_bias = sum_channel(job, channel, [&](int64_t at, uint32_t) { return job.dy[at]; });
    if (threadIdx.x == 0) {
      if (job.dweight) job.dweight[channel] = of_weight;
      if (job.dbias) job.dbias[channel] = of_bias;
    }
    if (!job.out) continue;
    const float scale = job.rstd[channel] * weight_at(job, channel);
    const float mean_g = job.training ? float(of_bias / count) : 0.0f;
    const float mean_gh = job.training ? float(of_weight / count) : 0.0f;
    for_channel(job, channel, [&](int64_t at, uint32_t image) {
      job.out[at] = scale * (job.dy[at] - mean_g - h(at, image) * mean_gh);
    });
  }
}

}  // namespace

#define ROWS(name, body)                                                          \
  KERNEL(name##_32, const __grid_constant__ Normalisation job) { body<32>(job); } \
  KERNEL(name##_256, const __grid_constant__ Normalisation job) { body<256>(job); }

ROWS(norm_forward, forward)
ROWS(norm_backward, backward)
KERNEL(norm_sum_columns, const __grid_constant__ Normalisation job) { sum_columns(job); }
KERNEL(norm_add_columns, const __grid_constant__ Normalisation job) { add_columns(job); }
KERNEL(norm_batch_forward, const __grid_constant__ Normalisation job) { batch_forward(job); }
KERNEL(norm_channel_backward, const __grid_constant__ Normalisation job) { channel_backward(job); }
