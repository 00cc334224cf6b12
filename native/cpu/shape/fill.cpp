// fill: out = value. arange: out[i] = start + i * step, in float64 and rounded once. They overwrite out, and write 4
// bytes an element.
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/driver.h"
#include "../simd/blocks.h"
#include "convert.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

// Calls body(start, end) for ranges that cover [0, count), on all threads.
template <class F>
void for_ranges(Context& context, int64_t count, const F& body) {
  for_chunks(context, undivided_to_two(count, chunk_elements), body);
}

template <class T>
void fill_as(Context& context, const View& out, double value) {
  T element;
  convert_number(out.dtype, &element, value);
  const bool stream = out.count * int64_t(sizeof(T)) >= simd::streaming_bytes;
  for_ranges(context, out.count, [&](int64_t start, int64_t end) {
    simd::write_same(pointer<T>(out) + start, end - start, element, stream);
  });
}

}  // namespace

void fill(Context& context, const View& out, double value) {
  if (simd::is_blocks(out.dtype)) {
    // Blocks of zeros need no scale, because a scale of 0 makes every number 0.
    if (!expect(context, value == 0, "fill: blocks can be filled only with 0")) return;
    return for_ranges(context, simd::bytes_of_blocks(out.dtype, out.count), [&](int64_t start, int64_t end) {
      memset(pointer<uint8_t>(out) + start, 0, size_t(end - start));
    });
  }
  switch (element_size(out.dtype)) {
    case 4:
      return fill_as<uint32_t>(context, out, value);
    case 2:
      return fill_as<uint16_t>(context, out, value);
    default:
      return fill_as<uint8_t>(context, out, value);
  }
}

void arange(Context& context, const View& out, double start, double step) {
  if (out.dtype == DType::float32)
    return for_ranges(context, out.count, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; i++)
        pointer<float>(out)[i] = static_cast<float>(start + static_cast<double>(i) * step);
    });
  if (!expect(context, out.dtype == DType::int32, "arange: expected float32 or int32")) return;
  for_ranges(context, out.count, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) pointer<int32_t>(out)[i] = wrapped(start + static_cast<double>(i) * step);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
