//! Messages: as they are sent, and as they arrive with what rides along.
//!
//! Invariant: sending takes nothing from its caller. Handles and views are duplicated, as on Windows, so a send that
//! failed can be made again with the same [`Message`]; what a [`Received`] brought is its receiver's, taken out or
//! given up with it. Neighbours: `header` is the layout, `inbox` decides what is received.

use crate::attributes::{ImpersonationLevel, PortAttributes};
use crate::connection::Peer;
use crate::header::{
    Attributes, CONTINUATION_REQUIRED, IDENTIFY, INFORM, INLINE_MAX, MessageAttributes, NO_IMPERSONATE, PortMessage,
    TYPE_MASK, Terms, Type, mach_id,
};
use crate::section::View;
use crate::status::{Result, Status};
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::abi::message::SecurityToken;
use portolan::{Error, Memory, MemoryObject, Right, SendRight, Task};
use zerocopy::{FromBytes, IntoBytes};

/// Most handles in one message.
pub const HANDLES_MAX: usize = 512;

/// A message to be sent: data, and what rides along.
#[derive(Clone, Copy, Debug)]
#[must_use = "a message does nothing until it is sent"]
pub struct Message<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) kind: Type,
    pub(crate) flags: u16,
    pub(crate) message_id: u32,
    pub(crate) context: u64,
    pub(crate) security: Option<u32>,
    pub(crate) reserve: Option<u32>,
    handles: Handles<'a>,
    view: Option<&'a View>,
}

#[derive(Clone, Copy, Debug)]
enum Handles<'a> {
    None,
    One(&'a SendRight),
    Many(&'a [SendRight]),
}

impl<'a> Message<'a> {
    /// A message with this data.
    pub const fn new(data: &'a [u8]) -> Message<'a> {
        Message {
            data,
            kind: Type::Request,
            flags: 0,
            message_id: 0,
            context: 0,
            security: None,
            reserve: None,
            handles: Handles::None,
            view: None,
        }
    }

    /// The message that these bytes are, as a C program has them: a [`PortMessage`] and its data. Its id names a received
    /// request, as [`to`](Self::to) does, so the bytes of one can be changed into those of its reply.
    ///
    /// # Errors
    /// `InvalidParameter`: its lengths are not those of its parts; its type is unknown, or the library's own.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>> {
        let (header, rest) = PortMessage::read_from_prefix(bytes).map_err(|_| Status::InvalidParameter)?;
        let length = usize::from(header.data_length);
        let whole = usize::from(header.total_length) >= PortMessage::SIZE + length;
        let data = rest.get(..length).filter(|_| whole).ok_or(Status::InvalidParameter)?;
        let kind = match header.message_type() {
            // None was set, or it is that of what is answered.
            Some(Type::Mach | Type::Request | Type::ConnectionRequest) => Type::Request,
            Some(Type::Datagram) => Type::Datagram,
            _ => return Err(Status::InvalidParameter),
        };
        let flags = header.kind & NO_IMPERSONATE;
        Ok(Message { kind, flags, message_id: header.message_id, ..Message::new(data) })
    }

    /// Sets its type. What it is to be follows from the call; a program may only say
    /// [`Type::Request`] or [`Type::Datagram`], and the rest is refused with `InvalidParameter`.
    pub const fn typed(mut self, kind: Type) -> Message<'a> {
        self.kind = kind;
        self
    }

    /// Names the received request that it answers, or within which it calls back
    /// (for [`Port::send_wait_receive`](crate::Port::send_wait_receive)).
    pub const fn to(mut self, message_id: u32) -> Message<'a> {
        self.message_id = message_id;
        self
    }

    /// Sets a number that the reply to an asynchronous request will bring back.
    pub const fn context(mut self, context: u64) -> Message<'a> {
        self.context = context;
        self
    }

    /// Adds a handle: the receiver gets a copy of the right.
    pub const fn handle(mut self, handle: &'a SendRight) -> Message<'a> {
        self.handles = Handles::One(handle);
        self
    }

    /// Adds handles, 2 to [`HANDLES_MAX`] (Windows' indirect ones).
    pub const fn handles(mut self, handles: &'a [SendRight]) -> Message<'a> {
        self.handles = Handles::Many(handles);
        self
    }

    /// Adds a view: the receiver can map what it shows.
    pub const fn view(mut self, view: &'a View) -> Message<'a> {
        self.view = Some(view);
        self
    }

    /// Lets the receiver act for this task as the security context says, on account of this message.
    pub const fn security(mut self, context: u32) -> Message<'a> {
        self.security = Some(context);
        self
    }

    /// Lets the receiver not act for this task on account of this message, whatever it has been allowed.
    pub const fn no_impersonate(mut self) -> Message<'a> {
        self.flags |= NO_IMPERSONATE;
        self
    }

    /// Sends it by a reserve: a reply then needs no memory.
    pub const fn reserve(mut self, reserve: u32) -> Message<'a> {
        self.reserve = Some(reserve);
        self
    }

    /// What can be said against it before it is sent.
    pub(crate) fn check(&self, max_length: usize) -> Result<()> {
        if !matches!(self.kind, Type::Request | Type::Datagram) {
            return Err(Status::InvalidParameter);
        }
        if self.data.len() > max_length.saturating_sub(PortMessage::SIZE) {
            return Err(Status::PortMessageTooLong);
        }
        match self.handles {
            Handles::Many(handles) if handles.len() > HANDLES_MAX => Err(Status::LpcHandleCountExceeded),
            Handles::Many(handles) if handles.len() < 2 => Err(Status::InvalidParameter),
            _ => Ok(()),
        }
    }

    /// Whether it is only data, for a reserve.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.handles, Handles::None) && self.view.is_none() && self.security.is_none()
    }

    /// The header that it goes with.
    pub(crate) fn header(&self, kind: Type, message_id: u32, depth: u32) -> PortMessage {
        let kind = kind as u16 | self.flags;
        PortMessage { kind, message_id, callback_id: u64::from(depth), ..sized(self.data.len()) }
    }

    /// Itself as a Mach message with this header.
    pub(crate) fn encode(
        &self,
        header: PortMessage,
        level: Option<ImpersonationLevel>,
    ) -> Result<portolan::Message<'a>> {
        let attributes = self.attributes(level);
        let tail = if attributes.valid == 0 { &[] } else { attributes.as_bytes() };
        let mut message = compose(header, self.data, tail);
        if let Some(view) = self.view {
            message = message.right(view.object().right());
        }
        Ok(match self.handles {
            Handles::None => message,
            Handles::One(handle) => message.right(handle),
            Handles::Many(handles) => {
                let rights = handles.iter().map(SendRight::try_clone).collect::<portolan::Result<_>>();
                message.rights(rights.map_err(|error| match error {
                    Error::InvalidName => Status::InvalidHandle,
                    error => error.into(),
                })?)
            }
        })
    }

    fn attributes(&self, level: Option<ImpersonationLevel>) -> Attributes {
        let mut attributes = Attributes::default();
        if let Some(level) = level {
            attributes.valid |= MessageAttributes::SECURITY.bits();
            attributes.level = level as u16;
        }
        if let Some(view) = self.view {
            attributes.valid |= MessageAttributes::VIEW.bits();
            (attributes.view_offset, attributes.view_size) = (view.offset(), view.size());
        }
        let handles = match self.handles {
            Handles::None => return attributes,
            Handles::One(_) => 1,
            Handles::Many(handles) => handles.len(),
        };
        attributes.valid |= MessageAttributes::HANDLE.bits();
        attributes.handles = handles as u16;
        attributes
    }
}

/// A header's lengths, of this much data.
pub(crate) fn sized(data: usize) -> PortMessage {
    let (data_length, total_length) = (data as u16, (PortMessage::SIZE + data) as u16);
    PortMessage { data_length, total_length, ..PortMessage::default() }
}

/// The Mach message of a header, its data, and what comes behind.
pub(crate) fn compose<'a>(header: PortMessage, data: &'a [u8], tail: &[u8]) -> portolan::Message<'a> {
    let inline = if data.len() <= INLINE_MAX { data } else { &[] };
    let offset = if tail.is_empty() { 0 } else { (PortMessage::SIZE + inline.len()) as u16 };
    let kind = header.message_type().expect("the library sends known types only");
    let message = portolan::Message::new(mach_id(kind));
    let message = message.value(PortMessage { data_info_offset: offset, ..header }).bytes(inline).bytes(tail);
    if data.len() > INLINE_MAX { message.memory(data) } else { message }
}

/// A message that has arrived.
#[derive(Debug)]
#[must_use = "dropping a message gives up what it brought"]
pub struct Received {
    pub(crate) header: PortMessage,
    attributes: Attributes,
    arrived: Option<portolan::Received>,
    /// Data that came out of line.
    large: Option<Memory>,
    /// How many of the Mach message's descriptors are the data's.
    first: usize,
    /// Where what comes behind the data begins, as the sender says.
    tail: usize,
    pub(crate) peer: Option<Arc<Peer>>,
    pub(crate) context: u64,
    allow_handles: bool,
    max_view_size: u64,
}

impl Received {
    /// Reads a message, or gives it up if it is none.
    pub(crate) fn decode(mut arrived: portolan::Received, limits: &PortAttributes) -> Option<Received> {
        let (header, _) = PortMessage::read_from_prefix(arrived.bytes()).ok()?;
        header.message_type()?;
        let length = usize::from(header.data_length);
        if length + PortMessage::SIZE > limits.max_message_length {
            return None;
        }
        let (first, large) = match length > INLINE_MAX {
            true => (1, Some(arrived.take_memory(0).ok().filter(|memory| memory.len() == length)?)),
            false => (0, None),
        };
        let inline = if large.is_some() { 0 } else { length };
        arrived.bytes().get(PortMessage::SIZE..PortMessage::SIZE + inline)?;
        let mut received = Received {
            header,
            attributes: Attributes::default(),
            arrived: Some(arrived),
            large,
            first,
            tail: usize::from(header.data_info_offset),
            peer: None,
            context: 0,
            allow_handles: limits.allow_handles,
            max_view_size: limits.max_view_size,
        };
        received.attributes = received.tail().unwrap_or_default();
        // What is the sender's to say stays; the rest is as the receiver knows it.
        received.header = PortMessage {
            kind: header.kind & (TYPE_MASK | CONTINUATION_REQUIRED | NO_IMPERSONATE | IDENTIFY | INFORM),
            process: received.sender(),
            message_id: header.message_id,
            callback_id: header.callback_id,
            ..sized(length)
        };
        Some(received)
    }

    /// A message that this side's own library has to say.
    pub(crate) fn told(kind: Type, message_id: u32, peer: Option<Arc<Peer>>) -> Received {
        Received {
            header: PortMessage { kind: kind as u16, message_id, ..sized(0) },
            attributes: Attributes::default(),
            arrived: None,
            large: None,
            first: 0,
            tail: 0,
            peer,
            context: 0,
            allow_handles: false,
            max_view_size: 0,
        }
    }

    /// A message from a port of the program's own.
    pub(crate) fn joined(arrived: portolan::Received, key: u32) -> Received {
        let told = Received::told(Type::Mach, 0, None);
        let header = PortMessage { process: arrived.sender(), ..told.header };
        Received { header, arrived: Some(arrived), context: u64::from(key), ..told }
    }

    /// What comes behind the data.
    fn tail<T: FromBytes>(&self) -> Option<T> {
        let bytes = self.arrived.as_ref()?.bytes().get(self.tail..).filter(|_| self.tail >= PortMessage::SIZE)?;
        T::read_from_prefix(bytes).ok().map(|(tail, _)| tail)
    }

    /// What the sender of a connection message says of itself.
    pub(crate) fn terms(&self) -> Option<Terms> {
        self.tail()
    }

    /// Takes out the right at a place behind the data's.
    pub(crate) fn take_right(&mut self, place: usize) -> Right<'static> {
        let first = self.first;
        self.arrived.as_mut().map_or(Right::Null, |arrived| arrived.take_right(first + place))
    }

    /// Takes out the right to answer.
    pub(crate) fn take_reply(&mut self) -> Right<'static> {
        self.arrived.as_mut().map_or(Right::Null, portolan::Received::take_reply)
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &PortMessage {
        &self.header
    }

    /// What it is.
    #[must_use]
    pub fn message_type(&self) -> Type {
        self.header.message_type().expect("only known types are received")
    }

    /// Names the request among all that this port has not answered; of a reply, the request that it answers.
    #[must_use]
    pub fn message_id(&self) -> u32 {
        self.header.message_id
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match (&self.large, &self.arrived) {
            (Some(memory), _) => memory,
            (None, Some(arrived)) => {
                let data = arrived.bytes().get(PortMessage::SIZE..).unwrap_or_default();
                data.get(..usize::from(self.header.data_length)).unwrap_or_default()
            }
            (None, None) => &[],
        }
    }

    /// Writes it as a C program has it, a [`PortMessage`] and its data; how many bytes.
    ///
    /// # Errors
    /// `BufferTooSmall`: there is no room for them. Nothing is written.
    pub fn write_to(&self, buffer: &mut [u8]) -> Result<usize> {
        let (data, header) = (self.data(), self.header.as_bytes());
        let length = header.len() + data.len();
        let to = buffer.get_mut(..length).ok_or(Status::BufferTooSmall)?;
        to[..header.len()].copy_from_slice(header);
        to[header.len()..].copy_from_slice(data);
        Ok(length)
    }

    /// Of the answer to a connection request, why there is no connection.
    #[must_use]
    pub fn refusal(&self) -> Option<Status> {
        let code = u32::try_from(self.header.callback_id).ok()?;
        Status::from_code(code).filter(|_| self.message_type() == Type::ConnectionReply)
    }

    /// What rides along with it.
    #[must_use]
    pub fn attributes(&self) -> MessageAttributes {
        let always = MessageAttributes::CONTEXT | MessageAttributes::TOKEN;
        let mut all = always | MessageAttributes::from_bits_truncate(self.attributes.valid);
        all.set(MessageAttributes::HANDLE, self.handles() > 0);
        all
    }

    /// The number that this side gave the connection when it was made ([`Port::accept`](crate::Port::accept)).
    #[must_use]
    pub fn port_context(&self) -> u64 {
        self.peer.as_ref().map_or(0, |peer| peer.context)
    }

    /// The number that this side gave the request that it is the reply to ([`Message::context`]), or the port of the
    /// program's own that it came to.
    #[must_use]
    pub fn message_context(&self) -> u64 {
        self.context
    }

    /// The message itself, if it is none of ALPC's ([`Type::Mach`]).
    #[must_use]
    pub fn into_mach(self) -> Option<portolan::Received> {
        self.arrived.filter(|_| self.header.kind == Type::Mach as u16)
    }

    /// Its place in the order in which messages left the port that it came to.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.arrived.as_ref().map_or(0, |arrived| arrived.trailer().sequence)
    }

    /// The sending task, as the kernel tells it: Windows' token attribute. Of news about a connection, the other side.
    #[must_use]
    pub fn sender(&self) -> u64 {
        match (&self.arrived, &self.peer) {
            (Some(arrived), _) => arrived.sender(),
            (None, Some(peer)) => peer.task,
            (None, None) => 0,
        }
    }

    /// Who the sending task acts for, as the kernel tells it.
    #[must_use]
    pub fn token(&self) -> SecurityToken {
        match (&self.arrived, &self.peer) {
            (Some(arrived), _) => arrived.security(),
            (None, Some(peer)) => peer.token,
            (None, None) => SecurityToken::default(),
        }
    }

    /// How many handles it brought: 0 where this port does not take them.
    #[must_use]
    pub fn handles(&self) -> usize {
        if self.allow_handles { usize::from(self.attributes.handles) } else { 0 }
    }

    /// Where the handles' descriptor is.
    fn handle_place(&self) -> usize {
        self.first + usize::from(self.brought(MessageAttributes::VIEW))
    }

    /// Takes out its one handle.
    ///
    /// # Errors
    /// `InvalidParameter`: there is none, any more, or it brought several.
    pub fn take_handle(&mut self) -> Result<SendRight> {
        let place = self.handle_place();
        match &mut self.arrived {
            Some(arrived) if self.allow_handles && self.attributes.handles == 1 => {
                arrived.take_send(place).map_err(|_| Status::InvalidParameter)
            }
            _ => Err(Status::InvalidParameter),
        }
    }

    /// Takes out its handles.
    ///
    /// # Errors
    /// `InvalidParameter`: it did not bring several, or they have been taken.
    pub fn take_handles(&mut self) -> Result<Vec<SendRight>> {
        let place = self.handle_place();
        let taken = match &mut self.arrived {
            Some(arrived) if self.allow_handles => arrived.take_rights(place).map_err(|_| Status::InvalidParameter)?,
            _ => return Err(Status::InvalidParameter),
        };
        taken.into_iter().map(|right| SendRight::try_from(right).map_err(|_| Status::InvalidParameter)).collect()
    }

    /// Takes out its view: memory that the sender can write at any time.
    ///
    /// # Errors
    /// `InvalidParameter`: there is none, any more. `InvalidViewSize`: it is larger than this port allows, or not
    /// inside its section. `InsufficientResources`.
    pub fn take_view(&mut self) -> Result<View> {
        self.view(false)
    }

    /// As [`take_view`](Self::take_view), but the bytes as they are now: the sender cannot change what has been
    /// looked at. (Windows' secure sections.)
    ///
    /// # Errors
    /// Those of [`take_view`](Self::take_view).
    pub fn take_view_secure(&mut self) -> Result<View> {
        self.view(true)
    }

    fn view(&mut self, copied: bool) -> Result<View> {
        if !self.brought(MessageAttributes::VIEW) {
            return Err(Status::InvalidParameter);
        }
        let object = SendRight::try_from(self.take_right(0)).map_err(|_| Status::InvalidParameter)?;
        let Attributes { view_offset, view_size, .. } = self.attributes;
        View::arrived(MemoryObject::from_right(object), view_offset, view_size, self.max_view_size, copied)
    }

    /// Acts for the sender, as far as it has agreed: with this message, or else when the connection was made.
    ///
    /// # Errors
    /// `BadImpersonationLevel`: it has not agreed.
    pub fn impersonate(&self) -> Result<Impersonation> {
        Impersonation::of(self.token(), self.agreed())
    }

    /// What the sender lets the receiver do in its name.
    pub(crate) fn agreed(&self) -> ImpersonationLevel {
        match self.brought(MessageAttributes::SECURITY) {
            _ if self.header.kind & NO_IMPERSONATE != 0 => ImpersonationLevel::Anonymous,
            false => self.peer.as_ref().map_or(ImpersonationLevel::Anonymous, |peer| peer.level),
            true => ImpersonationLevel::from_code(u32::from(self.attributes.level)),
        }
    }

    fn brought(&self, attribute: MessageAttributes) -> bool {
        self.attributes.valid & attribute.bits() != 0
    }

    /// The kernel port of the sending task, if it lets the other side of its connection have it.
    ///
    /// # Errors
    /// `AccessDenied`: it does not.
    pub fn open_sender_process(&self) -> Result<Task> {
        self.peer.as_ref().ok_or(Status::AccessDenied)?.open_process()
    }
}

/// The leave to act for a client. What a server does while it has this, it decides by the client's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// Whom the client acts for, as the kernel told it.
    pub token: SecurityToken,
    /// How far that goes.
    pub level: ImpersonationLevel,
}

impl Impersonation {
    /// What comes of so much consent.
    pub(crate) fn of(token: SecurityToken, level: ImpersonationLevel) -> Result<Impersonation> {
        match level >= ImpersonationLevel::Impersonation {
            true => Ok(Impersonation { token, level }),
            false => Err(Status::BadImpersonationLevel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(header: PortMessage, data: &[u8]) -> Vec<u8> {
        [header.as_bytes(), data].concat()
    }

    #[test]
    fn bytes_are_a_message_with_its_id_and_data() {
        let header = PortMessage { message_id: 7, kind: NO_IMPERSONATE, ..sized(3) };
        let bytes = bytes(header, b"abcd");
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!((message.data, message.message_id), (&b"abc"[..], 7));
        assert_eq!((message.kind, message.flags), (Type::Request, NO_IMPERSONATE));
    }

    #[test]
    fn a_received_header_is_good_for_its_reply() {
        for kind in [Type::Request as u16 | CONTINUATION_REQUIRED, Type::ConnectionRequest as u16] {
            assert!(Message::parse(&bytes(PortMessage { kind, ..sized(0) }, b"")).is_ok());
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let short = PortMessage { total_length: 42, ..sized(3) };
        let reply = PortMessage { kind: Type::Reply as u16, ..sized(3) };
        let unknown = PortMessage { kind: 99, ..sized(3) };
        for wrong in
            [bytes(short, b"abc"), bytes(reply, b"abc"), bytes(unknown, b"abc"), bytes(sized(3), b"ab"), Vec::new()]
        {
            assert_eq!(Message::parse(&wrong).err(), Some(Status::InvalidParameter));
        }
    }

    #[test]
    fn what_a_receiver_is_told_can_be_written_as_bytes() {
        let told = Received::told(Type::Canceled, 5, None);
        let mut buffer = [0; 48];
        assert_eq!(told.write_to(&mut buffer), Ok(40));
        assert_eq!(PortMessage::read_from_prefix(&buffer).expect("a header").0, *told.header());
        assert_eq!(told.write_to(&mut buffer[..39]), Err(Status::BufferTooSmall));
    }
}
