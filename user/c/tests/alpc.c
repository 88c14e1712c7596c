/* <alpc.h>: a server and a client, by Windows' names. */
#include "test.h"
#include <alpc.h>
#include <mach.h>
#include <pthread.h>
#include <stdio.h>

struct message {
    PORT_MESSAGE header;
    char text[100];
};

static struct message saying(const char *text)
{
    struct message message;
    memset(&message, 0, sizeof message);
    strcpy(message.text, text);
    message.header.u1.s1.DataLength = (CSHORT)(strlen(text) + 1);
    message.header.u1.s1.TotalLength = (CSHORT)(sizeof message.header + strlen(text) + 1);
    return message;
}

static int type(const struct message *message)
{
    return message->header.u2.s2.Type & 0xff;
}

static void set(struct message *message, const char *text)
{
    struct message other = saying(text);
    strcpy(message->text, text);
    message->header.u1 = other.header.u1;
}

static UNICODE_STRING name_of(PCWSTR text)
{
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, text);
    return name;
}

static HANDLE new_port(PCWSTR text)
{
    UNICODE_STRING name = name_of(text);
    OBJECT_ATTRIBUTES object;
    InitializeObjectAttributes(&object, &name, 0, NULL, NULL);
    ALPC_PORT_ATTRIBUTES attributes = { .Flags = ALPC_PORFLG_ALLOW_DUP_OBJECT, .MaxMessageLength = 512 };
    HANDLE port;
    CHECK(NtAlpcCreatePort(&port, &object, &attributes) == STATUS_SUCCESS);
    return port;
}

/* Lets in who says "please", and answers requests in capitals, until the client has gone. */
static void *serve(void *argument)
{
    HANDLE server = argument, client = NULL;
    struct message message;
    ULONGLONG room[16];
    PALPC_MESSAGE_ATTRIBUTES attributes = (PALPC_MESSAGE_ATTRIBUTES)room;
    SIZE_T needed;
    CHECK(AlpcInitializeMessageAttribute(ALPC_MESSAGE_CONTEXT_ATTRIBUTE, attributes, sizeof room, &needed) == 0);
    for (;;) {
        SIZE_T length = sizeof message;
        NTSTATUS status =
            NtAlpcSendWaitReceivePort(server, 0, NULL, NULL, &message.header, &length, attributes, NULL);
        CHECK(status == STATUS_SUCCESS);
        switch (type(&message)) {
        case LPC_CONNECTION_REQUEST: {
            int welcome = strcmp(message.text, "please") == 0;
            set(&message, welcome ? "welcome" : "go away");
            CHECK(NtAlpcAcceptConnectPort(&client, server, 0, NULL, NULL, &client, &message.header, NULL, welcome) == 0);
            break;
        }
        case LPC_REQUEST: {
            ALPC_CONTEXT_ATTR *context = AlpcGetMessageAttribute(attributes, ALPC_MESSAGE_CONTEXT_ATTRIBUTE);
            CHECK(context && context->PortContext == &client && context->MessageId == message.header.MessageId);
            for (char *at = message.text; *at; at++)
                *at = *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at;
            CHECK(NtAlpcSendWaitReceivePort(server, ALPC_MSGFLG_REPLY_MESSAGE, &message.header, NULL, NULL, NULL, NULL,
                                            NULL) == STATUS_SUCCESS);
            break;
        }
        case LPC_DATAGRAM:
            break;
        default:
            CHECK(type(&message) == LPC_PORT_CLOSED);
            CHECK(NtClose(client) == STATUS_SUCCESS);
            return NULL;
        }
    }
}

static NTSTATUS ask(PCWSTR text, struct message *message, HANDLE *port)
{
    UNICODE_STRING name = name_of(text);
    SIZE_T length = sizeof *message;
    LARGE_INTEGER second = { .QuadPart = -10000000 };
    ALPC_PORT_ATTRIBUTES attributes = { .MaxMessageLength = 512 };
    return NtAlpcConnectPort(port, &name, NULL, &attributes, ALPC_MSGFLG_SYNC_REQUEST, NULL, &message->header, &length,
                             NULL, NULL, &second);
}

static void a_connection_is_refused_made_and_used(void)
{
    HANDLE server = new_port(u"c-alpc"), port;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, serve, server) == 0);

    struct message message = saying("rudely");
    CHECK(ask(u"c-alpc", &message, &port) == STATUS_PORT_CONNECTION_REFUSED);
    CHECK_TEXT(message.text, "go away");
    message = saying("please");
    CHECK(ask(u"c-alpc", &message, &port) == STATUS_SUCCESS);
    CHECK_TEXT(message.text, "welcome");

    message = saying("shout");
    struct message reply;
    SIZE_T length = sizeof reply;
    CHECK(NtAlpcSendWaitReceivePort(port, ALPC_MSGFLG_SYNC_REQUEST, &message.header, NULL, &reply.header, &length, NULL,
                                    NULL) == STATUS_SUCCESS);
    CHECK_TEXT(reply.text, "SHOUT");
    CHECK(length == sizeof(PORT_MESSAGE) + 6);

    message = saying("later");
    CHECK(NtAlpcSendWaitReceivePort(port, 0, &message.header, NULL, NULL, NULL, NULL, NULL) == STATUS_SUCCESS);
    CHECK(message.header.MessageId != 0);
    length = sizeof(PORT_MESSAGE);
    CHECK(NtAlpcSendWaitReceivePort(port, 0, NULL, NULL, &reply.header, &length, NULL, NULL) == STATUS_BUFFER_TOO_SMALL);
    CHECK(length == sizeof(PORT_MESSAGE) + 6);
    length = sizeof reply;
    CHECK(NtAlpcSendWaitReceivePort(port, 0, NULL, NULL, &reply.header, &length, NULL, NULL) == STATUS_SUCCESS);
    CHECK_TEXT(reply.text, "LATER");
    CHECK(reply.header.MessageId == message.header.MessageId);

    message = saying("no answer");
    CHECK(NtAlpcSendWaitReceivePort(port, ALPC_MSGFLG_RELEASE_MESSAGE, &message.header, NULL, NULL, NULL, NULL, NULL) ==
          STATUS_SUCCESS);
    LARGE_INTEGER now = { .QuadPart = 0 };
    CHECK(NtAlpcSendWaitReceivePort(port, 0, NULL, NULL, &reply.header, &length, NULL, &now) == STATUS_TIMEOUT);

    CHECK(NtAlpcDisconnectPort(port, 0) == STATUS_SUCCESS);
    CHECK(NtAlpcDisconnectPort(port, 0) == STATUS_PORT_DISCONNECTED);
    CHECK(NtClose(port) == STATUS_SUCCESS);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(NtClose(server) == STATUS_SUCCESS);
    CHECK(NtClose(server) == STATUS_INVALID_HANDLE);
}

static void bad_calls_are_refused(void)
{
    HANDLE port;
    struct message message = saying("please");
    CHECK(ask(u"c-nobody", &message, &port) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(NtClose((HANDLE)3) == STATUS_INVALID_HANDLE);
    CHECK(NtAlpcSendWaitReceivePort(NULL, 0, &message.header, NULL, NULL, NULL, NULL, NULL) == STATUS_INVALID_HANDLE);
    HANDLE server = new_port(u"c-twice");
    UNICODE_STRING name = name_of(u"c-twice");
    OBJECT_ATTRIBUTES object;
    InitializeObjectAttributes(&object, &name, 0, NULL, NULL);
    CHECK(NtAlpcCreatePort(&port, &object, NULL) == STATUS_OBJECT_NAME_COLLISION);
    CHECK(NtAlpcSendWaitReceivePort(server, 1 << 30, NULL, NULL, NULL, NULL, NULL, NULL) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(server) == STATUS_SUCCESS);
}

const struct test alpc_tests[] = {
    { "c::a_connection_is_refused_made_and_used", a_connection_is_refused_made_and_used },
    { "c::bad_calls_are_refused", bad_calls_are_refused },
    { 0 },
};
