//! The configuration of the servers: a text, a line a server.
//!
//! ```text
//! # name   words
//! names    serves=names rights=services restarts=5 memory=1M ports=4K frames=1K
//! console  serves=console rights=serial,screen,keyboard restarts=5 priority=17
//! ```
//!
//! | word | what it says | if it is not there |
//! |---|---|---|
//! | `program=` | the program of the boot archive | the server's name |
//! | `arguments=` | its argument text, one word | none |
//! | `serves=` | the services it checks in for, with commas | none |
//! | `rights=` | what it is given of the machine ([`Given`]), with commas | nothing |
//! | `restarts=` | how often within a minute it is started again when it has ended | 0 |
//! | `priority=` | of its first thread | ordinary |
//! | `memory=`, `ports=`, `frames=` | what it may spend; `K` and `M` stand for 1024 and its square | [`LIMITS_SMALL`] |
//!
//! What stands after `#` is for people. Pure: text in, servers or the first mistake out. Invariant: in
//! what comes out no two servers have the same name, and no two the same service. Neighbours: the
//! bootstrap server (`user/first`) acts on it, `servers` looks after what comes of it.

use crate::program::LIMITS_SMALL;
use crate::service::ServiceName;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use portolan_abi::task::Limits;
use portolan_abi::thread::{PRIORITY_DEFAULT, PRIORITY_MAX};

/// The file of the boot archive that is read if the command line names no other.
pub const FILE: &str = "servers.conf";

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// What it is called.
    pub name: ServiceName,
    /// Its program in the boot archive.
    pub program: &'a str,
    /// Its argument text.
    pub arguments: &'a str,
    /// What it checks in for.
    pub services: Vec<ServiceName>,
    /// What it is given when it asks.
    pub given: Vec<Given>,
    /// How often within a minute it is started again.
    pub restarts: u32,
    /// The priority of its first thread.
    pub priority: u32,
    /// What it may spend.
    pub limits: Limits,
}

/// What a server may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// `host`: the privileged host port, which allows everything.
    Host,
    /// `archive`: the boot archive, to be read.
    Archive,
    /// `serial`: the first serial line.
    Serial,
    /// `screen`: the screen that the loader has set up.
    Screen,
    /// `keyboard`: the keyboard's controller.
    Keyboard,
    /// `rtc`: the machine's real-time clock.
    Rtc,
    /// `services`: to be told of the declared services.
    Services,
}

impl Given {
    const ALL: [(&'static str, Given); 7] = [
        ("host", Given::Host),
        ("archive", Given::Archive),
        ("serial", Given::Serial),
        ("screen", Given::Screen),
        ("keyboard", Given::Keyboard),
        ("rtc", Given::Rtc),
        ("services", Given::Services),
    ];

    fn from_word(word: &str) -> Option<Given> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, given)| *given)
    }
}

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong in it.
    pub what: Wrong,
}

/// What is wrong in a line; with the word where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is not `KEY=VALUE`, or there is no such key.
    Word(String),
    /// The key was there already.
    Again(String),
    /// The value is no number, or too large.
    Number(String),
    /// There is no such right.
    Right(String),
    /// It cannot be a name.
    Name(String),
    /// Another server has this name, or this service.
    Taken(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, word) = match &self.what {
            Wrong::Word(word) => ("no such word", word),
            Wrong::Again(word) => ("said twice", word),
            Wrong::Number(word) => ("no number that can be", word),
            Wrong::Right(word) => ("no such right", word),
            Wrong::Name(word) => ("not a name", word),
            Wrong::Taken(word) => ("another has it", word),
        };
        write!(f, "line {}: {what}: `{word}`", self.line)
    }
}

/// The servers of a configuration, in its order.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<Server<'_>>, Mistake> {
    let mut servers = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let words = text.split('#').next().unwrap_or_default().split_whitespace();
        add(&mut servers, words).map_err(|what| Mistake { line, what })?;
    }
    Ok(servers)
}

fn add<'a>(servers: &mut Vec<Server<'a>>, mut words: impl Iterator<Item = &'a str>) -> Result<(), Wrong> {
    let Some(program) = words.next() else { return Ok(()) };
    let mut server = Server {
        name: name(program)?,
        program,
        arguments: "",
        services: Vec::new(),
        given: Vec::new(),
        restarts: 0,
        priority: PRIORITY_DEFAULT,
        limits: LIMITS_SMALL,
    };
    let mut said: Vec<&str> = Vec::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| Wrong::Word(word.to_string()))?;
        if said.contains(&key) {
            return Err(Wrong::Again(word.to_string()));
        }
        said.push(key);
        server.heed(key, value).map_err(|wrong| wrong.unwrap_or_else(|| Wrong::Word(word.to_string())))?;
    }
    if servers.iter().any(|other| other.name == server.name) {
        return Err(Wrong::Taken(program.to_string()));
    }
    let taken = |service: &&ServiceName| servers.iter().any(|other| other.services.contains(service));
    if let Some(service) = server.services.iter().find(taken) {
        return Err(Wrong::Taken(service.text().unwrap_or_default().to_string()));
    }
    servers.push(server);
    Ok(())
}

impl<'a> Server<'a> {
    /// Whether it serves the service of this name.
    #[must_use]
    pub fn serves(&self, name: &str) -> bool {
        self.services.iter().any(|service| service.text() == Ok(name))
    }

    /// Does what a word says. `None`: there is no such key.
    fn heed(&mut self, key: &str, value: &'a str) -> Result<(), Option<Wrong>> {
        match key {
            "program" => self.program = value,
            "arguments" => self.arguments = value,
            "serves" => {
                for word in value.split(',') {
                    let service = name(word)?;
                    if self.services.contains(&service) {
                        return Err(Some(Wrong::Again(word.to_string())));
                    }
                    self.services.push(service);
                }
            }
            "rights" => {
                for word in value.split(',') {
                    self.given.push(Given::from_word(word).ok_or_else(|| Wrong::Right(word.to_string()))?);
                }
            }
            "restarts" => self.restarts = number(value, u32::MAX)?,
            "priority" => self.priority = number(value, PRIORITY_MAX)?,
            "memory" => self.limits.memory = number(value, u32::MAX)?.into(),
            "ports" => self.limits.ports = number(value, u32::MAX)?.into(),
            "frames" => self.limits.frames = number(value, u32::MAX)?.into(),
            _ => return Err(None),
        }
        Ok(())
    }
}

fn name(word: &str) -> Result<ServiceName, Wrong> {
    ServiceName::new(word).map_err(|_| Wrong::Name(word.to_string()))
}

/// A number of at most so much.
fn number(word: &str, most: u32) -> Result<u32, Wrong> {
    let (digits, unit) = match word.as_bytes() {
        [.., b'K'] => (&word[..word.len() - 1], 1 << 10),
        [.., b'M'] => (&word[..word.len() - 1], 1 << 20),
        _ => (word, 1),
    };
    let value = digits.parse::<u32>().ok().and_then(|value| value.checked_mul(unit));
    value.filter(|value| *value <= most).ok_or_else(|| Wrong::Number(word.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceName {
        ServiceName::new(name).expect("a name")
    }

    fn wrong(text: &str) -> Option<(usize, Wrong)> {
        parse(text).err().map(|mistake| (mistake.line, mistake.what))
    }

    #[test]
    fn a_name_alone_is_a_server_that_is_given_nothing() {
        let servers = parse("\n  # nobody\nclock # tells the time\n").expect("no mistake");
        let [clock] = servers.as_slice() else { panic!("one server") };
        assert_eq!((clock.name, clock.program, clock.restarts, clock.priority), (service("clock"), "clock", 0, 16));
        assert_eq!((clock.services.len(), clock.given.len(), clock.limits), (0, 0, LIMITS_SMALL));
    }

    #[test]
    fn words_say_the_rest() {
        let text = "a\nb program=x serves=s,t rights=serial,host restarts=3 priority=31 memory=2M ports=4K frames=7";
        let servers = parse(text).expect("no mistake");
        let b = &servers[1];
        assert_eq!((b.program, b.restarts, b.priority), ("x", 3, 31));
        assert_eq!(b.services, [service("s"), service("t")]);
        assert_eq!(b.given, [Given::Serial, Given::Host]);
        assert_eq!(b.limits, Limits { memory: 2 << 20, ports: 4 << 10, frames: 7 });
    }

    #[test]
    fn the_first_mistake_is_told_with_its_line() {
        let long = "x".repeat(65);
        for (text, line, what) in [
            ("a\nb what", 2, Wrong::Word("what".into())),
            ("a colour=red", 1, Wrong::Word("colour=red".into())),
            ("a restarts=1 restarts=2", 1, Wrong::Again("restarts=2".into())),
            ("a restarts=many", 1, Wrong::Number("many".into())),
            ("a memory=4096M", 1, Wrong::Number("4096M".into())),
            ("a memory=K", 1, Wrong::Number("K".into())),
            ("a priority=32", 1, Wrong::Number("32".into())),
            ("a rights=root", 1, Wrong::Right("root".into())),
            ("a serves=", 1, Wrong::Name(String::new())),
            ("a serves=s,s", 1, Wrong::Again("s".into())),
            (&long, 1, Wrong::Name(long.clone())),
            ("a\n\na", 3, Wrong::Taken("a".into())),
            ("a serves=s\nb serves=t,s", 2, Wrong::Taken("s".into())),
        ] {
            assert_eq!(wrong(text), Some((line, what)), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_in_words() {
        let mistake = parse("a rights=root").expect_err("a mistake");
        assert_eq!(mistake.to_string(), "line 1: no such right: `root`");
    }
}
