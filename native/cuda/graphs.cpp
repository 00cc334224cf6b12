#include "graphs.h"

#include <algorithm>
#include <utility>

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
  Graph made;
  made.blocks = device_.memory.end_holding();
  made.slots = device_.late.end_capture();
  made.varying = std::exchange(varying_, {});
  const Driver& driver = device_.driver;
  void* graph = nullptr;
  const bool captured = device_.check("capture", driver.cuStreamEndCapture(device_.stream, &graph)) &&
                        device_.check("capture", driver.cuGraphInstantiateWithFlags(&made.executable, graph, 0));
  if (graph && captured && !made.varying.empty())
    made.source = graph;
  else if (graph)
    driver.cuGraphDestroy(graph);
  graphs_.push_back(std::move(made));
  const int number = static_cast<int>(graphs_.size()) - 1;
  if (captured) return number;
  drop(number);
  return -1;
}

bool Graphs::replay(int number, const double* values, size_t count) {
  if (number < 0 || static_cast<size_t>(number) >= graphs_.size() || !graphs_[static_cast<size_t>(number)].executable)
    return device_.fail("there is no such graph");
  Graph& graph = graphs_[static_cast<size_t>(number)];
  size_t wanted = 0;
  for (const VaryingCall& call : graph.varying) wanted += call.values.size();
  if (count != 0 && count != wanted)
    return device_.fail("the graph's calls have " + std::to_string(wanted) + " numbers, not " + std::to_string(count));
  if (count != 0) {
    for (VaryingCall& call : graph.varying) {
      if (!renew_call(graph, &call, values)) return false;
      values += call.values.size();
    }
  }
  if (!graph.slots.empty()) device_.late.expect_again();
  device_.launches++;
  return device_.check("replay", device_.driver.cuGraphLaunch(graph.executable, device_.stream));
}

void Graphs::drop(int number) {
  if (number < 0 || static_cast<size_t>(number) >= graphs_.size()) return;
  Graph& graph = graphs_[static_cast<size_t>(number)];
  // A graph that is running still ends. The next user of its memory comes after it in the stream.
  if (graph.executable) device_.driver.cuGraphExecDestroy(graph.executable);
  if (graph.source) device_.driver.cuGraphDestroy(graph.source);
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

bool Graphs::capture_varying(const Launchable& kernel, const KernelCall& call) {
  VaryingCall made;
  made.kernel = &kernel;
  made.views.assign(call.views, call.views + call.view_count);
  for (int i = 0; i < call.list_count; i++)
    made.items.emplace_back(call.lists[i].items, call.lists[i].items + call.lists[i].size);
  made.values.assign(call.numbers, call.numbers + kernel.numbers);
  for (int i = 0; i < kernel.positions; i++) {
    const Philox& position = call.philox[i];
    made.values.insert(made.values.end(), {static_cast<double>(position.seed), static_cast<double>(position.stream),
                                           static_cast<double>(position.offset)});
  }
  made.op = call.op;
  made.label = call.label;
  const size_t slots = device_.late.captured().size();
  noted_ = &made;
  const bool launched = kernel.launch(device_, kernel, call);
  noted_ = nullptr;
  made.slots.assign(device_.late.captured().begin() + static_cast<std::ptrdiff_t>(slots),
                    device_.late.captured().end());
  varying_.push_back(std::move(made));
  return launched;
}

bool Graphs::note_node() {
  if (!noted_) return true;
  int status = 0;
  uint64_t id = 0;
  void* graph = nullptr;
  void* const* nodes = nullptr;
  const void* edges = nullptr;
  size_t count = 0;
  // The node that was made last is the only one for which the next node will wait.
  if (!device_.check("capture", device_.driver.cuStreamGetCaptureInfo_v3(device_.stream, &status, &id, &graph, &nodes,
                                                                         &edges, &count)))
    return false;
  if (count != 1) return device_.fail("capture: the stream waits for " + std::to_string(count) + " nodes");
  noted_->nodes.push_back(nodes[0]);
  return true;
}

void Graphs::note_room(void* room) {
  if (noted_) noted_->rooms.push_back(room);
}

void* Graphs::same_room() { return next_room_ < renewed_->rooms.size() ? renewed_->rooms[next_room_++] : nullptr; }

bool Graphs::renew(const char* name, const KernelNode& node) {
  if (next_node_ == renewed_->nodes.size()) return device_.fail(std::string(name) + ": the graph has no such launch");
  void* const there = renewed_->nodes[next_node_++];
  return device_.check(name, device_.driver.cuGraphExecKernelNodeSetParams_v2(executable_, there, &node));
}

bool Graphs::renew_call(const Graph& graph, VaryingCall* call, const double* values) {
  const size_t count = call->values.size();
  if (std::equal(values, values + count, call->values.begin())) return true;
  const Launchable& kernel = *call->kernel;
  double numbers[max_arguments] = {};
  std::copy_n(values, kernel.numbers, numbers);
  Philox positions[max_arguments] = {};
  for (int i = 0; i < kernel.positions; i++) {
    const double* position = values + kernel.numbers + 3 * i;
    positions[i] = {.seed = static_cast<uint64_t>(position[0]),
                    .stream = static_cast<uint32_t>(position[1]),
                    .offset = static_cast<uint64_t>(position[2])};
  }
  std::vector<ViewList> lists;
  for (const std::vector<View>& items : call->items)
    lists.push_back({items.data(), static_cast<int64_t>(items.size())});
  // Rows of calls that vary have no vectors of integers.
  const KernelCall again = {call->views.data(),
                            static_cast<int>(call->views.size()),
                            lists.data(),
                            static_cast<int>(lists.size()),
                            numbers,
                            nullptr,
                            positions,
                            call->op,
                            call->label};
  renewed_ = call;
  executable_ = graph.executable;
  next_node_ = next_room_ = 0;
  device_.late.repeat(&call->slots);
  const bool launched = kernel.launch(device_, kernel, again);
  device_.late.repeat(nullptr);
  renewed_ = nullptr;
  if (!launched) return false;
  if (next_node_ != call->nodes.size())
    return device_.fail("replay: a call has fewer launches than when it was captured");
  call->values.assign(values, values + count);
  return true;
}

}  // namespace firesteel::cuda
