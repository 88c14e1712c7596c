/* What the kernel tells. */
#ifndef _MACH_NOTIFY_H_
#define _MACH_NOTIFY_H_

#include <mach/message.h>

/* Mach 2.5: on the notify port, unasked. A name whose port has died (NOTIFY_PORT_DELETED) finds nothing any
 * more; unlike there it is not used again before port_deallocate gives it up. */

#define NOTIFY_FIRST 0100
#define NOTIFY_PORT_DELETED 0101
#define NOTIFY_MSG_ACCEPTED 0102
#define NOTIFY_OWNERSHIP_RIGHTS 0103
#define NOTIFY_RECEIVE_RIGHTS 0104
#define NOTIFY_PORT_DESTROYED 0105
#define NOTIFY_MSG_DROPPED 0112 /* Portolan's: of a cached message, by its receiver's wish */
#define NOTIFY_LAST 0112

typedef struct {
    msg_header_t notify_header;
    msg_type_t notify_type;
    port_t notify_port;
} notification_t;

/* Mach 3: where mach_port_request_notification says. */

#define MACH_NOTIFY_FIRST 0100
#define MACH_NOTIFY_PORT_DELETED 0101
#define MACH_NOTIFY_MSG_ACCEPTED 0102
#define MACH_NOTIFY_PORT_DESTROYED 0105
#define MACH_NOTIFY_NO_SENDERS 0106
#define MACH_NOTIFY_SEND_ONCE 0107
#define MACH_NOTIFY_DEAD_NAME 0110
#define MACH_NOTIFY_SEND_POSSIBLE 0111 /* XNU's; there it is 0102 */
#define MACH_NOTIFY_MSG_DROPPED 0112
#define MACH_NOTIFY_LAST 0112

typedef struct {
    mach_msg_header_t not_header;
    mach_msg_type_t not_type;
    mach_port_t not_port;
} mach_port_deleted_notification_t;

typedef mach_port_deleted_notification_t mach_msg_accepted_notification_t;
typedef mach_port_deleted_notification_t mach_port_destroyed_notification_t;
typedef mach_port_deleted_notification_t mach_dead_name_notification_t;

typedef struct {
    mach_msg_header_t not_header;
    mach_msg_type_t not_type;
    natural_t not_count;
} mach_no_senders_notification_t;

typedef struct {
    mach_msg_header_t not_header;
} mach_send_once_notification_t;

#endif
