//! Not a lesson, but a conversation: asks for a name at the console, and greets. It is played only
//! when it is named, since it waits for a person.

use crate::stage::{Outcome, Stage, Wrong, check};
use portolan::{console, print, println};

pub(crate) fn lead(_: Stage) -> Outcome {
    let console = console::this().ok_or(Wrong::Result("there is no console server to read from"))?;
    print!("Who are you? ");
    let line = console.read()?;
    let name = core::str::from_utf8(&line).map_err(|_| Wrong::Result("that is no text"))?.trim();
    check(!name.is_empty(), "nobody is there")?;
    println!("Hello, {name}!");
    Ok(())
}

pub(crate) fn role(_: &str) -> Outcome {
    Err(Wrong::Result("there are no roles"))
}
