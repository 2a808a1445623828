#include "kernels/device/fiber_context.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <exception>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace lanner::simt {
namespace context = boost::context::detail;

struct Fiber::Entry {
  static void enter(context::transfer_t from) {
    auto& self = *static_cast<Fiber*>(from.data);
    self.arrive(from.fctx);
    self.body_(self.argument_);
    std::terminate();
  }
};

Fiber::Fiber() {
#if defined(LANNER_THREAD_SANITIZER)
  race_checker_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(std::size_t stack_bytes, unsigned colour, void (*body)(void*), void* argument)
    : body_(body), argument_(argument) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  stack_bytes_ = (stack_bytes + page - 1) / page * page;
  mapped_bytes_ = stack_bytes_ + 2 * page;
  mapped_ = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped_ == MAP_FAILED) throw std::bad_alloc();
  char* const stack = static_cast<char*>(mapped_) + page;
  if (mprotect(stack, stack_bytes_, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapped_, mapped_bytes_);
    throw std::bad_alloc();
  }
  stack_ = stack;
  const std::size_t top = stack_bytes_ - colour % 61 * 64;
  context_ = context::make_fcontext(stack + top, top, Entry::enter);
#if defined(LANNER_THREAD_SANITIZER)
  race_checker_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (!mapped_) return;
  munmap(mapped_, mapped_bytes_);
#if defined(LANNER_THREAD_SANITIZER)
  __tsan_destroy_fiber(race_checker_);
#endif
}

void Fiber::switch_to(Fiber& other) {
  other.previous_ = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, other.stack_, other.stack_bytes_);
#elif defined(LANNER_THREAD_SANITIZER)
  constexpr unsigned no_sync = 1;
  __tsan_switch_to_fiber(other.race_checker_, no_sync);
#endif
  arrive(context::jump_fcontext(other.context_, &other).fctx);
}

void Fiber::arrive(void* previous_context) {
  previous_->context_ = previous_context;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &previous_->stack_, &previous_->stack_bytes_);
#endif
}

}  // namespace lanner::simt
