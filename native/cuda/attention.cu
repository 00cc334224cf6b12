// Attention by multiply-adds, of float32, and of bfloat16 in any strides (T. Dao, "FlashAttention-2", 2023). A block of
// 256 threads handles a tile of 64 rows, and 64 columns at a time. A running maximum and a running sum correct the
// earlier sums, so that no row of scores is ever stored. Rows are queries and columns are keys. In the gradients of
// keys and values it is the other way round: so each block adds up its own rows in one order, and needs no atomics. The
// scores are computed again for each of the three gradients.
//
// A thread holds the scores of 4 neighbouring rows with columns 16 apart. Another block handles the features beyond the
// width of an entry, and computes the scores again. Columns that no row sees are skipped, so that a window costs no
// more than its width.
#include "attention_tile.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

constexpr int tile = 64, deep = 16, padded = tile + 4;

struct alignas(16) Four {
  float of[4];
};

template <int width>
struct alignas(16) Room {
  float left[deep][padded], right[deep][padded];  // features of rows and of columns
  float weights[tile][padded];                    // [column][row]
  float pieces[deep][width];                      // of rows that are weighted and added up
};

template <class T>
struct alignas(4 * sizeof(T)) Neighbours {
  T of[4];
};

// Rows of a head, of which only the first `count` exist.
template <class T>
struct Rows {
  const T* data;
  int64_t row, column;
  bool vectors;
  int32_t count, features;

  DEVICE Rows(const Heads& heads, int32_t batch, int32_t head, int32_t count, int32_t features)
      : data(head_of<const T>(heads, batch, head)),
        row(heads.row),
        column(heads.column),
        vectors(heads.vectors),
        count(count),
        features(features) {}

  // 4 neighbouring features, with zeros beyond the end.
  DEVICE Four at(int32_t r, int32_t feature) const {
    Four four = {};
    if (r >= count || feature >= features) return four;
    const T* from = data + r * row + feature * column;
    if (vectors && feature + 3 < features) {
      const Neighbours<T> together = load<Neighbours<T>>(from);
#pragma unroll
      for (int q = 0; q < 4; q++) four.of[q] = widen(together.of[q]);
      return four;
    }
#pragma unroll
    for (int q = 0; q < 4; q++)
      if (feature + q < features) four.of[q] = widen(from[q * column]);
    return four;
  }
};

DEVICE int32_t row_in_tile() { return static_cast<int32_t>(threadIdx.x / 16) * 4; }
DEVICE int32_t column_in_tile() { return static_cast<int32_t>(threadIdx.x % 16); }

// sums[r][c] = row first_a + r of a times row first_b + c of b.
template <class T, int width>
DEVICE void multiply_rows(float (&sums)[4][4], Room<width>& room, const Rows<T>& a, int32_t first_a, const Rows<T>& b,
                          int32_t first_b) {
  const int32_t line = static_cast<int32_t>(threadIdx.x / 4), feature = static_cast<int32_t>(threadIdx.x % 4) * 4;
#pragma unroll
  for (int r = 0; r < 4; r++)
#pragma unroll
    for (int c = 0; c < 4; c++) sums[r][c] = 0.0f;
  Four x = a.at(first_a + line, feature), y = b.at(first_b + line, feature);
#pragma unroll 1
  for (int32_t d = 0; d < a.features; d += deep) {
#pragma unroll
    for (int q = 0; q < 4; q++) {
      room.left[feature + q][line] = x.of[q];
      room.right[feature + q][line] = y.of[q];
    }
    __syncthreads();
    // The next elements are fetched while these are multiplied.
    x = a.at(first_a + line, d + deep + feature);
    y = b.at(first_b + line, d + deep + feature);
#pragma unroll
    for (int f = 0; f < deep; f++) {
      const Four left = load<Four>(&room.left[f][row_in_tile()]);
#pragma unroll
      for (int c = 0; c < 4; c++) {
        const float right = room.right[f][column_in_tile() + 16 * c];
#pragma unroll
        for (int r = 0; r < 4; r++) sums[r][c] = multiply_add(left.of[r], right, sums[r][c]);
      }
    }
    __syncthreads();
  }
}

DEVICE bool is_finite(float x) { return x - x == 0.0f; }

// sums[r] += weights[c][r] times the features of row first + c of x, from `feature` on. If `partial`, only pairs (r, c)
// with `pairs(r, c)` take part. The others have a weight of 0, which must not be multiplied by a number that is not
// finite.
template <class T, int width, class Pairs>
DEVICE void add_weighted(float (&sums)[4][width / 16], Room<width>& room, const Rows<T>& x, int32_t first,
                         int32_t feature, bool partial, const Pairs& pairs) {
#pragma unroll 1
  for (int32_t begin = 0; begin < tile && first + begin < x.count; begin += deep) {
    bool finite = true;
#pragma unroll
    for (int q = 0; q < width / 64; q++) {
      const int32_t flat = static_cast<int32_t>(threadIdx.x) + 256 * q;
      const int32_t line = flat / (width / 4), column = flat % (width / 4) * 4;
      const Four four = x.at(first + begin + line, feature + column);
#pragma unroll
      for (int i = 0; i < 4; i++) finite = finite && is_finite(four.of[i]);
      store(&room.pieces[line][column], four);
    }
    const bool singly = __syncthreads_or(!finite) && partial;
#pragma unroll 4
    for (int c = 0; c < deep; c++) {
      const Four weights = load<Four>(&room.weights[begin + c][row_in_tile()]);
      bool takes_part[4] = {true, true, true, true};
      if (singly)
#pragma unroll
        for (int r = 0; r < 4; r++) takes_part[r] = pairs(row_in_tile() + r, begin + c);
#pragma unroll
      for (int h = 0; h < width / 64; h++) {
        const Four four = load<Four>(&room.pieces[c][column_in_tile() * 4 + 64 * h]);
#pragma unroll
        for (int r = 0; r < 4; r++)
#pragma unroll
          for (int i = 0; i < 4; i++)
            if (takes_part[r]) sums[r][4 * h + i] = multiply_add(weights.of[r], four.of[i], sums[r][4 * h + i]);
      }
    }
    __syncthreads();
  }
}

// Writes the first `count` rows of a tile's sums, each multiplied by its factor.
template <class T, int width>
DEVICE void write_rows(const Heads& to, int32_t batch, int32_t head, int32_t first, int32_t count, int32_t feature,
                       int32_t features, const float (&sums)[4][width / 16], const float (&factors)[4]) {
  T* data = head_of<T>(to, batch, head);
#pragma unroll
  for (int r = 0; r < 4; r++) {
    const int32_t row = first + row_in_tile() + r;
    if (row >= count) continue;
#pragma unroll
    for (int h = 0; h < width / 64; h++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int32_t column = feature + column_in_tile() * 4 + 64 * h + i;
        if (column < features) data[row * to.row + column * to.column] = narrow<T>(sums[r][4 * h + i] * factors[r]);
      }
  }
}

// The largest value, or the sum, of the 16 threads that share rows.
template <class F>
DEVICE float of_row(float value, const F& together) {
#pragma unroll
  for (int lanes = 8; lanes > 0; lanes /= 2) value = together(value, __shfl_xor_sync(~0u, value, lanes));
  return value;
}

template <class T, int width>
DEVICE void forward(const Attention& job) {
  SHARED(Room<width>, room);
  const int32_t heads = job.batches * job.query_heads, number = static_cast<int32_t>(blockIdx.x % heads);
  const int32_t tiles = (job.queries + tile - 1) / tile;
  // The last queries start first, because they see the most keys.
  const int32_t query = (tiles - 1 - static_cast<int32_t>(blockIdx.x / heads)) * tile;
  const Head at = head_at(job, number / job.query_heads, number % job.query_heads);
  const int32_t key_head = at.head / (job.query_heads / job.key_heads);
  const int32_t feature = static_cast<int32_t>(blockIdx.y) * width;
  const int32_t last_query = smaller(query + tile, job.queries) - 1;
  const int32_t end = smaller(keys_of(job, at.batch), last_query + job.last + 1);
  const Rows<T> q(job.q, at.batch, at.head, job.queries, job.size);
  const Rows<T> k(job.k, at.batch, key_head, end, job.size), v(job.v, at.batch, key_head, end, job.value_size);
  float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, sums[4] = {}, out[4][width / 16] = {};
#pragma unroll 1
  for (int32_t key = larger(0, query + job.first); key < end; key += tile) {
    float scores[4][4];
    multiply_rows(scores, room, q, query, k, key);
    const auto takes_part = [&](int32_t row, int32_t column) {
      return key + column < end && sees(job, query + row, key + column);
    };
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const int32_t row = row_in_tile() + r;
      float most = largest[r];
#pragma unroll
      for (int c = 0; c < 4; c++) {
        const int32_t column = column_in_tile() + 16 * c;
        scores[r][c] = query + row < job.queries && takes_part(row, column)
                           ? score_of(job, at, query + row, key + column, scores[r][c])
                           : -INFINITY;
        // The maximum is never NaN. A NaN stays in the sum.
        if (scores[r][c] > most) most = scores[r][c];
      }
      most = of_row(most, [](float a, float b) { return a > b ? a : b; });
      // If no key has taken part so far, any finite shift will do.
      const float shift = most == -INFINITY ? 0.0f : most, correction = expf(largest[r] - shift);
      float sum = 0;
#pragma unroll
      for (int c = 0; c < 4; c++) {
        scores[r][c] = expf(scores[r][c] - shift);
        sum += scores[r][c];
      }
      sums[r] = sums[r] * correction + of_row(sum, [](float a, float b) { return a + b; });
      largest[r] = most;
#pragma unroll
      for (int i = 0; i < width / 16; i++) out[r][i] *= correction;
    }
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const int32_t column = column_in_tile() + 16 * c;
      Four weights;
#pragma unroll
      for (int r = 0; r < 4; r++) weights.of[r] = scores[r][c] * kept(job, at, query + row_in_tile() + r, key + column);
      store(&room.weights[column][row_in_tile()], weights);
    }
    const bool partial = !all_see(job, query, query + tile - 1, key, key + tile - 1);
    add_weighted(out, room, v, key, feature, partial, takes_part);
  }
  float factors[4];
#pragma unroll
  for (int r = 0; r < 4; r++) {
    factors[r] = sums[r] == 0.0f ? 0.0f : 1.0f / sums[r];
    const int32_t row = query + row_in_tile() + r;
    if (blockIdx.y != 0 || column_in_tile() != 0 || row >= job.queries) continue;
    job.statistics[2 * at.rows + row] = largest[r];
    job.statistics[2 * at.rows + job.queries + row] = sums[r];
  }
  write_rows<T, width>(job.out, at.batch, at.head, query, job.queries, feature, job.value_size, out, factors);
}

enum class Of { queries, keys, values };

template <class T, int width, Of of>
DEVICE void gradient(const Attention& job) {
  constexpr bool by_query = of == Of::queries;
  SHARED(Room<width>, room);
  const int32_t heads = job.batches * (by_query ? job.query_heads : job.key_heads);
  const int32_t number = static_cast<int32_t>(blockIdx.x % heads), group = job.query_heads / job.key_heads;
  const int32_t all_rows = by_query ? job.queries : job.keys, tiles = (all_rows + tile - 1) / tile;
  // Tiles with the most work start first: with a causal mask, those of the last queries and of the first keys.
  const int32_t order = static_cast<int32_t>(blockIdx.x / heads), row = (by_query ? tiles - 1 - order : order) * tile;
  const int32_t batch = number / (heads / job.batches), own_head = number % (heads / job.batches);
  const int32_t key_head = by_query ? own_head / group : own_head;
  const int32_t feature = static_cast<int32_t>(blockIdx.y) * width, keys = keys_of(job, batch);
  const int32_t rows = by_query ? job.queries : keys, last_row = smaller(row + tile, rows) - 1;
  const int32_t begin = larger(0, by_query ? row + job.first : row - job.last);
  const int32_t end = by_query     ? smaller(keys, last_row + job.last + 1)
                      : row < rows ? smaller(job.queries, last_row - job.first + 1)
                                   : 0;
  const Rows<T> k(job.k, batch, key_head, keys, job.size), v(job.v, batch, key_head, keys, job.value_size);
  float sums[4][width / 16] = {};
#pragma unroll 1
  for (int32_t which = 0; which < (by_query ? 1 : group); which++) {
    const int32_t head = by_query ? own_head : own_head * group + which;
    const Head at = head_at(job, batch, head);
    const Rows<T> q(job.q, batch, head, job.queries, job.size), dy(job.dy, batch, head, job.queries, job.value_size);
#pragma unroll 1
    for (int32_t column = begin; column < end; column += tile) {
      const auto query_of = [&](int32_t r, int32_t c) { return by_query ? row + r : column + c; };
      const auto key_of = [&](int32_t r, int32_t c) { return by_query ? column + c : row + r; };
      const auto takes_part = [&](int32_t r, int32_t c) {
        return query_of(r, c) < job.queries && key_of(r, c) < keys && sees(job, query_of(r, c), key_of(r, c));
      };
      float scores[4][4], gradients[4][4];
      multiply_rows(scores, room, by_query ? q : k, row, by_query ? k : q, column);
      if constexpr (of != Of::values) multiply_rows(gradients, room, by_query ? dy : v, row, by_query ? v : dy, column);
      Row statistics[4];
#pragma unroll
      for (int i = 0; i < 4; i++)
        statistics[i] = row_of(job, at, query_of(row_in_tile() + i, column_in_tile() + 16 * i));
#pragma unroll
      for (int c = 0; c < 4; c++) {
        Four weights = {};
#pragma unroll
        for (int r = 0; r < 4; r++) {
          const int32_t r_in_tile = row_in_tile() + r, c_in_tile = column_in_tile() + 16 * c;
          if (!takes_part(r_in_tile, c_in_tile)) continue;
          const int32_t query = query_of(r_in_tile, c_in_tile), key = key_of(r_in_tile, c_in_tile);
          const Row& of_query = statistics[by_query ? r : c];
          const float score = score_of(job, at, query, key, scores[r][c]);
          const float weight = expf(score - of_query.shift) * of_query.factor, factor = kept(job, at, query, key);
          if constexpr (of == Of::values) {
            weights.of[r] = weight * factor;
          } else {
            weights.of[r] = weight * (gradients[r][c] * factor - of_query.delta);
            if (by_query && job.dmask && blockIdx.y == 0) job.dmask[number_of(job, at, query, key)] = weights.of[r];
          }
        }
        store(&room.weights[column_in_tile() + 16 * c][row_in_tile()], weights);
      }
      const bool partial = by_query ? !all_see(job, row, row + tile - 1, column, column + tile - 1)
                                    : !all_see(job, column, column + tile - 1, row, row + tile - 1);
      add_weighted(sums, room, of == Of::queries ? k : of == Of::keys ? q : dy, column, feature, partial, takes_part);
    }
  }
  const Heads& to = of == Of::queries ? job.dq : of == Of::keys ? job.dk : job.dv;
  if (!to.data) return;
  const float factor = of == Of::values ? 1.0f : job.scale;
  const float factors[4] = {factor, factor, factor, factor};
  write_rows<T, width>(to, batch, own_head, row, all_rows, feature, of == Of::values ? job.value_size : job.size, sums,
                       factors);
}

// Each warp handles a row.
template <class T>
DEVICE void sum_rows(const Attention& job) {
  for_rows<32>(int64_t(job.batches) * job.query_heads * job.queries, [&](int64_t row) {
    const auto head = static_cast<int32_t>(row / job.queries), query = static_cast<int32_t>(row % job.queries);
    const int32_t batch = head / job.query_heads, of_batch = head % job.query_heads;
    const T* dy = head_of<const T>(job.dy, batch, of_batch) + query * job.dy.row;
    const T* out = head_of<const T>(job.out, batch, of_batch) + query * job.out.row;
    float sum = 0;
    for (int32_t f = rank_in_team<32>(); f < job.value_size; f += 32)
      sum = multiply_add(widen(dy[f * job.dy.column]), widen(out[f * job.out.column]), sum);
    sum = sum_of<32>(sum);
    if (rank_in_team<32>() == 0) job.delta[row] = sum;
  });
}

}  // namespace

#define GRADIENT(name, T, width, of) \
  KERNEL_ALONE(name##_##T##_##width, const __grid_constant__ Attention job) { gradient<T, width, Of::of>(job); }
#define ATTENTION(T, width)                                                                                  \
  KERNEL(attention_forward_##T##_##width, const __grid_constant__ Attention job) { forward<T, width>(job); } \
  GRADIENT(attention_dq, T, width, queries)                                                                  \
  GRADIENT(attention_dk, T, width, keys)                                                                     \
  GRADIENT(attention_dv, T, width, values)

using float32 = float;
ATTENTION(float32, 64)
ATTENTION(float32, 128)
// The kernels for all cases that tensor cores cannot take.
ATTENTION(bfloat16, 64)
KERNEL(attention_sum_rows_float32, const __grid_constant__ Attention job) { sum_rows<float>(job); }
KERNEL(attention_sum_rows_bfloat16, const __grid_constant__ Attention job) { sum_rows<bfloat16>(job); }
