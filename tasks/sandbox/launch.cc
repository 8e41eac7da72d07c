#include "tasks/sandbox/launch.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "tasks/sandbox/seccomp_filter.h"

namespace dlm {

namespace embedded {
extern const std::string_view sandbox_driver;
}

namespace {

// The driver's descriptors; the supervisor's own lie above, so that none is overwritten.
constexpr int kRequestFd = 3, kReportFd = 4, kSeccompFd = 5, kFirstOwnFd = 32;
// Ids that systemd's list of uses calls unused, so no account, container or service has them.
constexpr std::uint32_t kUnusedUids = 1879048192;
constexpr std::uint32_t kUidsOfOneProcess = 1024;
constexpr std::uint32_t kNobody = 65534;

[[noreturn]] void unavailable(std::string_view what, int error) {
  throw SandboxUnavailable(fmt::format("sandbox: {}: {}", what, std::strerror(error)));
}

Descriptor moved_up(int fd) {
  const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwnFd);
  const int error = errno;
  ::close(fd);
  if (high < 0)
    unavailable("a file descriptor", error);
  return Descriptor(high);
}

struct Pipe {
  Descriptor read, write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    unavailable("a pipe", errno);
  Descriptor read = moved_up(ends[0]);
  return {std::move(read), moved_up(ends[1])};
}

void set_non_blocking(const Descriptor& descriptor) {
  if (::fcntl(descriptor.get(), F_SETFL, O_NONBLOCK) != 0)
    unavailable("a pipe", errno);
}

struct Limit {
  int resource;
  std::uint64_t soft, hard;
};

std::vector<Limit> limits_of(const LaunchPlan& plan) {
  const auto size = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  const SandboxOptions& options = plan.options;
  const auto cpu = static_cast<std::uint64_t>(std::ceil(plan.cpu_limit_seconds)) + 1;
  const std::uint64_t stack = std::uint64_t{8} << 20U;
  std::vector<Limit> limits{
      {RLIMIT_CORE, 0, 0},
      {RLIMIT_CPU, cpu, cpu + 1},
      {RLIMIT_AS, size(options.address_space_bytes), size(options.address_space_bytes)},
      {RLIMIT_FSIZE, size(options.disk_bytes), size(options.disk_bytes)},
      {RLIMIT_NOFILE, size(options.open_files), size(options.open_files)},
      {RLIMIT_STACK, stack, stack},
      {RLIMIT_MSGQUEUE, 0, 0},
      {RLIMIT_MEMLOCK, 0, 0}};
  if (plan.user.exclusive)
    limits.push_back({RLIMIT_NPROC, size(options.processes), size(options.processes)});
  return limits;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct ChildPlan {
  char* const* argv;
  char* const* environment;
  const char* folder;
  std::span<const Limit> limits;
  std::array<std::pair<int, int>, 6> descriptors;  // source -> place, by place
  std::uint32_t uid;
  pid_t parent;
};

// Between vfork and exec: shares the parent's memory, so system calls only, and those of the kernel
// itself where libc's would act on all threads of the parent. Returns errno of what failed.
int confine_and_execute(const ChildPlan& plan) {
  ::syscall(SYS_setsid);
  for (const auto& [source, place] : plan.descriptors) {
    if (::dup2(source, place) < 0)
      return errno;
  }
  const unsigned first_other = kSeccompFd + 1;
  if (::syscall(SYS_close_range, first_other, ~0U, 0) != 0)
    return errno;
  // The first to go where memory runs out. Raising one's own score is anybody's right.
  const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0 || ::write(score, "1000", 4) != 4 || ::close(score) != 0)
    return errno;
  for (const Limit& limit : plan.limits) {
    const rlimit64 values{limit.soft, limit.hard};
    if (::syscall(SYS_prlimit64, 0, limit.resource, &values, nullptr) != 0)
      return errno;
  }
  if (plan.folder != nullptr && ::chdir(plan.folder) != 0)
    return errno;
  if (plan.uid != 0 && (::syscall(SYS_setgroups, 0, nullptr) != 0 ||
                        ::syscall(SYS_setresgid, plan.uid, plan.uid, plan.uid) != 0 ||
                        ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0))
    return errno;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != plan.parent)
    return ESRCH;
  const std::uint64_t no_signals = 0;
  if (::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals) != 0)
    return errno;
  ::execve(plan.argv[0], plan.argv, plan.environment);
  return errno;
}

struct Started {
  pid_t process;
  int error;
};

// The parent waits inside vfork until the child has executed or ended.
[[gnu::noinline]] Started start(const ChildPlan& plan) {
  volatile int error = 0;
  const pid_t child = ::vfork();
  if (child == 0) {
    error = confine_and_execute(plan);
    ::_exit(126);
  }
  return {child, child < 0 ? errno : error};
}

void add(std::vector<std::string>& command, std::initializer_list<std::string_view> words) {
  command.insert(command.end(), words.begin(), words.end());
}

// /bin, /lib, ...: links into /usr where the system is merged, folders of their own where not.
void add_system_folders(std::vector<std::string>& command) {
  add(command, {"--ro-bind", "/usr", "/usr"});
  for (const std::string path : {"/bin", "/lib", "/lib64"}) {
    std::error_code ignored;
    if (std::filesystem::is_symlink(path, ignored))
      add(command, {"--symlink", std::filesystem::read_symlink(path, ignored).string(), path});
    else if (std::filesystem::is_directory(path, ignored))
      add(command, {"--ro-bind", path, path});
  }
}

void add_bubblewrap(std::vector<std::string>& command, const LaunchPlan& plan) {
  add(command,
      {"/usr/bin/bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net",
       "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop",
       "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"});
  add_system_folders(command);
  add(command, {"--proc", "/proc", "--size", "65536", "--tmpfs", "/dev"});
  for (const std::string device : {"/dev/null", "/dev/zero", "/dev/urandom"})
    add(command, {"--dev-bind", device, device});
  const std::string disk = fmt::format("{}", plan.options.disk_bytes);
  add(command, {"--size", "16777216", "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", disk,
                "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp", "--seccomp",
                fmt::format("{}", kSeccompFd), "--"});
  // Inside the name space only its own processes count, whoever the user is outside.
  if (!plan.user.exclusive)
    add(command, {"/usr/bin/prlimit", fmt::format("--nproc={}", plan.options.processes)});
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Descriptor::release() {
  return std::exchange(fd_, -1);
}

void Descriptor::reset() {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
}

SandboxUser sandbox_user(std::uint32_t number) {
  if (::geteuid() != 0)
    return {};
  // The range of ids that this user name space knows: "inside outside count" lines.
  std::uint32_t most = 0;
  std::FILE* const map = std::fopen("/proc/self/uid_map", "re");
  if (map != nullptr) {
    std::uint32_t inside = 0, outside = 0, count = 0;
    while (std::fscanf(map, "%u %u %u", &inside, &outside, &count) == 3)
      most = std::max(most, inside + (count - 1));
    std::fclose(map);
  }
  const auto process = static_cast<std::uint32_t>(::getpid());
  const std::uint32_t wanted =
      kUnusedUids + (process % 65536) * kUidsOfOneProcess + number % kUidsOfOneProcess;
  return most >= wanted ? SandboxUser{wanted, true} : SandboxUser{kNobody, false};
}

std::string new_sandbox_mark() {
  static std::atomic<std::uint32_t> n_made{0};
  return fmt::format("DLMBENCH_SANDBOX={}.{}", ::getpid(), n_made++);
}

std::vector<std::string> sandbox_command(const LaunchPlan& plan) {
  std::vector<std::string> command;
  if (plan.options.isolation == Isolation::kBubblewrap)
    add_bubblewrap(command, plan);
  // What -I stands for, but for PYTHONHASHSEED, which it would ignore: the environment holds
  // nothing else of Python's, -s is given, and the driver takes the working folder off the path.
  add(command, {plan.interpreter, "-s", "-S", "-B", "-c", embedded::sandbox_driver});
  return command;
}

Launched launch(const LaunchPlan& plan) {
  std::vector<std::string> command = sandbox_command(plan);
  // Sets of strings have the same order in every run and on every machine.
  std::vector<std::string> environment{
      "PATH=/usr/bin:/bin", "HOME=/tmp",         "TMPDIR=/tmp", "LANG=C.UTF-8",
      "PYTHONHASHSEED=0",   "OMP_NUM_THREADS=1", plan.mark};
  const std::vector<char*> argv = pointers_to(command);
  const std::vector<char*> envp = pointers_to(environment);
  const std::vector<Limit> limits = limits_of(plan);
  Descriptor nothing = moved_up(::open("/dev/null", O_RDWR | O_CLOEXEC));
  Pipe request = make_pipe(), report = make_pipe(), output = make_pipe(), filter = make_pipe();
  static const std::string kFilter = seccomp_filter();
  if (::write(filter.write.get(), kFilter.data(), kFilter.size()) != std::ssize(kFilter))
    unavailable("the system call filter", errno);
  filter.write.reset();
  const int out = output.write.get();
  const bool isolated = plan.options.isolation == Isolation::kBubblewrap;
  const ChildPlan child{argv.data(),
                        envp.data(),
                        plan.working_folder.empty() ? nullptr : plan.working_folder.c_str(),
                        limits,
                        {{{nothing.get(), 0},
                          {out, 1},
                          {out, 2},
                          {request.read.get(), kRequestFd},
                          {report.write.get(), kReportFd},
                          {isolated ? filter.read.get() : nothing.get(), kSeccompFd}}},
                        plan.user.uid,
                        ::getpid()};
  const Started started = start(child);
  if (started.process < 0 || started.error != 0) {
    if (started.process > 0)
      ::waitpid(started.process, nullptr, 0);
    unavailable(command.front(), started.error);
  }
  Launched launched;
  launched.process = started.process;
  const auto ended = static_cast<int>(::syscall(SYS_pidfd_open, started.process, 0));
  if (ended < 0)
    unavailable("pidfd_open", errno);
  launched.ended = moved_up(ended);
  launched.request = std::move(request.write);
  launched.report = std::move(report.read);
  launched.output = std::move(output.read);
  for (const Descriptor* own : {&launched.request, &launched.report, &launched.output})
    set_non_blocking(*own);
  return launched;
}

}  // namespace dlm
