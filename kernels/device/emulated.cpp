#include "kernels/device/emulated.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kernels/device/cpu_tier.hpp"
#include "kernels/device/error.hpp"
#include "kernels/device/fibers.hpp"

namespace lanner {
namespace {

// The numbers that the CUDA runtime has for them.
constexpr int out_of_memory = 2, invalid_value = 1, launch_failure = 719;

// Device memory: one range of addresses, closed to the host except while the device works. First fit, with a
// strip of NaN after each piece that must still be whole when it is given back.
class Memory {
 public:
  static constexpr std::size_t alignment = 256;

  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    void* at = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(at);
    free_[0] = bytes_;
  }
  ~Memory() { munmap(base_, bytes_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// nullptr where there is no room.
  void* allocate(std::size_t bytes) {
    if (bytes > bytes_) return nullptr;
    const std::size_t whole = (bytes + alignment + alignment - 1) / alignment * alignment;
    for (auto at = free_.begin(); at != free_.end(); ++at) {
      auto [offset, size] = *at;
      if (size < whole) continue;
      free_.erase(at);
      if (size > whole) free_[offset + whole] = size - whole;
      used_[offset] = {bytes, whole};
      used_bytes_ += whole;
      if (offset + whole > high_) {
        const std::size_t page = 4096;
        const std::size_t grown = std::min(bytes_, (offset + whole + page - 1) / page * page);
        if (open_ > 0) protect(grown, PROT_READ | PROT_WRITE);
        high_ = grown;
      }
      const Open open(*this);
      std::memset(base_ + offset, 0xFF, whole);
      return base_ + offset;
    }
    return nullptr;
  }

  /// false: something was written beyond its end.
  bool release(void* memory) {
    const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(memory) - base_);
    const auto found = used_.find(offset);
    if (found == used_.end()) return false;
    const auto [bytes, whole] = found->second;
    bool intact = true;
    {
      const Open open(*this);
      for (std::size_t i = bytes; i < whole; ++i) intact &= base_[offset + i] == std::byte{0xFF};
    }
    used_.erase(found);
    used_bytes_ -= whole;
    auto at = free_.emplace(offset, whole).first;
    if (const auto next = std::next(at); next != free_.end() && at->first + at->second == next->first) {
      at->second += next->second;
      free_.erase(next);
    }
    if (at != free_.begin()) {
      const auto before = std::prev(at);
      if (before->first + before->second == at->first) {
        before->second += at->second;
        free_.erase(at);
      }
    }
    return intact;
  }

  /// Whether all these bytes are in one piece that is allocated.
  bool holds(const void* memory, std::size_t bytes) const {
    const auto address = reinterpret_cast<std::uintptr_t>(memory),
               base = reinterpret_cast<std::uintptr_t>(base_);
    if (address < base || address >= base + bytes_) return false;
    auto at = used_.upper_bound(address - base);
    if (at == used_.begin()) return false;
    --at;
    return address - base + bytes <= at->first + at->second.first;
  }
  /// Whether it is an address of the device at all.
  bool covers(const void* memory) const { return memory >= base_ && memory < base_ + bytes_; }
  std::size_t left() const { return bytes_ - used_bytes_; }

  /// The device works for as long as one of these lives.
  class Open {
   public:
    explicit Open(Memory& memory) : memory_(memory) {
      if (memory_.open_++ == 0) memory_.protect(memory_.high_, PROT_READ | PROT_WRITE);
    }
    ~Open() {
      if (--memory_.open_ == 0) memory_.protect(memory_.high_, PROT_NONE);
    }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Memory& memory_;
  };

 private:
  void protect(std::size_t bytes, int access) {
    if (bytes > 0 && mprotect(base_, bytes, access) != 0) throw std::bad_alloc();
  }

  std::byte* base_ = nullptr;
  std::size_t bytes_, high_ = 0, used_bytes_ = 0;
  int open_ = 0;
  std::map<std::size_t, std::size_t> free_;                          // offset: bytes
  std::map<std::size_t, std::pair<std::size_t, std::size_t>> used_;  // offset: bytes asked for, bytes taken
};

struct Recorded {
  bool done = false;
};

// What waits in a stream: something to do, once an event has happened where there is one.
struct Task {
  std::function<void()> run;
  std::shared_ptr<Recorded> after;
};

struct Queue {
  std::deque<Task> tasks;
};

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(const EmulatedOptions& options)
      : options_(options), memory_(options.memory_bytes), order_(options.seed) {}

  Backend backend() const override { return Backend::emulated; }
  std::string description() const override {
    return "emulated GPU (seed " + std::to_string(options_.seed) + ")";
  }
  CpuTier tier() const override { return CpuTier::scalar; }
  unsigned threads() const override { return 1; }
  unsigned multiprocessors() const override { return options_.multiprocessors; }
  std::size_t memory_free() const override {
    const std::lock_guard lock(mutex_);
    return memory_.left();
  }
  std::uint64_t calls() const { return calls_.load(); }

 private:
  class StreamState;
  class EventState;

  // Every call of the interface passes here first.
  void enter(const char* call) {
    const std::uint64_t number = ++calls_;
    using Failure = EmulatedOptions::Failure;
    if (lost_) throw DeviceError(call, launch_failure, lost_reason_, true);
    if (options_.fail_at == 0 || number < options_.fail_at) return;
    if (options_.failure == Failure::hang) {
      hung_ = true;
    } else if (options_.failure == Failure::lost) {
      lose("the context was lost, as asked for");
      throw DeviceError(call, launch_failure, lost_reason_, true);
    } else if (number == options_.fail_at) {
      throw DeviceError(call, launch_failure, "failed, as asked for", false);
    }
  }
  void lose(const std::string& why) {
    lost_reason_ = why;
    lost_ = true;
  }

  void* allocate(MemoryKind kind, std::size_t bytes) override {
    enter(kind == MemoryKind::device ? "allocate device memory" : "allocate pinned memory");
    bytes = std::max<std::size_t>(bytes, 1);
    const std::lock_guard lock(mutex_);
    if (kind == MemoryKind::device) {
      void* memory = memory_.allocate(bytes);
      if (!memory) throw DeviceError("allocate device memory", out_of_memory, "out of memory", false);
      return memory;
    }
    constexpr std::size_t alignment = 64;
    void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (!memory) throw std::bad_alloc();
    std::memset(memory, 0, bytes);
    pinned_[memory] = bytes;
    return memory;
  }

  // As cudaFree does, waits for what is under way: it may still use the memory.
  void release(MemoryKind kind, void* memory, std::size_t) noexcept override {
    ++calls_;
    const std::lock_guard lock(mutex_);
    if (!hung_ && !lost_) {
      try {
        while (step()) {
        }
      } catch (const std::exception& error) {
        lose(error.what());
      }
    }
    if (kind == MemoryKind::pinned) {
      pinned_.erase(memory);
      // A kernel that hangs may still write there.
      if (hung_) {
        abandoned_.emplace_back(memory, &std::free);
      } else {
        std::free(memory);
      }
      return;
    }
    if (!memory_.release(memory)) {
      std::fputs("lanner: a kernel wrote beyond the end of device memory\n", stderr);
      std::abort();
    }
  }

  std::shared_ptr<Stream::State> make_stream() override;
  std::shared_ptr<Event::State> make_event() override;

  bool is_pinned(const void* memory, std::size_t bytes) const {
    auto at = pinned_.upper_bound(const_cast<void*>(memory));
    if (at == pinned_.begin()) return false;
    --at;
    return static_cast<const std::byte*>(memory) + bytes <=
           static_cast<const std::byte*>(at->first) + at->second;
  }

  void check_copy(void* to, const void* from, std::size_t bytes, Copy kind) const {
    const bool to_device = memory_.holds(to, bytes), from_device = memory_.holds(from, bytes);
    const bool right = kind == Copy::in    ? to_device && is_pinned(from, bytes)
                       : kind == Copy::out ? is_pinned(to, bytes) && from_device
                                           : to_device && from_device;
    if (!right)
      throw DeviceError("copy", invalid_value, "not from and to memory of the kinds that it says", false);
  }

  // One task of one stream that can go on, by the seed's choice; false: there is none.
  bool step() {
    if (hung_ || lost_) return false;
    able_.clear();
    for (const auto& weak : queues_) {
      const auto queue = weak.lock();
      if (!queue || queue->tasks.empty()) continue;
      if (const auto& after = queue->tasks.front().after; after && !after->done) continue;
      able_.push_back(queue);
    }
    if (able_.empty()) return false;
    const auto queue = able_[order_() % able_.size()];
    able_.clear();
    Task task = std::move(queue->tasks.front());
    queue->tasks.pop_front();
    if (!task.run) return true;
    const Memory::Open open(memory_);
    try {
      task.run();
    } catch (const DeviceError&) {
      throw;
    } catch (const std::exception& error) {
      // A kernel that fails takes the context with it.
      lose(error.what());
      throw DeviceError("kernel", launch_failure, error.what(), true);
    }
    return true;
  }

  // Works until `done`; a device that hangs keeps whoever waits waiting.
  template <class Done>
  void work_until(const Done& done) {
    std::unique_lock lock(mutex_);
    while (!done()) {
      if (step()) continue;
      if (lost_) throw DeviceError("wait", launch_failure, lost_reason_, true);
      if (!hung_) throw std::logic_error("emulated: what is waited for never comes");
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      lock.lock();
    }
  }

  const EmulatedOptions options_;
  mutable std::mutex mutex_;  // of all below
  Memory memory_;
  std::map<void*, std::size_t> pinned_;
  std::vector<std::unique_ptr<void, void (*)(void*)>> abandoned_;
  std::vector<std::weak_ptr<Queue>> queues_;
  std::vector<std::shared_ptr<Queue>> able_;
  std::mt19937_64 order_;
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<bool> lost_{false}, hung_{false};
  std::string lost_reason_;
};

class EmulatedDevice::EventState final : public Event::State {
 public:
  explicit EventState(EmulatedDevice& device) : device_(device) {}
  bool happened() override {
    device_.enter("query event");
    const std::lock_guard lock(device_.mutex_);
    if (!recorded || recorded->done) return true;
    device_.step();  // time goes on while somebody asks
    return recorded->done;
  }
  void synchronize() override {
    device_.enter("wait for event");
    device_.work_until([this] { return !recorded || recorded->done; });
  }

  std::shared_ptr<Recorded> recorded;

 private:
  EmulatedDevice& device_;
};

class EmulatedDevice::StreamState final : public Stream::State {
 public:
  explicit StreamState(EmulatedDevice& device) : device_(device), queue_(std::make_shared<Queue>()) {
    const std::lock_guard lock(device_.mutex_);
    std::erase_if(device_.queues_, [](const auto& weak) { return weak.expired(); });
    device_.queues_.push_back(queue_);
  }
  // As cudaStreamDestroy, lets what was put in be done.
  ~StreamState() override {
    try {
      const std::lock_guard lock(device_.mutex_);
      while (!queue_->tasks.empty() && device_.step()) {
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "lanner: emulated stream: %s\n", error.what());
    }
  }

  void copy(void* to, const void* from, std::size_t bytes, Copy kind) override {
    device_.enter("copy");
    const std::lock_guard lock(device_.mutex_);
    device_.check_copy(to, from, bytes, kind);
    const bool perturb = device_.options_.perturb && kind == Copy::out;
    put([to, from, bytes, perturb] {
      std::memcpy(to, from, bytes);
      if (perturb)
        for (std::size_t i = 0; i + 4 <= bytes; i += 4) static_cast<unsigned char*>(to)[i] ^= 1;
    });
  }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    device_.enter("fill");
    const std::lock_guard lock(device_.mutex_);
    if (!device_.memory_.holds(to, bytes))
      throw DeviceError("fill", invalid_value, "not memory of the device", false);
    put([to, byte, bytes] { std::memset(to, byte, bytes); });
  }
  void enqueue(std::function<void()> kernel, const char* what) override {
    device_.enter(what);
    const std::lock_guard lock(device_.mutex_);
    const simt::Options options{.seed = device_.options_.seed == 0 ? 0 : device_.order_(),
                                .truncating_mma = device_.options_.truncating_products};
    put([kernel = std::move(kernel), options] { simt::with_options(options, kernel); });
  }
  void record(Event::State& event) override {
    device_.enter("record event");
    const std::lock_guard lock(device_.mutex_);
    auto recorded = std::make_shared<Recorded>();
    static_cast<EventState&>(event).recorded = recorded;
    put([recorded] { recorded->done = true; });
  }
  void wait(Event::State& event) override {
    device_.enter("wait in stream");
    const std::lock_guard lock(device_.mutex_);
    if (auto recorded = static_cast<EventState&>(event).recorded)
      queue_->tasks.push_back({nullptr, std::move(recorded)});
  }
  void synchronize() override {
    device_.enter("wait for stream");
    device_.work_until([this] { return queue_->tasks.empty(); });
  }

 private:
  void put(std::function<void()> run) { queue_->tasks.push_back({std::move(run), nullptr}); }

  EmulatedDevice& device_;
  std::shared_ptr<Queue> queue_;
};

std::shared_ptr<Stream::State> EmulatedDevice::make_stream() {
  enter("make stream");
  return std::make_shared<StreamState>(*this);
}
std::shared_ptr<Event::State> EmulatedDevice::make_event() {
  enter("make event");
  return std::make_shared<EventState>(*this);
}

std::uint64_t parse_number(std::string_view name, std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw std::invalid_argument("LANNER_EMULATED: " + std::string(name) + ": found '" + std::string(text) +
                                "', allowed: a number");
  return value;
}

}  // namespace

EmulatedOptions emulated_options_from_environment() {
  EmulatedOptions options;
  const char* variable = std::getenv("LANNER_EMULATED");
  std::string_view left = variable ? variable : "";
  while (!left.empty()) {
    const std::string_view item = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), item.size() + 1));
    const std::size_t equals = std::min(item.find('='), item.size());
    const std::string_view name = item.substr(0, equals);
    const std::string_view value = item.substr(std::min(item.size(), equals + 1));
    using Failure = EmulatedOptions::Failure;
    if (name == "seed") {
      options.seed = parse_number(name, value);
    } else if (name == "fail_at") {
      options.fail_at = parse_number(name, value);
    } else if (name == "memory") {
      options.memory_bytes = parse_number(name, value);
    } else if (name == "perturb") {
      options.perturb = parse_number(name, value) != 0;
    } else if (name == "truncating") {
      options.truncating_products = parse_number(name, value) != 0;
    } else if (name == "failure" && (value == "error" || value == "lost" || value == "hang")) {
      options.failure = value == "error" ? Failure::error : value == "lost" ? Failure::lost : Failure::hang;
    } else {
      throw std::invalid_argument("LANNER_EMULATED: found '" + std::string(item) +
                                  "', allowed: seed=N, fail_at=N, failure=error|lost|hang, perturb=0|1, "
                                  "truncating=0|1, memory=BYTES");
    }
  }
  return options;
}

std::shared_ptr<Device> make_emulated_device(const EmulatedOptions& options) {
  return std::make_shared<EmulatedDevice>(options);
}

std::uint64_t emulated_calls(const Device& device) {
  return dynamic_cast<const EmulatedDevice&>(device).calls();
}

}  // namespace lanner
