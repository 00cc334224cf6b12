// Attention of bfloat16 on tensor cores, from Ampere on, if copies of 8 features fit (T. Dao, "FlashAttention-2",
// 2023). A warp has 16 rows, and keeps their scores and sums in registers. In the forward pass and the gradient of
// queries, rows are queries, which are kept in registers, and keys and values arrive by asynchronous copies while
// others are multiplied. In the gradients of keys and values, rows are keys: half of the warps sum values and the
// others keys. The sums of a row have one order, and need no atomics.
//
// Rows of shared memory are swizzled, so that the 8 rows of a matrix meet every bank once. Features beyond the tensor's
// are zeros. Numbers that are not finite, and that only some of the rows see, are added separately, because products
// would spread them to rows that must not see them.
#include "attention_tile.h"

using namespace firesteel::cuda;

namespace {

constexpr int chunk = 8;  // elements of a copy
constexpr float log2_of_e = 1.4426950408889634f;

DEVICE int lane_of() { return static_cast<int>(threadIdx.x % 32); }
DEVICE int warp_of() { return static_cast<int>(threadIdx.x / 32); }

template <int size>
DEVICE int place(int row, int c) {
  return row * size + (c ^ (row & 7)) * chunk;
}

// Rows of a head. Only rows below `count` are read, each with this many features.
struct Rows {
  const bfloat16* data;
  int64_t row;
  int32_t count, features;
};

DEVICE Rows rows_of(const Heads& heads, int32_t batch, int32_t head, int32_t count, int32_t features) {
  return {head_of<const bfloat16>(heads, batch, head), heads.row, count, features};
}

// Calls f(row, chunk) for the chunks of `rows` rows that this thread copies.
template <int size, int rows, class F>
DEVICE void for_copies(const F& f) {
  constexpr int across = size / chunk;
#pragma unroll
  for (int n = 0; n < (rows * across + 255) / 256; n++) {
    const int flat = static_cast<int>(threadIdx.x) + 256 * n;
    if (rows * across % 256 == 0 || flat < rows * across) f(flat / across, flat % across);
  }
}

template <int size, int rows>
DEVICE void copy_rows(bfloat16* to, const Rows& from, int32_t first) {
  for_copies<size, rows>([&](int row, int c) {
    const bool there = first + row < from.count && c * chunk < from.features;
    copy16(to + place<size>(row, c), from.data + (first + row) * from.row + c * chunk, there);
  });
}

struct alignas(16) Chunk {
  bfloat16 of[chunk];
};

DEVICE bool is_finite(bfloat16 x) { return (x.bits & 0x7f80) != 0x7f80; }

// Whether everything that this thread copied is finite. The thread must have waited for its copies.
template <int size, int rows>
DEVICE bool copied_finite(const bfloat16* tile) {
  bool finite = true;
  for_copies<size, rows>([&](int row, int c) {
    const Chunk eight = load<Chunk>(tile + place<size>(row, c));
#pragma unroll
    for (int i = 0; i < chunk; i++) finite = finite && is_finite(eight.of[i]);
  });
  return finite;
}

template <int size, int rows>
DEVICE void clear_infinite(bfloat16* tile) {
  for_copies<size, rows>([&](int row, int c) {
    Chunk eight = load<Chunk>(tile + place<size>(row, c));
#pragma unroll
    for (int i = 0; i < chunk; i++)
      if (!is_finite(eight.of[i])) eight.of[i] = {0};
    store(tile + place<size>(row, c), eight);
  });
}

// Three loads. The first is the left operand's 16 rows and 16 features. The second is the right operand's 8 columns,
// twice, if a column's features lie side by side. The third is the same if the tile's rows are the depth.
template <int size>
DEVICE void load_left(uint32_t (&r)[4], const bfloat16* tile, int row, int feature) {
  load_matrices<false>(r, tile + place<size>(row + (lane_of() & 15), feature / chunk + (lane_of() >> 4)));
}
template <int size>
DEVICE void load_right(uint32_t (&r)[4], const bfloat16* tile, int column, int feature) {
  load_matrices<false>(
      r, tile + place<size>(column + (lane_of() & 7) + (lane_of() >> 4) * 8, feature / chunk + (lane_of() >> 3 & 1)));
}
template <int size>
DEVICE void load_turned(uint32_t (&r)[4], const bfloat16* tile, int row, int feature) {
  load_matrices<true>(r, tile + place<size>(row + (lane_of() & 15), feature / chunk + (lane_of() >> 4)));
}

// Sums of 16 rows and `columns` columns. Element i of block n belongs to row lane / 4 + 8 (i / 2) and column 8 n + 2
// (lane % 4) + i % 2.
template <int columns>
struct Sums {
  float of[columns / 8][4];
};
DEVICE int row_of_sum(int i) { return lane_of() / 4 + 8 * (i / 2); }
DEVICE int column_of_sum(int n, int i) { return 8 * n + 2 * (lane_of() % 4) + i % 2; }

template <int columns>
DEVICE void clear(Sums<columns>& sums) {
#pragma unroll
  for (int n = 0; n < columns / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sums.of[n][i] = 0.0f;
}

// The products of the left rows with `columns` rows of a tile, summed over features.
template <int size, int columns, class Left>
DEVICE void multiply_rows(Sums<columns>& sums, const Left& left, const bfloat16* right) {
  clear(sums);
#pragma unroll
  for (int feature = 0; feature < size; feature += 16) {
    uint32_t x[4];
    left(x, feature);
#pragma unroll
    for (int n = 0; n < columns / 8; n += 2) {
      uint32_t y[4];
      load_right<size>(y, right, 8 * n, feature);
      add_product(sums.of[n], x, y[0], y[1]);
      add_product(sums.of[n + 1], x, y[2], y[3]);
    }
  }
}

// sums += weights times the tile's rows, for the features from `feature` on.
template <int size, int columns, int features>
DEVICE void add_weighted(Sums<features>& sums, const Sums<columns>& weights, const bfloat16* tile, int feature) {
#pragma unroll
  for (int k = 0; k < columns / 16; k++) {
    const float(&low)[4] = weights.of[2 * k];
    const float(&high)[4] = weights.of[2 * k + 1];
    const uint32_t x[4] = {halves_of(low[0], low[1]), halves_of(low[2], low[3]), halves_of(high[0], high[1]),
                           halves_of(high[2], high[3])};
#pragma unroll
    for (int n = 0; n < features / 8; n += 2) {
      uint32_t y[4];
      load_turned<size>(y, tile, 16 * k, feature + 8 * n);
      add_product(sums.of[n], x, y[0], y[1]);
      add_product(sums.of[n + 1], x, y[2], y[3]);
    }
  }
}

// Adds the numbers that were cleared from a tile, for those pairs of this warp's rows and the tile's rows that take
// part.
template <int features, class Pairs>
DEVICE void add_infinite(Sums<features>& sums, const Rows& from, int32_t first, int rows, int feature,
                         const Pairs& pairs) {
#pragma unroll 1
  for (int c = 0; c < rows && first + c < from.count; c++)
#pragma unroll
    for (int n = 0; n < features / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int32_t column = feature + column_of_sum(n, i);
        if (column >= from.features || !pairs(row_of_sum(i), c)) continue;
        const bfloat16 x = from.data[(first + c) * from.row + column];
        if (!is_finite(x)) sums.of[n][i] += widen(x);
      }
}

// Writes the rows from `first` on that lie below `count`, each multiplied by its factor.
template <int features>
DEVICE void write_rows(const Heads& to, int32_t batch, int32_t head, int32_t first, int32_t count, int feature,
                       int32_t all_features, const Sums<features>& sums, float factor, float factor_below) {
  bfloat16* data = head_of<bfloat16>(to, batch, head);
#pragma unroll
  for (int n = 0; n < features / 8; n++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int32_t row = first + row_of_sum(2 * h), column = feature + column_of_sum(n, 0);
      if (row >= count || column >= all_features) continue;
      const float times = h == 0 ? factor : factor_below;
      const uint32_t both = halves_of(sums.of[n][2 * h] * times, sums.of[n][2 * h + 1] * times);
      bfloat16* at = data + row * to.row + column * to.column;
      if (to.vectors) {
        store(at, both);
      } else {
        at[0] = {static_cast<uint16_t>(both)};
        at[to.column] = {static_cast<uint16_t>(both >> 16)};
      }
    }
}

template <class F>
DEVICE float of_row(float value, const F& together) {
  value = together(value, __shfl_xor_sync(~0u, value, 2));
  return together(value, __shfl_xor_sync(~0u, value, 1));
}

template <int size>
struct alignas(128) Pair {
  bfloat16 of[2 * size];
};

template <int size>
DEVICE void forward(const Attention& job) {
  if constexpr (!has_matrix_products) return;
  // In the largest heads two warps share rows, and each has half of the results' features.
  constexpr int parts = size > 128 ? 2 : 1, features = size / parts, rows = 128 / parts, columns = 64 / (parts * parts);
  // Shared memory holds first the queries, and then keys and values.
  SHARED(Pair<rows * size / 2>, shared);
  bfloat16 *const k_tile = shared.of, *const v_tile = shared.of + columns * size;
  const int32_t heads = job.batches * job.query_heads, number = static_cast<int32_t>(blockIdx.x % heads);
  const int32_t tiles = (job.queries + rows - 1) / rows;
  // The last queries start first, because they see the most keys.
  const int32_t first_query = (tiles - 1 - static_cast<int32_t>(blockIdx.x / heads)) * rows;
  const Head at = head_at(job, number / job.query_heads, number % job.query_heads);
  const int32_t key_head = at.head / (job.query_heads / job.key_heads);
  const int own_row = warp_of() % (8 / parts) * 16, feature = warp_of() / (8 / parts) * features;
  const int32_t query = first_query + own_row, last_query = smaller(first_query + rows, job.queries) - 1;
  const int32_t end = smaller(keys_of(job, at.batch), last_query + job.last + 1);
  const Rows k = rows_of(job.k, at.batch, key_head, end, job.size);
  const Rows v = rows_of(job.v, at.batch, key_head, end, job.value_size);

  copy_rows<size, rows>(shared.of, rows_of(job.q, at.batch, at.head, job.queries, job.size), first_query);
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  uint32_t q[size / 16][4];
#pragma unroll
  for (int f = 0; f < size / 16; f++) load_left<size>(q[f], shared.of, own_row, 16 * f);
  __syncthreads();

  const int32_t begin = larger(0, first_query + job.first);
  copy_rows<size, columns>(k_tile, k, begin);
  commit_copies();
  copy_rows<size, columns>(v_tile, v, begin);
  commit_copies();
  const bool adjusts = job.mask_add.data || job.mask_bool.data || job.drop_below != 0;
  float largest[2] = {-INFINITY, -INFINITY}, totals[2] = {};
  Sums<features> out;
  clear(out);
#pragma unroll 1
  for (int32_t key = begin; key < end; key += columns) {
    const bool more = key + columns < end;
    const bool partial = !all_see(job, first_query, first_query + rows - 1, key, key + columns - 1);
    const auto takes_part = [&](int row, int column) {
      return key + column < end && query + row < job.queries && sees(job, query + row, key + column);
    };
    wait_copies<1>();
    __syncthreads();
    Sums<columns> scores;
    multiply_rows<size>(
        scores,
        [&](uint32_t(&x)[4], int f) {
#pragma unroll
          for (int i = 0; i < 4; i++) x[i] = q[f / 16][i];
        },
        k_tile);
    __syncthreads();
    if (more) copy_rows<size, columns>(k_tile, k, key + columns);
    // A group is committed even if there is nothing to copy, so that groups can be counted.
    commit_copies();

    if (partial || adjusts || key + columns > end) {
#pragma unroll
      for (int n = 0; n < columns / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = row_of_sum(i), column = column_of_sum(n, i);
          scores.of[n][i] =
              takes_part(row, column) ? score_of(job, at, query + row, key + column, scores.of[n][i]) : -INFINITY;
        }
    } else {
#pragma unroll
      for (int n = 0; n < columns / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) scores.of[n][i] *= job.scale;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float most = largest[h];
#pragma unroll
      for (int n = 0; n < columns / 8; n++)
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; i++)
          // The maximum is never NaN. A NaN stays in the sum.
          if (scores.of[n][i] > most) most = scores.of[n][i];
      most = of_row(most, [](float a, float b) { return a > b ? a : b; });
      // If no key has taken part so far, any finite shift will do.
      const float shift = most == -INFINITY ? 0.0f : most;
      const float correction = power_of_two((largest[h] - shift) * log2_of_e);
      float total = 0;
#pragma unroll
      for (int n = 0; n < columns / 8; n++)
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; i++) {
          scores.of[n][i] = power_of_two((scores.of[n][i] - shift) * log2_of_e);
          total += scores.of[n][i];
        }
      totals[h] = totals[h] * correction + of_row(total, [](float a, float b) { return a + b; });
      largest[h] = most;
#pragma unroll
      for (int n = 0; n < features / 8; n++)
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; i++) out.of[n][i] *= correction;
    }
    if (job.drop_below != 0) {
#pragma unroll
      for (int n = 0; n < columns / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) scores.of[n][i] *= kept(job, at, query + row_of_sum(i), key + column_of_sum(n, i));
    }
    wait_copies<1>();
    const bool singly = __syncthreads_or(partial && !copied_finite<size, columns>(v_tile));
    if (singly) {
      clear_infinite<size, columns>(v_tile);
      __syncthreads();
    }
    add_weighted<size>(out, scores, v_tile, feature);
    if (singly) add_infinite(out, v, key, columns, feature, takes_part);
    __syncthreads();
    if (more) copy_rows<size, columns>(v_tile, v, key + columns);
    commit_copies();
  }
  wait_copies<0>();
#pragma unroll
  for (int h = 0; h < 2; h++) {
    const int32_t row = query + row_of_sum(2 * h);
    if (feature != 0 || lane_of() % 4 != 0 || row >= job.queries) continue;
    job.statistics[2 * at.rows + row] = largest[h];
    job.statistics[2 * at.rows + job.queries + row] = totals[h];
  }
  write_rows(job.out, at.batch, at.head, query, job.queries, feature, job.value_size, out,
             totals[0] == 0.0f ? 0.0f : 1.0f / totals[0], totals[1] == 0.0f ? 0.0f : 1.0f / totals[1]);
}

// The weight of a pair, and the gradient of its score.
struct Weight {
  float value, gradient;
};

DEVICE Weight weight_of(const Attention& job, const Head& at, int32_t query, int32_t key, const Row& row, float product,
                        float gradient) {
  const float score = score_of(job, at, query, key, product);
  const float weight = power_of_two((score - row.shift) * log2_of_e) * row.factor, factor = kept(job, at, query, key);
  return {weight * factor, weight * (gradient * factor - row.delta)};
}

template <int size>
DEVICE void gradient_of_queries(const Attention& job) {
  if constexpr (!has_matrix_products) return;
  constexpr int rows = 128, columns = 32;
  // Keys and values of two stages.
  SHARED(Pair<2 * columns * size>, shared);
  const int32_t heads = job.batches * job.query_heads, number = static_cast<int32_t>(blockIdx.x % heads);
  const int32_t tiles = (job.queries + rows - 1) / rows;
  const int32_t first_query = (tiles - 1 - static_cast<int32_t>(blockIdx.x / heads)) * rows;
  const Head at = head_at(job, number / job.query_heads, number % job.query_heads);
  const int32_t key_head = at.head / (job.query_heads / job.key_heads);
  const int own_row = warp_of() * 16;
  const int32_t query = first_query + own_row, last_query = smaller(first_query + rows, job.queries) - 1;
  const int32_t end = smaller(keys_of(job, at.batch), last_query + job.last + 1);
  const Rows k = rows_of(job.k, at.batch, key_head, end, job.size);
  const Rows v = rows_of(job.v, at.batch, key_head, end, job.value_size);

  uint32_t left[2][size / 16][4];
#pragma unroll
  for (int which = 0; which < 2; which++) {
    copy_rows<size, rows>(shared.of,
                          which == 0 ? rows_of(job.q, at.batch, at.head, job.queries, job.size)
                                     : rows_of(job.dy, at.batch, at.head, job.queries, job.value_size),
                          first_query);
    commit_copies();
    wait_copies<0>();
    __syncthreads();
#pragma unroll
    for (int f = 0; f < size / 16; f++) load_left<size>(left[which][f], shared.of, own_row, 16 * f);
    __syncthreads();
  }
  const auto left_of = [&](int which) {
    return [&left, which](uint32_t(&x)[4], int f) {
#pragma unroll
      for (int i = 0; i < 4; i++) x[i] = left[which][f / 16][i];
    };
  };
  const Row statistics[2] = {row_of(job, at, query + row_of_sum(0)), row_of(job, at, query + row_of_sum(2))};
  const int32_t begin = larger(0, first_query + job.first);
  const auto copy = [&](int32_t key, int stage) {
    if (key < end) {
      copy_rows<size, columns>(shared.of + 2 * stage * columns * size, k, key);
      copy_rows<size, columns>(shared.of + (2 * stage + 1) * columns * size, v, key);
    }
    commit_copies();
  };
  Sums<size> sums;
  clear(sums);
  copy(begin, 0);
  int stage = 0;
#pragma unroll 1
  for (int32_t key = begin; key < end; key += columns, stage ^= 1) {
    bfloat16 *const k_tile = shared.of + 2 * stage * columns * size, *const v_tile = k_tile + columns * size;
    const bool partial = !all_see(job, first_query, first_query + rows - 1, key, key + columns - 1);
    const auto takes_part = [&](int row, int column) {
      return key + column < end && query + row < job.queries && sees(job, query + row, key + column);
    };
    copy(key + columns, stage ^ 1);
    wait_copies<1>();
    const bool singly = __syncthreads_or(partial && !copied_finite<size, columns>(k_tile));
    Sums<columns> weights, gradients;
    multiply_rows<size>(weights, left_of(0), k_tile);
    multiply_rows<size>(gradients, left_of(1), v_tile);
#pragma unroll
    for (int n = 0; n < columns / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = row_of_sum(i), column = column_of_sum(n, i);
        float& weight = weights.of[n][i];
        if (!takes_part(row, column)) {
          weight = 0.0f;
          continue;
        }
        weight = weight_of(job, at, query + row, key + column, statistics[i / 2], weight, gradients.of[n][i]).gradient;
        if (job.dmask) job.dmask[number_of(job, at, query + row, key + column)] = weight;
      }
    if (singly) {
      __syncthreads();
      clear_infinite<size, columns>(k_tile);
      __syncthreads();
    }
    add_weighted<size>(sums, weights, k_tile, 0);
    if (singly) add_infinite(sums, k, key, columns, 0, takes_part);
    __syncthreads();
  }
  wait_copies<0>();
  if (job.dq.data) write_rows(job.dq, at.batch, at.head, query, job.queries, 0, job.size, sums, job.scale, job.scale);
}

template <int size>
struct alignas(128) KeyTiles {
  bfloat16 k[64 * size], v[64 * size];
  // Queries and the results' gradients, of two stages.
  bfloat16 of[2][2][16 * size];
};

template <int size>
DEVICE void gradient_of_keys(const Attention& job) {
  if constexpr (!has_matrix_products) return;
  constexpr int rows = 64, columns = 16;
  SHARED(KeyTiles<size>, shared);
  const int32_t heads = job.batches * job.key_heads, number = static_cast<int32_t>(blockIdx.x % heads);
  const int32_t batch = number / job.key_heads, key_head = number % job.key_heads;
  const int32_t group = job.query_heads / job.key_heads;
  const int32_t first_key = static_cast<int32_t>(blockIdx.x / heads) * rows, keys = keys_of(job, batch);
  const int own_row = warp_of() % 4 * 16;
  const bool of_values = warp_of() < 4;
  const int32_t key = first_key + own_row, last_key = smaller(first_key + rows, keys) - 1;
  const int32_t begin = larger(0, first_key - job.last);
  const int32_t end = first_key < keys ? smaller(job.queries, last_key - job.first + 1) : 0;
  const int32_t tiles = begin < end ? (end - begin + columns - 1) / columns : 0, steps = group * tiles;

  copy_rows<size, rows>(shared.k, rows_of(job.k, batch, key_head, keys, job.size), first_key);
  copy_rows<size, rows>(shared.v, rows_of(job.v, batch, key_head, keys, job.value_size), first_key);
  const auto head_of_step = [&](int32_t step) { return key_head * group + step / tiles; };
  const auto query_of_step = [&](int32_t step) { return begin + step % tiles * columns; };
  const auto copy = [&](int32_t step) {
    if (step < steps) {
      const int32_t head = head_of_step(step);
      copy_rows<size, columns>(shared.of[step % 2][0], rows_of(job.q, batch, head, end, job.size), query_of_step(step));
      copy_rows<size, columns>(shared.of[step % 2][1], rows_of(job.dy, batch, head, end, job.value_size),
                               query_of_step(step));
    }
    commit_copies();
  };
  copy(0);
  Sums<size> sums;
  clear(sums);
#pragma unroll 1
  for (int32_t step = 0; step < steps; step++) {
    const Head at = head_at(job, batch, head_of_step(step));
    const int32_t query = query_of_step(step);
    bfloat16 *const q_tile = shared.of[step % 2][0], *const dy_tile = shared.of[step % 2][1];
    const bool partial = !all_see(job, query, query + columns - 1, first_key, first_key + rows - 1);
    const auto takes_part = [&](int row, int column) {
      return key + row < keys && query + column < end && sees(job, query + column, key + row);
    };
    copy(step + 1);
    wait_copies<1>();
    const bool singly =
        __syncthreads_or(partial && !(copied_finite<size, columns>(q_tile) && copied_finite<size, columns>(dy_tile)));
    Sums<columns> weights, gradients;
    multiply_rows<size>(
        weights, [&](uint32_t(&x)[4], int f) { load_left<size>(x, shared.k, own_row, f); }, q_tile);
    if (of_values)
      clear(gradients);
    else
      multiply_rows<size>(
          gradients, [&](uint32_t(&x)[4], int f) { load_left<size>(x, shared.v, own_row, f); }, dy_tile);
#pragma unroll
    for (int n = 0; n < columns / 8; n++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        const Row row = row_of(job, at, query + column_of_sum(n, j));
#pragma unroll
        for (int i = j; i < 4; i += 2) {
          const int of_key = row_of_sum(i), column = column_of_sum(n, i);
          float& weight = weights.of[n][i];
          if (!takes_part(of_key, column)) {
            weight = 0.0f;
            continue;
          }
          const Weight both = weight_of(job, at, query + column, key + of_key, row, weight, gradients.of[n][i]);
          weight = of_values ? both.value : both.gradient;
        }
      }
    if (singly) {
      __syncthreads();
      clear_infinite<size, columns>(q_tile);
      clear_infinite<size, columns>(dy_tile);
      __syncthreads();
    }
    add_weighted<size>(sums, weights, of_values ? dy_tile : q_tile, 0);
    if (singly)
      add_infinite(sums,
                   of_values ? rows_of(job.dy, batch, at.head, end, job.value_size)
                             : rows_of(job.q, batch, at.head, end, job.size),
                   query, columns, 0, takes_part);
    __syncthreads();
  }
  wait_copies<0>();
  const Heads& to = of_values ? job.dv : job.dk;
  const float factor = of_values ? 1.0f : job.scale;
  if (to.data)
    write_rows(to, batch, key_head, key, job.keys, 0, of_values ? job.value_size : job.size, sums, factor, factor);
}

}  // namespace

KERNEL_ALONE(attention_mma_forward_64, const __grid_constant__ Attention job) { forward<64>(job); }
KERNEL_ALONE(attention_mma_forward_128, const __grid_constant__ Attention job) { forward<128>(job); }
KERNEL_ALONE(attention_mma_forward_256, const __grid_constant__ Attention job) { forward<256>(job); }
KERNEL_ALONE(attention_mma_dq_64, const __grid_constant__ Attention job) { gradient_of_queries<64>(job); }
KERNEL_ALONE(attention_mma_dq_128, const __grid_constant__ Attention job) { gradient_of_queries<128>(job); }
KERNEL_ALONE(attention_mma_dkv_64, const __grid_constant__ Attention job) { gradient_of_keys<64>(job); }
KERNEL_ALONE(attention_mma_dkv_128, const __grid_constant__ Attention job) { gradient_of_keys<128>(job); }
