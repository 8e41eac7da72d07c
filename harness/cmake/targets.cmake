# dlm_torch: what a target that sees tensors links. The two defines make every umbrella header of libtorch an error.
add_library(dlm_torch INTERFACE)
target_link_libraries(dlm_torch INTERFACE dlm_options ${TORCH_LIBRARIES})
# The torch wheel carries headers of another fmt than the one installed and linked, without its code. A folder that holds
# the installed headers alone goes before them.
find_path(DLM_FMT_INCLUDE fmt/format.h REQUIRED)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/installed_fmt)
file(CREATE_LINK ${DLM_FMT_INCLUDE}/fmt ${PROJECT_BINARY_DIR}/installed_fmt/fmt SYMBOLIC)
target_include_directories(dlm_torch SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/installed_fmt ${TORCH_INCLUDE_DIRS})
target_compile_definitions(dlm_torch INTERFACE AT_PER_OPERATOR_HEADERS TORCH_ASSERT_ONLY_METHOD_OPERATORS)
separate_arguments(dlm_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(dlm_torch INTERFACE ${dlm_torch_flags})

# OpenMP by its flag alone: the program then loads the one libgomp that the torch wheel brings.
add_library(dlm_openmp INTERFACE)
target_compile_options(dlm_openmp INTERFACE ${OpenMP_CXX_FLAGS})
target_link_options(dlm_openmp INTERFACE ${OpenMP_CXX_FLAGS})

# dlm_test(NAME SOURCES a.cc ... LINK lib ... KINDS unit [golden] [slow])
# One gtest binary, one ctest entry per kind: suites named *Golden* read DLMBENCH_DATA, suites named *Slow* take long,
# all others are unit tests.
function(dlm_test NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;KINDS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LINK} GTest::gtest GTest::gtest_main)
  set(filter_unit "-*Golden*:*Slow*")
  set(filter_golden "*Golden*-*Slow*")
  set(filter_slow "*Slow*")
  foreach(kind IN LISTS ARG_KINDS)
    add_test(NAME ${NAME}.${kind} COMMAND ${NAME} --gtest_filter=${filter_${kind}} --gtest_brief=1)
    set_tests_properties(${NAME}.${kind} PROPERTIES LABELS ${kind} TIMEOUT 1200)
  endforeach()
  if("unit" IN_LIST ARG_KINDS)
    set_property(GLOBAL APPEND PROPERTY DLM_UNIT_TESTS ${NAME})
  endif()
endfunction()

# dlm_benchmark(NAME SOURCES a.cc ... LINK lib ...): a Google Benchmark program; run by hand, built with the tests.
function(dlm_benchmark NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LINK} benchmark::benchmark)
endfunction()
