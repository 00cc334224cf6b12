// Copies: copy (into dense memory), copy_into (any strides), cat, and accumulate (dst += src). The first three
// overwrite. Between equal dtypes bits are moved; otherwise numbers are converted (convert.h). Memory is the limit.
//
// Copies go by blocks of up to 1024 elements in row-major order of the shape. Each side is used in place if the block
// lies densely there (strided.h). If the rows of source and destination lie along different dimensions, square tiles
// are moved instead (tiles.h).
#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../elementwise/driver.h"
#include "../simd/blocks.h"
#include "blocks.h"
#include "convert.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

static_assert(block_size <= convert_limit);

// The function is not inlined, because it is large, and each caller would have a copy.
__attribute__((noinline)) void convert(DType to_dtype, void* to, DType from_dtype, const void* from, int64_t n) {
  float real[convert_limit];
  int32_t whole[convert_limit];
  switch (from_dtype) {
    case DType::float32:
      return narrow_floats(to_dtype, n, to, static_cast<const float*>(from));
    case DType::bfloat16:
      simd::widen_bfloat16(n, real, static_cast<const uint16_t*>(from));
      return narrow_floats(to_dtype, n, to, real);
    case DType::float16:
      simd::widen_float16(n, real, static_cast<const uint16_t*>(from));
      return narrow_floats(to_dtype, n, to, real);
    case DType::int32:
      return narrow_ints(to_dtype, n, to, static_cast<const int32_t*>(from));
    default: {
      const uint8_t* bytes = static_cast<const uint8_t*>(from);
      for (int64_t i = 0; i < n; i++) whole[i] = bytes[i];
      return narrow_ints(to_dtype, n, to, whole);
    }
  }
}

// The inverse of gather_block: elements [start, start + n) of `to` become those at `from`.
template <class T>
void scatter_block(const Reader<T>& to, int64_t start, int64_t n, const T* from) {
  const int last = to.ndim - 1;
  while (n > 0) {
    T* at = const_cast<T*>(to.data);
    int64_t rest = start;
    for (int d = last; d >= 0; d--) {
      at += rest % to.sizes[d] * to.strides[d];
      rest /= to.sizes[d];
    }
    const int64_t run = min(n, to.sizes[last] - start % to.sizes[last]);
    for (int64_t i = 0; i < run; i++) at[i * to.strides[last]] = from[i];
    start += run;
    n -= run;
    from += run;
  }
}

// The address at which a block can be written in place, or null.
template <class T>
T* place(const Reader<T>& to, int64_t start, int64_t n) {
  return const_cast<T*>(to.layout == Layout::dense ? to.data + start : find_row(to, start, n));
}

// A source with elements of any size, together with the way to read it. So the loops below are compiled once per
// destination, not once per pair.
struct Source {
  const void* reader;
  const void* dense;  // its elements if they all lie densely, or null
  int64_t row;
  void (*prepare)(const void* reader, int64_t n, void* buffer);
  const void* (*read)(const void* reader, int64_t start, int64_t n, void* buffer);
};

template <class T>
Source source_of(const Reader<T>& reader) {
  return {&reader, reader.layout == Layout::dense ? reader.data : nullptr, row_length(reader),
          [](const void* self, int64_t n, void* buffer) {
            prepare_buffer(*static_cast<const Reader<T>*>(self), n, static_cast<T*>(buffer));
          },
          [](const void* self, int64_t start, int64_t n, void* buffer) -> const void* {
            return read_block(*static_cast<const Reader<T>*>(self), start, n, static_cast<T*>(buffer));
          }};
}

// A block of both sides, which does not straddle the end of a row that can be used in place.
template <class To>
int64_t block_length(const Reader<To>& to, int64_t from_row, int64_t start, int64_t end) {
  int64_t n = min(block_size, end - start);
  if (const int64_t row = row_length(to)) n = min(n, row - start % row);
  if (from_row > 0) n = min(n, from_row - start % from_row);
  return n;
}

template <class To>
void copy_range(const Reader<To>& to, DType to_dtype, const Source& from, DType from_dtype, int64_t start,
                int64_t end) {
  alignas(64) unsigned char read[block_size * 4];
  alignas(64) To staged[block_size];
  from.prepare(from.reader, min(block_size, end - start), read);
  while (start < end) {
    const int64_t n = block_length(to, from.row, start, end);
    To* direct = place(to, start, n);
    To* target = direct ? direct : staged;
    const void* elements = from.read(from.reader, start, n, read);
    if (to_dtype == from_dtype)
      memcpy(target, elements, static_cast<size_t>(n) * sizeof(To));
    else
      convert(to_dtype, target, from_dtype, elements, n);
    if (!direct) scatter_block(to, start, n, staged);
    start += n;
  }
}

template <class To>
void copy_elements(Context& context, const View& dst, const View& src, const Source& from) {
  const Reader<To> to = make_reader<To>(dst, 0);
  if (!expect(context, to.layout != Layout::uniform, "copy: the destination is broadcast")) return;
  const To* dense = dst.dtype == src.dtype && to.layout == Layout::dense ? static_cast<const To*>(from.dense) : nullptr;
  for_chunks(context, undivided_to_two(dst.count, chunk_elements), [&](int64_t start, int64_t end) {
    if (dense)
      memcpy(const_cast<To*>(to.data) + start, dense + start, static_cast<size_t>(end - start) * sizeof(To));
    else
      copy_range(to, dst.dtype, from, src.dtype, start, end);
  });
}

template <class From>
void copy_from(Context& context, const View& dst, const View& src) {
  if (dst.dtype == src.dtype && copy_in_tiles<From>(context, dst, src)) return;
  const Reader<From> reader = open_reader<From>(context, src, 0);
  const Source from = source_of(reader);
  switch (element_size(dst.dtype)) {
    case 4:
      return copy_elements<uint32_t>(context, dst, src, from);
    case 2:
      return copy_elements<uint16_t>(context, dst, src, from);
    default:
      return copy_elements<uint8_t>(context, dst, src, from);
  }
}

void copy_numbers(Context& context, const View& dst, const View& src) {
  switch (element_size(src.dtype)) {
    case 4:
      return copy_from<uint32_t>(context, dst, src);
    case 2:
      return copy_from<uint16_t>(context, dst, src);
    default:
      return copy_from<uint8_t>(context, dst, src);
  }
}

// Copies bits between equal dtypes, in any order of rows.
void copy_blocks(Context& context, const View& dst, const View& src) {
  if (dst.dtype != src.dtype)
    return simd::is_blocks(dst.dtype) ? encode_blocks(context, dst, src) : decode_rows(context, dst, src);
  View to, from;
  if (expect(context, seen_as_bytes(dst, &to) && seen_as_bytes(src, &from),
             "copy: both sides must have their blocks along the last dimension"))
    copy_numbers(context, to, from);
}

void copy_any(Context& context, const View& dst, const View& src) {
  if (!expect(context, same_shape(dst, src), "copy: the shapes differ") || dst.count == 0) return;
  const bool blocks = simd::is_blocks(dst.dtype) || simd::is_blocks(src.dtype);
  (blocks ? copy_blocks : copy_numbers)(context, dst, src);
}

// to += from, n <= block_size.
template <class T>
void add_to(int64_t n, T* to, const T* from) {
  map_registers([](auto a, auto b) { return a + b; }, n, to, static_cast<const T*>(to), from);
}
// The same for bfloat16.
void add_to(int64_t n, uint16_t* to, const uint16_t* from) {
  float sum[block_size], terms[block_size];
  simd::widen_bfloat16(n, sum, to);
  simd::widen_bfloat16(n, terms, from);
  add_to<float>(n, sum, terms);
  simd::narrow_bfloat16(n, to, sum);
}

template <class T>
void accumulate_range(const Reader<T>& to, const Reader<T>& from, int64_t start, int64_t end) {
  alignas(64) T read[block_size], staged[block_size];
  prepare_buffer(from, min(block_size, end - start), read);
  while (start < end) {
    const int64_t n = block_length(to, row_length(from), start, end);
    T* direct = place(to, start, n);
    if (!direct) gather_block(to, start, n, staged);
    T* target = direct ? direct : staged;
    add_to(n, target, read_block(from, start, n, read));
    if (!direct) scatter_block(to, start, n, staged);
    start += n;
  }
}

template <class T>
void accumulate_as(Context& context, const View& dst, const View& src) {
  const Reader<T> to = make_reader<T>(dst, 0), from = open_reader<T>(context, src, 1);
  if (!expect(context, to.layout != Layout::uniform, "accumulate: the destination is broadcast")) return;
  for_chunks(context, undivided_to_two(dst.count, chunk_elements),
             [&](int64_t start, int64_t end) { accumulate_range(to, from, start, end); });
}

}  // namespace

void copy(Context& context, const View& out, const View& x) { copy_any(context, out, x); }
void copy_into(Context& context, const View& dst, const View& src) { copy_any(context, dst, src); }

void accumulate(Context& context, const View& dst, const View& src) {
  if (!expect(context, same_shape(dst, src) && dst.dtype == src.dtype, "accumulate: shapes or dtypes differ")) return;
  if (dst.count == 0) return;
  switch (dst.dtype) {
    case DType::float32:
      return accumulate_as<float>(context, dst, src);
    case DType::bfloat16:
      return accumulate_as<uint16_t>(context, dst, src);
    case DType::int32:
      return accumulate_as<int32_t>(context, dst, src);
    default:
      return record_error(context, ErrorCode::internal, "accumulate: expected float32, bfloat16 or int32");
  }
}

// Each input is copied into its part of out.
void cat(Context& context, const View& out, ViewList inputs, int64_t dim) {
  if (!expect(context, dim >= 0 && dim < out.ndim, "cat: the dimension does not exist")) return;
  int64_t begin = 0;
  for (int64_t i = 0; i < inputs.size; i++) {
    const View& input = inputs.items[i];
    View part = out;
    if (!expect(context, input.dtype == out.dtype && input.ndim == out.ndim, "cat: dtypes or ranks differ")) return;
    part.sizes[dim] = input.sizes[dim];
    part.count = input.count;
    part.data = static_cast<char*>(out.data) + begin * out.strides[dim] * static_cast<int64_t>(element_size(out.dtype));
    begin += input.sizes[dim];
    if (!expect(context, same_shape(part, input) && begin <= out.sizes[dim], "cat: an input does not fit")) return;
    copy_any(context, part, input);
  }
}

}  // namespace firesteel::FIRESTEEL_ISA
