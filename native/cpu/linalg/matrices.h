// The common part of factorisations: lists of matrices, products that update them, and loops over their rows.
//
// A matrix that stands alone, or is large, is factorised by all threads together (`shared`); smaller ones of a batch
// are factorised side by side, each by one thread. The shape decides.
#pragma once
#include <math.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../gemm/gemm.h"
#include "../rooms.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA::linalg {

// The matrices of a tensor of at least two dimensions.
struct Matrices {
  int64_t count, rows, columns;
};

static inline bool seen_as_matrices(Context& context, const View& x, Matrices* to) {
  if (!expect(context, x.ndim >= 2, "expected matrices")) return false;
  *to = {1, x.sizes[x.ndim - 2], x.sizes[x.ndim - 1]};
  for (int d = 0; d < x.ndim - 2; d++) to->count *= x.sizes[d];
  return true;
}

// Whether a result consists of `count` times `elements` elements.
static inline bool holds(Context& context, const View& out, int64_t count, int64_t elements) {
  return expect(context, out.count == count * elements, "a result has another size");
}

// Calls body(number, shared, room) for each matrix; the room has `floats` floats.
template <class F>
static inline void for_matrices(Context& context, const Matrices& all, int64_t floats, const F& body) {
  if (all.count <= 0) return;
  const int64_t size = max(all.rows, all.columns);
  if (all.count == 1 || size >= shared_size) {
    float* const room = scratch_of<float>(context, floats);
    for (int64_t number = 0; number < all.count; number++) body(number, true, room);
    return;
  }
  const Chunks chunks = full_chunks(all.count, all.rows * all.columns * min(all.rows, all.columns), chunk_work);
  const Rooms rooms = make_rooms(context, floats, chunks);
  for_items(context, chunks, rooms, [&](int64_t number, float* room) { body(number, false, room); });
}

// Calls body(first, end) for parts of [0, items), of which each costs `cost`: on all threads, or as one part.
template <class F>
static inline void for_parts(Context& context, bool shared, int64_t items, int64_t cost, const F& body) {
  if (items <= 0) return;
  if (shared)
    for_chunks(context, full_chunks(items, cost, chunk_work), body);
  else
    body(0, items);
}

// C += A B, or C = A B.
static inline void product(Context& context, bool shared, bool adds, int64_t m, int64_t n, int64_t k, gemm::Matrix a,
                           gemm::Matrix b, float* c, int64_t ldc) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  const gemm::Epilogue epilogue{adds, nullptr};
  if (!shared) return gemm::multiply_here(m, n, k, a, b, c, ldc, epilogue);
  const size_t mark = scratch_mark(context);
  gemm::multiply(context, m, n, k, a, b, c, ldc, epilogue);
  release_scratch(context, mark);
}

// to[rows, columns] = -from, dense.
static inline void copy_negated(float* to, const float* from, int64_t rows, int64_t columns, int64_t row_stride,
                                int64_t column_stride) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) to[i * columns + j] = -from[i * row_stride + j * column_stride];
}

// a -= factor * b
template <class T>
static inline void subtract(T* __restrict a, T factor, const T* __restrict b, int64_t n) {
  for (int64_t i = 0; i < n; i++) a[i] -= factor * b[i];
}

static inline double dot(const double* a, const double* b, int64_t n) {
  constexpr int64_t ways = 16;
  double sums[ways] = {};
  int64_t i = 0;
  for (; i + ways <= n; i += ways)
    for (int64_t way = 0; way < ways; way++) sums[way] += a[i + way] * b[i + way];
  for (; i < n; i++) sums[0] += a[i] * b[i];
  for (int64_t half = ways / 2; half > 0; half /= 2)
    for (int64_t way = 0; way < half; way++) sums[way] += sums[way + half];
  return sums[0];
}

// Eigenvalues of the symmetric a [n, n] in doubles, rising, and the vectors as rows of `vectors`, without a rule for
// their signs. Both triangles of a are read, and overwritten. The room has eigen_room(n) doubles. Returns false if the
// algorithm does not converge, which only NaN and infinity bring about.
int64_t eigen_room(int64_t n);
bool eigen(Context& context, bool shared, double* a, int64_t n, double* values, double* vectors, double* room);

// -1 if the element that is largest without its sign, the first of equals, is negative; otherwise 1.
double sign_of_largest(const double* v, int64_t n);

}  // namespace firesteel::FIRESTEEL_ISA::linalg
