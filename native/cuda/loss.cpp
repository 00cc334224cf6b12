// Launches the entries of loss.cu.
#include "loss.h"

#include <limits>

#include "labels.h"

namespace firesteel::cuda {

LateSlot* expect_labels(Device& device, const KernelCall& call, int32_t classes, double ignore_index) {
  return device.late.expect(call, ErrorCode::index,
                            "label %value of row %position is outside [0, " + std::to_string(classes) +
                                ") and is not ignoreIndex (" + std::to_string(static_cast<int64_t>(ignore_index)) +
                                ")");
}

namespace {

// `numbers` are ignoreIndex, smoothing and reduction.
bool read_labels(Device& device, Labels* job, const View& loss, const View& statistics, const View& total,
                 const View& logits, const View& target, const View& weight, const double* numbers) {
  if (logits.ndim != 2) return device.fail("cross_entropy: logits are not [N, C]");
  const int64_t rows = logits.sizes[0], classes = logits.sizes[1];
  const auto reduction = static_cast<int64_t>(numbers[2]);
  if (target.count != rows || statistics.count != 2 * rows || total.count != 1 ||
      (weight.ndim >= 0 && weight.count != classes) || reduction < reduce_none || reduction > reduce_sum ||
      loss.count != (reduction == reduce_none ? rows : 1))
    return device.fail("cross_entropy: the sizes differ");
  if (classes > std::numeric_limits<int32_t>::max()) return device.fail("cross_entropy: more than 2^31 classes");
  *job = {};
  job->out = floats(loss);
  job->statistics = floats(statistics);
  job->total = floats(total);
  job->logits = logits.data;
  job->target = static_cast<const int32_t*>(target.data);
  job->weight = floats(weight);
  job->rows = rows;
  job->classes = static_cast<int32_t>(classes);
  job->ignore_index = static_cast<int32_t>(numbers[0]);
  job->ignores = double(job->ignore_index) == numbers[0];
  job->smoothing = static_cast<float>(numbers[1]);
  job->reduction = static_cast<LossReduction>(reduction);
  return true;
}

bool launch_rows(Device& device, const char* kernel, DType dtype, const Labels& job) {
  const int team = team_for(job.classes);
  return device.launch(std::string(kernel) + dtype_names[static_cast<int>(dtype)] + team_suffix(team),
                       static_cast<uint64_t>(job.rows * team), &job);
}

bool forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Labels job;
  if (!read_labels(device, &job, v[0], v[1], v[2], v[3], v[4], v[5], call.numbers)) return false;
  Scratch losses(device);
  job.losses = losses.take<double>(job.rows);
  if (!job.losses) return false;
  job.wrong = expect_labels(device, call, job.classes, call.numbers[0]);
  return (job.rows == 0 || launch_rows(device, "cross_entropy_forward_", v[3].dtype, job)) &&
         device.launch("loss_finish", Grid{1}, &job);
}

bool backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Labels job;
  if (!read_labels(device, &job, v[1], v[2], v[3], v[4], v[5], v[6], call.numbers)) return false;
  if (!same_shape(v[0], v[4]) || v[0].dtype != v[4].dtype)
    return device.fail("cross_entropy_backward: dlogits and logits differ in shape or dtype");
  job.dlogits = v[0].data;
  return v[0].count == 0 || launch_rows(device, "cross_entropy_backward_", v[4].dtype, job);
}

// `numbers` are ignoreIndex and reduction.
bool read_picked(Device& device, Labels* job, const View& loss, const View& total, const View& log_probs,
                 const View& target, const View& weight, const double* numbers) {
  if (log_probs.ndim != 3) return device.fail("nll_loss: log_probs are not [N, C, I]");
  const int64_t rows = log_probs.sizes[0] * log_probs.sizes[2], classes = log_probs.sizes[1];
  const auto reduction = static_cast<int64_t>(numbers[1]);
  if (target.count != rows || total.count != 1 || (weight.ndim >= 0 && weight.count != classes) ||
      reduction < reduce_none || reduction > reduce_sum || loss.count != (reduction == reduce_none ? rows : 1))
    return device.fail("nll_loss: the sizes differ");
  if (classes > std::numeric_limits<int32_t>::max()) return device.fail("nll_loss: more than 2^31 classes");
  *job = {};
  job->out = floats(loss);
  job->total = floats(total);
  job->target = static_cast<const int32_t*>(target.data);
  job->weight = floats(weight);
  job->rows = rows;
  job->inner = log_probs.sizes[2];
  job->classes = static_cast<int32_t>(classes);
  job->ignore_index = static_cast<int32_t>(numbers[0]);
  job->ignores = double(job->ignore_index) == numbers[0];
  job->reduction = static_cast<LossReduction>(reduction);
  return true;
}

bool launch_picked(Device& device, const char* kernel, DType dtype, const Labels& job) {
  return job.rows == 0 || device.launch(std::string(kernel) + dtype_names[static_cast<int>(dtype)],
                                        static_cast<uint64_t>(job.rows), &job);
}

bool pick(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Labels job;
  if (!read_picked(device, &job, v[0], v[1], v[2], v[3], v[4], call.numbers)) return false;
  Scratch losses(device);
  job.losses = losses.take<double>(job.rows);
  if (!job.losses) return false;
  job.logits = v[2].data;
  job.wrong = expect_labels(device, call, job.classes, call.numbers[0]);
  return launch_picked(device, "nll_loss_forward_", v[2].dtype, job) && device.launch("loss_finish", Grid{1}, &job);
}

bool put(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  Labels job;
  if (!read_picked(device, &job, v[1], v[2], v[0], v[3], v[4], call.numbers)) return false;
  job.dlogits = v[0].data;
  return device.clear(v[0].data, static_cast<size_t>(v[0].count * dtype_bytes[static_cast<int>(v[0].dtype)])) &&
         launch_picked(device, "nll_loss_backward_", v[0].dtype, job);
}

}  // namespace

const Launchable loss_kernels[] = {
    {"cross_entropy_forward", forward, "cross_entropy_forward_float32_32"},
    {"cross_entropy_backward", backward, "cross_entropy_backward_float32_32"},
    {"nll_loss_forward", pick, "nll_loss_forward_float32"},
    {"nll_loss_backward", put, "nll_loss_backward_float32"},
    {},
};

}  // namespace firesteel::cuda
