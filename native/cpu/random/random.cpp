// Random tensors and dropout. Element i of a call takes word i % 4 of Philox block offset + i / 4, so that any thread
// can compute any chunk of the output, in any order. Words are made in a buffer in the first-level cache and converted
// from there.
//
// Numbers are computed in float64 by the operations that the table of kernels states, and rounded once, so that bits
// equal those of lib/backend/reference/random.ts. Philox itself takes about 1.3 cycles a word on AVX2, and a normal
// number ten times that. Dropout reads 4 bytes and writes 4 bytes an element, and keeps no mask: its backward is
// dropout itself at the same position.
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/strided.h"
#include "../simd/doubles.h"
#include "../simd/half.h"
#include "../simd/stream.h"
#include "blocks.h"
#include "normal.h"
#include "philox.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using random::buffer_words;
using random::chunk_elements;

// Calls convert(words, start, count) for pieces [start, start + count) of [0, elements).
template <class Convert>
void for_words(Context& context, int64_t elements, const Philox& position, const Convert& convert) {
  for_chunks(context, {elements, chunk_elements}, [&](int64_t first, int64_t end) {
    uint32_t words[buffer_words] = {};
    for (int64_t start = first; start < end; start += buffer_words) {
      const int64_t count = min(buffer_words, end - start);
      random::philox_words(words, count, position.seed, position.stream, position.offset + uint64_t(start / 4));
      convert(words, start, count);
    }
    simd::finish_streaming();
  });
}

// Elements [start, start + count) in row-major order, in place or in the buffer.
template <class T>
const T* read(const Reader<T>& reader, int64_t start, int64_t count, T* buffer) {
  static_assert(buffer_words <= block_size);
  prepare_buffer(reader, count, buffer);
  return read_block(reader, start, count, buffer);
}

}  // namespace

void random_uniform(Context& context, const View& out, const Philox& random, double low, double high) {
  float* const to = pointer<float>(out);
  const double range = high - low;
  for_words(context, out.count, random, [=](const uint32_t* words, int64_t start, int64_t count) {
    for (int64_t i = 0; i < count; i++)
      to[start + i] = float(low + range * (double(int32_t(words[i] >> 8)) * (1.0 / 16777216.0)));
  });
}

void random_normal(Context& context, const View& out, const Philox& random, double mean, double std) {
  static_assert(buffer_words == random::normal_buffer);
  float* const to = pointer<float>(out);
  for_words(context, out.count, random, [=](const uint32_t* words, int64_t start, int64_t count) {
    double z[buffer_words];
    random::normal_quantiles(z, words, count);
    for (int64_t i = 0; i < count; i++) to[start + i] = float(z[i] * std + mean);
  });
}

void random_integers(Context& context, const View& out, const Philox& random, int64_t low, int64_t high) {
  if (low < INT32_MIN || high > int64_t(INT32_MAX) + 1 || low >= high) {
    record_error(context, ErrorCode::value,
                 "random_integers: low is %lld and high is %lld; they must hold -2^31 <= low < high <= 2^31",
                 (long long)low, (long long)high);
    return;
  }
  int32_t* const to = pointer<int32_t>(out);
  const uint64_t range = uint64_t(high - low);
  for_words(context, out.count, random, [=](const uint32_t* words, int64_t start, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[start + i] = int32_t(low + int64_t((words[i] * range) >> 32));
  });
}

void dropout(Context& context, const View& out, const View& x, const Philox& random, double p) {
  if (!expect(context, same_shape(out, x), "dropout: out and x differ in shape")) return;
  if (!(p >= 0 && p <= 1)) {
    record_error(context, ErrorCode::value, "dropout: p is %g; it must lie in [0, 1]", p);
    return;
  }
  if (!expect(context, out.dtype == x.dtype && (x.dtype == DType::float32 || x.dtype == DType::bfloat16),
              "dropout: expected float32 or bfloat16"))
    return;
  const bool half = out.dtype == DType::bfloat16;
  // The scale is applied in float64, so that there is one rounding, as in the reference.
  const double scale = 1.0 / (1.0 - p);
  const uint64_t threshold = random::drop_threshold(p);
  if (threshold > UINT32_MAX) {  // everything is dropped
    const int64_t size = half ? 2 : 4;
    for_words(context, out.count, random, [=](const uint32_t*, int64_t start, int64_t count) {
      memset(pointer<char>(out) + start * size, 0, size_t(count * size));
    });
    return;
  }
  const bool stream = !half && out.count * int64_t(sizeof(float)) >= simd::streaming_bytes;
  const simd::VecI bound = simd::set_int(int32_t(uint32_t(threshold) ^ 0x80000000u));
  const Reader<float> floats = make_reader<float>(x, 0);
  const Reader<uint16_t> halves = make_reader<uint16_t>(x, 0);
  for_words(context, out.count, random, [&](const uint32_t* words, int64_t start, int64_t count) {
    float numbers[buffer_words];
    const float* from = numbers;
    if (half) {
      uint16_t room[buffer_words];
      simd::widen_bfloat16(count, numbers, read(halves, start, count, room));
    } else {
      from = read(floats, start, count, numbers);
    }
    float* const to = half ? numbers : pointer<float>(out) + start;
    const double factor = scale;
    const simd::VecI limit = bound;
    simd::write_row(to, count, stream, [&](int64_t i, int64_t n) {
      simd::Halves kept = simd::widen(simd::load_some(from + i, n));
      for (auto& part : kept.of) part *= factor;
      // Compares unsigned words, by flipping the sign bits.
      const int32_t* at = reinterpret_cast<const int32_t*>(words + i);
      const simd::VecI word = n == simd::lanes ? simd::load(at) : simd::load_partial(at, n);
      return simd::select((word ^ simd::set_int(INT32_MIN)) < limit, simd::zero(), simd::narrow(kept));
    });
    if (half) simd::narrow_bfloat16(count, pointer<uint16_t>(out) + start, numbers);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
