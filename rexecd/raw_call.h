/*
 * System calls without the C library: for a child that shares its parent's memory while the parent
 * runs on. The library's wrappers would write the errno that is the parent's, too.
 */
#ifndef REXEC_REXECD_RAW_CALL_H
#define REXEC_REXECD_RAW_CALL_H

#include <stdint.h>

/* clone3(2)'s arguments, as far as cgroups go (Linux 5.7); headers may be older. */
struct raw_clone {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

#define RAW_CLONE_INTO_CGROUP UINT64_C(0x200000000)

#if defined(__x86_64__)

#define RAW_CALL_PARENT_RUNS 1

/* The result, or -errno. */
static inline __attribute__((always_inline)) long raw_call(long number, long a, long b, long c,
                                                           long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

#define RAW_CALL_CLONE3 1

/* The child begins with run(context) on its stack, and must not return. Its pid, or -errno. */
static inline __attribute__((always_inline)) long raw_clone3(long number,
                                                             const struct raw_clone *how,
                                                             int (*run)(void *), void *context)
{
    long result;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "mov %[context], %%rdi\n\t"
                     "call *%[run]\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "0"(number), "D"(how),
                       "S"(sizeof *how), [run] "r"(run), [context] "r"(context)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

#elif defined(__aarch64__)

#define RAW_CALL_PARENT_RUNS 1

static inline __attribute__((always_inline)) long raw_call(long number, long a, long b, long c,
                                                           long d, long e)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "memory", "cc");
    return x0;
}

#define RAW_CALL_CLONE3 1

static inline __attribute__((always_inline)) long raw_clone3(long number,
                                                             const struct raw_clone *how,
                                                             int (*run)(void *), void *context)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = (long)(uintptr_t)how;
    register long x1 __asm__("x1") = sizeof *how;
    register int (*x19)(void *) __asm__("x19") = run;
    register void *x20 __asm__("x20") = context;
    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x0, x20\n\t"
                     "blr x19\n\t"
                     "brk 0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x19), "r"(x20)
                     : "memory", "cc");
    return x0;
}

#else

#include <errno.h>
#include <unistd.h>

/* Elsewhere the parent waits (CLONE_VFORK), and the library's calls do. */
#define RAW_CALL_PARENT_RUNS 0
#define RAW_CALL_CLONE3 0

static inline __attribute__((always_inline)) long raw_call(long number, long a, long b, long c,
                                                           long d, long e)
{
    long result = syscall(number, a, b, c, d, e);
    return result < 0 ? -errno : result;
}

#endif

#endif
