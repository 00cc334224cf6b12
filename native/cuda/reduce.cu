// Reductions over any dimensions of any strides: sums, extremes, and the places of extremes; and running sums, products
// and extremes along a dimension. They overwrite out.
//
// Sums of float32 are computed in float64. That costs no time, because memory is the limit (one addition for 4 bytes),
// and keeps long sums exact enough. Sums of int32 are computed in int64, and a result that int32 cannot hold is an
// error. The order of additions depends on the shape alone. In running kernels a thread handles a line, and
// neighbouring threads handle neighbouring lines.
#include "index.h"
#include "lines.h"
#include "reduction.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

DEVICE int64_t place(const Axes& axes, uint32_t index) {
  int64_t at = 0;
#pragma unroll 1
  for (int d = 0; d < axes.dims; d++) {
    const uint32_t rest = divide(index, axes.divisors[d]);
    at += (index - rest * axes.divisors[d].size) * axes.strides[d];
    index = rest;
  }
  return at;
}

// A fold is given by the functions start(), of(element, its number), together(a, b) and write(job, output, result).

// A block computes an output: thread t takes elements t, t + 256, ..., and lanes and warps are then combined as a tree.
template <class T, class Fold>
DEVICE void by_blocks(const Reduction& job) {
  for (uint32_t output = blockIdx.x; output < job.kept.count; output += gridDim.x) {
    const T* x = static_cast<const T*>(job.x) + place(job.kept, output);
    auto mine = Fold::start();
    for (uint32_t i = threadIdx.x; i < job.reduced.count; i += 256)
      mine = Fold::together(mine, Fold::of(widen(x[place(job.reduced, i)]), i));
    const auto all = combine<256>(mine, [](auto a, auto b) { return Fold::together(a, b); });
    if (threadIdx.x == 0) Fold::write(job, output, all);
  }
}

// A thread computes an output. It is used if neighbouring outputs read neighbouring elements.
template <class T, class Fold>
DEVICE void by_threads(const Reduction& job) {
  for (uint32_t output = blockIdx.x * 256 + threadIdx.x; output < job.kept.count; output += gridDim.x * 256) {
    const T* x = static_cast<const T*>(job.x) + place(job.kept, output);
    auto sum = Fold::start();
    for (uint32_t i = 0; i < job.reduced.count; i++)
      sum = Fold::together(sum, Fold::of(widen(x[place(job.reduced, i)]), i));
    Fold::write(job, output, sum);
  }
}

DEVICE bool holds(double value) { return value >= -2147483648.0 && value <= 2147483647.0; }

struct Sum {
  static DEVICE double start() { return 0; }
  static DEVICE double of(float x, uint32_t) { return x; }
  static DEVICE double together(double a, double b) { return a + b; }
  static DEVICE void write(const Reduction& job, uint32_t output, double sum) {
    const float value = float(sum * job.scale);
    if (job.half_out)
      static_cast<bfloat16*>(job.out)[output] = narrow<bfloat16>(value);
    else
      static_cast<float*>(job.out)[output] = value;
  }
};

struct WholeSum {
  static DEVICE long long start() { return 0; }
  static DEVICE long long of(int32_t x, uint32_t) { return x; }
  static DEVICE long long together(long long a, long long b) { return a + b; }
  static DEVICE void write(const Reduction& job, uint32_t output, long long sum) {
    const double value = trunc(double(sum) * job.scale);
    if (!holds(value)) return bring_least(job.wrong, uint64_t(output) << 32);
    static_cast<int32_t*>(job.out)[output] = int32_t(value);
  }
};

// The largest element. NaN wins.
struct Largest {
  static DEVICE float start() { return -INFINITY; }
  static DEVICE float of(float x, uint32_t) { return x; }
  static DEVICE float together(float a, float b) { return b != b ? b : largest(a, b); }
  static DEVICE void write(const Reduction& job, uint32_t output, float value) {
    static_cast<float*>(job.out)[output] = value;
  }
};
struct Smallest : Largest {
  static DEVICE float start() { return INFINITY; }
  static DEVICE float together(float a, float b) { return b != b ? b : smallest(a, b); }
};
struct LargestWhole {
  static DEVICE int32_t start() { return INT32_MIN; }
  static DEVICE int32_t of(int32_t x, uint32_t) { return x; }
  static DEVICE int32_t together(int32_t a, int32_t b) { return largest(a, b); }
  static DEVICE void write(const Reduction& job, uint32_t output, int32_t value) {
    static_cast<int32_t*>(job.out)[output] = value;
  }
};
struct SmallestWhole : LargestWhole {
  static DEVICE int32_t start() { return INT32_MAX; }
  static DEVICE int32_t together(int32_t a, int32_t b) { return smallest(a, b); }
};

// Maps numbers to unsigned integers of the same order, with NaN above all. -0 is 0.
DEVICE uint32_t ordered(int32_t x, bool falling) {
  const uint32_t rising = uint32_t(x) ^ 0x80000000u;
  return falling ? ~rising : rising;
}
DEVICE uint32_t ordered(float x, bool falling) {
  if (x != x) return ~0u;
  const uint32_t bits = bits_of(x == 0 ? 0.0f : x), rising = bits >> 31 ? ~bits : bits | 0x80000000u;
  return falling ? ~rising : rising;
}

// The place of the first element that no other exceeds: the largest of the pairs (element, number of elements behind
// its place).
template <bool smallest>
struct Position {
  static DEVICE unsigned long long start() { return 0; }
  template <class T>
  static DEVICE unsigned long long of(T x, uint32_t i) {
    return static_cast<unsigned long long>(ordered(x, smallest)) << 32 | (0xffffffffu - i);
  }
  static DEVICE unsigned long long together(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
  static DEVICE void write(const Reduction& job, uint32_t output, unsigned long long best) {
    static_cast<int32_t*>(job.out)[output] = int32_t(0xffffffffu - uint32_t(best));
  }
};

// out[i] = step(i, x[i]) along each line. Each line makes its own step function.
template <class T, class Out, class Make>
DEVICE void along_lines(const Lines& job, const Make& make) {
  for (int64_t line = int64_t(blockIdx.x) * 256 + threadIdx.x; line < job.count; line += int64_t(gridDim.x) * 256) {
    const int64_t first = line / job.inner * job.inner * job.size + line % job.inner;
    const T* x = static_cast<const T*>(job.x) + first;
    Out* out = static_cast<Out*>(job.out) + first;
    auto step = make(line);
    // The loop is not unrolled, because each step waits for the one before and may write what the next reads.
    int64_t at = job.direction > 0 ? 0 : (job.size - 1) * job.inner;
#pragma unroll 1
    for (int32_t i = 0; i < job.size; i++, at += job.direction * job.inner) out[at] = step(x[at], i);
  }
}

template <bool products>
DEVICE void running_float(const Lines& job) {
  along_lines<float, float>(job, [](int64_t) {
    return [total = products ? 1.0 : 0.0](float x, int32_t) mutable {
      total = products ? total * double(x) : total + double(x);
      return float(total);
    };
  });
}

// Results that int32 cannot hold wrap around, and are reported.
template <bool products>
DEVICE void running_whole(const Lines& job) {
  along_lines<int32_t, int32_t>(job, [&job](int64_t line) {
    return [&job, line, total = products ? 1 : 0](int32_t x, int32_t) mutable {
      const long long exact = products ? static_cast<long long>(total) * x : static_cast<long long>(total) + x;
      if (exact != static_cast<int32_t>(exact)) bring_least(job.wrong, uint64_t(line) << 32);
      return total = static_cast<int32_t>(exact);
    };
  });
}

template <class T, bool smallest>
DEVICE void running_extreme(const Lines& job) {
  along_lines<T, int32_t>(job, [](int64_t) {
    return [best = 0u, at = 0](T x, int32_t i) mutable {
      const uint32_t order = ordered(x, smallest);
      if (i == 0 || order >= best) {
        best = order;
        at = i;
      }
      return at;
    };
  });
}

DEVICE double log_of_both(double a, double b) {
  const double less = a < b ? a : b, more = a < b ? b : a;
  // Two equal infinities give that infinity instead of NaN.
  return less == more && fabs(more) == double(INFINITY) ? more : more + log1p(exp(less - more));
}

}  // namespace

#define REDUCTION(name, T, Fold)                                                                        \
  KERNEL(name##_by_blocks_##T, const __grid_constant__ Reduction job) { by_blocks<as_##T, Fold>(job); } \
  KERNEL(name##_by_threads_##T, const __grid_constant__ Reduction job) { by_threads<as_##T, Fold>(job); }

using as_float32 = float;
using as_bfloat16 = bfloat16;
using as_int32 = int32_t;

REDUCTION(sum, float32, Sum)
REDUCTION(sum, bfloat16, Sum)
REDUCTION(sum, int32, WholeSum)
REDUCTION(amax, float32, Largest)
REDUCTION(amax, int32, LargestWhole)
REDUCTION(amin, float32, Smallest)
REDUCTION(amin, int32, SmallestWhole)
REDUCTION(argmax, float32, Position<false>)
REDUCTION(argmax, int32, Position<false>)
REDUCTION(argmin, float32, Position<true>)
REDUCTION(argmin, int32, Position<true>)

#define RUNNING(name, ...) \
  KERNEL(name, const __grid_constant__ Lines job) { __VA_ARGS__(job); }
RUNNING(cumsum_float32, running_float<false>)
RUNNING(cumsum_int32, running_whole<false>)
RUNNING(cumprod_float32, running_float<true>)
RUNNING(cumprod_int32, running_whole<true>)
RUNNING(cummax_float32, running_extreme<float, false>)
RUNNING(cummax_int32, running_extreme<int32_t, false>)
RUNNING(cummin_float32, running_extreme<float, true>)
RUNNING(cummin_int32, running_extreme<int32_t, true>)
KERNEL(logcumsumexp_float32, const __grid_constant__ Lines job) {
  along_lines<float, float>(job, [](int64_t) {
    return [total = -double(INFINITY)](float x, int32_t) mutable {
      total = log_of_both(total, double(x));
      return float(total);
    };
  });
}
