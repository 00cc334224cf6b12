// Launches the entries of loss_ctc.cu.
#include <algorithm>
#include <limits>

#include "ctc.h"
#include "device.h"

namespace firesteel::cuda {
namespace {

// `v` holds alpha, logProbs, targets, inputLengths and targetLengths; `numbers` holds blank and zeroInfinity.
bool read_ctc(Device& device, Ctc* job, const View& alpha, const View* v, const double* numbers) {
  const View &log_probs = v[0], &targets = v[1];
  if (log_probs.ndim != 3 || targets.ndim != 2) return device.fail("ctc: not [T, N, C] and [N, S]");
  const int64_t steps = log_probs.sizes[0], sequences = log_probs.sizes[1], classes = log_probs.sizes[2];
  const int64_t labels = targets.sizes[1], width = 2 * labels + 1;
  if (targets.sizes[0] != sequences || v[2].count != sequences || v[3].count != sequences ||
      alpha.count != sequences * steps * width || numbers[0] < 0 || numbers[0] >= double(classes))
    return device.fail("ctc: the sizes differ");
  constexpr int64_t most = std::numeric_limits<int32_t>::max() / 4;
  if (std::max({steps, classes, labels}) > most) return device.fail("ctc: more than 2^29 steps, classes or labels");
  *job = {};
  job->alpha = floats(alpha);
  job->log_probs = floats(log_probs);
  job->targets = static_cast<const int32_t*>(targets.data);
  job->input_lengths = static_cast<const int32_t*>(v[2].data);
  job->target_lengths = static_cast<const int32_t*>(v[3].data);
  job->sequences = sequences;
  job->steps = static_cast<int32_t>(steps);
  job->classes = static_cast<int32_t>(classes);
  job->labels = static_cast<int32_t>(labels);
  job->width = static_cast<int32_t>(width);
  job->blank = static_cast<int32_t>(numbers[0]);
  job->zero_infinity = numbers[1] != 0;
  return true;
}

// Launches a block for each sequence.
bool launch(Device& device, const char* entry, const Ctc& job) {
  return job.sequences == 0 || device.launch(entry, static_cast<uint64_t>(job.sequences * 256), &job);
}

bool forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Ctc job;
  if (!read_ctc(device, &job, v[1], v + 2, call.numbers)) return false;
  if (v[0].count != job.sequences) return device.fail("ctc: the loss is not [N]");
  job.out = floats(v[0]);
  const auto expect = [&](const std::string& text) { return device.late.expect(call, ErrorCode::index, text); };
  job.wrong_steps = expect("sequence %position has %value steps, but there are " + std::to_string(job.steps));
  job.wrong_labels = expect("sequence %position has %value labels, but there are " + std::to_string(job.labels));
  job.wrong_label = expect("label %value of sequence %position is outside [0, " + std::to_string(job.classes) + ")");
  return launch(device, "ctc_forward", job);
}

bool backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Ctc job;
  if (!read_ctc(device, &job, v[2], v + 3, call.numbers)) return false;
  if (v[1].count != job.sequences || !same_shape(v[0], v[3])) return device.fail("ctc_backward: shapes differ");
  job.dlog_probs = floats(v[0]);
  job.dy = floats(v[1]);
  Scratch rows(device), same(device);
  job.rows = rows.take<float>(job.sequences * 3 * job.width);
  job.same = job.rows ? same.take<SameLabel>(job.sequences * job.width) : nullptr;
  return job.same && launch(device, "ctc_backward", job);
}

}  // namespace

const Launchable ctc_kernels[] = {
    {"ctc_forward", forward, "ctc_forward"},
    {"ctc_backward", backward, "ctc_backward"},
    {},
};

}  // namespace firesteel::cuda
