#include "pool.h"

#include <new>
#include <system_error>

#include "machine.h"

namespace firesteel {
namespace {

// About 10 microseconds of pauses. Longer would waste a core that another process could use; shorter would make every
// small kernel pay for waking a thread.
constexpr int spins = 400;
// About 100 microseconds, in which any other thread that can use the core gets it.
constexpr int yields = 200;

}  // namespace

void ThreadPool::resize(int threads) {
  if (threads == threads_) return;
  join();
  threads_ = threads;
}

void ThreadPool::start() {
  leave_.store(false);
  try {
    workers_.reserve(static_cast<size_t>(threads_ - 1));
    while (static_cast<int>(workers_.size()) < threads_ - 1) workers_.emplace_back([this] { work(); });
    return;
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  threads_ = static_cast<int>(workers_.size()) + 1;  // the system cannot start more threads, so these have to do
}

void ThreadPool::join() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    leave_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run(int64_t chunks, Body body, void* data, const std::atomic<bool>& stop) {
  if (chunks > 1 && threads_ > 1 && workers_.empty()) start();
  if (chunks <= 1 || workers_.empty()) {
    for (int64_t chunk = 0; chunk < chunks && !stop.load(std::memory_order_relaxed); chunk++) body(data, chunk);
    return;
  }
  body_ = body;
  data_ = data;
  chunks_ = chunks;
  stop_ = &stop;
  next_.store(0, std::memory_order_relaxed);
  epoch_.fetch_add(1);
  if (sleeping_.load() > 0) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  take_chunks();
  epoch_.fetch_add(1);
  wait_for_workers();
}

void ThreadPool::take_chunks() {
  for (;;) {
    const int64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= chunks_ || stop_->load(std::memory_order_relaxed)) return;
    body_(data_, chunk);
  }
}

void ThreadPool::wait_for_workers() {
  for (int i = 0; i < spins; i++) {
    if (active_.load() == 0) return;
    spin_pause();
  }
  for (int i = 0; i < yields; i++) {
    if (active_.load() == 0) return;
    std::this_thread::yield();
  }
  caller_waits_.store(true);
  {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return active_.load() == 0; });
  }
  caller_waits_.store(false);
}

void ThreadPool::work() {
  uint64_t seen = 0;
  const auto ready = [&] {
    const uint64_t epoch = epoch_.load();
    return leave_.load() || ((epoch & 1) != 0 && epoch != seen);
  };
  for (;;) {
    bool found = false;
    for (int i = 0; i < spins && !(found = ready()); i++) spin_pause();
    for (int i = 0; i < yields && !found && more_.load(std::memory_order_relaxed); i++) {
      std::this_thread::yield();
      found = ready();
    }
    if (!found) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, ready);
      sleeping_.fetch_sub(1);
    }
    if (leave_.load()) return;
    active_.fetch_add(1);
    const uint64_t epoch = epoch_.load();
    if ((epoch & 1) != 0) {
      seen = epoch;
      take_chunks();
    }
    if (active_.fetch_sub(1) == 1 && caller_waits_.load()) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      done_.notify_one();
    }
  }
}

}  // namespace firesteel
