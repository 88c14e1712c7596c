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

/* A server's port and a client's, connected; both are this task's. */
static void connect(PCWSTR text, HANDLE *server, HANDLE *side, HANDLE *client)
{
    UNICODE_STRING name = name_of(text);
    *server = new_port(text);
    ALPC_PORT_ATTRIBUTES attributes = { .MaxMessageLength = 512, .MaxViewSize = 0x10000 };
    struct message message = saying("please");
    CHECK(NtAlpcConnectPort(client, &name, NULL, &attributes, 0, NULL, &message.header, NULL, NULL, NULL, NULL) == 0);
    SIZE_T length = sizeof message;
    CHECK(NtAlpcSendWaitReceivePort(*server, 0, NULL, NULL, &message.header, &length, NULL, NULL) == 0);
    CHECK(type(&message) == LPC_CONNECTION_REQUEST);
    CHECK(NtAlpcAcceptConnectPort(side, *server, 0, NULL, NULL, NULL, &message.header, NULL, TRUE) == 0);
    length = sizeof message;
    CHECK(NtAlpcSendWaitReceivePort(*client, 0, NULL, NULL, &message.header, &length, NULL, NULL) == 0);
    CHECK(type(&message) == LPC_CONNECTION_REPLY);
}

static NTSTATUS send(HANDLE port, PALPC_MESSAGE_ATTRIBUTES attributes)
{
    struct message message = saying("look");
    return NtAlpcSendWaitReceivePort(port, 0, &message.header, attributes, NULL, NULL, NULL, NULL);
}

/* The next message, with its attributes; those that have room here. */
static struct message next(HANDLE port, PALPC_MESSAGE_ATTRIBUTES attributes)
{
    struct message message;
    SIZE_T length = sizeof message;
    CHECK(NtAlpcSendWaitReceivePort(port, 0, NULL, NULL, &message.header, &length, attributes, NULL) == 0);
    return message;
}

union room {
    ALPC_MESSAGE_ATTRIBUTES attributes;
    ULONGLONG words[32];
};

static void *room_for(union room *room, ULONG flags)
{
    SIZE_T needed;
    CHECK(AlpcInitializeMessageAttribute(flags, &room->attributes, sizeof *room, &needed) == STATUS_SUCCESS);
    return AlpcGetMessageAttribute(&room->attributes, flags & -flags);
}

static void a_view_is_shown(void)
{
    HANDLE server, side, client, section;
    SIZE_T size;
    connect(u"c-views", &server, &side, &client);
    CHECK(NtAlpcCreatePortSection(client, 0, NULL, 10000, &section, &size) == STATUS_SUCCESS && size == 0x10000);
    ALPC_DATA_VIEW_ATTR view = { .SectionHandle = section, .ViewSize = 5000 }, other = view;
    CHECK(NtAlpcCreateSectionView(client, 0, &view) == STATUS_SUCCESS);
    CHECK(NtAlpcCreateSectionView(client, 0, &other) == STATUS_SUCCESS);
    strcpy(view.ViewBase, "one");
    strcpy(other.ViewBase, "two");
    CHECK_TEXT(view.ViewBase, "one");

    union room sent, received;
    *(PALPC_DATA_VIEW_ATTR)room_for(&sent, ALPC_MESSAGE_VIEW_ATTRIBUTE) = other;
    sent.attributes.ValidAttributes = ALPC_MESSAGE_VIEW_ATTRIBUTE;
    PALPC_DATA_VIEW_ATTR shown = room_for(&received, ALPC_MESSAGE_VIEW_ATTRIBUTE);
    CHECK(send(client, &sent.attributes) == STATUS_SUCCESS);
    next(server, &received.attributes);
    CHECK(received.attributes.ValidAttributes == ALPC_MESSAGE_VIEW_ATTRIBUTE && shown->ViewSize == 5000);
    CHECK_TEXT(shown->ViewBase, "two");
    strcpy(shown->ViewBase, "read");
    CHECK_TEXT(other.ViewBase, "read");
    CHECK(NtAlpcDeleteSectionView(server, 0, shown->ViewBase) == STATUS_SUCCESS);
    CHECK(NtAlpcDeleteSectionView(server, 0, shown->ViewBase) == STATUS_INVALID_PARAMETER);

    /* A copy is the receiver's alone. */
    shown->Flags = ALPC_VIEWFLG_SECURED_ACCESS;
    CHECK(send(client, &sent.attributes) == STATUS_SUCCESS);
    next(server, &received.attributes);
    strcpy(other.ViewBase, "changed");
    CHECK_TEXT(shown->ViewBase, "read");

    CHECK(NtAlpcDeleteSectionView(client, 0, view.ViewBase) == STATUS_SUCCESS);
    view.ViewSize = 0x10000;
    CHECK(NtAlpcCreateSectionView(client, 0, &view) == STATUS_INVALID_VIEW_SIZE);
    CHECK(NtAlpcCreateSectionView(server, 0, &view) == STATUS_INVALID_HANDLE);
    CHECK(NtAlpcDeleteSectionView(client, 0, other.ViewBase) == STATUS_SUCCESS);
    CHECK(NtAlpcCreateSectionView(client, 0, &view) == STATUS_SUCCESS);
    CHECK(send(client, &sent.attributes) == STATUS_INVALID_PARAMETER);
    CHECK(NtAlpcDeletePortSection(client, 0, section) == STATUS_SUCCESS);
    CHECK(NtAlpcDeletePortSection(client, 0, section) == STATUS_INVALID_HANDLE);
    CHECK(NtAlpcCreatePortSection(client, 0, NULL, 0, &section, &size) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(client) == 0 && NtClose(side) == 0 && NtClose(server) == 0);
}

static void handles_are_passed(void)
{
    HANDLE server, side, client;
    connect(u"c-handles", &server, &side, &client);
    union room sent, received;
    PALPC_HANDLE_ATTR given = room_for(&sent, ALPC_MESSAGE_HANDLE_ATTRIBUTE);
    PALPC_HANDLE_ATTR got = room_for(&received, ALPC_MESSAGE_HANDLE_ATTRIBUTE);
    sent.attributes.ValidAttributes = ALPC_MESSAGE_HANDLE_ATTRIBUTE;
    given->Handle = (HANDLE)(ULONG_PTR)mach_task_self();
    CHECK(send(client, &sent.attributes) == STATUS_SUCCESS);
    next(server, &received.attributes);
    CHECK(received.attributes.ValidAttributes == ALPC_MESSAGE_HANDLE_ATTRIBUTE && got->Handle == given->Handle);

    ALPC_HANDLE_ATTR32 two[2] = { { .Handle = mach_task_self() }, { .Handle = mach_thread_self() } }, room[3];
    *given = (ALPC_HANDLE_ATTR) { .Flags = ALPC_HANDLEFLG_INDIRECT, .HandleAttrArray = two, .HandleCount = 2 };
    *got = (ALPC_HANDLE_ATTR) { .Flags = ALPC_HANDLEFLG_INDIRECT, .HandleAttrArray = room, .HandleCount = 3 };
    CHECK(send(client, &sent.attributes) == STATUS_SUCCESS);
    next(server, &received.attributes);
    CHECK(received.attributes.ValidAttributes == ALPC_MESSAGE_HANDLE_ATTRIBUTE && got->HandleCount == 2);
    CHECK(room[0].Handle == two[0].Handle && room[1].Handle == two[1].Handle);

    /* Without room they are given up; none is no number of handles. */
    got->HandleCount = 1;
    CHECK(send(client, &sent.attributes) == STATUS_SUCCESS);
    next(server, &received.attributes);
    CHECK(received.attributes.ValidAttributes == 0);
    two[1].Handle = 0;
    CHECK(send(client, &sent.attributes) != STATUS_SUCCESS);
    CHECK(NtClose(client) == 0 && NtClose(side) == 0 && NtClose(server) == 0);
}

static void a_server_acts_for_who_agrees(void)
{
    HANDLE server, side, client;
    connect(u"c-consent", &server, &side, &client);
    SECURITY_QUALITY_OF_SERVICE quality = { .Length = sizeof quality, .ImpersonationLevel = SecurityImpersonation };
    union room sent, received;
    PALPC_SECURITY_ATTR security = room_for(&sent, ALPC_MESSAGE_SECURITY_ATTRIBUTE);
    PALPC_TOKEN_ATTR token = room_for(&received, ALPC_MESSAGE_TOKEN_ATTRIBUTE);
    CHECK(NtAlpcCreateSecurityContext(client, 0, security) == STATUS_INVALID_PARAMETER);
    security->QoS = &quality;
    CHECK(NtAlpcCreateSecurityContext(client, 0, security) == STATUS_SUCCESS);
    sent.attributes.ValidAttributes = ALPC_MESSAGE_SECURITY_ATTRIBUTE;

    CHECK(send(client, NULL) == STATUS_SUCCESS && send(client, &sent.attributes) == STATUS_SUCCESS);
    struct message silent = next(server, NULL), agreed = next(server, &received.attributes);
    ALPC_SERVER_IDENTITY identity;
    CHECK(NtAlpcImpersonateClientOfPort(server, &silent.header, &identity) == STATUS_BAD_IMPERSONATION_LEVEL);
    CHECK(NtAlpcImpersonateClientOfPort(server, &agreed.header, &identity) == STATUS_SUCCESS);
    CHECK(received.attributes.ValidAttributes == ALPC_MESSAGE_TOKEN_ATTRIBUTE);
    CHECK(token->TokenId == (identity.User | (ULONGLONG)identity.Group << 32));
    CHECK(token->AuthenticationId == (ULONG_PTR)agreed.header.ClientId.UniqueProcess);
    CHECK(NtAlpcImpersonateClientOfPort(client, &agreed.header, NULL) == STATUS_INVALID_PARAMETER);

    CHECK(NtAlpcDeleteSecurityContext(client, 0, security->ContextHandle) == STATUS_SUCCESS);
    CHECK(NtAlpcDeleteSecurityContext(client, 0, security->ContextHandle) == STATUS_INVALID_PARAMETER);
    CHECK(send(client, &sent.attributes) == STATUS_INVALID_PARAMETER);
    CHECK(NtClose(client) == 0 && NtClose(side) == 0 && NtClose(server) == 0);
}

const struct test alpc_tests[] = {
    { "c::a_connection_is_refused_made_and_used", a_connection_is_refused_made_and_used },
    { "c::bad_calls_are_refused", bad_calls_are_refused },
    { "c::a_view_is_shown", a_view_is_shown },
    { "c::handles_are_passed", handles_are_passed },
    { "c::a_server_acts_for_who_agrees", a_server_acts_for_who_agrees },
    { 0 },
};
