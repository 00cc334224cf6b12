// attention_backward: the gradients of q, k, v and of the scores (for an additive mask), as far as they are wanted.
//
// The method is that of T. Dao, "FlashAttention-2" (2023). The weights of a tile are computed again from each row's
// maximum m and sum s of the forward pass, P = exp(scale q k^T + mask - m) / s, and with the factors M of dropout and
// delta_i = sum over features of dy_i out_i:
//   dv = (M P)^T dy,   dP = M (dy v^T),   dS = P (dP - delta),   dq = scale dS k,   dk = scale dS^T q.
// Outputs are overwritten.
//
// A chunk is a key head, or a piece of its keys if heads are few. A chunk computes each product once, five per tile.
// The shape fixes the order: query heads one by one, for each head the keys tile by tile, and for each tile the
// queries, some panels at a time. Tiles are transposed (tile.h): for a panel of queries, k q^T and v dy^T are columns
// of a tile. Once some panels are done, their tiles lie side by side and are the left operand of dk and dv, read by
// rows, and of dq, read by columns. Other operands are read in place, or copied once if products cannot read them there
// (micro.h). dq, dk and dv grow in the chunk's room and are written to any strides when complete. If each piece has its
// own dq, these are summed in order.
//
// Each score takes 6 D + 4 Dv operations and one exponential. If attention is causal or has a window, products end at
// its edges, give or take a few keys and queries. If a batch row has a length, they end before the keys beyond it.
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace attention;

constexpr int64_t band_panels = most_panels;
// The distance from key to key of these tiles. It exceeds their width by a few lanes, so that keys do not compete for
// the same place in the cache.
constexpr int64_t band_row = band_panels * NR + 16;

// The number of chunks to aim for: enough to keep many threads busy, but few enough that queries are not transposed
// again too often.
constexpr int64_t enough_chunks = 16;

// The results, null if not wanted. If there are several pieces, dq has a dense slice of `dq_size` for each.
struct Gradients {
  const View *dq, *dk, *dv;
  float *dmask, *dq_pieces;
  int64_t dq_size;
  bool scores;  // whether anything but dv is wanted
};

// The memory of a chunk's work, which is one query head at a time with a piece of the keys of its key head. Rows are
// whole vectors.
struct Room {
  float *q, *dy;                    // panels of queries, [D or Dv][NR]; q scaled
  float *q_rows, *dy_rows, *k, *v;  // copies of operands that cannot be read in place
  float *out_rows, *out_columns;    // the same for the outputs of a panel, which is also kept transposed
  float* dq;                        // [queries][D]
  float *dk, *dv;                   // [keys][D or Dv]
  float *delta, *shift, *inverse;   // by query
  float *weights, *dscores;         // [tile_keys][band_row]
  float* part;
};

// Whether each operand is read in place.
struct Ready {
  bool q, dy, k, v, out;
};
Ready ready_of(const Problem& p, const View& dy, const View& out) {
  return {lies_ready(*p.q, true), lies_ready(dy, true), lies_ready(*p.k, true), lies_ready(*p.v, false),
          lies_ready(out, false)};
}

// Lays the room out from `from` on, or only measures it if `from` is null. Returns the size in floats.
int64_t lay_out(const Problem& p, const Ready& ready, int64_t keys, float* from, Room& room) {
  const int64_t queries = round_up(p.Tq, NR), D = row_size(p.D), Dv = row_size(p.Dv);
  int64_t size = 0;
  const auto take = [&](int64_t floats) {
    float* place = from ? from + size : nullptr;
    size += round_up(floats, 16);
    return place;
  };
  room.q = take(queries * p.D);
  room.dy = take(queries * p.Dv);
  room.q_rows = take(ready.q ? 0 : p.Tq * D);
  room.dy_rows = take(ready.dy ? 0 : p.Tq * Dv);
  room.k = take(ready.k ? 0 : keys * D);
  room.v = take(ready.v ? 0 : keys * Dv);
  room.out_rows = take(ready.out ? 0 : NR * Dv);
  room.out_columns = take(NR * p.Dv);
  room.dq = take(queries * D);
  room.dk = take(keys * D);
  room.dv = take(keys * Dv);
  room.delta = take(queries);
  room.shift = take(queries);
  room.inverse = take(queries);
  room.weights = take(tile_keys * band_row);
  room.dscores = take(tile_keys * band_row);
  room.part = take(has_mask(p) || p.drop_below ? part_room : 0);
  return size;
}

// A range of keys of one key head, and the current query head.
struct Place {
  int64_t batch, head, key_head, first_key, keys;
};

// The operands by rows: of the piece's keys and of the query head. `singly` means that some keys that a query does not
// see are not finite, so products must not multiply them by 0.
struct Operands {
  Floats k, v, q, dy;
  bool singly;
};

void clear(float* to, int64_t count) { memset(to, 0, size_t(count) * sizeof(float)); }

// delta of a panel of queries. The panel's rows of dy are the columns of dy, and `out` holds its outputs. Terms are
// added in the order in which multiply adds those of v dy^T. So if a query attends to a single key, whose value is then
// `out`, dP - delta cancels to the bit.
void sum_deltas(const Problem& p, Floats out, int64_t queries, const float* dy, float* columns, float* delta) {
  transpose_queries(columns, out, queries, p.Dv, 1);
  for (int64_t c = 0; c < NR; c += lanes) {
    Vec sum = simd::zero();
    for (int64_t d = 0; d < p.Dv; d++)
      sum = simd::fma(simd::load(columns + d * NR + c), simd::load(dy + d * NR + c), sum);
    simd::store(delta + c, sum);
  }
  for (int64_t c = queries; c < NR; c++) delta[c] = 0;
}

// Returns whether q and dy are finite, which is seen in each row's sum of weights and delta.
bool prepare_head(const Problem& p, const Gradients& to, const Ready& ready, const View& out, const float* statistics,
                  const Place& at, const Operands& operands, const Room& room) {
  const Matrix outputs = head_of(out, at.batch, at.head);
  const float *largest = statistics + (at.batch * p.Hq + at.head) * 2 * p.Tq, *sums = largest + p.Tq;
  for (int64_t i = 0; i < p.Tq; i += NR) {
    const int64_t queries = min(NR, p.Tq - i);
    transpose_queries(room.q + i * p.D, from_row(operands.q, i), queries, p.D, p.scale);
    if (!to.scores) continue;
    transpose_queries(room.dy + i * p.Dv, from_row(operands.dy, i), queries, p.Dv, 1);
    sum_deltas(p, floats_of(ready.out, room.out_rows, from_row(outputs, i), queries, p.Dv), queries, room.dy + i * p.Dv,
               room.out_columns, room.delta + i);
  }
  for (int64_t i = 0; i < round_up(p.Tq, NR); i++) {
    // A row without keys has no weights, because exp(-infinity) is 0. The same holds for padding.
    const bool empty = i >= p.Tq || sums[i] == 0;
    room.shift[i] = empty ? INFINITY : largest[i];
    room.inverse[i] = empty ? 0 : 1 / sums[i];
  }
  const Floats dy = operands.dy;
  return all_finite({sums, p.Tq}, 1, p.Tq) &&
         (to.scores ? all_finite({room.delta, p.Tq}, 1, p.Tq) : all_finite(dy, p.Tq, p.Dv));
}

// Computes M P and dS from the keys' scores and v dy^T. factors, [keys][NR], is null without dropout.
void weigh(const Problem& p, const Part& part, float* weights, float* dscores, const float* factors, const Room& room,
           bool scores) {
  for (int64_t v = 0; v < vectors_of(part); v++) {
    const int64_t query = part.i + v * lanes;
    const Vec shifts = simd::load(room.shift + query), inverses = simd::load(room.inverse + query);
    const Vec deltas = simd::load(room.delta + query);
    for (int64_t r = 0; r < keys_of_vector(p, part, v); r++) {
      const int64_t e = r * part.stride + v * lanes;
      const Vec weight = simd::exp_of_weight(simd::load(weights + e) - shifts) * inverses;
      const Vec factor = factors ? simd::load(factors + r * NR + v * lanes) : simd::set(1);
      simd::store(weights + e, factors ? weight * factor : weight);
      if (!scores) continue;
      const Vec gradient = factors ? simd::load(dscores + e) * factor : simd::load(dscores + e);
      simd::store(dscores + e, weight * (gradient - deltas));
    }
  }
}

// Writes a tile of dS as rows of dmask.
void write_dmask(const Problem& p, const Part& part, const float* dscores, float* dmask) {
  const int64_t first = (part.batch * p.Hq + part.head) * p.Tq + part.i;
  for (int64_t c = 0; c < part.queries; c++)
    for (int64_t r = 0; r < part.n; r++) dmask[(first + c) * p.Tk + part.j + r] = dscores[r * part.stride + c];
}

// Writes rows of the room to rows of a gradient, from row `first` on.
void write_rows(Rows to, int64_t first, int64_t rows, const float* from, int64_t features, float factor) {
  for (int64_t r = 0; r < rows; r++) write_row(to, first + r, 0, from + r * row_size(features), features, factor);
}

// Computes M P and dS of a panel of queries and n keys, from the piece's key `local` on, and adds their part to dq.
void score_panel(const Problem& p, const Gradients& to, const Part& part, const Operands& operands, const Room& room,
                 int64_t local, float* weights, float* dscores) {
  const Floats k = from_row(operands.k, local);
  multiply_scores(p, part, k, room.q + part.i * p.D, p.D, weights);
  if (to.scores) multiply_scores(p, part, from_row(operands.v, local), room.dy + part.i * p.Dv, p.Dv, dscores);
  if (has_mask(p)) mask_tile(p, part, weights);
  const float* factors = p.drop_below ? dropout_tile(p, part) : nullptr;
  weigh(p, part, weights, dscores, factors, room, to.scores);
  if (p.causal || p.window) {
    clear_unseen(p, part, weights);
    set_unseen(p, part, weights, 0);
    if (to.scores) {
      clear_unseen(p, part, dscores);
      set_unseen(p, part, dscores, 0);
    }
  }
  if (to.dmask) write_dmask(p, part, dscores, to.dmask);
  if (to.dq)
    multiply_weights(p, part, dscores, k, row_size(p.D), room.dq + part.i * row_size(p.D), Before::kept, nullptr,
                     operands.singly);
}

// C [keys from, to][width] += tiles times the rows of `queries` queries; keys after number `ahead` are later than the
// first query. `singly` has the same meaning as in multiply_weights.
void add_products(const Problem& p, const float* tiles, Floats rows, int64_t queries, int64_t ahead, int64_t from,
                  int64_t to, float* c, int64_t width, bool singly) {
  for (int64_t d = 0, vectors; d < width; d += vectors * lanes) {
    vectors = next_vectors((width - d) / lanes);
    for (int64_t r = from, count; r < to; r += count) {
      count = singly ? 1 : min(block_rows(vectors), to - r);
      // The range goes from the first query that sees the first of these keys to the last query that sees the last one.
      const int64_t first = p.causal ? max(0, r - ahead) : 0;
      const int64_t end = p.window ? min(queries, r + count - 1 - ahead + p.window) : queries;
      if (first < end)
        multiply(Left::rows, count, vectors,
                 {end - first, tiles + r * band_row + first, band_row, from_row(rows, first).data + d, rows.stride,
                  c + r * width + d, width, Before::kept});
    }
  }
}

// Computes all gradients to which a piece of a key head's keys contributes.
void attend(const Problem& p, const Gradients& to, const Ready& ready, const View& dy, const View& out,
            const float* statistics, Place at, int64_t piece, const Room& room) {
  const int64_t group = p.Hq / p.Hk, D = row_size(p.D), Dv = row_size(p.Dv);
  Operands operands = {};
  operands.k = floats_of(ready.k, room.k, from_row(head_of(*p.k, at.batch, at.key_head), at.first_key), at.keys, p.D);
  operands.v = floats_of(ready.v, room.v, from_row(head_of(*p.v, at.batch, at.key_head), at.first_key), at.keys, p.Dv);
  const int64_t real = max(0, min(at.keys, keys_of(p, at.batch) - at.first_key));
  const bool partial = p.causal || p.window;  // whether some query sees only part of the keys
  const bool keys_finite = !partial || all_finite(operands.k, real, p.D);
  if (to.dk) clear(room.dk, at.keys * D);
  if (to.dv) clear(room.dv, at.keys * Dv);
  for (at.head = at.key_head * group; at.head < (at.key_head + 1) * group; at.head++) {
    const int64_t first_row = (at.batch * p.Hq + at.head) * p.Tq;
    if (to.dmask && (partial || real < at.keys))
      for (int64_t i = 0; i < p.Tq; i++) clear(to.dmask + (first_row + i) * p.Tk + at.first_key, at.keys);
    operands.q = floats_of(ready.q, room.q_rows, head_of(*p.q, at.batch, at.head), p.Tq, p.D);
    operands.dy = floats_of(ready.dy, room.dy_rows, head_of(dy, at.batch, at.head), p.Tq, p.Dv);
    const bool queries_finite = prepare_head(p, to, ready, out, statistics, at, operands, room);
    operands.singly = partial && !(keys_finite && queries_finite);
    if (to.dq) clear(room.dq, p.Tq * D);
    for (int64_t local = 0; local < real; local += tile_keys) {
      const int64_t j = at.first_key + local, keys = min(tile_keys, real - local);
      // The queries that see any of these keys.
      const int64_t begin = p.causal ? max(0, j - p.offset) / NR * NR : 0;
      const int64_t end = p.window ? min(p.Tq, j + keys - 1 - p.offset + p.window) : p.Tq;
      for (int64_t i = begin; i < end; i += band_panels * NR) {
        const int64_t queries = min(band_panels * NR, end - i), ahead = p.offset + i - j;
        const int64_t passed = p.window ? max(0, ahead + 1 - p.window) : 0;
        int64_t most = 0;
        for (int64_t c = 0; c < queries; c += NR) {
          const int64_t count = min(NR, queries - c), before = p.window ? max(0, ahead + c + 1 - p.window) : 0;
          most = p.causal ? max(0, min(keys, ahead + c + count)) : keys;
          score_panel(p, to, {at.batch, at.head, i + c, count, j + before, most - before, band_row, room.part, before},
                      operands, room, local + before, room.weights + before * band_row + c,
                      room.dscores + before * band_row + c);
        }
        if (to.dv)
          add_products(p, room.weights, from_row(operands.dy, i), queries, ahead, passed, most, room.dv + local * Dv,
                       Dv, operands.singly);
        if (to.dk)
          add_products(p, room.dscores, from_row(operands.q, i), queries, ahead, passed, most, room.dk + local * D, D,
                       operands.singly);
      }
    }
    if (!to.dq) continue;
    const Rows dq = to.dq_pieces ? Rows{to.dq_pieces + piece * to.dq_size + first_row * p.D, p.D, 1}
                                 : rows_of(*to.dq, at.batch, at.head);
    write_rows(dq, 0, p.Tq, room.dq, p.D, p.scale);
  }
  if (to.dk) write_rows(rows_of(*to.dk, at.batch, at.key_head), at.first_key, at.keys, room.dk, p.D, p.scale);
  if (to.dv) write_rows(rows_of(*to.dv, at.batch, at.key_head), at.first_key, at.keys, room.dv, p.Dv, 1);
}

// dq is the sum of the pieces' parts.
void sum_pieces(Context& context, const Problem& p, const Gradients& to, int64_t pieces) {
  const int64_t rows = p.B * p.Hq * p.Tq;
  parallel_units(context, rows, 4 * pieces * p.D, [&](int64_t row) {
    const Rows head = rows_of(*to.dq, row / p.Tq / p.Hq, row / p.Tq % p.Hq);
    simd::for_row(p.D, [&](int64_t d, int64_t count) {
      const float* part = to.dq_pieces + row * p.D + d;
      Vec total = simd::load_some(part, count);
      for (int64_t piece = 1; piece < pieces; piece++)
        total = total + simd::load_some(part + piece * to.dq_size, count);
      float sum[lanes];
      simd::store(sum, total);
      write_row(head, row % p.Tq, d, sum, count, 1);
    });
  });
}

}  // namespace

void attention_backward(Context& context, const View* dq, const View* dk, const View* dv, const View* dmask,
                        const View& dy, const View& q, const View& k, const View& v, const View& out,
                        const View& statistics, const View* mask_bool, const View* mask_add, const View* lengths,
                        double scale, int64_t offset, int64_t window, double dropout, const Philox& random) {
  Problem p;
  if (!make_problem(context, p, out, statistics, q, k, v, mask_bool, mask_add, lengths, scale, offset, window, dropout,
                    random) ||
      !expect(context, same_shape(dy, out), "attention: dy must have out's shape") ||
      !expect(context, !dq || same_shape(*dq, q), "attention: dq must have q's shape") ||
      !expect(context, !dk || same_shape(*dk, k), "attention: dk must have k's shape") ||
      !expect(context, !dv || same_shape(*dv, v), "attention: dv must have v's shape") ||
      !expect(context, !dmask || has_shape(*dmask, p.B, p.Hq, p.Tq, p.Tk), "attention: dmask must be [B, Hq, Tq, Tk]"))
    return;
  Gradients to = {dq, dk, dv, dmask ? pointer<float>(*dmask) : nullptr, nullptr, q.count, dq || dk || dmask};
  const int64_t key_heads = p.B * p.Hk, key_tiles = (p.Tk + tile_keys - 1) / tile_keys;
  const auto has_elements = [](const View* view) { return view && view->count > 0; };
  if (!(has_elements(dq) || has_elements(dk) || has_elements(dv) || has_elements(dmask))) return;

  // A piece has at least two tiles of keys. A head without keys is still a piece, which clears its dq.
  int64_t pieces = min((enough_chunks + key_heads - 1) / key_heads, (key_tiles + 1) / 2);
  const int64_t piece_keys = pieces > 0 ? (key_tiles + pieces - 1) / pieces * tile_keys : 0;
  pieces = piece_keys > 0 ? (p.Tk + piece_keys - 1) / piece_keys : 1;
  const int64_t longest = min(piece_keys, p.Tk);
  if (dq && pieces > 1)
    to.dq_pieces = static_cast<float*>(scratch(context, size_t(pieces * to.dq_size) * sizeof(float)));
  const Ready ready = ready_of(p, dy, out);
  Room measured;
  const Rooms rooms = make_rooms(context, lay_out(p, ready, longest, nullptr, measured), key_heads * pieces);

  const int64_t work = p.Tq * (p.Hq / p.Hk) * longest * (3 * p.D + 2 * p.Dv);
  parallel_units(context, key_heads * pieces, work, [&](int64_t unit) {
    const int64_t key_head = unit % key_heads, piece = unit / key_heads, first = piece * piece_keys;
    int64_t number;
    Room room;
    lay_out(p, ready, longest, enter_room(rooms, number), room);
    const Place at = {key_head / p.Hk, 0, key_head % p.Hk, first, min(piece_keys, p.Tk - first)};
    attend(p, to, ready, dy, out, pointer<const float>(statistics), at, piece, room);
    leave_room(rooms, number);
  });
  if (to.dq_pieces) sum_pieces(context, p, to, pieces);
}

}  // namespace firesteel::FIRESTEEL_ISA
