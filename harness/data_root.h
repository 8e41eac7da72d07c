// Where named data sets and reference files are: below the folder that DLMBENCH_DATA names (default
// ../shared). Where the models are that this project trained: below the folder that DLMBENCH_ZOO
// names (default models/zoo).
#pragma once

#include <string>
#include <string_view>

namespace dlm {

std::string data_root();

bool has_data_root();

bool has_zoo();

// "data:checkpoints/x" -> DATA_ROOT/data/checkpoints/x, "zoo:x" -> ZOO/x; any other path as it is.
std::string resolve_data_path(std::string_view path);

}  // namespace dlm
