#include "tests/support/process.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/data.h"

namespace dlm::testing {
namespace {

struct Streams {
  std::string in, out, err;  // files
};

void redirect(const std::string& path, int flags, int target) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0 || dup2(fd, target) < 0)
    _exit(127);
}

[[noreturn]] void become(const std::vector<std::string>& command, const ProcessOptions& options,
                         const Streams& streams) {
  redirect(streams.in, O_RDONLY, STDIN_FILENO);
  redirect(streams.out, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  redirect(streams.err, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  for (const auto& [name, value] : options.environment) {
    if (value.empty()) {
      unsetenv(name.c_str());
    } else {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  if (options.file_size_limit >= 0) {
    signal(SIGXFSZ, SIG_IGN);
    const auto bytes = static_cast<rlim_t>(options.file_size_limit);
    const rlimit limit{bytes, bytes};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
      _exit(127);
  }
  constexpr id_t kNobody = 65534;
  if (options.unprivileged && geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0))
    _exit(127);
  if (!options.folder.empty() && chdir(options.folder.c_str()) != 0)
    _exit(127);
  std::vector<char*> argv;
  for (const std::string& arg : command) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

pid_t spawn(const std::vector<std::string>& command, const ProcessOptions& options,
            const Streams& streams) {
  const pid_t child = fork();
  if (child < 0)
    throw std::runtime_error("fork failed");
  if (child == 0)
    become(command, options, streams);
  return child;
}

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

std::string program_path() {
  // Tests are built into build/X/tests/..., the program into build/X.
  return std::string(DLM_PROGRAM);
}

int wait_for(pid_t process) {
  int status = 0;
  if (waitpid(process, &status, 0) != process)
    throw std::runtime_error("waitpid failed");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t start_process(const std::vector<std::string>& command, const ProcessOptions& options) {
  return spawn(command, options, {"/dev/null", "/dev/null", "/dev/null"});
}

ProcessResult run_process(const std::vector<std::string>& command, const ProcessOptions& options) {
  const TemporaryFolder folder;
  const Streams streams{folder.file("in"), folder.file("out"), folder.file("err")};
  std::ofstream(streams.in, std::ios::binary) << options.input;
  ProcessResult result;
  result.code = wait_for(spawn(command, options, streams));
  result.out = read_file(streams.out);
  result.err = read_file(streams.err);
  return result;
}

ProcessResult dlmbench(const std::vector<std::string>& args, const ProcessOptions& options) {
  std::vector<std::string> command{program_path()};
  command.insert(command.end(), args.begin(), args.end());
  return run_process(command, options);
}

int killed_at_work(const std::vector<std::string>& command, const std::vector<double>& seconds) {
  int killed = 0;
  for (const double after : seconds) {
    const pid_t process = start_process(command);
    std::this_thread::sleep_for(std::chrono::duration<double>(after));
    kill(process, SIGKILL);
    killed += wait_for(process) == 128 + SIGKILL ? 1 : 0;
  }
  return killed;
}

}  // namespace dlm::testing
