// Backward through time, for any cell (lstm.cpp, gru.cpp, rnn.cpp).
//
// A step computes the gradient of its h from the gates' gradients of the next step, [B, G H] x [G H, H], and then its
// own gates' gradients. The gradient of x is the same product with other weights. It is computed along with h's, while
// the packed gradients are in the cache. There are two exceptions: a block has so few rows that this would be slow, or
// the input and the state have different gates' gradients. Then one large multiplication computes it for many steps at
// once, as always for the gradients of weights.
//
// A step of the chain takes 2 G B H^2 operations over 4 G H^2 bytes of packed weights. It also reads and writes about
// 52 bytes a cell. All outputs are overwritten.
//
// A cell tells, beside `gates` and `separate` (forward.h; `separate` gives `dgates` one more column, for the state's
// part of the last gate),
//   carries   whether a part of h's gradient goes to h' without passing the gates: its `finish` writes that into
// `carry`
//   finish    the gates' gradients of a row of a tile
#pragma once
#include "../../generated/kernels.h"
#include "../simd/math.h"
#include "plan.h"

namespace firesteel::FIRESTEEL_ISA::recurrent {

// The arguments that the kernels of all cells take.
struct Backward {
  const View *dx, *dh0, *dw_ih, *dw_hh, *db_ih, *db_hh, *dy, *dhn, *x, *h0, *w_ih, *w_hh, *lengths, *out;
  bool reverse;
};

// One row of a tile. `dhidden` is the part of h's gradient that comes through later steps. The columns of `dgates` are
// H apart. `sums` adds up the gates' gradients over the tile's rows; its columns are `width` apart.
struct BackwardRow {
  const float *dhidden, *dy;  // dy may be null
  const float *out, *before;  // h, h' (null: 0)
  float *dgates, *sums, *carry;
  int64_t width, H, units;
  int64_t step, time, row;
  int64_t at;  // of the first cell in [B, H]
  int64_t unit;
};

template <class Cell>
static bool backward_fits(Context& context, const Backward& b, const char* what) {
  if (!expect(context, b.x->ndim == 3 && b.out->ndim == 3, what)) return false;
  const int64_t T = b.x->sizes[0], B = b.x->sizes[1], I = b.x->sizes[2], H = b.out->sizes[2], K = Cell::gates * H;
  return expect(context,
                has_shape(b.dx, T, B, I) && has_shape(b.dh0, B, H) && has_shape(b.dw_ih, K, I) &&
                    has_shape(b.dw_hh, K, H) && has_shape(b.db_ih, K) && has_shape(b.db_hh, K) &&
                    has_shape(b.dy, T, B, H) && has_shape(b.dhn, B, H) && has_shape(b.h0, B, H) &&
                    has_shape(b.w_ih, K, I) && has_shape(b.w_hh, K, H) && has_shape(b.lengths, B) &&
                    has_shape(b.out, T, B, H),
                what);
}

// Weights [G H, columns], packed in tiles with as many columns as a tile has units.
struct ColumnWeights {
  int64_t columns, tiles;
  float* memory;
  int64_t size;  // floats of the widest tile
};

static inline Share columns_of(const Plan& plan, const ColumnWeights& weights, int64_t index) {
  return {index * plan.units, min(plan.units, weights.columns - index * plan.units)};
}

static inline ColumnWeights pack_columns(Context& context, const Plan& plan, const float* from, int64_t columns) {
  const int64_t depth = plan.G * plan.H;
  const int64_t size = weights_size(depth, plan.units), tiles = blocks(columns, max(1, plan.units));
  const ColumnWeights packed = {columns, tiles, floats(context, tiles * size), size};
  in_chunks(context, tiles, size, [&](int64_t index) {
    const Share share = columns_of(plan, packed, index);
    pack_weights(packed.memory + index * size, {from + share.first, columns, 1}, depth, share.count);
  });
  return packed;
}

// Visits the gates' gradients [steps, B, columns H] that belong to the state, as rows and columns of its weights, in at
// most two runs.
template <class Cell, class F>
static inline void for_state_columns(int64_t H, const F& body) {
  if (!Cell::separate) return body(0, 0, Cell::gates * H);
  body(0, 0, (Cell::gates - 1) * H);
  body((Cell::gates - 1) * H, Cell::gates * H, H);
}

// dw_hh += dgates^T before, both [rows, ...].
template <class Cell>
static void add_state_gradient(Context& context, int64_t H, int64_t rows, const float* dgates, const float* before,
                               float* dw_hh) {
  constexpr int64_t columns = Cell::gates + Cell::separate;
  for_state_columns<Cell>(H, [&](int64_t row, int64_t column, int64_t count) {
    gemm::multiply(context, count, H, rows, {dgates + column, 1, columns * H}, {before, H, 1}, dw_hh + row * H, H,
                   {true, nullptr});
  });
}

// dw_hh += the part of `count` steps from `first` on, whose gates' gradients lie in `dgates` in the order of time. The
// initial state adds nothing if h0 is null.
template <class Cell>
static void add_recurrent_gradient(Context& context, const Plan& plan, int64_t first, int64_t count,
                                   const float* dgates, const float* h0, const float* out, float* dw_hh) {
  constexpr int64_t columns = Cell::gates + Cell::separate;
  const int64_t B = plan.B, H = plan.H;
  const auto add = [&](int64_t time, int64_t steps, const float* before) {
    add_state_gradient<Cell>(context, H, steps * B, dgates + time * B * columns * H, before, dw_hh);
  };
  // Step 0 uses h0, and each later step uses `out` of the step before it.
  const bool initial = first == 0;
  if (initial && h0) add(plan.reverse ? count - 1 : 0, 1, h0);
  const int64_t others = initial ? count - 1 : count;
  if (others == 0) return;
  const int64_t earliest = plan.reverse ? time_of(plan, first + count - 1) + 1 : max(first, 1) - 1;
  add(initial && !plan.reverse ? 1 : 0, others, out + earliest * B * H);
}

// The backward pass through all steps. `cell` has the pointers that only it knows.
template <class Cell>
static void run_backward(Context& context, const Backward& b, const Cell& cell) {
  constexpr int64_t G = Cell::gates, columns = G + Cell::separate;
  const int64_t T = b.x->sizes[0], B = b.x->sizes[1], I = b.x->sizes[2], H = b.out->sizes[2], K = columns * H;
  const View *dx = b.dx, *dw_ih = b.dw_ih, *dw_hh = b.dw_hh;
  const float *dhn = data(b.dhn), *h0 = data(b.h0), *out = data(b.out);

  // There may be any number of steps even without cells.
  if (T == 0 || B == 0 || H == 0) {
    copy_or_clear(output(dx), nullptr, dx ? T * B * I : 0);
    copy_or_clear(output(b.dh0), dhn, b.dh0 ? B * H : 0);
    copy_or_clear(output(dw_ih), nullptr, dw_ih ? G * H * I : 0);
    copy_or_clear(output(dw_hh), nullptr, dw_hh ? G * H * H : 0);
    copy_or_clear(output(b.db_ih), nullptr, b.db_ih ? G * H : 0);
    return copy_or_clear(output(b.db_hh), nullptr, b.db_hh ? G * H : 0);
  }

  const Plan plan = make_plan(T, B, I, H, G, b.reverse);
  const Lengths lengths = {integers(b.lengths), T, b.reverse};
  const ColumnWeights weights = pack_columns(context, plan, data(b.w_hh), H);
  const bool dx_beside = dx && !Cell::separate && plan.rows >= rows_beside;
  const ColumnWeights input_weights = dx_beside ? pack_columns(context, plan, data(b.w_ih), I) : ColumnWeights();
  const States states = make_states(context, plan, G * H);
  // A tile's room: the gradient of its h [rows, width], and the sums of its gates' gradients [columns, width].
  const int64_t room_size = (plan.rows + columns) * plan.width;
  float* rooms = floats(context, plan.row_blocks * plan.unit_blocks * room_size);

  const int64_t most_steps = min(T, max(1, rows_at_once / max(B, 1)));
  float* dgates = floats(context, most_steps * B * K);
  // The gradient that reaches h' without passing the gates. In a step that does not count, this is the whole gradient.
  float* carry = Cell::carries || lengths.of ? floats(context, B * H) : nullptr;
  // The gates' gradients of each row's first step. Rows may begin at different times, and each uses h0 at its own.
  float* firsts = lengths.of && b.reverse && h0 && dw_hh ? floats(context, B * K) : nullptr;
  copy_or_clear(firsts, nullptr, firsts ? B * K : 0);

  // Sums over time and batch are long, so each block of rows has its own in float64, [row_blocks, columns H].
  double* totals = static_cast<double*>(scratch(context, size_t(plan.row_blocks * K) * sizeof(double)));
  memset(totals, 0, size_t(plan.row_blocks * K) * sizeof(double));
  if (dw_ih) copy_or_clear(output(dw_ih), nullptr, G * H * I);
  if (dw_hh) copy_or_clear(output(dw_hh), nullptr, G * H * H);

  // The weights of a tile, those of the state first.
  const auto weights_of = [&](int64_t index) {
    return index < plan.unit_blocks ? weights.memory + index * weights.size
                                    : input_weights.memory + (index - plan.unit_blocks) * input_weights.size;
  };

  // Writes the gradient that reaches the state after `step` from later steps, into rows as wide as the tile.
  const auto dhidden_after = [&](int64_t step, const Tile& tile, const float* next, float* to) {
    if (step + 1 == T) {
      for (int64_t row = 0; row < tile.rows; row++)
        copy_or_clear(to + row * tile.width, dhn ? dhn + (tile.row + row) * H + tile.unit : nullptr, tile.units);
      return;
    }
    multiply(tile.rows, tile.units, G * H, state_of(states, step + 1, tile.row_block),
             weights.memory + tile.unit_block * weights.size, to, tile.width, false, nullptr, next);
    for (int64_t row = 0; carry && row < tile.rows; row++) {
      const float* more = carry + (tile.row + row) * H + tile.unit;
      float* sum = to + row * tile.width;
      for (int64_t u = 0; u < tile.units; u += lanes) {
        const int64_t n = tile.units - u;
        store(sum + u, load(sum + u, n) + load(more + u, n), n);
      }
    }
  };
  const auto room_of = [&](const Tile& tile) {
    return rooms + (tile.row_block * plan.unit_blocks + tile.unit_block) * room_size;
  };
  const auto bytes = [](int64_t count) { return size_t(count) * sizeof(float); };
  // One row of a tile at a step.
  const auto finish_row = [&](const Tile& tile, const BackwardRow& r) {
    if (!lengths.counts(r.time, r.row)) {
      for (int64_t column = 0; column < columns; column++) memset(r.dgates + column * H, 0, bytes(tile.units));
      memcpy(r.carry, r.dhidden, bytes(tile.units));
      return;
    }
    cell.finish(r);
    if (lengths.of && !Cell::carries) memset(r.carry, 0, bytes(tile.units));
    if (firsts && lengths.is_first(r.time, r.row))
      for (int64_t column = 0; column < columns; column++)
        memcpy(firsts + r.row * K + column * H + r.unit, r.dgates + column * H, bytes(tile.units));
  };

  for (int64_t end = T; end > 0; end -= most_steps) {
    const int64_t count = min(most_steps, end), first = end - count;
    const int64_t start = b.reverse ? time_of(plan, end - 1) : first;  // the earliest of these steps
    const size_t mark = scratch_mark(context);
    // There is one phase more than there are steps, because the gradient of x is one step late.
    const int64_t phases = count + dx_beside, tiles = plan.unit_blocks + input_weights.tiles;
    walk(context, plan, phases, tiles, [&](const Place& place) {
      const auto [phase, block, index, following] = place;
      const int64_t step = end - 1 - phase, time = time_of(plan, step);
      const Tile tile = make_tile(plan, block, index);
      const float* const next = plan.far ? weights_of(following) : nullptr;
      if (index >= plan.unit_blocks) {
        const Share share = columns_of(plan, input_weights, index - plan.unit_blocks);
        if (phase > 0)
          multiply(tile.rows, share.count, G * H, state_of(states, step + 1, block), weights_of(index),
                   output(dx) + (time_of(plan, step + 1) * B + tile.row) * I + share.first, I, false, nullptr, next);
        return;
      }
      if (phase == count) return;
      float* dhidden = room_of(tile);
      float* sums = dhidden + tile.rows * tile.width;
      dhidden_after(step, tile, next, dhidden);
      memset(sums, 0, bytes(columns * tile.width));
      float* tile_dgates = dgates + ((time - start) * B + tile.row) * K + tile.unit;
      for (int64_t i = 0; i < tile.rows; i++) {
        const int64_t row = tile.row + i, at = row * H + tile.unit, in_out = time * B * H + at;
        const float* before = lengths.is_first(time, row) ? h0 ? h0 + at : nullptr
                              : step > 0                  ? out + time_of(plan, step - 1) * B * H + at
                                                          : nullptr;
        finish_row(tile, {dhidden + i * tile.width, b.dy ? data(b.dy) + in_out : nullptr, out + in_out, before,
                          tile_dgates + i * K, sums, carry ? carry + at : nullptr, tile.width, H, tile.units, step,
                          time, row, at, tile.unit});
      }
      for (int64_t column = 0; column < columns; column++) {
        double* total = totals + (tile.row_block * columns + column) * H + tile.unit;
        for (int64_t u = 0; u < tile.units; u++) total[u] += double(sums[column * tile.width + u]);
      }
      for_state_columns<Cell>(H, [&](int64_t row, int64_t column, int64_t run) {
        for (int64_t k = 0; k < run; k += H)
          pack_state(state_of(states, step, block), tile.rows, G * H, {0, tile.rows, row + k + tile.unit, tile.units},
                     tile_dgates + column + k, K);
      });
    });
    release_scratch(context, mark);

    if (dx && !dx_beside)
      gemm::multiply(context, count * B, I, G * H, {dgates, K, 1}, {data(b.w_ih), I, 1}, output(dx) + start * B * I, I,
                     {false, nullptr});
    if (dw_ih)
      gemm::multiply(context, G * H, I, count * B, {dgates, 1, K}, {data(b.x) + start * B * I, I, 1}, output(dw_ih), I,
                     {true, nullptr});
    if (dw_hh)
      add_recurrent_gradient<Cell>(context, plan, first, count, dgates, firsts ? nullptr : h0, out, output(dw_hh));
  }
  if (firsts) add_state_gradient<Cell>(context, H, B, firsts, h0, output(dw_hh));

  if (b.dh0)
    walk(context, plan, 1, plan.unit_blocks, [&](const Place& place) {
      const Tile tile = make_tile(plan, place.row_block, place.index);
      float* dhidden = room_of(tile);
      dhidden_after(-1, tile, nullptr, dhidden);
      for (int64_t row = 0; row < tile.rows; row++)
        copy_or_clear(output(b.dh0) + (tile.row + row) * H + tile.unit, dhidden + row * tile.width, tile.units);
    });
  const auto sum_up = [&](float* to, int64_t column, int64_t count) {
    for (int64_t k = 0; k < count; k++) {
      double total = 0;
      for (int64_t block = 0; block < plan.row_blocks; block++) total += totals[block * K + column + k];
      to[k] = float(total);
    }
  };
  if (b.db_ih) sum_up(output(b.db_ih), 0, G * H);
  if (b.db_hh)
    for_state_columns<Cell>(
        H, [&](int64_t row, int64_t column, int64_t count) { sum_up(output(b.db_hh) + row, column, count); });
}

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
