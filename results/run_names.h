// What a name that names no run may have been meant as.
#pragma once

#include <string>
#include <string_view>

namespace dlm {

class Store;

// The nearest tag, else the run whose id begins most like `name`; empty where none is near.
std::string nearest_run_name(Store& store, std::string_view name);

}  // namespace dlm
