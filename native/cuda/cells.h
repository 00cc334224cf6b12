// The arguments of the kernels of recurrence, from the host (recurrent.cpp) to the device (recurrent.cu): one step of
// all rows and units.
//
// Legend: T time steps, B rows, H units, G gates (4, 3, 1). A GRU's third gate, n, has two parts, the input's and the
// state's, which meet only in the cell. Its gradients therefore have G + 1 columns of H: the input's part of n comes
// first; r, z and the state's part of n follow in the order of the rows of wHh. Other cells have G columns.
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

struct CellStep {
  int32_t rows, units, time, steps;  // B, H, the step's place in x, T
  const int32_t* lengths;            // of each row; null: T
  bool reverse, relu;
};

struct CellForward {
  CellStep step;
  const float* input;  // [B, G H] = x wIh^T + bIh
  const float* state;  // [B, G H] = h' wHh^T + bHh; null if h' is 0
  const float* bias;   // bHh, or null
  // This step's results, [B, H], and its gates, [B, 4 H]; null if they are not kept.
  float *out, *gates, *cells;
  float *hidden, *cell;  // [B, H]: h' and c', which become h and c
};

struct CellBackward {
  CellStep step;
  // This step's gradient (null if it is 0), and what the forward pass kept of the step.
  const float *dy, *out, *gates, *cells;
  const float *out_before, *cells_before;  // of the previous step; null: 0
  const float* h0;                         // for rows that begin here; null: 0
  // [B, H]: the gradients of h and c from later steps. The kernel replaces them by those of h' and c', without the part
  // that the gates bring.
  float *dhidden, *dcell;
  float* dgates;  // [B, columns H]
  float* before;  // [B, H]: h', or 0 if the step does not count; null if not wanted
};

// The sums of columns over rows, in float64.
struct ColumnSums {
  const float* from;  // [rows, width]
  double* sums;
  int64_t rows;
  int32_t width;
  bool begins;
  // The last launch writes them to the biases' gradients [G H], if they are wanted.
  float *of_input, *of_state;
  int32_t units, gates;
  bool separate;
};

struct Mask {
  bool* out;  // [T, B]
  const int32_t* lengths;
  uint64_t* wrong;
  int64_t steps, rows;
};

}  // namespace firesteel::cuda
