#include "graphs.h"

#include "device.h"

namespace firesteel::cuda {
namespace {

// The mode in which the driver allows allocations while a stream is captured.
constexpr int relaxed = 2;

}  // namespace

bool Graphs::begin() {
  if (!device_.check("capture", device_.driver.cuStreamBeginCapture_v2(device_.stream, relaxed))) return false;
  device_.memory.begin_holding();
  device_.late.begin_capture();
  capturing_ = true;
  return true;
}

int Graphs::end() {
  capturing_ = false;
  Graph made = {nullptr, device_.memory.end_holding(), device_.late.end_capture()};
  const Driver& driver = device_.driver;
  void* graph = nullptr;
  const bool captured = device_.check("capture", driver.cuStreamEndCapture(device_.stream, &graph)) &&
                        device_.check("capture", driver.cuGraphInstantiateWithFlags(&made.executable, graph, 0));
  if (graph) driver.cuGraphDestroy(graph);
  graphs_.push_back(std::move(made));
  const int number = static_cast<int>(graphs_.size()) - 1;
  if (captured) return number;
  drop(number);
  return -1;
}

bool Graphs::replay(int number) {
  if (number < 0 || static_cast<size_t>(number) >= graphs_.size() || !graphs_[static_cast<size_t>(number)].executable)
    return device_.fail("there is no such graph");
  const Graph& graph = graphs_[static_cast<size_t>(number)];
  if (!graph.slots.empty()) device_.late.expect_again();
  device_.launches++;
  return device_.check("replay", device_.driver.cuGraphLaunch(graph.executable, device_.stream));
}

void Graphs::drop(int number) {
  if (number < 0 || static_cast<size_t>(number) >= graphs_.size()) return;
  Graph& graph = graphs_[static_cast<size_t>(number)];
  // A graph that is running still ends. The next user of its memory comes after it in the stream.
  if (graph.executable) device_.driver.cuGraphExecDestroy(graph.executable);
  device_.memory.let_go(graph.blocks);
  device_.late.let_go(graph.slots);
  graph = {};
}

void Graphs::drop_all() {
  for (size_t i = 0; i < graphs_.size(); i++) drop(static_cast<int>(i));
}

bool Graphs::refuse(const char* what) {
  return !capturing_ || device_.fail(std::string(what) + "; call it outside of captureGraph", ErrorCode::value);
}

void Graphs::touch(const KernelCall& call) {
  for (int i = 0; i < call.view_count; i++) device_.memory.hold(call.views[i].data);
  for (int i = 0; i < call.list_count; i++)
    for (int64_t k = 0; k < call.lists[i].size; k++) device_.memory.hold(call.lists[i].items[k].data);
}

}  // namespace firesteel::cuda
