// Interpolation. A thread computes a result, which is the sum of its terms in the order of the tables. Neighbouring
// threads read mostly the same elements.
#include "resampling.h"
#include "scalar.h"

using namespace firesteel::cuda;

namespace {

// Calls f(position, weight) for the terms of a result. Positions outside the axis, which our tables never hold, are
// left out.
template <class F>
DEVICE void for_terms(const Taps& taps, int32_t result, const F& f) {
  if (!taps.ends) return f(result, 1.0f);
  const int32_t begin = taps.ends[result], end = taps.ends[result + 1];
  for (int32_t k = begin < 0 ? 0 : begin; k < end && k < taps.terms; k++) {
    const int32_t position = taps.ends[taps.results + 1 + k];
    if (position >= 0 && position < taps.size) f(position, taps.weights[k]);
  }
}

template <class T>
DEVICE void resample(const Resampling& job) {
  const T* x = static_cast<const T*>(job.x);
  T* out = static_cast<T*>(job.out);
  for (int64_t i = int64_t(blockIdx.x) * 256 + threadIdx.x; i < job.count; i += int64_t(gridDim.x) * 256) {
    const auto column = static_cast<int32_t>(i % job.columns.results);
    const int64_t rest = i / job.columns.results;
    const auto row = static_cast<int32_t>(rest % job.rows.results);
    const T* plane = x + rest / job.rows.results * job.rows.size * job.columns.size;
    // The sum begins with -0, which leaves every number unchanged.
    float sum = -0.0f;
    bool any = false;
    for_terms(job.rows, row, [&](int32_t h, float down) {
      for_terms(job.columns, column, [&](int32_t w, float across) {
        sum += down * (across * widen(plane[int64_t(h) * job.columns.size + w]));
        any = true;
      });
    });
    out[i] = narrow<T>(any ? sum : 0.0f);
  }
}

}  // namespace

KERNEL(resample_float32, const __grid_constant__ Resampling job) { resample<float>(job); }
KERNEL(resample_bfloat16, const __grid_constant__ Resampling job) { resample<bfloat16>(job); }
