// Eigenvalues of symmetric matrices, in doubles: Householder's reflections make the matrix tridiagonal, and QL steps
// with implicit shifts make that diagonal (Martin and Wilkinson, 1968; Dubrulle, 1970).
//
// The rotations of a step are kept and then applied to chunks of columns of the vectors, so that each chunk stays in
// the cache and threads share the work. All loops run along rows.
#include "matrices.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace linalg;

constexpr int most_steps = 60;  // for one value; two are usual

// Makes a tridiagonal: `diagonal`, and `beside` it. Row k of a keeps the reflection that frees column k.
void reduce(Context& context, bool shared, double* a, int64_t n, double* diagonal, double* beside, double* taus,
            double* p) {
  for (int64_t k = 0; k < n; k++) {
    diagonal[k] = a[k * n + k];
    beside[k] = taus[k] = 0;
    const int64_t size = n - k - 1;
    if (size == 0) return;
    double* const v = a + k * n + k + 1;
    double* const rest = a + (k + 1) * n + k + 1;
    const double alpha = v[0], below = dot(v + 1, v + 1, size - 1);
    if (below == 0) {
      beside[k] = alpha;
      continue;
    }
    const double length = ::sqrt(alpha * alpha + below), beta = alpha < 0 ? length : -length;
    const double tau = (beta - alpha) / beta;
    beside[k] = beta;
    taus[k] = tau;
    v[0] = 1;
    for (int64_t i = 1; i < size; i++) v[i] /= alpha - beta;
    for_parts(context, shared, size, size, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) p[i] = tau * dot(rest + i * n, v, size);
    });
    subtract(p, tau / 2 * dot(p, v, size), v, size);
    for_parts(context, shared, size, 2 * size, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        double* __restrict const row = rest + i * n;
        const double vi = v[i], pi = p[i];
        for (int64_t j = 0; j < size; j++) row[j] -= vi * p[j] + pi * v[j];
      }
    });
  }
}

// Fills `vectors` with the transposed product of all reflections.
void gather(Context& context, bool shared, const double* a, int64_t n, const double* taus, double* vectors) {
  for_parts(context, shared, n, n * n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      double* const row = vectors + i * n;
      for (int64_t j = 0; j < n; j++) row[j] = i == j;
      for (int64_t k = min(i - 1, n - 2); k >= 0; k--) {
        const double* const v = a + k * n + k + 1;
        if (taus[k] != 0) subtract(row + k + 1, taus[k] * dot(row + k + 1, v, n - k - 1), v, n - k - 1);
      }
    }
  });
}

struct Rotation {
  double c, s;
};

// Applies rotations of the rows i and i + 1 for i from `last` down to `first`.
void turn(Context& context, bool shared, double* vectors, int64_t n, const Rotation* rotations, int64_t first,
          int64_t last) {
  const auto columns = [&](int64_t begin, int64_t end) {
    for (int64_t i = last; i >= first; i--) {
      double* __restrict const x = vectors + i * n, * __restrict const y = x + n;
      const double c = rotations[i].c, s = rotations[i].s;
      for (int64_t j = begin; j < end; j++) {
        const double kept = y[j];
        y[j] = s * x[j] + c * kept;
        x[j] = c * x[j] - s * kept;
      }
    }
  };
  const int64_t size = max(turned_columns, ceil_div(chunk_work, 4 * (last - first + 1)));
  if (shared && size < n) return for_chunks(context, Chunks{n, size}, columns);
  for (int64_t begin = 0; begin < n; begin += turned_columns) columns(begin, min(n, begin + turned_columns));
}

// Makes the tridiagonal matrix diagonal. Returns false if a value needs too many steps.
bool diagonalise(Context& context, bool shared, double* d, double* e, int64_t n, double* vectors, Rotation* rotations) {
  constexpr double epsilon = 0x1p-52;
  for (int64_t l = 0; l < n; l++) {
    for (int steps = 0;; steps++) {
      int64_t m = l;
      while (m < n - 1 && !(::fabs(e[m]) <= epsilon * (::fabs(d[m]) + ::fabs(d[m + 1])))) m++;
      if (m == l) break;
      if (steps == most_steps) return false;
      const double half = (d[l + 1] - d[l]) / (2 * e[l]), root = ::sqrt(half * half + 1);
      double g = d[m] - d[l] + e[l] / (half + (half < 0 ? -root : root)), s = 1, c = 1, p = 0;
      int64_t i = m - 1;
      for (; i >= l; i--) {
        const double f = s * e[i], b = c * e[i], r = ::sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotations[i] = {c, s};
      }
      if (i + 1 < m) turn(context, shared, vectors, n, rotations, i + 1, m - 1);
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return true;
}

}  // namespace

namespace linalg {

double sign_of_largest(const double* v, int64_t n) {
  double best = 0;
  for (int64_t i = 0; i < n; i++)
    if (::fabs(v[i]) > ::fabs(best)) best = v[i];
  return best < 0 ? -1 : 1;
}

int64_t eigen_room(int64_t n) { return 6 * n + n * n; }

bool eigen(Context& context, bool shared, double* a, int64_t n, double* values, double* vectors, double* room) {
  double *const beside = room, *const taus = beside + n, *const p = taus + n, *const diagonal = p + n;
  Rotation* const rotations = reinterpret_cast<Rotation*>(diagonal + n);
  double* const unsorted = diagonal + 3 * n;
  reduce(context, shared, a, n, diagonal, beside, taus, p);
  gather(context, shared, a, n, taus, vectors);
  if (!diagonalise(context, shared, diagonal, beside, n, vectors, rotations)) return false;
  for (int64_t i = 0; i < n * n; i++) unsorted[i] = vectors[i];
  for (int64_t i = 0; i < n; i++) {
    // The place among the sorted: those that are less, and equal ones before.
    int64_t place = 0;
    for (int64_t j = 0; j < n; j++) place += diagonal[j] < diagonal[i] || (diagonal[j] == diagonal[i] && j < i);
    values[place] = diagonal[i];
    for (int64_t j = 0; j < n; j++) vectors[place * n + j] = unsorted[i * n + j];
  }
  return true;
}

}  // namespace linalg

void eigh(Context& context, const View& values, const View& vectors, const View& x, bool upper) {
  Matrices all;
  if (!seen_as_matrices(context, x, &all) || !expect(context, same_shape(vectors, x), "eigh: shapes differ") ||
      !expect(context, all.rows == all.columns, "eigh: the matrices are not square") ||
      !holds(context, values, all.count, all.rows))
    return;
  const int64_t n = all.rows, doubles = 2 * n * n + n + eigen_room(n);
  for_matrices(context, all, 2 * doubles, [&](int64_t number, bool shared, float* room) {
    const float* const from = pointer<const float>(x) + number * n * n;
    double *const a = reinterpret_cast<double*>(room), *const rows = a + n * n, *const found = rows + n * n;
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) {
        a[i * n + j] = from[upper == (i <= j) ? i * n + j : j * n + i];
        finite = finite && a[i * n + j] - a[i * n + j] == 0;
      }
    float *const to = pointer<float>(values) + number * n, *const matrix = pointer<float>(vectors) + number * n * n;
    if (!finite || !eigen(context, shared, a, n, found, rows, found + n)) {
      for (int64_t i = 0; i < n; i++) to[i] = NAN;
      for (int64_t i = 0; i < n * n; i++) matrix[i] = NAN;
      return record_error(
          context, ErrorCode::value,
          "matrix %lld of the batch has no eigenvalues that the algorithm finds: it holds NaN or infinity",
          (long long)number);
    }
    for (int64_t j = 0; j < n; j++) {
      const double sign = sign_of_largest(rows + j * n, n);
      to[j] = float(found[j]);
      for (int64_t i = 0; i < n; i++) matrix[i * n + j] = float(sign * rows[j * n + i]);
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
