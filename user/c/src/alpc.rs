//! `alpc.h`: ALPC's calls by their Windows names, over `portolan_alpc`.
//!
//! A handle is a port's place in [`PORTS`], or the name of a right that came in a message. Invariant: handles
//! of ports are multiples of 4, and no port is at 0. Neighbours: `portolan_alpc::port`, one call for each; `section`.

mod section;

use crate::unistd::{bytes, bytes_mut};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::from_mut;
use portolan::abi::message::SecurityToken;
use portolan::{Mutex, Name, SendRight};
use portolan_alpc::header::MessageAttributes;
use portolan_alpc::{
    Access, ImpersonationLevel, Message, Port, PortAttributes, PortMessage, Received, SendFlags, Status, View,
};
use section::{SECURED_ACCESS, ViewAttribute};

type Handle = usize;
type NtStatus = u32;

/// `STATUS_SUCCESS`.
const SUCCESS: NtStatus = 0;
/// Handles are multiples of this, as in Windows.
const STEP: usize = 4;
/// Where a C function leaves a result.
type Out<'a, T> = &'a mut MaybeUninit<T>;

static PORTS: Mutex<Vec<Option<Arc<Port>>>> = Mutex::new(Vec::new());

fn place(handle: Handle) -> Result<usize, Status> {
    (handle.is_multiple_of(STEP))
        .then_some(handle / STEP)
        .and_then(|place| place.checked_sub(1))
        .ok_or(Status::InvalidHandle)
}

fn port(handle: Handle) -> Result<Arc<Port>, Status> {
    let place = place(handle)?;
    PORTS.lock().get(place).cloned().flatten().ok_or(Status::InvalidHandle)
}

fn put(port: Port) -> Handle {
    let mut ports = PORTS.lock();
    let place = ports.iter().position(Option::is_none).unwrap_or(ports.len());
    if place == ports.len() {
        ports.push(None);
    }
    ports[place] = Some(Arc::new(port));
    (place + 1) * STEP
}

fn number(result: Result<(), Status>) -> NtStatus {
    result.map_or_else(Status::code, |()| SUCCESS)
}

/// `UNICODE_STRING`.
#[repr(C)]
struct UnicodeString {
    /// Bytes.
    length: u16,
    maximum_length: u16,
    buffer: *const u16,
}

/// What a string says.
///
/// # Safety
/// Its length is that of its buffer.
unsafe fn text(string: &UnicodeString) -> Result<String, Status> {
    let units = usize::from(string.length) / size_of::<u16>();
    if units == 0 {
        return Err(Status::ObjectNameInvalid);
    }
    // SAFETY: the caller vouches for them.
    let units = unsafe { core::slice::from_raw_parts(string.buffer, units) };
    String::from_utf16(units).map_err(|_| Status::ObjectNameInvalid)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn RtlInitUnicodeString(string: Out<UnicodeString>, source: *const u16) {
    let mut units = 0_u16;
    // SAFETY: the caller passes a string that ends with 0, or null.
    while !source.is_null() && units < u16::MAX / 2 - 1 && unsafe { source.wrapping_add(units.into()).read() } != 0 {
        units += 1;
    }
    string.write(UnicodeString { length: units * 2, maximum_length: units * 2 + 2, buffer: source });
}

/// `OBJECT_ATTRIBUTES`.
#[repr(C)]
struct ObjectAttributes<'a> {
    length: u32,
    root: Handle,
    name: Option<&'a UnicodeString>,
    attributes: u32,
    security: [*const c_void; 2],
}

/// `ALPC_PORT_ATTRIBUTES`, with its `SECURITY_QUALITY_OF_SERVICE` in it.
#[repr(C)]
struct AlpcPortAttributes {
    flags: u32,
    quality_length: u32,
    impersonation: u32,
    tracking: [u8; 4],
    max_message_length: usize,
    memory_bandwidth: usize,
    max_pool_usage: usize,
    max_section_size: usize,
    max_view_size: usize,
    max_total_section_size: usize,
    dup_object_types: u32,
    reserved: u32,
}

/// `ALPC_PORFLG_ALLOW_IMPERSONATION`, `ALPC_PORFLG_ALLOW_DUP_OBJECT`.
const ALLOW_IMPERSONATION: u32 = 0x1_0000;
const ALLOW_DUP_OBJECT: u32 = 0x8_0000;

/// What is 0 is as Windows has it for who says nothing.
fn port_attributes(given: Option<&AlpcPortAttributes>) -> PortAttributes {
    let usual = PortAttributes::default();
    let Some(given) = given else { return usual };
    let or = |said: usize, usual: usize| if said == 0 { usual } else { said };
    let or_long = |said: usize, usual: u64| if said == 0 { usual } else { said as u64 };
    let level = if given.flags & ALLOW_IMPERSONATION == 0 { 0 } else { given.impersonation };
    PortAttributes {
        max_message_length: or(given.max_message_length, usual.max_message_length),
        max_pool_usage: or(given.max_pool_usage, usual.max_pool_usage),
        max_section_size: or_long(given.max_section_size, usual.max_section_size),
        max_view_size: or_long(given.max_view_size, usual.max_view_size),
        max_total_section_size: or_long(given.max_total_section_size, usual.max_total_section_size),
        impersonation: ImpersonationLevel::from_code(level),
        allow_handles: given.flags & ALLOW_DUP_OBJECT != 0,
        ..usual
    }
}

/// A time to wait, in ms: `LARGE_INTEGER`, in 100 ns, below 0 if it is from now on. Others are not there.
fn timeout(time: Option<&i64>) -> Result<Option<u32>, Status> {
    const PER_MS: u64 = 10_000;
    match time {
        None => Ok(None),
        Some(time @ ..=0) => Ok(Some(u32::try_from(time.unsigned_abs().div_ceil(PER_MS)).unwrap_or(u32::MAX))),
        Some(_) => Err(Status::InvalidParameter),
    }
}

/// The message that a program has, header and data.
///
/// # Safety
/// As many bytes as its header says can be read, and stay.
unsafe fn message<'a>(header: *const PortMessage) -> Result<Message<'a>, Status> {
    // SAFETY: the caller passes a header.
    let length = unsafe { (*header).total_length };
    // SAFETY: and the caller vouches for what it says.
    Message::parse(unsafe { bytes(header.cast(), length.into()) })
}

/// Leaves a message in a buffer, and its size, or the size that is needed.
///
/// # Safety
/// There are as many bytes as `length` says.
unsafe fn give(received: &Received, into: *mut PortMessage, length: &mut usize) -> Result<(), Status> {
    // SAFETY: the caller vouches for them.
    let written = received.write_to(unsafe { bytes_mut(into.cast(), *length) });
    *length = PortMessage::SIZE + received.data().len();
    written.map(drop)
}

/// `ALPC_MESSAGE_ATTRIBUTES`: which have room behind it, and which of them say something.
#[repr(C)]
struct AlpcMessageAttributes {
    allocated: u32,
    valid: u32,
}

/// `ALPC_CONTEXT_ATTR`.
#[repr(C)]
struct ContextAttribute {
    port_context: u64,
    message_context: u64,
    sequence: u32,
    message_id: u32,
    callback_id: u32,
    reserved: u32,
}

/// `ALPC_HANDLE_ATTR`. A handle is the name of a send right. With [`INDIRECT`], there are `count` in an array.
#[repr(C)]
struct HandleAttribute {
    flags: u32,
    /// A name, or where the array is.
    handle: Handle,
    /// With one handle, its object type, which means nothing here.
    count: u32,
    desired_access: u32,
}

/// `ALPC_HANDLEFLG_INDIRECT`.
const INDIRECT: u32 = 0x4_0000;

/// `ALPC_HANDLE_ATTR32`: one of several handles.
#[repr(C)]
struct IndirectHandle {
    flags: u32,
    handle: u32,
    object_type: u32,
    desired_access: u32,
}

/// `ALPC_SECURITY_ATTR`.
#[repr(C)]
struct SecurityAttribute<'a> {
    flags: u32,
    quality: Option<&'a Quality>,
    context: Handle,
}

/// `SECURITY_QUALITY_OF_SERVICE`.
#[repr(C)]
struct Quality {
    length: u32,
    impersonation: u32,
    tracking: [u8; 4],
}

/// `ALPC_TOKEN_ATTR`: who has sent a message, by the kernel's word.
#[repr(C)]
struct TokenAttribute {
    /// The user, and in the upper half the group.
    token: u64,
    /// The task's number.
    authentication: u64,
    modified: u64,
}

/// The attributes, in their order, and the bytes that each takes.
const ATTRIBUTES: [(u32, usize); 7] = [
    (MessageAttributes::SECURITY.bits(), size_of::<SecurityAttribute<'_>>()),
    (MessageAttributes::VIEW.bits(), size_of::<ViewAttribute>()),
    (MessageAttributes::CONTEXT.bits(), size_of::<ContextAttribute>()),
    (MessageAttributes::HANDLE.bits(), size_of::<HandleAttribute>()),
    (MessageAttributes::TOKEN.bits(), size_of::<TokenAttribute>()),
    (1 << 26, 0x08),
    (1 << 25, 0x08),
];

/// Bytes that attributes take, with what they begin with.
#[unsafe(no_mangle)]
extern "C" fn AlpcGetHeaderSize(flags: u32) -> usize {
    let wanted = ATTRIBUTES.iter().filter(|(flag, _)| flags & flag != 0);
    size_of::<AlpcMessageAttributes>() + wanted.map(|(_, size)| size).sum::<usize>()
}

/// Makes a buffer room for attributes, all of them 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn AlpcInitializeMessageAttribute(
    flags: u32,
    into: Option<Out<AlpcMessageAttributes>>,
    size: usize,
    required: Out<usize>,
) -> NtStatus {
    let needed = AlpcGetHeaderSize(flags);
    required.write(needed);
    match into {
        Some(into) if size >= needed => {
            // SAFETY: the caller passes a buffer of this size.
            unsafe { bytes_mut(from_mut(into).cast(), needed) }.fill(0);
            into.write(AlpcMessageAttributes { allocated: flags, valid: 0 });
            SUCCESS
        }
        _ => Status::BufferTooSmall.code(),
    }
}

/// Where an attribute is; null if it has no room.
#[unsafe(no_mangle)]
extern "C" fn AlpcGetMessageAttribute(attributes: &AlpcMessageAttributes, flag: u32) -> *mut c_void {
    if flag.count_ones() != 1 || attributes.allocated & flag == 0 {
        return core::ptr::null_mut();
    }
    // Those with higher bits lie before it.
    let before = attributes.allocated & !(flag | (flag - 1));
    core::ptr::from_ref(attributes).cast::<u8>().cast_mut().wrapping_add(AlpcGetHeaderSize(before)).cast()
}

/// An attribute; `None` if it has no room.
///
/// # Safety
/// The attributes have the room that they say, and what they say lies there.
unsafe fn attribute<'a, T>(attributes: *const AlpcMessageAttributes, flag: MessageAttributes) -> Option<&'a mut T> {
    // SAFETY: the caller passes attributes.
    let at = AlpcGetMessageAttribute(unsafe { &*attributes }, flag.bits());
    // SAFETY: the caller vouches for what lies there.
    unsafe { at.cast::<T>().as_mut() }
}

/// What rides along with a message that is sent: handles, a view, the sender's consent, and a number of its own.
#[derive(Default)]
struct Rider {
    handles: Lent,
    view: Option<Arc<View>>,
    security: Option<u32>,
    context: u64,
}

/// Rights that stay the program's own; a message takes copies.
#[derive(Default)]
struct Lent(Vec<SendRight>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|right| {
            let _ = right.into_name();
        });
    }
}

impl Rider {
    /// # Safety
    /// The attributes have the room that they say, and what they say lies there.
    unsafe fn of(attributes: Option<&AlpcMessageAttributes>) -> Result<Rider, Status> {
        let mut rider = Rider::default();
        let Some(attributes) = attributes else { return Ok(rider) };
        let known = MessageAttributes::all() - MessageAttributes::TOKEN;
        let valid = MessageAttributes::from_bits(attributes.valid).ok_or(Status::InvalidParameter)?;
        if !known.contains(valid) || attributes.valid & !attributes.allocated != 0 {
            return Err(Status::InvalidParameter);
        }
        if valid.contains(MessageAttributes::CONTEXT) {
            // SAFETY: it lies there, as the caller says.
            let context = unsafe { attribute::<ContextAttribute>(attributes, MessageAttributes::CONTEXT) };
            rider.context = context.map_or(0, |context| context.message_context);
        }
        if valid.contains(MessageAttributes::SECURITY) {
            // SAFETY: it lies there, as the caller says.
            let security = unsafe { attribute::<SecurityAttribute<'_>>(attributes, MessageAttributes::SECURITY) };
            let context = security.map_or(0, |security| security.context);
            rider.security = Some(u32::try_from(context).map_err(|_| Status::InvalidParameter)?);
        }
        if valid.contains(MessageAttributes::VIEW) {
            // SAFETY: it lies there, as the caller says.
            let view = unsafe { attribute::<ViewAttribute>(attributes, MessageAttributes::VIEW) };
            rider.view = Some(section::view_at(view.map_or(0, |view| view.base))?);
        }
        if valid.contains(MessageAttributes::HANDLE) {
            // SAFETY: it lies there, as the caller says.
            let handle = unsafe { attribute::<HandleAttribute>(attributes, MessageAttributes::HANDLE) };
            // SAFETY: and so does what it points at.
            rider.handles = unsafe { lent(handle.ok_or(Status::InvalidParameter)?) }?;
        }
        Ok(rider)
    }

    fn on<'a>(&'a self, message: Message<'a>) -> Message<'a> {
        let message = message.context(self.context);
        let message = self.security.map_or(message, |context| message.security(context));
        let message = self.view.as_ref().map_or(message, |view| message.view(view));
        match &*self.handles.0 {
            [] => message,
            [handle] => message.handle(handle),
            handles => message.handles(handles),
        }
    }
}

/// The handles that an attribute names.
///
/// # Safety
/// If it has an array, that lies where it says.
unsafe fn lent(attribute: &HandleAttribute) -> Result<Lent, Status> {
    if attribute.flags & INDIRECT == 0 {
        let name = u32::try_from(attribute.handle).map_err(|_| Status::InvalidHandle)?;
        return Ok(Lent([SendRight::from_name(Name(name))].into()));
    }
    let mut lent = Lent::default();
    for number in 0..attribute.count as usize {
        // SAFETY: the caller vouches for the array.
        let handle = unsafe { (*(attribute.handle as *const IndirectHandle).wrapping_add(number)).handle };
        lent.0.push(SendRight::from_name(Name(handle)));
    }
    Ok(lent)
}

/// Leaves what came to a port with a message in the attributes that have room for it. What has none is given up.
///
/// # Safety
/// The attributes have the room that they say; an array of handles lies where its attribute says.
unsafe fn give_attributes(port: Handle, received: &mut Received, into: Option<&mut AlpcMessageAttributes>) {
    let Some(into) = into else { return };
    into.valid = 0;
    let mut valid = MessageAttributes::empty();
    // SAFETY: there is room, as the caller says.
    if let Some(context) = unsafe { attribute::<ContextAttribute>(into, MessageAttributes::CONTEXT) } {
        *context = ContextAttribute {
            port_context: received.port_context(),
            message_context: received.message_context(),
            sequence: received.sequence() as u32,
            message_id: received.message_id(),
            callback_id: received.header().callback_id as u32,
            reserved: 0,
        };
        valid |= MessageAttributes::CONTEXT;
    }
    // SAFETY: there is room, as the caller says.
    if let Some(token) = unsafe { attribute::<TokenAttribute>(into, MessageAttributes::TOKEN) } {
        let SecurityToken { user, group } = received.token();
        let identity = u64::from(user) | u64::from(group) << u32::BITS;
        *token = TokenAttribute { token: identity, authentication: received.sender(), modified: 0 };
        valid |= MessageAttributes::TOKEN;
    }
    // SAFETY: there is room, as the caller says.
    if let Some(view) = unsafe { attribute::<ViewAttribute>(into, MessageAttributes::VIEW) } {
        let secured = view.flags & SECURED_ACCESS != 0;
        if let Ok(shown) = if secured { received.take_view_secure() } else { received.take_view() } {
            let size = shown.size() as usize;
            *view = ViewAttribute { flags: view.flags, section: 0, base: section::keep(port, shown), size };
            valid |= MessageAttributes::VIEW;
        }
    }
    // SAFETY: there is room, as the caller says.
    if let Some(handle) = unsafe { attribute::<HandleAttribute>(into, MessageAttributes::HANDLE) } {
        // SAFETY: and the array is there.
        if unsafe { give_handles(received, handle) } {
            valid |= MessageAttributes::HANDLE;
        }
    }
    into.valid = valid.bits();
}

/// Leaves the handles that a message brought: one in the attribute, or several in its array; whether there are any.
///
/// # Safety
/// If the attribute has an array, that lies where it says.
unsafe fn give_handles(received: &mut Received, into: &mut HandleAttribute) -> bool {
    if let Ok(right) = received.take_handle() {
        *into = HandleAttribute { flags: 0, handle: right.into_name().0 as Handle, count: 0, desired_access: 0 };
        return true;
    }
    let room = if into.flags & INDIRECT == 0 { 0 } else { into.count as usize };
    let handles = received.take_handles().unwrap_or_default();
    if handles.is_empty() || handles.len() > room {
        return false;
    }
    into.count = handles.len() as u32;
    for (number, right) in handles.into_iter().enumerate() {
        let handle = IndirectHandle { flags: 0, handle: right.into_name().0, object_type: 0, desired_access: 0 };
        // SAFETY: there is room, as the caller says.
        unsafe { (into.handle as *mut IndirectHandle).wrapping_add(number).write(handle) };
    }
    true
}

/// Makes a connection port, with a name if it is given one.
#[unsafe(no_mangle)]
unsafe extern "C" fn NtAlpcCreatePort(
    handle: Out<Handle>,
    object: Option<&ObjectAttributes<'_>>,
    attributes: Option<&AlpcPortAttributes>,
) -> NtStatus {
    let made = Port::create(port_attributes(attributes), Access::Anyone).and_then(|port| {
        if let Some(name) = object.and_then(|object| object.name) {
            // SAFETY: the caller passes a string.
            port.register(&unsafe { text(name) }?)?;
        }
        Ok(port)
    });
    number(made.map(|port| {
        handle.write(put(port));
    }))
}

/// `ALPC_MSGFLG_SYNC_REQUEST`: wait for the server's answer.
const WAIT: u32 = 0x2_0000;

/// Asks for a connection. What the server says is left in the message's own buffer, if its length is given.
#[unsafe(no_mangle)]
unsafe extern "C" fn NtAlpcConnectPort(
    handle: Out<Handle>,
    name: &UnicodeString,
    _object: *const ObjectAttributes<'_>,
    attributes: Option<&AlpcPortAttributes>,
    flags: u32,
    required: Option<&[u32; 2]>,
    connection_message: *mut PortMessage,
    length: Option<&mut usize>,
    sent_attributes: Option<&AlpcMessageAttributes>,
    received_attributes: Option<&mut AlpcMessageAttributes>,
    time: Option<&i64>,
) -> NtStatus {
    let connect = || {
        // SAFETY: the caller passes a string.
        let name = unsafe { text(name) }?;
        let said = match connection_message.is_null() {
            true => Message::new(&[]),
            // SAFETY: the caller passes a message.
            false => unsafe { message(connection_message) }?,
        };
        // SAFETY: the caller passes attributes.
        let rider = unsafe { Rider::of(sent_attributes) }?;
        let (limits, said) = (port_attributes(attributes), rider.on(said));
        let required = required.map(|[user, group]| SecurityToken { user: *user, group: *group });
        if flags & WAIT == 0 {
            return Ok((Port::connect_later(&*name, limits, &said, required)?, None));
        }
        match Port::connect(&*name, limits, &said, required, timeout(time)?) {
            Ok((port, answer)) => Ok((port, Some(answer))),
            Err(refusal) => Err(match refusal.message {
                Some(answer) => Refused::With(refusal.status, answer),
                None => refusal.status.into(),
            }),
        }
    };
    let (status, port, answer) = match connect() {
        Ok((port, answer)) => (SUCCESS, *handle.write(put(port)), answer),
        Err(Refused::With(status, answer)) => (status.code(), 0, Some(*answer)),
        Err(Refused::Only(status)) => return status.code(),
    };
    if let (Some(mut answer), false, Some(length)) = (answer, connection_message.is_null(), length) {
        // SAFETY: the caller passes attributes.
        unsafe { give_attributes(port, &mut answer, received_attributes) };
        // SAFETY: the caller passes a buffer of this length. What does not fit is told by the length.
        let _ = unsafe { give(&answer, connection_message, length) };
    }
    status
}

/// Why there is no connection, and perhaps what the server says to that.
enum Refused {
    Only(Status),
    With(Status, alloc::boxed::Box<Received>),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Refused {
        Refused::Only(status)
    }
}

/// Accepts or refuses a connection request, which may have been changed into the answer.
#[unsafe(no_mangle)]
unsafe extern "C" fn NtAlpcAcceptConnectPort(
    handle: Out<Handle>,
    connection_port: Handle,
    _flags: u32,
    _object: *const ObjectAttributes<'_>,
    _attributes: *const AlpcPortAttributes,
    context: u64,
    request: *const PortMessage,
    _message_attributes: *const AlpcMessageAttributes,
    accept: u8,
) -> NtStatus {
    let mut answer = || {
        let server = port(connection_port)?;
        // SAFETY: the caller passes a message.
        let answer = unsafe { message(request) }?;
        // SAFETY: and so a header.
        let id = unsafe { (*request).message_id };
        if accept == 0 {
            handle.write(0);
            return server.refuse(id, &answer);
        }
        handle.write(put(server.accept(id, context, &answer)?));
        Ok(())
    };
    number(answer())
}

/// Sends, receives, or both.
#[unsafe(no_mangle)]
unsafe extern "C" fn NtAlpcSendWaitReceivePort(
    handle: Handle,
    flags: u32,
    send: *mut PortMessage,
    sent_attributes: Option<&AlpcMessageAttributes>,
    receive: *mut PortMessage,
    length: Option<&mut usize>,
    received_attributes: Option<&mut AlpcMessageAttributes>,
    time: Option<&i64>,
) -> NtStatus {
    let exchange = || {
        let port = port(handle)?;
        let flags = SendFlags::from_bits(flags).ok_or(Status::InvalidParameter)?;
        // SAFETY: the caller passes attributes.
        let rider = unsafe { Rider::of(sent_attributes) }?;
        let said = match send.is_null() {
            true => None,
            // SAFETY: the caller passes a message.
            false => Some(rider.on(unsafe { message(send) }?)),
        };
        let room = match (receive.is_null(), &length) {
            (true, _) => None,
            (false, Some(length)) => Some(length.checked_sub(PortMessage::SIZE).ok_or(Status::BufferTooSmall)?),
            (false, None) => return Err(Status::InvalidParameter),
        };
        let done = match port.send_wait_receive(flags, said.as_ref(), room, timeout(time)?) {
            Err(Status::BufferTooSmall) => {
                if let (Some(length), Some(next)) = (length, port.next_length()) {
                    *length = PortMessage::SIZE + next;
                }
                return Err(Status::BufferTooSmall);
            }
            done => done?,
        };
        if done.message_id != 0 {
            // SAFETY: what was sent was a message.
            unsafe { (*send).message_id = done.message_id };
        }
        let (Some(mut received), Some(length), false) = (done.received, length, receive.is_null()) else {
            return Ok(());
        };
        // SAFETY: the caller passes attributes.
        unsafe { give_attributes(handle, &mut received, received_attributes) };
        // SAFETY: the caller passes a buffer of this length.
        unsafe { give(&received, receive, length) }
    };
    number(exchange())
}

#[unsafe(no_mangle)]
extern "C" fn NtAlpcDisconnectPort(handle: Handle, _flags: u32) -> NtStatus {
    number(port(handle).and_then(|port| port.disconnect()))
}

/// Cancels the request that the context names.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcCancelMessage(handle: Handle, _flags: u32, context: &ContextAttribute) -> NtStatus {
    number(port(handle).and_then(|port| port.cancel(context.message_id)))
}

/// The task that has sent a request which is not answered yet: a send right to its kernel port.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcOpenSenderProcess(
    process: Out<Handle>,
    handle: Handle,
    request: &PortMessage,
    _flags: u32,
    _access: u32,
    _object: *const ObjectAttributes<'_>,
) -> NtStatus {
    let task = port(handle).and_then(|port| port.open_sender_process(request.message_id));
    number(task.map(|task| {
        let task = ManuallyDrop::new(task);
        process.write(task.right().name().0 as Handle);
    }))
}

/// Makes a security context, to be named in messages: how far the other side may act for this task.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcCreateSecurityContext(
    handle: Handle,
    _flags: u32,
    attribute: &mut SecurityAttribute<'_>,
) -> NtStatus {
    let made = port(handle).and_then(|port| {
        let quality = attribute.quality.ok_or(Status::InvalidParameter)?;
        port.create_security_context(ImpersonationLevel::from_code(quality.impersonation))
    });
    number(made.map(|context| attribute.context = context as Handle))
}

#[unsafe(no_mangle)]
extern "C" fn NtAlpcDeleteSecurityContext(handle: Handle, _flags: u32, context: Handle) -> NtStatus {
    let context = u32::try_from(context).map_err(|_| Status::InvalidParameter);
    number(port(handle).and_then(|port| port.delete_security_context(context?)))
}

/// Asks for whom this task may act: the sender of a request that is not answered yet, if it has agreed.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcImpersonateClientOfPort(
    handle: Handle,
    request: &PortMessage,
    identity: Option<Out<[u32; 2]>>,
) -> NtStatus {
    let leave = port(handle).and_then(|port| port.impersonate_client(request.message_id));
    number(leave.map(|leave| {
        if let Some(identity) = identity {
            identity.write([leave.token.user, leave.token.group]);
        }
    }))
}

/// Closes a port: it is disconnected.
#[unsafe(no_mangle)]
extern "C" fn NtClose(handle: Handle) -> NtStatus {
    let place = match place(handle) {
        Ok(place) => place,
        Err(status) => return status.code(),
    };
    let closed = PORTS.lock().get_mut(place).and_then(Option::take);
    let Some(port) = closed else { return Status::InvalidHandle.code() };
    // It may be so already; and threads that wait there still have it.
    let _ = port.disconnect();
    section::close(handle);
    SUCCESS
}
