/* Mach 3's routines on ports. What comes as an array is the caller's to vm_deallocate. */
#ifndef _MACH_MACH_PORT_H_
#define _MACH_MACH_PORT_H_

#include <mach/mach_types.h>

#ifdef __cplusplus
extern "C" {
#endif

kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_t *name);
kern_return_t mach_port_allocate_name(ipc_space_t task, mach_port_right_t right, mach_port_t name);
kern_return_t mach_port_destroy(ipc_space_t task, mach_port_t name);
kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_t name);
kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_t name, mach_port_right_t right, mach_port_urefs_t *refs);
kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_t name, mach_port_right_t right, mach_port_delta_t delta);
kern_return_t mach_port_type(ipc_space_t task, mach_port_t name, mach_port_type_t *ptype);
kern_return_t mach_port_rename(ipc_space_t task, mach_port_t old_name, mach_port_t new_name);
kern_return_t mach_port_names(ipc_space_t task, mach_port_array_t *names, mach_msg_type_number_t *namesCnt,
                              mach_port_type_array_t *types, mach_msg_type_number_t *typesCnt);
kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_t name, mach_port_t right,
                                     mach_msg_type_name_t right_type);
kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_t name, mach_msg_type_name_t desired_type,
                                      mach_port_t *right, mach_msg_type_name_t *acquired_type);
kern_return_t mach_port_get_receive_status(ipc_space_t task, mach_port_t name, mach_port_status_t *status);
kern_return_t mach_port_get_attributes(ipc_space_t task, mach_port_t name, mach_port_flavor_t flavor,
                                       mach_port_info_t info, mach_msg_type_number_t *infoCnt);
kern_return_t mach_port_set_attributes(ipc_space_t task, mach_port_t name, mach_port_flavor_t flavor,
                                       mach_port_info_t info, mach_msg_type_number_t infoCnt);
kern_return_t mach_port_set_qlimit(ipc_space_t task, mach_port_t name, mach_port_msgcount_t qlimit);
kern_return_t mach_port_set_mscount(ipc_space_t task, mach_port_t name, mach_port_mscount_t mscount);
kern_return_t mach_port_set_seqno(ipc_space_t task, mach_port_t name, mach_port_seqno_t seqno);
kern_return_t mach_port_move_member(ipc_space_t task, mach_port_t member, mach_port_t after);
kern_return_t mach_port_get_set_status(ipc_space_t task, mach_port_t name, mach_port_array_t *members,
                                       mach_msg_type_number_t *membersCnt);
kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_t name, mach_msg_id_t id,
                                             mach_port_mscount_t sync, mach_port_t notify,
                                             mach_msg_type_name_t notify_type, mach_port_t *previous);
kern_return_t mach_port_set_protected_payload(ipc_space_t task, mach_port_t name, rpc_uintptr_t payload);
kern_return_t mach_port_clear_protected_payload(ipc_space_t task, mach_port_t name);

#ifdef __cplusplus
}
#endif

#endif
