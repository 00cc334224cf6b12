#include "widen.h"

#include <string.h>

#include <algorithm>
#include <bit>

#include "file.h"

namespace firesteel {
namespace {

// Elements that are read at a time. Their floats stay in the cache of a core until they are complete.
constexpr size_t strip = size_t(1) << 16;

// Elements that are widened at a time. The compiler makes vectors of a loop of so many.
constexpr size_t block = 32;

float bfloat16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Once the exponent's field is in place, the number is too small by a factor of 2^112, whether or not it is denormal.
float float16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, size = static_cast<uint32_t>(bits & 0x7fff) << 13;
  const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(size) * 0x1p112f);
  const uint32_t quiet = size > (0x7c00u << 13) ? 0x400000u : 0u;
  return std::bit_cast<float>((size >= (0x7c00u << 13) ? size | 0x7f800000u | quiet : finite) | sign);
}

// Widens elements that lie in the second half of the memory of their floats. A block is copied away before its floats
// are written, and they end where the next block begins, or before.
template <float widen(uint16_t)>
void widen_in_place(float* to, size_t count) {
  const char* from = reinterpret_cast<const char*>(to) + count * sizeof(uint16_t);
  uint16_t halves[block];
  float floats[block] = {};
  for (size_t at = 0; at < count; at += block) {
    const size_t length = std::min(block, count - at);
    memcpy(halves, from + at * sizeof(uint16_t), length == block ? sizeof halves : length * sizeof(uint16_t));
    if (length < block) memset(halves + length, 0, (block - length) * sizeof(uint16_t));
    for (size_t i = 0; i < block; i++) floats[i] = widen(halves[i]);
    memcpy(to + at, floats, length == block ? sizeof floats : length * sizeof(float));
  }
}

}  // namespace

bool read_widened(int file, int64_t position, float* to, size_t count, DType dtype) {
  for (size_t at = 0; at < count; at += strip) {
    const size_t length = std::min(strip, count - at), bytes = length * sizeof(uint16_t);
    const int64_t place = position + static_cast<int64_t>(at * sizeof(uint16_t));
    if (!read_file(file, place, reinterpret_cast<char*>(to + at) + bytes, bytes)) return false;
    if (dtype == DType::bfloat16)
      widen_in_place<bfloat16>(to + at, length);
    else
      widen_in_place<float16>(to + at, length);
  }
  return true;
}

}  // namespace firesteel
