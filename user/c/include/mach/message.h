/* Messages, and the calls that send and receive them. */
#ifndef _MACH_MESSAGE_H_
#define _MACH_MESSAGE_H_

#include <mach/kern_return.h>
#include <mach/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Mach 2.5. A message is a header, and items: each an msg_type_t (or _long_t) and what it tells of. A
 * message with plain data only (msg_simple) needs no items. On send, msg_remote_port is the destination and
 * msg_local_port the port for a reply; on receive they have changed places. */

typedef unsigned int msg_size_t;
typedef unsigned int msg_timeout_t;
typedef int msg_option_t;
typedef int msg_return_t;

typedef struct {
    unsigned int msg_unused : 24, msg_simple : 8;
    msg_size_t msg_size; /* bytes, header and all; to msg_receive, of the buffer */
    int msg_type;
    port_t msg_local_port;
    port_t msg_remote_port;
    int msg_id;
} msg_header_t;

#define MSG_SIZE_MAX 8192

#define MSG_TYPE_NORMAL 0
#define MSG_TYPE_EMERGENCY 1

typedef struct {
    unsigned int msg_type_name : 8, msg_type_size : 8, msg_type_number : 12, msg_type_inline : 1,
        msg_type_longform : 1, msg_type_deallocate : 1, msg_type_unused : 1;
} msg_type_t;

typedef struct {
    msg_type_t msg_type_header;
    unsigned short msg_type_long_name;
    unsigned short msg_type_long_size;
    unsigned int msg_type_long_number;
} msg_type_long_t;

#define MSG_TYPE_UNSTRUCTURED 0
#define MSG_TYPE_BIT 0
#define MSG_TYPE_BOOLEAN 0
#define MSG_TYPE_INTEGER_16 1
#define MSG_TYPE_INTEGER_32 2
#define MSG_TYPE_PORT_OWNERSHIP 3
#define MSG_TYPE_PORT_RECEIVE 4
#define MSG_TYPE_PORT_ALL 5
#define MSG_TYPE_PORT 6
#define MSG_TYPE_CHAR 8
#define MSG_TYPE_BYTE 9
#define MSG_TYPE_INTEGER_8 9
#define MSG_TYPE_REAL 10
#define MSG_TYPE_STRING 12
#define MSG_TYPE_STRING_C 12
#define MSG_TYPE_INTERNAL_MEMORY 14
#define MSG_TYPE_PORT_NAME 15
#define MSG_TYPE_LAST 16

#define MSG_OPTION_NONE 0x0000
#define SEND_TIMEOUT 0x0001
#define SEND_NOTIFY 0x0002
#define SEND_INTERRUPT 0x0004
#define SEND_SWITCH 0x0020
#define SEND_NOTIFY_THREAD 0x0040 /* Portolan's: a cached message for each thread */
#define RCV_TIMEOUT 0x0100
#define RCV_INTERRUPT 0x0400
#define RCV_LARGE 0x1000

#define SEND_SUCCESS 0
#define SEND_ERRORS_START (-100)
#define SEND_INVALID_MEMORY (-101)
#define SEND_INVALID_PORT (-102)
#define SEND_TIMED_OUT (-103)
#define SEND_WILL_NOTIFY (-105)
#define SEND_NOTIFY_IN_PROGRESS (-106)
#define SEND_KERNEL_REFUSED (-107)
#define SEND_INTERRUPTED (-108)
#define SEND_MSG_TOO_LARGE (-109)
#define SEND_MSG_TOO_SMALL (-110)
#define SEND_ERRORS_END (-111)
/* Portolan's. */
#define SEND_NO_BUFFER (-111)
#define SEND_INVALID_TYPE (-115)
#define SEND_INVALID_OPTIONS (-116)
#define SEND_PORT_FULL (-117)
#define SEND_WOULD_DEADLOCK (-118)

#define RCV_SUCCESS 0
#define RCV_ERRORS_START (-200)
#define RCV_INVALID_MEMORY (-201)
#define RCV_INVALID_PORT (-202)
#define RCV_TIMED_OUT (-203)
#define RCV_TOO_LARGE (-204)
#define RCV_NOT_ENOUGH_MEMORY (-205)
#define RCV_ONLY_SENDER (-206)
#define RCV_INTERRUPTED (-207)
#define RCV_PORT_CHANGE (-208)
#define RCV_ERRORS_END (-209)
/* Portolan's. */
#define RCV_REPLY_LOST (-209)
#define RCV_INVALID_OPTIONS (-210)
#define RCV_WOULD_DEADLOCK (-213)

#define RPC_SUCCESS 0

msg_return_t msg_send(msg_header_t *header, msg_option_t option, msg_timeout_t timeout);
msg_return_t msg_receive(msg_header_t *header, msg_option_t option, msg_timeout_t timeout);
msg_return_t msg_rpc(msg_header_t *header, msg_option_t option, msg_size_t rcv_size, msg_timeout_t send_timeout,
                     msg_timeout_t rcv_timeout);

/* Mach 3. The header says how its rights are sent; the items of a message are told of if MACH_MSGH_BITS_COMPLEX
 * is set. */

typedef natural_t mach_msg_timeout_t;
typedef natural_t mach_msg_size_t;
typedef natural_t mach_msg_bits_t;
typedef natural_t mach_msg_type_number_t;
typedef natural_t mach_msg_type_name_t;
typedef natural_t mach_msg_type_size_t;
typedef integer_t mach_msg_id_t;
typedef integer_t mach_msg_option_t;
typedef kern_return_t mach_msg_return_t;

typedef struct {
    mach_msg_bits_t msgh_bits;
    mach_msg_size_t msgh_size;
    mach_port_t msgh_remote_port;
    mach_port_t msgh_local_port;
    mach_port_seqno_t msgh_seqno;
    mach_msg_id_t msgh_id;
} mach_msg_header_t;

#define MACH_MSG_TIMEOUT_NONE ((mach_msg_timeout_t)0)
#define MACH_MSG_SIZE_MAX ((mach_msg_size_t)65536)

#define MACH_MSGH_BITS_ZERO 0x00000000
#define MACH_MSGH_BITS_REMOTE_MASK 0x000000ff
#define MACH_MSGH_BITS_LOCAL_MASK 0x0000ff00
#define MACH_MSGH_BITS_PORTS_MASK (MACH_MSGH_BITS_REMOTE_MASK | MACH_MSGH_BITS_LOCAL_MASK)
#define MACH_MSGH_BITS_COMPLEX 0x80000000U
#define MACH_MSGH_BITS(remote, local) ((remote) | ((local) << 8))
#define MACH_MSGH_BITS_REMOTE(bits) ((bits) & MACH_MSGH_BITS_REMOTE_MASK)
#define MACH_MSGH_BITS_LOCAL(bits) (((bits) & MACH_MSGH_BITS_LOCAL_MASK) >> 8)
#define MACH_MSGH_BITS_PORTS(bits) ((bits) & MACH_MSGH_BITS_PORTS_MASK)
#define MACH_MSGH_BITS_OTHER(bits) ((bits) & ~MACH_MSGH_BITS_PORTS_MASK)

typedef struct {
    unsigned int msgt_name : 8, msgt_size : 8, msgt_number : 12, msgt_inline : 1, msgt_longform : 1,
        msgt_deallocate : 1, msgt_unused : 1;
} mach_msg_type_t;

typedef struct {
    mach_msg_type_t msgtl_header;
    unsigned short msgtl_name;
    unsigned short msgtl_size;
    natural_t msgtl_number;
} mach_msg_type_long_t;

#define MACH_MSG_TYPE_UNSTRUCTURED 0
#define MACH_MSG_TYPE_BIT 0
#define MACH_MSG_TYPE_BOOLEAN 0
#define MACH_MSG_TYPE_INTEGER_16 1
#define MACH_MSG_TYPE_INTEGER_32 2
#define MACH_MSG_TYPE_CHAR 8
#define MACH_MSG_TYPE_BYTE 9
#define MACH_MSG_TYPE_INTEGER_8 9
#define MACH_MSG_TYPE_REAL 10
#define MACH_MSG_TYPE_INTEGER_64 11
#define MACH_MSG_TYPE_STRING 12
#define MACH_MSG_TYPE_STRING_C 12
#define MACH_MSG_TYPE_PORT_NAME 15
#define MACH_MSG_TYPE_MOVE_RECEIVE 16
#define MACH_MSG_TYPE_MOVE_SEND 17
#define MACH_MSG_TYPE_MOVE_SEND_ONCE 18
#define MACH_MSG_TYPE_COPY_SEND 19
#define MACH_MSG_TYPE_MAKE_SEND 20
#define MACH_MSG_TYPE_MAKE_SEND_ONCE 21
#define MACH_MSG_TYPE_LAST 22
#define MACH_MSG_TYPE_PORT_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE
#define MACH_MSG_TYPE_PORT_SEND MACH_MSG_TYPE_MOVE_SEND
#define MACH_MSG_TYPE_PORT_SEND_ONCE MACH_MSG_TYPE_MOVE_SEND_ONCE
#define MACH_MSG_TYPE_PROTECTED_PAYLOAD 23
#define MACH_MSG_TYPE_POLYMORPHIC ((mach_msg_type_name_t)-1)

#define MACH_MSG_TYPE_PORT_ANY(name) \
    ((name) >= MACH_MSG_TYPE_MOVE_RECEIVE && (name) <= MACH_MSG_TYPE_MAKE_SEND_ONCE)

#define MACH_MSG_OPTION_NONE 0x00000000
#define MACH_SEND_MSG 0x00000001
#define MACH_RCV_MSG 0x00000002
#define MACH_SEND_TIMEOUT 0x00000010
#define MACH_SEND_NOTIFY 0x00000020 /* `notify` is task_notify() */
#define MACH_SEND_INTERRUPT 0x00000040
#define MACH_RCV_TIMEOUT 0x00000100
#define MACH_RCV_INTERRUPT 0x00000400
#define MACH_RCV_LARGE 0x00000800 /* always so: no message is destroyed for its size */

#define MACH_MSG_SUCCESS 0x00000000
#define MACH_MSG_MASK 0x00003c00
#define MACH_MSG_IPC_SPACE 0x00002000
#define MACH_MSG_VM_SPACE 0x00001000
#define MACH_MSG_IPC_KERNEL 0x00000800
#define MACH_MSG_VM_KERNEL 0x00000400

#define MACH_SEND_IN_PROGRESS 0x10000001
#define MACH_SEND_INVALID_DATA 0x10000002
#define MACH_SEND_INVALID_DEST 0x10000003
#define MACH_SEND_TIMED_OUT 0x10000004
#define MACH_SEND_WILL_NOTIFY 0x10000005
#define MACH_SEND_NOTIFY_IN_PROGRESS 0x10000006
#define MACH_SEND_INTERRUPTED 0x10000007
#define MACH_SEND_MSG_TOO_SMALL 0x10000008
#define MACH_SEND_INVALID_REPLY 0x10000009
#define MACH_SEND_INVALID_RIGHT 0x1000000a
#define MACH_SEND_INVALID_NOTIFY 0x1000000b
#define MACH_SEND_INVALID_MEMORY 0x1000000c
#define MACH_SEND_NO_BUFFER 0x1000000d
#define MACH_SEND_NO_NOTIFY 0x1000000e
#define MACH_SEND_INVALID_TYPE 0x1000000f
#define MACH_SEND_INVALID_HEADER 0x10000010
/* Portolan's. */
#define MACH_SEND_PORT_FULL 0x10000020
#define MACH_SEND_WOULD_DEADLOCK 0x10000021
#define MACH_SEND_TOO_LARGE 0x10000022

#define MACH_RCV_IN_PROGRESS 0x10004001
#define MACH_RCV_INVALID_NAME 0x10004002
#define MACH_RCV_TIMED_OUT 0x10004003
#define MACH_RCV_TOO_LARGE 0x10004004
#define MACH_RCV_INTERRUPTED 0x10004005
#define MACH_RCV_PORT_CHANGED 0x10004006
#define MACH_RCV_INVALID_NOTIFY 0x10004007
#define MACH_RCV_INVALID_DATA 0x10004008
#define MACH_RCV_PORT_DIED 0x10004009
#define MACH_RCV_IN_SET 0x1000400a
#define MACH_RCV_HEADER_ERROR 0x1000400b
#define MACH_RCV_BODY_ERROR 0x1000400c
/* Portolan's. */
#define MACH_RCV_NO_SPACE 0x10004020
#define MACH_RCV_REPLY_LOST 0x10004021
#define MACH_RCV_WOULD_DEADLOCK 0x10004022

mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
                           mach_msg_size_t rcv_size, mach_port_t rcv_name, mach_msg_timeout_t timeout,
                           mach_port_t notify);
mach_msg_return_t mach_msg_trap(mach_msg_header_t *msg, mach_msg_option_t option, mach_msg_size_t send_size,
                                mach_msg_size_t rcv_size, mach_port_t rcv_name, mach_msg_timeout_t timeout,
                                mach_port_t notify);

#ifdef __cplusplus
}
#endif

#endif
