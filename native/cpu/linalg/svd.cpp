// Singular values, in doubles: eigenvectors of the product of the matrix with its transpose turn its rows into
// orthogonal ones, whose lengths are the values.
//
// The product squares the values, so those below 1e-8 of the largest are lost in the roundings of double. float32 knows
// none below 1e-7. Directions of values below 1e-3 of the largest are made orthogonal once more.
#include "matrices.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace linalg;

constexpr double trusted = 1e-3;     // vectors of values above this share of the largest are orthogonal as they are
constexpr double negligible = 1e-9;  // values below this share have no direction

// A matrix of `size` rows of `length` elements, size <= length, and `count` orthonormal rows to be found.
struct Problem {
  int64_t size, length, count;
};

struct Room {
  double *a, *gram, *near, *far, *values, *lengths, *kept, *rest;
};

int64_t doubles_of(const Problem& p) {
  return p.size * (p.length + 2 * p.size + 2) + p.count * p.length + p.length + eigen_room(p.size);
}

Room room_in(double* at, const Problem& p) {
  Room r;
  r.a = at;
  r.gram = r.a + p.size * p.length;
  r.near = r.gram + p.size * p.size;
  r.far = r.near + p.size * p.size;
  r.values = r.far + p.count * p.length;
  r.lengths = r.values + p.size;
  r.kept = r.lengths + p.size;
  r.rest = r.kept + p.length;
  return r;
}

// Takes from v its parts along the first `count` rows, which are orthonormal.
void reduce(double* v, const double* rows, int64_t count, int64_t length) {
  for (int64_t i = 0; i < count; i++) subtract(v, dot(v, rows + i * length, length), rows + i * length, length);
}

// Makes row `number` of `far` orthonormal to those before it, or to any direction that is left if it has none.
void straighten(double* far, int64_t number, int64_t length, double scale, double largest, double* held) {
  double* const v = far + number * length;
  if (scale > trusted * largest) {
    for (int64_t i = 0; i < length; i++) v[i] /= scale;
    return;
  }
  double rest = 0;
  if (scale > negligible * largest) {
    for (int64_t i = 0; i < length; i++) v[i] /= scale;
    reduce(v, far, number, length);
    rest = ::sqrt(dot(v, v, length));
  }
  if (!(rest > 0.5)) {
    // The axis of which the rows hold least leaves a long rest.
    for (int64_t i = 0; i < length; i++) v[i] = held[i] = 0;
    for (int64_t k = 0; k < number; k++)
      for (int64_t i = 0; i < length; i++) held[i] += far[k * length + i] * far[k * length + i];
    int64_t axis = 0;
    for (int64_t i = 1; i < length; i++)
      if (held[i] < held[axis]) axis = i;
    v[axis] = 1;
    reduce(v, far, number, length);
    rest = ::sqrt(dot(v, v, length));
  }
  for (int64_t i = 0; i < length; i++) v[i] /= rest;
  reduce(v, far, number, length);
  rest = ::sqrt(dot(v, v, length));
  for (int64_t i = 0; i < length; i++) v[i] /= rest;
}

// Fills the rows of `near` and `far` and the values, which fall. Returns false if the eigenvalues do not converge.
bool decompose(Context& context, bool shared, const Problem& p, const Room& r) {
  const auto [size, length, count] = p;
  for_parts(context, shared, size, size * length / 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      for (int64_t j = 0; j <= i; j++) r.gram[i * size + j] = dot(r.a + i * length, r.a + j * length, length);
  });
  for (int64_t i = 0; i < size; i++)
    for (int64_t j = i + 1; j < size; j++) r.gram[i * size + j] = r.gram[j * size + i];
  if (!eigen(context, shared, r.gram, size, r.values, r.near, r.rest)) return false;
  for_parts(context, shared, size, size * length, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      double* const row = r.far + i * length;
      for (int64_t c = 0; c < length; c++) row[c] = 0;
      for (int64_t j = 0; j < size; j++) subtract(row, -r.near[i * size + j], r.a + j * length, length);
      r.lengths[i] = ::sqrt(dot(row, row, length));
    }
  });
  // Rows rise almost in order, so they are sorted by exchanges of neighbours.
  const auto exchange = [](double* a, double* b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      const double kept = a[i];
      a[i] = b[i];
      b[i] = kept;
    }
  };
  const auto exchange_rows = [&](int64_t i, int64_t j) {
    exchange(r.lengths + i, r.lengths + j, 1);
    exchange(r.near + i * size, r.near + j * size, size);
    exchange(r.far + i * length, r.far + j * length, length);
  };
  for (int64_t i = 0; i < size / 2; i++) exchange_rows(i, size - 1 - i);
  for (int64_t i = 1; i < size; i++)
    for (int64_t j = i; j > 0 && r.lengths[j] > r.lengths[j - 1]; j--) exchange_rows(j, j - 1);
  for (int64_t i = 0; i < count; i++)
    straighten(r.far, i, length, i < size ? r.lengths[i] : 0, size > 0 ? r.lengths[0] : 0, r.kept);
  return true;
}

struct Results {
  float *u, *s, *vh;
  int64_t width;
};

void fill_with_nan(float* to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = NAN;
}

}  // namespace

void svd(Context& context, const View& u, const View& s, const View& vh, const View& x) {
  Matrices all, left, right;
  if (!seen_as_matrices(context, x, &all) || !seen_as_matrices(context, u, &left) ||
      !seen_as_matrices(context, vh, &right))
    return;
  const int64_t rows = all.rows, columns = all.columns, size = min(rows, columns), width = left.columns,
                height = right.rows;
  const bool tall = rows >= columns;
  if (!expect(context, (width == size || width == rows) && (height == size || height == columns),
              "svd: another number of vectors") ||
      !holds(context, u, all.count, rows * width) || !holds(context, s, all.count, size) ||
      !holds(context, vh, all.count, height * columns))
    return;
  const Problem problem{size, max(rows, columns), tall ? width : height};
  for_matrices(context, all, 2 * doubles_of(problem), [&](int64_t number, bool shared, float* memory) {
    const Room r = room_in(reinterpret_cast<double*>(memory), problem);
    const float* const from = pointer<const float>(x) + number * rows * columns;
    const Results to{pointer<float>(u) + number * rows * width, pointer<float>(s) + number * size,
                     pointer<float>(vh) + number * height * columns, width};
    bool finite = true;
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) {
        const double element = from[i * columns + j];
        r.a[tall ? j * rows + i : i * columns + j] = element;
        finite = finite && element - element == 0;
      }
    if (!finite || !decompose(context, shared, problem, r)) {
      fill_with_nan(to.u, rows * width);
      fill_with_nan(to.s, size);
      fill_with_nan(to.vh, height * columns);
      return record_error(
          context, ErrorCode::value,
          "matrix %lld of the batch has no singular values that the algorithm finds: it holds NaN or infinity",
          (long long)number);
    }
    const double *const lefts = tall ? r.far : r.near, *const rights = tall ? r.near : r.far;
    for (int64_t i = 0; i < size; i++) to.s[i] = float(r.lengths[i]);
    for (int64_t i = 0; i < height; i++) {
      const double sign = i < size ? sign_of_largest(rights + i * columns, columns) : 1;
      for (int64_t j = 0; j < columns; j++) to.vh[i * columns + j] = float(sign * rights[i * columns + j]);
    }
    for (int64_t j = 0; j < width; j++) {
      const double sign = j < size ? sign_of_largest(rights + j * columns, columns) : 1;
      for (int64_t i = 0; i < rows; i++) to.u[i * width + j] = float(sign * lefts[j * rows + i]);
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
