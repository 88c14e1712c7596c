/* What Mach's routines take and give. */
#ifndef _MACH_MACH_TYPES_H_
#define _MACH_MACH_TYPES_H_

#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/message.h>
#include <mach/port.h>
#include <mach/task_special_ports.h>
#include <mach/thread_special_ports.h>
#include <mach/thread_status.h>
#include <mach/vm_inherit.h>
#include <mach/vm_prot.h>
#include <mach/vm_statistics.h>
#include <mach/vm_types.h>

typedef mach_port_t task_t;
typedef task_t ipc_space_t;
typedef task_t vm_task_t;
typedef task_t vm_map_t;
typedef mach_port_t thread_t;
typedef thread_t *thread_array_t;
typedef mach_port_t thread_act_t;
typedef thread_t *thread_act_array_t;
typedef mach_port_t memory_object_t;
typedef mach_port_t mem_entry_name_port_t;

#define TASK_NULL ((task_t)0)
#define THREAD_NULL ((thread_t)0)
#define MEMORY_OBJECT_NULL ((memory_object_t)0)

#define TASK_PORT_REGISTER_MAX 4

#endif
