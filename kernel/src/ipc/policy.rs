//! What happens to a message that nobody can take now: the one place that decides it.
//!
//! [`decide`] and [`fate`] are functions of plain values, and tested as tables; `send` does
//! what they say. Invariant: they know no kernel state, and nothing else decides this.
//! Neighbours: `send`; `abi::port` explains [`AtFull`] and [`Generation`].

use portolan_abi::message::Options;
use portolan_abi::{AtFull, Error, Generation};

/// All that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Whether the message goes through a send-once right.
    pub send_once: bool,
    /// Whether the queue has a free place.
    pub room: bool,
    /// Whether the port holds no message at all, by its capacity.
    pub holds_none: bool,
    /// The receiver's answer.
    pub at_full: AtFull,
    /// Whether a message with the same id is queued; only of interest to [`AtFull::Replace`].
    pub same_id: bool,
    /// The sender's options.
    pub options: Options,
    /// Its timeout in ms, if it gave one; 0 once that is over.
    pub timeout: Option<u32>,
    /// How the name it sends through behaves.
    pub generation: Generation,
}

/// What happens to the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// It is queued: the mailbox is not full, or must take it.
    Queue,
    /// Its sender waits, as long as it said.
    Wait,
    /// The send ends without success: its time is over.
    TimeOut,
    /// The kernel caches it.
    Cache,
    /// As [`Full::TimeOut`], and the sender will be told when there is room.
    ArmSendPossible,
    /// The receiver wants no more.
    Refuse,
    /// It is queued, and the oldest message destroyed.
    DropOldest,
    /// It is destroyed.
    DropNewest,
    /// It takes the place of the queued message with its id, which is destroyed.
    Replace,
}

/// What becomes of a message whose send ends without success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is its sender's again.
    GiveBack,
    /// It is destroyed.
    Destroy,
    /// It is destroyed, and its sender is told that it has been sent.
    DestroyAsSent,
}

/// Decides: a free place first, then the receiver's answer, then the sender's choice.
pub fn decide(case: &Case) -> Full {
    if case.send_once || case.room {
        return Full::Queue;
    }
    match case.at_full {
        AtFull::Refuse => Full::Refuse,
        AtFull::DropOldest if !case.holds_none => Full::DropOldest,
        AtFull::DropOldest | AtFull::DropNewest => Full::DropNewest,
        AtFull::Replace if case.same_id => Full::Replace,
        AtFull::Replace | AtFull::Sender => senders_choice(case),
    }
}

fn senders_choice(case: &Case) -> Full {
    let notify = case.options.contains(Options::SEND_NOTIFY);
    match (case.generation, case.timeout) {
        (_, Some(1..)) => Full::Wait,
        (Generation::Xnu, Some(0)) if notify => Full::ArmSendPossible,
        (Generation::Xnu, None) => Full::Wait,
        (Generation::Portolan | Generation::Mach25 | Generation::Mach3, _) if notify => Full::Cache,
        (_, Some(0)) => Full::TimeOut,
        (_, None) => Full::Wait,
    }
}

/// What becomes of a message that was not sent, for this reason.
pub fn fate(generation: Generation, error: Error) -> Fate {
    match (generation, error) {
        // None of them refuses a wait: there is nothing to be true to.
        (_, Error::SendWouldDeadlock) => Fate::GiveBack,
        (Generation::Mach25, _) => Fate::Destroy,
        // The port died while the sender waited.
        (Generation::Mach3 | Generation::Xnu, Error::SendInvalidPort) => Fate::DestroyAsSent,
        (Generation::Portolan | Generation::Mach3 | Generation::Xnu, _) => Fate::GiveBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Generation::{Mach3, Mach25, Portolan, Xnu};

    const PLAIN: Options = Options::empty();
    const NOTIFY: Options = Options::SEND_NOTIFY;

    const FULL: Case = Case {
        send_once: false,
        room: false,
        holds_none: false,
        at_full: AtFull::Sender,
        same_id: false,
        options: PLAIN,
        timeout: None,
        generation: Portolan,
    };

    #[test]
    fn the_senders_choice_in_every_generation() {
        #[rustfmt::skip]
        let table = [
            // options, timeout   ours           2.5            3              XNU
            (PLAIN,  None,    [Full::Wait,    Full::Wait,    Full::Wait,    Full::Wait]),
            (PLAIN,  Some(9), [Full::Wait,    Full::Wait,    Full::Wait,    Full::Wait]),
            (PLAIN,  Some(0), [Full::TimeOut, Full::TimeOut, Full::TimeOut, Full::TimeOut]),
            (NOTIFY, None,    [Full::Cache,   Full::Cache,   Full::Cache,   Full::Wait]),
            (NOTIFY, Some(9), [Full::Wait,    Full::Wait,    Full::Wait,    Full::Wait]),
            (NOTIFY, Some(0), [Full::Cache,   Full::Cache,   Full::Cache,   Full::ArmSendPossible]),
        ];
        for (options, timeout, expected) in table {
            for (generation, expected) in [Portolan, Mach25, Mach3, Xnu].into_iter().zip(expected) {
                let case = Case { options, timeout, generation, ..FULL };
                assert_eq!(decide(&case), expected, "{case:?}");
            }
        }
    }

    #[test]
    fn the_receivers_answer_comes_first() {
        #[rustfmt::skip]
        let table = [
            // answer              holds none, same id
            (AtFull::Refuse,     false, false, Full::Refuse),
            (AtFull::DropOldest, false, false, Full::DropOldest),
            (AtFull::DropOldest, true,  false, Full::DropNewest),
            (AtFull::DropNewest, false, true,  Full::DropNewest),
            (AtFull::Replace,    false, true,  Full::Replace),
            (AtFull::Replace,    false, false, Full::TimeOut),
            (AtFull::Sender,     false, true,  Full::TimeOut),
        ];
        for (at_full, holds_none, same_id, expected) in table {
            for generation in [Portolan, Mach25, Mach3, Xnu] {
                let case = Case { at_full, holds_none, same_id, timeout: Some(0), generation, ..FULL };
                assert_eq!(decide(&case), expected, "{case:?}");
            }
        }
    }

    #[test]
    fn room_and_send_once_rights_leave_nothing_to_decide() {
        for at_full in AtFull::ALL {
            for (room, send_once) in [(true, false), (false, true), (true, true)] {
                assert_eq!(decide(&Case { room, send_once, at_full, timeout: Some(0), ..FULL }), Full::Queue);
            }
        }
    }

    #[test]
    fn who_ends_up_with_a_message_that_was_not_sent() {
        #[rustfmt::skip]
        let table = [
            (Error::SendTimedOut,         [Fate::GiveBack, Fate::Destroy, Fate::GiveBack,      Fate::GiveBack]),
            (Error::SendInterrupted,      [Fate::GiveBack, Fate::Destroy, Fate::GiveBack,      Fate::GiveBack]),
            (Error::SendNotifyInProgress, [Fate::GiveBack, Fate::Destroy, Fate::GiveBack,      Fate::GiveBack]),
            (Error::SendPortFull,         [Fate::GiveBack, Fate::Destroy, Fate::GiveBack,      Fate::GiveBack]),
            (Error::SendWouldDeadlock,    [Fate::GiveBack, Fate::GiveBack, Fate::GiveBack,     Fate::GiveBack]),
            (Error::SendInvalidPort,      [Fate::GiveBack, Fate::Destroy, Fate::DestroyAsSent, Fate::DestroyAsSent]),
        ];
        for (error, expected) in table {
            assert_eq!([Portolan, Mach25, Mach3, Xnu].map(|generation| fate(generation, error)), expected);
        }
    }
}
