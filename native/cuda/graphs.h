// Calls that are captured once and then replayed by a single call of the driver, because a small kernel takes less time
// than its launch. A captured call does not run. The memory that it touches belongs to the graph as long as the graph
// lives: nobody else gets it, even if the program has released it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "library.h"

namespace firesteel::cuda {

class Graphs {
 public:
  explicit Graphs(Device& device) : device_(device) {}
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // All must be called with the device's context current. They return false, or -1, after Device::fail.
  bool begin();
  // The graph's number.
  int end();
  bool replay(int graph);
  void drop(int graph);
  void drop_all();

  bool capturing() const { return capturing_; }
  // Returns false after Device::fail if calls are being captured, among which `what` has no place.
  bool refuse(const char* what);
  // Holds the memory of a call's tensors.
  void touch(const KernelCall& call);

 private:
  struct Graph {
    void* executable = nullptr;  // null once dropped
    std::vector<uint64_t> blocks;
    std::vector<size_t> slots;
  };

  Device& device_;
  bool capturing_ = false;
  std::vector<Graph> graphs_;
};

}  // namespace firesteel::cuda
