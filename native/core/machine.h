// The part of the machine that this process may use.
#pragma once

namespace firesteel {

// The number of cores that affinity and the cgroup's quota allow, at least 1.
int usable_cores();

// One step of a spin loop. It tells the core that the thread is waiting.
inline void spin_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace firesteel
