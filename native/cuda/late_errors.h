// Faults that kernels find in their data, such as an index out of range. Nobody waits for a kernel, so it notes them in
// page-locked memory, which the host reads whenever it has waited for the stream anyway. Within a call the first wrong
// element counts, and among calls the first one, whatever the order in which threads run.
#pragma once
#include <stdint.h>

#include <map>
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
  bool expected() const { return used_ > 0 || again_; }
  // Called once everything has run: keeps the first fault for take(), and frees the slots.
  void collect();
  bool take(LateError* error);

  // Slots of calls from now on are those of a graph, which has them until let_go(). expect_again() says that it runs.
  void begin_capture() { capturing_ = true; }
  std::vector<size_t> end_capture();
  void expect_again() { again_ = true; }
  void let_go(const std::vector<size_t>& slots);

 private:
  // The last slot of either kind serves all further calls, whose errors are then named after the first of them.
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
  // Graphs' slots, which lie behind the others, by their index.
  std::map<size_t, Expected> of_graphs_;
  std::vector<size_t> captured_;
  bool capturing_ = false, again_ = false;
  Expected found_ = {};
  std::string text_;
};

}  // namespace firesteel::cuda
