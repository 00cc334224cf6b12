// attention_backward: gradients of q, k, v and of the scores (for an additive mask), those of them that are wanted.
//
// After T. Dao, "FlashAttention-2" (2023): with the forward pass's logSumExp L, the weights of a tile are computed
// again, P = exp(scale q k^T + mask - L), and with M the factors of dropout and delta_i = sum over features of dy_i
// out_i,
//   dv = (M P)^T dy,   dP = M (dy v^T),   dS = P (dP - delta),   dq = scale dS k,   dk = scale dS^T q.
// Outputs are overwritten.
//
// A chunk is a key head, or a piece of its keys where heads are few. Within it every product is done once, five per
// tile, in an order that the shape fixes: query heads one by one, for each the keys tile by tile, and for each tile the
// queries, some panels at a time. Tiles are transposed (tile.h): of a panel of queries, k q^T and v dy^T are columns of
// tiles, and dS^T is at once the right operand of dq^T. Once some panels are done, their tiles side by side are the
// left operand of dk and dv, read where they are. dq, dk and dv grow in the chunk's room, in whole tiles, and are
// written out, to whatever strides, when complete; where each piece has its own dq, these are summed in order.
//
// 6 D + 4 Dv operations and one exponential per score. Where attention is causal, products end at the diagonal to a
// row of MR or NR.
#include "tile.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace attention;

constexpr int64_t tile_keys = 128 / MR * MR;          // whole panels
constexpr int64_t band_panels = (128 + NR - 1) / NR;  // panels of queries whose tiles stand side by side
constexpr int64_t tile_size = tile_keys * NR;
static_assert(tile_keys <= most_keys, "dropout_row's limit");

// Chunks to aim for: enough to keep many threads busy, few enough that queries are not packed again too often.
constexpr int64_t enough_chunks = 16;

// Where results go, null where not wanted. dq has a slice of `dq_size` per piece, dense, where there are several.
struct Gradients {
  const View *dq, *dk, *dv;
  float *dmask, *dq_pieces;
  int64_t dq_size;
  bool scores;  // anything but dv
};

// What a chunk works on: one query head at a time, and its piece of the keys of their key head. Queries and keys are
// padded to whole panels, features to a whole row or, of dq, panel.
struct Room {
  float *q, *dy;             // panels of queries, [D or Dv][NR]; q scaled
  float *q_rows, *dy_rows;   // [D or Dv, by NR][queries][NR]
  float *k, *v;              // panels of keys, [D or Dv][MR]
  float* k_features;         // panels of features, [keys][MR]
  float* dq;                 // panels of queries, [D][NR]
  float *dk, *dv;            // [keys][D or Dv]
  float *delta, *shift;      // by query
  float *weights, *dscores;  // band_panels tiles
  float* part;
};

struct Sizes {
  int64_t queries, keys;              // padded
  int64_t D_rows, Dv_rows, D_panels;  // features in whole rows, in whole panels
};
Sizes sizes_of(const Problem& p, int64_t keys) {
  return {round_up(p.Tq, NR), round_up(keys, MR), round_up(p.D, NR), round_up(p.Dv, NR), round_up(p.D, MR)};
}

// Lays the room out from `from` on, or, with null, only measures; returns its size in floats.
int64_t lay_out(const Problem& p, const Sizes& s, float* from, Room& room) {
  int64_t size = 0;
  const auto take = [&](int64_t floats) {
    float* place = from ? from + size : nullptr;
    size += round_up(floats, 16);
    return place;
  };
  room.q = take(s.queries * p.D);
  room.dy = take(s.queries * p.Dv);
  room.q_rows = take(s.queries * s.D_rows);
  room.dy_rows = take(s.queries * s.Dv_rows);
  room.k = take(s.keys * p.D);
  room.v = take(s.keys * p.Dv);
  room.k_features = take(s.keys * s.D_panels);
  room.dq = take(s.queries * s.D_panels);
  room.dk = take(s.keys * s.D_rows);
  room.dv = take(s.keys * s.Dv_rows);
  room.delta = take(s.queries);
  room.shift = take(s.queries);
  room.weights = take(band_panels * tile_size);
  room.dscores = take(band_panels * tile_size);
  room.part = take(has_mask(p) || p.drop_below ? part_room : 0);
  return size;
}

// A range of keys of one key head, and the query head at work.
struct Place {
  int64_t batch, head, key_head, first_key, keys;
};

void clear(float* to, int64_t count) { memset(to, 0, size_t(count) * sizeof(float)); }

void pack_keys(const Problem& p, const Gradients& to, const Sizes& s, const Place& at, const Room& room) {
  const Matrix k = from_row(head_of(*p.k, at.batch, at.key_head), at.first_key);
  const Matrix v = from_row(head_of(*p.v, at.batch, at.key_head), at.first_key);
  pack_left(room.k, p.D * MR, k, at.keys, p.D, p.D);
  if (to.scores) pack_left(room.v, p.Dv * MR, v, at.keys, p.Dv, p.Dv);
  if (to.dq) pack_left(room.k_features, s.keys * MR, transposed(k), p.D, at.keys, s.keys);
}

// The inner product of a row of dy, packed by rows whose panels stand `panel` apart, with a row of out.
float row_product(const float* packed, int64_t panel, Rows rows, int64_t row, int64_t count) {
  const bool in_place = rows.column_stride == 1 && !rows.half;
  Vec sum = simd::zero();
  float each[simd::lanes];
  for (int64_t d = 0; d < count; d += simd::lanes) {
    const int64_t n = smaller(simd::lanes, count - d);
    const float* from = each;
    if (in_place)
      from = static_cast<const float*>(rows.data) + row * rows.row_stride + d;
    else
      for (int64_t c = 0; c < n; c++) each[c] = read_element(rows, row, d + c);
    sum = simd::fma(simd::load(packed + d / NR * panel + d % NR),
                    n == simd::lanes ? simd::load(from) : simd::load_partial(from, n), sum);
  }
  return simd::reduce_add(sum);
}

void pack_head(const Problem& p, const Gradients& to, const Sizes& s, const View& dy, const View& out,
               const float* log_sum_exp, const Place& at, const Room& room) {
  const Matrix q = head_of(*p.q, at.batch, at.head), gradient = head_of(dy, at.batch, at.head);
  for (int64_t i = 0; i < p.Tq; i += NR) {
    pack_queries(p, room.q + i * p.D, q, i);
    if (to.scores)
      pack_right(room.dy + i * p.Dv, p.Dv * NR, transposed(from_row(gradient, i)), p.Dv, smaller(NR, p.Tq - i), p.Dv);
  }
  if (to.dk) pack_right(room.q_rows, s.queries * NR, q, p.Tq, p.D, s.queries);
  pack_right(room.dy_rows, s.queries * NR, gradient, p.Tq, p.Dv, s.queries);

  const Rows outputs = rows_of(out, at.batch, at.head);
  log_sum_exp += (at.batch * p.Hq + at.head) * p.Tq;
  for (int64_t i = 0; i < s.queries; i++) {
    // A row without keys has no weights, and no more has padding: exp(-infinity) is 0.
    const bool empty = i >= p.Tq || log_sum_exp[i] == -INFINITY;
    room.shift[i] = empty ? INFINITY : log_sum_exp[i] * log2_e;
    room.delta[i] = to.scores && i < p.Tq ? row_product(room.dy_rows + i * NR, s.queries * NR, outputs, i, p.Dv) : 0;
  }
}

// From n keys' scores and v dy^T to M P and dS; factors is null without dropout.
void weigh(float* weights, float* dscores, const float* factors, const float* shift, const float* delta, bool scores,
           int64_t n) {
  for (int64_t v = 0; v < row_vectors; v++) {
    const Vec shifts = simd::load(shift + v * simd::lanes), deltas = simd::load(delta + v * simd::lanes);
    for (int64_t e = v * simd::lanes; e < n * NR; e += NR) {
      const Vec weight = simd::exp2_of_weight(simd::load(weights + e) - shifts);
      const Vec factor = factors ? simd::load(factors + e) : simd::set(1);
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
    for (int64_t r = 0; r < part.n; r++) dmask[(first + c) * p.Tk + part.j + r] = dscores[r * NR + c];
}

// M P and dS of a panel of queries and n keys, and what they add to dq.
void score_panel(const Problem& p, const Gradients& to, const Sizes& s, const Part& part, const Room& room,
                 int64_t local, float* weights, float* dscores) {
  const int64_t n = part.n, panels = (n + MR - 1) / MR;
  multiply_column<false>(panels, p.D, room.k + local * p.D, p.D * MR, room.q + part.i * p.D, weights);
  if (to.scores)
    multiply_column<false>(panels, p.Dv, room.v + local * p.Dv, p.Dv * MR, room.dy + part.i * p.Dv, dscores);
  if (has_mask(p)) mask_tile(p, part, weights);
  const float* factors = p.drop_below ? dropout_tile(p, part) : nullptr;
  weigh(weights, dscores, factors, room.shift + part.i, room.delta + part.i, to.scores, n);
  if (p.causal) {
    set_later_keys(part, weights, 0);
    if (to.scores) set_later_keys(part, dscores, 0);
  }
  clear(weights + n * NR, (panels * MR - n) * NR);
  if (to.scores) clear(dscores + n * NR, (panels * MR - n) * NR);
  if (to.dmask) write_dmask(p, part, dscores, to.dmask);
  if (to.dq)
    multiply_column<true>(s.D_panels / MR, n, room.k_features + local * MR, s.keys * MR, dscores,
                          room.dq + part.i * s.D_panels);
}

// C [MR][NR] += A B, of depth blocks * NR. A is made of results of multiply_column: element (i, d) stands at
// a[d / NR * a_block + i * NR + d % NR].
FIRESTEEL_APART void multiply_blocks(int64_t blocks, const float* a, int64_t a_block, const float* b, float* c,
                                     int64_t ldc) {
  Sums sums;
  clear_sums(sums);
  for (int64_t block = 0; block < blocks; block++, a += a_block, b += NR * NR) {
    const float *x = a, *y = b;
    for (int64_t d = 0; d < NR; d += 4, x += 4, y += 4 * NR)
      gemm::repeat<4>([&](auto u) FIRESTEEL_UNROLLED { step<NR>(sums, x + u.value, y + u.value * NR); });
  }
  store_sums<true>(sums, c, ldc);
}

// C [n keys][width] += tiles^T rows, for panels of queries from i on; the keys from `ahead` on are later than the first
// query.
void add_products(const Problem& p, const float* tiles, const float* rows, const Sizes& s, int64_t i, int64_t panels,
                  int64_t ahead, int64_t n, float* c, int64_t width) {
  for (int64_t d = 0; d < width; d += NR)
    for (int64_t r = 0; r < n; r += MR) {
      // The first panel with a query that sees the first of these keys.
      const int64_t first = p.causal && r > ahead ? (r - ahead) / NR : 0;
      if (first < panels)
        multiply_blocks(panels - first, tiles + first * tile_size + r * NR, tile_size,
                        rows + d * s.queries + (i + first * NR) * NR, c + r * width + d, width);
    }
}

// All gradients that a piece of the keys of a key head has a part in.
void attend(const Problem& p, const Gradients& to, const Sizes& s, const View& dy, const View& out,
            const float* log_sum_exp, Place at, int64_t piece, const Room& room) {
  const int64_t group = p.Hq / p.Hk;
  pack_keys(p, to, s, at, room);
  if (to.dk) clear(room.dk, s.keys * s.D_rows);
  if (to.dv) clear(room.dv, s.keys * s.Dv_rows);
  for (at.head = at.key_head * group; at.head < (at.key_head + 1) * group; at.head++) {
    const int64_t first_row = (at.batch * p.Hq + at.head) * p.Tq;
    if (to.dmask && p.causal)
      for (int64_t i = 0; i < p.Tq; i++) clear(to.dmask + (first_row + i) * p.Tk + at.first_key, at.keys);
    pack_head(p, to, s, dy, out, log_sum_exp, at, room);
    if (to.dq) clear(room.dq, s.queries * s.D_panels);
    for (int64_t local = 0; local < at.keys; local += tile_keys) {
      const int64_t j = at.first_key + local, keys = smaller(tile_keys, at.keys - local);
      for (int64_t i = p.causal ? j / NR * NR : 0; i < p.Tq; i += band_panels * NR) {
        const int64_t panels = smaller(band_panels, (s.queries - i) / NR);
        int64_t most = 0;
        for (int64_t index = 0; index < panels; index++) {
          const int64_t first = i + index * NR, queries = smaller(NR, p.Tq - first);
          most = p.causal ? smaller(keys, first + NR - j) : keys;
          score_panel(p, to, s, {at.batch, at.head, first, queries, j, most, room.part}, room, local,
                      room.weights + index * tile_size, room.dscores + index * tile_size);
        }
        if (to.dv)
          add_products(p, room.weights, room.dy_rows, s, i, panels, i - j, most, room.dv + local * s.Dv_rows,
                       s.Dv_rows);
        if (to.dk)
          add_products(p, room.dscores, room.q_rows, s, i, panels, i - j, most, room.dk + local * s.D_rows, s.D_rows);
      }
    }
    if (!to.dq) continue;
    const Rows dq = to.dq_pieces ? Rows{to.dq_pieces + piece * to.dq_size + first_row * p.D, p.D, 1}
                                 : rows_of(*to.dq, at.batch, at.head);
    for (int64_t i = 0; i < p.Tq; i += NR)
      write_transposed(dq, i, smaller(NR, p.Tq - i), room.dq + i * s.D_panels, p.D, p.scale);
  }
  const auto write = [&](const View& view, float* from, int64_t width, int64_t features, float factor) {
    const Rows rows = rows_of(view, at.batch, at.key_head);
    for (int64_t j = 0; j < at.keys; j++, from += width) {
      scale_all(from, features, factor);
      write_row(rows, at.first_key + j, 0, from, features);
    }
  };
  if (to.dk) write(*to.dk, room.dk, s.D_rows, p.D, p.scale);
  if (to.dv) write(*to.dv, room.dv, s.Dv_rows, p.Dv, 1);
}

// dq = the sum of the pieces' parts.
void sum_pieces(Context& context, const Problem& p, const Gradients& to, int64_t pieces) {
  const int64_t rows = p.B * p.Hq * p.Tq;
  parallel_units(context, rows, 4 * pieces * p.D, [&](int64_t row) {
    const Rows head = rows_of(*to.dq, row / p.Tq / p.Hq, row / p.Tq % p.Hq);
    for (int64_t d = 0; d < p.D; d++) {
      const float* part = to.dq_pieces + row * p.D + d;
      float total = *part;
      for (int64_t piece = 1; piece < pieces; piece++) total += part[piece * to.dq_size];
      write_row(head, row % p.Tq, d, &total, 1);
    }
  });
}

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
  Gradients to = {dq, dk, dv, dmask ? pointer<float>(*dmask) : nullptr, nullptr, q.count, dq || dk || dmask};
  const int64_t key_heads = p.B * p.Hk, key_tiles = (p.Tk + tile_keys - 1) / tile_keys;
  if (key_heads == 0 || !(to.scores || to.dv)) return;

  // At least two tiles of keys to a piece; a head without keys is still a piece, which clears its dq.
  int64_t pieces = smaller((enough_chunks + key_heads - 1) / key_heads, (key_tiles + 1) / 2);
  const int64_t piece_keys = pieces > 0 ? (key_tiles + pieces - 1) / pieces * tile_keys : 0;
  pieces = piece_keys > 0 ? (p.Tk + piece_keys - 1) / piece_keys : 1;
  const int64_t longest = smaller(piece_keys, p.Tk);
  if (dq && pieces > 1)
    to.dq_pieces = static_cast<float*>(scratch(context, size_t(pieces * to.dq_size) * sizeof(float)));
  const Sizes s = sizes_of(p, longest);
  Room measured;
  const Workspaces spaces = make_workspaces(context, lay_out(p, s, nullptr, measured), key_heads * pieces);

  const int64_t work = p.Tq * (p.Hq / p.Hk) * longest * (3 * p.D + 2 * p.Dv);
  parallel_units(context, key_heads * pieces, work, [&](int64_t unit) {
    const int64_t key_head = unit % key_heads, piece = unit / key_heads, first = piece * piece_keys;
    const int64_t space = claim(spaces);
    Room room;
    lay_out(p, s, spaces.memory + space * spaces.size, room);
    const Place at = {key_head / p.Hk, 0, key_head % p.Hk, first, smaller(piece_keys, p.Tk - first)};
    attend(p, to, s, dy, out, pointer<const float>(log_sum_exp), at, piece, room);
    give_back(spaces, space);
  });
  if (to.dq_pieces) sum_pieces(context, p, to, pieces);
}

}  // namespace firesteel::FIRESTEEL_ISA
