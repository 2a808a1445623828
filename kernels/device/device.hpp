// Where work runs: one CPU (a SIMD tier and some threads) or one GPU (real or emulated). The device is always
// passed explicitly; there is no global one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "kernels/device/cpu_tier.hpp"

namespace lanner {

enum class Backend { cpu, cuda, emulated };
std::string_view name(Backend);

class Device;

/// Memory that a device's kernels work on. Owned; not to be touched by host code except through a Stream's
/// copies (on the cpu backend the two are the same memory, but only kernels may rely on that).
template <class T>
class Array;

/// Page-locked host memory: what the host fills and reads, and copies run from and to.
template <class T>
class Pinned;

enum class MemoryKind { device, pinned };
enum class Copy { in, out, within };  ///< to the device, from it, from one place on it to another

/// Something done by kernels to a range of items: a non-owning reference to a callable
/// (begin, end, worker) with worker < Device::threads(). It must outlive the call it is passed to.
class RangeTask {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, RangeTask>)
      RangeTask(F& callable)  // NOLINT(google-explicit-constructor): used like std::function_ref
      : object_(&callable), call_([](void* object, std::size_t begin, std::size_t end, unsigned worker) {
          (*static_cast<F*>(object))(begin, end, worker);
        }) {}
  void operator()(std::size_t begin, std::size_t end, unsigned worker) const {
    call_(object_, begin, end, worker);
  }

 private:
  void* object_;
  void (*call_)(void*, std::size_t, std::size_t, unsigned);
};

/// A point in a stream's work: recorded there, asked or waited for here. Made once and recorded again and
/// again. Default-constructed, never recorded, or on the cpu backend: already happened.
class Event {
 public:
  struct State {
    virtual ~State() = default;
    virtual bool happened() = 0;
    virtual void synchronize() = 0;
  };

  Event() = default;
  /// Throws DeviceError where the work before it failed.
  bool happened() const { return !state_ || state_->happened(); }
  void synchronize() const {
    if (state_) state_->synchronize();
  }

 private:
  friend class Device;
  friend class Stream;
  explicit Event(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

/// A queue of work on one device, done in the order it was put in. On the cpu backend every call returns when
/// its work is done; on a GPU it returns at once, and memory handed to it must stay until the work is done.
/// Cheap to copy. Not to be used by two threads at once. On a GPU every call may throw DeviceError, also for
/// work that was put in before.
class Stream {
 public:
  /// What a GPU backend does for a stream.
  struct State {
    virtual ~State() = default;
    virtual void copy(void* to, const void* from, std::size_t bytes, Copy) = 0;
    virtual void fill(void* to, unsigned char byte, std::size_t bytes) = 0;
    virtual void enqueue(std::function<void()> kernel, const char* what) = 0;
    virtual void record(Event::State&) = 0;
    virtual void wait(Event::State&) = 0;
    virtual void synchronize() = 0;
    virtual void* native() { return nullptr; }
  };

  Device& device() const { return *device_; }
  Backend backend() const;
  /// The tier that CPU kernels must run in.
  CpuTier tier() const;

  template <class T>
  void copy_in(Array<T>& to, const Pinned<T>& from, std::size_t count);
  template <class T>
  void copy_out(Pinned<T>& to, const Array<T>& from, std::size_t count);
  /// Between memory of the device and pinned memory; as many items as `to` has.
  template <class T>
  void copy_in(std::span<T> to, const T* from);
  template <class T>
  void copy_out(std::span<T> to, const T* from);
  /// Every byte of a piece of the device's memory.
  void fill(std::span<std::byte> to, unsigned char byte);

  /// Splits [0, count) into pieces of `grain` items (the last may be shorter) and runs them on the device's
  /// threads, the calling one included. cpu backend only. Allocates nothing. Which thread takes which piece
  /// is not determined: results must not depend on it. Waking a thread takes about 50 microseconds, so a
  /// piece should take longer. An exception thrown by a piece is rethrown here.
  void for_range(std::size_t count, std::size_t grain, RangeTask task) const;

  /// cuda: the cudaStream_t. For kernels/device/simt.hpp.
  void* native() const { return state_ ? state_->native() : nullptr; }
  /// emulated: a kernel to be run in its turn. For kernels/device/simt.hpp.
  void enqueue(std::function<void()> kernel, const char* what) { state_->enqueue(std::move(kernel), what); }

  void record(Event&);
  void wait(const Event&);
  void synchronize();

 private:
  friend class Device;
  Stream(Device& device, std::shared_ptr<State> state) : device_(&device), state_(std::move(state)) {}
  void copy(void* to, const void* from, std::size_t bytes, Copy);
  Device* device_;
  std::shared_ptr<State> state_;  ///< none on the cpu backend
};

struct CpuOptions {
  CpuTier tier = chosen_cpu_tier();
  unsigned threads = chosen_threads();
};

class Device {
 public:
  /// Throws std::invalid_argument where the machine can't run that tier.
  static std::shared_ptr<Device> cpu(CpuOptions = {});

  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  virtual Backend backend() const = 0;
  /// For people: "cpu (avx2, 2 threads)".
  virtual std::string description() const = 0;
  /// GPUs: of the CPU kernels that run beside it.
  virtual CpuTier tier() const = 0;
  /// That for_range uses; 1 on GPUs.
  virtual unsigned threads() const = 0;
  /// GPUs: how many blocks run side by side, for cutting work up. Results don't depend on it.
  virtual unsigned multiprocessors() const { return 1; }
  /// GPUs: bytes that can still be allocated, about.
  virtual std::size_t memory_free() const { return static_cast<std::size_t>(-1); }

  Stream stream() { return {*this, make_stream()}; }
  Event event() { return Event(make_event()); }
  /// 64-byte aligned (GPUs: 256). Zeroed on the cpu backend, unspecified on GPUs. Throws std::bad_alloc, on
  /// GPUs DeviceError.
  template <class T>
  Array<T> array(std::size_t n);
  /// 64-byte aligned, zeroed.
  template <class T>
  Pinned<T> pinned(std::size_t n);

 protected:
  Device() = default;

 private:
  friend class Stream;
  template <class>
  friend class Array;
  template <class>
  friend class Pinned;
  virtual void* allocate(MemoryKind, std::size_t bytes) = 0;
  virtual void release(MemoryKind, void*, std::size_t bytes) noexcept = 0;
  virtual void for_range(std::size_t count, std::size_t grain, RangeTask task);
  virtual std::shared_ptr<Stream::State> make_stream() { return nullptr; }
  virtual std::shared_ptr<Event::State> make_event() { return nullptr; }
};

/// What Array and Pinned share: an owned block of trivially copyable items. The device must outlive it.
template <class T, MemoryKind kind>
class Block {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Block() = default;
  Block(Block&& other) noexcept { swap(other); }
  Block& operator=(Block&& other) noexcept {
    swap(other);
    return *this;
  }

  std::size_t size() const { return size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }

 protected:
  Block(Device* device, T* data, std::size_t size) : device_(device), data_(data), size_(size) {}
  void swap(Block& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  Device* device_ = nullptr;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

template <class T>
class Array : public Block<T, MemoryKind::device> {
  using Base = Block<T, MemoryKind::device>;

 public:
  Array() = default;
  Array(Array&&) noexcept = default;
  Array& operator=(Array&&) noexcept = default;
  ~Array() {
    if (this->data_) this->device_->release(MemoryKind::device, this->data_, this->size_ * sizeof(T));
  }

 private:
  friend class Device;
  using Base::Base;
};

template <class T>
class Pinned : public Block<T, MemoryKind::pinned> {
  using Base = Block<T, MemoryKind::pinned>;

 public:
  Pinned() = default;
  Pinned(Pinned&&) noexcept = default;
  Pinned& operator=(Pinned&&) noexcept = default;
  ~Pinned() {
    if (this->data_) this->device_->release(MemoryKind::pinned, this->data_, this->size_ * sizeof(T));
  }
  T& operator[](std::size_t i) { return this->data_[i]; }
  const T& operator[](std::size_t i) const { return this->data_[i]; }

 private:
  friend class Device;
  using Base::Base;
};

template <class T>
Array<T> Device::array(std::size_t n) {
  return Array<T>(this, static_cast<T*>(allocate(MemoryKind::device, n * sizeof(T))), n);
}
template <class T>
Pinned<T> Device::pinned(std::size_t n) {
  return Pinned<T>(this, static_cast<T*>(allocate(MemoryKind::pinned, n * sizeof(T))), n);
}
template <class T>
void Stream::copy_in(Array<T>& to, const Pinned<T>& from, std::size_t count) {
  copy(to.data(), from.data(), count * sizeof(T), Copy::in);
}
template <class T>
void Stream::copy_out(Pinned<T>& to, const Array<T>& from, std::size_t count) {
  copy(to.data(), from.data(), count * sizeof(T), Copy::out);
}
template <class T>
void Stream::copy_in(std::span<T> to, const T* from) {
  copy(to.data(), from, to.size_bytes(), Copy::in);
}
template <class T>
void Stream::copy_out(std::span<T> to, const T* from) {
  copy(to.data(), from, to.size_bytes(), Copy::out);
}

}  // namespace lanner
