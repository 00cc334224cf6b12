#include "memory.h"

#include <stdlib.h>
#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <unistd.h>
#endif
#if defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#include <algorithm>
#include <string_view>

#include "allocator.h"

namespace firesteel {
namespace {

constexpr size_t megabyte = size_t(1) << 20;
// The lower and the upper bound of a level's reserve.
constexpr size_t least_reserve = 16 * megabyte, most_reserve = 512 * megabyte;
// A grant exceeds the request by this much. An allocator would otherwise ask for each page.
constexpr size_t grant_share = 32, most_granted = 64 * megabyte;
// Announcements up to this size are too small for another look at the system.
constexpr size_t small_announcement = megabyte;

// The content of a file of the system; empty if there is none.
std::string read_file(const std::string& path) {
  std::string text;
#if !defined(_WIN32)
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  char buffer[4096];
  for (ssize_t count; (count = read(file, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(count));
  close(file);
#endif
  return text;
}

// The number at the beginning of the text; false for "max" and for an empty text.
bool number(std::string_view text, size_t* value) {
  const size_t start = text.find_first_not_of(' ');
  if (start == text.npos || text[start] < '0' || text[start] > '9') return false;
  *value = 0;
  for (const char digit : text.substr(start)) {
    if (digit < '0' || digit > '9') break;
    *value = *value > (SIZE_MAX - 9) / 10 ? SIZE_MAX : *value * 10 + static_cast<size_t>(digit - '0');
  }
  return true;
}

// The number after a key that begins a line.
bool field(std::string_view text, std::string_view key, size_t* value) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(key)) return number(line.substr(key.size()), value);
    at = end + 1;
  }
  return false;
}

// Calls visit(line) for each line.
template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string_view word(std::string_view line, int index) {
  for (; index > 0; index--) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
  return line.substr(0, line.find(' '));
}

bool has_option(std::string_view options, std::string_view option) {
  while (!options.empty()) {
    const size_t end = std::min(options.find(','), options.size());
    if (options.substr(0, end) == option) return true;
    options.remove_prefix(std::min(end + 1, options.size()));
  }
  return false;
}

// A group's path below the one that a mount shows. If the path leads elsewhere, as it may with mixed namespaces, this
// is the mount's own path.
std::string below(const std::string& shown, std::string_view group) {
  std::string path(group);
  if (shown != "/") path = path == shown || path.starts_with(shown + "/") ? path.substr(shown.size()) : "";
  if (path == "/" || path.find("/..") != path.npos) path.clear();
  return path;
}

size_t left_of(size_t limit, size_t used, double share) {
  const size_t reserve = std::clamp(limit / 32, least_reserve, most_reserve);
  used += static_cast<size_t>(share * static_cast<double>(reserve));
  return limit > used ? limit - used : 0;
}

#if defined(__APPLE__)
// The remaining bytes of a Mac, which has neither /proc nor control groups. Free and inactive pages are what Node's
// os.freemem() counts there.
size_t mac(double share) {
  uint64_t total = 0;
  size_t size = sizeof total;
  if (sysctlbyname("hw.memsize", &total, &size, nullptr, 0) != 0) return MemoryLimits::unknown;
  // The port is a reference that must be given back, or each look would leave one behind.
  const mach_port_t host = mach_host_self();
  vm_statistics64_data_t pages;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const kern_return_t told = host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count);
  mach_port_deallocate(mach_task_self(), host);
  if (told != KERN_SUCCESS) return MemoryLimits::unknown;
  const size_t free = (size_t(pages.free_count) + pages.inactive_count) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return left_of(total, total - std::min<size_t>(total, free), share);
}
#elif defined(_WIN32)
// The remaining bytes of a Windows machine. They are those of its memory, because a file of pages on disk is too slow
// for tensors. Where the system promises less than that, it refuses memory, and ends no process.
size_t windows(double share) {
  MEMORYSTATUSEX status = {};
  status.dwLength = sizeof status;
  if (!GlobalMemoryStatusEx(&status)) return MemoryLimits::unknown;
  return left_of(status.ullTotalPhys, status.ullTotalPhys - status.ullAvailPhys, share);
}
#endif

}  // namespace

MemoryLimits::MemoryLimits(std::string root) : root_(std::move(root)) { read_mounts(); }

// Reads lines such as `35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`.
void MemoryLimits::read_mounts() {
  each_line(read_file(root_ + "/proc/self/mountinfo"), [&](std::string_view line) {
    const size_t dash = line.find(" - ");
    if (dash == line.npos) return;
    const std::string_view type = word(line.substr(dash + 3), 0);
    const bool second = type == "cgroup2";
    if (!second && !(type == "cgroup" && has_option(word(line.substr(dash + 3), 2), "memory"))) return;
    mounts_.push_back(
        {second ? Version::two : Version::one, std::string(word(line, 3)), root_ + std::string(word(line, 4))});
  });
}

size_t MemoryLimits::machine(double share) const {
#if defined(__APPLE__)
  if (root_.empty()) return mac(share);
#elif defined(_WIN32)
  if (root_.empty()) return windows(share);
#endif
  const std::string text = read_file(root_ + "/proc/meminfo");
  size_t total = 0, available = 0;  // in KB
  if (!field(text, "MemTotal:", &total) || !field(text, "MemAvailable:", &available)) return unknown;
  return left_of(total * 1024, (total - std::min(total, available)) * 1024, share);
}

size_t MemoryLimits::level(const Mount& mount, const std::string& folder, bool own, double share) const {
  const bool second = mount.version == Version::two;
  const std::string statistics_file = folder + "/memory.stat";
  size_t limit = unknown, other = 0, used = 0, cached = 0;
  if (second) {
    // A group above `high` is not killed, but it becomes too slow to be of use.
    for (const char* name : {"/memory.max", "/memory.high"})
      if (number(read_file(folder + name), &other)) limit = std::min(limit, other);
  } else {
    if (number(read_file(folder + "/memory.limit_in_bytes"), &other)) limit = std::min(limit, other);
    // Limits of enclosing groups that cannot be seen from here.
    if (own && field(read_file(statistics_file), "hierarchical_memory_limit", &other)) limit = std::min(limit, other);
  }
  if (limit >= SIZE_MAX / 4) return unknown;  // version 1 writes "no limit" as a number of pages
  if (!number(read_file(folder + (second ? "/memory.current" : "/memory.usage_in_bytes")), &used)) return unknown;
  field(read_file(statistics_file), second ? "inactive_file" : "total_inactive_file", &cached);
  return left_of(limit, used - std::min(used, cached), share);
}

size_t MemoryLimits::available(double share) const {
  size_t least = machine(share);
  each_line(read_file(root_ + "/proc/self/cgroup"), [&](std::string_view line) {
    // "4:memory:/path", or "0::/path" in version 2.
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) return;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && !has_option(controllers, "memory")) return;
    for (const Mount& mount : mounts_) {
      if ((mount.version == Version::two) != unified) continue;
      std::string path = below(mount.group, line.substr(second + 1));
      for (bool own = true;; own = false) {
        least = std::min(least, level(mount, mount.folder + path, own, share));
        if (path.empty()) break;
        path.resize(path.rfind('/'));
      }
    }
  });
  return least;
}

// The object is never destroyed, because threads of the queue may outlive static objects.
Commitments& Commitments::of_process() {
  static Commitments& commitments = *new Commitments;
  return commitments;
}

size_t Commitments::left(double share) {
  std::lock_guard<std::mutex> lock(mutex_);
  return left_locked(share, nullptr);
}

// Promised bytes are read before the remaining ones. Pages touched in between are then counted twice, not missed.
size_t Commitments::left_locked(double share, const Allocator* asking) {
  size_t promised = announced_.load();
  for (Allocator* allocator : allocators_) {
    promised += allocator->untouched_bytes();
    if (allocator != asking) promised += allocator->granted_bytes();
  }
  const size_t available = limits_.available(share);
  if (available == MemoryLimits::unknown) return available;
  return available > promised ? available - promised : 0;
}

size_t Commitments::grant(Allocator& allocator, size_t reserved, size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  // This keeps only half of the reserve, so that a request that JavaScript let pass does not fail for a few pages.
  const size_t left = left_locked(0.5, &allocator);
  if (bytes > left) return 0;
  return reserved + bytes + std::min((left - bytes) / grant_share, most_granted);
}

bool Commitments::reserve(size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > left_locked(1, nullptr)) return false;
  announce(bytes);
  return true;
}

void Commitments::announce(size_t bytes) {
  announced_.fetch_add(bytes);
  if (bytes >= small_announcement) epoch_.fetch_add(1);
}

void Commitments::withdraw(size_t bytes) { announced_.fetch_sub(bytes); }

void Commitments::enter(Allocator& allocator) {
  std::lock_guard<std::mutex> lock(mutex_);
  allocators_.push_back(&allocator);
}

void Commitments::leave(Allocator& allocator) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::erase(allocators_, &allocator);
}

}  // namespace firesteel
