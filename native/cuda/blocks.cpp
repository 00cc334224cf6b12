// Copies of blocks, and conversions between blocks and numbers.
#include "copies.h"
#include "stored.h"

namespace firesteel::cuda {
namespace {

// A view of blocks as the pairs of bytes of which they consist. False if they do not lie along the last dimension.
bool seen_as_pairs(const View& blocks, View* pairs) {
  const int last = blocks.ndim - 1;
  if (last < 0 || blocks.strides[last] != 1) return false;
  const auto count = [&](int64_t elements) { return bytes_of(blocks.dtype, elements) / 2; };
  *pairs = blocks;
  pairs->dtype = DType::bfloat16;
  pairs->count = count(blocks.count);
  pairs->sizes[last] = count(blocks.sizes[last]);
  for (int d = 0; d < last; d++) pairs->strides[d] = count(blocks.strides[d]);
  return true;
}

View dense(const View& like, DType dtype, void* data) {
  View view = like;
  view.dtype = dtype;
  view.data = data;
  int64_t step = 1;
  for (int d = view.ndim - 1; d >= 0; step *= view.sizes[d--]) view.strides[d] = step;
  return view;
}

bool is_dense(const View& view) {
  const View packed = dense(view, view.dtype, view.data);
  for (int d = 0; d < view.ndim; d++)
    if (view.sizes[d] != 1 && view.strides[d] != packed.strides[d]) return false;
  return true;
}

}  // namespace

bool copy_blocks(Device& device, const View& to, const View& from) {
  View pairs_to, pairs_from;
  if (!same_shape(to, from)) return device.fail("the shapes of a copy differ");
  if (to.count == 0) return true;
  if ((is_blocks(to) && !seen_as_pairs(to, &pairs_to)) || (is_blocks(from) && !seen_as_pairs(from, &pairs_from)))
    return device.fail("copy: blocks lie along the last dimension");
  if (to.dtype == from.dtype) return copy(device, pairs_to, pairs_from);
  Stored job = {to.data, from.data, to.count};
  if (is_blocks(to)) {
    if (from.dtype != DType::float32 || !is_dense(from) || !is_dense(to))
      return device.fail("copy: blocks are made of dense float32");
    return device.launch(std::string("encode_") + dtype_names[static_cast<int>(to.dtype)],
                         static_cast<uint64_t>(to.count / 32), &job);
  }
  Scratch packed(device), decoded(device);
  if (!is_dense(from)) {
    job.from = packed.take<char>(bytes_of(from.dtype, from.count));
    const View room = dense(from, from.dtype, const_cast<void*>(job.from));
    if (!room.data || !copy(device, room, from)) return false;
  }
  const bool direct = to.dtype == DType::float32 && is_dense(to);
  if (!direct) job.to = decoded.take<float>(to.count);
  if (!job.to || !device.launch(std::string("decode_") + dtype_names[static_cast<int>(from.dtype)],
                                static_cast<uint64_t>(to.count / 4), &job))
    return false;
  const View numbers = dense(to, DType::float32, job.to);
  return direct || copy(device, to, numbers);
}

}  // namespace firesteel::cuda
