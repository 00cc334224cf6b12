// The gradients of the LSTM (forward.cpp).
//
// A step takes the gradient of its h from the gates' gradients of the step behind it, [B, 4H] x [4H, H], and makes its
// own gates' gradients. The gradient of x is the same product with other weights, and made beside it, while the packed
// gradients are in the cache: where a block has so few rows that this would be slow, and for the gradients of weights,
// many steps are taken at once, as large multiplications.
//
// A step of the chain is 8 B H^2 operations over 16 H^2 bytes of packed weights, and reads and writes, beside them,
// about 52 bytes a cell. All outputs are overwritten.
#include "../../generated/kernels.h"
#include "../simd/math.h"
#include "plan.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using namespace recurrent;

// Weights [4H, columns], packed for tiles of as many columns as a tile has units.
struct Weights {
  int64_t columns, tiles;
  float* memory;
  int64_t size;  // floats of the widest tile
};

Share columns_of(const Plan& plan, const Weights& weights, int64_t index) {
  return {index * plan.units, min(plan.units, weights.columns - index * plan.units)};
}

Weights pack_columns(Context& context, const Plan& plan, const float* from, int64_t columns) {
  const int64_t size = weights_size(4 * plan.H, plan.units), tiles = blocks(columns, max(1, plan.units));
  const Weights packed = {columns, tiles, floats(context, tiles * size), size};
  in_chunks(context, tiles, size, [&](int64_t index) {
    const Share share = columns_of(plan, packed, index);
    pack_weights(packed.memory + index * size, {from + share.first, columns, 1}, 4 * plan.H, share.count);
  });
  return packed;
}

// One row of a tile. `dhidden` is the part of h's gradient that comes through later steps, `dcell` that of c's, which
// becomes that of c'. `sums` adds up the gates' gradients over the tile's rows.
struct Row {
  const float *gates, *cells, *before;  // c, c' (null: 0)
  const float *dhidden, *dy;            // dy may be null
  float *dcell, *dgates, *sums;
  int64_t width, H, units;
};

void finish_row(const Row& r) {
  const Vec one = simd::set(1.0f);
  for (int64_t u = 0; u < r.units; u += lanes) {
    const int64_t n = r.units - u;
    const Vec i = load(r.gates + u, n), f = load(r.gates + r.H + u, n);
    const Vec g = load(r.gates + 2 * r.H + u, n), o = load(r.gates + 3 * r.H + u, n);
    const Vec tanh_c = simd::tanh_of_gate(load(r.cells + u, n));
    Vec dh = simd::load(r.dhidden + u);
    if (r.dy) dh = dh + load(r.dy + u, n);
    const Vec dc = load(r.dcell + u, n) + dh * o * (one - tanh_c * tanh_c);
    const Vec before = r.before ? load(r.before + u, n) : simd::zero();
    const Vec d[4] = {dc * g * i * (one - i), dc * before * f * (one - f), dc * i * (one - g * g),
                      dh * tanh_c * o * (one - o)};
    for (int64_t gate = 0; gate < 4; gate++) {
      store(r.dgates + gate * r.H + u, d[gate], n);
      float* sum = r.sums + gate * r.width + u;
      simd::store(sum, simd::load(sum) + d[gate]);
    }
    store(r.dcell + u, dc * f, n);
  }
}

// dwHh += the part of `count` steps from `first`, whose gates' gradients lie in `dgates` in the order of time.
void add_recurrent_gradient(Context& context, const Plan& plan, int64_t first, int64_t count, const float* dgates,
                            const float* h0, const float* out, float* dw_hh) {
  const int64_t B = plan.B, H = plan.H;
  const auto add = [&](int64_t time, int64_t steps, const float* before) {
    gemm::multiply(context, 4 * H, H, steps * B, {dgates + time * B * 4 * H, 1, 4 * H}, {before, H, 1}, dw_hh, H,
                   {true, nullptr});
  };
  // Step 0 meets h0; the others meet `out`, a step before them.
  const bool initial = first == 0;
  if (initial && h0) add(plan.reverse ? count - 1 : 0, 1, h0);
  const int64_t others = initial ? count - 1 : count;
  if (others == 0) return;
  const int64_t earliest = plan.reverse ? time_of(plan, first + count - 1) + 1 : max(first, 1) - 1;
  add(initial && !plan.reverse ? 1 : 0, others, out + earliest * B * H);
}

}  // namespace

void lstm_backward(Context& context, const View* dx, const View* dh0, const View* dc0, const View* dw_ih,
                   const View* dw_hh, const View* dbias, const View* dy, const View* dhn, const View* dcn,
                   const View& x, const View* h0, const View* c0, const View& w_ih, const View& w_hh, const View& out,
                   const View& gates, const View& cells, bool reverse) {
  if (!expect(context, x.ndim == 3 && out.ndim == 3, "lstm_backward: x and out must have 3 dimensions")) return;
  const int64_t T = x.sizes[0], B = x.sizes[1], I = x.sizes[2], H = out.sizes[2];
  const bool shapes = has_shape(dx, T, B, I) && has_shape(dh0, B, H) && has_shape(dc0, B, H) &&
                      has_shape(dw_ih, 4 * H, I) && has_shape(dw_hh, 4 * H, H) && has_shape(dbias, 4 * H) &&
                      has_shape(dy, T, B, H) && has_shape(dhn, B, H) && has_shape(dcn, B, H) && has_shape(h0, B, H) &&
                      has_shape(c0, B, H) && has_shape(&w_ih, 4 * H, I) && has_shape(&w_hh, 4 * H, H) &&
                      has_shape(&out, T, B, H) && has_shape(&gates, T, B, 4 * H) && has_shape(&cells, T, B, H);
  if (!expect(context, shapes, "lstm_backward: the sizes do not fit x [T, B, I] and out [T, B, H]")) return;

  // No cells, but perhaps any number of steps.
  if (T == 0 || B == 0 || H == 0) {
    copy_or_clear(output(dx), nullptr, dx ? T * B * I : 0);
    copy_or_clear(output(dh0), data(dhn), dh0 ? B * H : 0);
    copy_or_clear(output(dc0), data(dcn), dc0 ? B * H : 0);
    copy_or_clear(output(dw_ih), nullptr, dw_ih ? 4 * H * I : 0);
    copy_or_clear(output(dw_hh), nullptr, dw_hh ? 4 * H * H : 0);
    return copy_or_clear(output(dbias), nullptr, dbias ? 4 * H : 0);
  }

  const Plan plan = make_plan(T, B, I, H, reverse);
  const Weights weights = pack_columns(context, plan, data(&w_hh), H);
  const bool dx_beside = dx && H > 0 && plan.rows >= rows_beside;
  const Weights input_weights = dx_beside ? pack_columns(context, plan, data(&w_ih), I) : Weights();
  const States states = make_states(context, plan, 4 * H);
  // A tile's room: the gradient of its h [rows, width], and the sums of its gates' gradients [4, width].
  const int64_t room_size = (plan.rows + 4) * plan.width;
  float* rooms = floats(context, plan.row_blocks * plan.unit_blocks * room_size);

  const int64_t most_steps = min(T, max(1, rows_at_once / max(B, 1)));
  float* dgates = floats(context, most_steps * B * 4 * H);
  float* dcell = dc0 ? output(dc0) : floats(context, B * H);
  copy_or_clear(dcell, data(dcn), B * H);

  // Sums over time and batch are long: each block of rows has its own in float64, [row_blocks, 4H].
  double* totals = static_cast<double*>(scratch(context, size_t(plan.row_blocks * 4 * H) * sizeof(double)));
  memset(totals, 0, size_t(plan.row_blocks * 4 * H) * sizeof(double));
  if (dw_ih) copy_or_clear(output(dw_ih), nullptr, 4 * H * I);
  if (dw_hh) copy_or_clear(output(dw_hh), nullptr, 4 * H * H);

  // What reaches the state after `step` through the steps behind it, into rows as wide as the tile.
  const auto dhidden_after = [&](int64_t step, const Tile& tile, float* to) {
    if (step + 1 < T)
      return multiply(tile.rows, tile.units, 4 * H, state_of(states, step + 1, tile.row_block),
                      weights.memory + tile.unit_block * weights.size, to, tile.width, false, nullptr);
    for (int64_t row = 0; row < tile.rows; row++)
      copy_or_clear(to + row * tile.width, dhn ? data(dhn) + (tile.row + row) * H + tile.unit : nullptr, tile.units);
  };
  const auto room_of = [&](const Tile& tile) {
    return rooms + (tile.row_block * plan.unit_blocks + tile.unit_block) * room_size;
  };

  for (int64_t end = T; end > 0; end -= most_steps) {
    const int64_t count = min(most_steps, end), first = end - count;
    const int64_t start = reverse ? time_of(plan, end - 1) : first;  // the earliest of these steps
    const size_t mark = scratch_mark(context);
    // A phase more than there are steps: the gradient of x is a step late.
    const int64_t phases = count + dx_beside, tiles = plan.unit_blocks + input_weights.tiles;
    walk(context, plan, phases, tiles, [&](int64_t phase, int64_t block, int64_t index) {
      const int64_t step = end - 1 - phase, time = time_of(plan, step);
      const Tile tile = make_tile(plan, block, index);
      if (index >= plan.unit_blocks) {
        index -= plan.unit_blocks;
        const Share columns = columns_of(plan, input_weights, index);
        if (phase > 0)
          multiply(tile.rows, columns.count, 4 * H, state_of(states, step + 1, block),
                   input_weights.memory + index * input_weights.size,
                   output(dx) + (time_of(plan, step + 1) * B + tile.row) * I + columns.first, I, false, nullptr);
        return;
      }
      if (phase == count) return;
      float* dhidden = room_of(tile);
      float* sums = dhidden + tile.rows * tile.width;
      dhidden_after(step, tile, dhidden);
      memset(sums, 0, size_t(4 * tile.width) * sizeof(float));
      const float* before = step > 0 ? data(&cells) + time_of(plan, step - 1) * B * H : data(c0);
      float* tile_dgates = dgates + ((time - start) * B + tile.row) * 4 * H + tile.unit;
      for (int64_t row = 0; row < tile.rows; row++) {
        const int64_t at = (tile.row + row) * H + tile.unit;  // of the cell in [B, H]
        finish_row({data(&gates) + (time * B + tile.row + row) * 4 * H + tile.unit, data(&cells) + time * B * H + at,
                    before ? before + at : nullptr, dhidden + row * tile.width,
                    dy ? data(dy) + time * B * H + at : nullptr, dcell + at, tile_dgates + row * 4 * H, sums,
                    tile.width, H, tile.units});
      }
      for (int64_t gate = 0; gate < 4; gate++) {
        double* total = totals + (tile.row_block * 4 + gate) * H + tile.unit;
        for (int64_t u = 0; u < tile.units; u++) total[u] += double(sums[gate * tile.width + u]);
        pack_state(state_of(states, step, block), tile.rows, 4 * H, {0, tile.rows, gate * H + tile.unit, tile.units},
                   tile_dgates + gate * H, 4 * H);
      }
    });
    release_scratch(context, mark);

    if (dx && !dx_beside)
      gemm::multiply(context, count * B, I, 4 * H, {dgates, 4 * H, 1}, {data(&w_ih), I, 1}, output(dx) + start * B * I,
                     I, {false, nullptr});
    if (dw_ih)
      gemm::multiply(context, 4 * H, I, count * B, {dgates, 1, 4 * H}, {data(&x) + start * B * I, I, 1}, output(dw_ih),
                     I, {true, nullptr});
    if (dw_hh) add_recurrent_gradient(context, plan, first, count, dgates, data(h0), data(&out), output(dw_hh));
  }

  if (dh0)
    walk(context, plan, 1, plan.unit_blocks, [&](int64_t, int64_t block, int64_t index) {
      const Tile tile = make_tile(plan, block, index);
      float* dhidden = room_of(tile);
      dhidden_after(-1, tile, dhidden);
      for (int64_t row = 0; row < tile.rows; row++)
        copy_or_clear(output(dh0) + (tile.row + row) * H + tile.unit, dhidden + row * tile.width, tile.units);
    });
  for (int64_t k = 0; dbias && k < 4 * H; k++) {
    double total = 0;
    for (int64_t block = 0; block < plan.row_blocks; block++) total += totals[block * 4 * H + k];
    output(dbias)[k] = float(total);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA
