// Random numbers and dropout. Element i of a call takes word i % 4 of Philox block offset + i / 4. A thread computes a
// block and its four elements, in float64 and in the order that the table of kernels states. So every bit is the same
// as on the CPU. Dropout keeps no mask: its backward pass is dropout itself at the same position.
#include "index.h"
#include "philox.h"
#include "random_job.h"
#include "scalar.h"

using namespace firesteel::cuda;

namespace {

// -log(odd / 2^33) for odd integers below 2^32: log(m 2^e) = log(m) + e log(2), m in [sqrt(1/2), sqrt(2)], and log(m) =
// 2 artanh(s), s = (m - 1) / (m + 1), as its power series.
DEVICE double negative_log(uint32_t odd) {
  int exponent = 31;
  while (!(odd >> exponent)) exponent--;
  double m = double(odd) / double(1u << exponent);
  int e = exponent - 33;
  if (m > 1.4142135623730951) {
    m *= 0.5;
    e++;
  }
  const double s = (m - 1) / (m + 1), z = s * s;
  double series = z * 0.09523809523809523 + 0.10526315789473684;
  series = series * z + 0.11764705882352941;
  series = series * z + 0.13333333333333333;
  series = series * z + 0.15384615384615385;
  series = series * z + 0.18181818181818182;
  series = series * z + 0.2222222222222222;
  series = series * z + 0.2857142857142857;
  series = series * z + 0.4;
  series = series * z + 0.6666666666666666;
  series = series * z + 2;
  return e * -0.6931471805599453 - series * s;
}

template <int count>
DEVICE double polynomial(double x, const double (&c)[count]) {
  double value = c[0] * x + c[1];
#pragma unroll
  for (int i = 2; i < count; i++) value = value * x + c[i];
  return value;
}

// The quantile of (word + 0.5) / 2^32 (Wichura, "Algorithm AS 241", 1988, PPND16, whose third region never occurs).
DEVICE double normal_quantile(uint32_t word) {
  constexpr double near_top[] = {2509.0809287301227, 33430.57558358813,  67265.7709270087,   45921.95393154987,
                                 13731.69376550946,  1971.5909503065513, 133.14166789178438, 3.3871328727963665};
  constexpr double near_bottom[] = {5226.495278852854, 28729.085735721943, 39307.89580009271, 21213.794301586597,
                                    5394.196021424751, 687.1870074920579,  42.31333070160091, 1};
  constexpr double far_top[] = {0.0007745450142783414, 0.022723844989269184, 0.2417807251774506, 1.2704582524523684,
                                3.6478483247632045,    5.769497221460691,    4.630337846156546,  1.4234371107496835};
  constexpr double far_bottom[] = {
      1.0507500716444169e-9, 0.0005475938084995345, 0.015198666563616457, 0.14810397642748008,
      0.6897673349851,       1.6763848301838038,    2.053191626637759,    1};
  const bool upper = word > 0x7fffffffu;
  const uint32_t odd = 2 * (upper ? 0xffffffffu - word : word) + 1;
  const double q = 0.5 - double(odd) * 1.1641532182693481e-10;
  double size;
  if (q <= 0.425) {
    const double r = 0.180625 - q * q;
    size = q * polynomial(r, near_top) / polynomial(r, near_bottom);
  } else {
    const double t = sqrt(negative_log(odd)) - 1.6;
    size = polynomial(t, far_top) / polynomial(t, far_bottom);
  }
  return upper ? size : -size;
}

// out[i] = f(word i, i)
template <class T, class F>
DEVICE void fill(const Random& job, const F& f) {
  const int64_t blocks = (job.count + 3) / 4;
  T* out = static_cast<T*>(job.out);
  for (int64_t block = int64_t(blockIdx.x) * 256 + threadIdx.x; block < blocks; block += int64_t(gridDim.x) * 256) {
    const Words words = philox(job.seed, job.stream, job.offset + uint64_t(block));
#pragma unroll
    for (int w = 0; w < 4; w++)
      if (4 * block + w < job.count) out[4 * block + w] = f(words.of[w], 4 * block + w);
  }
}

template <class T>
DEVICE void dropout(const Random& job) {
  const T* x = static_cast<const T*>(job.x);
  fill<T>(job, [&](uint32_t word, int64_t element) {
    uint32_t rest = static_cast<uint32_t>(element);
    int64_t at = 0;
    for (int d = 0; d < job.dims; d++) {
      const uint32_t quotient = divide(rest, job.divisors[d]);
      at += int64_t(rest - quotient * job.divisors[d].size) * job.strides[d];
      rest = quotient;
    }
    return narrow<T>(word < job.bound ? 0.0f : float(double(widen(x[at])) * job.a));
  });
}

}  // namespace

KERNEL(random_uniform_float32, const __grid_constant__ Random job) {
  const double range = job.b - job.a;
  fill<float>(job, [&](uint32_t word, int64_t) { return float(job.a + range * (double(word >> 8) / 16777216.0)); });
}
KERNEL(random_normal_float32, const __grid_constant__ Random job) {
  fill<float>(job, [&](uint32_t word, int64_t) { return float(normal_quantile(word) * job.b + job.a); });
}
KERNEL(random_integers_int32, const __grid_constant__ Random job) {
  fill<int32_t>(
      job, [&](uint32_t word, int64_t) { return int32_t(int64_t(job.a) + int64_t(uint64_t(word) * job.bound >> 32)); });
}
KERNEL(dropout_float32, const __grid_constant__ Random job) { dropout<float>(job); }
KERNEL(dropout_bfloat16, const __grid_constant__ Random job) { dropout<bfloat16>(job); }
