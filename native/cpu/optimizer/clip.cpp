// The norm of gradients, and their scaling. Each takes lists of tensors in one call and one pass over memory. The norm
// is summed piece by piece (step.h) in float64, in the lists' order, so that bits do not depend on threads.
#include <math.h>

#include "../../generated/kernels.h"
#include "step.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace optimizer;

namespace {

// Sums in float64. Each register holds half a register of floats.
constexpr int double_lanes = lanes / 2;
typedef float HalfFloats __attribute__((vector_size(4 * double_lanes)));
typedef double Doubles __attribute__((vector_size(8 * double_lanes)));

// The sum of term(x) in float64. term maps Doubles to Doubles, and 0 to 0.
template <class F>
double sum_of(const float* x, int64_t count, const F& term) {
  constexpr int ways = optimizer_blocks::sums_at_once;
  Doubles sums[ways] = {};
  int64_t i = 0;
  for (; i + ways * double_lanes <= count; i += ways * double_lanes)
    for (int way = 0; way < ways; way++) {
      HalfFloats values;
      memcpy(&values, x + i + way * double_lanes, sizeof values);
      sums[way] += term(__builtin_convertvector(values, Doubles));
    }
  for (; i < count; i += double_lanes) {
    const int64_t left = count - i;
    HalfFloats values = {};
    memcpy(&values, x + i, sizeof(float) * size_t(min(left, double_lanes)));
    sums[0] += term(__builtin_convertvector(values, Doubles));
  }
  const Doubles all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int lane = 0; lane < double_lanes; lane++) total += all[lane];
  return total;
}

double largest_of(const float* x, int64_t count) {
  Vec largest = zero();
  for_row(count, [&](int64_t i, int64_t n) { largest = max(largest, abs(load_some(x + i, n))); });
  return double(reduce_max(largest));
}

double sum_of_powers(const float* x, int64_t count, double p) {
  double total = 0;
  for (int64_t i = 0; i < count; i++) total += ::pow(::fabs(double(x[i])), p);
  return total;
}

}  // namespace

void total_norm(Context& context, const View& out, ViewList tensors, double p) {
  if (!expect(context, out.count == 1, "total_norm: out is not a scalar")) return;
  if (!(p > 0)) return record_error(context, ErrorCode::value, "total_norm: p is %g; it must be positive", p);
  const Pieces pieces = cut(context, tensors);
  double* parts = static_cast<double*>(scratch(context, sizeof(double) * size_t(pieces.size)));
  const bool infinite = p == double(INFINITY);
  for_pieces(context, pieces, [&](int64_t i, const Piece& piece) {
    const float* x = at(tensors, piece);
    if (infinite)
      parts[i] = largest_of(x, piece.count);
    else if (p == 2)
      parts[i] = sum_of(x, piece.count, [](Doubles d) { return d * d; });
    else if (p == 1)
      parts[i] = sum_of(x, piece.count, [](Doubles d) { return d < 0 ? -d : d; });
    else
      parts[i] = sum_of_powers(x, piece.count, p);
  });
  double total = 0;
  for (int64_t i = 0; i < pieces.size; i++) {
    if (!infinite)
      total += parts[i];
    else if (!(parts[i] <= total))  // also true for NaN, which then remains
      total = total != total ? total : parts[i];
  }
  *pointer<float>(out) = float(infinite || p == 1 ? total : p == 2 ? ::sqrt(total) : ::pow(total, 1 / p));
}

void clip_scale(Context& context, ViewList tensors, const View& norm, double max_norm) {
  if (!expect(context, norm.count == 1, "clip_scale: norm is not a scalar")) return;
  const double ratio = max_norm / (double(*pointer<const float>(norm)) + 1e-6);
  if (ratio >= 1) return;  // false for NaN, which every element must then become
  const Vec scale = set(float(ratio));
  for_pieces(context, cut(context, tensors), [&](int64_t, const Piece& piece) {
    float* const x = at(tensors, piece);
    for_row(piece.count, [&](int64_t i, int64_t n) { store_some(x + i, load_some(x + i, n) * scale, n); });
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
