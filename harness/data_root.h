// Where named data sets and reference files are: below the folder that DLMBENCH_DATA names (default
// ../shared). Where the models are that this project trained: below the folders that DLMBENCH_ZOO
// names, with ":" between them (default models/zoo here, or beside the program's build folder).
#pragma once

#include <string>
#include <string_view>

namespace dlm {

std::string data_root();

bool has_data_root();

// Whether one of the folders is there.
bool has_zoo();

// "data:checkpoints/x" -> DATA_ROOT/data/checkpoints/x, "zoo:x" -> x in the first folder of the zoo
// that holds it; any other path as it is. Throws ConfigError for a name that no folder of the zoo
// holds.
std::string resolve_data_path(std::string_view path);

}  // namespace dlm
