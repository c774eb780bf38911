"""System calls planted in another process, by ptrace: what could code that got into it do?

    with Traced(argv, fds={3: sock}) as process:     # a child that is traced from its first instruction
        ...                                          # it runs; talk to it
        result = process.call("openat", AT_FDCWD, b"/etc/passwd", 0)

A bytes argument is put into the process's memory and its address passed; that takes CAP_SYS_PTRACE where the
process is not dumpable. The result is the call's (-errno for an error), or Killed(signal).
"""

import ctypes
import errno
import os
import platform
import signal
import struct

MACHINE = platform.machine()
SUPPORTED = MACHINE in ("x86_64", "aarch64")

TRACEME, PEEKTEXT, POKEDATA, CONT, SINGLESTEP, ATTACH, DETACH = 0, 1, 5, 7, 9, 16, 17
GETREGSET, SETREGSET, SETOPTIONS = 0x4204, 0x4205, 0x4200
NT_PRSTATUS, NT_ARM_SYSTEM_CALL, EXITKILL, WALL = 1, 0x404, 0x100000, 0x40000000
SCRATCH = 16384     # below the stack pointer

# The kernel's numbers: x86_64, and the list that newer machines share. None: there is no such call.
NUMBERS = {
    "read": (0, 63), "write": (1, 64), "open": (2, None), "stat": (4, None), "mmap": (9, 222), "mprotect": (10, 226),
    "rt_sigaction": (13, 134), "ioctl": (16, 29), "pipe2": (293, 59), "dup": (32, 23), "dup2": (33, None),
    "getpid": (39, 172), "sendfile": (40, 71), "socket": (41, 198), "connect": (42, 203), "accept4": (288, 242),
    "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269), "shutdown": (48, 210), "bind": (49, 200),
    "listen": (50, 201), "socketpair": (53, 199), "setsockopt": (54, 208), "clone": (56, 220), "fork": (57, None),
    "vfork": (58, None), "execve": (59, 221), "kill": (62, 129), "fcntl": (72, 25), "truncate": (76, 45),
    "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "rename": (82, None), "mkdir": (83, None),
    "creat": (85, None), "link": (86, None), "unlink": (87, None), "symlink": (88, None), "chmod": (90, None),
    "chown": (92, None), "umask": (95, 166), "ptrace": (101, 117), "setuid": (105, 146), "setgid": (106, 144),
    "setpgid": (109, 154), "setsid": (112, 157), "setgroups": (116, 159), "setresuid": (117, 147),
    "capset": (126, 91), "personality": (135, 92), "prctl": (157, 167), "arch_prctl": (158, None),
    "setrlimit": (160, 164), "chroot": (161, 51), "mount": (165, 40), "umount2": (166, 39), "reboot": (169, 142),
    "sethostname": (170, 161), "init_module": (175, 105), "tkill": (200, 130), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "openat": (257, 56), "mkdirat": (258, 34),
    "unlinkat": (263, 35), "renameat": (264, 38), "linkat": (265, 37), "symlinkat": (266, 36), "unshare": (272, 97),
    "splice": (275, 76), "vmsplice": (278, 75), "tgkill": (234, 131), "signalfd4": (289, 74), "eventfd2": (290, 19),
    "perf_event_open": (298, 241), "prlimit64": (302, 261), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "setns": (308, 268), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kcmp": (312, 272), "finit_module": (313, 273), "seccomp": (317, 277),
    "memfd_create": (319, 279), "kexec_file_load": (320, 294), "bpf": (321, 280), "execveat": (322, 281),
    "userfaultfd": (323, 282), "pkey_mprotect": (329, 288), "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "pidfd_open": (434, 434), "clone3": (435, 435), "openat2": (437, 437),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "landlock_create_ruleset": (444, 444),
    "memfd_secret": (447, 447), "mknodat": (259, 33), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    "shmget": (29, 194), "msgget": (68, 186), "mq_open": (240, 180), "timer_create": (222, 107),
    "rt_sigqueueinfo": (129, 138), "sched_setaffinity": (203, 122), "setpriority": (141, 140), "acct": (163, 89),
}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def number(name):
    """The system call's number here, or None."""
    return NUMBERS[name][0 if MACHINE == "x86_64" else 1]


def ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno() != 0:
        raise OSError(ctypes.get_errno(), "ptrace: " + os.strerror(ctypes.get_errno()))
    return result


class Killed(int):
    """Not a result: the signal that ended the process."""

    def __repr__(self):
        return f"killed by {signal.Signals(self).name}"


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


# user_regs_struct, by position of its 64-bit words.
X86 = {"rax": 10, "orig_rax": 15, "rip": 16, "rsp": 19}
X86_ARGUMENTS = (14, 13, 12, 7, 9, 8)       # rdi rsi rdx r10 r8 r9


class Stopped:
    """A process that is stopped and traced by this thread."""

    def __init__(self, pid):
        self.pid = pid

    def registers(self):
        words = (ctypes.c_uint64 * 64)()
        vector = Iovec(ctypes.addressof(words), ctypes.sizeof(words))
        ptrace(GETREGSET, self.pid, NT_PRSTATUS, ctypes.addressof(vector))
        return list(words)[:vector.len // 8]

    def set_registers(self, values):
        words = (ctypes.c_uint64 * len(values))(*values)
        vector = Iovec(ctypes.addressof(words), ctypes.sizeof(words))
        ptrace(SETREGSET, self.pid, NT_PRSTATUS, ctypes.addressof(vector))

    def write(self, address, data):
        data += bytes(-len(data) % 8)
        for at in range(0, len(data), 8):
            ptrace(POKEDATA, self.pid, address + at, struct.unpack_from("=Q", data, at)[0])

    def wait(self):
        """How it stands after a step: None if it is stopped, else the end."""
        _, status = os.waitpid(self.pid, WALL)
        if os.WIFSTOPPED(status):
            return None
        return Killed(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else SystemExit(os.WEXITSTATUS(status))

    def kill(self):
        """Ends it, and lets its parent see that."""
        os.kill(self.pid, signal.SIGKILL)
        while self.wait() is None:
            ptrace(CONT, self.pid)

    def place(self, arguments, stack):
        """bytes into memory, and all as numbers."""
        address, numbers = (stack - SCRATCH) & ~15, []
        for argument in arguments:
            if callable(argument):
                argument = argument(address)    # what holds addresses of itself
            if isinstance(argument, bytes):
                if os.geteuid() == 0:           # else what lies there must do
                    self.write(address, argument + b"\0")
                numbers.append(address)
                address += (len(argument) + 32) & ~15
            else:
                numbers.append(argument & 0xffffffffffffffff)
        return numbers + [0] * (6 - len(numbers))

    def stack(self):
        return self.registers()[X86["rsp"] if MACHINE == "x86_64" else 31]

    def call(self, name, *arguments, instruction=None):
        """One system call, at the place of the one that the process is stopped in; `name` may be a number, and
        `instruction` another one of its size to do it by."""
        values = self.registers()
        nr = name if isinstance(name, int) else number(name)
        if MACHINE == "x86_64":
            numbers = self.place(arguments, values[X86["rsp"]])
            for position, value in zip(X86_ARGUMENTS, numbers):
                values[position] = value
            values[X86["rax"]], values[X86["orig_rax"]] = nr, 0xffffffffffffffff
            values[X86["rip"]] -= 2             # the syscall instruction
            if instruction is not None:
                place = values[X86["rip"]]
                word = struct.pack("=q", ptrace(PEEKTEXT, self.pid, place))
                self.write(place, instruction + word[len(instruction):])
        else:
            numbers = self.place(arguments, values[31])
            values[:6] = numbers
            values[8] = nr
            values[32] -= 4                     # svc #0
            self.forget_call()
        self.set_registers(values)
        ptrace(SINGLESTEP, self.pid)
        end = self.wait()
        if end is not None:
            return end
        after = self.registers()
        result = after[X86["rax"]] if MACHINE == "x86_64" else after[0]
        return result - (1 << 64) if result >> 63 else result

    def forget_call(self):
        """So that the interrupted call is not started again (64-bit ARM)."""
        value = ctypes.c_int(-1)
        vector = Iovec(ctypes.addressof(value), ctypes.sizeof(value))
        ptrace(SETREGSET, self.pid, NT_ARM_SYSTEM_CALL, ctypes.addressof(vector))


class Traced(Stopped):
    """A child, traced from the start; `fds` are its descriptors, by number. `before` runs in it first."""

    def __init__(self, argv, executable, fds, before=None):
        pid = os.fork()
        if pid == 0:
            try:
                self.become(argv, executable, fds, before)
            finally:
                os._exit(127)
        super().__init__(pid)
        self.stopped = False
        self.ended = self.wait()
        if self.ended is None:
            ptrace(SETOPTIONS, pid, 0, EXITKILL)
            ptrace(CONT, pid)

    @staticmethod
    def become(argv, executable, fds, before):
        high = {target: os.dup2(fd, 100 + target) for target, fd in fds.items()}
        for target, fd in high.items():
            os.dup2(fd, target)
        os.closerange(max(fds) + 1, 1024)
        if before is not None:
            before()
        libc.ptrace(TRACEME, 0, None, None)
        os.execve(executable, argv, {name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")})

    def stop(self):
        """Stops it where it waits for something."""
        if not self.stopped:
            os.kill(self.pid, signal.SIGSTOP)
            self.ended = self.wait()
            self.stopped = True

    def call(self, name, *arguments, **more):
        self.stop()
        if self.ended is not None:
            return self.ended
        result = super().call(name, *arguments, **more)
        if isinstance(result, (Killed, SystemExit)):
            self.ended = result
        return result

    def close(self):
        if self.ended is None:
            self.kill()
            self.ended = Killed(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def attach(pid):
    """Somebody else's process, stopped in whatever it waits in. Takes CAP_SYS_PTRACE if it is not dumpable."""
    ptrace(ATTACH, pid)
    process = Stopped(pid)
    process.wait()
    return process


def refused(result):
    """Killed for the attempt, or told that it may not."""
    return isinstance(result, Killed) and result == signal.SIGSYS or result in (-errno.EPERM, -errno.EACCES)
