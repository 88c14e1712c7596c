//! Why a command was not done, as a person is told.

use alloc::format;
use alloc::string::{String, ToString};
use portolan::{Error, Failure};

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// Its words are not those it takes.
    Usage,
    /// A call failed.
    Call(Error),
    /// Something else, in words.
    Text(String),
}

/// What a command comes to.
pub(crate) type Done<T = ()> = Result<T, Wrong>;

impl Wrong {
    /// What a person is told, if the command takes these words.
    pub(crate) fn told(self, usage: &str) -> String {
        match self {
            Wrong::Usage => format!("usage: {usage}"),
            Wrong::Call(error) => format!("{}:{}", error.classic_name(), error.lines().concat()),
            Wrong::Text(text) => text,
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
