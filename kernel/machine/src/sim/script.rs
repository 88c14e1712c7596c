//! What a simulated thread does, and what it saw.
//!
//! A [`Script`] is a thread's program: actions still to do, one outcome for each that
//! is done. Actions can be added at any time; a thread that has none left gives up
//! the processor again and again, and is called starved.
//! Invariant: outcomes are in the order of the actions. Neighbour: `cpu` plays it.

use crate::{Exception, VirtAddr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// One thing that user code does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Traps with this number and these arguments.
    Call(u64, [u64; 6]),
    /// Reads memory.
    Load {
        /// Where.
        address: u64,
        /// How many bytes.
        size: usize,
    },
    /// Writes memory.
    Store {
        /// Where.
        address: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Jumps there and comes back.
    Execute {
        /// Where.
        address: u64,
    },
    /// Computes for so many nanoseconds.
    Work(u64),
    /// Does what the processor refuses.
    Raise(Exception),
}

/// What came of an action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The call's two results.
    Returned {
        /// 0 or an error's number.
        code: i32,
        /// The second result.
        value: u64,
    },
    /// The bytes read.
    Loaded(Vec<u8>),
    /// It is done.
    Done,
}

/// A thread's program, and the way to look into it from outside.
#[derive(Clone, Default, Debug)]
pub struct Script {
    state: Rc<RefCell<State>>,
}

/// The registers that a thread is started with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Its stack pointer.
    pub stack: VirtAddr,
    /// Its argument.
    pub argument: u64,
}

#[derive(Default, Debug)]
struct State {
    start: Option<Start>,
    to_do: VecDeque<Action>,
    outcomes: Vec<Outcome>,
}

impl Script {
    /// Adds an action at the end. Its outcome will have the number that this returns.
    pub fn push(&self, action: Action) -> usize {
        let mut state = self.state.borrow_mut();
        state.to_do.push_back(action);
        state.outcomes.len() + state.to_do.len() - 1
    }

    /// The outcome with this number, if the thread has come so far.
    #[must_use]
    pub fn outcome(&self, number: usize) -> Option<Outcome> {
        self.state.borrow().outcomes.get(number).cloned()
    }

    /// Actions without an outcome.
    #[must_use]
    pub fn left(&self) -> usize {
        self.state.borrow().to_do.len()
    }

    /// What the thread found in its registers, once it has run.
    #[must_use]
    pub fn start(&self) -> Option<Start> {
        self.state.borrow().start
    }

    pub(super) fn starts(&self, start: Start) {
        self.state.borrow_mut().start.get_or_insert(start);
    }

    pub(super) fn current(&self) -> Option<Action> {
        self.state.borrow().to_do.front().cloned()
    }

    /// Puts another action in the place of the current one.
    pub(super) fn replace_current(&self, action: Action) {
        self.state.borrow_mut().to_do[0] = action;
    }

    /// Ends the current action.
    pub(super) fn finish(&self, outcome: Outcome) {
        let mut state = self.state.borrow_mut();
        state.to_do.pop_front();
        state.outcomes.push(outcome);
    }
}
