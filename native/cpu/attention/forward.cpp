// attention_forward: out = dropout(softmax(scale q k^T + mask)) v, with each row's maximum of the scores and sum of
// their exponentials relative to it. The two are kept apart, because a single float32 for both would be off by a unit
// of the maximum.
//
// The method is that of T. Dao, "FlashAttention-2" (2023): a tile of queries meets the keys tile by tile. The scores
// live in one tile (tile.h) that stays in the first-level cache. A running maximum and a running sum per query correct
// the earlier additions. No row of scores is ever kept. Out and statistics are overwritten.
//
// Each score takes 2 (D + Dv) operations and one exponential. Keys beyond a batch row's length are not read. The first
// product skips keys that no query of a vector sees because they are later, and keys that a window has passed for all
// queries of a panel. The second product skips all but a few of both. Tiles of padding are skipped. So a window of w
// keys costs O(Tq w). Keys and values are read in place. Those that products cannot read there (micro.h) are copied,
// tile by tile, in each unit of work.
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace attention;

constexpr int ways = 4;  // keys whose weights are computed side by side

// The state of a panel of NR queries.
struct Panel {
  float* q;    // [D][NR], scaled
  float* out;  // [NR][Dv, in whole vectors], not yet divided by the sum
  float* max;  // [NR]
  float* sum;  // [NR]
};

int64_t panel_size(const Problem& p) { return round_up((p.D + 2 + row_size(p.Dv)) * NR, 16); }

Panel panel_at(const Problem& p, float* room, int64_t index) {
  float* q = room + index * panel_size(p);
  float* out = q + p.D * NR;
  float* max = out + row_size(p.Dv) * NR;
  return {q, out, max, max + NR};
}

// A unit of work: queries [i, i + queries) of the heads [head, head + heads), which read one key head.
struct Unit {
  int64_t batch, key_head, head, heads, i, queries;
};

bool masks_all(const float* row, int64_t n) {
  for (int64_t r = 0; r < n; r++)
    if (row[r] != -INFINITY) return false;
  return true;
}

// Turns n keys' scores into weights relative to the new running maximum, and updates the sum. `correction` becomes the
// factor by which out must be multiplied.
void exponentiate(const Problem& p, const Part& part, const Panel& panel, float* tile, float* correction) {
  for (int64_t v = 0; v < vectors_of(part); v++) {
    const int64_t n = keys_of_vector(p, part, v);
    float* column = tile + v * lanes;
    const Vec old_max = simd::load(panel.max + v * lanes);
    // The running maximum is never NaN. A NaN remains in the sum.
    Vec largest[ways] = {old_max, old_max, old_max, old_max};
    int64_t r = 0;
    for (; r + ways <= n; r += ways)
      for (int way = 0; way < ways; way++)
        largest[way] = simd::larger(simd::load(column + (r + way) * NR), largest[way]);
    for (; r < n; r++) largest[0] = simd::larger(simd::load(column + r * NR), largest[0]);
    const Vec max = simd::larger(simd::larger(largest[0], largest[1]), simd::larger(largest[2], largest[3]));
    // If no key has taken part so far, any finite shift does, because exp(-infinity - 0) is 0.
    const Vec shift = simd::select(max == simd::set(-INFINITY), simd::zero(), max);

    Vec sums[ways] = {};
    const auto weights = [&](auto count) FIRESTEEL_UNROLLED {
      Vec weight[count.value];
      for (int way = 0; way < count.value; way++) weight[way] = simd::load(column + (r + way) * NR) - shift;
      simd::exp_of_weights(weight);
      for (int way = 0; way < count.value; way++) {
        simd::store(column + (r + way) * NR, weight[way]);
        sums[way] = sums[way] + weight[way];
      }
    };
    for (r = 0; r + ways <= n; r += ways) weights(gemm::Index<ways>());
    for (; r < n; r++) weights(gemm::Index<1>());
    const Vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);

    const Vec factor = simd::exp_of_weight(old_max - shift);
    simd::store(correction + v * lanes, factor);
    simd::store(panel.max + v * lanes, max);
    simd::store(panel.sum + v * lanes, simd::fma(simd::load(panel.sum + v * lanes), factor, sum));
  }
}

// The place of the statistics of a head, at first of the first one. The maximum of query i is at i * query_step, and
// its sum `to_sum` further.
struct Statistics {
  float* data;
  int64_t query_step, to_sum;
};

// Divides by the sums and writes `queries` rows, from row i on. `begun` says whether any tile has been multiplied with
// them.
void finish(const Problem& p, const Panel& panel, int64_t i, int64_t queries, bool begun, Rows out,
            const Statistics& statistics) {
  for (int64_t c = 0; c < queries; c++) {
    float* const at = statistics.data + (i + c) * statistics.query_step;
    at[0] = panel.max[c], at[statistics.to_sum] = panel.sum[c];
  }
  const int64_t width = row_size(p.Dv);
  if (!begun) memset(panel.out, 0, size_t(queries * width) * sizeof(float));
  for (int64_t c = 0; c < queries; c++)
    write_row(out, i + c, 0, panel.out + c * width, p.Dv, panel.sum[c] == 0 ? 0 : 1 / panel.sum[c]);
}

// The memory that a unit needs beside its panels. q, k and v are empty if they are read in place.
struct Room {
  float *panels, *tile, *shared_mask, *part, *q, *k, *v;
};
int64_t lay_out(const Problem& p, int64_t panels, float* from, Room& room) {
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
  room.q = take(lies_ready(*p.q, false) ? 0 : NR * row_size(p.D));
  room.k = take(lies_ready(*p.k, false) ? 0 : min(tile_keys, p.Tk) * row_size(p.D));
  room.v = take(lies_ready(*p.v, true) ? 0 : min(tile_keys, p.Tk) * row_size(p.Dv));
  return size;
}

// Multiplies a panel of queries, described by `part`, with a tile of keys. `shared_mask` is null unless all queries
// share one mask.
void attend_tile(const Problem& p, const Part& part, const Panel& panel, Floats k, Floats v, const float* shared_mask,
                 bool first, float* tile) {
  float correction[NR];
  multiply_scores(p, part, k, panel.q, p.D, tile);
  if (shared_mask)
    mask_keys(p, part, tile, shared_mask);
  else if (has_mask(p))
    mask_tile(p, part, tile);
  set_unseen(p, part, tile, -INFINITY);
  exponentiate(p, part, panel, tile, correction);
  if (p.causal) clear_unseen(p, part, tile);
  if (p.drop_below) {
    const float* factors = dropout_tile(p, part);
    for (int64_t e = 0; e < part.n * NR; e += lanes)
      simd::store(tile + e, simd::load(tile + e) * simd::load(factors + e));
  }
  // The values of keys that only some queries see.
  const int64_t seen = keys_seen(p, part, 0), passed = keys_passed(p, part, part.queries - 1);
  const bool singly = (seen < part.n && !all_finite(from_row(v, seen), part.n - seen, p.Dv)) ||
                      (passed > 0 && !all_finite(v, passed, p.Dv));
  multiply_weights(p, part, tile, v, row_size(p.Dv), panel.out, first ? Before::nothing : Before::scaled, correction,
                   singly);
}

void attend(const Problem& p, const Unit& unit, const Room& room, const View& out, const Statistics& statistics) {
  const bool by_key = mask_is_by_key(p);
  const bool q_ready = lies_ready(*p.q, false), k_ready = lies_ready(*p.k, false), v_ready = lies_ready(*p.v, true);
  const int64_t panels = (unit.queries + NR - 1) / NR;
  bool begun[most_panels] = {};
  bool finite = by_key;  // whether all of them are finite, if that is asked
  for (int64_t index = 0; index < unit.heads * panels; index++) {
    const Panel panel = panel_at(p, room.panels, index);
    const int64_t i = unit.i + index % panels * NR, queries = min(NR, unit.i + unit.queries - i);
    const Matrix head = head_of(*p.q, unit.batch, unit.head + index / panels);
    const Floats q = floats_of(q_ready, room.q, from_row(head, i), queries, p.D);
    transpose_queries(panel.q, q, queries, p.D, p.scale);
    finite = finite && all_finite(q, queries, p.D);
    memset(panel.sum, 0, NR * sizeof(float));
    for (int64_t c = 0; c < NR; c++) panel.max[c] = -INFINITY;
  }
  const Matrix all_k = head_of(*p.k, unit.batch, unit.key_head), all_v = head_of(*p.v, unit.batch, unit.key_head);
  const int64_t keys = keys_of(p, unit.batch);
  const int64_t begin = p.window ? max(0, p.offset + unit.i + 1 - p.window) : 0;
  const int64_t end = p.causal ? min(keys, p.offset + unit.i + unit.queries) : keys;
  for (int64_t j = begin; j < end; j += tile_keys) {
    const int64_t width = min(tile_keys, keys - j);
    const Floats k = floats_of(k_ready, room.k, from_row(all_k, j), width, p.D);
    const Floats v = floats_of(v_ready, room.v, from_row(all_v, j), width, p.Dv);
    bool asked = false, adds_nothing = false;  // whether a masked tile adds nothing, which is asked once
    for (int64_t index = 0; index < unit.heads * panels; index++) {
      const int64_t head = unit.head + index / panels, first = unit.i + index % panels * NR;
      const int64_t queries = min(NR, unit.i + unit.queries - first);
      // The range of the tile's keys that any of the queries sees.
      const int64_t passed = p.window ? max(0, p.offset + first + 1 - p.window - j) : 0;
      const int64_t n = (p.causal ? min(width, p.offset + first + queries - j) : width) - passed;
      if (n <= 0) continue;
      if (by_key) {
        mask_row(p, unit.batch, head, first, j + passed, n, room.shared_mask);
        if (masks_all(room.shared_mask, n)) {
          // Only NaN would be added, if something infinite is multiplied.
          if (!asked) adds_nothing = finite && all_finite(k, width, p.D) && all_finite(v, width, p.Dv);
          asked = true;
          if (adds_nothing) continue;
        }
      }
      attend_tile(p, {unit.batch, head, first, queries, j + passed, n, NR, room.part}, panel_at(p, room.panels, index),
                  from_row(k, passed), from_row(v, passed), by_key ? room.shared_mask : nullptr, !begun[index],
                  room.tile);
      begun[index] = true;
    }
  }
  for (int64_t index = 0; index < unit.heads * panels; index++) {
    const int64_t head = unit.head + index / panels, first = unit.i + index % panels * NR;
    finish(p, panel_at(p, room.panels, index), first, min(NR, unit.i + unit.queries - first), begun[index],
           rows_of(out, unit.batch, head),
           {statistics.data + (unit.batch * p.Hq + head) * 2 * p.Tq, statistics.query_step, statistics.to_sum});
  }
}

// [B, Hq, 1, n] as [B, Hk, Hq / Hk, n].
View grouped(const View& heads, int64_t key_heads) {
  View queries = heads;
  queries.sizes[1] = key_heads;
  queries.sizes[2] = heads.sizes[1] / key_heads;
  queries.strides[1] = heads.strides[1] * queries.sizes[2];
  queries.strides[2] = heads.strides[1];
  return queries;
}

// One query of each head, as in text generation. The heads of a group see the same keys, so they become the queries of
// one head, because the time of a tile hardly depends on how many of its NR columns are queries. Limits and dropout
// count queries, so calls with them remain as they are.
struct Grouped {
  View q, out, mask_bool, mask_add;
  bool applies;

  Grouped(Problem& p, const View& given)
      : applies(p.Tq == 1 && p.Hq > p.Hk && !p.causal && !p.window && !p.drop_below) {
    if (!applies) return;
    q = grouped(*p.q, p.Hk), out = grouped(given, p.Hk);
    p.q = &q;
    if (p.mask_bool) mask_bool = grouped(*p.mask_bool, p.Hk), p.mask_bool = &mask_bool;
    if (p.mask_add) mask_add = grouped(*p.mask_add, p.Hk), p.mask_add = &mask_add;
    p.Tq = p.Hq / p.Hk;
    p.Hq = p.Hk;
  }
};

}  // namespace

void attention_forward(Context& context, const View& out, const View& statistics, const View& q, const View& k,
                       const View& v, const View* mask_bool, const View* mask_add, const View* lengths, double scale,
                       int64_t offset, int64_t window, double dropout, const Philox& random) {
  Problem p;
  if (!make_problem(context, p, out, statistics, q, k, v, mask_bool, mask_add, lengths, scale, offset, window, dropout,
                    random) ||
      statistics.count == 0)
    return;
  // Without features the weights have no effect, and their number is not bounded by memory. So the result is that of no
  // keys, whose gradients are all 0.
  if (p.D == 0 && p.Dv == 0) {
    float* rows = pointer<float>(statistics);
    for (int64_t head = 0; head < p.B * p.Hq; head++, rows += 2 * p.Tq)
      for (int64_t i = 0; i < p.Tq; i++) {
        rows[i] = -INFINITY;
        rows[p.Tq + i] = 0;
      }
    return;
  }

  const Grouped heads(p, out);
  const View& rows = heads.applies ? heads.out : out;
  float* const data = pointer<float>(statistics);
  const Statistics all = heads.applies ? Statistics{data, 2, 1} : Statistics{data, 1, p.Tq};

  constexpr int64_t unit_queries = most_panels * NR;
  const int64_t query_tiles = (p.Tq + unit_queries - 1) / unit_queries;
  const int64_t key_heads = p.B * p.Hk, group = p.Hq / p.Hk, head_panels = (min(p.Tq, unit_queries) + NR - 1) / NR;
  // All heads of a group form one unit if that is not too much work, because they share the keys in the caches.
  const bool whole_group = query_tiles == 1 && group * head_panels <= most_panels;
  const int64_t unit_heads = whole_group ? group : 1, parts = group / unit_heads;

  const int64_t units = key_heads * parts * query_tiles;
  Room measured;
  const Rooms rooms = make_rooms(context, lay_out(p, unit_heads * head_panels, nullptr, measured), units);
  // The last queries start first, because they see most keys if attention is causal.
  const int64_t queries = min(p.Tq, unit_queries), keys = p.window ? min(p.Tk, p.window + queries) : p.Tk;
  const int64_t work = unit_heads * queries * keys * (p.D + p.Dv);
  parallel_units(context, units, work, [&](int64_t index) {
    const int64_t key_head = index / parts % key_heads,
                  i = (query_tiles - 1 - index / parts / key_heads) * unit_queries;
    const Unit unit = {key_head / p.Hk,
                       key_head % p.Hk,
                       key_head % p.Hk * group + index % parts * unit_heads,
                       unit_heads,
                       i,
                       min(unit_queries, p.Tq - i)};
    int64_t number;
    Room room;
    lay_out(p, unit_heads * head_panels, enter_room(rooms, number), room);
    attend(p, unit, room, rows, all);
    leave_room(rooms, number);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
