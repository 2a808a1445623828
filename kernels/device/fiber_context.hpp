// A flow of control with a stack of its own, and the switch from one to another (Boost.Context); the
// sanitizers are told of both.
#pragma once

#include <cstddef>

#if defined(LANNER_THREAD_SANITIZER)
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void* __tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace lanner::simt {

/// ThreadSanitizer sees each CUDA thread as a thread. What synchronises them it hears by acquire and release;
/// between hide and reveal it looks away from the runtime's own state, which they share on purpose.
#if defined(LANNER_THREAD_SANITIZER)
inline constexpr bool race_checked = true;
inline void acquire(char& what) {
  __tsan_acquire(&what);
}
inline void release(char& what) {
  __tsan_release(&what);
}
inline void hide() {
  AnnotateIgnoreReadsBegin("", 0);
  AnnotateIgnoreWritesBegin("", 0);
}
inline void reveal() {
  AnnotateIgnoreWritesEnd("", 0);
  AnnotateIgnoreReadsEnd("", 0);
}
#else
inline constexpr bool race_checked = false;
inline void acquire(char&) {}
inline void release(char&) {}
inline void hide() {}
inline void reveal() {}
#endif

struct Hidden {
  Hidden() { hide(); }
  ~Hidden() { reveal(); }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
};

class Fiber {
 public:
  /// The running thread itself, as something to come back to.
  Fiber();
  /// Begins with body(argument) when it is first switched to; body never returns. The stack lies between
  /// pages that can't be touched. Stacks of different `colour` don't compete for the same cache lines.
  Fiber(std::size_t stack_bytes, unsigned colour, void (*body)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the running fiber, this one, to another; returns when somebody switches back.
  void switch_to(Fiber& other);

 private:
  struct Entry;
  void arrive(void* previous_context);

  void* context_ = nullptr;
  Fiber* previous_ = nullptr;  // that switched to this one
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  void* mapped_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  const void* stack_ = nullptr;  // as AddressSanitizer wants it
  std::size_t stack_bytes_ = 0;
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] void* race_checker_ = nullptr;
};

}  // namespace lanner::simt
