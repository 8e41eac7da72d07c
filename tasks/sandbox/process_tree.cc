#include "tasks/sandbox/process_tree.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "harness/base/text.h"

namespace dlm {
namespace {

constexpr std::size_t kMostProcesses = 4096;

// A file of /proc, at most 64 KiB of it; empty where there is none.
std::string read_proc(const std::string& path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return text;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n <= 0 || text.size() > 65536)
      break;
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
  ::close(fd);
  return text;
}

// Calls `use` with each integer of a list separated by spaces; stops at what is none.
template <typename Use>
void for_each_integer(std::string_view text, Use use) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    while (at != end && (*at == ' ' || *at == '\n')) ++at;
    std::int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc())
      return;
    use(value);
    at = next;
  }
}

void add_process(pid_t process, TreeUsage& usage) {
  const std::string stat = read_proc(fmt::format("/proc/{}/stat", process));
  const std::size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos || name_end + 3 >= stat.size())
    return;
  // After the name come the state, a letter, and fields 4, 5, ... of proc(5).
  std::int64_t field = 4;
  std::int64_t ticks = 0, pages = 0;
  for_each_integer(std::string_view(stat).substr(name_end + 3), [&](std::int64_t value) {
    if (field >= 14 && field <= 17)
      ticks += value;
    if (field == 24)
      pages = value;
    ++field;
  });
  usage.cpu_seconds += static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  usage.resident_bytes += pages * ::sysconf(_SC_PAGESIZE);
  ++usage.processes;
}

void add_children(pid_t process, std::vector<pid_t>& children) {
  const std::string tasks = fmt::format("/proc/{}/task", process);
  DIR* const folder = ::opendir(tasks.c_str());
  if (folder == nullptr)
    return;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] == '.')
      continue;
    for_each_integer(read_proc(fmt::format("{}/{}/children", tasks, entry->d_name)),
                     [&](std::int64_t child) { children.push_back(static_cast<pid_t>(child)); });
  }
  ::closedir(folder);
}

}  // namespace

std::vector<pid_t> process_tree(pid_t root) {
  std::vector<pid_t> tree{root};
  for (std::size_t i = 0; i < tree.size() && tree.size() < kMostProcesses; ++i)
    add_children(tree[i], tree);
  return tree;
}

TreeUsage process_tree_usage(pid_t root) {
  TreeUsage usage;
  for (const pid_t process : process_tree(root)) add_process(process, usage);
  return usage;
}

std::vector<pid_t> processes_with_environment(std::string_view entry) {
  std::vector<pid_t> found;
  DIR* const folder = ::opendir("/proc");
  if (folder == nullptr)
    return found;
  while (const dirent* process = ::readdir(folder)) {
    const auto id = parse_int(process->d_name);
    if (!id)
      continue;
    const std::string environment = read_proc(fmt::format("/proc/{}/environ", *id));
    const std::vector<std::string> entries = split(environment, '\0');
    if (std::ranges::find(entries, entry) != entries.end())
      found.push_back(static_cast<pid_t>(*id));
  }
  ::closedir(folder);
  return found;
}

}  // namespace dlm
