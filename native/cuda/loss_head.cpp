// Launches the fused head: the entries of loss_head.cu, and the products between them.
#include <algorithm>
#include <limits>

#include "head.h"
#include "loss.h"
#include "multiply.h"

namespace firesteel::cuda {
namespace {

constexpr int64_t most = std::numeric_limits<int32_t>::max();
// The number of logits that exist at once, and the most rows of a group, in whole tiles of a product.
constexpr int64_t logits_at_once = int64_t(1) << 26, most_rows_at_once = 4096, grain = 128;

bool is_wanted(const View& gradient) { return gradient.ndim >= 0 && gradient.count > 0; }
bool is_half(const View& view) { return view.dtype == DType::bfloat16; }
bool fits(const View& gradient, const View& given) { return !is_wanted(gradient) || same_shape(gradient, given); }

class HeadCall {
 public:
  // `given` holds the views from x on, and `numbers` those from the soft cap on.
  HeadCall(Device& device, const View& dx, const View& dweight, const View& dbias, const View* given,
           const double* numbers)
      : dx(dx),
        dweight(dweight),
        dbias(dbias),
        x(given[0]),
        weight(given[1]),
        bias(given[2]),
        target(given[3]),
        class_weight(given[4]),
        device_(device),
        wide_(device),
        rows_(device),
        count_(device),
        logits_(device),
        halves_(device),
        gathered_(device),
        dx_(device),
        dweight_(device),
        dbias_(device) {
    job.softcap = static_cast<float>(numbers[0]);
    Labels& labels = job.labels;
    labels.ignore_index = static_cast<int32_t>(numbers[1]);
    labels.ignores = double(labels.ignore_index) == numbers[1];
    labels.smoothing = static_cast<float>(numbers[2]);
  }

  // Checks the sizes, and fills in what all kernels share. Like the functions below, it returns false after
  // Device::fail.
  bool start(const View& statistics) {
    if (x.ndim != 2 || weight.ndim != 2 || x.sizes[1] != weight.sizes[1])
      return device_.fail("linear_cross_entropy: x is not [N, D] or weight not [V, D]");
    const int64_t rows = x.sizes[0], classes = weight.sizes[0];
    if (target.count != rows || statistics.count != 2 * rows || (bias.ndim >= 0 && bias.count != classes) ||
        (class_weight.ndim >= 0 && class_weight.count != classes) || !fits(dx, x) || !fits(dweight, weight) ||
        (is_wanted(dbias) && (bias.ndim < 0 || dbias.count != classes)))
      return device_.fail("linear_cross_entropy: the sizes differ");
    if (std::max(rows, classes) > most / 2) return device_.fail("linear_cross_entropy: more than 2^30 rows or classes");
    Labels& labels = job.labels;
    labels.rows = rows;
    labels.classes = static_cast<int32_t>(classes);
    labels.target = static_cast<const int32_t*>(target.data);
    labels.statistics = floats(statistics);
    labels.weight = floats(class_weight);
    if (class_weight.ndim >= 0 && is_half(class_weight)) {
      float* const wide = wide_.take<float>(classes);
      const Converted widened = {wide, class_weight.data, classes};
      if (!wide || !device_.launch("head_widen", static_cast<uint64_t>(classes), &widened)) return false;
      labels.weight = wide;
    }
    job.rows = rows_.take<int32_t>(rows);
    job.count = job.rows ? count_.take<int32_t>(1) : nullptr;
    return job.count != nullptr;
  }

  bool list_rows() { return device_.launch("head_list", Grid{1}, &job); }

  // Computes the logits of all rows that count, group by group, and runs the kernel on each group's logits. If any
  // gradient is wanted, the kernel also makes the logits' gradient.
  bool walk(const char* kernel) {
    const bool differentiates = is_wanted(dx) || is_wanted(dweight) || is_wanted(dbias);
    if (is_wanted(dx) && !device_.clear(dx.data, bytes_of(dx))) return false;
    const int64_t rows = job.labels.rows, classes = job.labels.classes;
    if (rows == 0 || classes == 0)
      return (!is_wanted(dweight) || device_.clear(dweight.data, bytes_of(dweight))) &&
             (!is_wanted(dbias) || device_.clear(dbias.data, bytes_of(dbias)));
    const int64_t room = std::clamp<int64_t>(logits_at_once / classes / grain * grain, grain, most_rows_at_once);
    if (!take_room(std::min(room, rows), differentiates)) return false;
    const std::string entry = std::string(kernel) + (halves() ? "bfloat16" : "float32");
    for (int64_t first = 0; first < rows; first += job.together) {
      job.first = static_cast<int32_t>(first);
      job.begins = first == 0;
      if (!make_logits() || !device_.launch(entry, Grid{static_cast<unsigned>(job.together)}, &job) ||
          (differentiates && !multiply_gradients()))
        return false;
    }
    return finish(dweight, dweight_sums_) && finish(dbias, dbias_sums_);
  }

  const View &dx, &dweight, &dbias, &x, &weight, &bias, &target, &class_weight;
  Head job = {};

 private:
  bool halves() const { return is_half(x) && is_half(weight); }
  static size_t bytes_of(const View& view) {
    return static_cast<size_t>(view.count * dtype_bytes[static_cast<int>(view.dtype)]);
  }

  bool take_room(int64_t together, bool differentiates) {
    const int64_t classes = job.labels.classes, features = x.sizes[1];
    job.together = static_cast<int32_t>(together);
    job.logits = logits_.take<float>(together * classes);
    job.stride = classes;
    gathered_data_ = gathered_.take<char>(std::max<int64_t>(together * features, 1) * (is_half(x) ? 2 : 4));
    if (!job.logits || !gathered_data_) return false;
    if (!differentiates) return true;
    job.dlogits = job.logits;
    if (halves()) {
      // Rows are padded for the copies of tensor cores.
      job.stride = (classes + 7) / 8 * 8;
      job.dlogits = halves_.take<uint16_t>(together * job.stride);
    }
    dx_data_ = is_wanted(dx) ? dx_.take<float>(together * features) : nullptr;
    dweight_sums_ = sums_of(dweight, dweight_);
    dbias_sums_ = sums_of(dbias, dbias_);
    return job.dlogits && (dx_data_ || !is_wanted(dx)) && (dweight_sums_ || !is_wanted(dweight)) &&
           (dbias_sums_ || !is_wanted(dbias));
  }

  // Sums are float32. They have the gradient's own memory if the gradient is float32.
  float* sums_of(const View& gradient, Scratch& scratch) {
    if (!is_wanted(gradient)) return nullptr;
    return is_half(gradient) ? scratch.take<float>(gradient.count) : floats(gradient);
  }

  bool finish(const View& gradient, const float* sums) {
    if (!is_wanted(gradient) || !is_half(gradient)) return true;
    const Converted narrowed = {gradient.data, sums, gradient.count};
    return device_.launch("head_narrow", static_cast<uint64_t>(gradient.count), &narrowed);
  }

  bool make_logits() {
    const int64_t classes = job.labels.classes, features = x.sizes[1], together = job.together;
    const int64_t element = is_half(x) ? 2 : 4;
    const bool wide = features * element % 16 == 0 && address(x.data) % 16 == 0;
    Head copy = job;
    copy.to = gathered_data_;
    copy.from = x.data;
    copy.width = wide ? features * element / 16 : features;
    if (features > 0 && !device_.launch("head_gather_" + std::to_string(wide ? 16 : element),
                                        static_cast<uint64_t>(together * copy.width), &copy))
      return false;
    const View rows = view_of(gathered_data_, {together, features}, {features, 1}, x.dtype);
    const View columns = view_of(weight.data, {features, classes}, {1, features}, weight.dtype);
    const View logits = view_of(job.logits, {together, classes}, {classes, 1});
    return multiply(device_, logits, rows, columns, bias.ndim < 0 ? nullptr : &bias, false, live(false));
  }

  // The rows of the group that count.
  Live live(bool of_depth) const { return {job.count, job.first, of_depth}; }

  bool multiply_gradients() {
    const int64_t classes = job.labels.classes, features = x.sizes[1], together = job.together;
    const DType dtype = halves() ? DType::bfloat16 : DType::float32;
    const int64_t element = halves() ? 2 : 4, of_weight = is_half(weight) ? 2 : 4;
    // Tensor cores take whole copies of 8 classes, and the rest is a separate product.
    const int64_t whole = halves() && classes >= 8 ? classes / 8 * 8 : classes;
    for (const int64_t first : {int64_t(0), whole}) {
      const int64_t count = first == 0 ? whole : classes - whole;
      if (count == 0) break;
      char* const dlogits = static_cast<char*>(job.dlogits) + first * element;
      if (dx_data_) {
        const View dz = view_of(dlogits, {together, count}, {job.stride, 1}, dtype);
        const View b = view_of(static_cast<char*>(weight.data) + first * features * of_weight, {count, features},
                               {features, 1}, weight.dtype);
        const View out = view_of(dx_data_, {together, features}, {features, 1});
        if (!multiply(device_, out, dz, b, nullptr, first > 0, live(false))) return false;
      }
      if (dweight_sums_) {
        const View dz = view_of(dlogits, {count, together}, {1, job.stride}, dtype);
        const View rows = view_of(gathered_data_, {together, features}, {features, 1}, x.dtype);
        const View out = view_of(dweight_sums_ + first * features, {count, features}, {features, 1});
        if (!multiply(device_, out, dz, rows, nullptr, !job.begins, live(true))) return false;
      }
    }
    Head moved = job;
    if (dx_data_) {
      moved.to = dx.data;
      moved.from = dx_data_;
      moved.width = features;
      if (!device_.launch(std::string("head_place_") + dtype_names[static_cast<int>(dx.dtype)],
                          static_cast<uint64_t>(together * features), &moved))
        return false;
    }
    if (!dbias_sums_) return true;
    moved.to = dbias_sums_;
    moved.from = job.dlogits;
    moved.width = classes;
    return device_.launch(std::string("head_add_columns_") + dtype_names[static_cast<int>(dtype)],
                          static_cast<uint64_t>(classes), &moved);
  }

  Device& device_;
  Scratch wide_, rows_, count_, logits_, halves_, gathered_, dx_, dweight_, dbias_;
  char* gathered_data_ = nullptr;
  float *dx_data_ = nullptr, *dweight_sums_ = nullptr, *dbias_sums_ = nullptr;
};

bool forward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  const View &out = v[0], &statistics = v[1];
  HeadCall head(device, v[2], v[3], v[4], v + 5, call.numbers);
  const auto reduction = static_cast<int64_t>(call.numbers[3]);
  if (!head.start(statistics)) return false;
  Labels& labels = head.job.labels;
  if (reduction < reduce_none || reduction > reduce_sum || out.count != (reduction == reduce_none ? labels.rows : 1))
    return device.fail("linear_cross_entropy: the loss has the wrong size");
  Scratch losses(device), total(device);
  labels.losses = losses.take<double>(labels.rows);
  labels.total = labels.losses ? total.take<float>(1) : nullptr;
  if (!labels.total) return false;
  labels.out = floats(out);
  labels.reduction = static_cast<LossReduction>(reduction);
  labels.wrong = expect_labels(device, call, labels.classes, call.numbers[1]);
  return head.list_rows() && head.walk("head_forward_") && device.launch("loss_finish", Grid{1}, &labels);
}

bool backward(Device& device, const Launchable&, const KernelCall& call) {
  const View* v = call.views;
  HeadCall head(device, v[0], v[1], v[2], v + 5, call.numbers);
  if (!head.start(v[4])) return false;
  if (v[3].count != head.job.labels.rows) return device.fail("linear_cross_entropy: dy is not [N]");
  head.job.labels.out = floats(v[3]);
  if (!is_wanted(head.dx) && !is_wanted(head.dweight) && !is_wanted(head.dbias)) return true;
  return head.list_rows() && head.walk("head_backward_");
}

}  // namespace

const Launchable head_kernels[] = {
    {"linear_cross_entropy_forward", forward, "head_list"},
    {"linear_cross_entropy_backward", backward, "head_list"},
    {},
};

}  // namespace firesteel::cuda
