// Optimiser steps, the norm of gradients and their scaling: each over lists of tensors in one call and one pass over
// memory.
//
// The tensors are cut into pieces of 16K elements, and pieces are grouped until a chunk has that many, so that a
// thousand small tensors are a few chunks of work. An element's result depends on nothing else, and the norm is
// summed piece by piece in float64 in the lists' order: bits do not depend on threads.
//
// The formulas are those of torch.optim.SGD, Adam and AdamW (Kingma and Ba, "Adam", 2015; Loshchilov and Hutter,
// "Decoupled weight decay regularization", 2019; Reddi et al., "On the convergence of Adam and beyond", 2018, for
// amsgrad), numbers of the step in float64, elements in float32. Bytes moved an element: sgd 12, with momentum 20;
// adam 28, with amsgrad 36; 2 more where a parameter has a shadow, the bfloat16 copy that mixed precision reads, which
// costs a pass of its own otherwise.
#include <math.h>

#include "../../generated/kernels.h"
#include "../integers.h"
#include "../simd/half.h"
#include "../simd/row.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace simd;

using optimizer_blocks::piece_elements;

struct Piece {
  int64_t tensor, start, count;
};

struct Pieces {
  const Piece* items;
  int64_t size;
  const int64_t* chunks;  // first piece of each chunk, and `size` at the end
  int64_t chunk_count;
};

Pieces cut(Context& context, ViewList tensors) {
  int64_t size = 0;
  for (int64_t t = 0; t < tensors.size; t++) size += (tensors.items[t].count + piece_elements - 1) / piece_elements;
  Piece* pieces = static_cast<Piece*>(scratch(context, sizeof(Piece) * size_t(size)));
  int64_t* chunks = static_cast<int64_t*>(scratch(context, sizeof(int64_t) * size_t(size + 1)));
  int64_t piece = 0, chunk_count = 0, in_chunk = piece_elements;
  for (int64_t t = 0; t < tensors.size; t++) {
    const int64_t count = tensors.items[t].count;
    for (int64_t start = 0; start < count; start += piece_elements) {
      const int64_t left = count - start;
      pieces[piece] = {t, start, min(left, piece_elements)};
      if (in_chunk >= piece_elements) {
        chunks[chunk_count++] = piece;
        in_chunk = 0;
      }
      in_chunk += pieces[piece++].count;
    }
  }
  chunks[chunk_count] = size;
  return {pieces, size, chunks, chunk_count};
}

// Calls body(index, piece) for every piece, on all threads.
template <class F>
void for_pieces(Context& context, const Pieces& pieces, const F& body) {
  if (pieces.chunk_count == 0) return;
  parallel(context, pieces.chunk_count, [&](int64_t chunk) {
    for (int64_t i = pieces.chunks[chunk]; i < pieces.chunks[chunk + 1]; i++) body(i, pieces.items[i]);
  });
}

// Where a piece's copy in bfloat16 goes, or null: the first tensors have one.
uint16_t* shadow_at(ViewList shadows, const Piece& piece) {
  return piece.tensor < shadows.size ? pointer<uint16_t>(shadows.items[piece.tensor]) + piece.start : nullptr;
}

void store_shadow(uint16_t* p, Vec a, int64_t n) {
  if (n == lanes) return store_bfloat16(p, a);
  uint16_t all[lanes];
  store_bfloat16(all, a);
  memcpy(p, all, sizeof(uint16_t) * size_t(n));
}

float* at(ViewList list, const Piece& piece) { return pointer<float>(list.items[piece.tensor]) + piece.start; }

// A list that stands beside `tensors`: as many, of the same sizes.
bool parallel_to(Context& context, ViewList tensors, ViewList list) {
  if (!expect(context, list.size == tensors.size, "optimizer: lists of tensors differ in length")) return false;
  for (int64_t t = 0; t < tensors.size; t++)
    if (!expect(context, list.items[t].count == tensors.items[t].count, "optimizer: sizes of tensors differ"))
      return false;
  return true;
}

bool shadows_of(Context& context, ViewList tensors, ViewList shadows) {
  if (!expect(context, shadows.size <= tensors.size, "optimizer: more shadows than parameters")) return false;
  return parallel_to(context, {tensors.items, shadows.size}, shadows);
}

// Sums of float64: half a register of floats in each register.
constexpr int double_lanes = lanes / 2;
typedef float HalfFloats __attribute__((vector_size(4 * double_lanes)));
typedef double Doubles __attribute__((vector_size(8 * double_lanes)));

// Sum of term(x) in float64; term maps Doubles to Doubles, and 0 to 0.
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

void sgd(Context& context, ViewList params, ViewList grads, ViewList momentum_buffers, double lr, double momentum,
         double dampening, double weight_decay, bool nesterov, bool maximize, bool first, ViewList shadows) {
  if (!parallel_to(context, params, grads) || !shadows_of(context, params, shadows)) return;
  const bool keeps = momentum != 0;
  if (keeps && !parallel_to(context, params, momentum_buffers)) return;
  const Vec sign = set(maximize ? -1.0f : 1.0f), decay = set(float(weight_decay)), step = set(float(-lr));
  const Vec keep = set(float(momentum)), take = set(float(1 - dampening));
  for_pieces(context, cut(context, params), [&](int64_t, const Piece& piece) {
    float* const p = at(params, piece);
    const float* const g = at(grads, piece);
    uint16_t* const shadow = shadow_at(shadows, piece);
    const auto write = [&](int64_t i, int64_t n, Vec x) {
      store_some(p + i, x, n);
      if (shadow) store_shadow(shadow + i, x, n);
    };
    if (!keeps) {
      for_row(piece.count, [&](int64_t i, int64_t n) {
        const Vec x = load_some(p + i, n), d = fma(decay, x, load_some(g + i, n) * sign);
        write(i, n, fma(step, d, x));
      });
      return;
    }
    float* const buffer = at(momentum_buffers, piece);
    for_row(piece.count, [&](int64_t i, int64_t n) {
      const Vec x = load_some(p + i, n), d = fma(decay, x, load_some(g + i, n) * sign);
      const Vec velocity = first ? d : fma(take, d, load_some(buffer + i, n) * keep);
      store_some(buffer + i, velocity, n);
      write(i, n, fma(step, nesterov ? fma(keep, velocity, d) : velocity, x));
    });
  });
}

void adam(Context& context, ViewList params, ViewList grads, ViewList means, ViewList squares, ViewList max_squares,
          double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled, bool maximize,
          int64_t step, ViewList shadows) {
  const bool amsgrad = max_squares.size != 0;
  if (!parallel_to(context, params, grads) || !parallel_to(context, params, means) ||
      !parallel_to(context, params, squares) || (amsgrad && !parallel_to(context, params, max_squares)) ||
      !shadows_of(context, params, shadows) || !expect(context, step >= 1, "adam: the first step is 1"))
    return;
  const double correction1 = 1 - ::pow(beta1, double(step)), correction2 = 1 - ::pow(beta2, double(step));
  const Vec sign = set(maximize ? -1.0f : 1.0f);
  const Vec shrink = set(float(decoupled ? 1 - lr * weight_decay : 1.0));
  const Vec decay = set(float(decoupled ? 0.0 : weight_decay));
  const Vec take1 = set(float(1 - beta1)), keep2 = set(float(beta2)), take2 = set(float(1 - beta2));
  const Vec unbias = set(float(1 / ::sqrt(correction2))), epsilon = set(float(eps));
  const Vec rate = set(float(-lr / correction1));
  for_pieces(context, cut(context, params), [&](int64_t, const Piece& piece) {
    float *const p = at(params, piece), *const m = at(means, piece), *const v = at(squares, piece);
    float* const most = amsgrad ? at(max_squares, piece) : nullptr;
    const float* const g = at(grads, piece);
    uint16_t* const shadow = shadow_at(shadows, piece);
    // By value, so that the constants stay in registers: stores may change what is referred to.
    for_row(piece.count, [=](int64_t i, int64_t n) {
      Vec x = load_some(p + i, n);
      const Vec d = fma(decay, x, load_some(g + i, n) * sign);
      x = x * shrink;
      const Vec old_mean = load_some(m + i, n), mean = fma(take1, d - old_mean, old_mean);
      Vec square = fma(take2 * d, d, load_some(v + i, n) * keep2);
      store_some(m + i, mean, n);
      store_some(v + i, square, n);
      if (most) {
        square = max(square, load_some(most + i, n));
        store_some(most + i, square, n);
      }
      x = fma(rate, mean / fma(sqrt(square), unbias, epsilon), x);
      store_some(p + i, x, n);
      if (shadow) store_shadow(shadow + i, x, n);
    });
  });
}

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
    else if (!(parts[i] <= total))  // NaN goes this way, and stays
      total = total != total ? total : parts[i];
  }
  *pointer<float>(out) = float(infinite || p == 1 ? total : p == 2 ? ::sqrt(total) : ::pow(total, 1 / p));
}

void clip_scale(Context& context, ViewList tensors, const View& norm, double max_norm) {
  if (!expect(context, norm.count == 1, "clip_scale: norm is not a scalar")) return;
  const double ratio = max_norm / (double(*pointer<const float>(norm)) + 1e-6);
  if (ratio >= 1) return;  // not so for NaN, which every element shall become
  const Vec scale = set(float(ratio));
  for_pieces(context, cut(context, tensors), [&](int64_t, const Piece& piece) {
    float* const x = at(tensors, piece);
    for_row(piece.count, [&](int64_t i, int64_t n) { store_some(x + i, load_some(x + i, n) * scale, n); });
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
