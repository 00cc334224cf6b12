// Batch normalisation of x [N, C, L] over N and L, forward and backward. Outputs are overwritten, running statistics
// updated.
//
//   h = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), y = h w + b
//   training: dx = w rstd (dy - mean(dy) - h mean(dy h)); else dx = w rstd dy; dw = sum(dy h), db = sum(dy)
//
// A plane (n, c) of L elements is contiguous. Its statistics are taken in two passes, sum and squares about the mean,
// over pieces that stay in the first-level cache. A piece is part of a plane, or several small planes. Pieces are
// merged in order in float64 (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
// variances", 1979), so memory is read once for them. A channel, or some neighbouring channels with small planes, is
// one unit of work for statistics and results, while it is in the cache. If there are too few channels, they are cut
// into parts of whole planes, by the shape alone. If L is 1, registers run across channels, with compensated sums down
// the rows. An empty batch has mean and variance 0, and leaves the running statistics unchanged.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/stream.h"
#include "blocks.h"
#include "statistics.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;

using namespace norm::batch;
using norm::merge;
using norm::Statistics;
using norm::statistics_by;

struct Planes {
  int64_t N, C, L;
  int64_t together, groups;        // channels in one unit of work, several if planes are small; number of such units
  int64_t parts, planes_per_part;  // of a channel
  int64_t planes_per_piece;
  bool far;  // more than second-level caches hold
};

Planes make_planes(const View& x) {
  Planes p{x.sizes[0], x.sizes[1], x.sizes[2], 1, 0, 1, 0, 1, x.count >= far_elements};
  if (p.L > 0) p.together = max(1, min(min(short_run / p.L, most_together), p.C / enough_units));
  p.groups = ceil_div(p.C, p.together);
  if (p.C > 0 && p.C < enough_units && p.N * p.L > work_elements)
    p.parts = min(ceil_div(enough_units, p.C), min(p.N, p.N * p.L / work_elements));
  p.planes_per_part = ceil_div(p.N, p.parts);
  if (p.L > 0 && 2 * p.L <= row_block) p.planes_per_piece = row_block / p.L;
  return p;
}

// The elements that are summed in float32 together: `count` elements of one plane, or of each of `planes` whole planes.
// The next piece is `ahead` elements further, which is too far away for the processor to guess, so it is prefetched; 0
// if that is not needed.
struct Piece {
  int64_t offset, count, planes, ahead;
};

// Calls body(c, piece) for the planes of part `part` of a group's channels, cut into pieces. Pieces of neighbouring
// channels, which are neighbours in memory, follow one another.
template <class F>
FIRESTEEL_INLINE void for_pieces(const Planes& p, int64_t group, int64_t part, const F& body) {
  const int64_t first = group * p.together, last = min(first + p.together, p.C);
  const int64_t end = min((part + 1) * p.planes_per_part, p.N);
  const int64_t planes = p.planes_per_piece;
  for (int64_t n = part * p.planes_per_part; n < end; n += planes)
    for (int64_t c = first; c < last; c++) {
      const int64_t next = c + 1 < last ? p.L : n + planes < end ? (planes * p.C - (last - 1 - first)) * p.L : 0;
      for (int64_t i = 0; i < p.L; i += most_of_piece)
        body(c, Piece{(n * p.C + c) * p.L + i, min(most_of_piece, p.L - i), min(planes, end - n), p.far ? next : 0});
    }
}

// sum_row over a piece, where planes are `stride` elements apart.
template <int K, class F>
FIRESTEEL_INLINE void sum_piece(const Piece& piece, int64_t stride, double (&totals)[K], const F& add) {
  if (piece.planes == 1)
    return sum_row(piece.count, totals, [&](int64_t i, int64_t n, Vec* s) { add(piece.offset + i, n, s); });
  Vec sums[2][K];  // neighbouring planes take turns
  for (int way = 0; way < 2; way++)
    for (int k = 0; k < K; k++) sums[way][k] = zero();
  int64_t at = piece.offset, plane = 0;
  const auto add_plane = [&](int64_t from, Vec* s) {
    for_row(piece.count, [&](int64_t i, int64_t n) { add(from + i, n, s); });
  };
  for (; plane + 2 <= piece.planes; plane += 2, at += 2 * stride) {
    add_plane(at, sums[0]);
    add_plane(at + stride, sums[1]);
  }
  if (plane < piece.planes) add_plane(at, sums[0]);
  for (int k = 0; k < K; k++) totals[k] = double(reduce_add(sums[0][k] + sums[1][k]));
}

// Writes a piece of `to`. body(at, n) returns the register of results of elements [at, at + n).
template <class F>
FIRESTEEL_INLINE void write_piece(const Piece& piece, int64_t stride, float* to, bool stream, const F& body) {
  int64_t at = piece.offset;
  for (int64_t plane = 0; plane < piece.planes; plane++, at += stride)
    write_row(to + at, piece.count, stream, [&](int64_t i, int64_t n) { return body(at + i, n); });
}

template <class F>
void for_units(Context& context, int64_t count, int64_t elements, const F& unit) {
  for_items(context, {count, 1 + work_elements / (elements + 1)}, unit);
}

// Calls collect(group, part) for all parts of a group of channels, then finish(c) for its channels, then apply(group,
// part).
template <class Collect, class Finish, class Apply>
void for_channels(Context& context, const Planes& p, const Collect& collect, const Finish& finish, const Apply& apply) {
  const int64_t elements = p.planes_per_part * p.L * p.together;
  if (p.parts == 1) {
    for_units(context, p.groups, elements, [&](int64_t group) {
      collect(group, int64_t(0));
      const int64_t first = group * p.together, last = min(first + p.together, p.C);
      for (int64_t c = first; c < last; c++) finish(c);
      apply(group, int64_t(0));
    });
  } else {
    for_units(context, p.groups * p.parts, elements, [&](int64_t i) { collect(i / p.parts, i % p.parts); });
    for (int64_t c = 0; c < p.C; c++) finish(c);
    for_units(context, p.groups * p.parts, elements, [&](int64_t i) { apply(i / p.parts, i % p.parts); });
  }
}

// If L is 1, calls body(c, count) for up to `lanes` channels.
template <class F>
void for_channel_groups(Context& context, const Planes& p, const F& body) {
  for_units(context, ceil_div(p.C, lanes), p.N * lanes,
            [&](int64_t group) { body(group * lanes, min(lanes, p.C - group * lanes)); });
}

Statistics statistics_of(const float* x, const Piece& piece, int64_t stride) {
  return statistics_by(x, double(piece.count * piece.planes), piece.ahead,
                       [&](auto& totals, const auto& add) { sum_piece(piece, stride, totals, add); });
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
      !expect(context, training || (running_mean && running_var),
              "batch_norm: running statistics are needed outside of training"))
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

  const int64_t stride = p.C * p.L;
  const bool stream = streams_rows(p.N * p.C, p.L);
  Statistics* parts = nullptr;
  if (training) parts = static_cast<Statistics*>(scratch(context, sizeof(Statistics) * size_t(p.C * p.parts)));
  const auto collect = [&](int64_t group, int64_t part) {
    if (!training) return;
    const int64_t first = group * p.together, last = min(first + p.together, p.C);
    Statistics sums[most_together];
    for (int64_t c = first; c < last; c++) sums[c - first] = {0, 0, 0};
    for_pieces(p, group, part,
               [&](int64_t c, const Piece& piece) { merge(sums[c - first], statistics_of(from, piece, stride)); });
    for (int64_t c = first; c < last; c++) parts[c * p.parts + part] = sums[c - first];
  };
  const auto finish = [&](int64_t c) {
    if (!training) return use_running(c);
    Statistics batch = parts[c * p.parts];
    for (int64_t part = 1; part < p.parts; part++) merge(batch, parts[c * p.parts + part]);
    use_batch(c, batch);
  };
  const auto apply = [&](int64_t group, int64_t part) {
    const float* const source = from;  // no other function sees it, so stores cannot change it
    for_pieces(p, group, part, [&](int64_t c, const Piece& piece) {
      const Vec center = set(means[c]), scale = set(rstds[c] * weight_of(w, c)), shift = set(b ? b[c] : 0.0f);
      write_piece(piece, stride, to, stream,
                  [&](int64_t at, int64_t n) { return fma(load_some(source + at, n) - center, scale, shift); });
    });
    if (stream) finish_streaming();
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

  const int64_t stride = p.C * p.L;
  const bool stream = streams_rows(p.N * p.C, p.L);
  struct Sums {
    double gradient, product;  // of dy and of dy h
  };
  Sums* const parts = static_cast<Sums*>(scratch(context, sizeof(Sums) * size_t(p.C * p.parts)));
  const auto collect = [&](int64_t group, int64_t part) {
    if (!needs_sums) return;
    const int64_t first = group * p.together, last = min(first + p.together, p.C);
    Sums all[most_together];
    for (int64_t c = first; c < last; c++) all[c - first] = {0, 0};
    for_pieces(p, group, part, [&](int64_t c, const Piece& piece) {
      const Vec center = set(means[c]), scale = set(rstds[c]);
      double sums[2];
      sum_piece(piece, stride, sums, [&](int64_t at, int64_t n, Vec* s) {
        const Vec g = load_some(gradient + at, n);
        s[0] = s[0] + g;
        s[1] = fma(g, (load_some(from + at, n) - center) * scale, s[1]);
      });
      all[c - first].gradient += sums[0];
      all[c - first].product += sums[1];
    });
    for (int64_t c = first; c < last; c++) parts[c * p.parts + part] = all[c - first];
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
  const auto apply = [&](int64_t group, int64_t part) {
    if (!to) return;
    const float *const source = from, *const above = gradient;  // as in the forward pass
    for_pieces(p, group, part, [&](int64_t c, const Piece& piece) {
      const Vec center = set(means[c]), scale = set(rstds[c]), factor = set(rstds[c] * weight_of(w, c));
      if (!training)
        return write_piece(piece, stride, to, stream,
                           [&](int64_t at, int64_t n) { return load_some(above + at, n) * factor; });
      const Sums& sums = parts[c * p.parts];
      const Vec mean_gradient = set(float(sums.gradient / count_of_channel));
      const Vec mean_product = set(float(sums.product / count_of_channel));
      write_piece(piece, stride, to, stream, [&](int64_t at, int64_t n) {
        const Vec h = (load_some(source + at, n) - center) * scale;
        return (load_some(above + at, n) - fma(h, mean_product, mean_gradient)) * factor;
      });
    });
    if (stream) finish_streaming();
  };
  for_channels(context, p, collect, finish, apply);
}

}  // namespace firesteel::FIRESTEEL_ISA
