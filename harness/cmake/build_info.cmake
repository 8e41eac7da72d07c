# Writes build_info.h: run at every build with -DROOT -DOUT -DCOMPILER -DFLAGS; the file changes only when its text does.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${ROOT} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET)
execute_process(COMMAND git -C ${ROOT} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
if(commit STREQUAL "")
  set(commit unknown)
endif()
set(dirty false)
if(NOT changes STREQUAL "")
  set(dirty true)
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT
"// Made by harness/cmake/build_info.cmake.
#pragma once

namespace dlm {
inline constexpr const char* kGitCommit = \"@commit@\";
inline constexpr bool kGitDirty = @dirty@;
inline constexpr const char* kCompiler = \"@COMPILER@\";
inline constexpr const char* kCompileFlags = \"@FLAGS@\";
}  // namespace dlm
")
