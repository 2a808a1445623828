# The arithmetic promise (docs/arithmetic.md): nothing may be contracted or reassociated behind our back.
add_compile_options(-Wall -Wextra -Wpedantic -Werror -ffp-contract=off -fno-fast-math -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options(-Wno-restrict)  # GCC bug 105651: reported for any char* + std::string
endif()
include_directories(${PROJECT_SOURCE_DIR})

# What a sanitizer reports must fail the test, also where it is said of a `lanner` that the test started: the process
# ends at once, with an exit status of its own. Everything is slower.
set(LANNER_TEST_ENVIRONMENT "")
set(LANNER_TEST_SLOWDOWN 1)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=([a-z]+)")
  set(LANNER_TEST_SLOWDOWN 8)
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
  add_compile_definitions(LANNER_AVX512_LOWERED=1)  # every file: the tier chooser too must know
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

# Of a test added with add_test.
function(lanner_test_properties name timeout)
  math(EXPR timeout "${timeout} * ${LANNER_TEST_SLOWDOWN}")
  set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} ENVIRONMENT "${LANNER_TEST_ENVIRONMENT}" ${ARGN})
endfunction()

# lanner_test(kernels_nearest SOURCES search_test.cpp LINK lanner::kernels::nearest)
# One test binary a folder of tests/, which mirrors the tree; its layer, the name's first word, is a label, and the
# target LAYER_tests builds all of a layer. Zero tests found is an error.
function(lanner_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE
    LANNER_SOURCE_DIR="${PROJECT_SOURCE_DIR}" LANNER_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND test_${name} --gtest_brief=1)
  string(REGEX MATCH "^[a-z]+" layer ${name})
  lanner_test_properties(${name} ${ARG_TIMEOUT} LABELS ${layer})
  if(NOT TARGET ${layer}_tests)
    add_custom_target(${layer}_tests)
  endif()
  add_dependencies(${layer}_tests test_${name})
endfunction()

# lanner_bench(kernels_nearest SOURCES search_bench.cpp LINK lanner::kernels::nearest)
function(lanner_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(bench_${name} ${ARG_SOURCES})
  target_link_libraries(bench_${name} PRIVATE ${ARG_LINK} benchmark::benchmark)
endfunction()
