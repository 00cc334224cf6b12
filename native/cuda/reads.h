// Asynchronous reads. The stream copies into page-locked memory and records an event, because a copy into other memory
// would make its caller wait. A thread waits for the events in turn, copies the bytes to their target, and reports the
// end.
#pragma once
#include <stddef.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "library.h"

namespace firesteel::cuda {

class Reads {
 public:
  explicit Reads(Device& device) : device_(device) {}
  ~Reads() { stop(); }
  Reads(const Reads&) = delete;
  Reads& operator=(const Reads&) = delete;

  // Must be called with the device's context current. False after Device::fail.
  bool start();
  // Finishes all reads, and returns everything to the driver.
  void stop();

  // The functions of the same names in Library.
  bool begin(void* to, const void* from, size_t bytes, ReadDone done, void* owner);
  void finish();

 private:
  // The longest asynchronous read. Longer ones make the caller wait, because page-locked memory is scarce.
  static constexpr size_t capacity = size_t(4) << 20;

  struct Begun {
    void* event;
    void* to;
    size_t position, bytes;  // in `staging_`
    size_t end;              // the value of `first_` once this read is done
    ReadDone done;
    void* owner;
  };
  void work();
  bool submit(const Begun& read, const void* from);
  void* take_event();

  Device& device_;
  char* staging_ = nullptr;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::deque<Begun> begun_;  // in the stream's order
  // The used part of `staging_`, which is a ring. Both numbers count from the first read on, so that their difference
  // is the part's size.
  size_t first_ = 0, end_ = 0;
  std::vector<void*> events_;  // events that nobody waits for
};

}  // namespace firesteel::cuda
