// Group normalisation of x [N, C, L], forward and backward. Outputs are overwritten.
//
//   h = (x - mean) rstd, rstd = 1 / sqrt(variance + eps), out = h w + b, w and b of the channel
//   dx = rstd (g - mean(g) - h mean(g h)) with g = dy w; dw = sum of dy h, db = sum of dy, over N and L
//
// A row is the C / groups planes of a group of an image, which are contiguous and normalised together. Rows are units
// of work, so that all passes meet them in the cache. If rows are few, the passes are cut by pieces of rows and by
// planes, by the shape alone. Sums of a row are those of its pieces (forward, merged as batch norm's are) or of its
// planes (backward, where dw and db need these too), in order, in float64. Reads 4 and writes 4 bytes an element
// forward, 8 and 4 backward.
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../simd/stream.h"
#include "blocks.h"
#include "statistics.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;
using namespace norm::group;
using norm::merge;
using norm::Statistics;

struct Groups {
  int64_t N, C, L, groups;
  int64_t rows, channels, size;  // of all images; channels and elements of a row
  bool few;                      // whether rows are so few that they are cut
};

// Reads the groups. If they do not divide the channels, records an error and returns false.
bool read_groups(Context& context, const View& x, int64_t groups, Groups& g) {
  if (!expect(context, x.ndim == 3 && groups >= 1 && x.sizes[1] % groups == 0,
              "group_norm: x is not [N, C, L] with C in groups"))
    return false;
  g = {x.sizes[0], x.sizes[1], x.sizes[2], groups, x.sizes[0] * groups, x.sizes[1] / groups, 0, false};
  g.size = g.channels * g.L;
  g.few = g.rows < enough_rows && g.size > 2 * piece_elements;
  return true;
}

template <class F>
void for_units(Context& context, int64_t count, int64_t elements, const F& unit) {
  for_items(context, {count, 1 + work_elements / (elements + 1)}, unit);
}

Statistics statistics_of(const float* x, int64_t count) {
  return norm::statistics_by(x, double(count), 0, [&](auto& totals, const auto& add) { sum_row(count, totals, add); });
}

bool are_channels(const View* view, int64_t channels) { return !view || view->count == channels; }
const float* floats_of(const View* view) { return view ? pointer<const float>(*view) : nullptr; }
float* output_of(const View* view) { return view ? pointer<float>(*view) : nullptr; }

struct Sums {
  double gradient, product;  // of dy and of dy h
};

}  // namespace

void group_norm_forward(Context& context, const View& out, const View& mean, const View& rstd, const View& x,
                        const View* weight, const View* bias, int64_t groups, double eps) {
  Groups g;
  if (!read_groups(context, x, groups, g) ||
      !expect(context, same_shape(out, x) && mean.count == g.rows && rstd.count == g.rows,
              "group_norm: out, mean or rstd does not fit x") ||
      !expect(context, are_channels(weight, g.C) && are_channels(bias, g.C), "group_norm: weight or bias is not [C]"))
    return;
  const float *from = pointer<const float>(x), *w = floats_of(weight), *b = floats_of(bias);
  float *to = pointer<float>(out), *means = pointer<float>(mean), *rstds = pointer<float>(rstd);
  const int64_t pieces = max(int64_t(1), ceil_div(g.size, piece_elements));
  const bool stream = streams_rows(g.N * g.C, g.L);

  const auto statistics_of_piece = [&](int64_t row, int64_t piece) {
    const int64_t start = piece * piece_elements;
    return statistics_of(from + row * g.size + start, min(piece_elements, g.size - start));
  };
  const auto finish = [&](int64_t row, const Statistics& all) {
    means[row] = float(all.mean);
    rstds[row] = float(1.0 / ::sqrt((all.count > 0 ? all.squares / all.count : 0) + eps));
  };
  const auto apply = [&](int64_t plane) {
    const int64_t row = plane / g.channels, channel = plane % g.C;
    const float* const source = from + plane * g.L;
    const Vec center = set(means[row]), scale = set(w ? rstds[row] * w[channel] : rstds[row]);
    const Vec shift = set(b ? b[channel] : 0.0f);
    write_row(to + plane * g.L, g.L, stream,
              [&](int64_t i, int64_t n) { return fma(load_some(source + i, n) - center, scale, shift); });
  };

  if (!g.few) {
    for_units(context, g.rows, g.size, [&](int64_t row) {
      Statistics all{0, 0, 0};
      for (int64_t piece = 0; piece < pieces && g.size > 0; piece++) merge(all, statistics_of_piece(row, piece));
      finish(row, all);
      for (int64_t c = 0; c < g.channels; c++) apply(row * g.channels + c);
      if (stream) finish_streaming();
    });
    return;
  }
  Statistics* const parts = static_cast<Statistics*>(scratch(context, sizeof(Statistics) * size_t(g.rows * pieces)));
  for_units(context, g.rows * pieces, piece_elements,
            [&](int64_t i) { parts[i] = statistics_of_piece(i / pieces, i % pieces); });
  for (int64_t row = 0; row < g.rows; row++) {
    Statistics all{0, 0, 0};
    for (int64_t piece = 0; piece < pieces; piece++) merge(all, parts[row * pieces + piece]);
    finish(row, all);
  }
  for_units(context, g.N * g.C, g.L, [&](int64_t plane) {
    apply(plane);
    if (stream) finish_streaming();
  });
}

void group_norm_backward(Context& context, const View* dx, const View* dweight, const View* dbias, const View& dy,
                         const View& x, const View& mean, const View& rstd, const View* weight, int64_t groups) {
  Groups g;
  if (!read_groups(context, x, groups, g) ||
      !expect(context, same_shape(dy, x) && (!dx || same_shape(*dx, x)) && mean.count == g.rows && rstd.count == g.rows,
              "group_norm_backward: dy, dx, mean or rstd does not fit x") ||
      !expect(context, are_channels(weight, g.C) && are_channels(dweight, g.C) && are_channels(dbias, g.C),
              "group_norm_backward: a vector is not [C]"))
    return;
  const float *gradient = pointer<const float>(dy), *from = pointer<const float>(x), *w = floats_of(weight);
  const float *means = pointer<const float>(mean), *rstds = pointer<const float>(rstd);
  float* const to = output_of(dx);
  const int64_t planes = g.N * g.C;
  const bool stream = to && streams_rows(planes, g.L);
  Sums* const sums = static_cast<Sums*>(scratch(context, sizeof(Sums) * size_t(planes)));

  const auto collect = [&](int64_t plane) {
    const float *const a = gradient + plane * g.L, *const b = from + plane * g.L;
    const Vec center = set(means[plane / g.channels]), scale = set(rstds[plane / g.channels]);
    double both[2];
    sum_row(g.L, both, [&](int64_t i, int64_t n, Vec* s) {
      const Vec value = load_some(a + i, n);
      s[0] = s[0] + value;
      s[1] = fma(value, (load_some(b + i, n) - center) * scale, s[1]);
    });
    sums[plane] = {both[0], both[1]};
  };
  // dx = dy (rstd w) - (x - mean) (rstd^2 mean(g h)) - rstd mean(g)
  const auto apply = [&](int64_t row) {
    double sum = 0, product = 0;
    for (int64_t c = 0; c < g.channels; c++) {
      const int64_t plane = row * g.channels + c;
      const double factor = w ? double(w[plane % g.C]) : 1.0;
      sum += factor * sums[plane].gradient;
      product += factor * sums[plane].product;
    }
    const double scale = rstds[row], count = double(g.size);
    return Sums{-scale * (sum / count), -scale * scale * (product / count)};
  };
  const auto write = [&](int64_t plane, const Sums& through) {
    const float *const a = gradient + plane * g.L, *const b = from + plane * g.L;
    const int64_t row = plane / g.channels;
    const Vec center = set(means[row]), scale = set(w ? rstds[row] * w[plane % g.C] : rstds[row]);
    const Vec shift = set(float(through.gradient)), slope = set(float(through.product));
    write_row(to + plane * g.L, g.L, stream, [&](int64_t i, int64_t n) {
      return fma(load_some(a + i, n), scale, fma(load_some(b + i, n) - center, slope, shift));
    });
  };

  if (!g.few) {
    for_units(context, g.rows, g.size, [&](int64_t row) {
      for (int64_t c = 0; c < g.channels; c++) collect(row * g.channels + c);
      if (!to) return;
      const Sums through = apply(row);
      for (int64_t c = 0; c < g.channels; c++) write(row * g.channels + c, through);
      if (stream) finish_streaming();
    });
  } else {
    for_units(context, planes, g.L, collect);
    if (to) {
      Sums* const through = static_cast<Sums*>(scratch(context, sizeof(Sums) * size_t(g.rows)));
      for (int64_t row = 0; row < g.rows; row++) through[row] = apply(row);
      for_units(context, planes, g.L, [&](int64_t plane) {
        write(plane, through[plane / g.channels]);
        if (stream) finish_streaming();
      });
    }
  }
  float *const dw = output_of(dweight), *const db = output_of(dbias);
  for (int64_t c = 0; (dw || db) && c < g.C; c++) {
    Sums all{0, 0};
    for (int64_t n = 0; n < g.N; n++) {
      all.gradient += sums[n * g.C + c].gradient;
      all.product += sums[n * g.C + c].product;
    }
    if (dw) dw[c] = float(all.product);
    if (db) db[c] = float(all.gradient);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA
