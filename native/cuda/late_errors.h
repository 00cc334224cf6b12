// What kernels find wrong in their data, such as an index that is out of range: nobody waits for a kernel, so it is
// noted in page-locked memory, which the host looks at once it has waited for the stream anyway. Of one call the first
// wrong element counts, and of several the first call, whatever the order in which threads run.
#pragma once
#include <stdint.h>

#include <string>
#include <vector>

#include "driver.h"
#include "library.h"

namespace firesteel::cuda {

// Of a call: position << 32 | value of the first wrong element, or all ones. Kernels bring the least.
using LateSlot = uint64_t;

class LateErrors {
 public:
  explicit LateErrors(const Driver& driver) : driver_(driver) {}
  LateErrors(const LateErrors&) = delete;
  LateErrors& operator=(const LateErrors&) = delete;

  // With the device's context current.
  Status start();
  void stop();

  // What to say of a wrong element; `%value` and `%position` stand for what the kernel finds.
  LateSlot* expect(const KernelCall& call, ErrorCode code, std::string text);
  // Whether a call has a slot whose kernel may not have run.
  bool expected() const { return used_ > 0; }
  // Once all has run: what was found wrong first is kept for take(), and slots are free again.
  void collect();
  bool take(LateError* error);

 private:
  // The last slot serves all calls beyond, whose errors are then named after the first of them.
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
