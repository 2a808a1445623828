// One block of a grid at a time: its threads, what they wait for, and who runs next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "kernels/device/fiber_context.hpp"
#include "kernels/device/fiber_shared.hpp"
#include "kernels/device/fiber_warp.hpp"
#include "kernels/device/fibers.hpp"
#include "kernels/device/simt_runtime.hpp"

namespace lanner::simt {

struct Launch {
  Extent grid, block;
  std::size_t dynamic_shared;
  void (*kernel)(const void*);
  const void* argument;
  Where where;
  Options options;
};

/// Kept from launch to launch, with its stacks. Threads begin on the stack of one that has ended, if there is
/// one, so that a kernel without barriers needs a single stack and no switches.
class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Until end_launch, `launch` must stay.
  void begin_launch(const Launch& launch);
  /// `scheduler` is the running fiber. Throws as run_grid does.
  void run(std::uint64_t index, Fiber& scheduler);
  void end_launch();

  // For the running thread of the kernel:
  Votes barrier(bool vote, const Where& where);
  void sync_warp(unsigned mask, const Where& where);
  std::uint64_t shuffle(WarpOperation kind, unsigned mask, std::uint64_t value, unsigned operand,
                        unsigned width, const Where& where);
  unsigned ballot(unsigned mask, bool vote, const Where& where);
  void multiply_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Where& where);
  bool begin_async_copy(void* to, const void* from, const Where& where);
  void commit_async_copies();
  bool next_async_copy(unsigned pending, AsyncCopy& copy);
  void before_atomic();
  SharedMemory& shared() { return shared_; }

 private:
  // A stack, and what runs on it: one thread of the kernel after another.
  struct Carrier {
    Carrier(Block& block, std::size_t stack, unsigned number)
        : block(block), fiber(stack, number, run, this) {}
    static void run(void* carrier);
    Block& block;
    Fiber fiber;
  };
  struct Index {
    unsigned x, y, z;
  };
  struct Copies {
    std::vector<AsyncCopy> begun;
    unsigned group = 0;
  };
  struct Thread {
    Index index{};
    Carrier* carrier = nullptr;  // none: not begun, or ended
    bool ended = false;
  };
  // Thrown in threads that wait, once another one has failed.
  struct Abandoned {};

  // The threads that can go on, first come first served.
  class Queue {
   public:
    void resize(unsigned threads);
    void clear() { begin_ = end_ = 0; }
    bool empty() const { return begin_ == end_; }
    unsigned size() const { return end_ - begin_; }
    unsigned& operator[](unsigned i) { return items_[(begin_ + i) & mask_]; }
    void push_back(unsigned thread) { items_[end_++ & mask_] = thread; }
    void push_front(unsigned thread) { items_[--begin_ & mask_] = thread; }
    unsigned pop_front() { return items_[begin_++ & mask_]; }

   private:
    std::vector<unsigned> items_;
    unsigned begin_ = 0, end_ = 0, mask_ = 0;  // wrap around
  };

  static constexpr unsigned none = ~0u;

  [[noreturn]] void carry(Carrier& self);
  void run_current(Carrier& self);
  unsigned next();
  void enter(unsigned thread);
  Carrier& make_carrier();
  Carrier& carrier_for(unsigned thread);
  void wait();
  void end_current();
  void fail(std::exception_ptr failure);
  void complete_barrier();
  struct Place {
    Meeting& meeting;
    unsigned turn, lane;
  };
  Place arrive(WarpOperation operation, unsigned mask, const Where& where);
  void meet(const Place& place);
  void leave(const Place& place);
  void complete(Warp& warp, Meeting& meeting);
  std::string deadlock() const;
  std::string thread_name(unsigned thread) const;
  [[noreturn]] void refuse(const std::string& what) const;

  const Launch* launch_ = nullptr;
  unsigned threads_count_ = 0;
  std::uint64_t index_ = 0;
  Index block_index_{};
  Random random_;

  std::vector<Thread> threads_;
  std::vector<Copies> copies_;  // of each thread; empty until the first one
  unsigned current_ = 0, live_ = 0;
  Queue ready_;
  Fiber* scheduler_ = nullptr;
  std::exception_ptr failure_;
  bool failing_ = false;

  std::size_t stack_bytes_ = 0;
  std::vector<std::unique_ptr<Carrier>> carriers_;
  std::vector<Carrier*> idle_;  // race_checked: unused, thread i has carrier i

  std::vector<unsigned> at_barrier_;
  Where barrier_where_;
  unsigned barrier_turn_ = 0;
  Votes votes_[2]{};
  std::vector<Warp> warps_;
  SharedMemory shared_;

  // ThreadSanitizer's names for what they order; the end of one block in this place, and of the next, by
  // turns.
  char begun_ = 0, ended_[2]{}, barrier_order_[2]{};
  unsigned turn_ = 0;
};

/// The block whose thread runs. Throws std::logic_error outside of kernels.
Block& running_block();

}  // namespace lanner::simt
