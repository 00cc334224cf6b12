// Faults that kernels find in their data, such as an index out of range. Nobody waits for a kernel, so it notes a fault
// in page-locked memory, which the host reads whenever it has waited for the stream anyway. The fault that is reported
// is the first wrong element of the first wrong call, whatever the order in which threads run.
#pragma once
#include <stdint.h>

#include <map>
#include <string>
#include <vector>

#include "driver.h"
#include "library.h"

namespace firesteel::cuda {

// The slot of a call: position << 32 | value of the first wrong element, or all ones. Kernels keep the least value.
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
  // Whether any call has a slot and may not have run yet.
  bool expected() const { return used_ > 0 || again_; }
  // Called once everything has run: keeps the first fault for take(), and frees the slots.
  void collect();
  bool take(LateError* error);

  // From now on, slots of calls are those of a graph, which keeps them until let_go(). expect_again() says that the
  // graph runs.
  void begin_capture() { capturing_ = true; }
  std::vector<size_t> end_capture();
  void expect_again() { again_ = true; }
  void let_go(const std::vector<size_t>& slots);
  // The slots of the calls that have been captured so far.
  const std::vector<size_t>& captured() const { return captured_; }
  // From now on, expect() gives these slots in order, as it did when their call was captured; null ends this.
  void repeat(const std::vector<size_t>* slots) {
    repeated_ = slots;
    next_ = 0;
  }

 private:
  // The last slot of each kind serves all further calls, so that their errors name the first of these.
  static constexpr size_t count = 4096, count_of_graphs = 4096;

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
  // The slots of graphs by index. They lie behind the others.
  std::map<size_t, Expected> of_graphs_;
  std::vector<size_t> captured_;
  bool capturing_ = false, again_ = false;
  const std::vector<size_t>* repeated_ = nullptr;
  size_t next_ = 0;
  Expected found_ = {};
  std::string text_;
};

}  // namespace firesteel::cuda
