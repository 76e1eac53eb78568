# Every target of ours is made by one of these functions, so warnings, hardening and sanitizers are the same everywhere.

function(virp_compile_options target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
    -Wnon-virtual-dtor -Woverloaded-virtual -Werror
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # false in GCC 12 for "text" + string (its bug 105651)
    -fstack-protector-strong -fstack-clash-protection)
  target_compile_definitions(${target} PRIVATE _GLIBCXX_ASSERTIONS OPENSSL_NO_DEPRECATED
    $<$<NOT:$<BOOL:${VIRP_SANITIZE}>>:_FORTIFY_SOURCE=2>)
  virp_sanitize(${target})
endfunction()

function(virp_sanitize target)
  if(VIRP_SANITIZE)
    list(JOIN VIRP_SANITIZE "," sanitizers)
    target_compile_options(${target} PRIVATE -fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${sanitizers})
  endif()
  if(VIRP_BUILD_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping)
    target_link_options(${target} PUBLIC -fprofile-instr-generate)
  endif()
endfunction()

# virp_library(NAME SOURCES a.cc ... [DEPS target ...] [PRIVATE_DEPS target ...])  ->  target virp_NAME
function(virp_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(virp_${name} STATIC ${ARG_SOURCES})
  target_include_directories(virp_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(virp_${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  virp_compile_options(virp_${name})
endfunction()

# virp_program(NAME SOURCES main.cc ... DEPS target ...)  ->  installed executable NAME
function(virp_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  virp_compile_options(${name})
endfunction()

# virp_test(NAME SOURCES x_test.cc ... DEPS target ... [LABELS unit|grpc-sync|pg|e2e|...] [TIMEOUT s])
# One executable per folder; each GoogleTest case is its own ctest entry. Test data is read below VIRP_SOURCE_DIR.
function(virp_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT VIRP_BUILD_TESTS)
    return()
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE VIRP_SOURCE_DIR="${PROJECT_SOURCE_DIR}" VIRP_BINARY_DIR="${PROJECT_BINARY_DIR}")
  virp_compile_options(${name})
  # GCC takes the if inside EXPECT_EQ and its like for a dangling one.
  target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-dangling-else>)
  add_test(NAME ${name} COMMAND ${name})
  virp_test_properties(${name} "${ARG_LABELS}" ${ARG_TIMEOUT})
endfunction()

function(virp_test_properties name labels timeout)
  set(tsan_options "suppressions=${PROJECT_SOURCE_DIR}/cmake/sanitizers/tsan.supp")
  if("grpc-sync" IN_LIST labels)
    string(APPEND tsan_options ":ignore_noninstrumented_modules=1")
  endif()
  # By COST the longest begin first, also where no run has measured them: none is left over at the end.
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${timeout} COST ${timeout}
    ENVIRONMENT "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/sanitizers/lsan.supp:print_suppressions=0;TSAN_OPTIONS=${tsan_options}")
endfunction()

# virp_script_test(NAME COMMAND script argument ... LABELS e2e|...)  ->  a test that runs our programs from outside
function(virp_script_test name)
  cmake_parse_arguments(ARG "" "" "COMMAND;LABELS" ${ARGN})
  if(VIRP_BUILD_TESTS)
    add_test(NAME ${name} COMMAND ${ARG_COMMAND})
    virp_test_properties(${name} "${ARG_LABELS}" 300)
  endif()
endfunction()

# virp_fuzz(NAME SOURCES x_fuzz.cc DEPS target ... COVERS file.cc|file.cc:Function,Function ...)
# With VIRP_BUILD_FUZZ a libFuzzer target, without it a program that replays its corpus, tests/fuzz/corpus/NAME; a test
# with label fuzz either way. COVERS says what it is for: scripts/fuzz measures how much of these files, or of these
# functions in them, its inputs reach.
function(virp_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;COVERS" ${ARGN})
  if(NOT VIRP_BUILD_TESTS)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  virp_compile_options(${name})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(VIRP_BUILD_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -runs=0 ${corpus})
    list(JOIN ARG_COVERS " " covers)
    set_property(GLOBAL APPEND PROPERTY VIRP_FUZZ_TARGETS "${name} ${covers}")
  else()
    target_link_libraries(${name} PRIVATE virp_fuzz_replay)
    add_test(NAME ${name} COMMAND ${name} ${corpus})
  endif()
  virp_test_properties(${name} fuzz 120)
endfunction()

# virp_bench(NAME SOURCES x_bench.cc DEPS target ...)  ->  Google Benchmark program, with VIRP_BUILD_BENCH (preset release)
function(virp_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(NOT VIRP_BUILD_BENCH)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} benchmark::benchmark_main)
  target_compile_definitions(${name} PRIVATE VIRP_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  virp_compile_options(${name})
endfunction()
