// Random tensors and dropout: Philox against Random123's known answers, bits against those of TypeScript
// (tests/unit/random.test.ts has the same digests), numbers against their formulas, and the normal distribution against
// erfc.
#include "../cpu/random/blocks.h"
#include "../cpu/random/normal.h"
#include "../cpu/simd/stream.h"
#include "arrays.h"
#include "tensors.h"

namespace {

using namespace firesteel;
using namespace firesteel::test;
namespace random = firesteel::FIRESTEEL_ISA::random;

// FNV-1a over 32-bit words.
uint32_t digest(const void* data, size_t words) {
  uint32_t hash = 0x811C9DC5u;
  for (size_t i = 0; i < words; i++) {
    uint32_t word;
    memcpy(&word, static_cast<const char*>(data) + 4 * i, 4);
    hash = (hash ^ word) * 0x01000193u;
  }
  return hash;
}

void test_philox() {
  const uint32_t answers[][10] = {
      // counter, key, words
      {0, 0, 0, 0, 0, 0, 0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8},
      {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0x408F276D, 0x41C83B0E, 0xA20BC7C6,
       0x6D5451FD},
      {0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0xD16CFE09, 0x94FDCCEB, 0x5001E420,
       0x24126EA1},
  };
  for (const auto& answer : answers) {
    uint32_t counter[4];
    memcpy(counter, answer, sizeof counter);
    random::philox4x32(counter, uint64_t(answer[4]) | uint64_t(answer[5]) << 32);
    check(!memcmp(counter, answer + 6, sizeof counter), "a known answer of Philox");
  }
  // Many blocks at once, across the carry into the upper half of the block number.
  for (uint64_t block : {uint64_t(0), uint64_t(12345), (uint64_t(1) << 32) - 9, (uint64_t(1) << 53) - 200})
    for (int64_t count : {0, 1, 3, 4, 5, 47, 48, 49, 96, 97, 193, 500}) {
      std::vector<uint32_t> words(size_t(count) + 1, 7u);
      random::philox_words(words.data(), count, 0x123456789ABCDEFull, 77, block);
      bool same = words[size_t(count)] == 7;
      for (int64_t i = 0; i < count; i++) {
        uint32_t one[4];
        random::philox4(one, 0x123456789ABCDEFull, 77, block + uint64_t(i / 4));
        same = same && words[size_t(i)] == one[i % 4];
      }
      check(same, "philox_words of " + std::to_string(count) + " words differs from philox4");
    }
}

double quantile(uint32_t word) {
  double z[random::normal_lanes];
  uint32_t words[random::normal_lanes] = {word};
  random::normal_quantiles(z, words, 1);
  return z[0];
}

void test_normal_quantile() {
  double worst = 0;
  for (uint64_t k = 0; k < 200000; k++) {
    const uint32_t word = uint32_t(k < 100 ? k : k < 200 ? 0xFFFFFFFFu - (k - 100) : k * 2654435761u);
    const double z = quantile(word), p = (double(word) + 0.5) / 4294967296.0;
    // The density turns the error of the probability into that of z. Near 0 that error is absolute, otherwise relative
    // to z.
    const double density = 0.3989422804014327 * exp(-z * z / 2);
    const double nearer = p < 0.5 ? p : 1 - p;
    const double error = (0.5 * erfc(fabs(z) * 0.7071067811865476) - nearer) / density;
    worst = fmax(worst, fabs(error) / fmax(1, fabs(z)));
  }
  for (uint32_t k = 322122500; k < 322122600; k++) {
    const bool tail = 0.5 - (double(k) + 0.5) / 4294967296.0 > 0.425;
    check(random::in_tail(k) == tail && random::in_tail(~k) == tail, "the tails begin where TypeScript has them");
  }
  check(worst < 1e-14, "the normal quantile is off by " + std::to_string(worst * 1e16) + "e-16");
}

const Philox position{0x1F2F3F4F5F6F7ull, 0x89ABCDEF, (uint64_t(1) << 32) - 3};

void test_numbers(int64_t count) {
  const std::string size = " of " + std::to_string(count);
  std::vector<uint32_t> words(static_cast<size_t>(count));
  random::philox_words(words.data(), count, position.seed, position.stream, position.offset);

  Floats uniform({count});
  run<float>("random_uniform" + size, {&uniform},
             [&](Context& c) { FIRESTEEL_ISA::random_uniform(c, uniform.view, position, -2.5, 4); });
  bool right = true;
  for (size_t i = 0; i < uniform.size(); i++)
    right = right && uniform[i] == float(-2.5 + 6.5 * (double(words[i] >> 8) / 16777216.0));
  check(right, "random_uniform" + size);

  Floats normal({count});
  run<float>("random_normal" + size, {&normal},
             [&](Context& c) { FIRESTEEL_ISA::random_normal(c, normal.view, position, 0.25, 3); });
  right = true;
  for (size_t i = 0; i < normal.size(); i++) right = right && normal[i] == float(quantile(words[i]) * 3 + 0.25);
  check(right, "random_normal" + size);

  for (int64_t low : {int64_t(0), int64_t(-5), int64_t(INT32_MIN)})
    for (int64_t high : {int64_t(1), int64_t(1000), int64_t(INT32_MAX) + 1}) {
      Tensor<int32_t> integers({count}, DType::int32);
      run<int32_t>("random_integers" + size, {&integers},
                   [&](Context& c) { FIRESTEEL_ISA::random_integers(c, integers.view, position, low, high); });
      right = true;
      for (size_t i = 0; i < integers.size(); i++)
        right = right && integers[i] == low + int64_t((unsigned __int128)(words[i]) * uint64_t(high - low) >> 32);
      check(right, "random_integers" + size);
    }
}

// x is a transposed slice of every second column of its memory.
void test_dropout(int64_t rows, int64_t columns) {
  Floats memory({columns, 2 * rows});
  randomise(memory, 5);
  Floats out({rows, columns});
  View x = out.view;
  x.data = memory.view.data;
  x.strides[0] = 2;
  x.strides[1] = 2 * rows;
  for (double p : {0.0, 0.1, 0.5, 1.0}) {
    const std::string what =
        "dropout of " + std::to_string(rows) + " x " + std::to_string(columns) + " by " + std::to_string(p);
    run<float>(what, {&out}, [&](Context& c) { FIRESTEEL_ISA::dropout(c, out.view, x, position, p); });
    std::vector<uint32_t> words(out.size());
    random::philox_words(words.data(), out.view.count, position.seed, position.stream, position.offset);
    bool right = true;
    for (size_t i = 0; i < out.size(); i++) {
      const float value = memory[size_t(int64_t(i) / columns * 2 + int64_t(i) % columns * 2 * rows)];
      const bool dropped = double(words[i]) < floor(p * 4294967296.0 + 0.5);
      right = right && out[i] == (dropped ? 0.0f : float(double(value) * (1 / (1 - p))));
    }
    check(right, what);

    Floats dense({rows, columns}), again({rows, columns});
    for (size_t i = 0; i < dense.size(); i++)
      dense[i] = memory[size_t(int64_t(i) / columns * 2 + int64_t(i) % columns * 2 * rows)];
    run<float>(what, {&again}, [&](Context& c) { FIRESTEEL_ISA::dropout(c, again.view, dense.view, position, p); });
    check(same_bits(out.view.data, again.view.data, 4 * out.size()), what + ": dense and strided differ");
  }
}

// bfloat16 is widened to float32 before and rounded after, for dense and strided memory.
void test_half_dropout(int64_t rows, int64_t columns) {
  for (double p : {0.0, 0.3, 1.0})
    for (Layout layout : {Layout::dense, Layout::transposed, Layout::sliced}) {
      const std::string what = "dropout of bfloat16 " + std::to_string(columns) + " by " + std::to_string(p);
      Array x({rows, columns}, DType::bfloat16, layout), out({rows, columns}, DType::bfloat16);
      Array wide({rows, columns}, DType::float32), exact({rows, columns}, DType::float32);
      randomise(x, 3);
      for (int64_t i = 0; i < x.size(); i++) wide.set(i, x.get(i));
      run(what, exact, [&](Context& c) { FIRESTEEL_ISA::dropout(c, exact.view, wide.view, position, p); });
      run(what, out, [&](Context& c) { FIRESTEEL_ISA::dropout(c, out.view, x.view, position, p); });
      check_equal(what, out, [&](int64_t i) { return as_dtype(DType::bfloat16, exact.get(i)); });
    }
}

// Counts around the words of a buffer, the elements of a chunk, and the numbers that Philox and the normal distribution
// compute at once.
void test_blocks() {
  using random::buffer_words;
  using random::chunk_elements;
  const int64_t group = 4 * random::philox_group_blocks;
  for (int64_t count : about({4, random::normal_lanes, 4 * random::philox_lanes, group, random::normal_buffer,
                              buffer_words, chunk_elements}))
    test_numbers(count);
  for (int64_t count : about({buffer_words, chunk_elements})) {
    test_dropout(1, count);
    test_half_dropout(1, count);
  }
  for (int64_t count : about({FIRESTEEL_ISA::simd::lanes, group})) test_dropout(3, count), test_half_dropout(3, count);
  // Dense results, written past the caches and not.
  const int64_t streamed = (FIRESTEEL_ISA::simd::streaming_bytes + 3) / 4;
  for (int64_t count : {streamed - 1, streamed, streamed + 1, streamed + streamed / 5}) {
    Floats x({count}), out({count});
    randomise(x, 11);
    const std::string what = "dropout of " + std::to_string(count);
    run<float>(what, {&out}, [&](Context& c) { FIRESTEEL_ISA::dropout(c, out.view, x.view, position, 0.25); });
    std::vector<uint32_t> words(out.size());
    random::philox_words(words.data(), count, position.seed, position.stream, position.offset);
    bool right = true;
    for (size_t i = 0; i < out.size(); i++)
      right = right && out[i] == (words[i] < 0x40000000u ? 0.0f : float(double(x[i]) * (1 / 0.75)));
    check(right, what);
  }
}

// The digests that tests/unit/random.test.ts computes from the reference kernels.
void test_digests() {
  const int64_t count = 10007;
  Floats uniform({count}), normal({count}), dropped({count});
  Tensor<int32_t> integers({count}, DType::int32);
  Context context(2);
  const Philox from{1234567890123456ull, 0xDEADBEEF, 4294967290ull};
  FIRESTEEL_ISA::random_uniform(context, uniform.view, from, -1, 3);
  FIRESTEEL_ISA::random_normal(context, normal.view, from, 0.5, 2);
  FIRESTEEL_ISA::random_integers(context, integers.view, from, -1000, 2000000000);
  FIRESTEEL_ISA::dropout(context, dropped.view, normal.view, from, 0.3);
  const uint32_t digests[] = {digest(uniform.view.data, uniform.size()), digest(normal.view.data, normal.size()),
                              digest(integers.view.data, integers.size()), digest(dropped.view.data, dropped.size())};
  const uint32_t expected[] = {0x4238f53b, 0x759711f7, 0x1fc1f545, 0x74b427ef};
  const char* const names[] = {"random_uniform", "random_normal", "random_integers", "dropout"};
  for (int i = 0; i < 4; i++) {
    char text[120];
    snprintf(text, sizeof text, "%s: the digest is 0x%08x, in TypeScript 0x%08x", names[i], digests[i], expected[i]);
    check(digests[i] == expected[i], text);
  }
}

void test_errors() {
  Floats out({4}), x({4});
  Tensor<int32_t> integers({4}, DType::int32);
  const auto code = [](const auto& kernel) { return error_of(kernel).code; };
  using firesteel::FIRESTEEL_ISA::dropout;
  using firesteel::FIRESTEEL_ISA::random_integers;
  check(code([&](Context& c) { random_integers(c, integers.view, position, 3, 3); }) == ErrorCode::value, "low = high");
  check(code([&](Context& c) { random_integers(c, integers.view, position, 0, int64_t(1) << 40); }) == ErrorCode::value,
        "high beyond int32");
  check(code([&](Context& c) { dropout(c, out.view, x.view, position, NAN); }) == ErrorCode::value, "p is NaN");
  check(code([&](Context& c) { dropout(c, out.view, x.view, position, 1.5); }) == ErrorCode::value, "p is 1.5");
}

}  // namespace

int main() {
  test_philox();
  test_normal_quantile();
  for (int64_t count : {0, 1, 5, 31, 767, 768, 769, 16383, 16385, 50001}) test_numbers(count);
  for (int64_t columns : {1, 3, 770}) test_dropout(37, columns);
  for (int64_t columns : {0, 1, 770}) test_half_dropout(37, columns);
  test_dropout(0, 5);
  test_dropout(37, 77001);  // written past the caches
  test_blocks();
  test_digests();
  test_errors();
  return finish("random");
}
