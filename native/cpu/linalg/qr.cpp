// QR by Householder's reflections, in blocks of columns. The reflections of a block are applied to the rest, and later
// to the identity, as I - V T V^T (Schreiber and Van Loan, 1989), by products.
//
// Signs are LAPACK's: an element of R's diagonal has the opposite sign of the element that it replaces, except if all
// below that is 0.
#include "matrices.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace linalg;

constexpr int64_t b = qr_block;

// Reflections of a block: v [rows, size] with ones on its diagonal, and t [size, size], upper triangular.
struct Reflections {
  float *v, *t;
  int64_t rows, size;
};

// The memory of a factorisation.
struct Room {
  float *a, *v, *t, *gram, *shares, *turned;
};

int64_t wide_of(int64_t columns, int64_t width) { return max(columns, width); }

Room room_in(float* room, int64_t rows, int64_t columns, int64_t width) {
  const int64_t blocks = ceil_div(min(rows, columns), b), wide = wide_of(columns, width);
  Room r;
  r.a = room;
  r.v = r.a + rows * columns;
  r.t = r.v + rows * blocks * b;
  r.gram = r.t + blocks * b * b;
  r.shares = r.gram + b * b;
  r.turned = r.shares + b * wide;
  return r;
}

int64_t floats_of(int64_t rows, int64_t columns, int64_t width) {
  const int64_t blocks = ceil_div(min(rows, columns), b);
  return rows * columns + rows * blocks * b + (blocks + 1) * b * b + 2 * b * wide_of(columns, width);
}

// Reduces the columns [first, first + size) of a, from row `first` on, and fills v and the diagonal of t.
void reduce_block(float* a, int64_t columns, int64_t first, const Reflections& f) {
  float* const block = a + first * columns + first;
  for (int64_t i = 0; i < f.rows * f.size; i++) f.v[i] = 0;
  for (int64_t j = 0; j < f.size; j++) {
    double below = 0;
    for (int64_t i = j + 1; i < f.rows; i++) below += double(block[i * columns + j]) * double(block[i * columns + j]);
    const double alpha = block[j * columns + j], length = ::sqrt(alpha * alpha + below);
    const double beta = below == 0 ? alpha : alpha < 0 ? length : -length;
    const double tau = below == 0 ? 0 : (beta - alpha) / beta;
    f.t[j * f.size + j] = float(tau);
    f.v[j * f.size + j] = 1;
    for (int64_t i = j + 1; i < f.rows; i++) {
      f.v[i * f.size + j] = below == 0 ? 0 : float(block[i * columns + j] / (alpha - beta));
      block[i * columns + j] = 0;
    }
    block[j * columns + j] = float(beta);
    double sums[b] = {};
    const int64_t rest = f.size - j - 1;
    for (int64_t i = j; i < f.rows; i++)
      for (int64_t c = 0; c < rest; c++)
        sums[c] += double(f.v[i * f.size + j]) * double(block[i * columns + j + 1 + c]);
    for (int64_t i = j; i < f.rows; i++)
      for (int64_t c = 0; c < rest; c++)
        block[i * columns + j + 1 + c] = float(block[i * columns + j + 1 + c] - tau * f.v[i * f.size + j] * sums[c]);
  }
}

// Fills t above its diagonal, from v^T v.
void join(const Reflections& f, const float* gram) {
  for (int64_t j = 0; j < f.size; j++)
    for (int64_t i = 0; i < f.size; i++) {
      if (i == j) continue;
      double sum = 0;
      for (int64_t k = i; k < j; k++) sum += double(f.t[i * f.size + k]) * double(gram[k * f.size + j]);
      f.t[i * f.size + j] = i < j ? float(-sum * f.t[j * f.size + j]) : 0;
    }
}

// c [rows, columns] becomes (I - V T V^T) c, or with `inverse` (I - V T^T V^T) c.
void apply(Context& context, bool shared, const Reflections& f, bool inverse, float* c, int64_t columns, int64_t stride,
           const Room& room) {
  if (columns <= 0) return;
  product(context, shared, false, f.size, columns, f.rows, {f.v, 1, f.size}, {c, stride, 1}, room.shares, columns);
  for_parts(context, shared, columns, f.size * f.size, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < f.size; i++) {
      float* const row = room.turned + i * columns;
      for (int64_t k = begin; k < end; k++) row[k] = 0;
      for (int64_t j = inverse ? 0 : i; j < (inverse ? i + 1 : f.size); j++)
        subtract(row + begin, f.t[inverse ? j * f.size + i : i * f.size + j], room.shares + j * columns + begin,
                 end - begin);
    }
  });
  product(context, shared, true, f.rows, columns, f.size, {f.v, f.size, 1}, {room.turned, columns, 1}, c, stride);
}

}  // namespace

void qr(Context& context, const View& q, const View& r, const View& x) {
  Matrices all, left;
  if (!seen_as_matrices(context, x, &all) || !seen_as_matrices(context, q, &left)) return;
  const int64_t rows = all.rows, columns = all.columns, steps = min(rows, columns), width = left.columns;
  if (!expect(context, width == steps || width == rows, "qr: q has another width") ||
      !holds(context, q, all.count, rows * width) || !holds(context, r, all.count, width * columns))
    return;
  for_matrices(context, all, floats_of(rows, columns, width), [&](int64_t number, bool shared, float* memory) {
    const Room room = room_in(memory, rows, columns, width);
    const float* const from = pointer<const float>(x) + number * rows * columns;
    for (int64_t i = 0; i < rows * columns; i++) room.a[i] = from[i];
    const auto reflections_at = [&](int64_t first) {
      return Reflections{room.v + first * rows, room.t + first * b, rows - first, min(b, steps - first)};
    };
    for (int64_t first = 0; first < steps; first += b) {
      const Reflections f = reflections_at(first);
      reduce_block(room.a, columns, first, f);
      product(context, shared, false, f.size, f.size, f.rows, {f.v, 1, f.size}, {f.v, f.size, 1}, room.gram, f.size);
      join(f, room.gram);
      const int64_t end = first + f.size;
      apply(context, shared, f, true, room.a + first * columns + end, columns - end, columns, room);
    }
    float* const to = pointer<float>(q) + number * rows * width;
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < width; j++) to[i * width + j] = i == j;
    for (int64_t first = (steps - 1) / b * b; first >= 0 && steps > 0; first -= b)
      apply(context, shared, reflections_at(first), false, to + first * width + first, width - first, width, room);
    float* const upper = pointer<float>(r) + number * width * columns;
    for (int64_t i = 0; i < width; i++)
      for (int64_t j = 0; j < columns; j++) upper[i * columns + j] = j < i ? 0 : room.a[i * columns + j];
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
