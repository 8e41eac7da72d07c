#include "tasks/sandbox/hostile_programs.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "tasks/sandbox/launch.h"

namespace dlm {
namespace {

using enum ExecStatus;

struct Row {
  const char* name;
  const char* tries;
  ExecStatus expected;
  const char* source;
  const char* checks = "pass";
};

// Names that the looking programs share. FILE and SOCKET are set in front of it.
constexpr const char* kHelpers = R"(
import os, sys
def blocked(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return True
    return False
def refused(call, *arguments):
    import ctypes
    return ctypes.CDLL(None, use_errno=True).syscall(call, *arguments) == -1
free = []
def must(is_blocked, what):
    if not is_blocked:
        free.append(what)
)";

constexpr const char* kNothingFree = "assert free == [], free";

constexpr std::array kExhaust{
    Row{"fork bomb", "processes without end, in all of them", kTimeout, R"(
while True:
    try:
        os.fork()
    except OSError:
        pass
)"},
    Row{"memory bomb", "memory without end", kCrashed, R"(
held = []
while True:
    held.append(b"x" * (1 << 24))
)"},
    Row{"memory bomb of many", "memory in many processes, none with much", kCrashed, R"(
import time
for i in range(30):
    if os.fork() == 0:
        held = b"x" * (50 << 20)
        time.sleep(60)
time.sleep(60)
)"},
    Row{"disk fill", "to fill /tmp and /dev/shm", kPassed, R"(
def fill(folder):
    written = 0
    try:
        for i in range(10000):
            with open(folder + "/" + str(i), "wb", buffering=0) as f:
                written += f.write(b"x" * (1 << 20))
    except OSError:
        pass
    return written
)",
        "assert 0 < fill('/tmp') <= 64 << 20 and 0 < fill('/dev/shm') <= 16 << 20"},
    Row{"one big file", "a file of 8 GiB", kPassed, R"(
def big():
    with open("/tmp/big", "wb") as f:
        f.truncate(8 << 30)
)",
        "assert blocked(big)"},
    Row{"output flood", "to print without end", kCrashed, R"(
while True:
    os.write(1, b"x" * 65536)
)"},
    Row{"verdict flood", "to hold up the supervisor by writing to it", kWrong, R"(
import threading
def flood():
    while True:
        os.write(4, b"X" * 65536)
for i in range(4):
    threading.Thread(target=flood).start()
)"},
    Row{"stops", "to be stopped and never go on", kTimeout,
        "import signal\nos.kill(os.getpid(), signal.SIGSTOP)"},
    Row{"open files", "file descriptors without end", kPassed, R"(
def many():
    return [os.open("/dev/null", os.O_RDONLY) for i in range(100000)]
)",
        "assert blocked(many)"},
    Row{"infinite loop", "time", kTimeout, "while True: pass"},
    Row{"sleep", "the clock's time without CPU time", kTimeout, "import time\ntime.sleep(600)"},
    Row{"swallowed timeout", "to go on after whatever interrupts it", kTimeout, R"(
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
)"},
    Row{"deep recursion", "the interpreter's stack", kWrong, "def f():\n    f()\nf()"},
    Row{"native recursion", "the machine's stack", kCrashed, R"(
sys.setrecursionlimit(1 << 30)
class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x")
def nest(depth):
    return [] if depth == 0 else repr(nest(depth - 1))
import ctypes
callback = ctypes.CFUNCTYPE(None)
@callback
def again():
    again()
again()
)"},
    Row{"segmentation fault", "to take the interpreter down", kCrashed,
        "import ctypes\nctypes.string_at(0)"},
};

constexpr std::array kReach{
    Row{"reads stdin", "to wait for the user", kWrong, "input()"},
    Row{"signals", "to kill its parent, its group, everything", kCrashed, R"(
import signal
for target in (os.getppid(), 1, 2):
    if target != os.getpid():
        try:
            os.kill(target, signal.SIGKILL)
        except OSError:
            pass
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
os.killpg(0, signal.SIGKILL)
)"},
    Row{"ptrace", "to trace other processes, to gain by the memory of process 1", kPassed, R"(
import platform
arm = platform.machine() == "aarch64"
for process in (1, os.getpid()):
    must(refused(117 if arm else 101, 16, process, 0, 0), "ptrace attach")
must(refused(271 if arm else 311, 1, 0, 0, 0, 0, 0), "process_vm_writev")
with open("/proc/1/status") as f:  # its memory can be written to: it must be worth nothing
    status = dict(line.split(":\t") for line in f.read().splitlines() if ":\t" in line)
must(set(status["CapPrm"] + status["CapBnd"]) == {"0"}, "capabilities of process 1")
must((status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), "system calls of process 1")
)",
        kNothingFree},
    Row{"privileged calls", "name spaces, mounts, keys, BPF, other users", kPassed, R"(
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
must(libc.unshare(0x10000000) == -1, "unshare user")
must(libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0) == -1, "mount")
must(libc.umount2(b"/tmp", 2) == -1, "umount")
must(libc.setns(0, 0) == -1, "setns")
import platform
clone = 220 if platform.machine() == "aarch64" else 56
must(refused(clone, 0x10000011, 0, 0, 0, 0), "clone user")
must(blocked(os.setuid, 0) and blocked(os.setgid, 0), "root")
must(blocked(os.chroot, "/tmp"), "chroot")
must(libc.shmget(0, 1 << 20, 0o1600) == -1, "shmget")
must(libc.memfd_create(b"x", 0) == -1, "memfd")
must(blocked(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)), "real time")
)",
        kNothingFree},
    Row{"network", "internet, raw, netlink and hypervisor sockets", kPassed, R"(
import socket
for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM),
                     (socket.AF_INET, socket.SOCK_RAW), (socket.AF_NETLINK, socket.SOCK_RAW),
                     (socket.AF_PACKET, socket.SOCK_RAW), (40, socket.SOCK_STREAM)):
    must(blocked(socket.socket, family, kind), "socket %d" % family)
with open("/proc/net/dev") as f:
    must([line.split(":")[0].strip() for line in f][2:] in ([], ["lo"]), "network devices")
)",
        kNothingFree},
    Row{"local sockets", "sockets of other programs, abstract ones too", kPassed, R"(
import socket
must(blocked(socket.socket(socket.AF_UNIX).connect, "\0" + SOCKET), "abstract socket")
must(blocked(socket.socket(socket.AF_UNIX).connect, "/run/dbus/system_bus_socket"), "bus")
with open("/proc/net/unix") as f:
    must(SOCKET not in f.read(), "list of sockets")
)",
        kNothingFree},
    Row{"reads home", "files of the user and the system", kPassed, R"(
for path in (FILE, "/root", "/home", "/etc/passwd", "/etc/shadow", "/var", "/run", "/sys", "/boot",
             "/dev/sda", "/dev/vda", "/dev/mem", "/dev/kmsg", "/proc/kcore"):
    must(blocked(os.listdir if os.path.isdir(path) else open, path), path)
must(set(os.environ) <= {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "PYTHONHASHSEED",
                         "OMP_NUM_THREADS", "PWD", "DLMBENCH_SANDBOX"}, "environment")
)",
        kNothingFree},
    Row{"reads /proc", "other processes", kPassed, R"(
processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
must(len(processes) <= 3 and max(processes) < 100, "processes %s" % processes)
)",
        kNothingFree},
    Row{"writes outside", "files outside /tmp", kPassed, R"(
for path in ("/x", "/usr/x", "/usr/bin/python3", "/usr/lib/x", "/dev/x", "/proc/x", "/proc/sysrq-trigger",
             "/proc/sys/kernel/hostname", "/etc/x"):
    must(blocked(open, path, "w"), path)
must(blocked(os.chmod, "/usr/bin/python3", 0o777), "chmod")
must(blocked(os.remove, "/usr/bin/python3"), "remove")
must(blocked(os.rename, "/usr", "/tmp/usr"), "rename")
)",
        kNothingFree},
    Row{"links", "to get out by links and /proc", kPassed, R"(
def through(target, mode):
    link = "/tmp/link%d" % len(os.listdir("/tmp"))
    os.symlink(target, link)
    open(link, mode).close()
must(blocked(through, FILE, "r"), "read by a link")
must(blocked(through, "/usr/bin/python3", "r+b"), "write by a link")
must(blocked(through, "/proc/1/root" + FILE, "r"), "by the root of process 1")
must(blocked(through, "/proc/self/root/.." + FILE, "r"), "above the root")
must(blocked(through, "/proc/1/cwd/../../../.." + FILE, "r"), "by the folder of process 1")
must(blocked(os.link, "/usr/bin/python3", "/tmp/python"), "hard link")
must(blocked(os.mknod, "/tmp/disk", 0o60666, os.makedev(254, 0)), "device")
)",
        kNothingFree},
};

constexpr std::array kOutlive{
    Row{"threads", "threads that outlive the program", kPassed, R"(
import threading
def spin():
    while True:
        pass
for i in range(4):
    threading.Thread(target=spin).start()
)"},
    Row{"daemon", "a process that leaves: fork, setsid, fork", kPassed, R"(
import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(0.01)
    os._exit(0)
)"},
    Row{"closes streams", "to be out of reach: closes every descriptor", kCrashed,
        "os.closerange(0, 1000)"},
    Row{"closes stdout", "closes input and output, then answers well", kPassed,
        "for fd in (0, 1, 2):\n    os.close(fd)"},
};

constexpr const char* kNeverRight = "assert f() == 1";

// Programs whose answer is wrong and that want it taken for right.
constexpr std::array kPretend{
    Row{"sys.exit(0)", "to end well before the checks", kWrong, "sys.exit(0)"},
    Row{"SystemExit('passed')", "the same with a message", kWrong, "raise SystemExit('passed')"},
    Row{"os._exit(0)", "to end at once", kCrashed, "os._exit(0)"},
    Row{"os._exit(0) in a check", "to end at once when called", kCrashed,
        "def f():\n    os._exit(0)", kNeverRight},
    Row{"exits in a child", "a child ends well, its parent is killed", kCrashed, R"(
if os.fork() == 0:
    os._exit(0)
os.abort()
)"},
    Row{"prints passed", "to print the verdict on every stream", kCrashed, R"(
def f():
    for fd in range(1, 16):
        try:
            os.write(fd, b"passed\n")
        except OSError:
            pass
)",
        kNeverRight},
    Row{"patched asserts", "to change what assert raises and compares", kWrong, R"(
import builtins
class Calm(BaseException):
    def __new__(cls, *arguments):
        sys.exit(0)
builtins.AssertionError = Calm
builtins.abs = builtins.len = builtins.sum = lambda *arguments: 1
def f():
    return -2
)",
        "assert abs(f()) == 1"},
    Row{"own builtins", "globals with the names of builtins that checks use", kWrong, R"(
def all(values): return True
def isinstance(value, kind): return True
def f(): return [0]
)",
        "assert all(f()) and isinstance(f(), int)"},
    Row{"patched exec", "to change what runs the checks", kWrong, R"(
import builtins
builtins.exec = builtins.compile = lambda *arguments, **named: None
def f(): return 0
)",
        kNeverRight},
    Row{"exit handlers", "to exit well at the end", kWrong, R"(
import atexit
atexit.register(os._exit, 0)
sys.excepthook = lambda *arguments: os._exit(0)
def f(): return 0
)",
        kNeverRight},
    Row{"tracing", "to skip lines of the checks by a tracer", kWrong, R"(
def tracer(frame, event, argument):
    if event == "line":
        frame.f_lineno = 2
    return tracer
sys.settrace(tracer)
def f(): return 0
)",
        "pass\nassert f() == 1\npass"},
    Row{"copies descriptors", "to answer the supervisor with what it sends", kCrashed, R"(
def f():
    os.write(4, b"E")
    os.write(4, b"A" + os.read(3, 100))
)",
        kNeverRight},
    Row{"closes the request", "to end the supervisor by what it sends to nobody", kCrashed, R"(
import time
os.close(3)
os.write(4, b"E")
time.sleep(3)
)"},
    Row{"ends with an open string", "to make the checks part of a string", kWrong,
        "def f(): return 0\nx = '''", "'''\nassert f() == 1"},
};

SandboxProgram program_of(const Row& row, const HostileTargets& targets) {
  return {fmt::format("FILE = '{}'\nSOCKET = '{}'\n{}{}", targets.readable_file,
                      targets.abstract_socket, kHelpers, row.source),
          row.checks,
          {}};
}

// A local socket that listens, and a file: what the programs are not to reach.
class Targets {
 public:
  Targets() : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "dlmbench-target-XXXXXX").string();
    const Descriptor file(::mkostemp(pattern.data(), O_CLOEXEC));
    names_.readable_file = pattern;
    names_.abstract_socket = std::filesystem::path(pattern).filename().string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    names_.abstract_socket.copy(address.sun_path + 1, sizeof address.sun_path - 2);
    const std::size_t size = offsetof(sockaddr_un, sun_path) + 1 + names_.abstract_socket.size();
    const bool made = file.get() >= 0 &&
                      ::write(file.get(), kContent.data(), kContent.size()) > 0 &&
                      ::fchmod(file.get(), 0644) == 0 && socket_.get() >= 0 &&
                      ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                             static_cast<socklen_t>(size)) == 0 &&
                      ::listen(socket_.get(), 4) == 0;
    if (!made)
      throw ConfigError("TMPDIR", pattern, "a folder where files can be made");
  }

  Targets(const Targets&) = delete;
  Targets& operator=(const Targets&) = delete;

  ~Targets() { ::unlink(names_.readable_file.c_str()); }

  const HostileTargets& names() const { return names_; }

  bool file_intact() const {
    std::ifstream file(names_.readable_file);
    std::ostringstream content;
    content << file.rdbuf();
    return content.str() == kContent;
  }

 private:
  static constexpr std::string_view kContent = "not for programs\n";
  HostileTargets names_;
  Descriptor socket_;
};

}  // namespace

std::vector<HostileProgram> hostile_programs(const HostileTargets& targets) {
  std::vector<HostileProgram> programs;
  const auto add = [&](const auto& rows) {
    for (const Row& row : rows)
      programs.push_back({row.name, row.tries, program_of(row, targets), row.expected});
  };
  add(kExhaust);
  add(kReach);
  add(kOutlive);
  add(kPretend);
  return programs;
}

bool Battery::held() const {
  return left_behind == 0 && file_intact && std::ranges::all_of(rows, &BatteryRow::held);
}

SandboxOptions battery_options() {
  SandboxOptions options;
  options.time_limit_seconds = 1;
  options.memory_bytes = std::int64_t{256} << 20;
  options.address_space_bytes = std::int64_t{3} << 30;
  options.processes = 36;  // a fork bomb of interpreters of 6 MB stays within the memory
  return options;
}

Battery run_battery(Sandbox& sandbox) {
  const Targets targets;
  Battery battery;
  std::vector<SandboxProgram> programs;
  for (HostileProgram& hostile : hostile_programs(targets.names())) {
    programs.push_back(hostile.program);
    battery.rows.push_back({std::move(hostile), {}});
  }
  const std::vector<ExecResult> results = sandbox.run(programs);
  for (std::size_t i = 0; i < results.size(); ++i) battery.rows[i].result = results[i];
  battery.file_intact = targets.file_intact();
  battery.left_behind = sandbox.count_strays();
  return battery;
}

}  // namespace dlm
