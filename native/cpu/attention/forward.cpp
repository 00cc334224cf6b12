// attention_forward: out = dropout(softmax(scale q k^T + mask)) v, and the logarithm of each row's sum of exponentials.
//
// After T. Dao, "FlashAttention-2" (2023): a tile of queries meets the keys tile by tile; the scores live in one tile
// that stays in the first-level cache, and a running maximum and a running sum per query correct what was added before.
// No row of scores is ever kept. Out and logSumExp are overwritten.
//
// The tile is transposed, [keys][NR queries], for two reasons. A product whose left operand is K and whose right one is
// a panel of NR queries writes it in just the order in which the second product, V^T P^T, reads a packed panel, so
// scores are never repacked. And a vector holds one key of several queries: maximum and sum over keys need no work
// across lanes.
//
// 2 (D + Dv) operations and one exponential per score; causal scores above the diagonal are skipped to a row of MR
// and, in depth, exactly, and so are tiles of padding. K and V^T are packed once per key head, in 4 Tk (D + Dv) bytes,
// or read where they are if that would serve few queries only.
#include "problem.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace attention;
using simd::Vec;

constexpr int64_t vectors = NR / simd::lanes;  // of a row of the tile
constexpr int64_t tile_keys = 256 / MR * MR;   // whole panels
// Panels of queries that meet a tile of keys while it is in the second-level cache.
constexpr int64_t panels_of_chunk = (128 + NR - 1) / NR;
static_assert(tile_keys <= most_keys, "dropout_row's limit");

// All keys and values, packed: for a key head, K in panels of MR keys [D][MR], V^T in panels of MR features [Tk][MR].
// Null where they are read in place.
struct Keys {
  float *k, *v;
  int64_t k_size, v_size;  // of a head
};

// K and V^T from key j on, as left operands.
Left k_operand(const Problem& p, const Keys& keys, int64_t batch, int64_t key_head, int64_t j) {
  if (keys.k) return packed_left(keys.k + (batch * p.Hk + key_head) * keys.k_size + j * p.D, p.D);
  const Matrix k = from_row(head_of(*p.k, batch, key_head), j);
  return {static_cast<const float*>(k.data), MR * k.row_stride, k.row_stride, k.column_stride};
}
Left v_operand(const Problem& p, const Keys& keys, int64_t batch, int64_t key_head, int64_t j) {
  if (keys.v) return {keys.v + (batch * p.Hk + key_head) * keys.v_size + j * MR, p.Tk * MR, 1, MR};
  const Matrix v = from_row(head_of(*p.v, batch, key_head), j);
  return {static_cast<const float*>(v.data), MR * v.column_stride, v.column_stride, v.row_stride};
}

// The state of a panel of NR queries. Columns beyond the last query hold zeros for queries and are never written out.
struct Panel {
  float* q;    // [D][NR], scaled
  float* out;  // [Dv][NR], not yet divided by the sum
  float* max;  // [NR]
  float* sum;  // [NR]
};

int64_t panel_size(const Problem& p) { return (p.D + p.Dv + 2) * NR; }

Panel panel_at(const Problem& p, float* room, int64_t index) {
  float* q = room + index * panel_size(p);
  float* out = q + p.D * NR;
  return {q, out, out + p.Dv * NR, out + (p.Dv + 1) * NR};
}

// Rows of n numbers, by query, as a tile: collected in one half of `room`, transposed into the other.
template <class Row>
const float* tile_of_rows(float* room, int64_t queries, int64_t n, const Row& row) {
  for (int64_t c = 0; c < queries; c++) row(c, room + c * tile_keys);
  pack_right(room + tile_keys * NR, {room, 1, tile_keys}, n, queries);
  return room + tile_keys * NR;
}

// Adds its mask to each query's column of the tile of queries [i, i + queries) and keys [j, j + n).
void mask_tile(const Problem& p, float* tile, float* room, int64_t batch, int64_t head, int64_t i, int64_t queries,
               int64_t j, int64_t n) {
  const float* added =
      tile_of_rows(room, queries, n, [&](int64_t c, float* to) { mask_row(p, batch, head, i + c, j, n, to); });
  for (int64_t e = 0; e < n * NR; e += simd::lanes)
    simd::store(tile + e, masked(simd::load(tile + e), simd::load(added + e)));
}

// Adds the mask that all queries share.
void mask_keys(float* tile, const float* row, int64_t n) {
  for (int64_t r = 0; r < n; r++)
    for (int64_t c = 0; row[r] != 0 && c < NR; c += simd::lanes)
      simd::store(tile + r * NR + c, masked(simd::load(tile + r * NR + c), simd::set(row[r])));
}

bool masks_all(const float* row, int64_t n) {
  for (int64_t r = 0; r < n; r++)
    if (row[r] != -INFINITY) return false;
  return true;
}

// Takes out the keys that lie after their query.
void mask_later_keys(float* tile, int64_t i, int64_t j, int64_t n) {
  for (int64_t r = i + 1 > j ? i + 1 - j : 0; r < n; r++)
    for (int64_t c = 0; c < NR && i + c < j + r; c++) tile[r * NR + c] = -INFINITY;
}

void drop_tile(const Problem& p, float* tile, float* room, int64_t batch, int64_t head, int64_t i, int64_t queries,
               int64_t j, int64_t n) {
  const float* factors =
      tile_of_rows(room, queries, n, [&](int64_t c, float* to) { dropout_row(p, batch, head, i + c, j, n, to); });
  for (int64_t e = 0; e < n * NR; e += simd::lanes)
    simd::store(tile + e, simd::load(tile + e) * simd::load(factors + e));
}

// Turns n keys' scores into weights relative to the new running maximum, and brings sum and out to it.
void exponentiate(const Problem& p, const Panel& panel, float* tile, int64_t n) {
  for (int64_t v = 0; v < vectors; v++) {
    float* column = tile + v * simd::lanes;
    const Vec old_max = simd::load(panel.max + v * simd::lanes);
    Vec max = old_max;
    int64_t r = 0;
    for (; r + 4 <= n; r += 4) {
      const Vec first = simd::max(simd::load(column + r * NR), simd::load(column + (r + 1) * NR));
      const Vec second = simd::max(simd::load(column + (r + 2) * NR), simd::load(column + (r + 3) * NR));
      max = simd::max(max, simd::max(first, second));
    }
    for (; r < n; r++) max = simd::max(max, simd::load(column + r * NR));
    // Where no key has taken part so far, any finite shift does: exp(-infinity - 0) is 0.
    const Vec shift = simd::select(max == simd::set(-INFINITY), simd::zero(), max);

    Vec even = simd::zero(), odd = simd::zero();
    for (r = 0; r + 2 <= n; r += 2) {
      const Vec a = simd::exp(simd::load(column + r * NR) - shift);
      const Vec b = simd::exp(simd::load(column + (r + 1) * NR) - shift);
      simd::store(column + r * NR, a);
      simd::store(column + (r + 1) * NR, b);
      even = even + a;
      odd = odd + b;
    }
    if (r < n) {
      const Vec a = simd::exp(simd::load(column + r * NR) - shift);
      simd::store(column + r * NR, a);
      even = even + a;
    }

    const Vec correction = simd::exp(old_max - shift);
    simd::store(panel.max + v * simd::lanes, max);
    simd::store(panel.sum + v * simd::lanes, simd::load(panel.sum + v * simd::lanes) * correction + (even + odd));
    float* out = panel.out + v * simd::lanes;
    for (int64_t d = 0; d < p.Dv; d++) simd::store(out + d * NR, simd::load(out + d * NR) * correction);
  }
}

// Divides by the sums and writes `queries` rows, from row `row` of [B, Hq, Tq] on.
void finish(const Problem& p, const Panel& panel, int64_t queries, int64_t row, float* out, float* log_sum_exp) {
  float logs[NR];
  for (int64_t v = 0; v < NR; v += simd::lanes) {
    const Vec sum = simd::load(panel.sum + v), inverse = simd::set(1) / sum;
    simd::store(logs + v, simd::load(panel.max + v) + simd::log(sum));
    for (int64_t d = 0; d < p.Dv; d++) {
      float* value = panel.out + d * NR + v;
      simd::store(value, simd::select(sum == simd::zero(), simd::zero(), simd::load(value) * inverse));
    }
  }
  memcpy(log_sum_exp + row, logs, size_t(queries) * sizeof(float));
  for (int64_t c = 0; c < queries; c++) {
    float* to = out + (row + c) * p.Dv;
    for (int64_t d = 0; d < p.Dv; d++) to[d] = panel.out[d * NR + c];
  }
}

// One tile of queries, [i, i + queries), of one head.
void attend(const Problem& p, const Keys& keys, int64_t batch, int64_t head, int64_t i, int64_t queries, float* room,
            float* out, float* log_sum_exp) {
  const int64_t key_head = head / (p.Hq / p.Hk);
  const bool by_key = mask_is_by_key(p);
  const Matrix q = head_of(*p.q, batch, head);
  const int64_t panels = (queries + NR - 1) / NR;
  float* tile = room + panels_of_chunk * panel_size(p);
  float *shared_mask = tile + tile_keys * NR, *rows = shared_mask + tile_keys;
  for (int64_t index = 0; index < panels; index++) {
    const Panel panel = panel_at(p, room, index);
    pack_right(panel.q, transposed(from_row(q, i + index * NR)), p.D, smaller(NR, queries - index * NR));
    scale_all(panel.q, p.D * NR, p.scale);
    memset(panel.out, 0, size_t(p.Dv + 2) * NR * sizeof(float));
    for (int64_t c = 0; c < NR; c++) panel.max[c] = -INFINITY;
  }
  const int64_t end = p.causal ? smaller(p.Tk, i + queries) : p.Tk;
  for (int64_t j = 0; j < end; j += tile_keys) {
    if (by_key) {
      const int64_t n = smaller(tile_keys, p.Tk - j);
      mask_row(p, batch, head, i, j, n, shared_mask);
      if (masks_all(shared_mask, n)) continue;
    }
    const Left k = k_operand(p, keys, batch, key_head, j), v = v_operand(p, keys, batch, key_head, j);
    for (int64_t index = 0; index < panels; index++) {
      const Panel panel = panel_at(p, room, index);
      const int64_t first = i + index * NR;
      const int64_t columns = smaller(NR, i + queries - first);
      const int64_t n = smaller(tile_keys, (p.causal ? smaller(p.Tk, first + columns) : p.Tk) - j);
      if (n <= 0) continue;
      multiply(n, NR, p.D, k, packed_right(panel.q, p.D), tile, NR, false);
      if (by_key) mask_keys(tile, shared_mask, n);
      if (has_mask(p) && !by_key) mask_tile(p, tile, rows, batch, head, first, columns, j, n);
      if (p.causal) mask_later_keys(tile, first, j, n);
      exponentiate(p, panel, tile, n);
      if (p.drop_below) drop_tile(p, tile, rows, batch, head, first, columns, j, n);
      multiply(p.Dv, NR, n, v, packed_right(tile, n), panel.out, NR, true);
    }
  }
  for (int64_t index = 0; index < panels; index++)
    finish(p, panel_at(p, room, index), smaller(NR, queries - index * NR),
           (batch * p.Hq + head) * p.Tq + i + index * NR, out, log_sum_exp);
}

}  // namespace

void attention_forward(Context& context, const View& out, const View& log_sum_exp, const View& q, const View& k,
                       const View& v, const View* mask_bool, const View* mask_add, double scale, bool causal,
                       double dropout, const Philox& random) {
  Problem p;
  if (!make_problem(context, p, out, log_sum_exp, q, k, v, mask_bool, mask_add, scale, causal, dropout, random) ||
      log_sum_exp.count == 0)
    return;

  constexpr int64_t chunk_queries = panels_of_chunk * NR;
  const int64_t query_tiles = (p.Tq + chunk_queries - 1) / chunk_queries;
  const int64_t key_tiles = (p.Tk + tile_keys - 1) / tile_keys;
  const int64_t heads = p.B * p.Hq, key_heads = p.B * p.Hk, features = p.D + p.Dv;
  Keys keys = {nullptr, nullptr, round_up(p.Tk, MR) * p.D, round_up(p.Dv, MR) * p.Tk};
  if (p.Tq * (p.Hq / p.Hk) > NR) {
    keys.k = static_cast<float*>(scratch(context, size_t(key_heads * (keys.k_size + keys.v_size)) * sizeof(float)));
    keys.v = keys.k + key_heads * keys.k_size;
    parallel_units(context, key_heads * key_tiles, 16 * tile_keys * features, [&](int64_t unit) {
      const int64_t key_head = unit / key_tiles, j = unit % key_tiles * tile_keys, n = smaller(tile_keys, p.Tk - j);
      const Matrix k_head = from_row(head_of(k, key_head / p.Hk, key_head % p.Hk), j);
      const Matrix v_head = transposed(from_row(head_of(v, key_head / p.Hk, key_head % p.Hk), j));
      pack_left(keys.k + key_head * keys.k_size + j * p.D, k_head, n, p.D);
      for (int64_t d = 0; d < p.Dv; d += MR)
        pack_left(keys.v + key_head * keys.v_size + d * p.Tk + j * MR, from_row(v_head, d), smaller(MR, p.Dv - d), n);
    });
  }

  const int64_t rows = has_mask(p) || p.drop_below ? 2 * tile_keys * NR : 0;
  const int64_t room = panels_of_chunk * panel_size(p) + tile_keys * (NR + 1) + rows;
  const Workspaces spaces = make_workspaces(context, room, heads * query_tiles);
  // The last queries see most keys where attention is causal: they start first.
  parallel_units(context, heads * query_tiles, smaller(p.Tq, chunk_queries) * p.Tk * features, [&](int64_t unit) {
    const int64_t head = unit % heads, i = (query_tiles - 1 - unit / heads) * chunk_queries;
    const int64_t space = claim(spaces);
    attend(p, keys, head / p.Hq, head % p.Hq, i, smaller(chunk_queries, p.Tq - i), spaces.memory + space * spaces.size,
           pointer<float>(out), pointer<float>(log_sum_exp));
    give_back(spaces, space);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
