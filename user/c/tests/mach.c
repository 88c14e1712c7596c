/* <mach.h>: the calls of Mach 2.5 and of Mach 3. */
#include "test.h"
#include <mach.h>
#include <pthread.h>
#include <stdio.h>

#define REQUEST 100
#define REPLY 200

struct number {
    msg_header_t header;
    int value;
};

static port_t new_port(void)
{
    port_t port;
    CHECK(port_allocate(task_self(), &port) == KERN_SUCCESS);
    CHECK(port != PORT_NULL);
    return port;
}

static void give_up(port_t port)
{
    CHECK(port_deallocate(task_self(), port) == KERN_SUCCESS);
}

static struct number to(port_t remote, port_t local, int id, int value)
{
    struct number message = {
        .header = { .msg_simple = TRUE,
                    .msg_size = sizeof message,
                    .msg_type = MSG_TYPE_NORMAL,
                    .msg_remote_port = remote,
                    .msg_local_port = local,
                    .msg_id = id },
        .value = value,
    };
    return message;
}

static struct number on(port_t port)
{
    struct number message = { .header = { .msg_local_port = port, .msg_size = sizeof message } };
    return message;
}

static void a_message_is_sent_and_received(void)
{
    port_t port = new_port();
    struct number out = to(port, PORT_NULL, REQUEST, 42);
    CHECK(msg_send(&out.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    struct number in = on(port);
    CHECK(msg_receive(&in.header, RCV_TIMEOUT, 0) == RCV_SUCCESS);
    CHECK(in.value == 42 && in.header.msg_id == REQUEST && in.header.msg_size == sizeof in);
    CHECK(in.header.msg_simple == TRUE);
    CHECK(in.header.msg_local_port == port && in.header.msg_remote_port == PORT_NULL);
    CHECK(msg_receive(&in.header, RCV_TIMEOUT, 1) == RCV_TIMED_OUT);
    give_up(port);
}

/* Answers so many requests with their squares. */
static void *squares(void *argument)
{
    port_t port = *(port_t *)argument;
    for (int i = 0; i < 3; i++) {
        struct number request = on(port);
        CHECK(msg_receive(&request.header, MSG_OPTION_NONE, 0) == RCV_SUCCESS);
        struct number reply = to(request.header.msg_remote_port, PORT_NULL, REPLY, request.value * request.value);
        CHECK(msg_send(&reply.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    }
    return NULL;
}

static void an_rpc_brings_the_reply(void)
{
    port_t port = new_port();
    pthread_t server;
    CHECK(pthread_create(&server, NULL, squares, &port) == 0);
    for (int i = 5; i < 8; i++) {
        struct number message = to(port, thread_reply(), REQUEST, i);
        CHECK(msg_rpc(&message.header, MSG_OPTION_NONE, sizeof message, 0, 0) == RPC_SUCCESS);
        CHECK(message.value == i * i && message.header.msg_id == REPLY);
        CHECK(message.header.msg_local_port == thread_reply());
    }
    CHECK(pthread_join(server, NULL) == 0);
    give_up(port);
}

static void a_full_port_answers_as_the_options_say(void)
{
    port_t port = new_port();
    CHECK(port_set_backlog(task_self(), port, 1) == KERN_SUCCESS);
    struct number message = to(port, PORT_NULL, REQUEST, 1);
    CHECK(msg_send(&message.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    CHECK(msg_send(&message.header, SEND_TIMEOUT, 0) == SEND_TIMED_OUT);
    CHECK(msg_send(&message.header, SEND_TIMEOUT, 20) == SEND_TIMED_OUT);
    CHECK(msg_send(&message.header, SEND_NOTIFY, 0) == SEND_WILL_NOTIFY);
    CHECK(msg_send(&message.header, SEND_NOTIFY, 0) == SEND_NOTIFY_IN_PROGRESS);

    int messages, backlog;
    boolean_t owner, receiver;
    port_set_name_t set;
    CHECK(port_status(task_self(), port, &set, &messages, &backlog, &owner, &receiver) == KERN_SUCCESS);
    CHECK(messages == 2 && backlog == 1 && owner && receiver && set == PORT_NULL);

    for (int i = 0; i < 2; i++) {
        struct number in = on(port);
        CHECK(msg_receive(&in.header, RCV_TIMEOUT, 0) == RCV_SUCCESS);
    }
    notification_t told = { .notify_header = { .msg_local_port = task_notify(), .msg_size = sizeof told } };
    CHECK(msg_receive(&told.notify_header, RCV_TIMEOUT, 1000) == RCV_SUCCESS);
    CHECK(told.notify_header.msg_id == NOTIFY_MSG_ACCEPTED && told.notify_port == port);
    give_up(port);
}

struct right {
    msg_header_t header;
    msg_type_t type;
    port_t port;
};

static void a_right_travels_and_tells_of_its_end(void)
{
    port_t box = new_port(), subject = new_port();
    struct right message = {
        .header = { .msg_size = sizeof message, .msg_remote_port = box, .msg_id = REQUEST },
        .type = { .msg_type_name = MSG_TYPE_PORT_ALL, .msg_type_size = 32, .msg_type_number = 1, .msg_type_inline = 1 },
        .port = subject,
    };
    CHECK(msg_send(&message.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    struct right in = { .header = { .msg_local_port = box, .msg_size = sizeof in } };
    CHECK(msg_receive(&in.header, RCV_TIMEOUT, 0) == RCV_SUCCESS);
    CHECK(in.header.msg_simple == FALSE && in.header.msg_size == sizeof in);
    CHECK(in.type.msg_type_name == MSG_TYPE_PORT_ALL && in.port != PORT_NULL);
    port_type_t type;
    CHECK(port_type(task_self(), in.port, &type) == KERN_SUCCESS && type == PORT_TYPE_RECEIVE_OWN);

    /* A send right, of a port of which only the receive right is here. */
    message.type.msg_type_name = MSG_TYPE_PORT;
    message.port = in.port;
    CHECK(msg_send(&message.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    struct right again = { .header = { .msg_local_port = box, .msg_size = sizeof again } };
    CHECK(msg_receive(&again.header, RCV_TIMEOUT, 0) == RCV_SUCCESS);
    CHECK(again.type.msg_type_name == MSG_TYPE_PORT && again.port == in.port);

    CHECK(mach_port_mod_refs(task_self(), in.port, MACH_PORT_RIGHT_RECEIVE, -1) == KERN_SUCCESS);
    notification_t told = { .notify_header = { .msg_local_port = task_notify(), .msg_size = sizeof told } };
    CHECK(msg_receive(&told.notify_header, RCV_TIMEOUT, 1000) == RCV_SUCCESS);
    CHECK(told.notify_header.msg_id == NOTIFY_PORT_DELETED && told.notify_port == in.port);
    struct number nowhere = to(in.port, PORT_NULL, REQUEST, 1);
    CHECK(msg_send(&nowhere.header, MSG_OPTION_NONE, 0) == SEND_INVALID_PORT);
    give_up(in.port);
    give_up(box);
}

struct region {
    msg_header_t header;
    msg_type_long_t type;
    char *data;
};

static void memory_travels(void)
{
    port_t box = new_port();
    vm_address_t address;
    CHECK(vm_allocate(task_self(), &address, 3 * vm_page_size, TRUE) == KERN_SUCCESS);
    char *text = (char *)address + 100;
    strcpy(text, "out of line");
    struct region message = {
        .header = { .msg_size = sizeof message, .msg_remote_port = box },
        .type = { .msg_type_header = { .msg_type_longform = 1, .msg_type_deallocate = 1 },
                  .msg_type_long_name = MSG_TYPE_BYTE,
                  .msg_type_long_size = 8,
                  .msg_type_long_number = 2 * vm_page_size },
        .data = text,
    };
    CHECK(msg_send(&message.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    struct region in = { .header = { .msg_local_port = box, .msg_size = sizeof in } };
    CHECK(msg_receive(&in.header, RCV_TIMEOUT, 0) == RCV_SUCCESS);
    CHECK_TEXT(in.data, "out of line");
    CHECK(in.type.msg_type_long_number == 2 * vm_page_size);
    CHECK(vm_deallocate(task_self(), (vm_address_t)in.data, 2 * vm_page_size) == KERN_SUCCESS);
    give_up(box);
}

static void a_message_too_large_waits_for_a_larger_buffer(void)
{
    port_t box = new_port();
    struct { msg_header_t header; char text[4000]; } large = {
        .header = { .msg_simple = TRUE, .msg_size = sizeof large, .msg_remote_port = box }, .text = "large",
    };
    CHECK(msg_send(&large.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    struct number small = on(box);
    CHECK(msg_receive(&small.header, RCV_TIMEOUT, 0) == RCV_TOO_LARGE);
    CHECK(small.header.msg_size >= sizeof large);

    /* One that is too large by a few bytes only. */
    struct number first = to(box, PORT_NULL, REQUEST, 7);
    large.header.msg_local_port = box;
    large.header.msg_size = sizeof large;
    CHECK(msg_receive(&large.header, RCV_TIMEOUT, 0) == RCV_SUCCESS);
    CHECK_TEXT(large.text, "large");
    CHECK(msg_send(&first.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    msg_header_t header = { .msg_local_port = box, .msg_size = sizeof header };
    CHECK(msg_receive(&header, RCV_TIMEOUT, 0) == RCV_TOO_LARGE);
    CHECK(header.msg_size == sizeof first);
    small = on(box);
    CHECK(msg_receive(&small.header, RCV_TIMEOUT, 0) == RCV_SUCCESS && small.value == 7);
    give_up(box);
}

static void sets_receive_from_their_members(void)
{
    port_set_name_t set;
    port_t first = new_port(), second = new_port();
    CHECK(port_set_allocate(task_self(), &set) == KERN_SUCCESS);
    CHECK(port_set_add(task_self(), set, first) == KERN_SUCCESS);
    CHECK(port_set_add(task_self(), set, second) == KERN_SUCCESS);
    struct number out = to(second, PORT_NULL, REQUEST, 2);
    CHECK(msg_send(&out.header, MSG_OPTION_NONE, 0) == SEND_SUCCESS);
    struct number in = on(set);
    CHECK(msg_receive(&in.header, RCV_TIMEOUT, 0) == RCV_SUCCESS && in.header.msg_local_port == second);
    port_name_array_t members;
    unsigned int count;
    CHECK(port_set_status(task_self(), set, &members, &count) == KERN_SUCCESS && count == 2);
    CHECK(members[0] == first || members[1] == first);
    CHECK(vm_deallocate(task_self(), (vm_address_t)members, count * sizeof *members) == KERN_SUCCESS);
    CHECK(port_set_remove(task_self(), first) == KERN_SUCCESS);
    CHECK(port_set_remove(task_self(), first) == KERN_NOT_IN_SET);
    CHECK(port_set_deallocate(task_self(), set) == KERN_SUCCESS);
    give_up(first);
    give_up(second);
}

static void bad_names_are_refused(void)
{
    port_t port = new_port();
    give_up(port);
    CHECK(port_deallocate(task_self(), port) == KERN_INVALID_ARGUMENT);
    CHECK(port_set_backlog(task_self(), port, 3) == KERN_INVALID_ARGUMENT);
    CHECK(port_allocate(PORT_NULL, &port) == KERN_INVALID_ARGUMENT);
    CHECK(mach_port_deallocate(mach_task_self(), port) == KERN_INVALID_NAME);
    struct number message = to(12345, PORT_NULL, REQUEST, 1);
    CHECK(msg_send(&message.header, MSG_OPTION_NONE, 0) == SEND_INVALID_PORT);
    message.header.msg_size = 8;
    CHECK(msg_send(&message.header, MSG_OPTION_NONE, 0) == SEND_MSG_TOO_SMALL);
    CHECK(msg_send(&message.header, 1 << 20, 0) == SEND_MSG_TOO_SMALL);
    message = on(12345);
    CHECK(msg_receive(&message.header, RCV_TIMEOUT, 0) == RCV_INVALID_PORT);
    CHECK_TEXT(mach_error_string(SEND_TIMED_OUT), "SEND_TIMED_OUT");
    CHECK_TEXT(mach_error_string(KERN_NAME_EXISTS), "KERN_NAME_EXISTS");
}

static void mach_msg_sends_and_receives(void)
{
    mach_port_t port;
    CHECK(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port) == KERN_SUCCESS);
    struct { mach_msg_header_t header; mach_msg_type_t type; int value; } message = {
        .header = { .msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE),
                    .msgh_size = sizeof message,
                    .msgh_remote_port = port,
                    .msgh_local_port = port,
                    .msgh_id = 9 },
        .type = { .msgt_name = MACH_MSG_TYPE_INTEGER_32, .msgt_size = 32, .msgt_number = 1, .msgt_inline = 1 },
        .value = 77,
    };
    CHECK(mach_msg(&message.header, MACH_SEND_MSG, sizeof message, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL) == 0);
    memset(&message, 0, sizeof message);
    CHECK(mach_msg(&message.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof message, port, 0, MACH_PORT_NULL) == 0);
    CHECK(message.value == 77 && message.header.msgh_id == 9 && message.header.msgh_local_port == port);
    CHECK(message.type.msgt_name == MACH_MSG_TYPE_INTEGER_32);
    CHECK(MACH_MSGH_BITS_REMOTE(message.header.msgh_bits) == MACH_MSG_TYPE_PORT_SEND_ONCE);

    /* The right for a reply is given up, so its port hears of it. */
    CHECK(mach_port_deallocate(mach_task_self(), message.header.msgh_remote_port) == KERN_SUCCESS);
    CHECK(mach_msg(&message.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof message, port, 0, MACH_PORT_NULL) == 0);
    CHECK(message.header.msgh_id == MACH_NOTIFY_SEND_ONCE);
    CHECK(mach_msg(&message.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof message, port, 0, MACH_PORT_NULL) ==
          MACH_RCV_TIMED_OUT);
    CHECK(mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1) == KERN_SUCCESS);
}

static void rights_are_counted_and_watched(void)
{
    task_t self = mach_task_self();
    mach_port_t port, notify, previous;
    mach_port_type_t type;
    mach_port_urefs_t count;
    CHECK(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &port) == KERN_SUCCESS);
    CHECK(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &notify) == KERN_SUCCESS);
    CHECK(mach_port_insert_right(self, port, port, MACH_MSG_TYPE_MAKE_SEND) == KERN_SUCCESS);
    CHECK(mach_port_type(self, port, &type) == KERN_SUCCESS && type == MACH_PORT_TYPE_SEND_RECEIVE);
    CHECK(mach_port_mod_refs(self, port, MACH_PORT_RIGHT_SEND, 2) == KERN_SUCCESS);
    CHECK(mach_port_get_refs(self, port, MACH_PORT_RIGHT_SEND, &count) == KERN_SUCCESS && count == 3);
    CHECK(mach_port_request_notification(self, port, MACH_NOTIFY_NO_SENDERS, 0, notify,
                                         MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous) == KERN_SUCCESS);
    CHECK(previous == MACH_PORT_NULL);

    mach_port_status_t status;
    CHECK(mach_port_get_receive_status(self, port, &status) == KERN_SUCCESS);
    CHECK(status.mps_srights && status.mps_nsrequest && status.mps_mscount == 1);
    CHECK(status.mps_qlimit == MACH_PORT_QLIMIT_DEFAULT);
    mach_port_limits_t limits = { .mpl_qlimit = 9 };
    CHECK(mach_port_set_attributes(self, port, MACH_PORT_LIMITS_INFO, (mach_port_info_t)&limits,
                                   MACH_PORT_LIMITS_INFO_COUNT) == KERN_SUCCESS);
    mach_msg_type_number_t words = MACH_PORT_RECEIVE_STATUS_COUNT;
    CHECK(mach_port_get_attributes(self, port, MACH_PORT_RECEIVE_STATUS, (mach_port_info_t)&status, &words) == 0);
    CHECK(status.mps_qlimit == 9);

    CHECK(mach_port_mod_refs(self, port, MACH_PORT_RIGHT_SEND, -3) == KERN_SUCCESS);
    mach_no_senders_notification_t told;
    CHECK(mach_msg(&told.not_header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof told, notify, 1000, 0) == 0);
    CHECK(told.not_header.msgh_id == MACH_NOTIFY_NO_SENDERS && told.not_count == 1);
    CHECK(mach_port_deallocate(self, port) == KERN_INVALID_RIGHT);
    CHECK(mach_port_destroy(self, port) == KERN_SUCCESS);
    CHECK(mach_port_destroy(self, notify) == KERN_SUCCESS);
    CHECK(mach_port_type(self, port, &type) == KERN_INVALID_NAME);
}

static void memory_is_mapped_and_described(void)
{
    task_t self = mach_task_self();
    memory_object_t object;
    CHECK(memory_object_create(self, 2 * vm_page_size, &object) == KERN_SUCCESS);
    vm_address_t first = 0, second = 0;
    CHECK(vm_map(self, &first, 2 * vm_page_size, 0, TRUE, object, 0, FALSE, VM_PROT_DEFAULT, VM_PROT_ALL,
                 VM_INHERIT_SHARE) == KERN_SUCCESS);
    CHECK(vm_map(self, &second, vm_page_size, 0, TRUE, object, vm_page_size, FALSE, VM_PROT_READ, VM_PROT_READ,
                 VM_INHERIT_NONE) == KERN_SUCCESS);
    *(int *)(first + vm_page_size) = 4711;
    CHECK(*(int *)second == 4711);

    vm_address_t at = second;
    vm_size_t size;
    vm_prot_t protection, maximum;
    vm_inherit_t inheritance;
    boolean_t shared;
    mach_port_t name;
    vm_offset_t offset;
    CHECK(vm_region(self, &at, &size, &protection, &maximum, &inheritance, &shared, &name, &offset) == KERN_SUCCESS);
    CHECK(at == second && size == vm_page_size && protection == VM_PROT_READ && inheritance == VM_INHERIT_NONE);
    CHECK(shared && offset == vm_page_size);
    CHECK(vm_protect(self, second, vm_page_size, FALSE, VM_PROT_DEFAULT) == KERN_PROTECTION_FAILURE);

    vm_offset_t copy;
    unsigned int count;
    CHECK(vm_read(self, second, sizeof(int), &copy, &count) == KERN_SUCCESS);
    CHECK(count == sizeof(int) && *(int *)copy == 4711);
    CHECK(vm_write(self, first, copy, count) == KERN_SUCCESS && *(int *)first == 4711);
    CHECK(vm_deallocate(self, copy, count) == KERN_SUCCESS);
    CHECK(vm_deallocate(self, first, 2 * vm_page_size) == KERN_SUCCESS);
    CHECK(vm_deallocate(self, second, vm_page_size) == KERN_SUCCESS);
    CHECK(mach_port_deallocate(self, object) == KERN_SUCCESS);
}

static void tasks_and_threads_are_made(void)
{
    task_t task;
    thread_t thread;
    CHECK(task_create(task_self(), FALSE, &task) == KERN_SUCCESS);
    port_name_t name;
    CHECK(port_allocate(task, &name) == KERN_SUCCESS);
    CHECK(thread_create(task, &thread) == KERN_SUCCESS);
    x86_thread_state64_t state;
    mach_msg_type_number_t words = x86_THREAD_STATE64_COUNT;
    CHECK(thread_get_state(thread, x86_THREAD_STATE64, (thread_state_t)&state, &words) == KERN_SUCCESS);
    state.rbx = 1234;
    CHECK(thread_set_state(thread, x86_THREAD_STATE64, (thread_state_t)&state, words) == KERN_SUCCESS);
    state.rbx = 0;
    CHECK(thread_get_state(thread, x86_THREAD_STATE64, (thread_state_t)&state, &words) == KERN_SUCCESS);
    CHECK(state.rbx == 1234);
    thread_array_t threads;
    unsigned int count;
    CHECK(task_threads(task, &threads, &count) == KERN_SUCCESS && count == 1 && threads[0] == thread);
    CHECK(vm_deallocate(task_self(), (vm_address_t)threads, count * sizeof *threads) == KERN_SUCCESS);
    CHECK(task_terminate(task) == KERN_SUCCESS);
    CHECK(task_suspend(task) == KERN_INVALID_ARGUMENT);
}

const struct test mach_tests[] = {
    { "c::a_message_is_sent_and_received", a_message_is_sent_and_received },
    { "c::an_rpc_brings_the_reply", an_rpc_brings_the_reply },
    { "c::a_full_port_answers_as_the_options_say", a_full_port_answers_as_the_options_say },
    { "c::a_right_travels_and_tells_of_its_end", a_right_travels_and_tells_of_its_end },
    { "c::memory_travels", memory_travels },
    { "c::a_message_too_large_waits_for_a_larger_buffer", a_message_too_large_waits_for_a_larger_buffer },
    { "c::sets_receive_from_their_members", sets_receive_from_their_members },
    { "c::bad_names_are_refused", bad_names_are_refused },
    { "c::mach_msg_sends_and_receives", mach_msg_sends_and_receives },
    { "c::rights_are_counted_and_watched", rights_are_counted_and_watched },
    { "c::memory_is_mapped_and_described", memory_is_mapped_and_described },
    { "c::tasks_and_threads_are_made", tasks_and_threads_are_made },
    { 0 },
};
