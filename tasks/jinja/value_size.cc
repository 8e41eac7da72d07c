#include "tasks/jinja/value_size.h"

#include <nlohmann/json.hpp>

#include "tasks/jinja/values.h"

namespace dlm::jinja {
namespace {

constexpr int kMostNesting = 100;

std::size_t size_within(const Json& value, int levels) {
  if (value.is_string())
    return value.get_ref<const std::string&>().size();
  if (!value.is_structured())
    return 0;
  if (levels == 0)
    throw ValueError("lists nested deeper than 100");
  std::size_t bytes = kElementBytes * value.size();
  for (const Json& element : value) bytes += size_within(element, levels - 1);
  return bytes;
}

}  // namespace

std::size_t size_of(const Json& value) {
  return size_within(value, kMostNesting);
}

void expect_size(std::size_t bytes) {
  if (bytes > kMostValueBytes)
    throw ValueError("a text or list of more than 64 MiB");
}

}  // namespace dlm::jinja
