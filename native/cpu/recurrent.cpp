// The LSTM: one layer, one direction, all time steps (S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", 1997,
// with the forget gate of F. Gers et al., 2000).
//
//   a = x wIh^T + bIh + h' wHh^T + bHh          i, f, o = sigmoid(a_i, a_f, a_o)   g = tanh(a_g)
//   c = f c' + i g   h = o tanh(c)              h', c': the state before the step
//
// Legend: T time steps, B rows of a batch, I inputs, H hidden units. Gates, and with them the rows of the weights,
// stand in the order i, f, g, o.
//
// What does not depend on the state is done for many steps at once, as large multiplications: the input's part of a,
// and in backward the gradients of x and of the weights. What is left is a chain of T products [B, H] x [H, 4H]
// (backward [B, 4H] x [4H, H]). Its weights are packed once for the whole sequence. A step is cut into tiles of rows x
// hidden units, and a tile does everything its cells need: the product of all four gates, the activations, the new
// state, and the packing of that state for the next step. So a step costs one barrier; and where the packed weights fit
// a core's cache, none at all: blocks of rows, which never meet, then walk through time each on their own.
//
// A step is 8 B H^2 operations each way over 16 H^2 bytes of packed weights, and reads and writes, beside them, about
// 48 bytes a cell forward and 52 backward. All outputs are overwritten.
#include <string.h>

#include "../core/kernel.h"
#include "../generated/kernels.h"
#include "gemm/gemm.h"
#include "simd/math.h"
#include "simd/vector.h"

namespace firesteel::FIRESTEEL_ISA {
namespace {

using simd::lanes;
using simd::Vec;

// Rows (steps x batch) of the large multiplications, and so of the memory that gates or their gradients need beside the
// arguments.
constexpr int64_t rows_at_once = 512;
// Up to this size packed recurrent weights are taken to stay in the cache of a core.
constexpr int64_t core_cache_bytes = 512 << 10;
// Multiply-adds, and floats packed, below which a chunk is not worth handing to another thread.
constexpr int64_t chunk_work = 1 << 20;
constexpr int64_t chunk_floats = 64 << 10;
constexpr int64_t rows_of_tile = 64;
constexpr int64_t units_of_tile = 32;

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t blocks(int64_t size, int64_t block) { return (size + block - 1) / block; }
int64_t round_up(int64_t size, int64_t multiple) { return blocks(size, multiple) * multiple; }

const float* data(const View* view) { return view ? pointer<const float>(*view) : nullptr; }
float* output(const View* view) { return view ? pointer<float>(*view) : nullptr; }

// Cells [row, row + rows) x [unit, unit + units) of a step.
struct Tile {
  int64_t row, rows, unit, units;
  int64_t row_block, unit_block;  // its numbers
  int64_t width;                  // units, rounded up to gemm's panels
};

// How a sequence is cut, by its shape alone.
struct Plan {
  int64_t T, B, I, H;
  bool reverse;
  bool rows_apart = false;  // blocks of rows walk through time on their own
  int64_t rows = 0, row_blocks = 0;
  int64_t units = 0, unit_blocks = 0;
  int64_t width = 0;  // of the widest tile
  int64_t steps_at_once = 0;
};

Plan make_plan(int64_t T, int64_t B, int64_t I, int64_t H, bool reverse) {
  Plan plan = {T, B, I, H, reverse};
  plan.steps_at_once = max(1, rows_at_once / max(B, 1));
  plan.rows_apart = 16 * H * H <= core_cache_bytes || 4 * B * H * H < 2 * chunk_work;
  int64_t most_rows = rows_of_tile;
  if (plan.rows_apart) {
    const int64_t row_work = max(1, 4 * H * H * min(T, plan.steps_at_once));
    most_rows = max(max(gemm::MR, min(rows_of_tile, B / 16)), blocks(chunk_work, row_work));
  }
  plan.row_blocks = blocks(B, most_rows);
  plan.rows = blocks(B, max(1, plan.row_blocks));
  plan.units = min(H, round_up(units_of_tile, gemm::NR));
  plan.unit_blocks = blocks(H, max(1, plan.units));
  plan.width = round_up(plan.units, gemm::NR);
  return plan;
}

Tile make_tile(const Plan& plan, int64_t row_block, int64_t unit_block) {
  const int64_t row = row_block * plan.rows, unit = unit_block * plan.units;
  const int64_t units = min(plan.units, plan.H - unit);
  return {row, min(plan.rows, plan.B - row), unit, units, row_block, unit_block, round_up(units, gemm::NR)};
}

// Steps are counted in the order in which the layer takes them; this is where they lie in x and out.
int64_t time_of(const Plan& plan, int64_t step) { return plan.reverse ? plan.T - 1 - step : step; }

// Runs body(step, tile) for all tiles of `count` steps from `first`, by `direction` 1 or -1. A tile may read what tiles
// of the same rows wrote a step before.
template <class F>
void walk(Context& context, const Plan& plan, int64_t first, int64_t count, int64_t direction, const F& body) {
  if (plan.rows_apart) {
    parallel(context, plan.row_blocks, [&](int64_t row_block) {
      for (int64_t i = 0; i < count; i++)
        for (int64_t unit_block = 0; unit_block < plan.unit_blocks; unit_block++)
          body(first + direction * i, make_tile(plan, row_block, unit_block));
    });
    return;
  }
  for (int64_t i = 0; i < count; i++)
    parallel(context, plan.row_blocks * plan.unit_blocks, [&](int64_t chunk) {
      body(first + direction * i, make_tile(plan, chunk % plan.row_blocks, chunk / plan.row_blocks));
    });
}

// The left operand of the steps' products, packed by the tiles that make it: [B, depth], a part for each block of rows,
// in two copies, since a step reads one while it writes the other.
struct PackedState {
  float* memory;
  int64_t size;  // floats of a part
};

PackedState make_state(Context& context, const Plan& plan, int64_t depth) {
  const int64_t size = gemm::packed_a_size(plan.rows, depth);
  return {static_cast<float*>(scratch(context, size_t(2 * plan.row_blocks * size) * sizeof(float))), size};
}

float* part(const PackedState& state, int64_t step, int64_t row_block) {
  return state.memory + (2 * row_block + (step & 1)) * state.size;
}

// Packs columns [column, column + columns) of a part; `from` points at the first of them. This is gemm::pack_a, panel
// by panel, for a piece of the depth.
void pack_columns(float* to, int64_t depth, const float* from, int64_t stride, int64_t rows, int64_t column,
                  int64_t columns) {
  const int64_t end = column + columns;
  for (int64_t k = column; k < end;) {
    const int64_t block = k / gemm::KC * gemm::KC, size = min(gemm::KC, depth - block);
    const int64_t count = min(end, block + size) - k;
    for (int64_t row = 0; row < rows; row += gemm::MR)
      gemm::pack_a(to + block * round_up(rows, gemm::MR) + row * size + (k - block) * gemm::MR,
                   {from + row * stride + (k - column), stride, 1}, min(gemm::MR, rows - row), count);
    k += count;
  }
}

// The recurrent weights as right operands, one for each block of units.
struct PackedWeights {
  float* memory;
  int64_t size;
};

PackedWeights make_weights(Context& context, const Plan& plan, int64_t size) {
  return {static_cast<float*>(scratch(context, size_t(plan.unit_blocks * size) * sizeof(float))), size};
}

// Runs body(tile) for the first tile of each block of units.
template <class F>
void for_unit_blocks(Context& context, const Plan& plan, const F& body) {
  const int64_t together = max(1, chunk_floats / max(1, 4 * plan.H * plan.units));
  parallel(context, blocks(plan.unit_blocks, together), [&](int64_t chunk) {
    const int64_t first = chunk * together, end = min(first + together, plan.unit_blocks);
    for (int64_t block = first; block < end; block++) body(make_tile(plan, 0, block));
  });
}

// Forward: [H, 4 width], the four gates of a block of units side by side, each padded to the width.
PackedWeights pack_gates(Context& context, const Plan& plan, const float* w_hh) {
  const int64_t H = plan.H;
  const PackedWeights packed = make_weights(context, plan, gemm::packed_b_size(H, 4 * plan.width));
  for_unit_blocks(context, plan, [&](const Tile& tile) {
    float* to = packed.memory + tile.unit_block * packed.size;
    for (int64_t k = 0; k < H; k += gemm::KC) {
      const int64_t depth = min(gemm::KC, H - k);
      for (int64_t gate = 0; gate < 4; gate++, to += tile.width * depth)
        gemm::pack_b(to, {w_hh + (gate * H + tile.unit) * H + k, 1, H}, depth, tile.units);
    }
  });
  return packed;
}

// Backward: [4H, units].
PackedWeights pack_units(Context& context, const Plan& plan, const float* w_hh) {
  const int64_t H = plan.H;
  const PackedWeights packed = make_weights(context, plan, gemm::packed_b_size(4 * H, plan.units));
  for_unit_blocks(context, plan, [&](const Tile& tile) {
    gemm::pack_b(packed.memory + tile.unit_block * packed.size, {w_hh + tile.unit, H, 1}, 4 * H, tile.units);
  });
  return packed;
}

// Room for the product of each tile that runs at a time.
float* make_rooms(Context& context, const Plan& plan, int64_t tile_size) {
  const int64_t rooms = plan.row_blocks * (plan.rows_apart ? 1 : plan.unit_blocks);
  return static_cast<float*>(scratch(context, size_t(rooms * tile_size) * sizeof(float)));
}

int64_t room_of(const Plan& plan, const Tile& tile) {
  return plan.rows_apart ? tile.row_block : tile.unit_block * plan.row_blocks + tile.row_block;
}

// Of an empty tensor the pointers may be null.
void copy_or_clear(float* to, const float* from, int64_t count) {
  if (count == 0) return;
  if (from)
    memcpy(to, from, size_t(count) * sizeof(float));
  else
    memset(to, 0, size_t(count) * sizeof(float));
}

Vec load(const float* from, int64_t count) {
  return count >= lanes ? simd::load(from) : simd::load_partial(from, int(count));
}

void store(float* to, Vec value, int64_t count) {
  if (count >= lanes)
    simd::store(to, value);
  else
    simd::store_partial(to, value, int(count));
}

// One row of a forward tile. `product` is h' wHh^T, its gates `width` apart; `input` the input's part of a, its gates H
// apart, which `gates` replaces where it is kept; `cell` is c' and becomes c.
struct ForwardRow {
  const float *product, *input;
  float *gates, *cell, *cells, *hidden;
  int64_t width, H, units;
};

void forward_row(const ForwardRow& r) {
  for (int64_t u = 0; u < r.units; u += lanes) {
    const int64_t n = r.units - u;
    const Vec i = simd::sigmoid(load(r.input + u, n) + load(r.product + u, n));
    const Vec f = simd::sigmoid(load(r.input + r.H + u, n) + load(r.product + r.width + u, n));
    const Vec g = simd::tanh(load(r.input + 2 * r.H + u, n) + load(r.product + 2 * r.width + u, n));
    const Vec o = simd::sigmoid(load(r.input + 3 * r.H + u, n) + load(r.product + 3 * r.width + u, n));
    const Vec c = simd::fma(f, load(r.cell + u, n), i * g);
    if (r.gates) {
      store(r.gates + u, i, n);
      store(r.gates + r.H + u, f, n);
      store(r.gates + 2 * r.H + u, g, n);
      store(r.gates + 3 * r.H + u, o, n);
    }
    store(r.cell + u, c, n);
    if (r.cells) store(r.cells + u, c, n);
    store(r.hidden + u, o * simd::tanh(c), n);
  }
}

// One row of a backward tile. `dhidden` is the part of h's gradient that comes through later steps, `dcell` that of
// c's, which becomes that of c'. `sums` adds up the gates' gradients over the tile's rows.
struct BackwardRow {
  const float *gates, *cells, *before;  // c, c' (null: 0)
  const float *dhidden, *dy;            // dy may be null
  float *dcell, *dgates, *sums;
  int64_t width, H, units;
};

void backward_row(const BackwardRow& r) {
  const Vec one = simd::set(1.0f);
  for (int64_t u = 0; u < r.units; u += lanes) {
    const int64_t n = r.units - u;
    const Vec i = load(r.gates + u, n), f = load(r.gates + r.H + u, n);
    const Vec g = load(r.gates + 2 * r.H + u, n), o = load(r.gates + 3 * r.H + u, n);
    const Vec tanh_c = simd::tanh(load(r.cells + u, n));
    Vec dh = load(r.dhidden + u, n);
    if (r.dy) dh = dh + load(r.dy + u, n);
    const Vec dc = load(r.dcell + u, n) + dh * o * (one - tanh_c * tanh_c);
    const Vec before = r.before ? load(r.before + u, n) : simd::zero();
    const Vec d[4] = {dc * g * i * (one - i), dc * before * f * (one - f), dc * i * (one - g * g),
                      dh * tanh_c * o * (one - o)};
    for (int64_t gate = 0; gate < 4; gate++) {
      store(r.dgates + gate * r.H + u, d[gate], n);
      float* sum = r.sums + gate * r.width + u;
      store(sum, load(sum, n) + d[gate], n);
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

bool has_shape(const View* view, int64_t a) { return !view || (view->ndim == 1 && view->sizes[0] == a); }
bool has_shape(const View* view, int64_t a, int64_t b) {
  return !view || (view->ndim == 2 && view->sizes[0] == a && view->sizes[1] == b);
}
bool has_shape(const View* view, int64_t a, int64_t b, int64_t c) {
  return !view || (view->ndim == 3 && view->sizes[0] == a && view->sizes[1] == b && view->sizes[2] == c);
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

  const Plan plan = make_plan(T, B, I, H, reverse);
  const PackedWeights weights = pack_gates(context, plan, data(&w_hh));
  const PackedState state = make_state(context, plan, H);
  const int64_t room_size = plan.rows * 4 * plan.width;
  float* rooms = make_rooms(context, plan, room_size);

  float* bias = nullptr;
  if (b_ih || b_hh) {
    bias = static_cast<float*>(scratch(context, size_t(4 * H) * sizeof(float)));
    copy_or_clear(bias, data(b_ih), 4 * H);
    for (int64_t k = 0; b_hh && k < 4 * H; k++) bias[k] += data(b_hh)[k];
  }

  float* cell = output(&cn);
  float* hidden = output(&out);
  copy_or_clear(cell, data(c0), B * H);
  for (int64_t block = 0; h0 && block < plan.row_blocks; block++) {
    const Tile tile = make_tile(plan, block, 0);
    pack_columns(part(state, 0, block), H, data(h0) + tile.row * H, H, tile.rows, 0, H);
  }

  const int64_t most_steps = min(T, plan.steps_at_once);
  float* kept = output(gates);
  float* room = kept ? nullptr : static_cast<float*>(scratch(context, size_t(most_steps * B * 4 * H) * sizeof(float)));
  for (int64_t first = 0; first < T; first += most_steps) {
    const int64_t count = min(most_steps, T - first);
    const int64_t start = reverse ? time_of(plan, first + count - 1) : first;  // the earliest of these steps
    float* input = kept ? kept + start * B * 4 * H : room;
    gemm::multiply(context, count * B, 4 * H, I, {data(&x) + start * B * I, I, 1}, {data(&w_ih), 1, I}, input, 4 * H,
                   {false, bias});
    walk(context, plan, first, count, 1, [&](int64_t step, const Tile& tile) {
      float* product = rooms + room_of(plan, tile) * room_size;
      if (step > 0 || h0)
        gemm::multiply_packed(tile.rows, 4 * tile.width, H, part(state, step, tile.row_block),
                              weights.memory + tile.unit_block * weights.size, product, 4 * tile.width,
                              {false, nullptr});
      else
        memset(product, 0, size_t(room_size) * sizeof(float));
      const int64_t time = time_of(plan, step);
      for (int64_t row = 0; row < tile.rows; row++) {
        const int64_t at = (tile.row + row) * H + tile.unit;  // of the cell in [B, H]
        float* a = input + ((time - start) * B + tile.row + row) * 4 * H + tile.unit;
        forward_row({product + row * 4 * tile.width, a, kept ? a : nullptr, cell + at,
                     cells ? output(cells) + time * B * H + at : nullptr, hidden + time * B * H + at, tile.width, H,
                     tile.units});
      }
      if (step + 1 < T)
        pack_columns(part(state, step + 1, tile.row_block), H, hidden + (time * B + tile.row) * H + tile.unit, H,
                     tile.rows, tile.unit, tile.units);
    });
  }
  copy_or_clear(output(&hn), T > 0 ? hidden + time_of(plan, T - 1) * B * H : data(h0), B * H);
}

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

  const Plan plan = make_plan(T, B, I, H, reverse);
  const PackedWeights weights = pack_units(context, plan, data(&w_hh));
  const PackedState state = make_state(context, plan, 4 * H);
  // A tile's room: the gradient of its h [rows, width], and the sums of its gates' gradients [4, width].
  const int64_t room_size = (plan.rows + 4) * plan.width;
  float* rooms = make_rooms(context, plan, room_size);

  const int64_t most_steps = min(T, plan.steps_at_once);
  float* dgates = static_cast<float*>(scratch(context, size_t(most_steps * B * 4 * H) * sizeof(float)));
  float* dcell = dc0 ? output(dc0) : static_cast<float*>(scratch(context, size_t(B * H) * sizeof(float)));
  copy_or_clear(dcell, data(dcn), B * H);

  // Sums over time and batch are long: each block of rows has its own in float64, [row_blocks, 4H].
  double* totals = static_cast<double*>(scratch(context, size_t(plan.row_blocks * 4 * H) * sizeof(double)));
  memset(totals, 0, size_t(plan.row_blocks * 4 * H) * sizeof(double));
  if (dw_ih) copy_or_clear(output(dw_ih), nullptr, 4 * H * I);
  if (dw_hh) copy_or_clear(output(dw_hh), nullptr, 4 * H * H);

  // What reaches the state after `step` through the steps behind it.
  const auto dhidden_after = [&](int64_t step, const Tile& tile, float* to, int64_t stride) {
    if (step + 1 < T) {
      gemm::multiply_packed(tile.rows, tile.units, 4 * H, part(state, step + 1, tile.row_block),
                            weights.memory + tile.unit_block * weights.size, to, stride, {false, nullptr});
      return;
    }
    for (int64_t row = 0; row < tile.rows; row++)
      copy_or_clear(to + row * stride, dhn ? data(dhn) + (tile.row + row) * H + tile.unit : nullptr, tile.units);
  };

  for (int64_t end = T; end > 0; end -= most_steps) {
    const int64_t count = min(most_steps, end), first = end - count;
    const int64_t start = reverse ? time_of(plan, end - 1) : first;  // the earliest of these steps
    walk(context, plan, end - 1, count, -1, [&](int64_t step, const Tile& tile) {
      float* dhidden = rooms + room_of(plan, tile) * room_size;
      float* sums = dhidden + tile.rows * tile.width;
      dhidden_after(step, tile, dhidden, tile.width);
      memset(sums, 0, size_t(4 * tile.width) * sizeof(float));
      const int64_t time = time_of(plan, step);
      const float* before = step > 0 ? data(&cells) + time_of(plan, step - 1) * B * H : data(c0);
      float* tile_dgates = dgates + ((time - start) * B + tile.row) * 4 * H + tile.unit;
      for (int64_t row = 0; row < tile.rows; row++) {
        const int64_t at = (tile.row + row) * H + tile.unit;  // of the cell in [B, H]
        backward_row({data(&gates) + (time * B + tile.row + row) * 4 * H + tile.unit, data(&cells) + time * B * H + at,
                      before ? before + at : nullptr, dhidden + row * tile.width,
                      dy ? data(dy) + time * B * H + at : nullptr, dcell + at, tile_dgates + row * 4 * H, sums,
                      tile.width, H, tile.units});
      }
      for (int64_t gate = 0; gate < 4; gate++) {
        double* total = totals + (tile.row_block * 4 + gate) * H + tile.unit;
        for (int64_t u = 0; u < tile.units; u++) total[u] += double(sums[gate * tile.width + u]);
        pack_columns(part(state, step, tile.row_block), 4 * H, tile_dgates + gate * H, 4 * H, tile.rows,
                     gate * H + tile.unit, tile.units);
      }
    });

    if (dx)
      gemm::multiply(context, count * B, I, 4 * H, {dgates, 4 * H, 1}, {data(&w_ih), I, 1}, output(dx) + start * B * I,
                     I, {false, nullptr});
    if (dw_ih)
      gemm::multiply(context, 4 * H, I, count * B, {dgates, 1, 4 * H}, {data(&x) + start * B * I, I, 1}, output(dw_ih),
                     I, {true, nullptr});
    if (dw_hh) add_recurrent_gradient(context, plan, first, count, dgates, data(h0), data(&out), output(dw_hh));
  }

  if (dh0)
    walk(context, plan, -1, 1, -1,
         [&](int64_t step, const Tile& tile) { dhidden_after(step, tile, output(dh0) + tile.row * H + tile.unit, H); });
  for (int64_t k = 0; dbias && k < 4 * H; k++) {
    double total = 0;
    for (int64_t block = 0; block < plan.row_blocks; block++) total += totals[block * 4 * H + k];
    output(dbias)[k] = float(total);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA
