#include "reads.h"

#include <string.h>

#include <new>
#include <string>
#include <system_error>

#include "device.h"

namespace firesteel::cuda {
namespace {

// Flags of events: a waiting thread sleeps, and no times are recorded.
constexpr unsigned blocking_sync = 1, disable_timing = 2;

}  // namespace

bool Reads::start() {
  void* staging = nullptr;
  if (!device_.check("cuMemHostAlloc", device_.driver.cuMemHostAlloc(&staging, capacity, 0))) return false;
  staging_ = static_cast<char*>(staging);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error&) {
    return device_.fail("the system cannot start a thread for reads");
  }
  return true;
}

void Reads::stop() {
  if (thread_.joinable()) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  for (void* event : events_) device_.driver.cuEventDestroy_v2(event);
  events_.clear();
  if (staging_) device_.driver.cuMemFreeHost(staging_);
  staging_ = nullptr;
}

bool Reads::begin(void* to, const void* from, size_t bytes, ReadDone done, void* owner) {
  if (bytes > capacity) return false;
  std::lock_guard<std::mutex> lock(mutex_);
  size_t position = end_ % capacity;
  const size_t skipped = position + bytes > capacity ? capacity - position : 0;
  if (end_ + skipped + bytes - first_ > capacity) return false;
  if (skipped > 0) position = 0;
  void* event = take_event();
  if (!event) return false;
  const Begun read = {event, to, position, bytes, end_ + skipped + bytes, done, owner};
  try {
    begun_.push_back(read);
  } catch (const std::bad_alloc&) {
    events_.push_back(event);  // there is room: see take_event
    return false;
  }
  if (!submit(read, from)) {
    begun_.pop_back();
    events_.push_back(event);
    done(owner, device_.error.c_str());
    return true;
  }
  end_ = read.end;
  changed_.notify_all();
  return true;
}

bool Reads::submit(const Begun& read, const void* from) {
  const Driver& driver = device_.driver;
  return (read.bytes == 0 ||
          device_.check("the GPU failed", driver.cuMemcpyDtoHAsync_v2(staging_ + read.position, address(from),
                                                                      read.bytes, device_.stream))) &&
         device_.check("the GPU failed", driver.cuEventRecord(read.event, device_.stream));
}

// Null if there is no event, or no memory to keep it afterwards.
void* Reads::take_event() {
  if (events_.empty()) {
    void* event = nullptr;
    try {
      events_.reserve(begun_.size() + 1);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    const Status status = device_.driver.cuEventCreate(&event, blocking_sync | disable_timing);
    return status == Status::success ? event : nullptr;
  }
  void* event = events_.back();
  events_.pop_back();
  return event;
}

void Reads::finish() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return begun_.empty(); });
}

void Reads::work() {
  device_.make_current();
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !begun_.empty(); });
    if (begun_.empty()) return;
    const Begun read = begun_.front();
    lock.unlock();
    const Status status = device_.driver.cuEventSynchronize(read.event);
    if (status == Status::success) {
      if (read.bytes > 0) memcpy(read.to, staging_ + read.position, read.bytes);
      read.done(read.owner, nullptr);
    } else {
      try {
        read.done(read.owner, device_.driver.error("the GPU failed", status).c_str());
      } catch (const std::bad_alloc&) {
        read.done(read.owner, "the GPU failed");
      }
    }
    lock.lock();
    begun_.pop_front();
    first_ = read.end;
    events_.push_back(read.event);
    changed_.notify_all();
  }
}

}  // namespace firesteel::cuda
