// Block dtypes: floats to blocks, in float32 as in the quantisers from which the formats come (GGML's reference for
// q8_0 and q4_0, bitsandbytes for nf4), and blocks to numbers. A block with NaN or an infinity becomes NaN as a whole,
// because no scale holds it. If the inverse of a scale is beyond float32, the block becomes zeros. Memory is the limit.
#include "blocks.h"

#include "../simd/blocks.h"
#include "convert.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

// Elements of a chunk, approximately, in whole blocks of every dtype.
constexpr int64_t blocks_chunk = int64_t(1) << 15;

int64_t shorter_of(int64_t a, int64_t b) { return a < b ? a : b; }

// The number of largest magnitude, the first of several; NaN if any is not finite.
float extreme(const float* numbers, int64_t count) {
  float largest = 0;
  for (int64_t i = 0; i < count; i++) {
    const float x = numbers[i], magnitude = __builtin_fabsf(x);
    if (!(magnitude <= 3.4028234663852886e38f)) return __builtin_nanf("");
    if (magnitude > __builtin_fabsf(largest)) largest = x;
  }
  return largest;
}

// 1 / scale; 0 if there is no inverse, or none that float32 holds.
float inverse(float scale) {
  const float result = 1.0f / scale;
  return __builtin_fabsf(result) <= 3.4028234663852886e38f ? result : 0;
}

void store_float16(uint8_t* to, float value) {
  uint16_t half;
  simd::narrow_float16(1, &half, &value);
  memcpy(to, &half, sizeof half);
}

void encode_q8_0(uint8_t* to, const float* numbers) {
  const float scale = __builtin_fabsf(extreme(numbers, 32)) / 127.0f, factor = inverse(scale);
  store_float16(to, scale);
  for (int i = 0; i < 32; i++) {
    // The sum is computed in double, in which adding a half is exact. Halves are rounded away from 0.
    const double scaled = factor == 0 ? 0.0 : double(numbers[i] * factor);
    to[2 + i] = uint8_t(int8_t(scaled < 0 ? -int(0.5 - scaled) : int(scaled + 0.5)));
  }
}

void encode_q4_0(uint8_t* to, const float* numbers) {
  const float scale = extreme(numbers, 32) / -8.0f, factor = inverse(scale);
  store_float16(to, scale);
  const auto bits = [factor](float x) {
    const int level = factor == 0 ? 8 : int(x * factor + 8.5f);
    return level < 15 ? level : 15;
  };
  for (int i = 0; i < 16; i++) to[2 + i] = uint8_t(bits(numbers[i]) | bits(numbers[16 + i]) << 4);
}

// The borders halfway between levels. A number above a border belongs to the higher level. Four borders are also
// halfway between two floats. They are then the float into which a compiler rounds bitsandbytes' literals.
constexpr float nf4_borders[15] = {
    -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f};

void encode_nf4(uint8_t* to, const float* numbers) {
  const float magnitude = __builtin_fabsf(extreme(numbers, 64)), factor = inverse(magnitude);
  const float stored = factor == 0 && magnitude > 0 ? 0 : magnitude;
  memcpy(to, &stored, sizeof stored);
  const auto bits = [factor](float x) {
    if (factor == 0) return 7;
    const float scaled = x * factor;
    int level = 0;
    for (float border : nf4_borders) level += scaled > border;
    return level;
  };
  for (int i = 0; i < 32; i++) to[4 + i] = uint8_t(bits(numbers[2 * i]) << 4 | bits(numbers[2 * i + 1]));
}

}  // namespace

bool seen_as_bytes(const View& blocks, View* bytes) {
  const int last = blocks.ndim - 1;
  if (last < 0 || blocks.strides[last] != 1) return false;
  *bytes = blocks;
  bytes->dtype = DType::uint8;
  bytes->count = simd::bytes_of_blocks(blocks.dtype, blocks.count);
  bytes->sizes[last] = simd::bytes_of_blocks(blocks.dtype, blocks.sizes[last]);
  for (int d = 0; d < last; d++) bytes->strides[d] = simd::bytes_of_blocks(blocks.dtype, blocks.strides[d]);
  return true;
}

void encode_blocks(Context& context, const View& dst, const View& src) {
  bool dense = src.dtype == DType::float32;
  int64_t expected = 1;
  for (int d = dst.ndim - 1; d >= 0; expected *= dst.sizes[d--])
    dense = dense && (dst.sizes[d] == 1 || (dst.strides[d] == expected && src.strides[d] == expected));
  if (!expect(context, dense, "copy: only dense float32 can become blocks")) return;
  const DType dtype = dst.dtype;
  const int64_t block = simd::block_of(dtype);
  void (*const encode)(uint8_t*, const float*) = dtype == DType::q8_0   ? encode_q8_0
                                                 : dtype == DType::q4_0 ? encode_q4_0
                                                                        : encode_nf4;
  parallel(context, (dst.count + blocks_chunk - 1) / blocks_chunk, [&](int64_t chunk) {
    const int64_t end = shorter_of((chunk + 1) * blocks_chunk, dst.count);
    for (int64_t i = chunk * blocks_chunk; i < end; i += block)
      encode(pointer<uint8_t>(dst) + simd::bytes_of_blocks(dtype, i), pointer<float>(src) + i);
  });
}

void decode_rows(Context& context, const View& dst, const View& src) {
  const int last = src.ndim - 1;
  bool sound = last >= 0 && src.strides[last] == 1;
  int64_t expected = 1;
  for (int d = last; d >= 0; expected *= dst.sizes[d--])
    sound = sound && (dst.sizes[d] == 1 || dst.strides[d] == expected);
  if (!expect(context, sound, "copy: blocks must lie along the last dimension, and become dense numbers")) return;
  const int64_t columns = src.sizes[last], pieces = (columns + convert_limit - 1) / convert_limit;
  const int64_t units = dst.count / columns * pieces, a_chunk = blocks_chunk / convert_limit;
  parallel(context, (units + a_chunk - 1) / a_chunk, [&](int64_t chunk) {
    for (int64_t unit = chunk * a_chunk; unit < shorter_of((chunk + 1) * a_chunk, units); unit++) {
      const int64_t row = unit / pieces, column = unit % pieces * convert_limit;
      const int64_t n = shorter_of(convert_limit, columns - column);
      int64_t at = column, rest = row;
      for (int d = last - 1; d >= 0; rest /= src.sizes[d--]) at += rest % src.sizes[d] * src.strides[d];
      float numbers[convert_limit];
      simd::decode_blocks(src.dtype, src.data, at, n, numbers);
      char* to = pointer<char>(dst) + (row * columns + column) * dtype_bytes[int(dst.dtype)];
      narrow_floats(dst.dtype, n, to, numbers);
    }
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
