// LU with exchanges of rows, in blocks of columns: a block is factorised by short loops, its rows of U are solved, and
// one product updates the rest.
//
// Reads and writes 4 bytes an element, and once more for each block.
#include "matrices.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace linalg;

struct Factors {
  float* a;  // [rows, columns], in place
  int64_t rows, columns;
  int32_t *pivots, *permutation;
};

void exchange(const Factors& f, int64_t i, int64_t j) {
  f.pivots[i] = int32_t(j) + 1;
  if (i == j) return;
  const int32_t kept = f.permutation[i];
  f.permutation[i] = f.permutation[j];
  f.permutation[j] = kept;
  float *const x = f.a + i * f.columns, *const y = f.a + j * f.columns;
  for (int64_t c = 0; c < f.columns; c++) {
    const float element = x[c];
    x[c] = y[c];
    y[c] = element;
  }
}

// The row from k on whose element in column k is largest.
int64_t pivot_of(const Factors& f, int64_t k) {
  int64_t best = k;
  for (int64_t i = k + 1; i < f.rows; i++)
    if (::fabsf(f.a[i * f.columns + k]) > ::fabsf(f.a[best * f.columns + k])) best = i;
  return best;
}

// Returns the first row with 0 on U's diagonal, or -1. The room has rows * lu_block floats.
int64_t factorise(Context& context, bool shared, const Factors& f, float* room) {
  const int64_t columns = f.columns, steps = min(f.rows, columns);
  int64_t singular = -1;
  for (int64_t i = 0; i < f.rows; i++) f.permutation[i] = int32_t(i);
  for (int64_t first = 0; first < steps; first += lu_block) {
    const int64_t size = min(lu_block, steps - first), end = first + size;
    for (int64_t k = first; k < end; k++) {
      exchange(f, k, pivot_of(f, k));
      const float* const row = f.a + k * columns;
      if (row[k] == 0) {
        if (singular < 0) singular = k;
        continue;
      }
      for (int64_t i = k + 1; i < f.rows; i++) {
        float* const below = f.a + i * columns;
        below[k] /= row[k];
        subtract(below + k + 1, below[k], row + k + 1, end - k - 1);
      }
    }
    const int64_t rest = columns - end;
    if (rest <= 0) continue;
    for_parts(context, shared, rest, size * size, [&](int64_t begin, int64_t last) {
      for (int64_t i = first + 1; i < end; i++)
        for (int64_t j = first; j < i; j++)
          subtract(f.a + i * columns + end + begin, f.a[i * columns + j], f.a + j * columns + end + begin,
                   last - begin);
    });
    copy_negated(room, f.a + end * columns + first, f.rows - end, size, columns, 1);
    product(context, shared, true, f.rows - end, rest, size, {room, size, 1}, {f.a + first * columns + end, columns, 1},
            f.a + end * columns + end, columns);
  }
  return singular;
}

}  // namespace

void lu_factor(Context& context, const View& lu, const View& pivots, const View& permutation, const View& x,
               bool checks) {
  Matrices all;
  if (!seen_as_matrices(context, x, &all) || !expect(context, same_shape(lu, x), "lu_factor: shapes differ")) return;
  const int64_t rows = all.rows, columns = all.columns, steps = min(rows, columns), size = rows * columns;
  if (!holds(context, pivots, all.count, steps) || !holds(context, permutation, all.count, rows)) return;
  for_matrices(context, all, rows * lu_block, [&](int64_t number, bool shared, float* room) {
    const float* const from = pointer<const float>(x) + number * size;
    float* const to = pointer<float>(lu) + number * size;
    for (int64_t i = 0; i < size; i++) to[i] = from[i];
    const Factors factors{to, rows, columns, pointer<int32_t>(pivots) + number * steps,
                          pointer<int32_t>(permutation) + number * rows};
    const int64_t row = factorise(context, shared, factors, room);
    if (checks && row >= 0)
      record_error(context, ErrorCode::value, "matrix %lld of the batch is singular: element %lld of U's diagonal is 0",
                   (long long)number, (long long)row + 1);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
