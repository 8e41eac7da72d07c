#include "tasks/sandbox/seccomp_filter.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "harness/base/error.h"

#if defined(__x86_64__)
#define DLM_SECCOMP_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define DLM_SECCOMP_ARCH AUDIT_ARCH_AARCH64
#else
#error "the sandbox knows the system calls of x86-64 and aarch64"
#endif

namespace dlm {
namespace {

constexpr std::uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// Numbers that these kernel headers may not know yet; the same on both architectures.
constexpr std::uint32_t kMemfdSecret = 447;
constexpr std::uint32_t kMountSetattr = 442;
constexpr std::uint32_t kLowestUnknown = 452;  // newer than what was looked at: refused

constexpr std::array kDenied {
  // Other processes.
  SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd,
      SYS_process_madvise, SYS_migrate_pages, SYS_move_pages, SYS_perf_event_open,
      // Name spaces and file systems.
      SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount,
      SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_name_to_handle_at,
      SYS_open_by_handle_at, SYS_fanotify_init, SYS_quotactl, SYS_swapon, SYS_swapoff,
      // The kernel.
      SYS_bpf, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
      SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load,
      SYS_reboot, SYS_syslog, SYS_acct, SYS_personality, SYS_add_key, SYS_request_key, SYS_keyctl,
      SYS_vhangup, SYS_lookup_dcookie, SYS_nfsservctl,
      // Clocks and names of the machine.
      SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname,
      SYS_setdomainname,
      // Memory that no limit of a process counts.
      SYS_memfd_create, SYS_shmget, SYS_shmat, SYS_shmctl, SYS_msgget, SYS_msgsnd, SYS_semget,
      SYS_mq_open,
#if defined(__x86_64__)
      SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl,
      SYS_create_module, SYS_get_kernel_syms, SYS_query_module,
#endif
};

class Assembler {
 public:
  void load(std::size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset));
  }

  // Returns `verdict` where the loaded word equals (masked: shares a bit with, ...) `value`.
  void if_equal(std::uint32_t value, std::uint32_t verdict) { test(BPF_JEQ, value, verdict, true); }

  void unless_equal(std::uint32_t value, std::uint32_t verdict) {
    test(BPF_JEQ, value, verdict, false);
  }

  void if_at_least(std::uint32_t value, std::uint32_t verdict) {
    test(BPF_JGE, value, verdict, true);
  }

  void if_any_bit(std::uint32_t value, std::uint32_t verdict) {
    test(BPF_JSET, value, verdict, true);
  }

  // The next `count` instructions are for calls of number `value` only.
  void skip_unless_call(std::uint32_t value, std::uint8_t count) {
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, count, value);
  }

  void verdict(std::uint32_t value) { add(BPF_RET | BPF_K, 0, 0, value); }

  std::string bytes() const {
    const auto* data = reinterpret_cast<const char*>(code_.data());
    return {data, code_.size() * sizeof(sock_filter)};
  }

 private:
  void add(int code, std::uint8_t if_true, std::uint8_t if_false, std::uint32_t value) {
    code_.push_back({static_cast<std::uint16_t>(code), if_true, if_false, value});
  }

  void test(int comparison, std::uint32_t value, std::uint32_t outcome, bool when) {
    const std::uint8_t over = 1;
    const int jump = BPF_JMP | comparison | BPF_K;
    add(jump, when ? 0 : over, when ? over : 0, value);
    verdict(outcome);
  }

  std::vector<sock_filter> code_;
};

constexpr std::uint32_t refuse(int error) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

}  // namespace

std::string seccomp_filter() {
  Assembler filter;
  filter.load(offsetof(seccomp_data, arch));
  filter.unless_equal(DLM_SECCOMP_ARCH, SECCOMP_RET_KILL_PROCESS);
  filter.load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  filter.if_at_least(0x40000000U, SECCOMP_RET_KILL_PROCESS);  // the x32 table
#endif
  filter.if_at_least(kLowestUnknown, refuse(ENOSYS));
  filter.if_equal(SYS_clone3, refuse(ENOSYS));
  for (const long call : kDenied) filter.if_equal(static_cast<std::uint32_t>(call), refuse(EPERM));
  filter.if_equal(kMemfdSecret, refuse(EPERM));
  filter.if_equal(kMountSetattr, refuse(EPERM));
  // A local socket is what event loops and process pools are built on; others could reach the
  // hypervisor (vsock) or the kernel (netlink), which a network name space does not cut off.
  filter.skip_unless_call(SYS_socket, 4);
  filter.load(offsetof(seccomp_data, args[0]));
  filter.unless_equal(AF_UNIX, refuse(EPERM));
  filter.load(offsetof(seccomp_data, nr));
  filter.skip_unless_call(SYS_clone, 3);
  filter.load(offsetof(seccomp_data, args[0]));
  filter.if_any_bit(kNewNamespaces, refuse(EPERM));
  filter.verdict(SECCOMP_RET_ALLOW);
  return filter.bytes();
}

}  // namespace dlm
