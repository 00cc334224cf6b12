// out[.., M, N] = a[.., M, K] b[.., K, N] (+ bias[N]), overwriting out; matmul_accumulate adds the product to out's
// elements. a and b may have any strides (transposes are absorbed by gemm's packing) and broadcast over batch
// dimensions by stride 0; out is dense. 2 M N K operations a matrix. Each tensor is float32 or bfloat16; sums are
// float32, and rounded if out is bfloat16. b may be of a block dtype, which gemm's packing reads; it is never decoded
// as a whole.
//
// A batch becomes as few multiplications as its strides allow. If the rows of a continue over a dimension while b stays
// the same, the dimension joins M. So [B, T, K] x [K, N] is one product of B T rows. The remaining dimensions are a
// loop over matrices: large ones are divided between the threads one after another, and small ones are distributed
// whole.
#include "../../generated/kernels.h"
#include "../elementwise/strided.h"
#include "../gemm/gemm.h"
#include "../rooms.h"
#include "../simd/blocks.h"
#include "../simd/half.h"
#include "blocks.h"

namespace firesteel::FIRESTEEL_ISA {

namespace {

using namespace matmul_blocks;

struct Batch {
  int ndim;
  int64_t sizes[max_dims], a_strides[max_dims], b_strides[max_dims];
};

const float* widened_bias(Context& context, const View& bias) {
  if (bias.dtype == DType::float32) return pointer<float>(bias);
  float* wide = static_cast<float*>(scratch(context, size_t(bias.count) * sizeof(float)));
  simd::widen_bfloat16(bias.count, wide, pointer<uint16_t>(bias));
  return wide;
}

// The number of elements from the first matrix to the one with this number.
int64_t offset_of(const Batch& batch, const int64_t* strides, int64_t index) {
  int64_t offset = 0;
  for (int d = 0; d < batch.ndim; index /= batch.sizes[d++]) offset += index % batch.sizes[d] * strides[d];
  return offset;
}

// The matrix that begins this many elements later.
gemm::Matrix from_element(gemm::Matrix matrix, int64_t elements) {
  const bool blocks = simd::is_blocks(matrix.dtype);
  if (blocks) matrix.first = elements;
  const int64_t bytes = blocks ? 0 : elements * (matrix.dtype == DType::bfloat16 ? 2 : 4);
  matrix.data = static_cast<const char*>(matrix.data) + bytes;
  return matrix;
}

bool consistent(Context& context, const View& out, const View& a, const View& b, const View* bias) {
  const int ndim = out.ndim;
  if (!expect(context, ndim >= 2 && a.ndim == ndim && b.ndim == ndim, "matmul: ranks of out, a and b differ"))
    return false;
  for (int d = 0; d < ndim - 2; d++)
    if (!expect(context, a.sizes[d] == out.sizes[d] && b.sizes[d] == out.sizes[d], "matmul: batch sizes differ"))
      return false;
  return expect(context, a.sizes[ndim - 1] == b.sizes[ndim - 2], "matmul: inner sizes differ") &&
         expect(context, a.sizes[ndim - 2] == out.sizes[ndim - 2], "matmul: rows of a and out differ") &&
         expect(context, b.sizes[ndim - 1] == out.sizes[ndim - 1], "matmul: columns of b and out differ") &&
         expect(context, !bias || bias->count == out.sizes[ndim - 1], "matmul: bias and columns of out differ");
}

// out = a b, or out += a b.
void product(Context& context, const View& out, const View& a, const View& b, const gemm::Epilogue& epilogue) {
  const int rows = out.ndim - 2, columns = out.ndim - 1;
  int64_t m = out.sizes[rows];
  const int64_t n = out.sizes[columns], k = a.sizes[columns];
  const int64_t a_row_stride = a.strides[rows];

  // Collects the batch from the inside out while its dimensions extend the rows, and drops those of size 1.
  Batch batch;
  batch.ndim = 0;
  bool extends_rows = true;
  for (int d = rows - 1; d >= 0; d--) {
    const int64_t size = out.sizes[d];
    if (size == 1) continue;
    extends_rows = extends_rows && b.strides[d] == 0 && a.strides[d] == m * a_row_stride;
    if (extends_rows) {
      m *= size;
    } else {
      batch.sizes[batch.ndim] = size;
      batch.a_strides[batch.ndim] = a.strides[d];
      batch.b_strides[batch.ndim] = b.strides[d];
      batch.ndim++;
    }
  }

  const int64_t matrices = out.count / (m * n);
  const auto left = [&](int64_t index) {
    return from_element({a.data, a_row_stride, a.strides[columns], a.dtype}, offset_of(batch, batch.a_strides, index));
  };
  const auto right = [&](int64_t index) {
    const gemm::Matrix first{b.data, b.strides[rows], b.strides[columns], b.dtype};
    return from_element(first, offset_of(batch, batch.b_strides, index));
  };
  const bool rounds = out.dtype == DType::bfloat16;
  float* const c = rounds ? nullptr : pointer<float>(out);
  uint16_t* const rounded = rounds ? pointer<uint16_t>(out) : nullptr;
  const int64_t work = m * n * (k > 0 ? k : 1), size = m * n;
  if (matrices == 1 || work >= large_product) {
    const auto place = [&](int64_t i) {
      return gemm::Epilogue{epilogue.accumulate, epilogue.bias, rounds ? rounded + i * size : nullptr};
    };
    // As many matrices as all threads may share evenly.
    const int64_t room = work <= largest_alone ? gemm::room_alone(m, n, k, left(0), right(0), rounds) : -1;
    const int64_t alone = room < 0 ? 0 : matrices - matrices % max(1, int64_t(thread_count(context)));
    if (alone > 0)
      for_items(context, {alone, 1}, make_rooms(context, room, alone), [&](int64_t i, float* room_of_one) {
        gemm::multiply_alone(m, n, k, left(i), right(i), rounds ? nullptr : c + i * size, place(i), room_of_one);
      });
    for (int64_t i = alone; i < matrices; i++)
      gemm::multiply(context, m, n, k, left(i), right(i), rounds ? nullptr : c + i * size, n, place(i));
    return;
  }
  float* const sums = rounds ? static_cast<float*>(scratch(context, size_t(out.count) * sizeof(float))) : c;
  for_chunks(context, {matrices, max(1, chunk_work / work)}, [&](int64_t start, int64_t end) {
    for (int64_t i = start; i < end; i++) gemm::multiply_here(m, n, k, left(i), right(i), sums + i * size, n, epilogue);
    if (rounds) simd::narrow_bfloat16((end - start) * size, rounded + start * size, sums + start * size);
  });
}

}  // namespace

void matmul(Context& context, const View& out, const View& a, const View& b, const View* bias) {
  if (!consistent(context, out, a, b, bias) || out.count == 0) return;
  product(context, out, a, b, {false, bias ? widened_bias(context, *bias) : nullptr});
}

void matmul_each(Context& context, const View& out, const View& a, ViewList b, ViewList biases) {
  if (!expect(context, a.ndim == 2 && (biases.size == 0 || biases.size == b.size),
              "matmul_each: a is no matrix, or there is not one bias for each b"))
    return;
  const int64_t M = a.sizes[0];
  int64_t columns = 0;
  for (int64_t i = 0; i < b.size; i++) {
    if (!expect(context, b.items[i].ndim == 2, "matmul_each: b has one that is no matrix")) return;
    columns += b.items[i].sizes[1];
  }
  if (!expect(context, out.count == M * columns, "matmul_each: out does not hold the products")) return;
  char* next = static_cast<char*>(out.data);
  for (int64_t i = 0; i < b.size; i++) {
    const int64_t N = b.items[i].sizes[1];
    View part = out;
    part.data = next;
    part.ndim = 2;
    part.count = M * N;
    part.sizes[0] = M;
    part.sizes[1] = part.strides[0] = N;
    part.strides[1] = 1;
    matmul(context, part, a, b.items[i], biases.size > 0 ? &biases.items[i] : nullptr);
    next += part.count * static_cast<int64_t>(element_size(out.dtype));
  }
}

void matmul_accumulate(Context& context, const View& sum, const View& a, const View& b) {
  if (!consistent(context, sum, a, b, nullptr) || sum.count == 0) return;
  if (!expect(context, sum.dtype == DType::float32, "matmul_accumulate: the sum must be float32")) return;
  product(context, sum, a, b, {true, nullptr});
}

}  // namespace firesteel::FIRESTEEL_ISA
