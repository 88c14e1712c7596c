//! One definition of a kernel routine, for both sides.
//!
//! [`interface!`](crate::interface!) turns a list of routines into: a request and
//! a reply structure for each, its message id, the user's stub (generic over
//! how a program sends, [`Transport`]), an enum of decoded requests for the
//! kernel, and the reference text of each (its doc comment, also as data: [`RoutineText`], of
//! which `docs/reference.md` is made). This is what MIG did.
//!
//! A request is a message with the routine's id, the argument structure as inline
//! bytes, and exactly the rights it takes. The reply's id is the request's plus
//! [`REPLY_OFFSET`]; its inline bytes are a [`ReplyHead`] and, on success only,
//! the result structure. Names of what a routine takes or gives are one to one
//! with descriptors, in order. A right's name may be followed by the kind that it must be, as
//! the user library calls it (`port: SendRight`): a server in user space gets it as that type, and
//! a request with another kind is refused. The kernel's routines leave it out, and say themselves
//! what they take. The name of a region of out-of-line memory stands in brackets at the end.
//!
//! Protocols of user servers are defined in the same way, by the user library's own `interface!`,
//! which adds the server's side.

use crate::error::Result;
use crate::message::Descriptor;
use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Added to a request's id to make its reply's (MIG's convention).
pub const REPLY_OFFSET: u32 = 100;

/// Most rights in a reply.
pub const REPLY_RIGHTS_MAX: usize = 8;

/// How every reply's inline bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ReplyHead {
    /// 0, or an [`Error`](crate::Error)'s number.
    pub code: i32,
    /// Always 0.
    pub reserved: u32,
}

/// A routine behind a kernel port, as a type.
pub trait Routine {
    /// The message id of its request.
    const ID: u32;
    /// Its name, for traces and documents.
    const NAME: &'static str;
    /// How many rights its request carries.
    const RIGHTS_IN: usize;
    /// How many rights its reply carries.
    const RIGHTS_OUT: usize;
    /// How many regions of memory its request carries, after the rights.
    const MEMORY_IN: usize;
    /// How many regions of memory its reply carries, after the rights: one at most.
    const MEMORY_OUT: usize;
    /// The inline bytes of the request.
    type Arguments: IntoBytes + FromBytes + KnownLayout + Immutable + Copy;
    /// The inline bytes of the reply, after its head.
    type Results: IntoBytes + FromBytes + KnownLayout + Immutable + Copy;
}

/// A successful reply, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Reply<R: Routine> {
    /// The results.
    pub results: R::Results,
    /// The rights that came; the first `R::RIGHTS_OUT` are meaningful.
    pub rights: [Name; REPLY_RIGHTS_MAX],
    /// The memory that came, if `R::MEMORY_OUT` says so; it is the caller's to unmap.
    pub memory: Region,
}

/// Bytes of out-of-line memory, in the address space of who has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Region {
    /// The first one.
    pub address: u64,
    /// How many.
    pub size: u64,
}

/// What the definition of a routine says, for documents. A program that does not look at it
/// does not carry it.
#[derive(Clone, Copy, Debug)]
pub struct RoutineText {
    /// The message id of its request.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// The lines of its text.
    pub lines: &'static [&'static str],
    /// The arguments: name and type.
    pub arguments: &'static [(&'static str, &'static str)],
    /// The rights that its request carries.
    pub rights_in: &'static [&'static str],
    /// The results: name and type.
    pub results: &'static [(&'static str, &'static str)],
    /// The rights that its reply carries.
    pub rights_out: &'static [&'static str],
    /// The memory that its request carries.
    pub memory_in: &'static [&'static str],
    /// The memory that its reply carries.
    pub memory_out: &'static [&'static str],
}

/// How a stub gets its request to the kernel: the user library's `msg_rpc`.
pub trait Transport {
    /// Sends one request to `port` and waits for its reply.
    ///
    /// # Errors
    /// What the message call or the routine returned.
    fn call<R: Routine>(&self, port: Name, arguments: &R::Arguments, descriptors: &[Descriptor]) -> Result<Reply<R>>;
}

/// Defines the routines behind one kind of kernel port. See the module's text.
#[macro_export]
macro_rules! interface {
    (
        base $base:literal;
        $(
            $(#[doc = $doc:literal])*
            $number:literal $routine:ident / $type:ident
            ( $($argument:ident : $argument_type:ty),* $(; $($right_in:ident $(: $right_in_kind:ident)?),+)? $([$memory_in:ident])? )
            -> ( $($result:ident : $result_type:ty),* $(; $($right_out:ident $(: $right_out_kind:ident)?),+)? $([$memory_out:ident])? );
        )*
    ) => {
        use $crate::interface::Routine as _;

        /// The message ids that are this interface's.
        pub const IDS: ::core::ops::Range<u32> = $base..$base + $crate::interface::REPLY_OFFSET;

        /// What the definition says of each routine.
        pub const ROUTINES: &[$crate::interface::RoutineText] = &[$(
            $crate::interface::RoutineText {
                id: $base + $number,
                name: stringify!($routine),
                lines: &[$($doc),*],
                arguments: &[$((stringify!($argument), stringify!($argument_type))),*],
                rights_in: &[$($(concat!(stringify!($right_in) $(, ": ", stringify!($right_in_kind))?)),+)?],
                results: &[$((stringify!($result), stringify!($result_type))),*],
                rights_out: &[$($(concat!(stringify!($right_out) $(, ": ", stringify!($right_out_kind))?)),+)?],
                memory_in: &[$(stringify!($memory_in))?],
                memory_out: &[$(stringify!($memory_out))?],
            },
        )*];

        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $type;

            impl $crate::interface::Routine for $type {
                const ID: u32 = $base + $number;
                const NAME: &'static str = stringify!($routine);
                const RIGHTS_IN: usize = 0 $($(+ { let _ = stringify!($right_in); 1 })+)?;
                const RIGHTS_OUT: usize = 0 $($(+ { let _ = stringify!($right_out); 1 })+)?;
                const MEMORY_IN: usize = 0 $(+ { let _ = stringify!($memory_in); 1 })?;
                const MEMORY_OUT: usize = 0 $(+ { let _ = stringify!($memory_out); 1 })?;
                type Arguments = arguments::$type;
                type Results = results::$type;
            }
        )*

        /// Inline bytes of each request.
        pub mod arguments {
            #[allow(unused_imports, clippy::allow_attributes, clippy::wildcard_imports, reason = "the types in scope of the definition; some need none")]
            use super::*;
            $(
                /// See the routine of the same name.
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                #[derive(::zerocopy::IntoBytes, ::zerocopy::FromBytes, ::zerocopy::KnownLayout, ::zerocopy::Immutable)]
                #[repr(C)]
                pub struct $type { $(#[doc = "See the routine."] pub $argument: $argument_type,)* }
            )*
        }

        /// Inline bytes of each successful reply, after its head.
        pub mod results {
            #[allow(unused_imports, clippy::allow_attributes, clippy::wildcard_imports, reason = "the types in scope of the definition; some need none")]
            use super::*;
            $(
                /// See the routine of the same name.
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                #[derive(::zerocopy::IntoBytes, ::zerocopy::FromBytes, ::zerocopy::KnownLayout, ::zerocopy::Immutable)]
                #[repr(C)]
                pub struct $type { $(#[doc = "See the routine."] pub $result: $result_type,)* }
            )*
        }

        /// How many regions of memory the request with this id carries.
        #[must_use]
        pub const fn memory_in(id: u32) -> usize {
            match id {
                $( $type::ID => $type::MEMORY_IN, )*
                _ => 0,
            }
        }

        /// A request, decoded.
        #[derive(Clone, Copy, Debug)]
        #[allow(clippy::large_enum_variant, clippy::allow_attributes, reason = "it lives on the stack, for one call")]
        pub enum Request {
            $( $(#[doc = $doc])* $type(arguments::$type), )*
        }

        impl Request {
            /// The request with this id, these inline bytes and this number of rights.
            ///
            /// # Errors
            /// `BadId` for an unknown id, `BadArguments` where size or number of rights is wrong.
            pub fn decode(id: u32, body: &[u8], rights: usize) -> $crate::Result<Request> {
                match id {
                    $(
                        $type::ID => {
                            use ::zerocopy::FromBytes as _;
                            let arguments = arguments::$type::read_from_bytes(body)
                                .map_err(|_| $crate::Error::BadArguments)?;
                            if rights != $type::RIGHTS_IN {
                                return Err($crate::Error::BadArguments);
                            }
                            Ok(Request::$type(arguments))
                        }
                    )*
                    _ => Err($crate::Error::BadId),
                }
            }
        }

        $(
            $(#[doc = $doc])*
            ///
            /// # Errors
            /// What the message call or the routine returned.
            #[allow(clippy::too_many_arguments, clippy::allow_attributes, reason = "some routines have as many")]
            pub fn $routine(
                transport: &impl $crate::interface::Transport,
                port: $crate::Name,
                $($argument: $argument_type,)*
                $($($right_in: $crate::message::Descriptor,)+)?
                $($memory_in: $crate::message::Descriptor,)?
            ) -> $crate::Result<$crate::interface::Reply<$type>> {
                transport.call::<$type>(port, &arguments::$type { $($argument,)* }, &[$($($right_in,)+)? $($memory_in,)?])
            }
        )*
    };
}
