// The common part of optimiser steps: lists of tensors as pieces of work, and the loop over the elements of a step.
//
// The tensors are cut into pieces of 16K elements. Pieces are grouped until a chunk has that many elements, so that a
// thousand small tensors are a few chunks of work. An element's result depends on no other element, so bits do not
// depend on threads.
#pragma once
#include "../../core/kernel.h"
#include "../integers.h"
#include "../simd/half.h"
#include "../simd/row.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA::optimizer {

using namespace simd;
using optimizer_blocks::piece_elements;

struct Piece {
  int64_t tensor, start, count;
};

struct Pieces {
  const Piece* items;
  int64_t size;
  const int64_t* chunks;  // the first piece of each chunk, and `size` at the end
  int64_t chunk_count;
};

static inline Pieces cut(Context& context, ViewList tensors) {
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
static inline void for_pieces(Context& context, const Pieces& pieces, const F& body) {
  if (pieces.chunk_count == 0) return;
  parallel(context, pieces.chunk_count, [&](int64_t chunk) {
    for (int64_t i = pieces.chunks[chunk]; i < pieces.chunks[chunk + 1]; i++) body(i, pieces.items[i]);
  });
}

// The address of a piece's bfloat16 copy, which only the first tensors have, else null.
static inline uint16_t* shadow_at(ViewList shadows, const Piece& piece) {
  return piece.tensor < shadows.size ? pointer<uint16_t>(shadows.items[piece.tensor]) + piece.start : nullptr;
}

FIRESTEEL_INLINE void store_shadow(uint16_t* p, Vec a, int64_t n) {
  if (n == lanes) return store_bfloat16(p, a);
  uint16_t all[lanes];
  store_bfloat16(all, a);
  memcpy(p, all, sizeof(uint16_t) * size_t(n));
}

static inline float* at(ViewList list, const Piece& piece) {
  return pointer<float>(list.items[piece.tensor]) + piece.start;
}

// Whether a list is parallel to `tensors`: as many tensors, of the same sizes.
static inline bool parallel_to(Context& context, ViewList tensors, ViewList list) {
  if (!expect(context, list.size == tensors.size, "optimizer: lists of tensors differ in length")) return false;
  for (int64_t t = 0; t < tensors.size; t++)
    if (!expect(context, list.items[t].count == tensors.items[t].count, "optimizer: sizes of tensors differ"))
      return false;
  return true;
}

static inline bool shadows_of(Context& context, ViewList tensors, ViewList shadows) {
  if (!expect(context, shadows.size <= tensors.size, "optimizer: more shadows than parameters")) return false;
  return parallel_to(context, {tensors.items, shadows.size}, shadows);
}

// The arguments of every step except its states.
struct Given {
  ViewList params, grads;
  double l2;  // decay as the gradient of an L2 penalty
  bool maximize;
  ViewList shadows;
};

// One step of every element. formula_of(tensor) returns the tensor's formula(x, d, s), and that returns the element
// after the step. x is the element before, d is the gradient to descend, and s holds the states, which the formula
// updates. A list of states may be empty; its states are then 0, and their new values are dropped.
template <int States, class F>
static inline void step_tensors(Context& context, const Given& given, const ViewList (&states)[States],
                                const F& formula_of) {
  const ViewList params = given.params, grads = given.grads, shadows = given.shadows;
  if (!parallel_to(context, params, grads) || !shadows_of(context, params, shadows)) return;
  for (const ViewList& list : states)
    if (list.size != 0 && !parallel_to(context, params, list)) return;
  const Vec sign = set(given.maximize ? -1.0f : 1.0f), l2 = set(float(given.l2));
  const bool decays = given.l2 != 0;
  for_pieces(context, cut(context, params), [&](int64_t, const Piece& piece) {
    struct Pointers {
      float* at[States];
    } s;
    for (int k = 0; k < States; k++) s.at[k] = states[k].size == 0 ? nullptr : at(states[k], piece);
    float* const p = at(params, piece);
    const float* const g = at(grads, piece);
    uint16_t* const shadow = shadow_at(shadows, piece);
    const auto formula = formula_of(piece.tensor);
    // The formula is captured by value, so that its constants stay in registers, because stores might change referenced
    // memory.
    for_row(
        piece.count, [=](int64_t i, int64_t n) __attribute__((always_inline)) {
          const Vec old = load_some(p + i, n), uphill = load_some(g + i, n) * sign;
          Vec state[States];
          for (int k = 0; k < States; k++) state[k] = s.at[k] ? load_some(s.at[k] + i, n) : zero();
          const Vec x = formula(old, decays ? fma(l2, old, uphill) : uphill, state);
          for (int k = 0; k < States; k++)
            if (s.at[k]) store_some(s.at[k] + i, state[k], n);
          store_some(p + i, x, n);
          if (shadow) store_shadow(shadow + i, x, n);
        });
  });
}

// The same with one formula for all tensors.
template <int States, class F>
static inline void step_elements(Context& context, const Given& given, const ViewList (&states)[States],
                                 const F& formula) {
  step_tensors(context, given, states, [&](int64_t) { return formula; });
}

}  // namespace firesteel::FIRESTEEL_ISA::optimizer
