//! Conversations: what a person types at a machine, and what is said to it.
//!
//! Each is a boot of its own, which has to say all that is expected and then to end as a success. What is
//! typed while nobody reads waits, so most of it is typed at once.

use crate::guest::{Outside, Typing};
use crate::session::{self, Session};
use anyhow::Result;
use portolan_boot::qemu::Machine;

/// A conversation.
pub struct Conversation {
    /// What it is called, and what it shows.
    pub name: &'static str,
    /// The kernel's command line.
    pub words: &'static str,
    typing: &'static [Typing],
    /// Parts of lines that must be said, in any order.
    expected: &'static [&'static str],
}

/// No answer takes longer, in seconds.
const SILENCE: u64 = 60;
const TOTAL: u64 = 180;

const SHELL: &str = "run=shell servers=servers.conf";
/// What the shell says before it reads.
const READY: &str = "This is Portolan's shell";

/// All of them.
pub const ALL: &[Conversation] = &[
    Conversation {
        name: "typed::a_name_is_shown_and_read",
        words: "run=demos demo=greet servers=servers.conf",
        typing: &[Typing { after: "== greet", text: "Adx\x7fa\r" }],
        expected: &["Adx\x08 \x08a", "Hello, Ada!", "DONE 1 passed 0 failed"],
    },
    Conversation {
        name: "typed::the_shell_lists_what_there_is",
        words: SHELL,
        typing: &[Typing {
            after: READY,
            text: "tasks\rthreads shell\rports console\rnames 1\rmap shell\robjects\rshm\rmq\ralpc\rdate\rservers\rservices\rmachine\r\
                   trace 9\rhelp vm_peek\rhelp SEND_TIMED_OUT\rhelp\rexit\r",
        }],
        expected: &[
            "   1  shell ",
            "console (3)",
            "messages to names (2)",
            "the machine, to be commanded",
            "0x400000",
            "first (1) 5.0, shell (",
            "names    runs",
            "name  is  size",
            "name  held  of",
            "task  port  is",
            " UTC",
            "console  the configuration",
            "free memory",
            "is delivered",
            "vm_peek, message id 3807",
            "SEND_TIMED_OUT (-103)",
            "lists memory objects",
        ],
    },
    Conversation {
        name: "typed::the_shells_line_is_edited_completed_and_recalled",
        words: SHELL,
        typing: &[Typing {
            after: READY,
            text: "xmachin\x01\x1b[3~\x05\t\rser\t\t\x15nonsense\r\x1b[A\x7f\rgiven up\x03exit\r",
        }],
        expected: &["free memory", "servers   services", "no command `nonsense`", "no command `nonsens`", "given up^C"],
    },
    Conversation {
        name: "typed::the_shell_answers_what_makes_no_sense",
        words: SHELL,
        typing: &[Typing {
            after: READY,
            text: "map\rmap 99\rkill 1\rkill shell\rkill console\rsuspend names\rsend box 1\rport p 70000\rport p\rsend p x\r\
                   receive p 99999999\rservers start nobody\rservers stop console\r\"open\rrun nothing\r\
                   run servers.conf\rhelp nothing\rtop 0\rtrace -1\rresume names\r\x1b[\x1b[99~ü\x7f\r\x04",
        }],
        expected: &[
            "usage: map TASK",
            "there is no task `99`",
            "the machine's first task",
            "that is this shell",
            "that is a server",
            "no mailbox and no service `box`",
            "KERN_INVALID_VALUE",
            "`x` is no message id",
            "at most 60000 ms",
            "KERN_INVALID_NAME",
            "typed at through that server",
            "quotation mark is missing",
            "there is no program `nothing`",
            "is no program: not an ELF file",
            "no command, routine or error `nothing`",
            "usage: top [MS]",
            "usage: trace [COUNT]",
            "KERN_FAILURE",
        ],
    },
    Conversation {
        name: "typed::the_shell_runs_programs_and_ends_them",
        words: SHELL,
        typing: &[
            Typing { after: READY, text: "run hello\rrun hello &\rdemo greet\r" },
            Typing { after: "== greet", text: "Ada\r" },
            Typing { after: "Hello, Ada!", text: "demo greet\r" },
            Typing { after: "== greet", text: "\x03" },
            Typing { after: "has ended without a report", text: "jobs\rdemo rpc\r" },
            Typing { after: "DEMO rpc OK", text: "" },
            Typing {
                after: "DONE 1 passed",
                text: "test host::the_clock\rdemo servers\rservers stop loader\rrun hello & \rservers start loader\rexit\r",
            },
        ],
        expected: &["Hello, port!", "(hello) has ended with 0", "(none)", "OK host::the_clock", "DEMO servers OK"],
    },
    Conversation {
        name: "typed::the_shell_sends_and_receives_by_hand",
        words: SHELL,
        typing: &[Typing {
            after: READY,
            text: "port box 1\rsend box 7 \"hello there\"\rsend box 8\rsend box 9 later when=cache\rport\r\
                   receive box\rreceive box\rreceive box\rregister box\rservices\rask names 6201\rclose box\r\
                   send box 1\rexit\r",
        }],
        expected: &[
            "it has been sent",
            "SEND_TIMED_OUT",
            "SEND_WILL_NOTIFY",
            "with id 7 from shell (",
            "\"hello there\"",
            "has been accepted",
            "\"later\"",
            "RCV_TIMED_OUT",
            "box      task ",
            "with id 6301 from names (2)",
            "no mailbox and no service `box`",
        ],
    },
    Conversation {
        name: "typed::the_shell_sees_servers_die_and_come_back",
        words: SHELL,
        typing: &[
            Typing { after: READY, text: "servers kill console\r" },
            Typing { after: "console has been ended", text: "services\rservers\r" },
            Typing { after: "console  runs", text: "servers kill names\rservices\rservers stop names\rservers\r" },
            Typing { after: "names    stopped", text: "services\rservers start names\rtop 100\r" },
            Typing { after: "Any key ends this.", text: "qexit\r" },
        ],
        expected: &["console  the configuration", "SEND_INVALID_PORT", "names has been started", "steps"],
    },
];

impl Conversation {
    /// Holds it on this machine, which has its command line; what was not said.
    ///
    /// # Errors
    /// The machine cannot be started.
    pub fn hold(&self, machine: &Machine) -> Result<Vec<String>> {
        let limits = session::limits(SILENCE, TOTAL);
        let outside = Outside { typing: self.typing, ..Outside::default() };
        let session = Session::run_within(machine, &session::log_of(self.name), limits, outside, |_| {})?;
        let mut missing = session.missing(self.expected);
        missing.extend(session.failure());
        if !missing.is_empty() {
            session.show_end();
        }
        Ok(missing)
    }
}
