// One step of an LSTM, a GRU or a simple recurrent layer, forward and backward. It follows the products of its input
// and of its state (recurrent.cpp). The formulas are PyTorch's, where h' and c' are the state before the step:
//   LSTM  c = f c' + i g   h = o tanh(c)           i, f, o sigmoids and g a tanh of input + state
//   GRU   h = (1 - z) n + z h'                     r, z sigmoids, n = tanh(input + r state)
//   RNN   h = tanh(input + state), or relu
//
// A thread handles a unit of a row. Steps beyond a row's length give 0 and leave its state unchanged. A step of an LSTM
// reads and writes about 48 bytes for each unit, which is little beside its product.
#include "cells.h"
#include "team.h"

using namespace firesteel::cuda;

namespace {

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// Calls body(element of [B, H], row, unit).
template <class F>
DEVICE void for_units(const CellStep& step, const F& body) {
  for_rows<1>(int64_t(step.rows) * step.units, [&](int64_t n) {
    const int32_t row = static_cast<int32_t>(n / step.units);
    body(n, row, static_cast<int32_t>(n - int64_t(row) * step.units));
  });
}

DEVICE int32_t length_of(const CellStep& step, int32_t row) {
  if (!step.lengths) return step.steps;
  const int32_t length = step.lengths[row];
  return length < 0 ? 0 : length > step.steps ? step.steps : length;
}

DEVICE bool counts(const CellStep& step, int32_t row) { return step.time < length_of(step, row); }

// Whether the row's state before this step is the initial one.
DEVICE bool is_first(const CellStep& step, int32_t row) {
  return step.time == (step.reverse ? length_of(step, row) - 1 : 0);
}

// The two parts of a gate's argument: column `gate` of `gates`.
DEVICE float input_part(const CellForward& job, int32_t gates, int32_t row, int32_t unit, int32_t gate) {
  return job.input[(int64_t(row) * gates + gate) * job.step.units + unit];
}
DEVICE float state_part(const CellForward& job, int32_t gates, int32_t row, int32_t unit, int32_t gate) {
  const int32_t column = gate * job.step.units + unit;
  if (job.state) return job.state[int64_t(row) * gates * job.step.units + column];
  return job.bias ? job.bias[column] : 0.0f;
}
DEVICE float argument(const CellForward& job, int32_t gates, int32_t row, int32_t unit, int32_t gate) {
  return input_part(job, gates, row, unit, gate) + state_part(job, gates, row, unit, gate);
}

// Four neighbouring columns of H.
struct Columns {
  float of[4];
};
DEVICE void put(float* to, const CellStep& step, int32_t row, int32_t unit, const Columns& columns, int32_t count = 4) {
  for (int32_t k = 0; k < count; k++) to[(int64_t(row) * count + k) * step.units + unit] = columns.of[k];
}
DEVICE Columns take(const float* from, const CellStep& step, int32_t row, int32_t unit) {
  Columns columns;
  for (int32_t k = 0; k < 4; k++) columns.of[k] = from[(int64_t(row) * 4 + k) * step.units + unit];
  return columns;
}

DEVICE void lstm_cell(const CellForward& job) {
  for_units(job.step, [&](int64_t n, int32_t row, int32_t unit) {
    Columns kept = {};
    float h = 0, c = job.cell[n];
    if (counts(job.step, row)) {
      const float i = sigmoid(argument(job, 4, row, unit, 0)), f = sigmoid(argument(job, 4, row, unit, 1));
      const float g = tanhf(argument(job, 4, row, unit, 2)), o = sigmoid(argument(job, 4, row, unit, 3));
      kept = {{i, f, g, o}};
      c = f * c + i * g;
      h = o * tanhf(c);
      job.cell[n] = c;
      job.hidden[n] = h;
    }
    job.out[n] = h;
    if (job.gates) put(job.gates, job.step, row, unit, kept);
    if (job.cells) job.cells[n] = c;
  });
}

DEVICE void gru_cell(const CellForward& job) {
  for_units(job.step, [&](int64_t n, int32_t row, int32_t unit) {
    Columns kept = {};
    float h = 0;
    if (counts(job.step, row)) {
      const float r = sigmoid(argument(job, 3, row, unit, 0)), z = sigmoid(argument(job, 3, row, unit, 1));
      const float s = state_part(job, 3, row, unit, 2);
      const float of_n = tanhf(input_part(job, 3, row, unit, 2) + r * s);
      kept = {{r, z, of_n, s}};
      h = of_n + z * (job.hidden[n] - of_n);
      job.hidden[n] = h;
    }
    job.out[n] = h;
    if (job.gates) put(job.gates, job.step, row, unit, kept);
  });
}

DEVICE void rnn_cell(const CellForward& job) {
  for_units(job.step, [&](int64_t n, int32_t row, int32_t unit) {
    float h = 0;
    if (counts(job.step, row)) {
      const float a = argument(job, 1, row, unit, 0);
      h = !job.step.relu ? tanhf(a) : a <= 0 ? 0.0f : a;
      job.hidden[n] = h;
    }
    job.out[n] = h;
  });
}

// Calls cell(n, row, unit, dh, h') for units whose step counts. It returns the columns of the gates' gradients.
template <class F>
DEVICE void backward(const CellBackward& job, int32_t columns, const F& cell) {
  for_units(job.step, [&](int64_t n, int32_t row, int32_t unit) {
    Columns d = {};
    float before = 0;
    if (counts(job.step, row)) {
      const float* from = is_first(job.step, row) ? job.h0 : job.out_before;
      if (from) before = from[n];
      float dh = job.dhidden[n];
      if (job.dy) dh += job.dy[n];
      d = cell(n, row, unit, dh, before);
    }
    put(job.dgates, job.step, row, unit, d, columns);
    if (job.before) job.before[n] = before;
  });
}

DEVICE void lstm_cell_backward(const CellBackward& job) {
  backward(job, 4, [&](int64_t n, int32_t row, int32_t unit, float dh, float) {
    const Columns gates = take(job.gates, job.step, row, unit);
    const float i = gates.of[0], f = gates.of[1], g = gates.of[2], o = gates.of[3];
    const float tanh_c = tanhf(job.cells[n]), before = job.cells_before ? job.cells_before[n] : 0.0f;
    const float dc = job.dcell[n] + dh * o * (1 - tanh_c * tanh_c);
    job.dcell[n] = dc * f;
    job.dhidden[n] = 0;
    return Columns{{dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)}};
  });
}

DEVICE void gru_cell_backward(const CellBackward& job) {
  backward(job, 4, [&](int64_t n, int32_t row, int32_t unit, float dh, float before) {
    const Columns gates = take(job.gates, job.step, row, unit);
    const float r = gates.of[0], z = gates.of[1], of_n = gates.of[2], s = gates.of[3];
    const float dn = dh * (1 - z) * (1 - of_n * of_n);
    job.dhidden[n] = dh * z;
    return Columns{{dn, dn * s * r * (1 - r), dh * (before - of_n) * z * (1 - z), dn * r}};
  });
}

DEVICE void rnn_cell_backward(const CellBackward& job) {
  backward(job, 1, [&](int64_t n, int32_t, int32_t, float dh, float) {
    const float h = job.out[n];
    job.dhidden[n] = 0;
    return Columns{{!job.step.relu ? dh * (1 - h * h) : h <= 0 ? 0.0f : dh}};
  });
}

// A block has 32 columns, and its warps share the rows.
constexpr int columns_of_block = 32;

struct WarpSums {
  double of[warps_of_block][columns_of_block];
};

DEVICE void add_columns(const ColumnSums& job) {
  SHARED(WarpSums, parts);
  const int32_t lane = static_cast<int32_t>(threadIdx.x % columns_of_block);
  const int32_t warp = static_cast<int32_t>(threadIdx.x / columns_of_block);
  const int32_t column = static_cast<int32_t>(blockIdx.x) * columns_of_block + lane;
  double sum = 0;
  if (column < job.width)
    for (int64_t row = warp; row < job.rows; row += warps_of_block) sum += double(job.from[row * job.width + column]);
  parts.of[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= job.width) return;
  double all = job.begins ? 0.0 : job.sums[column];
  for (int32_t w = 0; w < warps_of_block; w++) all += parts.of[w][lane];
  job.sums[column] = all;
}

DEVICE void write_sums(const ColumnSums& job) {
  const int32_t H = job.units, last = (job.gates - 1) * H;
  for_rows<1>(int64_t(job.gates) * H, [&](int64_t k) {
    const int64_t of_state = job.separate ? k + H : k;
    if (job.of_state) job.of_state[k] = float(job.sums[of_state]);
    if (job.of_input) job.of_input[k] = float(job.sums[job.separate && k >= last ? k - last : of_state]);
  });
}

DEVICE void mask(const Mask& job) {
  // Lengths are checked even if there are no steps.
  for_rows<1>((job.steps > 0 ? job.steps : 1) * job.rows, [&](int64_t n) {
    const int64_t time = n / job.rows, row = n - time * job.rows;
    const int32_t length = job.lengths[row];
    if (time == 0 && (length < 1 || length > job.steps)) bring_least(job.wrong, uint64_t(row) << 32 | uint32_t(length));
    if (time < job.steps) job.out[n] = time < length;
  });
}

}  // namespace

KERNEL(lstm_step, const __grid_constant__ CellForward job) { lstm_cell(job); }
KERNEL(gru_step, const __grid_constant__ CellForward job) { gru_cell(job); }
KERNEL(rnn_step, const __grid_constant__ CellForward job) { rnn_cell(job); }
KERNEL(lstm_step_backward, const __grid_constant__ CellBackward job) { lstm_cell_backward(job); }
KERNEL(gru_step_backward, const __grid_constant__ CellBackward job) { gru_cell_backward(job); }
KERNEL(rnn_step_backward, const __grid_constant__ CellBackward job) { rnn_cell_backward(job); }
KERNEL(recurrent_add_columns, const __grid_constant__ ColumnSums job) { add_columns(job); }
KERNEL(recurrent_write_sums, const __grid_constant__ ColumnSums job) { write_sums(job); }
KERNEL(sequence_mask, const __grid_constant__ Mask job) { mask(job); }
