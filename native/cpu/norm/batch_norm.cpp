// Batch normalisation of x [N, C, L] over N and L, forward and backward. Outputs are overwritten, running statistics
// updated.
//
//   h = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), y = h w + b
//   training: dx = w rstd (dy - mean(dy) - h mean(dy h)); else dx = w rstd dy; dw = sum(dy h), db = sum(dy)
//
// A plane (n, c) of L elements is contiguous. Its statistics are taken in two passes, sum and squares about the mean,
// over pieces that stay in the first-level cache, and pieces are merged in order in float64 (Chan, Golub and LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances", 1979): memory is read once for them. A
// channel is one unit of work, statistics and result, while it is in the cache; where there are too few channels they
// are cut into parts of whole planes, by the shape alone. Where L is 1, registers run across channels, with
// compensated sums down the rows. An empty batch has mean and variance 0 and leaves the running statistics as they
// are.
#include <math.h>

#include "../../generated/kernels.h"
#include "../simd/row.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;

constexpr int64_t chunk_elements = 16384;
constexpr int64_t piece = 4096;
constexpr int64_t enough_units = 16;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Planes {
  int64_t N, C, L;
  int64_t parts, planes_per_part;  // of a channel
};

Planes make_planes(const View& x) {
  Planes p{x.sizes[0], x.sizes[1], x.sizes[2], 1, 0};
  if (p.C > 0 && p.C < enough_units && p.N * p.L > chunk_elements)
    p.parts = smaller((enough_units + p.C - 1) / p.C, smaller(p.N, p.N * p.L / chunk_elements));
  p.planes_per_part = (p.N + p.parts - 1) / p.parts;
  return p;
}

// Calls body(offset, count) for the planes of part `part` of channel c, cut into pieces.
template <class F>
void for_pieces(const Planes& p, int64_t c, int64_t part, const F& body) {
  const int64_t end = smaller((part + 1) * p.planes_per_part, p.N);
  for (int64_t n = part * p.planes_per_part; n < end; n++)
    for (int64_t i = 0; i < p.L; i += piece) body((n * p.C + c) * p.L + i, smaller(piece, p.L - i));
}

template <class F>
void for_units(Context& context, int64_t count, int64_t elements, const F& unit) {
  if (count == 0) return;
  const int64_t per_chunk = 1 + chunk_elements / (elements + 1);
  parallel(context, (count + per_chunk - 1) / per_chunk, [&](int64_t chunk) {
    const int64_t end = smaller((chunk + 1) * per_chunk, count);
    for (int64_t i = chunk * per_chunk; i < end; i++) unit(i);
  });
}

// collect(c, part) for all parts of a channel, then finish(c), then apply(c, part).
template <class Collect, class Finish, class Apply>
void for_channels(Context& context, const Planes& p, const Collect& collect, const Finish& finish, const Apply& apply) {
  const int64_t elements = p.planes_per_part * p.L;
  if (p.parts == 1) {
    for_units(context, p.C, elements, [&](int64_t c) {
      collect(c, int64_t(0));
      finish(c);
      apply(c, int64_t(0));
    });
  } else {
    for_units(context, p.C * p.parts, elements, [&](int64_t i) { collect(i / p.parts, i % p.parts); });
    for (int64_t c = 0; c < p.C; c++) finish(c);
    for_units(context, p.C * p.parts, elements, [&](int64_t i) { apply(i / p.parts, i % p.parts); });
  }
}

// Where L is 1: body(c, count) for up to `lanes` channels.
template <class F>
void for_channel_groups(Context& context, const Planes& p, const F& body) {
  for_units(context, (p.C + lanes - 1) / lanes, p.N * lanes,
            [&](int64_t group) { body(group * lanes, smaller(lanes, p.C - group * lanes)); });
}

struct Statistics {
  double count, mean, squares;  // squares: sum of (x - mean)^2
};

void merge(Statistics& a, const Statistics& b) {
  if (b.count == 0) return;
  const double count = a.count + b.count, distance = b.mean - a.mean;
  a.mean += distance * (b.count / count);
  a.squares += b.squares + distance * distance * (a.count * b.count / count);
  a.count = count;
}

Statistics statistics_of(const float* x, int64_t count) {
  double sum[1];
  sum_row(count, sum, [&](int64_t i, int64_t n, Vec* s) { s[0] = s[0] + load_some(x + i, n); });
  const float mean = float(sum[0] / double(count));
  const Vec center = set(mean);
  double about[2];  // sums of distances to the rounded mean, and of their squares
  sum_row(count, about, [&](int64_t i, int64_t n, Vec* s) {
    const Vec distance = first_of(load_some(x + i, n) - center, n, zero());
    s[0] = s[0] + distance;
    s[1] = fma(distance, distance, s[1]);
  });
  const double rest = about[0] / double(count);
  return {double(count), double(mean) + rest, about[1] - rest * about[0]};
}

float weight_of(const float* weight, int64_t c) { return weight ? weight[c] : 1.0f; }

const float* optional_floats(const View* view) { return view ? pointer<const float>(*view) : nullptr; }
float* optional_output(const View* view) { return view ? pointer<float>(*view) : nullptr; }

bool has_channels(const View* view, int64_t channels) { return !view || view->count == channels; }

}  // namespace

void batch_norm_forward(Context& context, const View& out, const View& mean, const View& rstd, const View& x,
                        const View* weight, const View* bias, const View* running_mean, const View* running_var,
                        double momentum, double eps, bool training) {
  if (!expect(context, x.ndim == 3 && same_shape(out, x), "batch_norm: x or out is not [N, C, L]")) return;
  const Planes p = make_planes(x);
  if (!expect(context,
              mean.count == p.C && rstd.count == p.C && has_channels(weight, p.C) && has_channels(bias, p.C) &&
                  has_channels(running_mean, p.C) && has_channels(running_var, p.C),
              "batch_norm: a vector is not [C]") ||
      !expect(context, training || (running_mean && running_var), "batch_norm: there are no running statistics"))
    return;
  const float *from = pointer<const float>(x), *w = optional_floats(weight), *b = optional_floats(bias);
  float *to = pointer<float>(out), *means = pointer<float>(mean), *rstds = pointer<float>(rstd);
  float *running_means = optional_output(running_mean), *running_vars = optional_output(running_var);

  const auto use_running = [&](int64_t c) {
    means[c] = running_means[c];
    rstds[c] = float(1.0 / ::sqrt(double(running_vars[c]) + eps));
  };
  const auto use_batch = [&](int64_t c, const Statistics& batch) {
    const double variance = batch.count > 0 ? batch.squares / batch.count : 0;
    means[c] = float(batch.mean);
    rstds[c] = float(1.0 / ::sqrt(variance + eps));
    if (batch.count == 0) return;
    const double unbiased = batch.count > 1 ? batch.squares / (batch.count - 1) : 0;
    if (running_means) running_means[c] = float((1 - momentum) * running_means[c] + momentum * batch.mean);
    if (running_vars) running_vars[c] = float((1 - momentum) * running_vars[c] + momentum * unbiased);
  };

  if (p.L == 1) {
    for_channel_groups(context, p, [&](int64_t c, int64_t count) {
      if (training) {
        LaneSums sums, squares;
        for (int64_t n = 0; n < p.N; n++) add_to(sums, load_some(from + n * p.C + c, count));
        const Vec center = sums.sum / set(float(p.N > 0 ? p.N : 1));
        for (int64_t n = 0; n < p.N; n++) {
          const Vec distance = load_some(from + n * p.C + c, count) - center;
          add_to(squares, distance * distance);
        }
        float center_of[lanes], squares_of[lanes];
        store(center_of, center);
        store(squares_of, squares.sum);
        for (int64_t i = 0; i < count; i++) use_batch(c + i, {double(p.N), center_of[i], squares_of[i]});
      } else {
        for (int64_t i = 0; i < count; i++) use_running(c + i);
      }
      const Vec center = load_some(means + c, count);
      const Vec scale = load_some(rstds + c, count) * (w ? load_some(w + c, count) : set(1.0f));
      const Vec shift = b ? load_some(b + c, count) : zero();
      for (int64_t n = 0; n < p.N; n++)
        store_some(to + n * p.C + c, fma(load_some(from + n * p.C + c, count) - center, scale, shift), count);
    });
    return;
  }

  Statistics* parts = nullptr;
  if (training) parts = static_cast<Statistics*>(scratch(context, sizeof(Statistics) * size_t(p.C * p.parts)));
  const auto collect = [&](int64_t c, int64_t part) {
    if (!training) return;
    Statistics sum{0, 0, 0};
    for_pieces(p, c, part, [&](int64_t offset, int64_t count) { merge(sum, statistics_of(from + offset, count)); });
    parts[c * p.parts + part] = sum;
  };
  const auto finish = [&](int64_t c) {
    if (!training) return use_running(c);
    Statistics batch = parts[c * p.parts];
    for (int64_t part = 1; part < p.parts; part++) merge(batch, parts[c * p.parts + part]);
    use_batch(c, batch);
  };
  const auto apply = [&](int64_t c, int64_t part) {
    const Vec center = set(means[c]), scale = set(rstds[c] * weight_of(w, c)), shift = set(b ? b[c] : 0.0f);
    for_pieces(p, c, part, [&](int64_t offset, int64_t count) {
      for_row(count, [&](int64_t i, int64_t n) {
        store_some(to + offset + i, fma(load_some(from + offset + i, n) - center, scale, shift), n);
      });
    });
  };
  for_channels(context, p, collect, finish, apply);
}

void batch_norm_backward(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy,
                         const View& x, const View& mean, const View& rstd, const View* weight, bool training) {
  if (!expect(context, x.ndim == 3 && same_shape(dy, x) && (!dx || same_shape(*dx, x)),
              "batch_norm_backward: x, dy or dx is not [N, C, L]"))
    return;
  const Planes p = make_planes(x);
  if (!expect(context,
              mean.count == p.C && rstd.count == p.C && has_channels(weight, p.C) && has_channels(dweight, p.C) &&
                  has_channels(dbias, p.C),
              "batch_norm_backward: a vector is not [C]"))
    return;
  const float *gradient = pointer<const float>(dy), *from = pointer<const float>(x), *w = optional_floats(weight);
  const float *means = pointer<const float>(mean), *rstds = pointer<const float>(rstd);
  float *to = optional_output(dx), *dw = optional_output(dweight), *db = optional_output(dbias);
  const bool needs_sums = dw || db || (to && training);
  const double count_of_channel = double(p.N) * double(p.L);

  if (p.L == 1) {
    for_channel_groups(context, p, [&](int64_t c, int64_t count) {
      const Vec center = load_some(means + c, count), scale = load_some(rstds + c, count);
      const auto normalised = [&](int64_t n) { return (load_some(from + n * p.C + c, count) - center) * scale; };
      LaneSums sum, product;
      for (int64_t n = 0; needs_sums && n < p.N; n++) {
        const Vec g = load_some(gradient + n * p.C + c, count);
        add_to(sum, g);
        add_to(product, g * normalised(n));
      }
      if (db) store_some(db + c, sum.sum, count);
      if (dw) store_some(dw + c, product.sum, count);
      if (!to) return;
      const Vec factor = scale * (w ? load_some(w + c, count) : set(1.0f));
      const Vec share = set(training ? float(1.0 / count_of_channel) : 0.0f);
      for (int64_t n = 0; n < p.N; n++) {
        const Vec through_statistics = (sum.sum + normalised(n) * product.sum) * share;
        const Vec g = load_some(gradient + n * p.C + c, count);
        store_some(to + n * p.C + c, (training ? g - through_statistics : g) * factor, count);
      }
    });
    return;
  }

  struct Sums {
    double gradient, product;  // of dy and of dy h
  };
  Sums* const parts = static_cast<Sums*>(scratch(context, sizeof(Sums) * size_t(p.C * p.parts)));
  const auto collect = [&](int64_t c, int64_t part) {
    if (!needs_sums) return;
    const Vec center = set(means[c]), scale = set(rstds[c]);
    double totals[2] = {0, 0};
    for_pieces(p, c, part, [&](int64_t offset, int64_t count) {
      double sums[2];
      sum_row(count, sums, [&](int64_t i, int64_t n, Vec* s) {
        const Vec g = load_some(gradient + offset + i, n);
        s[0] = s[0] + g;
        s[1] = fma(g, (load_some(from + offset + i, n) - center) * scale, s[1]);
      });
      totals[0] += sums[0];
      totals[1] += sums[1];
    });
    parts[c * p.parts + part] = {totals[0], totals[1]};
  };
  const auto finish = [&](int64_t c) {
    if (!needs_sums) return;
    Sums& first = parts[c * p.parts];  // from here on of the whole channel
    for (int64_t part = 1; part < p.parts; part++) {
      first.gradient += parts[c * p.parts + part].gradient;
      first.product += parts[c * p.parts + part].product;
    }
    if (db) db[c] = float(first.gradient);
    if (dw) dw[c] = float(first.product);
  };
  const auto apply = [&](int64_t c, int64_t part) {
    if (!to) return;
    const Vec center = set(means[c]), scale = set(rstds[c]), factor = set(rstds[c] * weight_of(w, c));
    const Sums sums = training ? parts[c * p.parts] : Sums{0, 0};
    const Vec mean_gradient = set(float(sums.gradient / count_of_channel));
    const Vec mean_product = set(float(sums.product / count_of_channel));
    for_pieces(p, c, part, [&](int64_t offset, int64_t count) {
      if (training) {
        for_row(count, [&](int64_t i, int64_t n) {
          const Vec h = (load_some(from + offset + i, n) - center) * scale;
          const Vec g = load_some(gradient + offset + i, n) - fma(h, mean_product, mean_gradient);
          store_some(to + offset + i, g * factor, n);
        });
      } else {
        for_row(count, [&](int64_t i, int64_t n) {
          store_some(to + offset + i, load_some(gradient + offset + i, n) * factor, n);
        });
      }
    });
  };
  for_channels(context, p, collect, finish, apply);
}

}  // namespace firesteel::FIRESTEEL_ISA
