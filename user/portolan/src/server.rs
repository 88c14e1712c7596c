//! Protocols of user servers, defined once: [`interface!`](crate::interface!).
//!
//! A definition is written as the kernel's own are ([`abi::interface`](portolan_abi::interface)),
//! and gives what those give: message ids, structures, the client's stubs, and the text of each
//! routine. To these it adds the server's side: a trait `Server` with a method a routine, a
//! function `dispatch` that lets a server handle one message, and a function `serve` that does so
//! for ever, with one trap for an answer and the next request.
//!
//! A method gets the arguments, and owns the rights that came; what it gives back is the results
//! and the rights of the answer, one after the other: nothing, one value, or a tuple. It may
//! refuse with an [`Error`], or hold the request and answer it later.
//!
//! Invariant: a method sees only requests whose size, number and kinds of rights are the
//! definition's. The others, which anyone may send, are refused with `BadArguments` and
//! `InvalidCapability`, and unknown ids with `BadId`; what they brought is given up. Neighbours:
//! `receive` has the loop, `interface` makes the answers.

use crate::interface::refusal;
use crate::message::Message;
use crate::receive::{Answer, Received};
use crate::right::Right;
use core::fmt;
use core::marker::PhantomData;
use portolan_abi::interface::Routine;
use portolan_abi::message::SecurityToken;
use portolan_abi::{Error, Name};

/// A routine of a user server.
pub trait Served: Routine {
    /// What its method gives back: the results, and then the rights.
    type Given;

    /// The answer that gives it.
    fn answer(given: Self::Given) -> Message<'static>;
}

/// What a method of a server comes to.
pub type Outcome<R> = Result<<R as Served>::Given, Unanswered>;

/// Why a request does not get its results now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It is refused, and the client is told why.
    Refused(Error),
    /// It is answered later, through a [`Held`]. If nobody holds it, the client's wait ends with
    /// `ReceiveReplyLost`.
    Later,
    /// It is not answered, unless it is held, and the server serves no more.
    Stop,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        Unanswered::Refused(error)
    }
}

/// The request that a method is called for.
#[derive(Debug)]
pub struct Call<'a, R> {
    message: &'a mut Received,
    /// How many of its rights have been taken out.
    taken: usize,
    routine: PhantomData<fn() -> R>,
}

impl<R: Served> Call<'_, R> {
    /// Identifies the task that asks, for ever.
    #[must_use]
    pub fn sender(&self) -> u64 {
        self.message.sender()
    }

    /// Who that task acts for.
    #[must_use]
    pub fn security(&self) -> SecurityToken {
        self.message.security()
    }

    /// Keeps the right to answer, for later. The method then ends with [`Unanswered::Later`].
    pub fn hold(&mut self) -> Held<R> {
        Held { client: self.message.take_reply(), routine: PhantomData }
    }
}

/// What `dispatch` needs.
#[doc(hidden)]
impl<'a, R: Served> Call<'a, R> {
    pub fn new(message: &'a mut Received) -> Call<'a, R> {
        Call { message, taken: 0, routine: PhantomData }
    }

    /// The next of the rights that came, if it is of the kind that is wanted.
    pub fn next_right<T: TryFrom<Right<'static>>>(&mut self) -> Result<T, Unanswered> {
        let right = self.message.take_right(self.taken);
        self.taken += 1;
        right.try_into().map_err(|_| Unanswered::Refused(Error::InvalidCapability))
    }

    pub fn answer(outcome: Outcome<R>) -> Answer<'static> {
        match outcome {
            Ok(given) => Answer::Reply(R::answer(given)),
            Err(Unanswered::Refused(error)) => Answer::Reply(refusal(R::ID, error)),
            Err(Unanswered::Later) => Answer::Nothing,
            Err(Unanswered::Stop) => Answer::Stop,
        }
    }
}

/// A request that is answered later. Dropped, it tells the client that no answer will come.
#[must_use = "dropping it tells the client that no answer will come"]
pub struct Held<R> {
    client: Right<'static>,
    routine: PhantomData<fn() -> R>,
}

impl<R: Served> Held<R> {
    /// Asks to be told, by a dead name, when the client waits no more. (A send-once right's end is told only
    /// to who has asked.)
    ///
    /// # Errors
    /// `InvalidCapability`: it does not wait now. `ResourceShortage`.
    pub fn request_dead_name(&self, to: Right<'_>) -> crate::Result<()> {
        match &self.client {
            Right::SendOnce(client) => client.request_dead_name(to).map(drop),
            Right::Send(client) => client.request_dead_name(to).map(drop),
            _ => Err(Error::InvalidCapability),
        }
    }

    /// Whether the right to answer has this name.
    #[must_use]
    pub fn answers_through(&self, name: Name) -> bool {
        self.client.address().name == name
    }

    /// Answers. Never waits: a client that leaves no room for its answer does not get it.
    ///
    /// # Errors
    /// `SendInvalidPort`: the client is gone, or wanted no answer. The other `Send…` errors.
    pub fn answer(self, result: Result<R::Given, Error>) -> crate::Result<()> {
        self.client.answer(match result {
            Ok(given) => R::answer(given),
            Err(error) => refusal(R::ID, error),
        })
    }
}

impl<R: Routine> fmt::Debug for Held<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held<{}>({:?})", R::NAME, self.client)
    }
}

/// The answer that refuses a message.
#[must_use]
pub fn refuse(message: &Received, error: Error) -> Answer<'static> {
    Answer::Reply(refusal(message.id(), error))
}

/// Defines a protocol for client and server. See the module's text.
#[macro_export]
macro_rules! interface {
    (
        base $base:literal;
        $(
            $(#[doc = $doc:literal])*
            $number:literal $routine:ident / $type:ident
            ( $($argument:ident : $argument_type:ty),* $(; $($right_in:ident $(: $right_in_kind:ident)?),+)? )
            -> ( $($result:ident : $result_type:ty),* $(; $($right_out:ident $(: $right_out_kind:ident)?),+)? );
        )*
    ) => {
        $crate::abi::interface! {
            base $base;
            $(
                $(#[doc = $doc])*
                $number $routine / $type
                ( $($argument : $argument_type),* $(; $($right_in $(: $right_in_kind)?),+)? )
                -> ( $($result : $result_type),* $(; $($right_out $(: $right_out_kind)?),+)? );
            )*
        }

        $(
            impl $crate::server::Served for $type {
                type Given = $crate::one_or_all!(type $($result_type,)* $($($crate::right_kind!($($right_out_kind)?),)+)?);

                fn answer(given: Self::Given) -> $crate::Message<'static> {
                    let $crate::one_or_all!($($result,)* $($($right_out,)+)?) = given;
                    $crate::interface::reply::<$type>(
                        results::$type { $($result,)* },
                        [$($($crate::Right::from($right_out),)+)?],
                    )
                }
            }
        )*

        /// What a server of this interface does: a method a routine.
        pub trait Server {
            $(
                $(#[doc = $doc])*
                ///
                /// # Errors
                /// Why it is refused, or not answered now.
                fn $routine(
                    &mut self,
                    call: &mut $crate::server::Call<'_, $type>,
                    $($argument: $argument_type,)*
                    $($($right_in: $crate::right_kind!($($right_in_kind)?),)+)?
                ) -> $crate::server::Outcome<$type>;
            )*

            /// A message that is none of the interface's requests: refused, unless a server has a use
            /// for it, as for what the kernel says.
            fn other(&mut self, message: &mut $crate::Received) -> $crate::Answer<'static> {
                $crate::server::refuse(message, $crate::Error::BadId)
            }
        }

        /// Lets a server handle a message.
        pub fn dispatch(server: &mut impl Server, message: &mut $crate::Received) -> $crate::Answer<'static> {
            if message.is_from_kernel() {
                return server.other(message);
            }
            match Request::decode(message.id(), message.bytes(), message.rights()) {
                $(
                    Ok(Request::$type(_arguments)) => {
                        let mut call = $crate::server::Call::<$type>::new(message);
                        $($(
                            let $right_in = match call.next_right() {
                                Ok(right) => right,
                                Err(wrong) => return $crate::server::Call::<$type>::answer(Err(wrong)),
                            };
                        )+)?
                        let outcome = server.$routine(&mut call, $(_arguments.$argument,)* $($($right_in,)+)?);
                        $crate::server::Call::<$type>::answer(outcome)
                    }
                )*
                Err($crate::Error::BadId) => server.other(message),
                Err(error) => $crate::server::refuse(message, error),
            }
        }

        /// Serves what comes to the port, until a method says `Stop`.
        ///
        /// # Errors
        /// Those of `ReceiveRight::serve`.
        #[allow(dead_code, clippy::allow_attributes, reason = "a server may have a loop of its own")]
        pub fn serve(port: &$crate::ReceiveRight, server: &mut impl Server) -> $crate::Result<()> {
            port.serve(|message| dispatch(server, message))
        }
    };
}

/// The type of a right: the kind that the definition says, or any.
#[doc(hidden)]
#[macro_export]
macro_rules! right_kind {
    () => { $crate::Right<'static> };
    ($kind:ident) => { $crate::right::$kind };
}

/// One thing as itself, none or several as a tuple: types, or a pattern.
#[doc(hidden)]
#[macro_export]
macro_rules! one_or_all {
    (type $only:ty,) => { $only };
    (type $($each:ty,)*) => { ($($each,)*) };
    ($only:ident,) => { $only };
    ($($each:ident,)*) => { ($($each,)*) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Address, addressed, size_of_message, write};
    use crate::message::buffer;
    use crate::right::SendRight;
    use portolan_abi::interface::{REPLY_OFFSET, ReplyHead};
    use portolan_abi::message::{Descriptor, Header, received_size};
    use zerocopy::{FromBytes, IntoBytes};

    #[expect(unreachable_pub, reason = "a definition is public, for whoever can see it")]
    mod adder {
        crate::interface! {
            base 9000;

            /// The sum of two numbers.
            1 add / Add (left: u64, right: u64) -> (sum: u64);

            /// Quotient and rest, and the right that came.
            2 divide / Divide (left: u32, right: u32; back: SendRight) -> (quotient: u32, rest: u32; back: SendRight);

            /// Nothing.
            3 nothing / Nothing () -> ();
        }
    }

    use adder::{Add, Divide, Nothing};

    struct Adder;

    impl adder::Server for Adder {
        fn add(&mut self, _: &mut Call<'_, Add>, left: u64, right: u64) -> Outcome<Add> {
            Ok(left.checked_add(right).ok_or(Error::InvalidValue)?)
        }

        fn divide(&mut self, _: &mut Call<'_, Divide>, left: u32, right: u32, back: SendRight) -> Outcome<Divide> {
            Ok((left / right, left % right, back))
        }

        fn nothing(&mut self, _: &mut Call<'_, Nothing>) -> Outcome<Nothing> {
            Err(Unanswered::Later)
        }
    }

    fn asked(id: u32, rights: &[Descriptor], bytes: &[u8]) -> Answer<'static> {
        let mut words = buffer(received_size(size_of_message(rights.len(), bytes.len()))).expect("memory");
        write(&mut words, Header { id, ..addressed(Address::NONE, Address::NONE) }, rights, bytes);
        adder::dispatch(&mut Adder, &mut Received::new(words))
    }

    /// The answer's id, rights and bytes.
    fn answered(answer: Answer<'static>) -> (u32, Vec<Descriptor>, Vec<u8>) {
        let Answer::Reply(message) = answer else { panic!("an answer") };
        let words = message.encode(Address::NONE, Address::NONE, 0).expect("memory");
        message.sent();
        let (header, rest) = Header::read_from_prefix(words.as_bytes()).expect("a header");
        let (rights, bytes) =
            rest[..header.size as usize - Header::SIZE].split_at(header.descriptors as usize * Descriptor::SIZE);
        (
            header.id,
            rights.chunks(Descriptor::SIZE).map(|one| Descriptor::read_from_bytes(one).expect("one")).collect(),
            bytes.to_vec(),
        )
    }

    fn refused(id: u32, rights: &[Descriptor], bytes: &[u8]) -> Option<Error> {
        let (reply, rights, bytes) = answered(asked(id, rights, bytes));
        assert_eq!((reply, rights.len()), (id + REPLY_OFFSET, 0));
        Error::from_code(ReplyHead::read_from_bytes(&bytes).expect("a head alone").code)
    }

    #[test]
    fn a_method_gets_the_arguments_and_its_results_are_the_answer() {
        let (id, rights, bytes) = answered(asked(9001, &[], [3_u64, 4].as_bytes()));
        assert_eq!((id, rights.len(), bytes), (9101, 0, [0_u64, 7].as_bytes().to_vec()));
    }

    #[test]
    fn rights_go_in_and_out() {
        let given = Descriptor::port(Name(8), 17);
        let (id, rights, bytes) = answered(asked(9002, &[given], [17_u32, 5].as_bytes()));
        assert_eq!((id, rights, bytes), (9102, vec![given], [0_u32, 0, 3, 2].as_bytes().to_vec()));
    }

    #[test]
    fn what_the_definition_does_not_say_is_refused() {
        assert_eq!(refused(9009, &[], &[]), Some(Error::BadId));
        assert_eq!(refused(9001, &[], &[0; 15]), Some(Error::BadArguments));
        assert_eq!(refused(9001, &[Descriptor::default()], &[0; 16]), Some(Error::BadArguments));
        assert_eq!(refused(9002, &[], &[1; 8]), Some(Error::BadArguments));
        assert_eq!(refused(9002, &[Descriptor::default()], &[1; 8]), Some(Error::InvalidCapability));
    }

    #[test]
    fn a_method_refuses_or_does_not_answer_now() {
        assert_eq!(refused(9001, &[], [u64::MAX, 1].as_bytes()), Some(Error::InvalidValue));
        assert!(matches!(asked(9003, &[], &[]), Answer::Nothing));
    }
}
