/* A server that squares numbers, and its client: Mach's calls in C, by the names of Mach 2.5. */
#include <mach.h>
#include <pthread.h>
#include <stdio.h>

struct number {
    msg_header_t header;
    int value;
};

static struct number message(port_t to, port_t reply, int value)
{
    struct number message = {
        .header = { .msg_simple = TRUE, .msg_size = sizeof message, .msg_remote_port = to, .msg_local_port = reply },
        .value = value,
    };
    return message;
}

/* Answers until a request is 0, to which there is no answer. */
static void *serve(void *argument)
{
    port_t port = *(port_t *)argument;
    for (;;) {
        struct number request = { .header = { .msg_local_port = port, .msg_size = sizeof request } };
        msg_return_t result = msg_receive(&request.header, MSG_OPTION_NONE, 0);
        if (result != RCV_SUCCESS || request.value == 0)
            return NULL;
        struct number reply = message(request.header.msg_remote_port, PORT_NULL, request.value * request.value);
        msg_send(&reply.header, MSG_OPTION_NONE, 0);
    }
}

int main(void)
{
    port_t port;
    pthread_t server;
    if (port_allocate(task_self(), &port) != KERN_SUCCESS || pthread_create(&server, NULL, serve, &port) != 0)
        return 1;
    for (int i = 2; i <= 4; i++) {
        struct number number = message(port, thread_reply(), i);
        msg_return_t result = msg_rpc(&number.header, MSG_OPTION_NONE, sizeof number, 0, 0);
        if (result != RPC_SUCCESS) {
            mach_error("msg_rpc", result);
            return 1;
        }
        printf("the square of %d is %d\n", i, number.value);
    }
    struct number last = message(port, PORT_NULL, 0);
    msg_send(&last.header, MSG_OPTION_NONE, 0);
    pthread_join(server, NULL);
    return port_deallocate(task_self(), port);
}
