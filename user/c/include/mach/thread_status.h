/* A thread's registers. */
#ifndef _MACH_THREAD_STATUS_H_
#define _MACH_THREAD_STATUS_H_

#include <mach/vm_types.h>

typedef struct x86_thread_state64 {
    uint64_t rax, rbx, rcx, rdx, rdi, rsi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
    uint64_t cs, fs, gs; /* 0, and not to be set */
} x86_thread_state64_t;

typedef int thread_state_flavor_t;
typedef natural_t *thread_state_t;

#define x86_THREAD_STATE64 4
#define x86_THREAD_STATE64_COUNT (sizeof(x86_thread_state64_t) / sizeof(natural_t))

#endif
