// Cholesky's factor, and triangular systems, in blocks of columns or rows. Products with all blocks before prepare a
// block, which is then factorised or solved by short loops.
//
// Reads and writes 4 bytes an element. All but the share of the blocks, 1 / (n / block), is in the products.
#include "matrices.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace linalg;

// Factorises the block [size, size] in place, with sums in double, and writes its transpose to `turned`. Returns the
// row whose diagonal is not positive, or -1.
int64_t factorise_block(float* l, int64_t stride, int64_t size, float* turned) {
  for (int64_t i = 0; i < size; i++) {
    for (int64_t j = 0; j <= i; j++) {
      double sum = l[i * stride + j];
      for (int64_t k = 0; k < j; k++) sum -= double(l[i * stride + k]) * double(l[j * stride + k]);
      if (i == j && !(sum > 0)) return i;
      l[i * stride + j] = float(i == j ? ::sqrt(sum) : sum / l[j * stride + j]);
      turned[j * size + i] = l[i * stride + j];
    }
    for (int64_t j = i + 1; j < size; j++) l[i * stride + j] = 0;
  }
  return -1;
}

// Factorises l [n, n], whose upper triangle is 0, in place. Returns as above.
int64_t factorise(Context& context, bool shared, float* l, int64_t n, float* room) {
  float* const turned = room + n * cholesky_block;
  for (int64_t first = 0; first < n; first += cholesky_block) {
    const int64_t size = min(cholesky_block, n - first), end = first + size;
    float* const block = l + first * n + first;
    copy_negated(room, l + first * n, size, first, n, 1);
    product(context, shared, true, n - first, size, first, {l + first * n, n, 1}, {room, 1, first}, block, n);
    const int64_t row = factorise_block(block, n, size, turned);
    if (row >= 0) return first + row;
    for_parts(context, shared, n - end, size * size, [&](int64_t begin, int64_t last) {
      for (int64_t i = begin; i < last; i++) {
        float* const a = l + (end + i) * n + first;
        for (int64_t j = 0; j < size; j++) {
          a[j] /= turned[j * size + j];
          subtract(a + j + 1, a[j], turned + j * size + j + 1, size - j - 1);
        }
      }
    });
  }
  return -1;
}

struct Triangle {
  const float* data;
  int64_t row_stride, column_stride;
  bool upper, unit;
};

// x [n, columns] becomes a^-1 x.
void solve(Context& context, bool shared, const Triangle& a, float* x, int64_t n, int64_t columns, float* room) {
  float* const diagonal = room + n * triangular_block;
  const int64_t blocks = ceil_div(n, triangular_block);
  for (int64_t step = 0; step < blocks; step++) {
    const int64_t first = (a.upper ? blocks - 1 - step : step) * triangular_block;
    const int64_t size = min(triangular_block, n - first);
    const int64_t from = a.upper ? first + size : 0, solved = a.upper ? n - from : first;
    const float* const rows = a.data + first * a.row_stride;
    float* const block = x + first * columns;
    copy_negated(room, rows + from * a.column_stride, size, solved, a.row_stride, a.column_stride);
    product(context, shared, true, size, columns, solved, {room, solved, 1}, {x + from * columns, columns, 1}, block,
            columns);
    for (int64_t i = 0; i < size; i++)
      for (int64_t j = 0; j < size; j++)
        diagonal[i * size + j] = rows[i * a.row_stride + (first + j) * a.column_stride];
    for_parts(context, shared, columns, size * size, [&](int64_t begin, int64_t end) {
      for (int64_t k = 0; k < size; k++) {
        const int64_t i = a.upper ? size - 1 - k : k;
        float* const row = block + i * columns;
        for (int64_t j = a.upper ? i + 1 : 0; j < (a.upper ? size : i); j++)
          subtract(row + begin, diagonal[i * size + j], block + j * columns + begin, end - begin);
        if (!a.unit)
          for (int64_t c = begin; c < end; c++) row[c] /= diagonal[i * size + i];
      }
    });
  }
}

// The first element of matrix `number` of a view with any strides.
const float* matrix_at(const View& view, int64_t number) {
  const float* data = pointer<const float>(view);
  for (int d = view.ndim - 3; d >= 0; d--) {
    data += number % view.sizes[d] * view.strides[d];
    number /= view.sizes[d];
  }
  return data;
}

}  // namespace

void cholesky(Context& context, const View& out, const View& x) {
  Matrices all;
  if (!seen_as_matrices(context, x, &all) || !expect(context, same_shape(out, x), "cholesky: shapes differ") ||
      !expect(context, all.rows == all.columns, "cholesky: the matrices are not square"))
    return;
  const int64_t n = all.rows;
  for_matrices(context, all, (n + cholesky_block) * cholesky_block, [&](int64_t number, bool shared, float* room) {
    const float* const from = pointer<const float>(x) + number * n * n;
    float* const to = pointer<float>(out) + number * n * n;
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) to[i * n + j] = j <= i ? from[i * n + j] : 0;
    const int64_t row = factorise(context, shared, to, n, room);
    if (row < 0) return;
    for (int64_t i = 0; i < n * n; i++) to[i] = NAN;
    record_error(context, ErrorCode::value,
                 "matrix %lld of the batch is not positive definite: its leading minor of order %lld is not positive",
                 (long long)number, (long long)row + 1);
  });
}

void solve_triangular(Context& context, const View& out, const View& a, const View& b, bool upper, bool unit) {
  Matrices all;
  if (!seen_as_matrices(context, b, &all) || !expect(context, same_shape(out, b), "solve_triangular: shapes differ") ||
      !expect(context, a.ndim == b.ndim, "solve_triangular: a has other dimensions than b"))
    return;
  const int64_t n = all.rows, columns = all.columns;
  for (int d = 0; d < a.ndim; d++)
    if (!expect(context, a.sizes[d] == (d == a.ndim - 1 ? n : b.sizes[d]), "solve_triangular: sizes differ")) return;
  if (columns == 0) return;
  const int64_t down = a.strides[a.ndim - 2], across = a.strides[a.ndim - 1];
  for_matrices(context, {all.count, n, max(n, columns)}, (n + triangular_block) * triangular_block,
               [&](int64_t number, bool shared, float* room) {
                 const float* const from = pointer<const float>(b) + number * n * columns;
                 float* const to = pointer<float>(out) + number * n * columns;
                 for (int64_t i = 0; i < n * columns; i++) to[i] = from[i];
                 solve(context, shared, {matrix_at(a, number), down, across, upper, unit}, to, n, columns, room);
               });
}

}  // namespace firesteel::FIRESTEEL_ISA
