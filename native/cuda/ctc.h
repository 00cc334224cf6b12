// The arguments of the kernels of connectionist temporal classification, from the host (loss_ctc.cpp) to the device
// (loss_ctc.cu).
#pragma once
#include <stdint.h>

namespace firesteel::cuda {

// The entry of an odd state. It holds the next state of the same label, or the number of states if there is none, and
// whether the state is the first of its label. Blanks are never first.
struct SameLabel {
  int32_t next;
  bool first;
};

struct Ctc {
  float *out, *alpha;  // [N], [N, T, width]
  float* dlog_probs;   // [T, N, C]
  const float *dy, *log_probs;
  const int32_t *targets, *input_lengths, *target_lengths;  // [N, S], [N], [N]
  int64_t sequences;
  int32_t steps, classes, labels, width, blank;  // T, C, S, 2 S + 1
  bool zero_infinity;
  // The slots for lengths and labels that are out of range.
  uint64_t *wrong_steps, *wrong_labels, *wrong_label;
  // The backward pass's memory: for each sequence two rows of beta and one of shares, and its states of the same label.
  float* rows;      // [N, 3, width]
  SameLabel* same;  // [N, width]
};

}  // namespace firesteel::cuda
