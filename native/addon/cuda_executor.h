// The addon's side of the CUDA library. It opens the library and runs a queue's entries on a GPU. If there is no
// library, open() says why.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "../core/executor.h"
#include "../cuda/library.h"

namespace firesteel {

class CudaExecutor final : public Executor {
 public:
  // Opens GPU `index` through the library at `path`. Null on failure, with the reason in `why`.
  static std::unique_ptr<CudaExecutor> open(const char* path, int index, std::string* why);
  ~CudaExecutor() override;

  // Whether this device has the kernel with this number.
  bool has_kernel(size_t kernel) const { return numbers_[kernel] >= 0; }
  const char* name() const { return library_.name(device_); }
  size_t available_bytes() const override { return library_.available_bytes(device_); }
  size_t total_bytes() const override { return library_.total_bytes(device_); }

  void* allocate(size_t bytes) override { return library_.allocate(device_, bytes); }
  const char* allocation_failure() override { return library_.allocation_failure(device_); }
  void release(void* data, size_t bytes) noexcept override;
  void flush() override { library_.flush(device_); }
  size_t live_bytes() const override { return library_.live_bytes(device_); }
  size_t reserved_bytes() const override { return library_.reserved_bytes(device_); }
  void run(Context& context, const Call& call) override;
  void write(Context& context, void* to, const void* from, size_t bytes) override;
  bool read(Context& context, void* to, const void* from, size_t bytes) override;
  bool begin_read(void* to, const void* from, size_t bytes, ReadDone done, void* owner) override {
    return library_.begin_read(device_, to, from, bytes, done, owner);
  }
  // The first three of these return a failure, or null.
  const char* begin_capture() { return library_.begin_capture(device_); }
  const char* end_capture(int* graph) { return library_.end_capture(device_, graph); }
  const char* replay(int graph, const double* values, size_t count) {
    return library_.replay(device_, graph, values, count);
  }
  void drop_graph(int graph) { library_.drop_graph(device_, graph); }
  uint64_t launches() const { return library_.launches(device_); }
  void allow_tf32(bool allowed) override { library_.allow_tf32(device_, allowed); }
  void finish_reads() override { library_.finish_reads(device_); }
  bool asynchronous() const override { return true; }
  void finish(Context& context) override;

 private:
  CudaExecutor(const cuda::Library& library, cuda::Device* device);

  // Records the fault that a kernel found in its data.
  void record_late_error(Context& context);

  const cuda::Library& library_;
  cuda::Device* device_;
  std::vector<int> numbers_;  // the library's numbers of kernels, by the table's
  std::vector<View> views_;   // of the running call; absent arguments are marked
};

}  // namespace firesteel
