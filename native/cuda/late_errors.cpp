#include "late_errors.h"

#include <algorithm>

namespace firesteel::cuda {
namespace {

constexpr LateSlot nothing = ~LateSlot(0);

void replace(std::string* text, const char* name, const std::string& value) {
  const size_t at = text->find(name);
  if (at != std::string::npos) text->replace(at, std::char_traits<char>::length(name), value);
}

}  // namespace

Status LateErrors::start() {
  void* memory = nullptr;
  // 2: the device may write to it.
  const Status status = driver_.cuMemHostAlloc(&memory, count * sizeof(LateSlot), 2);
  if (status != Status::success) return status;
  slots_ = static_cast<LateSlot*>(memory);
  std::fill(slots_, slots_ + count, nothing);
  return status;
}

void LateErrors::stop() {
  if (slots_) driver_.cuMemFreeHost(slots_);
  slots_ = nullptr;
}

LateSlot* LateErrors::expect(const KernelCall& call, ErrorCode code, std::string text) {
  if (used_ == count) return slots_ + count - 1;
  expected_.push_back({code, call.op, call.label, std::move(text)});
  return slots_ + used_++;
}

void LateErrors::collect() {
  for (size_t i = 0; i < used_; i++) {
    const LateSlot slot = slots_[i];
    if (slot == nothing) continue;
    slots_[i] = nothing;
    if (!found_.text.empty()) continue;
    found_ = std::move(expected_[i]);
    replace(&found_.text, "%value", std::to_string(static_cast<int32_t>(slot)));
    replace(&found_.text, "%position", std::to_string(slot >> 32));
  }
  used_ = 0;
  expected_.clear();
}

bool LateErrors::take(LateError* error) {
  if (found_.text.empty()) return false;
  text_ = std::move(found_.text);
  found_.text.clear();
  *error = {found_.code, found_.op, found_.label, text_.c_str()};
  return true;
}

}  // namespace firesteel::cuda
