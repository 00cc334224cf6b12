// The way in which a sequence is cut and walked through. The forward and backward kernels of LSTM, GRU and RNN share
// it.
//
// Legend: T time steps, B rows of a batch, I inputs, H hidden units, G gates (4, 3, 1). Gates, and so the rows of the
// weights, have the order i, f, g, o and r, z, n.
//
// Rows of a batch are independent, so blocks of rows walk through time separately. A step of a block of rows is cut
// into tiles of hidden units. Each tile needs the whole state before it, so threads that share a block wait for each
// other once a step. A free thread takes a block that nobody has begun, and shares a block only when there is none
// left.
#pragma once
#include <string.h>

#include "../../core/kernel.h"
#include "blocks.h"
#include "product.h"

namespace firesteel::FIRESTEEL_ISA::recurrent {

// Units [unit, unit + units) of a step, for rows [row, row + rows).
struct Tile {
  int64_t row, rows, unit, units;
  int64_t row_block, unit_block;  // numbers of the tile's blocks
  int64_t width;                  // units, rounded up to whole registers
};

// The cuts of a sequence, which its shape alone decides.
struct Plan {
  int64_t T, B, I, H, G;
  bool reverse;
  int64_t rows, row_blocks;  // of the largest block
  int64_t units, unit_blocks;
  int64_t width;  // of the widest tile
  bool far;       // whether the weights do not stay in a core's own cache
};

static inline Plan make_plan(int64_t T, int64_t B, int64_t I, int64_t H, int64_t G, bool reverse) {
  Plan plan = {T, B, I, H, G, reverse, 0, 0, 0, 0, 0, false};
  // The farther away the weights are, the more rows should use them at a time.
  const int64_t bytes = 4 * G * H * H;
  const int64_t most_rows = bytes <= core_cache_bytes     ? MR
                            : bytes <= shared_cache_bytes ? 2 * MR
                                                          : max(2 * MR, far_rows);
  plan.far = bytes > core_cache_bytes;
  plan.row_blocks = blocks(B, most_rows);
  plan.rows = blocks(B, max(1, plan.row_blocks));
  plan.units = min(H, NR * max(1, blocks(tile_work, max(1, G * plan.rows * NR * H))));
  plan.unit_blocks = blocks(H, max(1, plan.units));
  plan.width = round_up(plan.units, lanes);
  return plan;
}

static inline Tile make_tile(const Plan& plan, int64_t row_block, int64_t unit_block) {
  const Share rows = share_of(plan.B, plan.row_blocks, row_block);
  const int64_t unit = unit_block * plan.units, units = min(plan.units, plan.H - unit);
  return {rows.first, rows.count, unit, units, row_block, unit_block, round_up(units, lanes)};
}

// The place of a step in x and out. Steps are counted in the order in which the layer takes them.
static inline int64_t time_of(const Plan& plan, int64_t step) { return plan.reverse ? plan.T - 1 - step : step; }

// The number of steps of each row of the batch that count: T, or the row's length.
struct Lengths {
  const int32_t* of;  // null: T
  int64_t T;
  bool reverse;

  int64_t length(int64_t row) const { return of ? min(max(int64_t(of[row]), 0), T) : T; }
  bool counts(int64_t time, int64_t row) const { return !of || time < length(row); }
  // Whether this is the row's first step that counts. Before it the state is the initial one.
  bool is_first(int64_t time, int64_t row) const { return time == (reverse ? length(row) - 1 : 0); }
};

// The numbers of tiles of a block of rows that are taken, and that are done.
struct Progress {
  alignas(64) int64_t taken;
  alignas(64) int64_t done;
};

// A tile of a phase of a block of rows, and the tile that the same thread probably takes next.
struct Place {
  int64_t phase, row_block, index, next;
};

// Runs body(place) for all blocks of rows, all indices below `tiles` and phases [0, phases). A phase of some rows
// begins when their phase before it is done. Every other phase takes the indices backwards, because the weights of the
// last tiles are still in a core's own cache then. In the same order, weights larger than that cache would find nothing
// of themselves there.
template <class F>
static inline void walk(Context& context, const Plan& plan, int64_t phases, int64_t tiles, const F& body) {
  const size_t bytes = size_t(plan.row_blocks) * sizeof(Progress);
  Progress* progress = static_cast<Progress*>(scratch(context, bytes));
  memset(progress, 0, bytes);
  const auto share = [&](int64_t row_block) {
    Progress& of = progress[row_block];
    for (int64_t ticket; (ticket = __atomic_fetch_add(&of.taken, 1, __ATOMIC_RELAXED)) < phases * tiles;) {
      const int64_t phase = ticket / tiles, index = ticket - phase * tiles, next = min(index + 1, tiles - 1);
      wait_until(of.done, phase * tiles);
      if (phase % 2 == 0)
        body({phase, row_block, index, next});
      else
        body({phase, row_block, tiles - 1 - index, tiles - 1 - next});
      __atomic_fetch_add(&of.done, 1, __ATOMIC_RELEASE);
    }
  };
  int64_t begun = 0;
  parallel(context, min(thread_count(context), plan.row_blocks * tiles), [&](int64_t worker) {
    for (int64_t block; (block = __atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED)) < plan.row_blocks;) share(block);
    for (int64_t i = 0; i < plan.row_blocks; i++) share((worker + i) % plan.row_blocks);
  });
}

// Runs body(index) for all indices below `count`. Each call packs `floats` floats of weights.
template <class F>
static inline void in_chunks(Context& context, int64_t count, int64_t floats, const F& body) {
  const int64_t together = max(1, chunk_floats / max(1, floats));
  parallel(context, blocks(count, together), [&](int64_t chunk) {
    const int64_t first = chunk * together, end = min(first + together, count);
    for (int64_t index = first; index < end; index++) body(index);
  });
}

static inline float* floats(Context& context, int64_t count) {
  return static_cast<float*>(scratch(context, size_t(count) * sizeof(float)));
}

// The states of all blocks of rows, in two copies, because a step reads one while it writes the other.
struct States {
  float* memory;
  int64_t size;  // floats of one
};

static inline States make_states(Context& context, const Plan& plan, int64_t depth) {
  const int64_t size = state_size(plan.rows, depth);
  return {floats(context, 2 * plan.row_blocks * size), size};
}

static inline float* state_of(const States& states, int64_t step, int64_t row_block) {
  return states.memory + (2 * row_block + (step & 1)) * states.size;
}

static inline const float* data(const View* view) { return view ? pointer<const float>(*view) : nullptr; }
static inline float* output(const View* view) { return view ? pointer<float>(*view) : nullptr; }

// The pointers of an empty tensor may be null.
static inline void copy_or_clear(float* to, const float* from, int64_t count) {
  if (count == 0) return;
  if (from)
    memcpy(to, from, size_t(count) * sizeof(float));
  else
    memset(to, 0, size_t(count) * sizeof(float));
}

static inline const int32_t* integers(const View* view) { return view ? pointer<const int32_t>(*view) : nullptr; }

static inline bool has_shape(const View* view, int64_t a) { return !view || (view->ndim == 1 && view->sizes[0] == a); }
static inline bool has_shape(const View* view, int64_t a, int64_t b) {
  return !view || (view->ndim == 2 && view->sizes[0] == a && view->sizes[1] == b);
}
static inline bool has_shape(const View* view, int64_t a, int64_t b, int64_t c) {
  return !view || (view->ndim == 3 && view->sizes[0] == a && view->sizes[1] == b && view->sizes[2] == c);
}

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
