#include "late_errors.h"

#include <algorithm>
#include <utility>

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
  // The flag 2 means that the device may write to it.
  const Status status = driver_.cuMemHostAlloc(&memory, (count + count_of_graphs) * sizeof(LateSlot), 2);
  if (status != Status::success) return status;
  slots_ = static_cast<LateSlot*>(memory);
  std::fill(slots_, slots_ + count + count_of_graphs, nothing);
  return status;
}

void LateErrors::stop() {
  if (slots_) driver_.cuMemFreeHost(slots_);
  slots_ = nullptr;
}

LateSlot* LateErrors::expect(const KernelCall& call, ErrorCode code, std::string text) {
  if (repeated_) return slots_ + (next_ < repeated_->size() ? (*repeated_)[next_++] : count + count_of_graphs - 1);
  if (capturing_) {
    size_t index = count;
    while (index < count + count_of_graphs - 1 && of_graphs_.contains(index)) index++;
    if (of_graphs_.try_emplace(index, Expected{code, call.op, call.label, std::move(text)}).second)
      captured_.push_back(index);
    return slots_ + index;
  }
  if (used_ == count) return slots_ + count - 1;
  expected_.push_back({code, call.op, call.label, std::move(text)});
  return slots_ + used_++;
}

void LateErrors::collect() {
  const auto look = [&](size_t i, const Expected& expected) {
    const LateSlot slot = slots_[i];
    if (slot == nothing) return;
    slots_[i] = nothing;
    if (!found_.text.empty()) return;
    found_ = expected;
    replace(&found_.text, "%value", std::to_string(static_cast<int32_t>(slot)));
    replace(&found_.text, "%position", std::to_string(slot >> 32));
  };
  for (size_t i = 0; i < used_; i++) look(i, expected_[i]);
  if (again_)
    for (const auto& [i, expected] : of_graphs_) look(i, expected);
  used_ = 0;
  again_ = false;
  expected_.clear();
}

std::vector<size_t> LateErrors::end_capture() {
  capturing_ = false;
  return std::exchange(captured_, {});
}

void LateErrors::let_go(const std::vector<size_t>& slots) {
  for (const size_t index : slots) of_graphs_.erase(index);
}

bool LateErrors::take(LateError* error) {
  if (found_.text.empty()) return false;
  text_ = std::move(found_.text);
  found_.text.clear();
  *error = {found_.code, found_.op, found_.label, text_.c_str()};
  return true;
}

}  // namespace firesteel::cuda
