// Faults that kernels find in their data, such as an index out of range. Nobody waits for a kernel, so it notes them in
// page-locked memory, which the host reads whenever it has waited for the stream anyway. Within a call the first wrong
// element counts, and among calls the first one, whatever the order in which threads run.
#pragma once
#include <stdint.h>

#include <string>
#include <vector>

#include "driver.h"
#include "library.h"

namespace firesteel::cuda {

// The slot of a call: position << 32 | value of the first wrong element, or all ones. Kernels keep the least.
using LateSlot = uint64_t;

class LateErrors {
 public:
  explicit LateErrors(const Driver& driver) : driver_(driver) {}
  LateErrors(const LateErrors&) = delete;
  LateErrors& operator=(const LateErrors&) = delete;

  // Must be called with the device's context current.
  Status start();
  void stop();

  // Reserves a slot, with the text for a wrong element. `%value` and `%position` stand for what the kernel finds.
  LateSlot* expect(const KernelCall& call, ErrorCode code, std::string text);
  // Whether a call has a slot whose kernel may not have run.
  bool expected() const { return used_ > 0; }
  // Called once everything has run: keeps the first fault for take(), and frees the slots.
  void collect();
  bool take(LateError* error);

 private:
  // The last slot serves all further calls, whose errors are then named after the first of them.
  static constexpr size_t count = 4096;

  struct Expected {
    ErrorCode code;
    const char* op;
    int label;
    std::string text;
  };
  const Driver& driver_;
  LateSlot* slots_ = nullptr;
  size_t used_ = 0;
  std::vector<Expected> expected_;
  Expected found_ = {};
  std::string text_;
};

}  // namespace firesteel::cuda
