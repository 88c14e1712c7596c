//! What a case is, and how it says what went wrong.
//!
//! A case is a function that runs as the main program of a task of its own. It
//! fails by returning a [`Failure`], which any [`Error`] becomes with the place
//! it came from; [`same!`] and [`holds!`] make the others.
//! Neighbours: `runner` runs the cases; each subsystem's file has a table of its own.

use alloc::format;
use alloc::string::String;
use core::panic::Location;
use portolan::abi::Error;

/// A case of the suite.
pub(crate) struct Case {
    /// `subsystem::rule`.
    pub(crate) name: &'static str,
    /// What its task does.
    pub(crate) run: fn() -> Verdict,
    /// How its task must end.
    pub(crate) ending: Expected,
}

/// How a case's task must end for the case to pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It reports success and leaves nothing behind.
    Success,
    /// It reports a failure.
    Failure,
    /// It ends without a report.
    Crash,
    /// It does not end.
    Hang,
    /// It reports success, but leaves something behind.
    Leak,
}

impl Case {
    /// A case that succeeds.
    pub(crate) const fn new(name: &'static str, run: fn() -> Verdict) -> Case {
        Case { name, run, ending: Expected::Success }
    }
}

/// The result of a case.
pub(crate) type Verdict = core::result::Result<(), Failure>;

/// Why a case failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In words, with the place.
    pub(crate) reason: String,
}

impl Failure {
    /// A failure at the caller's place.
    #[track_caller]
    pub(crate) fn new(reason: &str) -> Failure {
        let place = Location::caller();
        let file = place.file().rsplit('/').next().unwrap_or_default();
        Failure { reason: format!("{reason} ({file}:{})", place.line()) }
    }
}

impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Failure {
        Failure::new(&format!("{error:?}"))
    }
}

impl From<portolan::Failure<'_>> for Failure {
    #[track_caller]
    fn from(failure: portolan::Failure<'_>) -> Failure {
        Failure::from(failure.error)
    }
}

/// Fails the case unless both values are the same: `same!(what it is, what it must be)`.
#[macro_export]
macro_rules! same {
    ($actual:expr, $expected:expr) => {{
        let (actual, expected) = (&$actual, &$expected);
        if actual != expected {
            let text = alloc::format!("{} is {actual:?}, not {expected:?}", stringify!($actual));
            return Err($crate::case::Failure::new(&text));
        }
    }};
}

/// Fails the case unless the condition holds; values to show may follow it.
#[macro_export]
macro_rules! holds {
    ($condition:expr $(, $value:expr)* $(,)?) => {
        if !$condition {
            let values: &[alloc::string::String] = &[$( alloc::format!("; {} = {:?}", stringify!($value), $value) ),*];
            let text = alloc::format!("not so: {}{}", stringify!($condition), values.concat());
            return Err($crate::case::Failure::new(&text));
        }
    };
}

/// The table of a subsystem's cases, each named as its function.
#[macro_export]
macro_rules! cases {
    ($subsystem:literal: $($case:ident),+ $(,)?) => {
        /// This subsystem's cases.
        pub(crate) const CASES: &[$crate::case::Case] =
            &[$( $crate::case::Case::new(concat!($subsystem, "::", stringify!($case)), $case) ),+];
    };
}
