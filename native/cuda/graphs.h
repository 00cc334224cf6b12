// Calls that are captured once and then replayed by a single call of the driver, because a small kernel takes less time
// than its launch. A captured call does not run. The memory that it touches belongs to the graph as long as the graph
// lives: nobody else gets it, even if the program has released it.
//
// Some calls have other numbers at each replay, such as a step's rate and number, or a position in a random stream. The
// graph keeps their arguments. Before a replay it launches them once more with their new numbers, which now only sets
// the parameters of the nodes that the first launch made. Kernels therefore need not know of graphs.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "driver.h"
#include "library.h"

namespace firesteel::cuda {

struct Launchable;

class Graphs {
 public:
  explicit Graphs(Device& device) : device_(device) {}
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // All must be called with the device's context current. They return false, or -1, after Device::fail.
  bool begin();
  // The graph's number.
  int end();
  bool replay(int graph, const double* values, size_t count);
  void drop(int graph);
  void drop_all();

  bool capturing() const { return capturing_; }
  // Returns false after Device::fail if calls are being captured, among which `what` has no place.
  bool refuse(const char* what);
  // Holds the memory of a call's tensors.
  void touch(const KernelCall& call);

  // Launches a call that is captured, and that gets new numbers at each replay.
  bool capture_varying(const Launchable& kernel, const KernelCall& call);
  // Whether such a call is launched anew, so that nothing may be submitted.
  bool renewing() const { return renewed_ != nullptr; }
  // The parts of a launch. During the first one they are noted. Later the launch gets the same ones again, in order.
  bool note_node();
  bool renew(const char* name, const KernelNode& node);
  void note_room(void* room);
  void* same_room();

 private:
  struct VaryingCall {
    const Launchable* kernel = nullptr;
    std::vector<View> views;
    std::vector<std::vector<View>> items;  // of the lists
    std::vector<double> values;            // those of the last replay
    const char* op = nullptr;
    int label = 0;
    std::vector<void*> nodes, rooms;
    std::vector<size_t> slots;
  };
  struct Graph {
    void* executable = nullptr;  // null once dropped
    void* source = nullptr;      // has the nodes of the varying calls; null if there are none
    std::vector<uint64_t> blocks;
    std::vector<size_t> slots;
    std::vector<VaryingCall> varying;
  };

  // Sets the parameters of a call's nodes. `values` are as many as the call had.
  bool renew_call(const Graph& graph, VaryingCall* call, const double* values);

  Device& device_;
  bool capturing_ = false;
  std::vector<Graph> graphs_;
  std::vector<VaryingCall> varying_;  // of the graph that is captured
  VaryingCall* noted_ = nullptr;      // the call whose first launch is running
  VaryingCall* renewed_ = nullptr;    // the call that is launched anew
  void* executable_ = nullptr;        // the graph of that call
  size_t next_node_ = 0, next_room_ = 0;
};

}  // namespace firesteel::cuda
