// Rotates pairs of features by the angles of their positions (Su et al., "RoFormer", 2021). Rotating back gives the
// gradient. Rows of x are read in place, at any strides; out is overwritten. In one call, a decoder rotates queries and
// keys, and stores keys and values for later calls. Memory traffic is 8 bytes per element, plus the cosines and sines,
// which stay in the caches for all heads.
#include "rotary.h"

#include <string.h>

#include "../../generated/kernels.h"
#include "../chunks.h"
#include "../rooms.h"
#include "../simd/half.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

// No multiply-add is fused here, because the operators that a device without this kernel runs do not fuse either.
void turn_halves(float* __restrict to, const float* __restrict x, const float* __restrict c, const float* __restrict s,
                 int64_t R, float sign) {
  for (int64_t i = 0; i < R; i++) {
    const float a = x[i], b = x[R + i], sine = sign * s[i];
    to[i] = a * c[i] - b * sine;
    to[R + i] = a * sine + b * c[i];
  }
}

void turn_neighbours(float* __restrict to, const float* __restrict x, const float* __restrict c,
                     const float* __restrict s, int64_t R, float sign) {
  for (int64_t i = 0; i < R; i++) {
    const float a = x[2 * i], b = x[2 * i + 1], sine = sign * s[i];
    to[2 * i] = a * c[i] - b * sine;
    to[2 * i + 1] = a * sine + b * c[i];
  }
}

// The place at which row number `row` of x [.., T, D] begins, in elements.
int64_t place_of(const View& x, int64_t row) {
  int64_t offset = 0;
  for (int d = x.ndim - 2; d >= 0; d--) {
    offset += row % x.sizes[d] * x.strides[d];
    row /= x.sizes[d];
  }
  return offset;
}

// out = x, rotated. The features of a row of out are contiguous; all other strides are free.
void turn(Context& context, const View& out, const View& x, const View& cosines, const View& sines, bool neighbours,
          bool backwards) {
  if (!expect(context, x.ndim >= 2 && same_shape(out, x) && out.dtype == x.dtype, "rotary: x is not [.., T, D]") ||
      !expect(context, x.dtype == DType::float32 || x.dtype == DType::bfloat16, "rotary: expected float32 or bfloat16"))
    return;
  if (out.count == 0) return;
  const int64_t T = x.sizes[x.ndim - 2], D = x.sizes[x.ndim - 1], step = x.strides[x.ndim - 1];
  const int64_t R = cosines.ndim > 0 ? cosines.sizes[cosines.ndim - 1] : 0, batch = x.ndim > 2 ? x.sizes[0] : 1;
  const int64_t tables = R > 0 ? cosines.count / R : T;
  if (!expect(context,
              cosines.dtype == DType::float32 && sines.dtype == DType::float32 && same_shape(cosines, sines) &&
                  2 * R <= D && (tables == T || tables == batch * T),
              "rotary: cosines and sines are not [.., T, R]") ||
      !expect(context, D == 1 || out.strides[out.ndim - 1] == 1, "rotary: features of the result lie apart"))
    return;
  const int64_t rows = out.count / D, rows_of_batch = rows / batch;
  const bool wide = x.dtype == DType::float32, direct = wide && step == 1;
  const float sign = backwards ? -1.0f : 1.0f;
  const Chunks chunks = {rows, max(1, attention::turned_elements / D)};
  const Rooms rooms = make_rooms(context, direct ? 0 : 2 * D, chunks);
  for_chunks(context, chunks, rooms, [&](int64_t first, int64_t end, float* room) {
    float* const turned = room + D;
    for (int64_t row = first; row < end; row++) {
      const int64_t t = row % T, offset = place_of(x, row), place = place_of(out, row);
      const float* from = room;
      if (direct)
        from = pointer<const float>(x) + offset;
      else if (wide)
        for (int64_t i = 0; i < D; i++) room[i] = pointer<const float>(x)[offset + i * step];
      else
        for (int64_t i = 0; i < D; i++)
          simd::widen_bfloat16(1, room + i, pointer<const uint16_t>(x) + offset + i * step);
      const int64_t table = (tables == T ? t : row / rows_of_batch * T + t) * R;
      const float *const c = pointer<const float>(cosines) + table, *const s = pointer<const float>(sines) + table;
      float* const to = wide ? pointer<float>(out) + place : turned;
      neighbours ? turn_neighbours(to, from, c, s, R, sign) : turn_halves(to, from, c, s, R, sign);
      memcpy(to + 2 * R, from + 2 * R, size_t(D - 2 * R) * sizeof(float));
      if (!wide) simd::narrow_bfloat16(D, pointer<uint16_t>(out) + place, turned);
    }
  });
}

}  // namespace

void rotary(Context& context, const View& out, const View& x, const View& cosines, const View& sines, bool neighbours,
            bool backwards) {
  turn(context, out, x, cosines, sines, neighbours, backwards);
}

void rotary_append(Context& context, const View& out, const View& keys, const View& values, const View& q,
                   const View& k, const View& v, const View& cosines, const View& sines) {
  if (!expect(context, same_shape(values, v), "rotary_append: v does not fit values")) return;
  turn(context, out, q, cosines, sines, false, false);
  turn(context, keys, k, cosines, sines, false, false);
  copy_into(context, values, v);
}

}  // namespace firesteel::FIRESTEEL_ISA
