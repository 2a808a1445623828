// Stands in for libcudart.so.13: one device, "PTX interpreter", that runs what it is given at once and in
// order. The calls are those that Lanner and its tests make (ptx.py gates which they may); to be found by the
// loader before the real one.
//
//   PTX_EXECUTOR_REPORT=FILE   at the end a line a kernel is appended: launches, instructions executed by
//   warps, name PTX_EXECUTOR_FLIP=OPCODE/N flips the lowest bit of one lane's result whenever a warp executes
//   OPCODE for the Nth time
//
// What a kernel may not do is said on stderr, with kernel, line of the PTX text, block and thread; the error
// is sticky, as on a GPU.
#include <cuda_runtime_api.h>
#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "tests/cuda/ptx_executor/fat_binary.hpp"
#include "tests/cuda/ptx_executor/interpreter.hpp"

namespace {

using namespace lanner::ptx;

constexpr std::size_t shared_always = std::size_t{48} << 10, shared_max = std::size_t{163} << 10;  // of sm_80
constexpr std::size_t memory_bytes = std::size_t{8} << 30;
constexpr int multiprocessors = 4;

// Of one fat binary. Its text is read when one of its kernels is launched.
struct Module {
  std::vector<std::string_view> texts;
  std::map<std::string, Entry> entries;
  bool parsed = false;
};

struct Function {
  Module* module = nullptr;
  std::string name;
  std::size_t dynamic_shared_max = shared_always;
  std::unique_ptr<Kernel> kernel;
};

class Runtime {
 public:
  // Lives on: host threads may call until the process has ended.
  static Runtime& get() {
    static Runtime* const runtime = new Runtime;
    return *runtime;
  }

  std::mutex mutex;
  Memory memory;
  std::map<const void*, Function> functions;  // by the host's stub
  std::set<const void*> handles;              // of streams and events
  cudaError_t sticky = cudaSuccess, last = cudaSuccess;

  void** register_module(const void* wrapper) {
    auto module = std::make_unique<Module>();
    module->texts = ptx_texts(wrapper);
    modules_.push_back(std::move(module));
    return reinterpret_cast<void**>(modules_.back().get());
  }

  void launch(Function& function, dim3 grid, dim3 block, std::size_t dynamic_shared, void* const* arguments) {
    if (function.kernel == nullptr) function.kernel = make_kernel(function);
    function.kernel->launch(memory, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, dynamic_shared,
                            arguments);
  }
  const Kernel& kernel(Function& function) {
    if (function.kernel == nullptr) function.kernel = make_kernel(function);
    return *function.kernel;
  }

 private:
  Runtime() {
    if (const char* flip = std::getenv("PTX_EXECUTOR_FLIP")) {
      const std::string_view text = flip;
      const std::size_t slash = text.find('/');
      perturbation_.opcode = text.substr(0, slash);
      if (slash != std::string_view::npos) perturbation_.every = std::strtoull(flip + slash + 1, nullptr, 10);
      if (perturbation_.every == 0) {
        std::fprintf(stderr, "PTX_EXECUTOR_FLIP: found %s, allowed OPCODE/N\n", flip);
        std::exit(2);
      }
    }
    if (std::getenv("PTX_EXECUTOR_REPORT")) std::atexit([] { get().report(); });
  }

  std::unique_ptr<Kernel> make_kernel(const Function& function) {
    Module& module = *function.module;
    if (!module.parsed) {
      for (const std::string_view text : module.texts)
        for (Entry& entry : parse(text)) {
          const std::string name = entry.name;
          module.entries.emplace(name, std::move(entry));
        }
      module.parsed = true;
    }
    const auto entry = module.entries.find(function.name);
    if (entry == module.entries.end())
      throw Fault(Fault::Kind::unknown_instruction, function.name + " is not in its PTX text");
    return std::make_unique<Kernel>(std::move(entry->second),
                                    perturbation_.every > 0 ? &perturbation_ : nullptr);
  }

  void report() {
    std::ofstream file(std::getenv("PTX_EXECUTOR_REPORT"), std::ios::app);
    for (const auto& [stub, function] : functions) {
      int status = 0;
      const std::unique_ptr<char, decltype(&std::free)> name(
          abi::__cxa_demangle(function.name.c_str(), nullptr, nullptr, &status), &std::free);
      const Kernel* const kernel = function.kernel.get();
      file << (kernel ? kernel->launches() : 0) << '\t' << (kernel ? kernel->instructions() : 0) << '\t'
           << (kernel ? kernel->executed() : "") << '\t' << (status == 0 ? name.get() : function.name.c_str())
           << '\n';
    }
  }

  std::vector<std::unique_ptr<Module>> modules_;
  Perturbation perturbation_;
};

cudaError_t code_of(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::unknown_instruction:
      return cudaErrorInvalidPtx;
    case Fault::Kind::illegal_address:
      return cudaErrorIllegalAddress;
    case Fault::Kind::misaligned_address:
      return cudaErrorMisalignedAddress;
    case Fault::Kind::other:
      break;
  }
  return cudaErrorLaunchFailure;
}

// A call of the host: one at a time, refused after a kernel's fault.
template <class F>
cudaError_t call(F work) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard lock(runtime.mutex);
  if (runtime.sticky != cudaSuccess) return runtime.sticky;
  const cudaError_t code = work(runtime);
  if (code != cudaSuccess) runtime.last = code;
  return code;
}

template <class Handle>
cudaError_t make_handle(Runtime& runtime, Handle* handle) {
  *handle = reinterpret_cast<Handle>(std::malloc(1));
  runtime.handles.insert(*handle);
  return cudaSuccess;
}
cudaError_t drop_handle(Runtime& runtime, void* handle) {
  if (runtime.handles.erase(handle) == 0) return cudaErrorInvalidResourceHandle;
  std::free(handle);
  return cudaSuccess;
}
cudaError_t known(const Runtime& runtime, std::initializer_list<const void*> handles) {
  for (const void* handle : handles)
    if (!runtime.handles.contains(handle)) return cudaErrorInvalidResourceHandle;
  return cudaSuccess;
}

bool is_device(const void* memory) {
  return (reinterpret_cast<std::uint64_t>(memory) & Memory::device_bit) != 0;
}

cudaError_t launch(Runtime& runtime, Function& function, dim3 grid, dim3 block, void** arguments,
                   std::size_t dynamic_shared) {
  try {
    const Kernel& kernel = runtime.kernel(function);
    const std::size_t threads = std::size_t{block.x} * block.y * block.z;
    if (threads == 0 || threads > kernel.threads_max() || std::size_t{grid.x} * grid.y * grid.z == 0 ||
        grid.y > 65535 || grid.z > 65535)
      return cudaErrorInvalidConfiguration;
    if (dynamic_shared > function.dynamic_shared_max || kernel.shared_bytes() + dynamic_shared > shared_max)
      return cudaErrorInvalidValue;
    runtime.launch(function, grid, block, dynamic_shared, arguments);
    return cudaSuccess;
  } catch (const Fault& fault) {
    std::fprintf(stderr, "PTX interpreter: %s\n", fault.what());
    runtime.sticky = code_of(fault.kind);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "PTX interpreter: %s: %s\n", function.name.c_str(), error.what());
    runtime.sticky = cudaErrorInvalidPtx;
  }
  return runtime.sticky;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  try {
    return Runtime::get().register_module(wrapper);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "PTX interpreter: %s\n", error.what());
    std::exit(2);
  }
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** module, const char* stub, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  Function& function = Runtime::get().functions[stub];
  function.module = reinterpret_cast<Module*>(module);
  function.name = name;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "PTX interpreter");
  properties->major = 8;
  properties->multiProcessorCount = multiprocessors;
  properties->totalGlobalMem = memory_bytes;
  properties->warpSize = warp_lanes;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int number) {
  return call([&](Runtime&) { return number == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return call([&](Runtime& runtime) {
    *memory = runtime.memory.allocate(true, bytes);
    return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return call([&](Runtime& runtime) {
    *memory = runtime.memory.allocate(false, bytes);
    return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}
cudaError_t cudaFree(void* memory) {
  return call([&](Runtime& runtime) {
    return memory == nullptr || runtime.memory.release(true, memory) ? cudaSuccess : cudaErrorInvalidValue;
  });
}
cudaError_t cudaFreeHost(void* memory) {
  return call([&](Runtime& runtime) {
    return memory == nullptr || runtime.memory.release(false, memory) ? cudaSuccess : cudaErrorInvalidValue;
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call([&](Runtime& runtime) {
    if (known(runtime, {stream}) != cudaSuccess) return cudaErrorInvalidResourceHandle;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (is_device(to) != to_device || is_device(from) != from_device ||
        (to_device && !runtime.memory.holds(to, bytes)) ||
        (from_device && !runtime.memory.holds(from, bytes)))
      return cudaErrorInvalidValue;
    std::memmove(Memory::host_pointer(reinterpret_cast<std::uint64_t>(to)),
                 Memory::host_pointer(reinterpret_cast<std::uint64_t>(from)), bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t stream) {
  return call([&](Runtime& runtime) {
    if (known(runtime, {stream}) != cudaSuccess) return cudaErrorInvalidResourceHandle;
    if (!is_device(to) || !runtime.memory.holds(to, bytes)) return cudaErrorInvalidValue;
    std::memset(Memory::host_pointer(reinterpret_cast<std::uint64_t>(to)), byte, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return call([&](Runtime& runtime) { return make_handle(runtime, stream); });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call([&](Runtime& runtime) { return drop_handle(runtime, stream); });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&](Runtime& runtime) { return known(runtime, {stream}); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([&](Runtime& runtime) { return known(runtime, {stream, event}); });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return call([&](Runtime& runtime) { return make_handle(runtime, event); });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&](Runtime& runtime) { return drop_handle(runtime, event); });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&](Runtime& runtime) { return known(runtime, {event, stream}); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&](Runtime& runtime) { return known(runtime, {event}); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&](Runtime& runtime) { return known(runtime, {event}); });
}

cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute attribute, int value) {
  return call([&](Runtime& runtime) {
    const auto function = runtime.functions.find(stub);
    if (function == runtime.functions.end()) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<std::size_t>(value) > shared_max)
      return cudaErrorInvalidValue;
    function->second.dynamic_shared_max = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}
cudaError_t cudaLaunchKernel(const void* stub, dim3 grid, dim3 block, void** arguments,
                             std::size_t dynamic_shared, cudaStream_t stream) {
  return call([&](Runtime& runtime) {
    if (known(runtime, {stream}) != cudaSuccess) return cudaErrorInvalidResourceHandle;
    const auto function = runtime.functions.find(stub);
    if (function == runtime.functions.end()) return cudaErrorInvalidDeviceFunction;
    return launch(runtime, function->second, grid, block, arguments, dynamic_shared);
  });
}

// Of nvcc's stubs for `<<<>>>`, which nobody uses: a binary needs the names.
cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) {
  return cudaErrorNotSupported;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return cudaErrorNotSupported;
}
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) {
  return cudaErrorNotSupported;
}

cudaError_t cudaGetLastError() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard lock(runtime.mutex);
  return runtime.sticky != cudaSuccess ? runtime.sticky : std::exchange(runtime.last, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function";
    case cudaErrorInvalidPtx:
      return "PTX that the interpreter does not know";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorMisalignedAddress:
      return "misaligned address";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    default:
      return "an error of the PTX interpreter";
  }
}

}  // extern "C"
