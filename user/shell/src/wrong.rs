//! Why a command was not done, as a person is told.

use alloc::string::{String, ToString};
use core::fmt;
use portolan::{Error, Failure};

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// Its words are not those it takes.
    Usage(&'static str),
    /// A call failed.
    Call(Error),
    /// Something else, in words.
    Text(String),
}

/// What a command comes to.
pub(crate) type Done<T = ()> = Result<T, Wrong>;

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Usage(usage) => write!(f, "usage: {usage}"),
            Wrong::Text(text) => f.write_str(text),
            Wrong::Call(error) => {
                write!(f, "{}:", error.classic_name())?;
                error.lines().iter().try_for_each(|line| f.write_str(line))
            }
        }
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        Wrong::Call(error)
    }
}

impl From<Failure<'_>> for Wrong {
    fn from(failure: Failure<'_>) -> Wrong {
        Wrong::Call(failure.error)
    }
}

impl From<String> for Wrong {
    fn from(text: String) -> Wrong {
        Wrong::Text(text)
    }
}

impl From<&str> for Wrong {
    fn from(text: &str) -> Wrong {
        Wrong::Text(text.to_string())
    }
}
