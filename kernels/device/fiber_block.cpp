#include "kernels/device/fiber_block.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/device/simt_emulated.hpp"

inline namespace emulated_cuda {
constinit thread_local uint3 threadIdx{}, blockIdx{};
constinit thread_local dim3 blockDim{}, gridDim{};
}  // namespace emulated_cuda

namespace lanner::simt {
namespace {

constinit thread_local Block* running = nullptr;

#if defined(__SANITIZE_ADDRESS__) || defined(LANNER_THREAD_SANITIZER)
constexpr std::size_t stack_factor = 4;
#else
constexpr std::size_t stack_factor = 1;
#endif

std::string text(const Where& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

bool same_place(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

std::string hexadecimal(unsigned mask) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "0x%08x", mask);
  return digits;
}

}  // namespace

Block& running_block() {
  if (!running) throw std::logic_error("what only a thread of a kernel may call was called outside of one");
  return *running;
}

void Block::Queue::resize(unsigned threads) {
  items_.resize(std::bit_ceil(threads));
  mask_ = static_cast<unsigned>(items_.size()) - 1;
  clear();
}

void Block::begin_launch(const Launch& launch) {
  launch_ = &launch;
  threads_count_ = static_cast<unsigned>(launch.block.count());
  threads_.resize(threads_count_);
  const auto x = static_cast<unsigned>(launch.block.x), y = static_cast<unsigned>(launch.block.y);
  for (unsigned i = 0; i < threads_count_; ++i) threads_[i].index = {i % x, i / x % y, i / x / y};
  ready_.resize(threads_count_);
  at_barrier_.reserve(threads_count_);
  warps_.resize((threads_count_ + warp_lanes - 1) / warp_lanes);
  shared_.begin_launch(launch.dynamic_shared, launch.options.poison);
  if (launch.options.stack * stack_factor > stack_bytes_) {
    carriers_.clear();
    idle_.clear();
    stack_bytes_ = launch.options.stack * stack_factor;
  }
  // To ThreadSanitizer, who makes a thread is ordered before it: no thread of the kernel may.
  if (race_checked)
    while (carriers_.size() < threads_count_) make_carrier();
  release(begun_);
}

void Block::end_launch() {
  for (char& ended : ended_) acquire(ended);
  launch_ = nullptr;
}

void Block::run(std::uint64_t index, Fiber& scheduler) {
  if (running) throw std::logic_error("a kernel was run by a thread of a kernel");
  const auto& [grid, block, dynamic_shared, kernel, argument, where, options] = *launch_;
  index_ = index;
  block_index_ = {static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                  static_cast<unsigned>(index / grid.x / grid.y)};
  random_ = Random(options.seed * 0xD1B54A32D192ED03u + index);
  turn_ ^= 1;
  scheduler_ = &scheduler;
  live_ = threads_count_;
  failure_ = nullptr;
  failing_ = false;
  ready_.clear();
  at_barrier_.clear();
  votes_[0] = votes_[1] = {};
  for (unsigned i = 0; i < threads_count_; ++i) {
    threads_[i].carrier = nullptr;
    threads_[i].ended = false;
    ready_.push_back(i);
  }
  for (Copies& copies : copies_) copies = {};
  for (unsigned i = 0; i < warps_.size(); ++i) {
    const unsigned lanes = std::min(warp_lanes, threads_count_ - i * warp_lanes);
    warps_[i].alive = ~0u >> (warp_lanes - lanes);
  }
  shared_.begin_block();

  running = this;
  blockIdx = {block_index_.x, block_index_.y, block_index_.z};
  blockDim =
      dim3(static_cast<unsigned>(block.x), static_cast<unsigned>(block.y), static_cast<unsigned>(block.z));
  gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
  const unsigned first = next();
  Carrier& carrier = carrier_for(first);
  enter(first);
  scheduler.switch_to(carrier.fiber);
  running = nullptr;

  if (failing_)
    for (Warp& warp : warps_) warp.meetings.clear();
  const auto damage = shared_.damage();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  if (damage) refuse(*damage);
}

void Block::Carrier::run(void* carrier) {
  auto& self = *static_cast<Carrier*>(carrier);
  hide();
  self.block.carry(self);
}

void Block::carry(Carrier& self) {
  while (true) {
    run_current(self);
    const unsigned thread = next();
    if (thread == none) {
      if (!race_checked) idle_.push_back(&self);
      self.fiber.switch_to(*scheduler_);
    } else if (!race_checked && !threads_[thread].carrier) {
      enter(thread);  // begins on this stack
    } else {
      Carrier& there = carrier_for(thread);
      if (!race_checked) idle_.push_back(&self);
      enter(thread);
      self.fiber.switch_to(there.fiber);
    }
    // Whoever came back here wants the current thread to begin.
  }
}

void Block::run_current(Carrier& self) {
  threads_[current_].carrier = &self;
  acquire(begun_);
  acquire(ended_[turn_ ^ 1]);  // of the block before, whose memory this one has
  reveal();
  std::exception_ptr failure;
  try {
    launch_->kernel(launch_->argument);
  } catch (const Abandoned&) {
  } catch (...) {
    failure = std::current_exception();
  }
  hide();
  release(ended_[turn_]);
  end_current();
  if (failure) fail(std::move(failure));
}

// The thread that runs next; none when all have ended.
unsigned Block::next() {
  if (ready_.empty()) {
    if (live_ == 0) return none;
    try {
      refuse(deadlock());
    } catch (...) {
      fail(std::current_exception());
    }
    if (live_ == 0) return none;
  }
  if (launch_->options.seed != 0) std::swap(ready_[0], ready_[random_.below(ready_.size())]);
  return ready_.pop_front();
}

void Block::enter(unsigned thread) {
  current_ = thread;
  const Index& index = threads_[thread].index;
  threadIdx = {index.x, index.y, index.z};
}

Block::Carrier& Block::make_carrier() {
  const auto number = static_cast<unsigned>(carriers_.size());
  return *carriers_.emplace_back(std::make_unique<Carrier>(*this, stack_bytes_, number));
}

Block::Carrier& Block::carrier_for(unsigned thread) {
  if (Carrier* carrier = threads_[thread].carrier) return *carrier;
  if (race_checked) return *carriers_[thread];
  if (idle_.empty()) return make_carrier();
  Carrier* const carrier = idle_.back();
  idle_.pop_back();
  return *carrier;
}

// The current thread goes on when somebody has put it among the ready ones and its turn has come.
void Block::wait() {
  Carrier& self = *threads_[current_].carrier;
  const unsigned thread = next();
  if (thread != current_) {
    Carrier& there = carrier_for(thread);
    enter(thread);
    self.fiber.switch_to(there.fiber);
  }
  if (failing_) throw Abandoned{};
}

void Block::end_current() {
  threads_[current_].carrier = nullptr;
  threads_[current_].ended = true;
  --live_;
  Warp& warp = warps_[current_ / warp_lanes];
  warp.alive &= ~(1u << current_ % warp_lanes);
  if (failing_) return;
  if (live_ > 0 && at_barrier_.size() == live_) complete_barrier();
  for (const auto& meeting : warp.meetings)
    if (meeting->arrived != 0 && meeting->arrived == (meeting->mask & warp.alive)) complete(warp, *meeting);
}

// Threads that have begun go on, to find that they are abandoned; the others never begin.
void Block::fail(std::exception_ptr failure) {
  if (failing_) return;
  failing_ = true;
  failure_ = std::move(failure);
  ready_.clear();
  live_ = 0;
  for (unsigned i = 0; i < threads_count_; ++i) {
    if (threads_[i].ended || !threads_[i].carrier) continue;
    ready_.push_back(i);
    ++live_;
  }
}

Votes Block::barrier(bool vote, const Where& where) {
  if (at_barrier_.empty()) {
    barrier_where_ = where;
  } else if (!same_place(barrier_where_, where)) {
    refuse("threads of a block are at different barriers: " + thread_name(at_barrier_.front()) + " at " +
           text(barrier_where_) + ", " + thread_name(current_) + " at " + text(where));
  }
  const unsigned turn = barrier_turn_;
  at_barrier_.push_back(current_);
  ++votes_[turn].voters;
  votes_[turn].yes += vote;
  release(barrier_order_[turn]);
  if (at_barrier_.size() == live_) complete_barrier();
  wait();
  acquire(barrier_order_[turn]);
  return votes_[turn];
}

void Block::complete_barrier() {
  for (const unsigned thread : at_barrier_) ready_.push_back(thread);
  at_barrier_.clear();
  barrier_turn_ ^= 1;
  votes_[barrier_turn_] = {};
}

Block::Place Block::arrive(WarpOperation operation, unsigned mask, const Where& where) {
  Warp& warp = warps_[current_ / warp_lanes];
  const unsigned lane = current_ % warp_lanes;
  if (!(mask >> lane & 1))
    refuse(text(where) + ": " + name(operation) + ": " + thread_name(current_) + " is lane " +
           std::to_string(lane) + ", which is not in its own mask " + hexadecimal(mask));
  Meeting& meeting = warp.meeting(mask);
  const unsigned turn = meeting.turn;
  if (meeting.arrived == 0) {
    meeting.operation = operation;
    meeting.where = where;
    meeting.votes[turn] = 0;
  } else if (meeting.operation != operation || !same_place(meeting.where, where)) {
    const unsigned first = static_cast<unsigned>(std::countr_zero(meeting.arrived));
    refuse("lanes of a warp are at different operations: lane " + std::to_string(first) + " at " +
           name(meeting.operation) + " (" + text(meeting.where) + "), lane " + std::to_string(lane) + " at " +
           name(operation) + " (" + text(where) + "), both for the mask " + hexadecimal(mask));
  }
  return {meeting, turn, lane};
}

void Block::meet(const Place& place) {
  place.meeting.arrived |= 1u << place.lane;
  Warp& warp = warps_[current_ / warp_lanes];
  if (place.meeting.arrived == (place.meeting.mask & warp.alive)) complete(warp, place.meeting);
  wait();
}

void Block::leave(const Place& place) {
  place.meeting.unread[place.turn] &= ~(1u << place.lane);
}

void Block::complete(Warp& warp, Meeting& meeting) {
  const unsigned turn = meeting.turn, lanes = std::exchange(meeting.arrived, 0u);
  meeting.present[turn] = meeting.unread[turn] = lanes;
  meeting.turn ^= 1;
  if (meeting.operation == WarpOperation::mma) {
    if (launch_->options.truncating_mma)
      meeting.product[turn]->truncating(random_);
    else
      meeting.product[turn]->in_order();
  }
  // A warp goes on at once, while its stacks are in the cache.
  const auto first = static_cast<unsigned>(&warp - warps_.data()) * warp_lanes;
  for (unsigned lane = warp_lanes; lane-- > 0;)
    if (lanes >> lane & 1) ready_.push_front(first + lane);
}

void Block::sync_warp(unsigned mask, const Where& where) {
  const Place place = arrive(WarpOperation::sync, mask, where);
  release(place.meeting.order);
  meet(place);
  acquire(place.meeting.order);
  leave(place);
}

std::uint64_t Block::shuffle(WarpOperation kind, unsigned mask, std::uint64_t value, unsigned operand,
                             unsigned width, const Where& where) {
  if (width == 0 || width > warp_lanes || (width & (width - 1)) != 0)
    refuse(text(where) + ": " + name(kind) + ": the width is " + std::to_string(width) +
           ", allowed: 1, 2, 4, 8, 16, 32");
  const Place place = arrive(kind, mask, where);
  place.meeting.values[place.turn][place.lane] = value;
  meet(place);
  const unsigned lane = place.lane, first = lane & ~(width - 1), last = first + width - 1, by = operand % 32;
  unsigned source = lane;
  switch (kind) {
    case WarpOperation::shuffle_up:
      if (lane >= first + by) source = lane - by;
      break;
    case WarpOperation::shuffle_down:
      if (lane + by <= last) source = lane + by;
      break;
    case WarpOperation::shuffle_xor:
      if ((lane ^ by) <= last) source = lane ^ by;
      break;
    default:
      source = first | (by & (width - 1));
  }
  const bool present = place.meeting.present[place.turn] >> source & 1;
  const std::uint64_t result = present ? place.meeting.values[place.turn][source] : ~std::uint64_t{0};
  leave(place);
  return result;
}

unsigned Block::ballot(unsigned mask, bool vote, const Where& where) {
  const Place place = arrive(WarpOperation::ballot, mask, where);
  place.meeting.votes[place.turn] |= static_cast<unsigned>(vote) << place.lane;
  meet(place);
  const unsigned votes = place.meeting.votes[place.turn];
  leave(place);
  return votes;
}

void Block::multiply_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Where& where) {
  if (warps_[current_ / warp_lanes].alive != ~0u)
    refuse(text(where) + ": mma.sync by a warp that is not whole");
  const Place place = arrive(WarpOperation::mma, ~0u, where);
  auto& product = place.meeting.product[place.turn];
  if (!product) product = std::make_unique<MatrixProduct>();
  std::memcpy(product->a[place.lane].data(), a, sizeof a);
  std::memcpy(product->b[place.lane].data(), b, sizeof b);
  std::memcpy(product->d[place.lane].data(), d, sizeof d);
  meet(place);
  std::memcpy(d, product->d[place.lane].data(), sizeof d);
  leave(place);
}

bool Block::begin_async_copy(void* to, const void* from, const Where& where) {
  constexpr std::size_t bytes = 16;
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % bytes != 0)
    refuse(text(where) + ": cp_async_16: both addresses must be multiples of 16");
  if (!shared_.holds(to, bytes)) refuse(text(where) + ": cp_async_16: not into shared memory");
  if (launch_->options.seed != 0 && random_.below(2) == 0) return true;
  if (copies_.size() < threads_count_) copies_.resize(threads_count_);
  Copies& mine = copies_[current_];
  mine.begun.push_back({to, from, mine.group});
  return false;
}

void Block::commit_async_copies() {
  if (copies_.size() < threads_count_) copies_.resize(threads_count_);
  ++copies_[current_].group;
}

bool Block::next_async_copy(unsigned pending, AsyncCopy& copy) {
  if (current_ >= copies_.size()) return false;
  Copies& mine = copies_[current_];
  // Groups end in the order in which they were committed; within one any order may be.
  if (mine.group <= pending) return false;
  const unsigned first_pending = mine.group - pending;
  std::size_t due = 0;
  while (due < mine.begun.size() && mine.begun[due].group < first_pending) ++due;
  if (due == 0) return false;
  const std::size_t chosen = launch_->options.seed == 0 ? 0 : random_.below(due);
  copy = mine.begun[chosen];
  mine.begun.erase(mine.begun.begin() + static_cast<std::ptrdiff_t>(chosen));
  return true;
}

void Block::before_atomic() {
  if (launch_->options.seed == 0 || ready_.empty() || random_.below(4) != 0) return;
  ready_.push_back(current_);
  wait();
}

std::string Block::thread_name(unsigned thread) const {
  const Index& index = threads_[thread].index;
  return "thread (" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

std::string Block::deadlock() const {
  std::string what = "the threads of a block wait for each other:";
  if (!at_barrier_.empty())
    what += " " + std::to_string(at_barrier_.size()) + " at the barrier at " + text(barrier_where_) +
            ", from " + thread_name(at_barrier_.front()) + ";";
  for (std::size_t i = 0; i < warps_.size(); ++i)
    for (const auto& meeting : warps_[i].meetings)
      if (meeting->arrived != 0)
        what += " lanes " + hexadecimal(meeting->arrived) + " of warp " + std::to_string(i) + " at " +
                name(meeting->operation) + " (" + text(meeting->where) + ") for the mask " +
                hexadecimal(meeting->mask) + ";";
  what.back() = ',';
  return what + " of " + std::to_string(live_) + " that haven't ended";
}

void Block::refuse(const std::string& what) const {
  throw KernelError(what + " [block (" + std::to_string(block_index_.x) + ", " +
                    std::to_string(block_index_.y) + ", " + std::to_string(block_index_.z) +
                    ") of the kernel launched at " + text(launch_->where) + "]");
}

}  // namespace lanner::simt
