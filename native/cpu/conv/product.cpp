// Planning, packing and multiplying stand in one file because they share the layout of tiles and panels that the plan
// lays down.
#include "product.h"

#include "../gemm/pack.h"
#include "../rooms.h"
#include "../simd/row.h"
#include "sweep.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA::conv {

using gemm::block_depth;
using gemm::Panels;
using simd::Vec;
using namespace product_blocks;

namespace {

constexpr int lanes = simd::lanes;
static_assert(gemm::tile_columns % lanes == 0 && gemm::wide_columns % lanes == 0, "a panel is whole vectors");

// How P x Q positions are cut: the rows and columns of a block, and all positions of panels, full or not.
struct Cut {
  int64_t rows, columns, computed;
};

// Cuts positions into blocks of about the wanted number. Blocks have whole rows, of which those numbers are tried that
// waste least on panels that are not full, or parts of one row.
Cut cut_positions(int64_t P, int64_t Q, int64_t wanted, int64_t panel) {
  if (Q > wanted) return {1, round_up(ceil_div(Q, ceil_div(Q, wanted)), panel), P * round_up(Q, panel)};
  const int64_t most = min(P, max(1, wanted / Q));
  Cut best = {most, Q, -1};
  for (int64_t rows = most; rows >= 1 && 2 * rows >= most; rows--) {
    const int64_t computed = P / rows * round_up(rows * Q, panel) + round_up(P % rows * Q, panel);
    if (best.computed < 0 || computed < best.computed) best = {rows, Q, computed};
  }
  return best;
}

// Chooses panels, and the blocks that fit them. Wide panels take fewer loads, and leave more positions of a last panel
// unused.
Cut choose_panels(Panels& panels, int64_t P, int64_t Q) {
  const Cut usual = cut_positions(P, Q, block_positions, gemm::tile_columns);
  const Cut wide = cut_positions(P, Q, wide_block_positions, gemm::wide_columns);
  const bool takes_wide = wide.computed <= usual.computed + usual.computed / wide_share;
  panels = takes_wide ? gemm::wide : gemm::narrow;
  return takes_wide ? wide : usual;
}

void reach_of(const Product* products, int64_t count, Axis Product::*axis, int64_t& least, int64_t& greatest) {
  least = greatest = (products[0].*axis).offsets[0];
  for (int64_t i = 0; i < count; i++)
    for (int64_t t = 0; t < (products[i].*axis).taps; t++) {
      least = min(least, (products[i].*axis).offsets[t]);
      greatest = max(greatest, (products[i].*axis).offsets[t]);
    }
}

// One axis, with the taps of all products or with those of one.
Axis join_axes(Context& context, const Product* products, int64_t count, Axis Product::*axis) {
  if (count == 1) return products[0].*axis;
  int64_t least, greatest;
  reach_of(products, count, axis, least, greatest);
  const int64_t taps = greatest - least + 1;
  int64_t* offsets = scratch_of<int64_t>(context, taps);
  for (int64_t t = 0; t < taps; t++) offsets[t] = least + t;
  return {(products[0].*axis).length, 1, taps, offsets};
}

// Taps may be neighbours in either order, because the gradient of the input reads backwards.
bool has_three_taps(const Axis& axis) {
  return axis.taps == 3 && axis.step == 1 &&
         (axis.offsets[1] - axis.offsets[0]) * (axis.offsets[2] - axis.offsets[1]) == 1;
}

bool reads_itself(const Product& p) {
  return p.rows.taps == 1 && p.columns.taps == 1 && p.rows.step == 1 && p.columns.step == 1 && p.rows.offsets[0] == 0 &&
         p.columns.offsets[0] == 0 && p.rows.length == p.P && p.columns.length == p.Q;
}

// Packs one panel: `count` positions from `first` on, in pieces of rows. Short pieces are copied in whole vectors,
// which spill into the lanes of the next piece, or the next row of the panel, before those are written.
template <int64_t Width>
void pack_panel(float* to, const float* tile, const Product& p, const Block& block, const int64_t* offsets,
                int64_t depth, int64_t first, int64_t count) {
  constexpr int vectors = int(Width) / lanes;
  int64_t q = first % block.columns, lane = 0, pieces = 0;
  const float* row = tile + first / block.columns * p.row_advance;
  if (block.columns - q >= count) {
    const float* from = row + q;
    if (count == Width)
      for (int64_t k = 0; k < depth; k++)
        for (int v = 0; v < vectors; v++)
          simd::store(to + k * Width + v * lanes, simd::load(from + offsets[k] + v * lanes));
    else
      for (int64_t k = 0; k < depth; k++)
        for (int64_t i = 0; i < count; i++) to[k * Width + i] = from[offsets[k] + i];
    return;
  }
  const float* from[Width];
  int64_t lane_of[Width], end_of[Width];
  for (; lane < count; q = 0, row += p.row_advance, pieces++) {
    const int64_t length = min(block.columns - q, count - lane);
    from[pieces] = row + q;
    lane_of[pieces] = lane;
    lane += length;
    end_of[pieces] = lane;
  }
  // The lanes of a vector usually come from one piece, or from two: those before a lane from one, the rest from the
  // next.
  const float *before[vectors], *after[vectors];
  simd::Mask is_before[vectors];
  int64_t piece = 0;
  bool from_two = true;
  for (int v = 0; v < vectors; v++) {
    const int64_t start = v * lanes, end = min(start + lanes, count);
    while (piece + 1 < pieces && end_of[piece] <= start) piece++;
    const bool ends = end_of[piece] < end;
    const int64_t next = ends ? piece + 1 : piece;
    from_two = from_two && end_of[next] >= end;
    before[v] = from[piece] + start - lane_of[piece];
    after[v] = from[next] + start - lane_of[next];
    is_before[v] = simd::lanes_below(ends ? end_of[piece] - start : lanes);
  }
  if (from_two) {
    for (int64_t k = 0; k < depth; k++, to += Width)
      for (int v = 0; v < vectors; v++)
        simd::store(to + v * lanes,
                    simd::select(is_before[v], simd::load(before[v] + offsets[k]), simd::load(after[v] + offsets[k])));
    return;
  }
  for (int64_t k = 0; k < depth; k++, to += Width)
    for (int64_t piece = 0; piece < pieces; piece++) {
      const float* source = from[piece] + offsets[k];
      for (int64_t i = lane_of[piece]; i < end_of[piece]; i += lanes, source += lanes)
        simd::store(to + i, simd::load(source));
    }
}

// All panels whose positions share one row. They are read along the row, because memory is read in order if the source
// is its own tile.
template <int64_t Width>
void pack_straight(float* to, int64_t panel_floats, const float* tile, const int64_t* offsets, int64_t depth,
                   int64_t positions) {
  constexpr int vectors = int(Width) / lanes;
  constexpr int64_t steps_ahead = 4;
  for (int64_t k = 0; k < depth; k++, to += Width) {
    const float* from = tile + offsets[k];
    if (k + steps_ahead < depth)
      for (int64_t j = 0; j < positions; j += 16) __builtin_prefetch(tile + offsets[k + steps_ahead] + j);
    float* panel = to;
    int64_t j = 0;
    for (; j + Width <= positions; j += Width, panel += panel_floats)
      for (int v = 0; v < vectors; v++) simd::store(panel + v * lanes, simd::load(from + j + v * lanes));
    for (int64_t i = 0; j + i < positions; i++) panel[i] = from[j + i];
  }
}

// The operands of the unpacked product for a block of positions: rows x columns positions, and a block of depth.
struct Few {
  const float* tile;
  int64_t row_advance;
  const int64_t* offsets;
  int64_t depth;
  const float* weights;
  bool bias, accumulate;
  float* c;
  int64_t ldc, rows, columns;
};

// Computes M rows of results for V vectors of positions in each of R rows of positions, with M R V accumulators. Only
// the first `last` positions of the last vector are used.
template <int M, int R, int V, bool Partial>
void few_step(const Few& few, int64_t row, int64_t column, int last) {
  Vec sum[M][R][V];
  for (int m = 0; m < M; m++)
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) sum[m][r][v] = simd::zero();
  const float* from = few.tile + row * few.row_advance + column;
  const float* weights = few.weights;
  for (int64_t k = 0; k < few.depth; k++, weights += gemm::tile_rows) {
    Vec weight[M];
    for (int m = 0; m < M; m++) weight[m] = simd::set(weights[m]);
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) {
        const float* source = from + few.offsets[k] + r * few.row_advance + v * lanes;
        const Vec x = Partial && v == V - 1 ? simd::load_partial(source, last) : simd::load(source);
        for (int m = 0; m < M; m++) sum[m][r][v] = simd::fma(weight[m], x, sum[m][r][v]);
      }
  }
  for (int m = 0; m < M; m++)
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) {
        const bool partial = Partial && v == V - 1;
        float* to = few.c + m * few.ldc + (row + r) * few.columns + column + v * lanes;
        Vec result = sum[m][r][v];
        if (few.accumulate) result = result + (partial ? simd::load_partial(to, last) : simd::load(to));
        if (few.bias) result = result + simd::set(weights[m]);
        if (partial)
          simd::store_partial(to, result, last);
        else
          simd::store(to, result);
      }
}

// All rows of the last `rest` columns. It takes more rows at a time if columns are few: W accumulators hide the
// latency.
template <int M, int W, int V>
void few_rest(const Few& few, int64_t column, int64_t rest) {
  if constexpr (V > 1)
    if (rest <= (V - 1) * lanes) return few_rest<M, W, V - 1>(few, column, rest);
  constexpr int R = W / V;
  const int last = int(rest - (V - 1) * lanes);
  int64_t row = 0;
  for (; row + R <= few.rows; row += R)
    last == lanes ? few_step<M, R, V, false>(few, row, column, last) : few_step<M, R, V, true>(few, row, column, last);
  for (; row < few.rows; row++)
    last == lanes ? few_step<M, 1, V, false>(few, row, column, last) : few_step<M, 1, V, true>(few, row, column, last);
}

// Takes W vectors of positions at a time.
template <int M, int W>
void few_block(const Few& few) {
  int64_t column = 0;
  for (; column + W * lanes <= few.columns; column += W * lanes)
    for (int64_t row = 0; row < few.rows; row++) few_step<M, 1, W, false>(few, row, column, lanes);
  if (column < few.columns) few_rest<M, W, W>(few, column, few.columns - column);
}

void multiply_few(int64_t m, const Few& few) {
  switch (m) {
    case 1:
      return few_block<1, 8>(few);
    case 2:
      return few_block<2, 4>(few);
    case 3:
      return few_block<3, 4>(few);
    default:
      return few_block<4, 2>(few);
  }
}

// Fills a tile with `channels` channels of the source, the first of which is at `source`.
void fill_tile(float* tile, const Product& p, const float* source, int64_t channels, int64_t row, int64_t column) {
  for (int64_t c = 0; c < channels; c++)
    fill_plane(tile + c * p.plane, source + c * p.rows.length * p.columns.length, p.rows, p.columns, p.row_span,
               p.column_span, row, column);
}

// Steps [k0, k0 + depth) of a block's depth, which read `tile`.
void multiply_step(const Product& p, const Block& block, const float* tile, const float* weights, int64_t m0,
                   int64_t m1, int64_t k0, int64_t depth, float* c, int64_t ldc, float* room) {
  const int64_t positions = block.rows * block.columns;
  const auto [tile_rows, tile_columns] = p.panels;
  const bool below = p.bias && k0 + depth == p.depth;
  const float* packed = weights + round_up(p.M, tile_rows) * k0 + m0 * (depth + below);
  if (p.sweep) {
    for (int64_t m = 0; m < m1 - m0; m++) {
      const float* from = packed + m / tile_rows * tile_rows * (depth + below) + m % tile_rows;
      float taps[9];
      for (int64_t t = 0; t < 9; t++)
        taps[3 * p.row_span.slots[t / 3] + p.column_span.slots[t % 3]] = from[t * tile_rows];
      sweep_product(c + m * ldc, block.columns, tile, p.row_advance, block.rows, block.columns, taps,
                    below ? from[9 * tile_rows] : 0);
    }
    return;
  }
  if (p.few) {
    multiply_few(m1 - m0, {tile, p.row_advance, p.offsets + k0, depth, packed, below, k0 > 0, c, ldc, block.rows,
                           block.columns});
    return;
  }
  const int64_t steps = depth + below, rows = m1 - m0;
  const int64_t panel_floats = p.keeps_panels ? steps * tile_columns : 0;  // from panel to panel
  float* const panels = room + p.tile_floats;
  const bool straight = p.keeps_panels && block.rows == 1;
  const bool wide = tile_columns > gemm::tile_columns;
  if (straight)
    (wide ? pack_straight<gemm::wide_columns> : pack_straight<gemm::tile_columns>)(panels, panel_floats, tile,
                                                                                   p.offsets + k0, depth, positions);
  for (int64_t first_row = 0; first_row < rows; first_row += p.kept_rows) {
    float* panel = panels;
    for (int64_t j = 0; j < positions; j += tile_columns, panel += panel_floats) {
      const int64_t columns = min(tile_columns, positions - j);
      if (first_row == 0) {
        if (!straight)
          (wide ? pack_panel<gemm::wide_columns> : pack_panel<gemm::tile_columns>)(panel, tile, p, block,
                                                                                   p.offsets + k0, depth, j, columns);
        if (below)
          for (int64_t i = 0; i < tile_columns; i++) panel[depth * tile_columns + i] = 1;
      }
      // Prefetches the next panel bit by bit while this one is multiplied, because its planes lie far apart.
      const float* ahead = nullptr;
      if (p.in_place && !straight) {
        if (j + tile_columns < positions)
          ahead = tile + j + tile_columns;
        else if (k0 + depth < p.depth)
          ahead = tile + depth * p.plane;
      }
      int64_t asked = 0;
      const int64_t planes_a_tile = ceil_div(depth * tile_rows, rows);
      for (int64_t i = first_row; i < min(rows, first_row + p.kept_rows); i += tile_rows) {
        if (ahead)
          for (const int64_t end = min(depth, asked + planes_a_tile); asked < end; asked++, ahead += p.plane)
            for (int64_t lane = 0; lane < tile_columns; lane += 16) __builtin_prefetch(ahead + lane, 0, 2);
        gemm::Tile product = {packed + i * steps,       1,       tile_rows, panel,  tile_columns, c + i * ldc + j, ldc,
                              min(tile_rows, rows - i), columns, steps,     k0 > 0, nullptr};
        product.ahead = reinterpret_cast<const char*>(product.a);  // the panels are near, so nothing is prefetched
        gemm::micro_kernel(product);
      }
    }
  }
}

}  // namespace

bool can_share_tiles(const Product* products, int64_t count) {
  const auto reach = [&](Axis Product::*axis) {
    int64_t least, greatest, taps = 0;
    reach_of(products, count, axis, least, greatest);
    for (int64_t i = 0; i < count; i++) taps = max(taps, (products[i].*axis).taps);
    return greatest - least < 2 * taps;  // otherwise the tile would be mostly gaps
  };
  for (int64_t i = 0; i < count; i++)
    if (products[i].rows.taps * products[i].columns.taps > (products[i].M <= few_rows ? few_depth : block_depth))
      return false;
  return count > 1 && reach(&Product::rows) && reach(&Product::columns);
}

void plan_products(Context& context, Product* products, int64_t count) {
  Product& first = products[0];
  if (count == 1) {
    first.sweep = first.channels == 1 && has_three_taps(first.rows) && has_three_taps(first.columns);
    first.in_place = reads_itself(first);
    if (first.in_place) {
      first.Q *= first.P;
      first.columns.length = first.Q;
      first.rows.length = first.P = 1;
    }
  }

  // Bounds that hold for all products: the most taps and positions, and an axis that has the taps of all.
  const bool few = first.M <= few_rows || first.sweep;
  int64_t taps = 0, P = 0, Q = 0;
  for (int64_t i = 0; i < count; i++) {
    taps = max(taps, products[i].rows.taps * products[i].columns.taps);
    P = max(P, products[i].P);
    Q = max(Q, products[i].Q);
  }
  const Axis rows = join_axes(context, products, count, &Product::rows);
  const Axis columns = join_axes(context, products, count, &Product::columns);

  // A block has whole channels if they fit, so that no channel is copied for two blocks.
  const int64_t most_depth = few ? few_depth : block_depth;
  const int64_t most_channels = max(1, most_depth / taps);
  const int64_t channels = ceil_div(first.channels, ceil_div(first.channels, most_channels));
  const int64_t tile_channels = taps <= most_depth ? channels : 2;
  Panels panels = gemm::narrow;
  const Cut cut = few ? cut_positions(P, Q, max(block_positions, few_floats / tile_channels), gemm::tile_columns)
                      : choose_panels(panels, P, Q);
  const int64_t block_rows = cut.rows, block_columns = cut.columns;

  int64_t* tables = scratch_of<int64_t>(context, span_room(rows) + span_room(columns));
  const Span row_span = make_span(rows, block_rows, false, tables);
  const Span column_span = make_span(columns, block_columns, true, tables + span_room(rows));
  for (int64_t i = 0; i < count; i++) {
    Product& p = products[i];
    const int64_t own_taps = p.rows.taps * p.columns.taps;
    p.few = few;
    p.panels = panels;
    p.depth = p.channels * own_taps;
    p.depth_block = taps <= most_depth ? channels * own_taps : most_depth;
    p.tile_channels = tile_channels;
    p.block_rows = block_rows;
    p.block_columns = block_columns;
    p.blocks_of_rows = ceil_div(P, block_rows);
    p.blocks_of_columns = ceil_div(Q, block_columns);
    p.row_span = row_span;
    p.column_span = column_span;

    const int64_t pitch = slots_of(column_span);
    p.plane = p.in_place ? p.Q : slots_of(row_span) * pitch;
    p.row_advance = row_span.advance * pitch;
    p.offsets = scratch_of<int64_t>(context, p.depth);
    // The slots of neighbouring taps of joined axes are neighbours, beginning with the first.
    const auto slot = [&](const Span& span, const Axis& joined, const Axis& own, int64_t tap) {
      return count == 1 ? span.slots[tap] : span.slots[own.offsets[tap] - joined.offsets[0]];
    };
    for (int64_t k = 0; k < p.depth; k++) {
      const int64_t channel = k / own_taps - k / p.depth_block * p.depth_block / own_taps, tap = k % own_taps;
      p.offsets[k] = channel * p.plane;
      if (!p.in_place)
        p.offsets[k] += slot(row_span, rows, p.rows, tap / p.columns.taps) * pitch +
                        slot(column_span, columns, p.columns, tap % p.columns.taps);
    }
    p.kept_rows = kept_rows(p.M, p.depth_block);
    p.keeps_panels = p.kept_rows < p.M || (p.in_place && p.M < many_rows);
    const int64_t kept = p.keeps_panels ? ceil_div(block_rows * block_columns, panels.columns) : 1;
    p.tile_floats = p.in_place ? 0 : round_up(tile_channels * p.plane + slack, 16);
    p.room_floats = p.tile_floats + (few ? 0 : kept * panels.columns * (p.depth_block + 1)) + slack;
  }
}

int64_t packed_weights(const Product& p) { return round_up(p.M, p.panels.rows) * (p.depth + p.bias); }

void pack_weights(const Product& p, float* to, const float* weights, int64_t row_stride, const int64_t* index,
                  const float* bias, int64_t m0, int64_t m1) {
  const int64_t tile_rows = p.panels.rows;
  for (int64_t k0 = 0; k0 < p.depth; k0 += p.depth_block) {
    const int64_t depth = min(p.depth_block, p.depth - k0);
    const bool below = p.bias && k0 + depth == p.depth;
    float* block = to + round_up(p.M, tile_rows) * k0;
    for (int64_t m = m0; m < m1; m += tile_rows) {
      const int64_t rows = min(tile_rows, m1 - m);
      float* panel = block + m * (depth + below);
      if (!index) {
        gemm::pack_a_block(panel, {weights + m * row_stride + k0, row_stride, 1}, 0, rows, 0, depth, p.panels);
      } else {
        for (int64_t k = 0; k < depth; k++)
          for (int64_t i = 0; i < tile_rows; i++)
            panel[k * tile_rows + i] = i < rows ? weights[(m + i) * row_stride + index[k0 + k]] : 0;
      }
      if (below)
        for (int64_t i = 0; i < tile_rows; i++) panel[depth * tile_rows + i] = bias && i < rows ? bias[m + i] : 0;
    }
  }
}

Block block_at(const Product& p, int64_t number) {
  const int64_t row = number / p.blocks_of_columns * p.block_rows,
                column = number % p.blocks_of_columns * p.block_columns;
  return {row, column, min(p.block_rows, p.P - row), min(p.block_columns, p.Q - column)};
}

void multiply_block(const Product& p, const Block& block, const float* source, const float* weights, int64_t m0,
                    int64_t m1, float* c, int64_t ldc, float* room) {
  const int64_t taps = p.rows.taps * p.columns.taps;
  for (int64_t k0 = 0; k0 < p.depth; k0 += p.depth_block) {
    const int64_t depth = min(p.depth_block, p.depth - k0), first = k0 / taps, last = (k0 + depth - 1) / taps;
    const float* planes = source + first * p.rows.length * p.columns.length;
    if (!p.in_place) fill_tile(room, p, planes, last - first + 1, block.row, block.column);
    multiply_step(p, block, p.in_place ? planes + block.column : room, weights, m0, m1, k0, depth, c, ldc, room);
  }
}

void multiply_blocks(const Product* products, int64_t count, int64_t number, const float* source,
                     const float* const* weights, int64_t m0, int64_t m1, float* c, int64_t c_floats, float* room) {
  const Product& any = products[0];
  const Block place = block_at(any, number);
  for (int64_t channel = 0; channel < any.channels; channel += any.tile_channels) {
    const int64_t channels = min(any.tile_channels, any.channels - channel);
    fill_tile(room, any, source + channel * any.rows.length * any.columns.length, channels, place.row, place.column);
    for (int64_t i = 0; i < count; i++) {
      const int64_t taps = products[i].rows.taps * products[i].columns.taps;
      const Block block = block_at(products[i], number);
      if (block.rows > 0 && block.columns > 0)
        multiply_step(products[i], block, room, weights[i], m0, m1, channel * taps, channels * taps, c + i * c_floats,
                      block.rows * block.columns, room);
    }
  }
}

}  // namespace firesteel::FIRESTEEL_ISA::conv
