// Tensors of any dtype and any strides for the native tests, read and written as float64. Kernels that move or map
// single elements are checked against them.
//
// An array's memory begins and ends with its elements, between guards. (There are none under AddressSanitizer, which
// has its own.) The gaps that its strides leave are filled with the guard too. `intact()` tells whether all of that is
// unchanged.
#pragma once
#include <stdlib.h>

#include "tensors.h"

namespace firesteel::test {

using Sizes = std::vector<int64_t>;

// The layouts of elements in memory, for the same shape.
enum class Layout {
  dense,
  transposed,  // dimensions in the opposite order
  rotated,     // the last dimension outermost
  sliced,      // gaps in every dimension
  flipped,     // negative strides
  repeated,    // broadcast along the first dimension
  spread,      // broadcast along the last dimension
  uniform,     // broadcast along all
};
constexpr Layout all_layouts[] = {Layout::dense,   Layout::transposed, Layout::rotated, Layout::sliced,
                                  Layout::flipped, Layout::repeated,   Layout::spread,  Layout::uniform};
// The layouts in which each element has its own memory.
constexpr Layout own_layouts[] = {Layout::dense, Layout::transposed, Layout::rotated, Layout::sliced, Layout::flipped};

constexpr DType all_dtypes[] = {DType::float32, DType::bfloat16, DType::float16,
                                DType::int32,   DType::uint8,    DType::boolean};

inline const char* name(DType dtype) { return dtype_names[int(dtype)]; }
inline size_t bytes_of(DType dtype) { return size_t(dtype_bytes[int(dtype)]); }
inline bool is_float(DType dtype) { return dtype < DType::int32; }

// 2^exponent, and the exponent of x, both of normal numbers: these are called for every element, and ldexp and frexp
// are slow.
inline double power_of_two(int exponent) {
  const uint64_t bits = uint64_t(exponent + 1023) << 52;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
inline int exponent_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return int(bits >> 52 & 0x7ff) - 1023;
}

// The float nearest to x, ties to even, with `bits` bits of precision and exponents from `lowest` up; infinity from
// `limit` up.
inline double rounded(double x, int bits, int lowest, double limit) {
  if (x == 0 || !isfinite(x)) return x;
  const int exponent = exponent_of(x) > lowest ? exponent_of(x) : lowest;
  // A double has no bits below the unit once this is added.
  const double large = 1.5 * power_of_two(exponent - (bits - 1) + 52);
  const double y = copysign(fabs(x) + large - large, x);
  return fabs(y) >= limit ? copysign(INFINITY, x) : y;
}

// x as the nearest value of a dtype. Floats round once; integers and bool follow the table of kernels, as copy does.
inline double as_dtype(DType dtype, double x) {
  switch (dtype) {
    case DType::float32:
      return rounded(x, 24, -126, 0x1p128);
    case DType::bfloat16:
      return rounded(x, 8, -126, 0x1p128);
    case DType::float16:
      return rounded(x, 11, -14, 65536);
    case DType::int32:
    case DType::uint8: {
      if (!isfinite(x)) return 0;
      const double range = dtype == DType::int32 ? 4294967296.0 : 256.0;
      double y = fmod(trunc(x), range);
      if (y < 0) y += range;
      return dtype == DType::int32 && y >= 2147483648.0 ? y - range : y;
    }
    default:
      return x != 0;
  }
}

// The bits of a 16-bit float that is exactly x, and back.
inline uint16_t encode_half(double x, int fraction, int bias) {
  const uint16_t sign = signbit(x) ? 0x8000 : 0, top = uint16_t(0x7fff & (0x7fff << fraction));
  if (x != x) return top | uint16_t(1 << (fraction - 1)) | sign;
  if (isinf(x)) return top | sign;
  if (x == 0) return sign;
  const int exponent = exponent_of(x) + bias > 0 ? exponent_of(x) + bias : 0;
  const int significand = int(fabs(x) * power_of_two(bias + fraction - (exponent > 0 ? exponent : 1)));
  return uint16_t((exponent > 0 ? (exponent << fraction) + significand - (1 << fraction) : significand) | sign);
}
inline double decode_half(uint16_t bits, int fraction, int bias) {
  const int exponent = (bits & 0x7fff) >> fraction, significand = bits & ((1 << fraction) - 1);
  double x;
  if (exponent == (0x7fff >> fraction))
    x = significand ? double(NAN) : double(INFINITY);
  else
    x = (exponent ? significand + (1 << fraction) : significand) *
        power_of_two((exponent ? exponent : 1) - bias - fraction);
  return bits & 0x8000 ? -x : x;
}

struct Array {
  const size_t guard = guards(64);
  static constexpr unsigned char filling = 0xA5;

  std::vector<unsigned char> memory;
  View view{};
  bool in_order = false;  // whether elements follow each other in memory

  Array(const Sizes& sizes, DType dtype, Layout layout = Layout::dense) {
    const int n = int(sizes.size());
    view.dtype = dtype;
    view.ndim = n;
    view.count = 1;
    for (int d = 0; d < n; d++) view.count *= view.sizes[d] = sizes[size_t(d)];
    int64_t stride = 1;
    for (int k = 0; k < n; k++) {  // from the innermost in memory to the outermost
      const int d = layout == Layout::transposed ? k : layout == Layout::rotated ? (n - 1 - k + n - 1) % n : n - 1 - k;
      const bool broadcast = layout == Layout::uniform || (layout == Layout::repeated && d == 0) ||
                             (layout == Layout::spread && d == n - 1);
      if (layout == Layout::sliced) stride *= 2;
      view.strides[d] = broadcast ? 0 : layout == Layout::flipped ? -stride : stride;
      if (!broadcast) stride *= view.sizes[d];
      if (layout == Layout::sliced) stride += 1;
    }
    int64_t low = 0, high = view.count > 0 ? 1 : 0;
    for (int d = 0; d < n && view.count > 0; d++) {
      const int64_t reach = (view.sizes[d] - 1) * view.strides[d];
      (reach < 0 ? low : high) += reach;
    }
    memory.assign(size_t(high - low) * bytes_of(dtype) + 2 * guard, filling);
    view.data = memory.data() + guard - low * int64_t(bytes_of(dtype));
    in_order = layout == Layout::dense;
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  int64_t size() const { return view.count; }

  // The i-th element in row-major order of the shape.
  unsigned char* at(int64_t i) const {
    if (in_order) return static_cast<unsigned char*>(view.data) + i * int64_t(bytes_of(view.dtype));
    int64_t offset = 0;
    for (int d = view.ndim - 1; d >= 0; d--) {
      offset += i % view.sizes[d] * view.strides[d];
      i /= view.sizes[d];
    }
    return static_cast<unsigned char*>(view.data) + offset * int64_t(bytes_of(view.dtype));
  }
  double get(int64_t i) const { return read(at(i)); }
  // All elements, for loops that read them many times.
  std::vector<double> values() const {
    std::vector<double> result;
    for (int64_t i = 0; i < size(); i++) result.push_back(get(i));
    return result;
  }
  double read(const unsigned char* p) const {
    float f;
    int32_t whole;
    uint16_t half;
    switch (view.dtype) {
      case DType::float32:
        memcpy(&f, p, sizeof f);
        return f;
      case DType::bfloat16:
        memcpy(&half, p, sizeof half);
        return decode_half(half, 7, 127);
      case DType::float16:
        memcpy(&half, p, sizeof half);
        return decode_half(half, 10, 15);
      case DType::int32:
        memcpy(&whole, p, sizeof whole);
        return whole;
      default:
        return *p;
    }
  }
  void set(int64_t i, double x) {
    unsigned char* p = at(i);
    x = as_dtype(view.dtype, x);
    const float f = float(x);
    const int32_t whole = is_float(view.dtype) ? 0 : int32_t(x);
    const uint16_t half = view.dtype == DType::bfloat16  ? encode_half(x, 7, 127)
                          : view.dtype == DType::float16 ? encode_half(x, 10, 15)
                                                         : 0;
    switch (view.dtype) {
      case DType::float32:
        memcpy(p, &f, sizeof f);
        return;
      case DType::bfloat16:
      case DType::float16:
        memcpy(p, &half, sizeof half);
        return;
      case DType::int32:
        memcpy(p, &whole, sizeof whole);
        return;
      default:
        *p = static_cast<unsigned char>(whole);
    }
  }

  // Whether all memory beside the elements is unchanged.
  bool intact() const {
    std::vector<unsigned char> rest = memory;
    const size_t bytes = bytes_of(view.dtype);
    const auto blank = [&](int64_t i, size_t count) { memset(rest.data() + (at(i) - memory.data()), filling, count); };
    if (in_order && view.count > 0) blank(0, size_t(view.count) * bytes);
    for (int64_t i = 0; !in_order && i < view.count; i++) blank(i, bytes);
    return rest.empty() || (rest[0] == filling && !memcmp(rest.data(), rest.data() + 1, rest.size() - 1));
  }
};

// Adds to c, of M x N, the product of a, of M x K, and b, of K x N, all dense. Oracles of matrix products are most of
// the time of their tests.
inline void add_product(double* c, const double* a, const double* b, int64_t M, int64_t N, int64_t K) {
  typedef double Four __attribute__((vector_size(32), aligned(8)));
  for (int64_t i = 0; i < M; i++, a += K, c += N) {
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) {  // four terms each time that c is read
      const double x0 = a[k], x1 = a[k + 1], x2 = a[k + 2], x3 = a[k + 3];
      const double *b0 = b + k * N, *b1 = b0 + N, *b2 = b1 + N, *b3 = b2 + N;
      int64_t j = 0;
      for (; j + 4 <= N; j += 4) {
        Four sum, y0, y1, y2, y3;
        memcpy(&sum, c + j, sizeof sum);
        memcpy(&y0, b0 + j, sizeof y0), memcpy(&y1, b1 + j, sizeof y1);
        memcpy(&y2, b2 + j, sizeof y2), memcpy(&y3, b3 + j, sizeof y3);
        sum += x0 * y0 + x1 * y1 + (x2 * y2 + x3 * y3);
        memcpy(c + j, &sum, sizeof sum);
      }
      for (; j < N; j++) c[j] += x0 * b0[j] + x1 * b1[j] + (x2 * b2[j] + x3 * b3[j]);
    }
    for (; k < K; k++)
      for (int64_t j = 0; j < N; j++) c[j] += a[k] * b[k * N + j];
  }
}

// Floats in [-scale, scale), integers in that range, bytes of any value, or booleans.
inline void randomise(Array& array, uint32_t seed, double scale = 4) {
  Numbers numbers{seed * 2654435761u + 1};
  for (int64_t i = 0; i < array.size(); i++) {
    const double x = numbers.next();
    const DType dtype = array.view.dtype;
    array.set(i, is_float(dtype)         ? x * scale
                 : dtype == DType::int32 ? floor(x * scale * 100)
                 : dtype == DType::uint8 ? floor((x + 1) * 128)
                                         : x > 0);
  }
}

inline std::string text(const Sizes& sizes) {
  std::string s = "[";
  for (int64_t size : sizes) s += (s.size() > 1 ? ", " : "") + std::to_string(size);
  return s + "]";
}

// Runs kernel(context) from the present contents of `out` with 1, 2 and 3 threads. Bits must be equal, and nothing but
// the elements may be written.
template <class F>
void run(const std::string& what, Array& out, const F& kernel) {
  const std::vector<unsigned char> before = out.memory;
  std::vector<unsigned char> first;
  for (int threads = least_threads; threads <= 3; threads++) {
    out.memory.assign(before.begin(), before.end());
    Context& context = context_of(threads);
    kernel(context);
    context.release_scratch();
    const bool failed = context.failed.load();
    check(!failed, what + ": recorded an error: " + context.take_error().text);
    check(out.intact(), what + ": wrote outside the result");
    if (threads == least_threads) first = out.memory;
    check(first == out.memory, what + ": bits depend on threads");
  }
}

// Whether out's elements are want(i) to the bit, except for the kind of NaN and the sign of 0.
template <class F>
void check_equal(const std::string& what, const Array& out, const F& want) {
  for (int64_t i = 0; i < out.size(); i++) {
    const double got = out.get(i), expected = want(i);
    if (near(got, expected, 0)) continue;
    return check(false, what + ": element " + std::to_string(i) + " is " + std::to_string(got) + ", expected " +
                            std::to_string(expected));
  }
  check(true, what);
}

// Checks that the kernel refuses a call that dispatch would not have made, and leaves `out` unchanged.
template <class F>
void check_refused(const std::string& what, const Array& out, const F& kernel) {
  const std::vector<unsigned char> before = out.memory;
  check(error_of(kernel).code == ErrorCode::internal, what + ": not refused");
  check(before == out.memory, what + ": refused, but wrote");
}

}  // namespace firesteel::test
