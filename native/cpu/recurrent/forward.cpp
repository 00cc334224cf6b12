// The LSTM: one layer, one direction, all time steps (S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", 1997,
// with the forget gate of F. Gers et al., 2000).
//
//   a = x wIh^T + bIh + h' wHh^T + bHh          i, f, o = sigmoid(a_i, a_f, a_o)   g = tanh(a_g)
//   c = f c' + i g   h = o tanh(c)              h', c': the state before the step
//
// What does not depend on the state, the input's part of a, is done for a few steps at once, as many as make the rows
// of a good product, just before these steps: it stays in the cache until the steps add theirs. A tile does all that
// its cells need: the product of all four gates, the activations, the new state, and the packing of that state for the
// next step.
//
// A step is 8 B H (I + H) operations over 16 H (I + H) bytes of packed weights, and reads and writes, beside them,
// about 48 bytes a cell. All outputs are overwritten.
#include "../../generated/kernels.h"
#include "../simd/math.h"
#include "plan.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace recurrent;

// The weights of all tiles, one after another: of a tile its four gates, each [depth, units].
struct Weights {
  float* memory;
  int64_t depth, size;  // floats of a gate of the widest tile
};

Weights pack_gates(Context& context, const Plan& plan, const float* weights, int64_t depth) {
  const int64_t size = weights_size(depth, plan.units);
  const Weights packed = {floats(context, plan.unit_blocks * 4 * size), depth, size};
  in_chunks(context, plan.unit_blocks, 4 * size, [&](int64_t index) {
    const Tile tile = make_tile(plan, 0, index);
    for (int64_t gate = 0; gate < 4; gate++)
      pack_weights(packed.memory + (index * 4 + gate) * size, {weights + (gate * plan.H + tile.unit) * depth, 1, depth},
                   depth, tile.units);
  });
  return packed;
}

// All gates of a tile: a, of [rows, 4 width], = or += state weights + bias [4 width].
void multiply_gates(const Tile& tile, int64_t rows, const float* state, const Weights& weights, float* a,
                    bool accumulate, const float* bias) {
  for (int64_t gate = 0; gate < 4; gate++)
    multiply(rows, tile.units, weights.depth, state, weights.memory + (tile.unit_block * 4 + gate) * weights.size,
             a + gate * tile.width, 4 * tile.width, accumulate, bias ? bias + gate * tile.width : nullptr);
}

// The sum of both biases as the tiles see it, [unit_blocks, 4, width], or null.
float* pack_bias(Context& context, const Plan& plan, const float* b_ih, const float* b_hh) {
  if (!b_ih && !b_hh) return nullptr;
  float* bias = floats(context, plan.unit_blocks * 4 * plan.width);
  for (int64_t block = 0; block < plan.unit_blocks; block++) {
    const Tile tile = make_tile(plan, 0, block);
    for (int64_t gate = 0; gate < 4; gate++) {
      float* to = bias + block * 4 * plan.width + gate * tile.width;
      for (int64_t u = 0; u < tile.width; u++) {
        const int64_t k = gate * plan.H + tile.unit + u;
        to[u] = u < tile.units ? (b_ih ? b_ih[k] : 0) + (b_hh ? b_hh[k] : 0) : 0;
      }
    }
  }
  return bias;
}

// One row of a tile. `a` has its gates `width` apart, `gates` H; `cell` is c' and becomes c.
struct Row {
  const float* a;
  float *gates, *cell, *cells, *hidden;
  int64_t width, H, units;
};

void finish_row(const Row& r) {
  for (int64_t u = 0; u < r.units; u += lanes) {
    const int64_t n = r.units - u;
    const Vec i = simd::sigmoid(simd::load(r.a + u)), f = simd::sigmoid(simd::load(r.a + r.width + u));
    const Vec g = simd::tanh_of_gate(simd::load(r.a + 2 * r.width + u));
    const Vec o = simd::sigmoid(simd::load(r.a + 3 * r.width + u));
    const Vec c = simd::fma(f, load(r.cell + u, n), i * g);
    if (r.gates) {
      store(r.gates + u, i, n);
      store(r.gates + r.H + u, f, n);
      store(r.gates + 2 * r.H + u, g, n);
      store(r.gates + 3 * r.H + u, o, n);
    }
    store(r.cell + u, c, n);
    if (r.cells) store(r.cells + u, c, n);
    store(r.hidden + u, o * simd::tanh_of_gate(c), n);
  }
}

}  // namespace

void lstm_forward(Context& context, const View& out, const View& hn, const View& cn, const View* gates,
                  const View* cells, const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh,
                  const View* b_ih, const View* b_hh, bool reverse) {
  if (!expect(context, x.ndim == 3 && out.ndim == 3, "lstm_forward: x and out must have 3 dimensions")) return;
  const int64_t T = x.sizes[0], B = x.sizes[1], I = x.sizes[2], H = out.sizes[2];
  const bool shapes = has_shape(&out, T, B, H) && has_shape(&hn, B, H) && has_shape(&cn, B, H) &&
                      has_shape(gates, T, B, 4 * H) && has_shape(cells, T, B, H) && has_shape(h0, B, H) &&
                      has_shape(c0, B, H) && has_shape(&w_ih, 4 * H, I) && has_shape(&w_hh, 4 * H, H) &&
                      has_shape(b_ih, 4 * H) && has_shape(b_hh, 4 * H);
  if (!expect(context, shapes, "lstm_forward: the sizes do not fit x [T, B, I] and out [T, B, H]")) return;

  float* cell = output(&cn);
  float* hidden = output(&out);
  copy_or_clear(cell, data(c0), B * H);
  if (T == 0 || B == 0 || H == 0) return copy_or_clear(output(&hn), data(h0), B * H);

  const Plan plan = make_plan(T, B, I, H, reverse);
  const Weights of_input = pack_gates(context, plan, data(&w_ih), I);
  const Weights of_state = pack_gates(context, plan, data(&w_hh), H);
  const float* bias = pack_bias(context, plan, data(b_ih), data(b_hh));
  const States states = make_states(context, plan, H);
  for (int64_t block = 0; h0 && block < plan.row_blocks; block++) {
    const Tile tile = make_tile(plan, block, 0);
    pack_state(state_of(states, 0, block), tile.rows, H, {0, tile.rows, 0, H}, data(h0) + tile.row * H, H);
  }

  // Some steps at once: their input is packed, then comes the input's part of a, then step after step.
  const int64_t together = min(T, blocks(input_rows, plan.rows)), phases = together + 2;
  const int64_t input_size = state_size(together * plan.rows, I), part_size = together * plan.rows * 4 * plan.width;
  float* inputs = floats(context, plan.row_blocks * input_size);
  float* parts = floats(context, plan.row_blocks * plan.unit_blocks * part_size);
  walk(context, plan, blocks(T, together) * phases, plan.unit_blocks, [&](int64_t phase, int64_t block, int64_t index) {
    const Tile tile = make_tile(plan, block, index);
    const int64_t first = phase / phases * together, count = min(together, T - first);
    float* input = inputs + block * input_size;
    float* part = parts + (block * plan.unit_blocks + index) * part_size;
    phase %= phases;
    if (phase == 0) {
      for (int64_t i = index; i < count; i += plan.unit_blocks)
        pack_state(input, count * tile.rows, I, {i * tile.rows, tile.rows, 0, I},
                   data(&x) + (time_of(plan, first + i) * B + tile.row) * I, I);
      return;
    }
    if (phase == 1)
      return multiply_gates(tile, count * tile.rows, input, of_input, part, false,
                            bias ? bias + index * 4 * plan.width : nullptr);
    const int64_t step = first + phase - 2;
    if (step >= T) return;
    float* a = part + (step - first) * tile.rows * 4 * tile.width;
    if (step > 0 || h0) multiply_gates(tile, tile.rows, state_of(states, step, block), of_state, a, true, nullptr);
    const int64_t time = time_of(plan, step);
    for (int64_t row = 0; row < tile.rows; row++) {
      const int64_t at = (tile.row + row) * H + tile.unit;  // of the cell in [B, H]
      finish_row({a + row * 4 * tile.width,
                  gates ? output(gates) + (time * B + tile.row + row) * 4 * H + tile.unit : nullptr, cell + at,
                  cells ? output(cells) + time * B * H + at : nullptr, hidden + time * B * H + at, tile.width, H,
                  tile.units});
    }
    if (step + 1 < T)
      pack_state(state_of(states, step + 1, block), tile.rows, H, {0, tile.rows, tile.unit, tile.units},
                 hidden + (time * B + tile.row) * H + tile.unit, H);
  });
  copy_or_clear(output(&hn), hidden + time_of(plan, T - 1) * B * H, B * H);
}

}  // namespace firesteel::FIRESTEEL_ISA
