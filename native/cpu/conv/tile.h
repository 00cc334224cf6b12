// A tile is the part of a source that one block of results reads, copied with its padding as zeros. The product finds
// each element by adding two offsets (of the result's position and of the tap), and never tests for an edge.
//
// Along one axis, position q of the result reads positions q * step + offsets[t] of the source, t < taps. In the
// forward pass, step is the stride and offsets[t] = t * dilation - pad. The gradient of the input has step 1 over dy,
// and its own offsets.
#pragma once
#include "../simd/vector.h"
#include "shape.h"

namespace firesteel::FIRESTEEL_ISA::conv {

struct Axis {
  int64_t length;  // of the source
  int64_t step, taps;
  const int64_t* offsets;
};

// The layout of an axis in a tile is `runs` runs of `length` slots. Run r holds the source's positions origins[r] + i *
// stride, counted from q0 * step, where q0 is the first result of the block. Result q0 + q with tap t reads slot q *
// advance + slots[t].
struct Span {
  int64_t runs, length, stride, advance;
  int64_t *origins, *slots;
};

// The number of integers in a span's tables.
int64_t span_room(const Axis& axis);

// Lays out `results` positions, in tables of span_room integers. Neighbouring taps share their slots, unless the taps
// are so far apart that slots of their own take less room. `dense`: results are neighbours in the tile (advance 1), the
// order in which a vector runs along them; otherwise the source's order is kept.
Span make_span(const Axis& axis, int64_t results, bool dense, int64_t* tables);

static inline int64_t slots_of(const Span& span) { return span.runs * span.length; }

// Vectors are read and written whole, so this many floats of slack follow a tile or a packed operand.
constexpr int64_t slack = 64;

// Copies a row, in whole vectors if it is longer than one. The last two vectors may overlap.
static inline void copy_floats(float* to, const float* from, int64_t count) {
  constexpr int64_t lanes = simd::lanes;
  if (count >= lanes) {
    for (int64_t i = 0; i + lanes < count; i += lanes) simd::store(to + i, simd::load(from + i));
    simd::store(to + count - lanes, simd::load(from + count - lanes));
  } else {
    for (int64_t i = 0; i < count; i++) to[i] = from[i];
  }
}

// Copies the part of plane `source` [rows.length, columns.length] around the results from (row0, column0) on, into `to`
// [slots of rows][slots of columns].
void fill_plane(float* to, const float* source, const Axis& rows, const Axis& columns, const Span& row_span,
                const Span& column_span, int64_t row0, int64_t column0);

// The same for `channels` planes, with the channels of a slot side by side, into `to` [slots of rows][slots of
// columns][slot_floats]. Only the first `channels` are written, so that a last block with fewer channels has the layout
// of the others.
void fill_channels_last(float* to, int64_t slot_floats, const float* source, int64_t channels, const Axis& rows,
                        const Axis& columns, const Span& row_span, const Span& column_span, int64_t row0,
                        int64_t column0);

}  // namespace firesteel::FIRESTEEL_ISA::conv
