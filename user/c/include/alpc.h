/* ALPC's calls by their Windows names, with Windows' structures and status codes.
 *
 * A name is looked up at the name server, as it is written. A handle of a port is closed by NtClose; one that came in
 * a message is the name of a send right (mach_port_t), and given up by mach_port_deallocate. Of the attributes of
 * a message, security, view, context and handle can be sent, and view, context, handle and token received.
 * Times are relative: below 0. */
#ifndef _ALPC_H_
#define _ALPC_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef _NTDEF_
#define _NTDEF_
typedef uint8_t UCHAR, BOOLEAN;
typedef int16_t CSHORT;
typedef uint16_t USHORT, WCHAR;
typedef uint32_t ULONG;
typedef int32_t LONG;
typedef uint64_t ULONGLONG;
typedef size_t SIZE_T;
typedef uintptr_t ULONG_PTR;
typedef void *PVOID, *HANDLE, *PSID;
typedef HANDLE *PHANDLE;
typedef ULONG *PULONG;
typedef SIZE_T *PSIZE_T;
typedef ULONG ACCESS_MASK;
typedef LONG NTSTATUS;
typedef WCHAR *PWSTR;
typedef const WCHAR *PCWSTR;

#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG HighPart;
    } u;
    int64_t QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

/* WCHAR has 16 bits: a name is written u"name". */
typedef struct _UNICODE_STRING {
    USHORT Length;
    USHORT MaximumLength;
    PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;

typedef struct _OBJECT_ATTRIBUTES {
    ULONG Length;
    HANDLE RootDirectory;
    PUNICODE_STRING ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor;
    PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;

#define InitializeObjectAttributes(p, name, attributes, root, security) \
    ((p)->Length = sizeof(OBJECT_ATTRIBUTES), (p)->RootDirectory = (root), (p)->ObjectName = (name), \
     (p)->Attributes = (attributes), (p)->SecurityDescriptor = (security), (p)->SecurityQualityOfService = NULL)

typedef struct _CLIENT_ID {
    HANDLE UniqueProcess; /* the task's number, by the kernel's word */
    HANDLE UniqueThread;  /* 0 */
} CLIENT_ID, *PCLIENT_ID;

typedef enum _SECURITY_IMPERSONATION_LEVEL {
    SecurityAnonymous,
    SecurityIdentification,
    SecurityImpersonation,
    SecurityDelegation
} SECURITY_IMPERSONATION_LEVEL;

typedef struct _SECURITY_QUALITY_OF_SERVICE {
    ULONG Length;
    SECURITY_IMPERSONATION_LEVEL ImpersonationLevel;
    UCHAR ContextTrackingMode;
    BOOLEAN EffectiveOnly;
} SECURITY_QUALITY_OF_SERVICE, *PSECURITY_QUALITY_OF_SERVICE;

#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)
#endif

/* Who a server must act for: Portolan's security token. */
typedef struct _ALPC_SERVER_IDENTITY {
    ULONG User;
    ULONG Group;
} ALPC_SERVER_IDENTITY;

#define STATUS_SUCCESS ((NTSTATUS)0x00000000)
#define STATUS_ALERTED ((NTSTATUS)0x00000101)
#define STATUS_TIMEOUT ((NTSTATUS)0x00000102)
#define STATUS_UNSUCCESSFUL ((NTSTATUS)0xC0000001)
#define STATUS_INVALID_HANDLE ((NTSTATUS)0xC0000008)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define STATUS_INVALID_VIEW_SIZE ((NTSTATUS)0xC000001F)
#define STATUS_ACCESS_DENIED ((NTSTATUS)0xC0000022)
#define STATUS_BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define STATUS_INVALID_PORT_ATTRIBUTES ((NTSTATUS)0xC000002E)
#define STATUS_PORT_MESSAGE_TOO_LONG ((NTSTATUS)0xC000002F)
#define STATUS_OBJECT_NAME_INVALID ((NTSTATUS)0xC0000033)
#define STATUS_OBJECT_NAME_NOT_FOUND ((NTSTATUS)0xC0000034)
#define STATUS_OBJECT_NAME_COLLISION ((NTSTATUS)0xC0000035)
#define STATUS_PORT_DISCONNECTED ((NTSTATUS)0xC0000037)
#define STATUS_OBJECT_PATH_NOT_FOUND ((NTSTATUS)0xC000003A)
#define STATUS_SECTION_TOO_BIG ((NTSTATUS)0xC0000040)
#define STATUS_PORT_CONNECTION_REFUSED ((NTSTATUS)0xC0000041)
#define STATUS_INVALID_PORT_HANDLE ((NTSTATUS)0xC0000042)
#define STATUS_QUOTA_EXCEEDED ((NTSTATUS)0xC0000044)
#define STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009A)
#define STATUS_BAD_IMPERSONATION_LEVEL ((NTSTATUS)0xC00000A5)
#define STATUS_POSSIBLE_DEADLOCK ((NTSTATUS)0xC0000194)
#define STATUS_REPLY_MESSAGE_MISMATCH ((NTSTATUS)0xC000021F)
#define STATUS_LPC_REPLY_LOST ((NTSTATUS)0xC0000253)
#define STATUS_SERVER_SID_MISMATCH ((NTSTATUS)0xC00002A0)
#define STATUS_OBJECTID_NOT_FOUND ((NTSTATUS)0xC00002F0)
#define STATUS_IMPLEMENTATION_LIMIT ((NTSTATUS)0xC000042B)
#define STATUS_MESSAGE_LOST ((NTSTATUS)0xC0000701)
#define STATUS_REQUEST_CANCELED ((NTSTATUS)0xC0000703)
#define STATUS_LPC_REQUESTS_NOT_ALLOWED ((NTSTATUS)0xC0000707)
#define STATUS_RESOURCE_IN_USE ((NTSTATUS)0xC0000708)
#define STATUS_LPC_HANDLE_COUNT_EXCEEDED ((NTSTATUS)0xC0000722)

typedef struct _PORT_MESSAGE {
    union {
        struct {
            CSHORT DataLength;
            CSHORT TotalLength;
        } s1;
        ULONG Length;
    } u1;
    union {
        struct {
            CSHORT Type;
            CSHORT DataInfoOffset;
        } s2;
        ULONG ZeroInit;
    } u2;
    union {
        CLIENT_ID ClientId;
        double DoNotUseThisField;
    };
    ULONG MessageId;
    union {
        SIZE_T ClientViewSize;
        ULONG CallbackId;
    };
} PORT_MESSAGE, *PPORT_MESSAGE;

#define LPC_REQUEST 1
#define LPC_REPLY 2
#define LPC_DATAGRAM 3
#define LPC_LOST_REPLY 4
#define LPC_PORT_CLOSED 5
#define LPC_CLIENT_DIED 6
#define LPC_EXCEPTION 7
#define LPC_DEBUG_EVENT 8
#define LPC_ERROR_EVENT 9
#define LPC_CONNECTION_REQUEST 10
#define LPC_CONNECTION_REPLY 11
#define LPC_CANCELED 12

#define LPC_CONTINUATION_REQUIRED 0x2000
#define LPC_NO_IMPERSONATE 0x4000

#define ALPC_PORFLG_ALLOW_IMPERSONATION 0x10000
#define ALPC_PORFLG_ALLOW_LPC_REQUESTS 0x20000
#define ALPC_PORFLG_WAITABLE_PORT 0x40000
#define ALPC_PORFLG_ALLOW_DUP_OBJECT 0x80000

typedef struct _ALPC_PORT_ATTRIBUTES {
    ULONG Flags;
    SECURITY_QUALITY_OF_SERVICE SecurityQos;
    SIZE_T MaxMessageLength; /* 0: 256 */
    SIZE_T MemoryBandwidth;
    SIZE_T MaxPoolUsage; /* 0: 16 KiB */
    SIZE_T MaxSectionSize;
    SIZE_T MaxViewSize;
    SIZE_T MaxTotalSectionSize;
    ULONG DupObjectTypes;
    ULONG Reserved;
} ALPC_PORT_ATTRIBUTES, *PALPC_PORT_ATTRIBUTES;

#define ALPC_MESSAGE_SECURITY_ATTRIBUTE 0x80000000
#define ALPC_MESSAGE_VIEW_ATTRIBUTE 0x40000000
#define ALPC_MESSAGE_CONTEXT_ATTRIBUTE 0x20000000
#define ALPC_MESSAGE_HANDLE_ATTRIBUTE 0x10000000
#define ALPC_MESSAGE_TOKEN_ATTRIBUTE 0x08000000

typedef struct _ALPC_MESSAGE_ATTRIBUTES {
    ULONG AllocatedAttributes;
    ULONG ValidAttributes;
} ALPC_MESSAGE_ATTRIBUTES, *PALPC_MESSAGE_ATTRIBUTES;

typedef struct _ALPC_CONTEXT_ATTR {
    PVOID PortContext;
    PVOID MessageContext;
    ULONG Sequence;
    ULONG MessageId;
    ULONG CallbackId;
} ALPC_CONTEXT_ATTR, *PALPC_CONTEXT_ATTR;

#define ALPC_HANDLEFLG_INDIRECT 0x40000

typedef struct _ALPC_HANDLE_ATTR32 {
    ULONG Flags;
    ULONG Handle;
    ULONG ObjectType;
    ACCESS_MASK DesiredAccess;
} ALPC_HANDLE_ATTR32, *PALPC_HANDLE_ATTR32;

/* Several handles, 2 to 512, are in an array of HandleCount, which Flags says (INDIRECT). Who receives several has set Flags,
 * array and its length before, and then finds how many there are; without that they are given up. */
typedef struct _ALPC_HANDLE_ATTR {
    ULONG Flags;
    union {
        HANDLE Handle;
        PALPC_HANDLE_ATTR32 HandleAttrArray;
    };
    union {
        ULONG ObjectType;
        ULONG HandleCount;
    };
    ACCESS_MASK DesiredAccess;
} ALPC_HANDLE_ATTR, *PALPC_HANDLE_ATTR;

typedef HANDLE ALPC_HANDLE, *PALPC_HANDLE;

#define ALPC_VIEWFLG_SECURED_ACCESS 0x40000

/* Sent, it names a view by its base. Received, the view is mapped there, until NtAlpcDeleteSectionView. Who receives sets
 * SECURED_ACCESS before to get a copy, which the sender can change no more. */
typedef struct _ALPC_DATA_VIEW_ATTR {
    ULONG Flags;
    ALPC_HANDLE SectionHandle;
    PVOID ViewBase;
    SIZE_T ViewSize;
} ALPC_DATA_VIEW_ATTR, *PALPC_DATA_VIEW_ATTR;

typedef struct _ALPC_SECURITY_ATTR {
    ULONG Flags;
    PSECURITY_QUALITY_OF_SERVICE QoS;
    ALPC_HANDLE ContextHandle;
} ALPC_SECURITY_ATTR, *PALPC_SECURITY_ATTR;

/* Who has sent a message, by the kernel's word: user and, in the upper half, group; and the task's number. */
typedef struct _ALPC_TOKEN_ATTR {
    ULONGLONG TokenId;
    ULONGLONG AuthenticationId;
    ULONGLONG ModifiedId;
} ALPC_TOKEN_ATTR, *PALPC_TOKEN_ATTR;

SIZE_T AlpcGetHeaderSize(ULONG Flags);
NTSTATUS AlpcInitializeMessageAttribute(ULONG AttributeFlags, PALPC_MESSAGE_ATTRIBUTES Buffer, SIZE_T BufferSize,
                                        PSIZE_T RequiredBufferSize);
PVOID AlpcGetMessageAttribute(PALPC_MESSAGE_ATTRIBUTES Buffer, ULONG AttributeFlag);

#define ALPC_MSGFLG_REPLY_MESSAGE 0x1
#define ALPC_MSGFLG_RELEASE_MESSAGE 0x10000
#define ALPC_MSGFLG_SYNC_REQUEST 0x20000
#define ALPC_MSGFLG_WAIT_ALERTABLE 0x200000

void RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString);

NTSTATUS NtAlpcCreatePort(PHANDLE PortHandle, POBJECT_ATTRIBUTES ObjectAttributes,
                          PALPC_PORT_ATTRIBUTES PortAttributes);
/* RequiredServerSid: an ALPC_SERVER_IDENTITY, or NULL. */
NTSTATUS NtAlpcConnectPort(PHANDLE PortHandle, PUNICODE_STRING PortName, POBJECT_ATTRIBUTES ObjectAttributes,
                           PALPC_PORT_ATTRIBUTES PortAttributes, ULONG Flags, PSID RequiredServerSid,
                           PPORT_MESSAGE ConnectionMessage, PSIZE_T BufferLength,
                           PALPC_MESSAGE_ATTRIBUTES OutMessageAttributes,
                           PALPC_MESSAGE_ATTRIBUTES InMessageAttributes, PLARGE_INTEGER Timeout);
NTSTATUS NtAlpcAcceptConnectPort(PHANDLE PortHandle, HANDLE ConnectionPortHandle, ULONG Flags,
                                 POBJECT_ATTRIBUTES ObjectAttributes, PALPC_PORT_ATTRIBUTES PortAttributes,
                                 PVOID PortContext, PPORT_MESSAGE ConnectionRequest,
                                 PALPC_MESSAGE_ATTRIBUTES ConnectionMessageAttributes, BOOLEAN AcceptConnection);
/* A reply for which the buffer of a synchronous request is too small is lost; any other message stays. */
NTSTATUS NtAlpcSendWaitReceivePort(HANDLE PortHandle, ULONG Flags, PPORT_MESSAGE SendMessage,
                                   PALPC_MESSAGE_ATTRIBUTES SendMessageAttributes, PPORT_MESSAGE ReceiveMessage,
                                   PSIZE_T BufferLength, PALPC_MESSAGE_ATTRIBUTES ReceiveMessageAttributes,
                                   PLARGE_INTEGER Timeout);
NTSTATUS NtAlpcDisconnectPort(HANDLE PortHandle, ULONG Flags);
NTSTATUS NtAlpcCancelMessage(HANDLE PortHandle, ULONG Flags, PALPC_CONTEXT_ATTR MessageContext);
NTSTATUS NtAlpcOpenSenderProcess(PHANDLE ProcessHandle, HANDLE PortHandle, PPORT_MESSAGE PortMessage, ULONG Flags,
                                 ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes);

/* SectionHandle is NULL: a section is made of new memory. A view is as large as it says, in a part of the section that no other
 * view of this task's shows. */
NTSTATUS NtAlpcCreatePortSection(HANDLE PortHandle, ULONG Flags, HANDLE SectionHandle, SIZE_T SectionSize,
                                 PALPC_HANDLE AlpcSectionHandle, PSIZE_T ActualSectionSize);
NTSTATUS NtAlpcDeletePortSection(HANDLE PortHandle, ULONG Flags, ALPC_HANDLE SectionHandle);
NTSTATUS NtAlpcCreateSectionView(HANDLE PortHandle, ULONG Flags, PALPC_DATA_VIEW_ATTR ViewAttributes);
NTSTATUS NtAlpcDeleteSectionView(HANDLE PortHandle, ULONG Flags, PVOID ViewBase);

/* A message that names the context lets its receiver act for this task as far as its QoS says. */
NTSTATUS NtAlpcCreateSecurityContext(HANDLE PortHandle, ULONG Flags, PALPC_SECURITY_ATTR SecurityAttribute);
NTSTATUS NtAlpcDeleteSecurityContext(HANDLE PortHandle, ULONG Flags, ALPC_HANDLE ContextHandle);
/* What a server does for a client it decides itself: it is told for whom. Identity: an ALPC_SERVER_IDENTITY, or NULL. */
NTSTATUS NtAlpcImpersonateClientOfPort(HANDLE PortHandle, PPORT_MESSAGE Message, PVOID Identity);
NTSTATUS NtClose(HANDLE Handle);

#ifdef __cplusplus
}
#endif

#endif
