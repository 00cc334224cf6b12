// Marks the steps of each sequence that count, by their lengths: out[t, b] = t < lengths[b].
#include "../../core/kernel.h"
#include "../../generated/kernels.h"

namespace firesteel::FIRESTEEL_ISA {

void sequence_mask(Context& context, const View& out, const View& lengths) {
  const bool shapes = out.ndim == 2 && lengths.ndim == 1 && out.sizes[1] == lengths.sizes[0];
  if (!expect(context, shapes, "sequence_mask: the sizes do not fit out [T, B] and lengths [B]")) return;
  const int64_t T = out.sizes[0], B = out.sizes[1];
  const int32_t* length = pointer<const int32_t>(lengths);
  uint8_t* mask = pointer<uint8_t>(out);
  for (int64_t b = 0; b < B; b++)
    if (length[b] < 1 || length[b] > T) {
      record_error(context, ErrorCode::value, "the length of sequence %lld is %d, but must be from 1 to %lld",
                   static_cast<long long>(b), int(length[b]), static_cast<long long>(T));
      break;
    }
  for (int64_t t = 0; t < T; t++)
    for (int64_t b = 0; b < B; b++) mask[t * B + b] = t < length[b];
}

}  // namespace firesteel::FIRESTEEL_ISA
