// Block dtypes (q8_0, q4_0, nf4): numbers from bytes, bytes from numbers, and products whose right operand is made of
// blocks, at the edges of the constants by which these are cut. The formats stand here a second time, as their sources
// define them, and in a different form from native/cpu/simd/blocks.h:
//
//   q8_0, q4_0: dequantize_row_* and quantize_row_*_ref of GGML's ggml-quants.c
//   nf4: the levels and thresholds of bitsandbytes' dDequantizeNF4 and dQuantizeNF4
//
// A number is exact, because it is one product, rounded once. A sum of K products may be off by K + 2 roundings of the
// sum of their sizes, plus one rounding if the result is bfloat16. Under sanitizers every fourth product is tried.
#include "../cpu/gemm/blocks.h"
#include "../cpu/gemm/tile.h"
#include "../cpu/shape/convert.h"
#include "arrays.h"

extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace isa = firesteel::FIRESTEEL_ISA;
using namespace isa::gemm;

const bool thin = __asan_init || __tsan_init;

constexpr DType formats[] = {DType::q8_0, DType::q4_0, DType::nf4};
int64_t block_of(DType dtype) { return dtype == DType::nf4 ? 64 : 32; }
int64_t bytes_of_block(DType dtype) { return dtype == DType::q8_0 ? 34 : dtype == DType::q4_0 ? 18 : 36; }
int64_t bytes_of(DType dtype, int64_t numbers) { return numbers / block_of(dtype) * bytes_of_block(dtype); }

const double levels[16] = {-1.0,
                           -0.6961928009986877,
                           -0.5250730514526367,
                           -0.39491748809814453,
                           -0.28444138169288635,
                           -0.18477343022823334,
                           -0.09105003625154495,
                           0.0,
                           0.07958029955625534,
                           0.16093020141124725,
                           0.24611230194568634,
                           0.33791524171829224,
                           0.44070982933044434,
                           0.5626170039176941,
                           0.7229568362236023,
                           1.0};
const float thresholds[15] = {
    -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f};

// The numbers of one block.
std::vector<double> decoded(DType dtype, const unsigned char* block) {
  std::vector<double> numbers(size_t(block_of(dtype)));
  uint16_t half;
  float single;
  memcpy(&half, block, sizeof half);
  memcpy(&single, block, sizeof single);
  const double scale = dtype == DType::nf4 ? double(single) : decode_half(half, 10, 15);
  const auto set = [&](int64_t i, double x) { numbers[size_t(i)] = as_dtype(DType::float32, scale * x); };
  if (dtype == DType::q8_0)
    for (int64_t i = 0; i < 32; i++) set(i, double(int8_t(block[2 + i])));
  if (dtype == DType::q4_0)
    for (int64_t i = 0; i < 16; i++) set(i, (block[2 + i] & 15) - 8), set(16 + i, (block[2 + i] >> 4) - 8);
  if (dtype == DType::nf4)
    for (int64_t i = 0; i < 32; i++) set(2 * i, levels[block[4 + i] >> 4]), set(2 * i + 1, levels[block[4 + i] & 15]);
  return numbers;
}

// The bytes of one block.
std::vector<unsigned char> encoded(DType dtype, const float* x) {
  std::vector<unsigned char> block(size_t(bytes_of_block(dtype)));
  const int64_t count = block_of(dtype);
  float largest = 0;
  for (int64_t i = 0; i < count; i++)
    if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
  const float scale = dtype == DType::q8_0   ? fabsf(largest) / 127.0f
                      : dtype == DType::q4_0 ? largest / -8.0f
                                             : fabsf(largest);
  const float inverse = scale != 0 ? 1.0f / scale : 0;
  const uint16_t half = encode_half(as_dtype(DType::float16, double(scale)), 10, 15);
  memcpy(block.data(), &half, sizeof half);
  if (dtype == DType::nf4) memcpy(block.data(), &scale, sizeof scale);
  const auto bits = [&](float number) {
    const float scaled = number * inverse;
    if (dtype == DType::q4_0) return int(fminf(15, truncf(scaled + 8.5f)));
    int level = 0;
    for (float threshold : thresholds) level += scaled > threshold;
    return level;
  };
  if (dtype == DType::q8_0)
    for (int64_t i = 0; i < 32; i++) block[size_t(2 + i)] = (unsigned char)(int8_t)roundf(x[i] * inverse);
  if (dtype == DType::q4_0)
    for (int64_t i = 0; i < 16; i++) block[size_t(2 + i)] = (unsigned char)(bits(x[i]) | bits(x[16 + i]) << 4);
  if (dtype == DType::nf4)
    for (int64_t i = 0; i < 32; i++) block[size_t(4 + i)] = (unsigned char)(bits(x[2 * i]) << 4 | bits(x[2 * i + 1]));
  return block;
}

// Lines of blocks of any bits. A gap of one block, whose scale is NaN, may follow each line.
struct Blocks {
  DType dtype;
  int64_t lines, length, stride;
  std::vector<unsigned char> memory;
  std::vector<double> numbers;

  Blocks(DType type, int64_t count, int64_t size, bool gaps, uint32_t seed)
      : dtype(type), lines(count), length(size), stride(size + (gaps ? block_of(type) : 0)) {
    memory.assign(size_t(bytes_of(dtype, lines * stride)), 0xff);
    Numbers random{seed};
    for (int64_t line = 0; line < lines; line++)
      for (int64_t i = 0; i < length; i += block_of(dtype)) {
        unsigned char* const block = memory.data() + bytes_of(dtype, line * stride + i);
        for (int64_t j = 0; j < bytes_of_block(dtype); j++) block[j] = (unsigned char)(random.next() * 128 + 128);
        const double scale = floor(random.next() * 1000) / 512;
        const float single = float(scale * 1.1);
        const uint16_t half = encode_half(scale, 10, 15);
        dtype == DType::nf4 ? memcpy(block, &single, sizeof single) : memcpy(block, &half, sizeof half);
        const std::vector<double> all = decoded(dtype, block);
        numbers.insert(numbers.end(), all.begin(), all.end());
      }
  }
  double at(int64_t line, int64_t i) const { return numbers[size_t(line * length + i)]; }

  View view() {
    View v{};
    v.data = memory.data();
    v.dtype = dtype;
    v.ndim = 2;
    v.count = lines * length;
    v.sizes[0] = lines, v.sizes[1] = length;
    v.strides[0] = stride, v.strides[1] = 1;
    return v;
  }
};

View turned(View v) {
  const int last = v.ndim - 1;
  const int64_t size = v.sizes[last], stride = v.strides[last];
  v.sizes[last] = v.sizes[last - 1], v.strides[last] = v.strides[last - 1];
  v.sizes[last - 1] = size, v.strides[last - 1] = stride;
  return v;
}

// Numbers of whole blocks: one below the size, the size, one above, and more than two sizes with a rest.
std::vector<int64_t> whole(DType dtype, int64_t size) {
  const int64_t block = block_of(dtype), n = (size + block - 1) / block * block;
  std::vector<int64_t> sizes;
  for (int64_t each : {n - block, n, n + block, 2 * n + block})
    if (each > 0) sizes.push_back(each);
  return sizes;
}

void test_decoding() {
  for (DType dtype : formats) {
    const auto check_rows = [&](int64_t lines, int64_t length, bool gaps) {
      for (DType to : {DType::float32, DType::bfloat16, DType::float16}) {
        Blocks blocks(dtype, lines, length, gaps, uint32_t(lines * 31 + length));
        Array out({lines, length}, to);
        const std::string what = std::string(name(dtype)) + " " + text({lines, length}) + " to " + name(to);
        run(what, out, [&](Context& c) { isa::copy(c, out.view, blocks.view()); });
        check_equal(what, out, [&](int64_t i) { return as_dtype(to, blocks.numbers[size_t(i)]); });
      }
    };
    for (int64_t length : whole(dtype, isa::convert_limit)) check_rows(1, length, false), check_rows(5, length, true);
    for (int64_t lines : {1, 2, 511, 513}) check_rows(lines, block_of(dtype), lines % 2 == 0);
    check_rows(3, 70000 / block_of(dtype) * block_of(dtype), false);
  }
}

void test_encoding() {
  for (DType dtype : formats)
    for (int64_t blocks : {1, 2, 3, 31, 1023, 1024, 1025}) {
      const int64_t count = blocks * block_of(dtype);
      Array x({count}, DType::float32);
      randomise(x, uint32_t(blocks), 3);
      std::vector<float> values;
      for (int64_t i = 0; i < count; i++) {
        const int64_t block = i / block_of(dtype);
        if (block % 7 == 3) x.set(i, 0);                                // no scale
        if (block % 7 == 4) x.set(i, floor(x.get(i) * 4) / 2);          // halves
        if (block % 7 == 5) x.set(i, x.get(i) * ldexp(1, int(i % 9)));  // of many magnitudes
        if (block % 7 == 6) x.set(i, i % 16 == 5 ? -4 : double(4 * thresholds[i % 15]));
        values.push_back(float(x.get(i)));
      }
      std::vector<unsigned char> wanted;
      for (int64_t i = 0; i < count; i += block_of(dtype)) {
        const std::vector<unsigned char> block = encoded(dtype, &values[size_t(i)]);
        wanted.insert(wanted.end(), block.begin(), block.end());
      }
      for (int threads = 1; threads <= 3; threads++) {
        std::vector<unsigned char> memory(wanted.size(), 0xA5);
        View out{};
        out.data = memory.data();
        out.dtype = dtype;
        out.ndim = 1;
        out.count = out.sizes[0] = count;
        out.strides[0] = 1;
        Context& context = context_of(threads);
        isa::copy(context, out, x.view);
        context.release_scratch();
        size_t wrong = 0;
        while (wrong < wanted.size() && memory[wrong] == wanted[wrong]) wrong++;
        check(wrong == wanted.size(), std::to_string(blocks) + " blocks of " + name(dtype) + ": byte " +
                                          std::to_string(wrong) + " is " +
                                          std::to_string(memory[wrong % memory.size()]) + ", not " +
                                          std::to_string(wanted[wrong % wanted.size()]));
      }
    }
}

// a [matrices, m, k] and b, whose rows or columns are blocks. b is a single matrix or has as many.
void product(DType dtype, int64_t m, int64_t n, int64_t k, bool by_rows, int64_t matrices = 1) {
  static int round = 0;
  round++;
  if (thin && round % 4 != 2) return;
  const bool with_bias = round % 3 == 0, gaps = round % 2 == 0;
  const DType a_dtype = round % 5 == 0 ? DType::bfloat16 : DType::float32;
  const DType out_dtype = round % 7 == 0 ? DType::bfloat16 : DType::float32;
  const std::string what = std::string(name(out_dtype)) + " product of " + name(a_dtype) + " " +
                           text({matrices, m, k}) + " and " + name(dtype) + " " + text({k, n}) +
                           (by_rows ? " by rows" : " by columns") + (gaps ? " with gaps" : "") +
                           (with_bias ? " with bias" : "");
  Blocks blocks(dtype, matrices * (by_rows ? k : n), by_rows ? n : k, gaps, uint32_t(round));
  Array a({matrices, m, k}, a_dtype), bias({n}, DType::float32), out({matrices, m, n}, out_dtype);
  randomise(a, 1, 1);
  randomise(bias, 2);
  View b = blocks.view();
  const int64_t lines = blocks.lines / matrices;
  b.ndim = 3;
  b.sizes[2] = b.sizes[1], b.strides[2] = 1;
  b.sizes[1] = lines, b.strides[1] = blocks.stride;
  b.sizes[0] = matrices, b.strides[0] = lines * blocks.stride;
  if (!by_rows) b = turned(b);
  run(what, out, [&](Context& c) { isa::matmul(c, out.view, a.view, b, with_bias ? &bias.view : nullptr); });
  Array total({matrices, m, n}, DType::float32);
  for (int64_t i = 0; i < total.size(); i++) total.set(i, double(i % 11));
  run("accumulated " + what, total, [&](Context& c) { isa::matmul_accumulate(c, total.view, a.view, b); });
  bool right = true, right_total = true;
  for (int64_t at = 0; at < out.size(); at++) {
    const int64_t matrix = at / (m * n), j = at % n;
    double sum = 0, size = 0;
    for (int64_t d = 0; d < k; d++) {
      const int64_t line = matrix * lines + (by_rows ? d : j);
      const double term = a.get(at / n * k + d) * blocks.at(line, by_rows ? j : d);
      sum += term;
      size += fabs(term);
    }
    const double with = sum + (with_bias ? bias.get(j) : 0), whole_size = size + fabs(with - sum);
    const double rounding = out_dtype == DType::bfloat16 ? 0x1p-8 * fabs(with) : 0;
    right = right && near(out.get(at), with, double(k + 2) * epsilon * whole_size + rounding);
    right_total =
        right_total && near(total.get(at), sum + double(at % 11), double(k + 2) * epsilon * (size + double(at % 11)));
  }
  check(right, what);
  check(right_total, "accumulated " + what);
}

// A vector times blocks, which are decoded a part of a few lines at a time.
void test_vectors() {
  using namespace vector_blocks;
  for (DType dtype : formats) {
    for (int64_t length : whole(dtype, decoded_part)) {
      for (int64_t depth : about({rows_at_once})) product(dtype, 1, length, depth, true);
      for (int64_t columns : about({columns_at_once})) product(dtype, 1, columns, length, false);
      product(dtype, 1, 1, length, false), product(dtype, 5, 1, length, false);
    }
    for (int64_t rows : around(most_decoded_rows))
      for (int64_t columns : {1, 2, 11}) product(dtype, rows, columns, 2 * block_of(dtype), false);
    // Runs of scales of equal and unequal lengths, within one column and from one to the next.
    for (int64_t rows = 1; rows <= most_decoded_rows; rows++) {
      for (int64_t blocks : around(scales_at_once)) product(dtype, rows, 5, blocks * block_of(dtype), false);
      for (int64_t blocks : around(2 * scales_at_once)) product(dtype, rows, 3, blocks * block_of(dtype), false);
    }
    for (int64_t rows = 1; rows <= most_decoded_rows; rows++)
      for (int64_t threads : {1, 2, 3})
        for (int64_t columns : around(column_chunks * threads * least_column_elements / 192))
          product(dtype, rows, columns, 192, false);
    for (int64_t k : around(most_column_elements / block_of(dtype)))
      product(dtype, 1, column_chunks + 1, k * block_of(dtype), false);
    for (int64_t length : whole(dtype, widest_rows)) product(dtype, 1, length, 3, true);
    for (int64_t length : whole(dtype, deepest_columns)) product(dtype, 1, 3, length, false);
  }
}

// Packed panels, decoded in pieces, of lines side by side in blocks and of lines of blocks.
void test_packing() {
  using namespace pack_blocks;
  for (DType dtype : formats)
    for (int64_t m : {int64_t(2), tile_rows + 1, few_rows + 1}) {
      for (int64_t lines : whole(dtype, decoded_lines))
        for (int64_t depth : about({decoded_elements / decoded_lines})) product(dtype, m, lines, depth, true);
      for (int64_t depth : whole(dtype, decoded_elements / tile_columns))
        for (int64_t n : about({tile_columns})) product(dtype, m, n, depth, false);
      for (int64_t depth : whole(dtype, block_depth)) product(dtype, m, tile_columns + 1, depth, false);
    }
}

void test_batches() {
  for (DType dtype : formats)
    for (bool by_rows : {false, true}) {
      product(dtype, 5, 64, 64, by_rows, 3);
      product(dtype, 1, 128, 192, by_rows, 4);
      product(dtype, 70, 128, 192, by_rows, 2);
    }
}

}  // namespace

int main() {
  test_decoding();
  test_encoding();
  test_vectors();
  test_packing();
  test_batches();
  return finish("block_dtypes");
}
