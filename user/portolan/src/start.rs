//! What a program is given when it starts, and how it ends.
//!
//! After `entry` has read the start-up block, the program's main function runs,
//! named by [`main!`](crate::main!); what it returns is reported to whoever started
//! the task. Invariant: nothing is sent or allocated before main is called.
//!
//! Neighbours: `program` lays the block out; `bootstrap` is the report's other end.

use crate::console::Console;
use crate::lock::Once;
use crate::memory_object::MemoryObject;
use crate::right::SendRight;
use crate::{bootstrap, host, task};
use core::fmt::Debug;
use core::sync::atomic::{AtomicU64, Ordering};

/// What the task was given when it was started.
pub struct Startup {
    /// The argument text: words, by custom `key=value`.
    pub arguments: &'static str,
    /// A send right to whoever started the task.
    pub bootstrap: Option<SendRight>,
    /// The console server.
    pub console: Option<Console>,
    /// The name server.
    pub names: Option<SendRight>,
    /// A send right to the plain host port.
    pub host: Option<SendRight>,
    /// A send right to the privileged host port: the first task only.
    pub host_privileged: Option<SendRight>,
    /// The boot archive's memory object, to be read only, and the archive's bytes: the first task only.
    pub archive: Option<(MemoryObject, u64)>,
}

pub(crate) static STARTUP: Once<Startup> = Once::new();
pub(crate) static ENTERED: AtomicU64 = AtomicU64::new(0);

/// What the task was given when it was started.
///
/// # Panics
/// Before `_start` has run, that is, never in a program.
pub fn startup() -> &'static Startup {
    STARTUP.get().expect("the program was started by _start")
}

/// The argument text.
#[must_use]
pub fn arguments() -> &'static str {
    startup().arguments
}

/// The value of the word `key=value` in the argument text.
#[must_use]
pub fn argument(key: &str) -> Option<&'static str> {
    word(arguments(), key)
}

fn word<'a>(arguments: &'a str, key: &str) -> Option<&'a str> {
    arguments.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The processor's time-stamp counter at the task's first instructions.
#[must_use]
pub fn entered() -> u64 {
    ENTERED.load(Ordering::Relaxed)
}

/// How a main function's result becomes an exit code.
pub trait Termination {
    /// 0 is success.
    fn code(self) -> u32;
}

impl Termination for () {
    fn code(self) -> u32 {
        0
    }
}

impl Termination for u32 {
    fn code(self) -> u32 {
        self
    }
}

impl<T: Termination, E: Debug> Termination for Result<T, E> {
    fn code(self) -> u32 {
        match self {
            Ok(value) => value.code(),
            Err(error) => {
                crate::println!("task `{}` failed: {error:?}", arguments());
                1
            }
        }
    }
}

/// Reports the code to whoever started the task, and ends the task. The first
/// task has been started by the machine: its end is the machine's.
pub fn exit(code: u32) -> ! {
    match &startup().host_privileged {
        Some(host) => host::exit(host, code),
        None => bootstrap::report_exit(code),
    }
    task::end()
}

/// Names the program's main function, which takes nothing and returns `()`, an
/// exit code (`u32`), or a `Result` of these whose error is printed.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C" fn portolan_main() -> u32 {
            $crate::start::Termination::code($main())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_words_with_a_key() {
        let text = "run=demos demo=rpc  verbose server=";
        assert_eq!(word(text, "demo"), Some("rpc"));
        assert_eq!(word(text, "run"), Some("demos"));
        assert_eq!(word(text, "server"), Some(""));
        assert_eq!(word(text, "verbose"), None);
        assert_eq!(word(text, "dem"), None);
    }

    #[test]
    fn results_become_exit_codes() {
        assert_eq!(().code(), 0);
        assert_eq!(7.code(), 7);
        assert_eq!(Ok::<(), u8>(()).code(), 0);
    }
}
