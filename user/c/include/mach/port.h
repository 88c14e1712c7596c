/* Names of rights, and what they stand for. */
#ifndef _MACH_PORT_H_
#define _MACH_PORT_H_

#include <mach/boolean.h>
#include <mach/vm_types.h>

/* Mach 2.5 */

typedef int port_name_t;
typedef port_name_t port_t;
typedef port_name_t port_rcv_t;
typedef port_name_t port_own_t;
typedef port_name_t port_all_t;
typedef port_name_t port_set_name_t;
typedef port_name_t *port_name_array_t;
typedef port_t *port_array_t;
typedef int port_type_t;
typedef port_type_t *port_type_array_t;

#define PORT_NULL ((port_name_t)0)

#define PORT_TYPE_NONE 0
#define PORT_TYPE_SEND 1
#define PORT_TYPE_RECEIVE 3
#define PORT_TYPE_OWN 5
#define PORT_TYPE_RECEIVE_OWN 7
#define PORT_TYPE_SET 9
#define PORT_TYPE_LAST 10

/* How many messages a port holds. Mach 2.5 allows 1 to 16; here it is 0, where a sender meets a receiver,
 * to 65,535, or any number. */
#define PORT_BACKLOG_DEFAULT 5
#define PORT_BACKLOG_MAX 65535
#define PORT_BACKLOG_UNBOUNDED (-1)

/* Mach 3 */

typedef natural_t mach_port_t;
typedef mach_port_t mach_port_name_t;
typedef mach_port_t *mach_port_array_t;
typedef mach_port_name_t *mach_port_name_array_t;
typedef natural_t mach_port_right_t;
typedef natural_t mach_port_type_t;
typedef mach_port_type_t *mach_port_type_array_t;
typedef natural_t mach_port_urefs_t;
typedef integer_t mach_port_delta_t;
typedef natural_t mach_port_seqno_t;
typedef natural_t mach_port_mscount_t;
typedef natural_t mach_port_msgcount_t;
typedef natural_t mach_port_rights_t;
typedef uint64_t rpc_uintptr_t;

#define MACH_PORT_NULL ((mach_port_t)0)
#define MACH_PORT_DEAD ((mach_port_t)~0)
#define MACH_PORT_VALID(name) ((mach_port_t)(name) != MACH_PORT_NULL && (mach_port_t)(name) != MACH_PORT_DEAD)

#define MACH_PORT_RIGHT_SEND ((mach_port_right_t)0)
#define MACH_PORT_RIGHT_RECEIVE ((mach_port_right_t)1)
#define MACH_PORT_RIGHT_SEND_ONCE ((mach_port_right_t)2)
#define MACH_PORT_RIGHT_PORT_SET ((mach_port_right_t)3)
#define MACH_PORT_RIGHT_DEAD_NAME ((mach_port_right_t)4)
#define MACH_PORT_RIGHT_NUMBER ((mach_port_right_t)5)

#define MACH_PORT_TYPE(right) ((mach_port_type_t)1 << ((right) + (mach_port_right_t)16))
#define MACH_PORT_TYPE_NONE ((mach_port_type_t)0)
#define MACH_PORT_TYPE_SEND MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND)
#define MACH_PORT_TYPE_RECEIVE MACH_PORT_TYPE(MACH_PORT_RIGHT_RECEIVE)
#define MACH_PORT_TYPE_SEND_ONCE MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_SET MACH_PORT_TYPE(MACH_PORT_RIGHT_PORT_SET)
#define MACH_PORT_TYPE_DEAD_NAME MACH_PORT_TYPE(MACH_PORT_RIGHT_DEAD_NAME)
#define MACH_PORT_TYPE_SEND_RECEIVE (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_SEND_RIGHTS (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_RIGHTS (MACH_PORT_TYPE_SEND_RIGHTS | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_PORT_OR_DEAD (MACH_PORT_TYPE_PORT_RIGHTS | MACH_PORT_TYPE_DEAD_NAME)
#define MACH_PORT_TYPE_ALL_RIGHTS (MACH_PORT_TYPE_PORT_OR_DEAD | MACH_PORT_TYPE_PORT_SET)

typedef struct mach_port_status {
    mach_port_t mps_pset;
    mach_port_seqno_t mps_seqno;
    mach_port_mscount_t mps_mscount;
    mach_port_msgcount_t mps_qlimit;
    mach_port_msgcount_t mps_msgcount;
    mach_port_rights_t mps_sorights;
    boolean_t mps_srights;
    boolean_t mps_pdrequest;
    boolean_t mps_nsrequest;
    natural_t mps_flags;
} mach_port_status_t;

typedef struct mach_port_limits {
    mach_port_msgcount_t mpl_qlimit;
} mach_port_limits_t;

/* Attributes, as XNU has them. */
typedef int mach_port_flavor_t;
typedef integer_t *mach_port_info_t;

#define MACH_PORT_LIMITS_INFO 1
#define MACH_PORT_RECEIVE_STATUS 2
#define MACH_PORT_LIMITS_INFO_COUNT (sizeof(mach_port_limits_t) / sizeof(natural_t))
#define MACH_PORT_RECEIVE_STATUS_COUNT (sizeof(mach_port_status_t) / sizeof(natural_t))

#define MACH_PORT_QLIMIT_DEFAULT ((mach_port_msgcount_t)5)
#define MACH_PORT_QLIMIT_MAX ((mach_port_msgcount_t)65535)

#endif
