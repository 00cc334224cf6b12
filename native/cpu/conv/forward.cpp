// conv2d_forward: out = weight * x + bias, or its relu, as an implicit product (product.h). Overwrites out. 2 N G M K P
// Q operations; x is read once for each group of rows of the result, and out is written once for each block of depth.
//
// Parallel over images, groups and blocks of positions. If those are few, also over parts of the channels out.
#include "../../generated/kernels.h"
#include "../rooms.h"
#include "../simd/vector.h"
#include "product.h"
#include "winograd.h"
#include "work.h"

namespace firesteel::FIRESTEEL_ISA {

using namespace conv;

// Applies the relu to a block while it is in the cache.
static void rectify(float* to, int64_t count) {
  int64_t i = 0;
  for (; i + simd::lanes <= count; i += simd::lanes) simd::store(to + i, simd::rectified(simd::load(to + i)));
  if (i < count)
    simd::store_partial(to + i, simd::rectified(simd::load_partial(to + i, int(count - i))), int(count - i));
}

void conv2d_forward(Context& context, const View& out, const View& x, const View& weight, const View* bias,
                    Integers stride, Integers padding, Integers dilation, int64_t groups, bool relu) {
  Shape s;
  if (!read_shape(context, x, weight, out, {stride, padding, dilation, groups}, s)) return;
  if (bias && !expect(context, bias->dtype == DType::float32 && bias->count == s.G * s.M,
                      "convolution: bias must be float32, with one element for each channel out"))
    return;
  if (out.count == 0) return;
  if (winograd_product_pays(s, s.C, s.M, s.P, s.Q))
    return winograd_product(context,
                            {s.N, s.G, s.C, s.M, s.H, s.W, s.P, s.Q, -s.pad_h, -s.pad_w, pointer<const float>(weight),
                             s.C * 9, 9, s.M * s.C * 9, false, bias ? pointer<const float>(*bias) : nullptr, relu},
                            pointer<const float>(x), pointer<float>(out));

  int64_t* taps = scratch_of<int64_t>(context, s.R + s.S);
  for (int64_t r = 0; r < s.R; r++) taps[r] = r * s.dilation_h - s.pad_h;
  for (int64_t c = 0; c < s.S; c++) taps[s.R + c] = c * s.dilation_w - s.pad_w;
  Product product = {};
  product.channels = s.C;
  product.M = s.M;
  product.P = s.P;
  product.Q = s.Q;
  product.rows = {s.H, s.stride_h, s.R, taps};
  product.columns = {s.W, s.stride_w, s.S, taps + s.R};
  product.bias = bias != nullptr;
  plan_products(context, &product, 1);

  const int64_t K = product.depth, packed_floats = packed_weights(product);
  float* packed = scratch_of<float>(context, s.G * packed_floats);
  const Parts rows = cut_rows(s.M, max(1, pack_chunk / K));
  const Chunks packing = full_chunks(s.G * rows.count, rows.size * K, pack_chunk);
  for_items(context, packing, [&](int64_t item) {
    const int64_t group = item / rows.count, m = item % rows.count * rows.size;
    pack_weights(product, packed + group * packed_floats, pointer<const float>(weight) + group * s.M * K, K, nullptr,
                 bias ? pointer<const float>(*bias) + group * s.M : nullptr, m, min(s.M, m + rows.size));
  });

  const int64_t blocks = blocks_of(product), plane_in = s.H * s.W, plane_out = s.P * s.Q;
  const Parts parts = cut_rows(s.M, rows_of_part(s.M, s.N * s.G * blocks));
  const Chunks work = full_chunks(s.N * s.G * blocks * parts.count,
                                  parts.size * K * product.block_rows * product.block_columns, multiply_chunk);
  const Rooms rooms = make_rooms(context, product.room_floats, work);
  for_items(context, work, rooms, [&](int64_t item, float* room) {
    const int64_t m = item % parts.count * parts.size, image_group = item / parts.count / blocks;
    const Block block = block_at(product, item / parts.count % blocks);
    const int64_t rows = min(s.M - m, parts.size);
    float* to = pointer<float>(out) + (image_group * s.M + m) * plane_out + block.row * product.Q + block.column;
    multiply_block(product, block, pointer<const float>(x) + image_group * s.C * plane_in,
                   packed + image_group % s.G * packed_floats, m, m + rows, to, plane_out, room);
    for (int64_t i = 0; relu && i < rows; i++) rectify(to + i * plane_out, block.rows * block.columns);
  });
}

}  // namespace firesteel::FIRESTEEL_ISA
