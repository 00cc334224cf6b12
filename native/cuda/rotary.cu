// Rotary position embeddings (Su et al., "RoFormer", 2021). A thread turns a pair of features, or copies a feature
// behind the pairs. Rows may have any strides. Each element takes 8 bytes of memory traffic, beside tables that all
// heads share.
#include "index.h"
#include "rotation.h"
#include "scalar.h"

using namespace firesteel::cuda;

namespace {

template <class T>
DEVICE void rotary(const Rotation& job) {
  const int32_t parts = job.features - job.pairs;  // pairs, and single features behind them
  const int64_t count = job.rows * parts;
  for (int64_t i = int64_t(blockIdx.x) * 256 + threadIdx.x; i < count; i += int64_t(gridDim.x) * 256) {
    const int64_t row = i / parts;
    const auto part = static_cast<int32_t>(i % parts);
    const T* x = static_cast<const T*>(job.x);
    uint32_t rest = static_cast<uint32_t>(row);
    for (int d = 0; d < job.dims; d++) {
      const uint32_t quotient = divide(rest, job.divisors[d]);
      x += int64_t(rest - quotient * job.divisors[d].size) * job.strides[d];
      rest = quotient;
    }
    T* out = static_cast<T*>(job.out) + row * job.features;
    if (part >= job.pairs) {
      const int32_t feature = job.pairs + part;
      out[feature] = x[feature * job.step];
      continue;
    }
    const int64_t table = row % job.times + (job.of_batches ? row / job.rows_of_batch * job.times : 0);
    const float cosine = job.cosines[table * job.pairs + part], sine = job.sign * job.sines[table * job.pairs + part];
    const int32_t first = job.neighbours ? 2 * part : part, second = job.neighbours ? first + 1 : first + job.pairs;
    const float a = widen(x[first * job.step]), b = widen(x[second * job.step]);
    out[first] = narrow<T>(a * cosine - b * sine);
    out[second] = narrow<T>(a * sine + b * cosine);
  }
}

}  // namespace

KERNEL(rotary_float32, const __grid_constant__ Rotation job) { rotary<float>(job); }
KERNEL(rotary_bfloat16, const __grid_constant__ Rotation job) { rotary<bfloat16>(job); }
