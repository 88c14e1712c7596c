/* Mach 2.5's routines on ports, and those on memory, tasks and threads, which Mach 3 has, too. What comes as
 * an array is the caller's to vm_deallocate. */
#ifndef _MACH_MACH_INTERFACE_H_
#define _MACH_MACH_INTERFACE_H_

#include <mach/mach_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Ports. port_deallocate gives up all that the name stands for. */
kern_return_t port_allocate(task_t task, port_name_t *port_name);
kern_return_t port_deallocate(task_t task, port_name_t port_name);
kern_return_t port_status(task_t task, port_name_t port_name, port_set_name_t *enabled, int *num_msgs, int *backlog,
                          boolean_t *ownership, boolean_t *receive_rights);
kern_return_t port_set_backlog(task_t task, port_name_t port_name, int backlog);
kern_return_t port_set_backup(task_t task, port_name_t primary, port_t backup, port_t *previous);
kern_return_t port_type(task_t task, port_name_t port_name, port_type_t *port_type);
kern_return_t port_rename(task_t task, port_name_t old_name, port_name_t new_name);
kern_return_t port_names(task_t task, port_name_array_t *port_names, unsigned int *port_namesCnt,
                         port_type_array_t *port_types, unsigned int *port_typesCnt);
kern_return_t port_set_allocate(task_t task, port_set_name_t *set_name);
kern_return_t port_set_deallocate(task_t task, port_set_name_t set_name);
kern_return_t port_set_add(task_t task, port_set_name_t set_name, port_name_t port_name);
kern_return_t port_set_remove(task_t task, port_name_t port_name);
kern_return_t port_set_status(task_t task, port_set_name_t set_name, port_name_array_t *members,
                              unsigned int *membersCnt);
kern_return_t port_insert_send(task_t task, port_t my_port, port_name_t his_name);
kern_return_t port_insert_receive(task_t task, port_t my_port, port_name_t his_name);
kern_return_t port_extract_send(task_t task, port_name_t his_name, port_t *his_port);
kern_return_t port_extract_receive(task_t task, port_name_t his_name, port_t *his_port);

/* Portolan's: what becomes of a message for which a port has no place, whatever its sender wants; */
#define PORT_FULL_SENDER 0 /* as the sender wants */
#define PORT_FULL_REFUSE 1
#define PORT_FULL_DROP_OLDEST 2
#define PORT_FULL_DROP_NEWEST 3
#define PORT_FULL_REPLACE 4 /* the one with the same id */
kern_return_t port_set_full(task_t task, port_name_t port_name, unsigned int answer);

/* and as in which generation of Mach a right behaves there. */
#define PORT_GENERATION_PORTOLAN 0
#define PORT_GENERATION_MACH25 1
#define PORT_GENERATION_MACH3 2
#define PORT_GENERATION_XNU 3
kern_return_t port_set_generation(task_t task, port_name_t port_name, unsigned int generation);

/* Memory. vm_map maps a memory object's port, such as memory_object_create gives. */
kern_return_t vm_allocate(vm_task_t task, vm_address_t *address, vm_size_t size, boolean_t anywhere);
kern_return_t vm_deallocate(vm_task_t task, vm_address_t address, vm_size_t size);
kern_return_t vm_protect(vm_task_t task, vm_address_t address, vm_size_t size, boolean_t set_maximum,
                         vm_prot_t new_protection);
kern_return_t vm_inherit(vm_task_t task, vm_address_t address, vm_size_t size, vm_inherit_t new_inheritance);
kern_return_t vm_read(vm_task_t task, vm_address_t address, vm_size_t size, vm_offset_t *data, unsigned int *count);
kern_return_t vm_write(vm_task_t task, vm_address_t address, vm_offset_t data, unsigned int count);
kern_return_t vm_copy(vm_task_t task, vm_address_t source, vm_size_t count, vm_address_t dest);
kern_return_t vm_region(vm_task_t task, vm_address_t *address, vm_size_t *size, vm_prot_t *protection,
                        vm_prot_t *max_protection, vm_inherit_t *inheritance, boolean_t *shared,
                        mach_port_t *object_name, vm_offset_t *offset);
kern_return_t vm_statistics(vm_task_t task, vm_statistics_data_t *vm_stats);
kern_return_t vm_map(vm_task_t task, vm_address_t *address, vm_size_t size, vm_address_t mask, boolean_t anywhere,
                     memory_object_t memory_object, vm_offset_t offset, boolean_t copy, vm_prot_t cur_protection,
                     vm_prot_t max_protection, vm_inherit_t inheritance);
kern_return_t memory_object_create(task_t task, vm_size_t size, memory_object_t *memory_object);

/* Tasks. A child may spend half of what its parent has left. */
kern_return_t task_create(task_t parent_task, boolean_t inherit_memory, task_t *child_task);
kern_return_t task_terminate(task_t task);
kern_return_t task_suspend(task_t task);
kern_return_t task_resume(task_t task);
kern_return_t task_threads(task_t task, thread_array_t *thread_list, unsigned int *thread_count);
kern_return_t task_get_special_port(task_t task, int which_port, mach_port_t *special_port);
kern_return_t task_set_special_port(task_t task, int which_port, mach_port_t special_port);
kern_return_t mach_ports_register(task_t task, mach_port_array_t init_port_set, unsigned int init_port_setCnt);
kern_return_t mach_ports_lookup(task_t task, mach_port_array_t *init_port_set, unsigned int *init_port_setCnt);

/* Threads. One made by thread_create is no thread of C: it may call nothing that needs an errno. */
kern_return_t thread_create(task_t task, thread_t *thread);
kern_return_t thread_terminate(thread_t thread);
kern_return_t thread_suspend(thread_t thread);
kern_return_t thread_resume(thread_t thread);
kern_return_t thread_abort(thread_t thread);
kern_return_t thread_get_state(thread_t thread, int flavor, thread_state_t state, mach_msg_type_number_t *count);
kern_return_t thread_set_state(thread_t thread, int flavor, thread_state_t state, mach_msg_type_number_t count);
kern_return_t thread_get_special_port(thread_t thread, int which_port, mach_port_t *special_port);
kern_return_t thread_set_special_port(thread_t thread, int which_port, mach_port_t special_port);
kern_return_t thread_switch(mach_port_t new_thread, int option, int option_time);

#ifdef __cplusplus
}
#endif

#endif
