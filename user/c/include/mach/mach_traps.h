/* The calls that tell a program its own ports. */
#ifndef _MACH_MACH_TRAPS_H_
#define _MACH_MACH_TRAPS_H_

#include <mach/port.h>

#ifdef __cplusplus
extern "C" {
#endif

mach_port_t task_self(void);
port_t task_notify(void);
mach_port_t thread_self(void);
port_t thread_reply(void);

mach_port_t mach_task_self(void);
mach_port_t mach_thread_self(void);
mach_port_t mach_reply_port(void);

extern const vm_size_t vm_page_size;

#ifdef __cplusplus
}
#endif

#endif
