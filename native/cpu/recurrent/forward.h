// Forward through time: one layer, one direction, all time steps, for any cell (lstm.cpp, gru.cpp, rnn.cpp).
//
// The input's part of the gates does not depend on the state. It is computed just before its steps, for as many steps
// at once as make the rows of a good product. It stays in the cache until the steps add theirs. A tile does everything
// that its cells need: the product of all gates, the activations, the new state, and packing that state for the next
// step.
//
// A step takes 2 G B H (I + H) operations over 4 G H (I + H) bytes of packed weights. It also reads and writes about 48
// bytes a cell. All outputs are overwritten.
//
// A cell tells
//   gates     the number of its gates
//   separate  whether the input's and the state's parts of the last gate stay apart, which takes one more column
//   keeps     whether its `finish` reads h' from hn and writes h there
//   finish    the new state of a row of a tile, from its columns
//   idle      the result of a row whose step does not count
#pragma once
#include "../../generated/kernels.h"
#include "../simd/math.h"
#include "plan.h"

namespace firesteel::FIRESTEEL_ISA::recurrent {

// The arguments that the kernels of all cells take.
struct Forward {
  const View *out, *hn, *x, *h0, *w_ih, *w_hh, *b_ih, *b_hh, *lengths;
  bool reverse;
};

// One row of a tile. The columns of `a` are `width` apart.
struct ForwardRow {
  const float* a;
  int64_t width, units;
  int64_t row, time;  // in the batch; in x
  int64_t at;         // index of the first cell in [B, H]
  int64_t unit;
  float* hidden;
};

// The sizes of x [T, B, I] and out [T, B, H], if the arguments that all cells share fit them.
template <class Cell>
static bool forward_fits(Context& context, const Forward& f, const char* what) {
  if (!expect(context, f.x->ndim == 3 && f.out->ndim == 3, what)) return false;
  const int64_t T = f.x->sizes[0], B = f.x->sizes[1], I = f.x->sizes[2], H = f.out->sizes[2], K = Cell::gates * H;
  return expect(context,
                has_shape(f.out, T, B, H) && has_shape(f.hn, B, H) && has_shape(f.h0, B, H) &&
                    has_shape(f.w_ih, K, I) && has_shape(f.w_hh, K, H) && has_shape(f.b_ih, K) &&
                    has_shape(f.b_hh, K) && has_shape(f.lengths, B),
                what);
}

// The weights of all tiles, one after another. A tile has its gates, each [depth, units].
struct GateWeights {
  float* memory;
  int64_t depth, size;  // floats of a gate of the widest tile
};

static inline GateWeights pack_gates(Context& context, const Plan& plan, const float* weights, int64_t depth) {
  const int64_t size = weights_size(depth, plan.units);
  const GateWeights packed = {floats(context, plan.unit_blocks * plan.G * size), depth, size};
  in_chunks(context, plan.unit_blocks, plan.G * size, [&](int64_t index) {
    const Tile tile = make_tile(plan, 0, index);
    for (int64_t gate = 0; gate < plan.G; gate++)
      pack_weights(packed.memory + (index * plan.G + gate) * size,
                   {weights + (gate * plan.H + tile.unit) * depth, 1, depth}, depth, tile.units);
  });
  return packed;
}

// The initial value of each column, in the tiles' layout [unit_blocks, columns, width]. Null without biases.
static inline float* pack_bias(Context& context, const Plan& plan, bool separate, const float* b_ih,
                               const float* b_hh) {
  if (!b_ih && !b_hh) return nullptr;
  const int64_t columns = plan.G + separate;
  float* bias = floats(context, plan.unit_blocks * columns * plan.width);
  for (int64_t block = 0; block < plan.unit_blocks; block++) {
    const Tile tile = make_tile(plan, 0, block);
    for (int64_t column = 0; column < columns; column++) {
      const bool apart = separate && column >= plan.G - 1;
      const float* first = column == plan.G ? nullptr : b_ih;
      const float* second = apart && column < plan.G ? nullptr : b_hh;
      float* to = bias + block * columns * plan.width + column * tile.width;
      for (int64_t u = 0; u < tile.width; u++) {
        const int64_t k = min(column, plan.G - 1) * plan.H + tile.unit + u;
        to[u] = u < tile.units ? (first ? first[k] : 0) + (second ? second[k] : 0) : 0;
      }
    }
  }
  return bias;
}

// The forward pass through all steps. `cell` has the pointers that only it knows.
template <class Cell>
static void run_forward(Context& context, const Forward& f, const Cell& cell) {
  const int64_t T = f.x->sizes[0], B = f.x->sizes[1], I = f.x->sizes[2], H = f.out->sizes[2];
  constexpr int64_t G = Cell::gates, columns = G + Cell::separate;
  float *hidden = output(f.out), *last = output(f.hn);
  const float* h0 = data(f.h0);
  if (T == 0 || B == 0 || H == 0) return copy_or_clear(last, h0, B * H);

  const Plan plan = make_plan(T, B, I, H, G, f.reverse);
  const Lengths lengths = {integers(f.lengths), T, f.reverse};
  // Whether hn holds the state between steps. Otherwise the row of out does.
  const bool running = Cell::keeps || lengths.of;
  if (running) copy_or_clear(last, h0, B * H);
  const GateWeights of_input = pack_gates(context, plan, data(f.w_ih), I);
  const GateWeights of_state = pack_gates(context, plan, data(f.w_hh), H);
  const float* bias = pack_bias(context, plan, Cell::separate, data(f.b_ih), data(f.b_hh));
  const States states = make_states(context, plan, H);
  for (int64_t block = 0; h0 && block < plan.row_blocks; block++) {
    const Tile tile = make_tile(plan, block, 0);
    pack_state(state_of(states, 0, block), tile.rows, H, {0, tile.rows, 0, H}, h0 + tile.row * H, H);
  }

  const auto weights_of = [](const GateWeights& weights, int64_t block, int64_t gate) {
    return weights.memory + (block * G + gate) * weights.size;
  };
  // The weights that follow a gate's, in its tile or in the next one; null if they are near.
  const auto weights_after = [&](const GateWeights& weights, int64_t block, int64_t gate,
                                 int64_t next) -> const float* {
    if (!plan.far) return nullptr;
    return gate + 1 < G ? weights_of(weights, block, gate + 1) : weights_of(weights, next, 0);
  };
  // All gates of a tile: a, [rows, columns width], = input weights + bias.
  const auto multiply_input = [&](const Tile& tile, int64_t next, int64_t rows, const float* input, float* a) {
    const float* first = bias ? bias + tile.unit_block * columns * plan.width : nullptr;
    for (int64_t gate = 0; gate < G; gate++)
      multiply(rows, tile.units, I, input, weights_of(of_input, tile.unit_block, gate), a + gate * tile.width,
               columns * tile.width, false, first ? first + gate * tile.width : nullptr,
               weights_after(of_input, tile.unit_block, gate, next));
  };
  // a += state weights. If the last gate's parts stay apart, its state column is state weights + bias.
  const auto multiply_state = [&](const Tile& tile, int64_t next, const float* state, float* a) {
    const float* apart = bias ? bias + (tile.unit_block * columns) * plan.width + G * tile.width : nullptr;
    for (int64_t gate = 0; gate < G; gate++) {
      const bool own = Cell::separate && gate == G - 1;
      multiply(tile.rows, tile.units, H, state, weights_of(of_state, tile.unit_block, gate),
               a + (gate + own) * tile.width, columns * tile.width, !own, own ? apart : nullptr,
               weights_after(of_state, tile.unit_block, gate, next));
    }
  };
  // The same for a state of 0.
  const auto without_state = [&](const Tile& tile, float* a) {
    if (!Cell::separate) return;
    const float* apart = bias ? bias + (tile.unit_block * columns) * plan.width + G * tile.width : nullptr;
    for (int64_t row = 0; row < tile.rows; row++)
      copy_or_clear(a + (row * columns + G) * tile.width, apart, tile.width);
  };

  // Runs some steps: packs their input, computes the input's part of a, then takes step after step.
  const int64_t together = min(T, blocks(input_rows, plan.rows)), phases = together + 2;
  const int64_t input_size = state_size(together * plan.rows, I),
                part_size = together * plan.rows * columns * plan.width;
  float* inputs = floats(context, plan.row_blocks * input_size);
  float* parts = floats(context, plan.row_blocks * plan.unit_blocks * part_size);
  walk(context, plan, blocks(T, together) * phases, plan.unit_blocks, [&](const Place& place) {
    const int64_t block = place.row_block, index = place.index, phase = place.phase % phases;
    const Tile tile = make_tile(plan, block, index);
    const int64_t first = place.phase / phases * together, count = min(together, T - first);
    float* input = inputs + block * input_size;
    float* part = parts + (block * plan.unit_blocks + index) * part_size;
    if (phase == 0) {
      for (int64_t i = index; i < count; i += plan.unit_blocks)
        pack_state(input, count * tile.rows, I, {i * tile.rows, tile.rows, 0, I},
                   data(f.x) + (time_of(plan, first + i) * B + tile.row) * I, I);
      return;
    }
    if (phase == 1) return multiply_input(tile, place.next, count * tile.rows, input, part);
    const int64_t step = first + phase - 2;
    if (step >= T) return;
    float* a = part + (step - first) * tile.rows * columns * tile.width;
    if (step > 0 || h0)
      multiply_state(tile, place.next, state_of(states, step, block), a);
    else
      without_state(tile, a);
    const int64_t time = time_of(plan, step);
    for (int64_t i = 0; i < tile.rows; i++) {
      const int64_t row = tile.row + i, at = row * H + tile.unit;
      const ForwardRow r = {a + i * columns * tile.width, tile.width, tile.units, row, time, at, tile.unit,
                            hidden + time * B * H + at};
      if (!lengths.counts(time, row)) {
        cell.idle(r);
        memset(r.hidden, 0, size_t(tile.units) * sizeof(float));
        continue;
      }
      cell.finish(r);
      if (lengths.of && !Cell::keeps) memcpy(last + at, r.hidden, size_t(tile.units) * sizeof(float));
    }
    const float* state = running ? last : hidden + time * B * H;
    if (step + 1 < T)
      pack_state(state_of(states, step + 1, block), tile.rows, H, {0, tile.rows, tile.unit, tile.units},
                 state + tile.row * H + tile.unit, H);
  });
  if (!running) copy_or_clear(last, hidden + time_of(plan, T - 1) * B * H, B * H);
}

}  // namespace firesteel::FIRESTEEL_ISA::recurrent
