# The arithmetic promise (docs/arithmetic.md): nothing may be contracted or reassociated behind our back.
# Of C++ alone; what nvcc is told is in cuda.cmake.
set(LANNER_CXX_FLAGS -Wall -Wextra -Wpedantic -Werror -ffp-contract=off -fno-fast-math -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND LANNER_CXX_FLAGS -Wno-restrict)  # GCC bug 105651: reported for any char* + std::string
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${LANNER_CXX_FLAGS}>")
include_directories(${PROJECT_SOURCE_DIR})

# What a sanitizer reports must fail the test, also where it is said of a `lanner` that the test started: the process
# ends at once, with an exit status of its own. Everything is slower.
set(LANNER_TEST_ENVIRONMENT "")
set(LANNER_TEST_SLOWDOWN 1)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=([a-z]+)")
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>")  # GCC 12's own std::regex trips it
  set(LANNER_TEST_SLOWDOWN 8)
  if(CMAKE_MATCH_1 STREQUAL "thread")
    set(LANNER_TEST_SLOWDOWN 24)
  endif()
  set(LANNER_TEST_ENVIRONMENT
    "LANNER_SANITIZER=${CMAKE_MATCH_1}"
    "ASAN_OPTIONS=exitcode=66:check_initialization_order=1:strict_string_checks=1:detect_stack_use_after_return=1"
    "UBSAN_OPTIONS=exitcode=66:print_stacktrace=1"
    "TSAN_OPTIONS=halt_on_error=1:exitcode=66:history_size=7:second_deadlock_stack=1:suppressions='${PROJECT_SOURCE_DIR}/tests/tsan.supp'")
endif()
# Asio's fences are more than ThreadSanitizer can follow, and GCC says so. One thread runs an Asio context here, which
# needs none of them.
set(LANNER_ASIO_FLAGS "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread")
  set(LANNER_ASIO_FLAGS -Wno-tsan)
endif()

set(LANNER_AVX2_FLAGS -mavx2 -mfma -mbmi -mbmi2)
if(LANNER_AVX512_LOWERED)
  set(LANNER_AVX512_FLAGS ${LANNER_AVX2_FLAGS} -Wno-psabi)
else()
  set(LANNER_AVX512_FLAGS ${LANNER_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512
    -Wno-uninitialized -Wno-maybe-uninitialized)  # GCC 12's own AVX-512 header trips these
endif()

# lanner_library(kernels nearest SOURCES a.cpp b_avx2.cpp LINK lanner::kernels::device)
# One static library a folder, alias lanner::<layer>::<name>. A file's last word names its CPU tier.
function(lanner_library layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LINK_PRIVATE" ${ARGN})
  set(target lanner_${layer}_${name})
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    target_link_libraries(${target} PUBLIC ${ARG_LINK} PRIVATE ${ARG_LINK_PRIVATE})
    foreach(source IN LISTS ARG_SOURCES)
      if(source MATCHES "_avx2\\.cpp$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${LANNER_AVX2_FLAGS}")
      elseif(source MATCHES "_avx512\\.cpp$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${LANNER_AVX512_FLAGS}")
      endif()
    endforeach()
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${ARG_LINK})
  endif()
  add_library(lanner::${layer}::${name} ALIAS ${target})
endfunction()

# lanner_gpu_sources(lanner_kernels_density sums_cuda.cu)
# A GPU's kernels, twice: compiled as C++ for the backend `emulated`, by way of a file of one #include that is made in the
# build tree, and by nvcc for the backend `cuda` (kernels/device/simt.hpp).
function(lanner_gpu_sources target)
  foreach(source IN LISTS ARGN)
    string(REGEX REPLACE "(_cuda)?\\.cu$" "_emulated.cpp" emulated ${source})
    set(emulated ${CMAKE_CURRENT_BINARY_DIR}/${emulated})
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${source})
    file(CONFIGURE OUTPUT ${emulated} CONTENT "#include \"${path}\"\n")
    set_source_files_properties(${emulated} PROPERTIES COMPILE_OPTIONS -Wno-unknown-pragmas)  # nvcc's: unroll
    target_sources(${target} PRIVATE ${emulated})
    if(LANNER_CUDA)
      target_sources(${target} PRIVATE ${source})
    endif()
  endforeach()
  # For LANNER_ON_GPU. Private, so that every other object is the same as in a build without CUDA (ccache).
  if(LANNER_CUDA)
    target_compile_definitions(${target} PRIVATE LANNER_CUDA=1)
  endif()
endfunction()

# Of a test added with add_test.
function(lanner_test_properties name timeout)
  math(EXPR timeout "${timeout} * ${LANNER_TEST_SLOWDOWN}")
  set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} ENVIRONMENT "${LANNER_TEST_ENVIRONMENT}" ${ARGN})
endfunction()

# lanner_test(kernels_nearest SOURCES search_test.cpp LINK lanner::kernels::nearest)
# One test binary a folder of tests/, which mirrors the tree; its layer, the name's first word, is a label, and the
# target LAYER_tests builds all of a layer. Zero tests found is an error. GPU: its tests also run on a GPU where there is
# one; in a build with LANNER_CUDA, gpu_NAME runs them there, labelled gpu (target gpu_tests), or is skipped.
function(lanner_test name)
  cmake_parse_arguments(ARG "GPU" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE LANNER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_options(test_${name} PRIVATE $<$<CONFIG:Release>:-O1>)  # most of them run for less time than they compile
  add_test(NAME ${name} COMMAND test_${name} --gtest_brief=1)
  string(REGEX MATCH "^[a-z]+" layer ${name})
  lanner_test_properties(${name} ${ARG_TIMEOUT} LABELS ${layer})
  if(NOT TARGET ${layer}_tests)
    add_custom_target(${layer}_tests)
  endif()
  add_dependencies(${layer}_tests test_${name})
  if(ARG_GPU AND LANNER_CUDA)
    add_test(NAME gpu_${name} COMMAND ${LANNER_PYTHON} ${PROJECT_SOURCE_DIR}/tests/cuda/on_gpu.py
      $<TARGET_FILE:cuda_devices> ${CMAKE_BINARY_DIR}/reports/gpu_${name}.xml $<TARGET_FILE:test_${name}>)
    lanner_test_properties(gpu_${name} ${ARG_TIMEOUT} LABELS gpu SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
    add_dependencies(gpu_tests test_${name})
  endif()
endfunction()

# lanner_bench(kernels_nearest SOURCES search_bench.cpp LINK lanner::kernels::nearest)
function(lanner_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(bench_${name} ${ARG_SOURCES})
  target_link_libraries(bench_${name} PRIVATE ${ARG_LINK} benchmark::benchmark)
endfunction()
