// Recurrence through time: one layer, one direction, all steps. cells.h has the legend, and I is the number of inputs.
//
// The forward pass multiplies the input of many steps at once. Each step is then a product with the state, and a cell.
// The backward pass goes from the last step to the first. Each step is a cell and a product with the state's weights.
// The gradients of the input and of the weights are products over many steps: as many as make good products.
#include <algorithm>
#include <limits>

#include "cells.h"
#include "multiply.h"

namespace firesteel::cuda {
namespace {

// The number of rows in products over many steps, which more rows would not make faster; and the number of floats of
// gates that exist at once.
constexpr int64_t rows_at_once = 4096, gates_at_once = int64_t(1) << 26;

int64_t steps_together(int64_t steps, int64_t rows, int64_t width) {
  return std::clamp<int64_t>(std::min(rows_at_once / rows, gates_at_once / (rows * width)), 1, steps);
}

struct Cell {
  const char* name;
  int64_t gates;
  bool separate;  // whether the last gate's parts meet only in the cell
};
constexpr Cell lstm = {"lstm", 4, false}, gru = {"gru", 3, true}, rnn = {"rnn", 1, false};

// The arguments that all cells take. Those that a cell does not have are absent.
constexpr View absent = {nullptr, DType::float32, -1, 0, {}, {}};

struct Forward {
  View out, hn, cn = absent, gates = absent, cells = absent, x, h0, c0 = absent, w_ih, w_hh, b_ih, b_hh, lengths;
  bool relu = false, reverse;
};

struct Backward {
  View dx, dh0, dc0 = absent, dw_ih, dw_hh, db_ih, db_hh = absent, dy, dhn, dcn = absent, x, h0, c0 = absent, w_ih,
                w_hh, lengths, out, gates = absent, cells = absent;
  bool relu = false, reverse;
};

struct Sizes {
  int64_t T, B, I, H, K;  // K: G H
  bool empty() const { return T == 0 || B == 0 || H == 0; }
};

bool has_shape(const View& view, std::initializer_list<int64_t> sizes) {
  if (view.ndim < 0) return true;
  return view.ndim == static_cast<int>(sizes.size()) && std::equal(sizes.begin(), sizes.end(), view.sizes);
}

bool read_sizes(Device& device, Sizes* sizes, const Cell& cell, const View& x, const View& out) {
  if (x.ndim != 3 || out.ndim != 3) return device.fail(std::string(cell.name) + ": x and out have 3 dimensions");
  *sizes = {x.sizes[0], x.sizes[1], x.sizes[2], out.sizes[2], cell.gates * out.sizes[2]};
  const auto [T, B, I, H, K] = *sizes;
  constexpr int64_t most = std::numeric_limits<int32_t>::max() / 8;
  if (std::max({T, B, I, H}) > most || B * H > most)
    return device.fail(std::string(cell.name) + ": more than 2^28 units, inputs or steps");
  return has_shape(out, {T, B, H}) || device.fail(std::string(cell.name) + ": the sizes differ");
}

bool copy_or_clear(Device& device, const View& to, const View& from) {
  const auto bytes = static_cast<size_t>(to.count) * sizeof(float);
  if (to.ndim < 0 || bytes == 0) return true;
  return from.ndim < 0 ? device.clear(to.data, bytes) : device.copy(to.data, from.data, bytes);
}

CellStep step_of(const Sizes& s, const View& lengths, int64_t time, bool reverse, bool relu) {
  return {static_cast<int32_t>(s.B),
          static_cast<int32_t>(s.H),
          static_cast<int32_t>(time),
          static_cast<int32_t>(s.T),
          static_cast<const int32_t*>(lengths.data),
          reverse,
          relu};
}

// A part of a tensor that consists of parts of this many elements each.
float* part(const View& view, int64_t index, int64_t elements) {
  return view.ndim < 0 ? nullptr : floats(view) + index * elements;
}

bool run_forward(Device& device, const Cell& cell, const Forward& f) {
  Sizes s;
  if (!read_sizes(device, &s, cell, f.x, f.out)) return false;
  const auto [T, B, I, H, K] = s;
  if (!has_shape(f.hn, {B, H}) || !has_shape(f.cn, {B, H}) || !has_shape(f.h0, {B, H}) || !has_shape(f.c0, {B, H}) ||
      !has_shape(f.gates, {T, B, 4 * H}) || !has_shape(f.cells, {T, B, H}) || !has_shape(f.w_ih, {K, I}) ||
      !has_shape(f.w_hh, {K, H}) || !has_shape(f.b_ih, {K}) || !has_shape(f.b_hh, {K}) || !has_shape(f.lengths, {B}))
    return device.fail(std::string(cell.name) + "_forward: the sizes differ");
  if (!copy_or_clear(device, f.hn, f.h0) || !copy_or_clear(device, f.cn, f.c0)) return false;
  if (s.empty()) return true;

  const int64_t together = steps_together(T, B, K);
  Scratch inputs(device), states(device);
  float* const input = inputs.take<float>(together * B * K);
  float* const state = input ? states.take<float>(B * K) : nullptr;
  if (!state) return false;
  const View* b_ih = f.b_ih.ndim < 0 ? nullptr : &f.b_ih;
  const View* b_hh = f.b_hh.ndim < 0 ? nullptr : &f.b_hh;
  const View input_weights = view_of(f.w_ih.data, {I, K}, {1, I}), state_weights = view_of(f.w_hh.data, {H, K}, {1, H});
  const View hidden = view_of(f.hn.data, {B, H}, {H, 1});
  for (int64_t first = 0; first < T; first += together) {
    const int64_t count = std::min(together, T - first), start = f.reverse ? T - first - count : first;
    const View rows = view_of(part(f.x, start, B * I), {count * B, I}, {I, 1});
    if (!multiply(device, view_of(input, {count * B, K}, {K, 1}), rows, input_weights, b_ih, false)) return false;
    for (int64_t step = first; step < first + count; step++) {
      const int64_t time = f.reverse ? T - 1 - step : step;
      const bool has_state = step > 0 || f.h0.ndim >= 0;
      if (has_state && !multiply(device, view_of(state, {B, K}, {K, 1}), hidden, state_weights, b_hh, false))
        return false;
      const CellForward job = {step_of(s, f.lengths, time, f.reverse, f.relu),
                               input + (time - start) * B * K,
                               has_state ? state : nullptr,
                               floats(f.b_hh),
                               part(f.out, time, B * H),
                               part(f.gates, time, B * 4 * H),
                               part(f.cells, time, B * H),
                               floats(f.hn),
                               floats(f.cn)};
      if (!device.launch(std::string(cell.name) + "_step", static_cast<uint64_t>(B * H), &job)) return false;
    }
  }
  return true;
}

// A range of columns of the gates' gradients, and the rows of a weight that belong to it.
struct Run {
  int64_t row, column, count;
};

class BackwardPass {
 public:
  BackwardPass(Device& device, const Cell& cell, const Backward& b) : device_(device), cell_(cell), b_(b) {}

  bool run() {
    if (!check()) return false;
    const auto [T, B, I, H, K] = s_;
    if (s_.empty()) return clear();
    if (!take_room() || !copy_or_clear(device_, dhidden_, b_.dhn) || !copy_or_clear(device_, dcell_, b_.dcn))
      return false;
    for (int64_t end = T; end > 0; end -= together_) {
      const int64_t count = std::min(together_, end), start = b_.reverse ? T - end : end - count;
      for (int64_t step = end - 1; step >= end - count; step--)
        if (!run_step(step, start)) return false;
      if (!multiply_together(start, count, end == T)) return false;
    }
    if (b_.db_ih.ndim < 0 && b_.db_hh.ndim < 0) return true;
    const ColumnSums job = sums_of(0, false);
    return device_.launch("recurrent_write_sums", static_cast<uint64_t>(K), &job);
  }

 private:
  bool check() {
    if (!read_sizes(device_, &s_, cell_, b_.x, b_.out)) return false;
    const auto [T, B, I, H, K] = s_;
    width_ = (cell_.gates + cell_.separate) * H;
    const bool fits = has_shape(b_.dx, {T, B, I}) && has_shape(b_.dh0, {B, H}) && has_shape(b_.dc0, {B, H}) &&
                      has_shape(b_.dw_ih, {K, I}) && has_shape(b_.dw_hh, {K, H}) && has_shape(b_.db_ih, {K}) &&
                      has_shape(b_.db_hh, {K}) && has_shape(b_.dy, {T, B, H}) && has_shape(b_.dhn, {B, H}) &&
                      has_shape(b_.dcn, {B, H}) && has_shape(b_.h0, {B, H}) && has_shape(b_.c0, {B, H}) &&
                      has_shape(b_.w_ih, {K, I}) && has_shape(b_.w_hh, {K, H}) && has_shape(b_.lengths, {B}) &&
                      has_shape(b_.gates, {T, B, 4 * H}) && has_shape(b_.cells, {T, B, H});
    return fits || device_.fail(std::string(cell_.name) + "_backward: the sizes differ");
  }

  // Without cells there may still be any number of steps.
  bool clear() {
    return copy_or_clear(device_, b_.dx, absent) && copy_or_clear(device_, b_.dh0, b_.dhn) &&
           copy_or_clear(device_, b_.dc0, b_.dcn) && copy_or_clear(device_, b_.dw_ih, absent) &&
           copy_or_clear(device_, b_.dw_hh, absent) && copy_or_clear(device_, b_.db_ih, absent) &&
           copy_or_clear(device_, b_.db_hh, absent);
  }

  bool take_room() {
    const auto [T, B, I, H, K] = s_;
    together_ = steps_together(T, B, width_);
    dgates_ = dgates_room_.take<float>(together_ * B * width_);
    sums_ = sums_room_.take<double>(width_);
    before_ = b_.dw_hh.ndim < 0 ? nullptr : before_room_.take<float>(together_ * B * H);
    const auto state = [&](const View& given, Scratch& room) {
      return given.ndim < 0 ? view_of(room.take<float>(B * H), {B, H}, {H, 1}) : given;
    };
    dhidden_ = state(b_.dh0, dhidden_room_);
    dcell_ = b_.cells.ndim < 0 ? absent : state(b_.dc0, dcell_room_);
    return dgates_ && sums_ && (before_ || b_.dw_hh.ndim < 0) && dhidden_.data && (dcell_.data || b_.cells.ndim < 0);
  }

  // Computes the gates' gradients of a step, and the gradient of the state before it.
  bool run_step(int64_t step, int64_t start) {
    const auto [T, B, I, H, K] = s_;
    const int64_t time = b_.reverse ? T - 1 - step : step, before = b_.reverse ? time + 1 : time - 1;
    float* const dgates = dgates_ + (time - start) * B * width_;
    const CellBackward job = {step_of(s_, b_.lengths, time, b_.reverse, b_.relu),
                              part(b_.dy, time, B * H),
                              part(b_.out, time, B * H),
                              part(b_.gates, time, B * 4 * H),
                              part(b_.cells, time, B * H),
                              step > 0 ? part(b_.out, before, B * H) : nullptr,
                              step > 0 ? part(b_.cells, before, B * H) : floats(b_.c0),
                              floats(b_.h0),
                              floats(dhidden_),
                              floats(dcell_),
                              dgates,
                              before_ ? before_ + (time - start) * B * H : nullptr};
    if (!device_.launch(std::string(cell_.name) + "_step_backward", static_cast<uint64_t>(B * H), &job)) return false;
    if (step == 0 && b_.dh0.ndim < 0) return true;
    const View of_state = view_of(dgates + state_column(), {B, K}, {width_, 1});
    return multiply(device_, view_of(dhidden_.data, {B, H}, {H, 1}), of_state, view_of(b_.w_hh.data, {K, H}, {H, 1}),
                    nullptr, true);
  }

  int64_t state_column() const { return cell_.separate ? s_.H : 0; }

  // Computes the gradients of the input, the weights and the biases, over many steps.
  bool multiply_together(int64_t start, int64_t count, bool begins) {
    const auto [T, B, I, H, K] = s_;
    const int64_t rows = count * B, separate = cell_.separate ? H : 0;
    const View x = view_of(part(b_.x, start, B * I), {rows, I}, {I, 1});
    // The gates that both parts share come first, and then the input's part of the last gate.
    for (const Run& run : {Run{0, state_column(), K - separate}, Run{K - separate, 0, separate}}) {
      if (run.count == 0) continue;
      float* const dgates = dgates_ + run.column;
      const View weights = view_of(floats(b_.w_ih) + run.row * I, {run.count, I}, {I, 1});
      if (b_.dx.ndim >= 0 && !multiply(device_, view_of(part(b_.dx, start, B * I), {rows, I}, {I, 1}),
                                       view_of(dgates, {rows, run.count}, {width_, 1}), weights, nullptr, run.row > 0))
        return false;
      if (b_.dw_ih.ndim >= 0 && !multiply(device_, view_of(floats(b_.dw_ih) + run.row * I, {run.count, I}, {I, 1}),
                                          view_of(dgates, {run.count, rows}, {1, width_}), x, nullptr, !begins))
        return false;
    }
    if (before_ && !multiply(device_, view_of(b_.dw_hh.data, {K, H}, {H, 1}),
                             view_of(dgates_ + state_column(), {K, rows}, {1, width_}),
                             view_of(before_, {rows, H}, {H, 1}), nullptr, !begins))
      return false;
    if (b_.db_ih.ndim < 0 && b_.db_hh.ndim < 0) return true;
    const ColumnSums job = sums_of(rows, begins);
    return device_.launch("recurrent_add_columns", Grid{static_cast<unsigned>((width_ + 31) / 32)}, &job);
  }

  ColumnSums sums_of(int64_t rows, bool begins) const {
    return {dgates_,
            sums_,
            rows,
            static_cast<int32_t>(width_),
            begins,
            floats(b_.db_ih),
            floats(b_.db_hh),
            static_cast<int32_t>(s_.H),
            static_cast<int32_t>(cell_.gates),
            cell_.separate};
  }

  Device& device_;
  const Cell& cell_;
  const Backward& b_;
  Sizes s_ = {};
  int64_t width_ = 0, together_ = 0;  // the number of columns of the gates' gradients, and of steps taken together
  Scratch dgates_room_{device_}, before_room_{device_}, sums_room_{device_}, dhidden_room_{device_},
      dcell_room_{device_};
  float *dgates_ = nullptr, *before_ = nullptr;
  double* sums_ = nullptr;
  View dhidden_ = absent, dcell_ = absent;
};

bool lstm_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return run_forward(device, lstm,
                     {.out = v[0],
                      .hn = v[1],
                      .cn = v[2],
                      .gates = v[3],
                      .cells = v[4],
                      .x = v[5],
                      .h0 = v[6],
                      .c0 = v[7],
                      .w_ih = v[8],
                      .w_hh = v[9],
                      .b_ih = v[10],
                      .b_hh = v[11],
                      .lengths = v[12],
                      .reverse = call.numbers[0] != 0});
}

bool gru_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return run_forward(device, gru,
                     {.out = v[0],
                      .hn = v[1],
                      .gates = v[2],
                      .x = v[3],
                      .h0 = v[4],
                      .w_ih = v[5],
                      .w_hh = v[6],
                      .b_ih = v[7],
                      .b_hh = v[8],
                      .lengths = v[9],
                      .reverse = call.numbers[0] != 0});
}

bool rnn_forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  return run_forward(device, rnn,
                     {.out = v[0],
                      .hn = v[1],
                      .x = v[2],
                      .h0 = v[3],
                      .w_ih = v[4],
                      .w_hh = v[5],
                      .b_ih = v[6],
                      .b_hh = v[7],
                      .lengths = v[8],
                      .relu = call.numbers[0] != 0,
                      .reverse = call.numbers[1] != 0});
}

bool lstm_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  const Backward b = {.dx = v[0],
                      .dh0 = v[1],
                      .dc0 = v[2],
                      .dw_ih = v[3],
                      .dw_hh = v[4],
                      .db_ih = v[5],
                      .dy = v[6],
                      .dhn = v[7],
                      .dcn = v[8],
                      .x = v[9],
                      .h0 = v[10],
                      .c0 = v[11],
                      .w_ih = v[12],
                      .w_hh = v[13],
                      .lengths = v[14],
                      .out = v[15],
                      .gates = v[16],
                      .cells = v[17],
                      .reverse = call.numbers[0] != 0};
  return BackwardPass(device, lstm, b).run();
}

bool gru_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  const Backward b = {.dx = v[0],
                      .dh0 = v[1],
                      .dw_ih = v[2],
                      .dw_hh = v[3],
                      .db_ih = v[4],
                      .db_hh = v[5],
                      .dy = v[6],
                      .dhn = v[7],
                      .x = v[8],
                      .h0 = v[9],
                      .w_ih = v[10],
                      .w_hh = v[11],
                      .lengths = v[12],
                      .out = v[13],
                      .gates = v[14],
                      .reverse = call.numbers[0] != 0};
  return BackwardPass(device, gru, b).run();
}

bool rnn_backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  const Backward b = {.dx = v[0],
                      .dh0 = v[1],
                      .dw_ih = v[2],
                      .dw_hh = v[3],
                      .db_ih = v[4],
                      .db_hh = v[5],
                      .dy = v[6],
                      .dhn = v[7],
                      .x = v[8],
                      .h0 = v[9],
                      .w_ih = v[10],
                      .w_hh = v[11],
                      .lengths = v[12],
                      .out = v[13],
                      .relu = call.numbers[0] != 0,
                      .reverse = call.numbers[1] != 0};
  return BackwardPass(device, rnn, b).run();
}

bool sequence_mask(Device& device, const Launchable&, const KernelCall& call) {
  const View &out = call.views[0], &lengths = call.views[1];
  if (out.ndim != 2 || lengths.ndim != 1 || out.sizes[1] != lengths.sizes[0])
    return device.fail("sequence_mask: the sizes do not fit out [T, B] and lengths [B]");
  const int64_t steps = out.sizes[0], rows = out.sizes[1];
  if (rows == 0) return true;
  const Mask job = {
      static_cast<bool*>(out.data), static_cast<const int32_t*>(lengths.data),
      device.late.expect(call, ErrorCode::value,
                         "the length of sequence %position is %value, but must be from 1 to " + std::to_string(steps)),
      steps, rows};
  return device.launch("sequence_mask", static_cast<uint64_t>(std::max<int64_t>(steps, 1) * rows), &job);
}

}  // namespace

const Launchable recurrent_kernels[] = {
    {"sequence_mask", sequence_mask, "sequence_mask"},      {"lstm_forward", lstm_forward, "lstm_step"},
    {"lstm_backward", lstm_backward, "lstm_step_backward"}, {"gru_forward", gru_forward, "gru_step"},
    {"gru_backward", gru_backward, "gru_step_backward"},    {"rnn_forward", rnn_forward, "rnn_step"},
    {"rnn_backward", rnn_backward, "rnn_step_backward"},    {},
};

}  // namespace firesteel::cuda
