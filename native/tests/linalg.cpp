// Factorisations against their definitions in double: the factors multiplied give the matrix again, and orthonormal
// vectors are that. Equal bits for 1, 2 and 3 threads; faults are recorded with the matrix's number.
//
// Sums are float32 over at most n terms; factors of well-conditioned matrices are no larger than they.
#include "../cpu/linalg/matrices.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;

// a [m, k] b [k, n] - c [m, n], the largest element.
template <class A, class B, class C>
double distance(int64_t m, int64_t n, int64_t k, const A& a, const B& b, const C& c) {
  double worst = 0;
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t t = 0; t < k; t++) sum += double(a(i, t)) * double(b(t, j));
      const double off = fabs(sum - double(c(i, j)));
      if (!(off <= worst)) worst = off;
    }
  return worst;
}

double allowed(int64_t n) { return epsilon * 64 * double(n + 8); }

void test_square(int64_t n) {
  const std::string what = "linalg of " + std::to_string(n);
  const int64_t shape_count = 2;
  Floats x({shape_count, n, n}), l({shape_count, n, n}), b({shape_count, n, 3}), y({shape_count, n, 3});
  randomise(x, 1, n ? 0.5f / sqrtf(float(n)) : 1);
  randomise(b, 2);
  for (int64_t k = 0; k < shape_count; k++)
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j <= i; j++) {
        float& below = x[size_t((k * n + i) * n + j)];
        if (i == j) below = 2;
        x[size_t((k * n + j) * n + i)] = below;
      }
  Floats values({shape_count, n}), vectors({shape_count, n, n}), lu({shape_count, n, n});
  Tensor<int32_t> pivots({shape_count, n}, DType::int32), order({shape_count, n}, DType::int32);
  run<float>(what + ": cholesky", {&l}, [&](Context& c) { FIRESTEEL_ISA::cholesky(c, l.view, x.view); });
  run<float>(what + ": solve", {&y},
             [&](Context& c) { FIRESTEEL_ISA::solve_triangular(c, y.view, l.view, b.view, false, false); });
  run<float>(what + ": eigh", {&values, &vectors},
             [&](Context& c) { FIRESTEEL_ISA::eigh(c, values.view, vectors.view, x.view, false); });
  run<float>(what + ": lu", {&lu},
             [&](Context& c) { FIRESTEEL_ISA::lu_factor(c, lu.view, pivots.view, order.view, x.view, true); });
  for (int64_t k = 0; k < shape_count; k++) {
    const auto at = [&](const Floats& m, int64_t i, int64_t j, int64_t columns) {
      return m[size_t((k * n + i) * columns + j)];
    };
    const auto whole = [&](int64_t i, int64_t j) { return at(x, i, j, n); };
    const auto lower = [&](int64_t i, int64_t j) { return at(l, i, j, n); };
    check(distance(
              n, n, n, lower, [&](int64_t i, int64_t j) { return lower(j, i); }, whole) <= allowed(n),
          what + ": L L^T is the matrix");
    check(distance(
              n, 3, n, lower, [&](int64_t i, int64_t j) { return at(y, i, j, 3); },
              [&](int64_t i, int64_t j) { return at(b, i, j, 3); }) <= 4 * allowed(n),
          what + ": L y is b");
    const auto v = [&](int64_t i, int64_t j) { return at(vectors, i, j, n); };
    const auto scaled = [&](int64_t i, int64_t j) { return double(v(i, j)) * values[size_t(k * n + j)]; };
    check(distance(n, n, n, whole, v, scaled) <= allowed(n), what + ": A v is a multiple of v");
    check(distance(
              n, n, n, [&](int64_t i, int64_t j) { return v(j, i); }, v,
              [](int64_t i, int64_t j) { return i == j ? 1 : 0; }) <= allowed(n),
          what + ": vectors are orthonormal");
    const auto left = [&](int64_t i, int64_t j) { return i == j ? 1 : j < i ? at(lu, i, j, n) : 0; };
    const auto right = [&](int64_t i, int64_t j) { return j < i ? 0 : at(lu, i, j, n); };
    check(distance(n, n, n, left, right, [&](int64_t i, int64_t j) { return whole(order[size_t(k * n + i)], j); }) <=
              allowed(n),
          what + ": L U is the matrix with its rows exchanged");
  }
}

void test_any(int64_t m, int64_t n) {
  const std::string what = "linalg of " + std::to_string(m) + " x " + std::to_string(n);
  const int64_t k = m < n ? m : n;
  Floats x({m, n}), q({m, m}), r({m, n}), u({m, m}), s({k}), vh({n, n});
  randomise(x, 3);
  run<float>(what + ": qr", {&q, &r}, [&](Context& c) { FIRESTEEL_ISA::qr(c, q.view, r.view, x.view); });
  run<float>(what + ": svd", {&u, &s, &vh},
             [&](Context& c) { FIRESTEEL_ISA::svd(c, u.view, s.view, vh.view, x.view); });
  const auto at = [](const Floats& a, int64_t columns) {
    return [&a, columns](int64_t i, int64_t j) { return a[size_t(i * columns + j)]; };
  };
  const auto turned = [](const Floats& a, int64_t columns) {
    return [&a, columns](int64_t i, int64_t j) { return a[size_t(j * columns + i)]; };
  };
  const auto one = [](int64_t i, int64_t j) { return i == j ? 1 : 0; };
  const double scale = allowed(m + n) * sqrt(double(m + n + 1));
  check(distance(m, n, m, at(q, m), at(r, n), at(x, n)) <= scale, what + ": Q R is the matrix");
  check(distance(m, m, m, turned(q, m), at(q, m), one) <= scale, what + ": Q is orthonormal");
  const auto scaled = [&](int64_t i, int64_t j) { return double(u[size_t(i * m + j)]) * s[size_t(j)]; };
  check(distance(m, n, k, scaled, at(vh, n), at(x, n)) <= scale, what + ": U S Vh is the matrix");
  check(distance(m, m, m, turned(u, m), at(u, m), one) <= scale, what + ": U is orthonormal");
  check(distance(n, n, n, at(vh, n), turned(vh, n), one) <= scale, what + ": Vh is orthonormal");
}

}  // namespace

int main() {
  using namespace FIRESTEEL_ISA::linalg;
  for (int64_t n : {0, 1, 2, 5, 33}) test_square(n);
  for (int64_t n : about({cholesky_block, triangular_block, lu_block, turned_columns})) test_square(n);
  for (int64_t n : {shared_size - 1, shared_size, shared_size + 1}) test_square(n);
  for (int64_t n : about({qr_block})) test_any(n, 40), test_any(40, n);
  test_any(0, 3), test_any(3, 0), test_any(1, 1), test_any(shared_size, 70);
  Floats x({3, 1, 1}), l({3, 1, 1});
  x[0] = 1, x[1] = 1, x[2] = -1;
  const auto error = error_of([&](Context& c) { FIRESTEEL_ISA::cholesky(c, l.view, x.view); });
  check(error.code == ErrorCode::value, "a matrix that is not positive definite is refused");
  Floats other({3, 1, 2});
  check(error_of([&](Context& c) { FIRESTEEL_ISA::cholesky(c, other.view, other.view); }).code == ErrorCode::internal,
        "matrices that are not square are refused");
  return finish("linalg");
}
