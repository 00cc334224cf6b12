// The memory that this process may still take, by the machine, by its control group, and by all enclosing groups.
//
// The system counts memory as taken when it is touched, which for a tensor is when its kernel runs. Until then the
// library must remember the memory that it handed out. `Commitments` knows all of it in this process, so that the
// remaining memory is right while kernels are queued, even by several workers.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace firesteel {

class Allocator;

// Every call reads the system's files again, because a process may be moved and a limit may change. It knows both
// versions of control groups, inside a namespace and outside.
class MemoryLimits {
 public:
  static constexpr size_t unknown = SIZE_MAX;

  // `root` precedes all paths, for tests.
  explicit MemoryLimits(std::string root = "");

  // The remaining bytes, which is the least of all levels. Cached pages of files count as free, because the system
  // gives them up first. Each level keeps a reserve of 1/32 of its limit (16 to 512 MB) for everything but tensors, of
  // which `share` is subtracted. Returns `unknown` if the system says nothing.
  size_t available(double share) const;

 private:
  enum class Version : uint8_t { one, two };
  struct Mount {
    Version version;
    std::string group, folder;  // a control group, and the folder that shows it
  };
  void read_mounts();
  size_t machine(double share) const;
  size_t level(const Mount& mount, const std::string& folder, bool own, double share) const;

  std::string root_;
  std::vector<Mount> mounts_;
};

class Commitments {
 public:
  explicit Commitments(std::string root = "") : limits_(std::move(root)) {}
  // The commitments of this process, for all of its threads and devices.
  static Commitments& of_process();

  // The bytes that may still be taken; see MemoryLimits::available.
  size_t left(double share);
  // Lets an allocator that holds `reserved` bytes take `bytes` more. Returns the size up to which it need not ask
  // again, or 0.
  size_t grant(Allocator& allocator, size_t reserved, size_t bytes);
  // Announces memory outside allocators that was handed out and will be touched. The announcement holds until it is
  // taken back. `reserve` returns false, and does nothing, if that much is not left.
  bool reserve(size_t bytes);
  void announce(size_t bytes);
  void withdraw(size_t bytes);
  // A number that changes when earlier grants are no longer valid.
  uint32_t epoch() const { return epoch_.load(std::memory_order_relaxed); }

  void enter(Allocator& allocator);
  void leave(Allocator& allocator);

 private:
  size_t left_locked(double share, const Allocator* asking);

  std::mutex mutex_;
  MemoryLimits limits_;
  std::vector<Allocator*> allocators_;
  std::atomic<size_t> announced_{0};
  std::atomic<uint32_t> epoch_{0};
};

// Memory that stays announced for the lifetime of this object.
class Announcement {
 public:
  explicit Announcement(size_t bytes) : bytes_(bytes) { Commitments::of_process().announce(bytes_); }
  ~Announcement() { Commitments::of_process().withdraw(bytes_); }
  Announcement(const Announcement&) = delete;
  Announcement& operator=(const Announcement&) = delete;

 private:
  size_t bytes_;
};

}  // namespace firesteel
