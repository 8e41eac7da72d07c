# dlm_options: C++20, the strict warning set, and the sanitizers, for every target of ours.
add_library(dlm_options INTERFACE)
target_compile_features(dlm_options INTERFACE cxx_std_20)
target_include_directories(dlm_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(
  dlm_options
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wsign-conversion
            -Wold-style-cast
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wnull-dereference
            -Wduplicated-cond
            -Wduplicated-branches
            -Wlogical-op
            -Wuseless-cast
            -Wsuggest-override
            -Wextra-semi)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(dlm_options INTERFACE -Werror)
endif()
# At -O3 GCC 12's flow-based warnings report impossible paths inside the standard library and fmt; the dev preset keeps
# them on.
target_compile_options(
  dlm_options
  INTERFACE
    $<$<CONFIG:Release>:-Wno-null-dereference;-Wno-stringop-overflow;-Wno-stringop-overread;-Wno-array-bounds;-Wno-restrict;-Wno-maybe-uninitialized>
)
if(DLM_SANITIZE)
  # null-dereference is a false-positive generator under instrumentation.
  target_compile_options(dlm_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                               -fno-omit-frame-pointer -Wno-null-dereference -Wno-maybe-uninitialized)
  target_link_options(dlm_options INTERFACE -fsanitize=address,undefined)
endif()
