# The GPU's kernels: LANNER_CUDA compiles every *_cuda.cu of kernels/ with nvcc, for the backend `cuda`; everything else
# is compiled as without it. scripts/setup cuda makes build/cuda-toolkit where no toolkit is installed, and looks for a
# compiler in the same places as this file.
option(LANNER_CUDA "Compile the GPU's kernels with nvcc" OFF)
set(LANNER_CUDA_RELEASE_MIN 13.0)

function(lanner_cuda_compiler found)
  find_program(on_path nvcc NO_CACHE NO_CMAKE_PATH NO_CMAKE_SYSTEM_PATH)
  foreach(nvcc IN ITEMS "${CMAKE_CUDA_COMPILER}" "$ENV{CUDACXX}" "$ENV{CUDA_HOME}/bin/nvcc" "${on_path}"
      /usr/local/cuda/bin/nvcc ${PROJECT_SOURCE_DIR}/build/cuda-toolkit/bin/nvcc)
    if(NOT EXISTS "${nvcc}")
      continue()
    endif()
    execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE text ERROR_QUIET)
    string(REGEX MATCH "release ([0-9.]+)" release "${text}")
    if(release AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL LANNER_CUDA_RELEASE_MIN)
      set(${found} ${nvcc} PARENT_SCOPE)
      return()
    endif()
    message(NOTICE "${nvcc} is not of CUDA ${LANNER_CUDA_RELEASE_MIN} or newer: not used")
  endforeach()
  set(${found} "" PARENT_SCOPE)
endfunction()

if(LANNER_CUDA)
  lanner_cuda_compiler(nvcc)
  if(NOT nvcc)
    message(NOTICE "No CUDA compiler was found (CUDACXX, CUDA_HOME, PATH, /usr/local/cuda, build/cuda-toolkit): "
      "this build is for the CPU only. `scripts/setup cuda` fetches one.")
    set(LANNER_CUDA OFF)  # for this run of CMake: the next one looks again
  endif()
endif()

if(LANNER_CUDA)
  set(CMAKE_CUDA_COMPILER ${nvcc})
  if(NOT CMAKE_CUDA_HOST_COMPILER)
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})  # one compiler for both halves of the program
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # CMake 3.25 knows nvcc up to C++17
  endif()
  # Keeps what ptxas reports of a kernel beside its object file, for tests/cuda/resources.py.
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/keep_ptxas_report ${CCACHE})

  # The arithmetic promise (docs/arithmetic.md), on the device and in the host half of a .cu. -Wpedantic would refuse
  # the host code that nvcc generates.
  string(JOIN "," host_flags -Wall -Wextra -Werror -ffp-contract=off -fno-fast-math -fno-math-errno)
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-ftz=false;-prec-div=true;-prec-sqrt=true>"
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;SHELL:--Werror all-warnings;-Xcompiler=${host_flags}>"
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xptxas -v>")

  # lanner::cuda_runtime: for host code that calls the CUDA runtime (kernels/device). Not by FindCUDAToolkit, which in
  # CMake 3.25 fails on a toolkit without NVTX.
  if(CMAKE_CUDA_RUNTIME_LIBRARY STREQUAL "Shared")
    set(library libcudart.so)
  else()
    set(library libcudart_static.a)
  endif()
  find_library(LANNER_CUDART ${library} PATHS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} NO_DEFAULT_PATH REQUIRED)
  find_package(Threads REQUIRED)
  add_library(lanner_cuda_runtime INTERFACE)
  target_include_directories(lanner_cuda_runtime SYSTEM INTERFACE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(lanner_cuda_runtime INTERFACE ${LANNER_CUDART} Threads::Threads rt ${CMAKE_DL_LIBS})
  add_library(lanner::cuda_runtime ALIAS lanner_cuda_runtime)
endif()
