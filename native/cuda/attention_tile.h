// The common part of the kernels of attention: the keys that a query sees, and the effect of masks and dropout on a
// score.
#pragma once
#include "attention_job.h"
#include "philox.h"
#include "scalar.h"

namespace firesteel::cuda {

DEVICE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
DEVICE int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

// The number of real keys of a batch row. An impossible length gives 0 and records an error.
DEVICE int32_t keys_of(const Attention& job, int32_t batch) {
  if (!job.lengths) return job.keys;
  const int32_t length = job.lengths[batch];
  if (length >= 0 && length <= job.keys) return length;
  if (job.wrong && threadIdx.x == 0) bring_least(job.wrong, uint64_t(batch) << 32 | uint32_t(length));
  return 0;
}

DEVICE bool sees(const Attention& job, int32_t query, int32_t key) {
  return key <= query + job.last && key >= query + job.first;
}

// Whether all queries of a range see all keys of a range.
DEVICE bool all_see(const Attention& job, int32_t query, int32_t last_query, int32_t key, int32_t last_key) {
  return sees(job, query, last_key) && sees(job, last_query, key);
}

template <class T>
DEVICE T* head_of(const Heads& heads, int32_t batch, int32_t head) {
  return static_cast<T*>(heads.data) + batch * heads.batch + head * heads.head;
}

// A query head of a batch row, and the place of its rows among all.
struct Head {
  int32_t batch, head;
  int64_t rows;
};

// The number of a score among all scores, which is also the number of its random word.
DEVICE int64_t number_of(const Attention& job, const Head& at, int32_t query, int32_t key) {
  return (at.rows + query) * job.keys + key;
}

template <class T>
DEVICE T element_of(const Heads& heads, const Head& at, int32_t query, int32_t key) {
  return head_of<const T>(heads, at.batch, at.head)[query * heads.row + key * heads.column];
}

// The score of a pair, from the product of its query and key. A masked score stays NaN if it is NaN.
DEVICE float score_of(const Attention& job, const Head& at, int32_t query, int32_t key, float product) {
  float score = product * job.scale;
  if (job.mask_add.data) score += element_of<float>(job.mask_add, at, query, key);
  if (job.mask_bool.data && !element_of<uint8_t>(job.mask_bool, at, query, key)) score += -INFINITY;
  return score;
}

// The factor that dropout gives the weight of a pair.
DEVICE float kept(const Attention& job, const Head& at, int32_t query, int32_t key) {
  if (job.drop_below == 0) return 1.0f;
  const auto number = static_cast<uint64_t>(number_of(job, at, query, key));
  const Words words = philox<1>(job.seed, job.stream, job.random_offset + number / 4);
  uint32_t word = words.of[0];
#pragma unroll
  for (uint32_t w = 1; w < 4; w++)
    if (number % 4 == w) word = words.of[w];
  return word < job.drop_below ? 0.0f : job.kept_scale;
}

// A query's statistics as weights are computed from them: exp(score - shift) * factor.
struct Row {
  float shift, factor, delta;
};

DEVICE Row row_of(const Attention& job, const Head& at, int32_t query) {
  if (query >= job.queries) return {0.0f, 0.0f, 0.0f};
  const float* statistics = job.statistics + 2 * at.rows + query;
  const float largest = statistics[0], sum = statistics[job.queries];
  return {largest == -INFINITY ? 0.0f : largest, sum == 0.0f ? 0.0f : 1.0f / sum,
          job.delta ? job.delta[at.rows + query] : 0.0f};
}

DEVICE Head head_at(const Attention& job, int32_t batch, int32_t head) {
  return {batch, head, (int64_t(batch) * job.query_heads + head) * job.queries};
}

}  // namespace firesteel::cuda
