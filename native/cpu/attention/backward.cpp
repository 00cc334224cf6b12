// attention_backward: gradients of q, k, v and of the scores (for an additive mask), those of them that are wanted.
//
// After T. Dao, "FlashAttention-2" (2023): with the forward pass's logSumExp L, the weights of a tile are computed
// again, P = exp(scale q k^T + mask - L), and with M the factors of dropout and delta_i = sum over features of dy_i
// out_i,
//   dv = (M P)^T dy,   dP = M (dy v^T),   dS = P (dP - delta),   dq = scale dS k,   dk = scale dS^T q.
// Outputs are overwritten.
//
// A chunk is a key head, or a piece of its keys where heads are few. Within it every product is done once, five per
// tile, in an order that the shape fixes: keys tile by tile, and for each the queries; dk and dv grow in place, and so
// does dq where a chunk has all the keys. Else each piece has its own dq, and these are summed in order.
//
// A tile of P or dS is [queries][keys] with rows a little longer than the keys (a power of two would map its columns to
// few cache sets). It is the left operand of dq and, read by columns, of dk and dv: gemm's micro-kernel reads it where
// it is.
//
// 6 D + 4 Dv operations and one exponential per score.
#include "problem.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace attention;
using simd::Vec;

constexpr int64_t tile_queries = (64 + MR - 1) / MR * MR;  // whole panels
constexpr int64_t tile_keys = 128 / NR * NR;
constexpr int64_t tile_stride = tile_keys + 16;
static_assert(tile_keys <= most_keys, "dropout_row's limit");

// Chunks to aim for: enough to keep many threads busy, few enough that queries are not packed again too often.
constexpr int64_t enough_chunks = 16;

// Where results go, null where not wanted. dq has a slice of `dq_size` per piece.
struct Gradients {
  float *dq, *dk, *dv, *dmask;
  int64_t dq_size;
  bool scores;  // anything but dv
};

// What a chunk works on: one query head at a time, and its piece of the keys of their key head.
struct Room {
  float *q_left, *q_right, *dy_left, *dy_right;  // [queries][D or Dv], packed as left and as right operand
  float *k_transposed, *v_transposed;            // [D or Dv][keys], as right operand
  float* k_rows;                                 // [keys][D], as right operand
  float *delta, *shift;                          // by query
  float *weights, *dscores;                      // tiles
  float *added, *kept;                           // a row's mask and dropout
};

// Lays the room out from `from` on, or, with null, only measures; returns its size in floats.
int64_t lay_out(const Problem& p, int64_t keys, float* from, Room& room) {
  int64_t size = 0;
  const auto take = [&](int64_t floats) {
    float* place = from ? from + size : nullptr;
    size += round_up(floats, 16);
    return place;
  };
  const int64_t d_columns = round_up(p.D, NR), dv_columns = round_up(p.Dv, NR);
  room.q_left = take(round_up(p.Tq, MR) * p.D);
  room.q_right = take(p.Tq * d_columns);
  room.dy_left = take(round_up(p.Tq, MR) * p.Dv);
  room.dy_right = take(p.Tq * dv_columns);
  room.k_transposed = take(round_up(keys, NR) * p.D);
  room.v_transposed = take(round_up(keys, NR) * p.Dv);
  room.k_rows = take(keys * d_columns);
  room.delta = take(p.Tq);
  room.shift = take(p.Tq);
  room.weights = take(tile_queries * tile_stride);
  room.dscores = take(tile_queries * tile_stride);
  room.added = take(tile_keys);
  room.kept = take(tile_keys);
  return size;
}

// A range of keys of one key head, and the query head at work.
struct Place {
  int64_t batch, head, key_head, first_key, keys;
};

void pack_keys(const Problem& p, const Gradients& to, const Place& at, const Room& room) {
  const Matrix k = from_row(head_of(*p.k, at.batch, at.key_head), at.first_key);
  const Matrix v = from_row(head_of(*p.v, at.batch, at.key_head), at.first_key);
  pack_right(room.k_transposed, transposed(k), p.D, at.keys);
  if (to.scores) pack_right(room.v_transposed, transposed(v), p.Dv, at.keys);
  if (!to.dq) return;
  pack_right(room.k_rows, k, at.keys, p.D);
  scale_all(room.k_rows, at.keys * round_up(p.D, NR), p.scale);
}

// The inner product of a row of a packed right operand, whose panels stand `panel` apart, with a dense row.
float row_product(const float* packed, int64_t panel, const float* dense, int64_t count) {
  Vec sum = simd::zero();
  for (int64_t d = 0; d < count; d += simd::lanes) {
    const Vec b = d + simd::lanes <= count ? simd::load(dense + d) : simd::load_partial(dense + d, int(count - d));
    sum = simd::fma(simd::load(packed + d / NR * panel + d % NR), b, sum);
  }
  return simd::reduce_add(sum);
}

void pack_queries(const Problem& p, const Gradients& to, const View& dy, const float* out, const float* log_sum_exp,
                  const Place& at, const Room& room) {
  const Matrix q = head_of(*p.q, at.batch, at.head), gradient = head_of(dy, at.batch, at.head);
  pack_left(room.q_left, q, p.Tq, p.D);
  scale_all(room.q_left, round_up(p.Tq, MR) * p.D, p.scale);
  if (to.dk) {
    pack_right(room.q_right, q, p.Tq, p.D);
    scale_all(room.q_right, p.Tq * round_up(p.D, NR), p.scale);
  }
  if (to.scores) pack_left(room.dy_left, gradient, p.Tq, p.Dv);
  pack_right(room.dy_right, gradient, p.Tq, p.Dv);

  const int64_t first_row = (at.batch * p.Hq + at.head) * p.Tq;
  for (int64_t i = 0; i < p.Tq; i++) {
    if (to.scores) room.delta[i] = row_product(room.dy_right + i * NR, p.Tq * NR, out + (first_row + i) * p.Dv, p.Dv);
    // A row without keys has no weights: exp(-infinity - infinity) is 0.
    const float log_sum = log_sum_exp[first_row + i];
    room.shift[i] = log_sum == -INFINITY ? INFINITY : log_sum;
  }
}

// From scores s and dy v^T to M P and dS, for up to a vector of keys; added and kept are null where there is no mask
// and no dropout.
template <class Load, class Store>
FIRESTEEL_INLINE void weigh_vector(float* s, float* g, const float* added, const float* kept, Vec shift, Vec delta,
                                   bool scores, const Load& load, const Store& store) {
  const Vec score = added ? masked(load(s), load(added)) : load(s);
  const Vec weight = simd::exp(score - shift);
  const Vec factor = kept ? load(kept) : simd::set(1);
  store(s, kept ? weight * factor : weight);
  if (!scores) return;
  const Vec gradient = kept ? load(g) * factor : load(g);
  store(g, weight * (gradient - delta));
}

void weigh_row(float* s, float* g, const float* added, const float* kept, float shift, float delta, bool scores,
               int64_t n) {
  const Vec shifts = simd::set(shift), deltas = simd::set(delta);
  const auto load = [](const float* from) { return simd::load(from); };
  const auto store = [](float* to, Vec x) { simd::store(to, x); };
  int64_t c = 0;
  for (; c + simd::lanes <= n; c += simd::lanes)
    weigh_vector(s + c, g + c, added ? added + c : nullptr, kept ? kept + c : nullptr, shifts, deltas, scores, load,
                 store);
  const int rest = int(n - c);
  if (rest == 0) return;
  weigh_vector(
      s + c, g + c, added ? added + c : nullptr, kept ? kept + c : nullptr, shifts, deltas, scores,
      [rest](const float* from) { return simd::load_partial(from, rest); },
      [rest](float* to, Vec x) { simd::store_partial(to, x, rest); });
}

// Queries [i, i + m) with keys [j, j + n); i is a multiple of MR, and j stands a multiple of NR into the piece.
void tile(const Problem& p, const Gradients& to, const Place& at, const Room& room, int64_t piece, int64_t i, int64_t m,
          int64_t j, int64_t n) {
  const int64_t local = j - at.first_key;
  float *weights = room.weights, *dscores = room.dscores;
  multiply(m, n, p.D, packed_left(room.q_left + i * p.D, p.D), packed_right(room.k_transposed + local * p.D, p.D),
           weights, tile_stride, false);
  if (to.scores)
    multiply(m, n, p.Dv, packed_left(room.dy_left + i * p.Dv, p.Dv),
             packed_right(room.v_transposed + local * p.Dv, p.Dv), dscores, tile_stride, false);

  const int64_t first_row = (at.batch * p.Hq + at.head) * p.Tq + i;
  for (int64_t r = 0; r < m; r++) {
    float *s = weights + r * tile_stride, *g = dscores + r * tile_stride;
    const int64_t seen = p.causal ? smaller(n, i + r + 1 - j) : n;
    if (seen > 0) {
      if (has_mask(p)) mask_row(p, at.batch, at.head, i + r, j, seen, room.added);
      if (p.drop_below) dropout_row(p, at.batch, at.head, i + r, j, seen, room.kept);
      weigh_row(s, g, has_mask(p) ? room.added : nullptr, p.drop_below ? room.kept : nullptr, room.shift[i + r],
                room.delta[i + r], to.scores, seen);
    }
    for (int64_t c = seen > 0 ? seen : 0; c < n; c++) s[c] = g[c] = 0;
    if (to.dmask) memcpy(to.dmask + (first_row + r) * p.Tk + j, g, size_t(n) * sizeof(float));
  }

  const int64_t first_key = (at.batch * p.Hk + at.key_head) * p.Tk + j;
  if (to.dv)
    multiply(n, p.Dv, m, {weights, MR, 1, tile_stride}, {room.dy_right + i * NR, p.Tq * NR, NR},
             to.dv + first_key * p.Dv, p.Dv, true);
  if (to.dk)
    multiply(n, p.D, m, {dscores, MR, 1, tile_stride}, {room.q_right + i * NR, p.Tq * NR, NR}, to.dk + first_key * p.D,
             p.D, true);
  if (to.dq)
    multiply(m, p.D, n, {dscores, MR * tile_stride, tile_stride, 1}, {room.k_rows + local * NR, at.keys * NR, NR},
             to.dq + piece * to.dq_size + first_row * p.D, p.D, true);
}

void clear(float* to, int64_t count) {
  if (to) memset(to, 0, size_t(count) * sizeof(float));
}

// All gradients that a piece of the keys of a key head has a part in.
void attend(const Problem& p, const Gradients& to, const View& dy, const float* out, const float* log_sum_exp, Place at,
            int64_t piece, const Room& room) {
  const int64_t group = p.Hq / p.Hk, first_key = (at.batch * p.Hk + at.key_head) * p.Tk + at.first_key;
  clear(to.dk ? to.dk + first_key * p.D : nullptr, at.keys * p.D);
  clear(to.dv ? to.dv + first_key * p.Dv : nullptr, at.keys * p.Dv);
  pack_keys(p, to, at, room);
  for (at.head = at.key_head * group; at.head < (at.key_head + 1) * group; at.head++) {
    const int64_t first_row = (at.batch * p.Hq + at.head) * p.Tq;
    clear(to.dq ? to.dq + piece * to.dq_size + first_row * p.D : nullptr, p.Tq * p.D);
    if (to.dmask && p.causal)
      for (int64_t i = 0; i < p.Tq; i++) clear(to.dmask + (first_row + i) * p.Tk + at.first_key, at.keys);
    pack_queries(p, to, dy, out, log_sum_exp, at, room);
    for (int64_t j = at.first_key; j < at.first_key + at.keys; j += tile_keys) {
      const int64_t keys = smaller(tile_keys, at.first_key + at.keys - j);
      for (int64_t i = p.causal ? j / MR * MR : 0; i < p.Tq; i += tile_queries) {
        const int64_t m = smaller(tile_queries, p.Tq - i);
        const int64_t n = p.causal ? smaller(keys, i + m - j) : keys;
        if (n > 0) tile(p, to, at, room, piece, i, m, j, n);
      }
    }
  }
}

float* data_of(const View* view) { return view ? pointer<float>(*view) : nullptr; }

}  // namespace

void attention_backward(Context& context, const View* dq, const View* dk, const View* dv, const View* dmask,
                        const View& dy, const View& q, const View& k, const View& v, const View& out,
                        const View& log_sum_exp, const View* mask_bool, const View* mask_add, double scale, bool causal,
                        double dropout, const Philox& random) {
  Problem p;
  if (!make_problem(context, p, out, log_sum_exp, q, k, v, mask_bool, mask_add, scale, causal, dropout, random) ||
      !expect(context, same_shape(dy, out), "attention: dy must have out's shape") ||
      !expect(context, !dq || same_shape(*dq, q), "attention: dq must have q's shape") ||
      !expect(context, !dk || same_shape(*dk, k), "attention: dk must have k's shape") ||
      !expect(context, !dv || same_shape(*dv, v), "attention: dv must have v's shape") ||
      !expect(context, !dmask || has_shape(*dmask, p.B, p.Hq, p.Tq, p.Tk), "attention: dmask must be [B, Hq, Tq, Tk]"))
    return;
  Gradients to = {data_of(dq), data_of(dk), data_of(dv), data_of(dmask), 0, dq || dk || dmask};
  const int64_t key_heads = p.B * p.Hk, key_tiles = (p.Tk + tile_keys - 1) / tile_keys;
  if (key_heads == 0 || !(to.scores || to.dv)) return;

  // At least two tiles of keys to a piece; a head without keys is still a piece, which clears its dq.
  int64_t pieces = smaller((enough_chunks + key_heads - 1) / key_heads, (key_tiles + 1) / 2);
  const int64_t piece_keys = pieces > 0 ? (key_tiles + pieces - 1) / pieces * tile_keys : 0;
  pieces = piece_keys > 0 ? (p.Tk + piece_keys - 1) / piece_keys : 1;
  const int64_t longest = smaller(piece_keys, p.Tk);
  const bool summed = dq && pieces > 1;
  if (summed) {
    to.dq_size = dq->count;
    to.dq = static_cast<float*>(scratch(context, size_t(pieces * dq->count) * sizeof(float)));
  }
  Room measured;
  const Workspaces spaces = make_workspaces(context, lay_out(p, longest, nullptr, measured), key_heads * pieces);

  const int64_t work = p.Tq * (p.Hq / p.Hk) * longest * (3 * p.D + 2 * p.Dv);
  parallel_units(context, key_heads * pieces, work, [&](int64_t unit) {
    const int64_t key_head = unit % key_heads, piece = unit / key_heads, first = piece * piece_keys;
    const int64_t space = claim(spaces);
    Room room;
    lay_out(p, longest, spaces.memory + space * spaces.size, room);
    const Place at = {key_head / p.Hk, 0, key_head % p.Hk, first, smaller(piece_keys, p.Tk - first)};
    attend(p, to, dy, pointer<const float>(out), pointer<const float>(log_sum_exp), at, piece, room);
    give_back(spaces, space);
  });

  if (!summed) return;
  constexpr int64_t slice = 16384;
  parallel(context, (dq->count + slice - 1) / slice, [&](int64_t chunk) {
    const int64_t first = chunk * slice, count = smaller(slice, dq->count - first);
    float* sum = pointer<float>(*dq) + first;
    memcpy(sum, to.dq + first, size_t(count) * sizeof(float));
    for (int64_t piece = 1; piece < pieces; piece++) {
      const float* part = to.dq + piece * to.dq_size + first;
      for (int64_t c = 0; c < count; c++) sum[c] += part[c];
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
