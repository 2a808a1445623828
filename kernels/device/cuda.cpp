#include "kernels/device/cuda.hpp"

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels/device/error.hpp"

namespace lanner {
namespace {

// A machine with no GPU, or with a toolkit and no driver, says one or the other; both mean "none here".
bool means_none(int code) {
  return code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver;
}

// Errors that leave the device usable; every other one is taken for the end of it in this process.
bool is_passing(int code) {
  return code == cudaErrorMemoryAllocation || code == cudaErrorInvalidValue ||
         code == cudaErrorInvalidConfiguration || code == cudaErrorInvalidResourceHandle;
}

void log_failure(int code, const char* call) {
  // A process that ends may have unloaded the driver already.
  if (code == cudaSuccess || code == cudaErrorCudartUnloading) return;
  std::fprintf(stderr, "lanner: %s: %s (%d)\n", call, cudaGetErrorString(static_cast<cudaError_t>(code)),
               code);
}

class CudaEvent final : public Event::State {
 public:
  explicit CudaEvent(int number) : number_(number) {
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
               "cudaEventCreateWithFlags");
  }
  ~CudaEvent() override { log_failure(cudaEventDestroy(event), "cudaEventDestroy"); }
  bool happened() override {
    check_cuda(cudaSetDevice(number_), "cudaSetDevice");
    const cudaError_t code = cudaEventQuery(event);
    if (code == cudaErrorNotReady) return false;
    check_cuda(code, "cudaEventQuery");
    return true;
  }
  void synchronize() override { check_cuda(cudaEventSynchronize(event), "cudaEventSynchronize"); }

  cudaEvent_t event = nullptr;

 private:
  int number_;
};

class CudaStream final : public Stream::State {
 public:
  explicit CudaStream(int number) : number_(number) {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~CudaStream() override { log_failure(cudaStreamDestroy(stream_), "cudaStreamDestroy"); }

  void copy(void* to, const void* from, std::size_t bytes, Copy kind) override {
    const cudaMemcpyKind direction = kind == Copy::in    ? cudaMemcpyHostToDevice
                                     : kind == Copy::out ? cudaMemcpyDeviceToHost
                                                         : cudaMemcpyDeviceToDevice;
    use();
    check_cuda(cudaMemcpyAsync(to, from, bytes, direction, stream_), "cudaMemcpyAsync");
  }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    use();
    check_cuda(cudaMemsetAsync(to, byte, bytes, stream_), "cudaMemsetAsync");
  }
  void enqueue(std::function<void()>, const char*) override {
    throw std::logic_error("cuda: kernels are launched, not enqueued");
  }
  void record(Event::State& event) override {
    use();
    check_cuda(cudaEventRecord(static_cast<CudaEvent&>(event).event, stream_), "cudaEventRecord");
  }
  void wait(Event::State& event) override {
    use();
    check_cuda(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).event, 0), "cudaStreamWaitEvent");
  }
  void synchronize() override { check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }
  void* native() override {
    use();
    return stream_;
  }

 private:
  // The current device is the calling thread's; threads change.
  void use() const { check_cuda(cudaSetDevice(number_), "cudaSetDevice"); }

  int number_;
  cudaStream_t stream_ = nullptr;
};

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int number) : number_(number) {
    check_cuda(cudaSetDevice(number_), "cudaSetDevice");
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, number_), "cudaGetDeviceProperties");
    name_ = properties.name;
    multiprocessors_ = static_cast<unsigned>(properties.multiProcessorCount);
    memory_bytes_ = properties.totalGlobalMem;
    if (properties.major < 8)
      throw DeviceMissing(name_ + " is of compute capability " + std::to_string(properties.major) + "." +
                          std::to_string(properties.minor) + "; 8.0 is the least");
  }

  Backend backend() const override { return Backend::cuda; }
  std::string description() const override {
    return "cuda:" + std::to_string(number_) + " (" + name_ + ", " + std::to_string(multiprocessors_) +
           " multiprocessors)";
  }
  CpuTier tier() const override { return CpuTier::scalar; }
  unsigned threads() const override { return 1; }
  unsigned multiprocessors() const override { return multiprocessors_; }
  // Less what this process has taken. What others took shows when an allocation fails.
  std::size_t memory_free() const override {
    const std::size_t used = used_bytes_.load(std::memory_order_relaxed);
    return memory_bytes_ > used ? memory_bytes_ - used : 0;
  }

 private:
  void* allocate(MemoryKind kind, std::size_t bytes) override {
    void* memory = nullptr;
    bytes = bytes == 0 ? 1 : bytes;
    check_cuda(cudaSetDevice(number_), "cudaSetDevice");
    if (kind == MemoryKind::device) {
      check_cuda(cudaMalloc(&memory, bytes), "cudaMalloc");
      used_bytes_ += bytes;
    } else {
      check_cuda(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable), "cudaHostAlloc");
      std::memset(memory, 0, bytes);
    }
    return memory;
  }
  void release(MemoryKind kind, void* memory, std::size_t bytes) noexcept override {
    if (kind == MemoryKind::device) {
      used_bytes_ -= bytes == 0 ? 1 : bytes;
      log_failure(cudaFree(memory), "cudaFree");
    } else {
      log_failure(cudaFreeHost(memory), "cudaFreeHost");
    }
  }
  std::shared_ptr<Stream::State> make_stream() override {
    check_cuda(cudaSetDevice(number_), "cudaSetDevice");
    return std::make_shared<CudaStream>(number_);
  }
  std::shared_ptr<Event::State> make_event() override {
    check_cuda(cudaSetDevice(number_), "cudaSetDevice");
    return std::make_shared<CudaEvent>(number_);
  }

  int number_;
  std::string name_;
  unsigned multiprocessors_ = 1;
  std::size_t memory_bytes_ = 0;
  std::atomic<std::size_t> used_bytes_{0};
};

}  // namespace

void check_cuda(int code, const char* call, std::source_location where) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // a passing error must not be met again by the next call that asks
  const std::string file = where.file_name();
  throw DeviceError(
      file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(where.line()) + ": " + call, code,
      cudaGetErrorString(static_cast<cudaError_t>(code)), !is_passing(code));
}

CudaDevices find_cuda_devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess) {
    cudaGetLastError();
    return {{},
            (means_none(code) ? std::string("no GPU or no driver: ") : std::string("cudaGetDeviceCount: ")) +
                cudaGetErrorString(code) + " (" + std::to_string(code) + ")"};
  }
  CudaDevices found;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) == cudaSuccess) found.names.emplace_back(properties.name);
  }
  if (found.names.empty()) found.reason = "no GPU";
  return found;
}

std::shared_ptr<Device> make_cuda_device(unsigned number) {
  const CudaDevices found = find_cuda_devices();
  if (found.names.empty()) throw DeviceMissing(found.reason);
  if (number >= found.names.size())
    throw DeviceMissing("no GPU " + std::to_string(number) + ": there are " +
                        std::to_string(found.names.size()));
  return std::make_shared<CudaDevice>(static_cast<int>(number));
}

}  // namespace lanner
