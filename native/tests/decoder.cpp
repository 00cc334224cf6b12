// The decoder of calls, without Node: what it makes of sound words, and which words it refuses. Words are cut at every
// length, so that a sanitizer sees reads beyond their end.
#include "../addon/decoder.cpp"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <string>

using namespace firesteel;

namespace {

int failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  fprintf(stderr, "FAILED: %s\n", what.c_str());
  failures++;
}

int number_of(const char* name) {
  for (size_t i = 0; i < kernel_rows.size(); i++)
    if (!strcmp(kernel_rows[i].name, name)) return static_cast<int>(i);
  fprintf(stderr, "there is no kernel %s\n", name);
  exit(1);
}

// Words of a call, written one after the other. Storages 0 to 7 have 1024 bytes.
struct Writer {
  explicit Writer(const char* kernel) : ints{number_of(kernel), 3} {
    handles.grow(8, sizes);
    for (int32_t handle = 0; handle < 8; handle++) handles[handle] = {.bytes = 1024, .live = true};
  }

  Writer& dense(int32_t handle, int dtype, std::initializer_list<int32_t> shape) {
    ints.insert(ints.end(), {handle, dtype | static_cast<int32_t>(shape.size()) << 8 | dense_flag << 16});
    ints.insert(ints.end(), shape);
    return *this;
  }
  // A vector, every second element of a storage from `offset` on.
  Writer& spread(int32_t handle, int dtype, int32_t offset, int32_t size) {
    ints.insert(ints.end(), {handle, dtype | 1 << 8, offset, size, 2});
    return *this;
  }
  // Rows of a matrix, each `step` elements after the row before.
  Writer& rows(int32_t handle, int dtype, int32_t offset, int32_t count, int32_t size, int32_t step) {
    ints.insert(ints.end(), {handle, dtype | 2 << 8, offset, count, size, step, 1});
    return *this;
  }
  Writer& absent() {
    ints.push_back(-1);
    return *this;
  }
  Writer& numbers(std::initializer_list<double> values) {
    doubles.insert(doubles.end(), values);
    return *this;
  }

  // Null if the words are accepted, else the reason.
  const char* decode() { return decode(ints.size(), doubles.size()); }
  const char* decode(size_t int_count, size_t double_count) {
    // The memory has exactly this size, so that a sanitizer sees a read beyond it.
    std::vector<int32_t> some_ints(ints.begin(), ints.begin() + static_cast<ptrdiff_t>(int_count));
    std::vector<double> some_doubles(doubles.begin(), doubles.begin() + static_cast<ptrdiff_t>(double_count));
    some_ints.shrink_to_fit();
    some_doubles.shrink_to_fit();
    const Words words = {some_ints.data(), int_count, some_doubles.data(), double_count};
    return decoder.decode(words, handles, call) ? nullptr : decoder.error();
  }

  void refused(const char* why, const std::string& what) {
    const char* error = decode();
    check(error && strstr(error, why), what + ": " + (error ? error : "taken") + ", but should be: " + why);
  }
  void taken(const std::string& what) {
    const char* error = decode();
    check(!error, what + ": " + (error ? error : ""));
  }

  std::vector<int32_t> ints;
  std::vector<double> doubles;
  double sizes[8] = {1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024};
  HandleList handles;
  Decoder decoder;
  Call call;
};

constexpr int float32 = 0, bfloat16 = 1, int32 = 3;

Writer convolution(std::initializer_list<double> numbers) {
  Writer words("conv2d_forward");
  words.dense(0, float32, {1, 1, 2, 2}).dense(1, float32, {1, 1, 3, 3}).dense(2, float32, {1, 1, 2, 2}).absent();
  return words.numbers(numbers);
}

void test_integers() {
  Writer empty = convolution({0, 0, 0, 5, 1});
  empty.taken("three vectors without integers");
  for (const Integers& vector : {empty.call.integers[0], empty.call.integers[1], empty.call.integers[2]})
    check(vector.size == 0, "a vector without integers has none");
  check(empty.call.numbers[0] == 5 && empty.call.numbers[1] == 1, "numbers behind vectors without integers");

  Writer mixed = convolution({1, 7, 2, -8, 9, 3, 10, 9007199254740991.0, -9007199254740991.0, 5, 0});
  mixed.taken("vectors of 1, 2 and 3 integers");
  const Integers *vectors = mixed.call.integers, one = vectors[0], two = vectors[1], three = vectors[2];
  check(one.size == 1 && one.items[0] == 7, "a vector of 1");
  check(two.size == 2 && two.items[0] == -8 && two.items[1] == 9, "a vector of 2");
  check(three.size == 3 && three.items[0] == 10 && three.items[1] == 9007199254740991 &&
            three.items[2] == -9007199254740991,
        "a vector of 3");
  check(mixed.call.numbers[0] == 5 && mixed.call.numbers[1] == 0, "numbers behind vectors");

  static_assert(max_dims == 8);
  Writer longest = convolution({8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 5, 0});
  longest.taken("vectors of 8");
  for (const int i : {0, 2})
    for (int k = 0; k < 8; k++)
      check(longest.call.integers[i].size == 8 && longest.call.integers[i].items[k] == k + 1, "a vector of 8");
  check(longest.call.integers[1].size == 0, "a vector without integers between others");

  convolution({9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 5, 0})
      .refused("stride: has 9 integers, but may have 0 to 8", "a vector of 9");
  convolution({-1, 0, 0, 5, 0}).refused("stride: has -1 integers", "a vector of -1");
  convolution({0, 9007199254740991.0, 0, 5, 0}).refused("padding: has 9007199254740991 integers", "an endless vector");
  for (const double wrong : {0.5, double(NAN), double(INFINITY), 1e300, 9007199254740992.0}) {
    convolution({wrong, 0, 0, 5, 0}).refused("is not a safe integer", "a wrong length");
    convolution({2, 1, wrong, 0, 0, 5, 0}).refused("is not a safe integer", "a wrong integer in a vector");
  }
}

void test_lengths() {
  Writer words = convolution({2, 1, 1, 2, 0, 0, 2, 1, 1, 1, 0});
  words.taken("a convolution");
  for (size_t ints = 0; ints <= words.ints.size(); ints++)
    for (size_t doubles = 0; doubles <= words.doubles.size(); doubles++)
      check(!words.decode(ints, doubles) == (ints == words.ints.size() && doubles == words.doubles.size()),
            "a call cut to " + std::to_string(ints) + " and " + std::to_string(doubles) + " words");
}

void test_dtypes() {
  for (int dtype = 0; dtype < 256; dtype++) {
    const std::string what = "dtype " + std::to_string(dtype);
    if (dtype >= dtype_count) {
      Writer("copy").dense(0, dtype, {4}).spread(1, dtype, 3, 4).refused("does not accept", what);
      continue;
    }
    const int32_t block = dtype_block[dtype];
    Writer words("copy");
    words.dense(0, dtype, {4 * block}).rows(1, dtype, 3 * block, 4, block, 2 * block).taken(what);
    check(words.call.views[1].dtype == static_cast<DType>(dtype), what + " stays");
    check(words.call.places[1].byte_offset == 3 * dtype_bytes[dtype], what + ": where the view begins");
    const int32_t most = 1024 / dtype_bytes[dtype] * block;
    Writer whole("copy"), beyond("copy");
    whole.dense(0, dtype, {most}).dense(1, dtype, {most}).taken(what + ", a whole storage");
    beyond.dense(0, dtype, {most}).dense(1, dtype, {most + block}).refused("but its storage has", what + ", beyond it");
    if (block == 1) continue;
    const auto refused = [&](int32_t offset, int32_t size, int32_t step, const char* which) {
      Writer parts("copy");
      parts.dense(0, dtype, {4 * block}).rows(1, dtype, offset, 4, size, step).refused("whole blocks", what + which);
    };
    for (const int32_t off : {-1, 1}) {
      refused(block + off, block, block, ", an offset within a block");
      refused(0, block + off, 2 * block, ", rows that end within a block");
      refused(0, block, 2 * block + off, ", rows that begin within a block");
    }
  }
  Writer("add").dense(0, int32, {4}).dense(1, int32, {4}).dense(2, int32, {4}).taken("add of int32");
  Writer("add")
      .dense(0, int32, {4})
      .dense(1, float32, {4})
      .dense(2, int32, {4})
      .refused("a: has dtype 0, but the arguments before it have 3", "T of two dtypes");
  Writer("exp")
      .dense(0, int32, {4})
      .dense(1, int32, {4})
      .refused("out: the kernel does not accept dtype 3", "exp of int32");
  Writer("matmul")
      .dense(0, float32, {2, 2})
      .dense(1, bfloat16, {2, 2})
      .dense(2, float32, {2, 2})
      .absent()
      .taken("a product of two dtypes");
}

void test_tensors() {
  Writer add("add");
  add.dense(0, float32, {2, 3}).dense(1, float32, {2, 3}).dense(2, float32, {2, 3}).taken("add");
  check(add.call.label == 3 && add.call.view_count == 3 && add.call.views[0].count == 6, "add, as it was written");
  check(add.call.views[1].strides[0] == 3 && add.call.views[1].strides[1] == 1, "strides of dense memory");
  Writer("add")
      .dense(0, float32, {4})
      .dense(0, float32, {4})
      .dense(1, float32, {4})
      .refused("is written, and another argument uses", "x+=x");
  Writer("add")
      .dense(0, float32, {4})
      .dense(8, float32, {4})
      .dense(1, float32, {4})
      .refused("8 is not a handle", "handle");
  Writer("add").absent().refused("-1 is not a handle", "a tensor that is not there");
  Writer("exp")
      .dense(0, float32, {4})
      .spread(1, float32, 250, 4)
      .refused("covers elements 250 to 256, but its storage has 256", "an end");
  Writer("cumsum").dense(0, float32, {4}).spread(1, float32, 0, 4).refused("must be dense", "a vector with gaps");
}

}  // namespace

// The flag is not part of the kernel's number, but other bits are.
void test_overtakes() {
  Writer words("relu");
  words.dense(0, float32, {4}).dense(1, float32, {4});
  check(!words.decode() && !words.decoder.overtakes(), "a call in order");
  words.ints[0] |= overtakes_flag;
  check(!words.decode() && words.decoder.overtakes(), "a call that may overtake");
  words.ints[0] |= overtakes_flag << 1;
  check(words.decode() != nullptr, "an unknown flag");
}

int main() {
  test_integers();
  test_overtakes();
  test_lengths();
  test_dtypes();
  test_tensors();
  if (failures == 0) printf("ok\n");
  return failures == 0 ? 0 : 1;
}
