// attention_forward: out = dropout(softmax(scale q k^T + mask)) v, and the logarithm of each row's sum of exponentials.
//
// After T. Dao, "FlashAttention-2" (2023): a tile of queries meets the keys tile by tile; the scores live in one tile
// (tile.h) that stays in the first-level cache, and a running maximum and a running sum per query correct what was
// added before. No row of scores is ever kept. Out and logSumExp are overwritten.
//
// 2 (D + Dv) operations and one exponential per score; causal scores above the diagonal are skipped to a row of MR
// and, in depth, exactly, and so are tiles of padding. K and V^T are packed once per key head, in 4 Tk (D + Dv) bytes,
// or, where they serve one unit of work only, tile by tile within it.
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace attention;

constexpr int64_t tile_keys = 256 / MR * MR;  // whole panels
static_assert(tile_keys <= most_keys, "dropout_row's limit");
// Panels of queries that meet a tile of keys while it is in the second-level cache.
constexpr int64_t most_panels = (128 + NR - 1) / NR;

// Keys from j on: K in panels of MR keys [D][MR], V^T in panels of MR features, `v_panel` floats apart.
struct Keys {
  float *k, *v;
  int64_t v_panel;
};
int64_t keys_size(const Problem& p, int64_t keys) { return round_up(keys, MR) * p.D + round_up(p.Dv, MR) * keys; }
Keys keys_at(const Problem& p, float* from, int64_t keys) { return {from, from + round_up(keys, MR) * p.D, keys * MR}; }
Keys from_key(const Problem& p, Keys all, int64_t j) { return {all.k + j * p.D, all.v + j * MR, all.v_panel}; }

void pack_keys(const Problem& p, const Keys& to, int64_t batch, int64_t key_head, int64_t j, int64_t n) {
  pack_left(to.k, p.D * MR, from_row(head_of(*p.k, batch, key_head), j), n, p.D, p.D);
  pack_left(to.v, to.v_panel, transposed(from_row(head_of(*p.v, batch, key_head), j)), p.Dv, n, n);
}

// The state of a panel of NR queries. Columns beyond the last query hold zeros for queries and are never written out.
struct Panel {
  float* q;    // [D][NR], scaled
  float* out;  // [Dv, in whole panels][NR], not yet divided by the sum
  float* max;  // [NR]
  float* sum;  // [NR]
};

int64_t out_size(const Problem& p) { return round_up(p.Dv, MR) * NR; }
int64_t panel_size(const Problem& p) { return (p.D + 2) * NR + out_size(p); }

Panel panel_at(const Problem& p, float* room, int64_t index) {
  float* q = room + index * panel_size(p);
  float* out = q + p.D * NR;
  return {q, out, out + out_size(p), out + out_size(p) + NR};
}

// Queries [i, i + queries) of the heads [head, head + heads), which read one key head.
struct Unit {
  int64_t batch, key_head, head, heads, i, queries;
};

bool masks_all(const float* row, int64_t n) {
  for (int64_t r = 0; r < n; r++)
    if (row[r] != -INFINITY) return false;
  return true;
}

// The larger of a running maximum, which is no NaN, and a score. NaN is left to the sum, where it stays.
Vec larger(Vec max, Vec score) { return simd::select(score > max, score, max); }

// Turns n keys' scores into weights relative to the new running maximum, and brings sum and out to it.
void exponentiate(const Problem& p, const Panel& panel, float* tile, int64_t n) {
  for (int64_t v = 0; v < row_vectors; v++) {
    float* column = tile + v * simd::lanes;
    const Vec old_max = simd::load(panel.max + v * simd::lanes);
    Vec max = old_max, other = old_max;
    int64_t r = 0;
    for (; r + 2 <= n; r += 2) {
      max = larger(max, simd::load(column + r * NR));
      other = larger(other, simd::load(column + (r + 1) * NR));
    }
    if (r < n) max = larger(max, simd::load(column + r * NR));
    max = larger(max, other);
    // Where no key has taken part so far, any finite shift does: exp(-infinity - 0) is 0.
    const Vec shift = simd::select(max == simd::set(-INFINITY), simd::zero(), max);

    Vec even = simd::zero(), odd = simd::zero();
    for (r = 0; r + 2 <= n; r += 2) {
      const Vec a = simd::exp2_of_weight(simd::load(column + r * NR) - shift);
      const Vec b = simd::exp2_of_weight(simd::load(column + (r + 1) * NR) - shift);
      simd::store(column + r * NR, a);
      simd::store(column + (r + 1) * NR, b);
      even = even + a;
      odd = odd + b;
    }
    if (r < n) {
      const Vec a = simd::exp2_of_weight(simd::load(column + r * NR) - shift);
      simd::store(column + r * NR, a);
      even = even + a;
    }

    const Vec correction = simd::exp2_of_weight(old_max - shift);
    simd::store(panel.max + v * simd::lanes, max);
    simd::store(panel.sum + v * simd::lanes,
                simd::fma(simd::load(panel.sum + v * simd::lanes), correction, even + odd));
    float* out = panel.out + v * simd::lanes;
    for (int64_t d = 0; d < p.Dv; d++) simd::store(out + d * NR, simd::load(out + d * NR) * correction);
  }
}

// Divides by the sums and writes `queries` rows, from row i on.
void finish(const Problem& p, const Panel& panel, int64_t i, int64_t queries, Rows out, float* log_sum_exp) {
  float logs[NR];
  for (int64_t v = 0; v < NR; v += simd::lanes) {
    const Vec sum = simd::load(panel.sum + v), inverse = simd::set(1) / sum;
    simd::store(logs + v, simd::fma(simd::load(panel.max + v), simd::set(ln_2), simd::log(sum)));
    for (int64_t d = 0; d < p.Dv; d++) {
      float* value = panel.out + d * NR + v;
      simd::store(value, simd::select(sum == simd::zero(), simd::zero(), simd::load(value) * inverse));
    }
  }
  memcpy(log_sum_exp + i, logs, size_t(queries) * sizeof(float));
  write_transposed(out, i, queries, panel.out, p.Dv, 1);
}

// A panel of queries, whose part of the output is `part`, meets a tile of keys. `shared_mask` is null unless all
// queries have the same.
void attend_tile(const Problem& p, const Part& part, const Panel& panel, const Keys& keys, const float* shared_mask,
                 float* tile) {
  multiply_column<false>((part.n + MR - 1) / MR, p.D, keys.k, p.D * MR, panel.q, tile);
  if (shared_mask)
    mask_keys(tile, shared_mask, part.n);
  else if (has_mask(p))
    mask_tile(p, part, tile);
  if (p.causal) set_later_keys(part, tile, -INFINITY);
  exponentiate(p, panel, tile, part.n);
  if (p.drop_below) {
    const float* factors = dropout_tile(p, part);
    for (int64_t e = 0; e < part.n * NR; e += simd::lanes)
      simd::store(tile + e, simd::load(tile + e) * simd::load(factors + e));
  }
  multiply_column<true>((p.Dv + MR - 1) / MR, part.n, keys.v, keys.v_panel, tile, panel.out);
}

// What a unit needs beside its panels.
struct Room {
  float *panels, *tile, *shared_mask, *part, *keys;
};
int64_t lay_out(const Problem& p, int64_t panels, bool packs, float* from, Room& room) {
  int64_t size = 0;
  const auto take = [&](int64_t floats) {
    float* place = from ? from + size : nullptr;
    size += round_up(floats, 16);
    return place;
  };
  room.panels = take(panels * panel_size(p));
  room.tile = take(tile_keys * NR);
  room.shared_mask = take(tile_keys);
  room.part = take(has_mask(p) || p.drop_below ? part_room : 0);
  room.keys = packs ? take(keys_size(p, tile_keys)) : nullptr;
  return size;
}

// `all` holds the key head's packed keys, unless the unit packs them itself.
void attend(const Problem& p, const Keys* all, const Unit& unit, const Room& room, const View& out,
            float* log_sum_exp) {
  const bool by_key = mask_is_by_key(p);
  const int64_t panels = (unit.queries + NR - 1) / NR;
  for (int64_t index = 0; index < unit.heads * panels; index++) {
    const Panel panel = panel_at(p, room.panels, index);
    pack_queries(p, panel.q, head_of(*p.q, unit.batch, unit.head + index / panels), unit.i + index % panels * NR);
    memset(panel.out, 0, size_t(out_size(p) + 2 * NR) * sizeof(float));
    for (int64_t c = 0; c < NR; c++) panel.max[c] = -INFINITY;
  }
  const int64_t end = p.causal ? smaller(p.Tk, unit.i + unit.queries) : p.Tk;
  for (int64_t j = 0; j < end; j += tile_keys) {
    const int64_t width = smaller(tile_keys, p.Tk - j);
    Keys keys;
    if (all) {
      keys = from_key(p, *all, j);
    } else {
      keys = keys_at(p, room.keys, tile_keys);
      pack_keys(p, keys, unit.batch, unit.key_head, j, width);
    }
    for (int64_t index = 0; index < unit.heads * panels; index++) {
      const int64_t head = unit.head + index / panels, first = unit.i + index % panels * NR;
      const int64_t queries = smaller(NR, unit.i + unit.queries - first);
      const int64_t n = p.causal ? smaller(width, first + queries - j) : width;
      if (n <= 0) continue;
      if (by_key) {
        mask_row(p, unit.batch, head, first, j, n, room.shared_mask);
        if (masks_all(room.shared_mask, n)) continue;
      }
      attend_tile(p, {unit.batch, head, first, queries, j, n, room.part}, panel_at(p, room.panels, index), keys,
                  by_key ? room.shared_mask : nullptr, room.tile);
    }
  }
  for (int64_t index = 0; index < unit.heads * panels; index++) {
    const int64_t head = unit.head + index / panels, first = unit.i + index % panels * NR;
    finish(p, panel_at(p, room.panels, index), first, smaller(NR, unit.i + unit.queries - first),
           rows_of(out, unit.batch, head), log_sum_exp + (unit.batch * p.Hq + head) * p.Tq);
  }
}

}  // namespace

void attention_forward(Context& context, const View& out, const View& log_sum_exp, const View& q, const View& k,
                       const View& v, const View* mask_bool, const View* mask_add, double scale, bool causal,
                       double dropout, const Philox& random) {
  Problem p;
  if (!make_problem(context, p, out, log_sum_exp, q, k, v, mask_bool, mask_add, scale, causal, dropout, random) ||
      log_sum_exp.count == 0)
    return;

  constexpr int64_t unit_queries = most_panels * NR;
  const int64_t query_tiles = (p.Tq + unit_queries - 1) / unit_queries, key_tiles = (p.Tk + tile_keys - 1) / tile_keys;
  const int64_t key_heads = p.B * p.Hk, group = p.Hq / p.Hk, head_panels = (smaller(p.Tq, unit_queries) + NR - 1) / NR;
  // All heads of a group in one unit, where that is not too much, and then nobody else needs their keys.
  const bool whole_group = query_tiles == 1 && group * head_panels <= most_panels;
  const int64_t unit_heads = whole_group ? group : 1, parts = group / unit_heads;
  const int64_t features = p.D + p.Dv, size = keys_size(p, p.Tk);
  float* packed = nullptr;
  if (!whole_group && p.Tk > 0) {
    packed = static_cast<float*>(scratch(context, size_t(key_heads * size) * sizeof(float)));
    parallel_units(context, key_heads * key_tiles, 16 * tile_keys * features, [&](int64_t unit) {
      const int64_t key_head = unit / key_tiles, j = unit % key_tiles * tile_keys;
      const Keys keys = from_key(p, keys_at(p, packed + key_head * size, p.Tk), j);
      pack_keys(p, keys, key_head / p.Hk, key_head % p.Hk, j, smaller(tile_keys, p.Tk - j));
    });
  }

  const int64_t units = key_heads * parts * query_tiles;
  Room measured;
  const Workspaces spaces =
      make_workspaces(context, lay_out(p, unit_heads * head_panels, whole_group, nullptr, measured), units);
  // The last queries see most keys where attention is causal: they start first.
  const int64_t work = unit_heads * smaller(p.Tq, unit_queries) * p.Tk * features;
  parallel_units(context, units, work, [&](int64_t index) {
    const int64_t key_head = index / parts % key_heads,
                  i = (query_tiles - 1 - index / parts / key_heads) * unit_queries;
    const Unit unit = {key_head / p.Hk,
                       key_head % p.Hk,
                       key_head % p.Hk * group + index % parts * unit_heads,
                       unit_heads,
                       i,
                       smaller(unit_queries, p.Tq - i)};
    const int64_t space = claim(spaces);
    Room room;
    lay_out(p, unit_heads * head_panels, whole_group, spaces.memory + space * spaces.size, room);
    const Keys keys = packed ? keys_at(p, packed + key_head * size, p.Tk) : Keys{};
    attend(p, packed ? &keys : nullptr, unit, room, out, pointer<float>(log_sum_exp));
    give_back(spaces, space);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
