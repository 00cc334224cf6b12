// Launches the entries of attention.cu, attention_mma.cu and rotary.cu.
#include <algorithm>
#include <bit>
#include <limits>

#include "attention_job.h"
#include "device.h"
#include "rotation.h"

namespace firesteel::cuda {
namespace {

// The most queries or keys, so that the sum of two positions fits in int32.
constexpr int64_t most = std::numeric_limits<int32_t>::max() / 2;
constexpr int64_t tile = 64;
// The most features that the kernels on tensor cores take: of results, and in backward passes.
constexpr int64_t most_features = 256, most_backwards = 128;

bool is(const View& view, int64_t s0, int64_t s1, int64_t s2, int64_t s3) {
  return view.ndim == 4 && view.sizes[0] == s0 && view.sizes[1] == s1 && view.sizes[2] == s2 && view.sizes[3] == s3;
}
bool absent(const View& view) { return view.ndim < 0; }

Heads heads_of(const View& view) {
  if (absent(view)) return {};
  const int64_t* strides = view.strides;
  const int64_t bytes = dtype_bytes[static_cast<int>(view.dtype)];
  const bool vectors = strides[3] == 1 && (strides[0] | strides[1] | strides[2]) % 4 == 0 &&
                       address(view.data) % uint64_t(4 * bytes) == 0;
  return {view.data, strides[0], strides[1], strides[2], strides[3], vectors};
}

// Reads the arguments of both passes. `views` are the masks and the lengths; `numbers` are scale, offset, window and
// dropout.
bool read_attention(Device& device, Attention* job, const KernelCall& call, const View& q, const View& k, const View& v,
                    const View& out, const View& statistics, const View* views) {
  if (q.ndim != 4 || k.ndim != 4 || v.ndim != 4) return device.fail("attention: q, k and v must have 4 dimensions");
  const int64_t batches = q.sizes[0], heads = q.sizes[1], key_heads = k.sizes[1], queries = q.sizes[2],
                keys = k.sizes[2], size = q.sizes[3], value_size = v.sizes[3];
  const View &mask_bool = views[0], &mask_add = views[1], &lengths = views[2];
  if (key_heads > 0 ? heads % key_heads != 0 : heads != 0)
    return device.fail("attention: query heads must be a multiple of key heads");
  if (!is(k, batches, key_heads, keys, size) || !is(v, batches, key_heads, keys, value_size) ||
      !is(out, batches, heads, queries, value_size) || !is(statistics, batches, heads, 2, queries) ||
      (!absent(mask_bool) && !is(mask_bool, batches, heads, queries, keys)) ||
      (!absent(mask_add) && !is(mask_add, batches, heads, queries, keys)) ||
      (!absent(lengths) && (lengths.ndim != 1 || lengths.count != batches)))
    return device.fail("attention: the shapes differ");
  if (q.dtype != k.dtype || q.dtype != v.dtype || q.dtype != out.dtype)
    return device.fail("attention: q, k, v and out differ in dtype");
  const double dropout = call.numbers[3];
  const auto offset = static_cast<int64_t>(call.numbers[1]), window = static_cast<int64_t>(call.numbers[2]);
  if (offset < 0 || window < 0 || !(dropout >= 0 && dropout <= 1))
    return device.fail("attention: offset and window must not be negative, and dropout in [0, 1]");
  if (std::max({queries, keys, size, value_size}) > most || batches * std::max(heads, key_heads) > most)
    return device.fail("attention: more than 2^30 queries, keys, features or heads");
  *job = {};
  job->q = heads_of(q);
  job->k = heads_of(k);
  job->v = heads_of(v);
  job->out = heads_of(out);
  job->mask_bool = heads_of(mask_bool);
  job->mask_add = heads_of(mask_add);
  job->lengths = absent(lengths) ? nullptr : static_cast<const int32_t*>(lengths.data);
  job->statistics = static_cast<float*>(statistics.data);
  job->batches = static_cast<int32_t>(batches);
  job->query_heads = static_cast<int32_t>(heads);
  job->key_heads = static_cast<int32_t>(key_heads);
  job->queries = static_cast<int32_t>(queries);
  // Without features the weights have no effect, and memory does not bound the number of keys.
  job->keys = static_cast<int32_t>(size == 0 && value_size == 0 ? 0 : keys);
  job->size = static_cast<int32_t>(size);
  job->value_size = static_cast<int32_t>(value_size);
  job->scale = static_cast<float>(call.numbers[0]);
  job->last = static_cast<int32_t>(std::min(offset, most));
  job->first = static_cast<int32_t>(window == 0 ? -most : std::clamp(offset + 1 - window, -most, most));
  job->drop_below = static_cast<uint64_t>(dropout * 4294967296.0 + 0.5);
  job->kept_scale = dropout < 1 ? static_cast<float>(1 / (1 - dropout)) : 0.0f;
  job->seed = call.philox[0].seed;
  job->random_offset = call.philox[0].offset;
  job->stream = call.philox[0].stream;
  return true;
}

// Whether asynchronous copies of 8 neighbours can read the tensor.
bool suits_copies(const Heads& heads, int64_t features) {
  return heads.column == 1 && features > 0 && features % 8 == 0 && (heads.batch | heads.head | heads.row) % 8 == 0 &&
         address(heads.data) % 16 == 0;
}

// Whether tensor cores can take q, k, v and, in a backward pass, dy.
bool suits_tensor_cores(const Device& device, DType dtype, const Attention& job) {
  const int64_t features = std::max(job.size, job.value_size);
  return dtype == DType::bfloat16 && device.generation >= 80 && job.keys > 0 &&
         features <= (job.dy.data ? most_backwards : most_features) && suits_copies(job.q, job.size) &&
         suits_copies(job.k, job.size) && suits_copies(job.v, job.value_size) &&
         (!job.dy.data || suits_copies(job.dy, job.value_size));
}

// Launches a block for each `tile_rows` rows of each of `heads`, and for each of `parts` of the results' features.
bool launch_tiles(Device& device, const std::string& entry, const Attention& job, int64_t heads, int64_t rows,
                  int64_t tile_rows, int64_t parts = 1) {
  const int64_t blocks = heads * ((rows + tile_rows - 1) / tile_rows);
  if (blocks == 0) return true;
  if (blocks > std::numeric_limits<int32_t>::max() || parts > 65535)
    return device.fail("attention: more than 2^31 tiles");
  return device.launch(entry, Grid{static_cast<unsigned>(blocks), static_cast<unsigned>(parts)}, &job);
}

bool launch(Device& device, const char* name, DType dtype, const Attention& job, int64_t heads, int64_t rows,
            int64_t features) {
  const int64_t width = features <= 64 || dtype == DType::bfloat16 ? 64 : 128;
  return launch_tiles(device, std::string(name) + dtype_names[static_cast<int>(dtype)] + '_' + std::to_string(width),
                      job, heads, rows, tile, std::max<int64_t>((features + width - 1) / width, 1));
}

bool forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Attention job;
  if (!read_attention(device, &job, call, v[2], v[3], v[4], v[0], v[1], v + 5)) return false;
  if (v[1].count == 0) return true;
  if (job.lengths)
    job.wrong = device.late.expect(call, ErrorCode::value,
                                   "lengths holds %value at %position, but a row has 0 to " +
                                       std::to_string(v[3].sizes[2]) + " real keys; give the number of them");
  const int64_t heads = int64_t(job.batches) * job.query_heads;
  if (!suits_tensor_cores(device, v[2].dtype, job))
    return launch(device, "attention_forward_", v[2].dtype, job, heads, job.queries, job.value_size);
  const int32_t features = std::max(job.size, job.value_size);
  const char* width = features <= 64 ? "64" : features <= 128 ? "128" : "256";
  return launch_tiles(device, std::string("attention_mma_forward_") + width, job, heads, job.queries,
                      features <= 128 ? 128 : 64);
}

bool backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  const View &dq = v[0], &dk = v[1], &dv = v[2], &dmask = v[3], &dy = v[4], &q = v[5];
  Attention job;
  if (!read_attention(device, &job, call, q, v[6], v[7], v[8], v[9], v + 10)) return false;
  if (!same_shape(dy, v[8]) || (!absent(dq) && !same_shape(dq, q)) || (!absent(dk) && !same_shape(dk, v[6])) ||
      (!absent(dv) && !same_shape(dv, v[7])) ||
      (!absent(dmask) && dmask.count != q.sizes[0] * q.sizes[1] * q.sizes[2] * v[6].sizes[2]))
    return device.fail("attention_backward: the shapes differ");
  job.dy = heads_of(dy);
  job.dq = heads_of(dq);
  job.dk = heads_of(dk);
  job.dv = heads_of(dv);
  job.dmask = absent(dmask) ? nullptr : static_cast<float*>(dmask.data);
  const int64_t query_heads = int64_t(job.batches) * job.query_heads, rows = query_heads * job.queries;
  // The kernels skip pairs that take no part, so the gradient of those is cleared here.
  if (job.dmask && !device.clear(job.dmask, static_cast<size_t>(dmask.count) * 4)) return false;
  Scratch delta(device);
  if (rows > 0) {
    job.delta = delta.take<float>(rows);
    if (!job.delta || !device.launch(std::string("attention_sum_rows_") + dtype_names[static_cast<int>(q.dtype)],
                                     static_cast<uint64_t>(rows) * 32, &job))
      return false;
  }
  const int64_t key_heads = int64_t(job.batches) * job.key_heads, keys = v[6].sizes[2];
  const bool of_queries = (job.dq.data && dq.count > 0) || (job.dmask && dmask.count > 0);
  const bool of_keys = job.dk.data && dk.count > 0, of_values = job.dv.data && dv.count > 0;
  if (suits_tensor_cores(device, q.dtype, job)) {
    const std::string width = std::max(job.size, job.value_size) <= 64 ? "64" : "128";
    return (!of_queries || launch_tiles(device, "attention_mma_dq_" + width, job, query_heads, job.queries, 128)) &&
           (!(of_keys || of_values) || launch_tiles(device, "attention_mma_dkv_" + width, job, key_heads, keys, 64));
  }
  return (!of_queries || launch(device, "attention_dq_", q.dtype, job, query_heads, job.queries, job.size)) &&
         (!of_keys || launch(device, "attention_dk_", q.dtype, job, key_heads, keys, job.size)) &&
         (!of_values || launch(device, "attention_dv_", q.dtype, job, key_heads, keys, job.value_size));
}

bool launch_rotary(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &x = call.views[1], &cosines = call.views[2], &sines = call.views[3];
  if (x.ndim < 2 || !same_shape(out, x) || out.dtype != x.dtype) return device.fail("rotary: x is not [.., T, D]");
  if (out.count == 0) return true;
  const int64_t times = x.sizes[x.ndim - 2], features = x.sizes[x.ndim - 1], batch = x.ndim > 2 ? x.sizes[0] : 1;
  const int64_t pairs = cosines.ndim > 0 ? cosines.sizes[cosines.ndim - 1] : 0;
  const int64_t tables = pairs > 0 ? cosines.count / pairs : times, rows = out.count / features;
  if (!same_shape(cosines, sines) || 2 * pairs > features || (tables != times && tables != batch * times))
    return device.fail("rotary: cosines and sines are not [.., T, R]");
  if (std::max(rows, features) > most) return device.fail("rotary: more than 2^30 rows or features");
  Rotation job = {};
  job.out = out.data;
  job.x = x.data;
  job.cosines = static_cast<const float*>(cosines.data);
  job.sines = static_cast<const float*>(sines.data);
  job.rows = rows;
  job.rows_of_batch = rows / batch;
  job.times = static_cast<int32_t>(times);
  job.features = static_cast<int32_t>(features);
  job.pairs = static_cast<int32_t>(pairs);
  job.of_batches = tables != times;
  job.neighbours = call.numbers[0] != 0;
  job.sign = call.numbers[1] != 0 ? -1.0f : 1.0f;
  job.step = x.strides[x.ndim - 1];
  for (int d = x.ndim - 2; d >= 0; d--) {
    if (x.sizes[d] == 1) continue;
    job.divisors[job.dims] = make_divisor(static_cast<uint32_t>(x.sizes[d]));
    job.strides[job.dims++] = x.strides[d];
  }
  return device.launch(std::string("rotary_") + dtype_names[static_cast<int>(x.dtype)],
                       static_cast<uint64_t>(rows * (features - pairs)), &job);
}

}  // namespace

const Launchable attention_kernels[] = {
    {"attention_forward", forward, "attention_forward_float32_64"},
    {"attention_backward", backward, "attention_dq_float32_64"},
    {"rotary", launch_rotary, "rotary_float32"},
    {},
};

}  // namespace firesteel::cuda
