//! Commands that watch: the machine, its counters, who does something now, and the way of messages.

use crate::Shell;
use crate::census;
use crate::command::{Command, meaning};
use crate::table::{Side, Table};
use crate::tasks::size;
use crate::words;
use crate::wrong::{Done, Wrong};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portolan::abi::PAGE_SIZE;
use portolan::abi::host::Statistics;
use portolan::abi::trace::{Event, Step};
use portolan::clock::Clock;
use portolan::thread::now_ms;
use portolan::{Result, SendRight, host, print, println};
use time::OffsetDateTime;

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "machine",
        usage: "machine",
        help: "tells what the machine is, and how much there is of everything",
        takes: &[],
        run: machine,
    },
    Command {
        name: "date",
        usage: "date",
        help: "tells the time of day, as the clock server has it",
        takes: &[],
        run: date,
    },
    Command {
        name: "top",
        usage: "top [MS]",
        help: "shows who does something now, until a key is pressed\n\
               It looks each second, or each so many ms.\n\
               `steps` are those that messages made on their way by its threads, as the trace has them.",
        takes: &[],
        run: top,
    },
    Command {
        name: "trace",
        usage: "trace [COUNT]",
        help: "shows the last 20, or so many, steps of messages on their way",
        takes: &[],
        run: trace,
    },
];

/// Steps that `trace` shows if it is not told how many.
const STEPS: u64 = 20;
/// How often `top` looks, in ms.
const LOOK_MS: u32 = 1000;
const CLEAR: &str = "\x1b[2J\x1b[H";

fn machine(shell: &mut Shell, arguments: &[&str]) -> Done {
    let [] = arguments else { return Err(Wrong::Usage) };
    let info = host::info(&shell.host)?;
    let (name, version) = (census::text(&info.name), census::text(&info.version));
    println!(
        "{name} {version}, {} of memory, {} processor; runs for {} s",
        size(info.memory),
        info.processors,
        now_ms() / 1000
    );
    let mut table = Table::new([("how many", Side::Right), ("of what", Side::Left)]);
    for (count, what) in counters(&host::statistics(&shell.host)?) {
        table.row([count, what.into()]);
    }
    table.print();
    Ok(())
}

fn date(_: &mut Shell, arguments: &[&str]) -> Done {
    let [] = arguments else { return Err(Wrong::Usage) };
    let nanoseconds = Clock::find()?.now()?;
    let now = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into()).map_err(|_| "that is no time of day")?;
    let (month, (hour, minute, second)) = (u8::from(now.month()), now.to_hms());
    println!("{}, {}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", now.weekday(), now.year(), now.day());
    Ok(())
}

fn counters(statistics: &Statistics) -> [(String, &'static str); 13] {
    let Statistics { tasks, threads, ports, messages, names, regions, memory_objects, .. } = *statistics;
    let Statistics { accounts, deadlines, interrupts, io_ports, .. } = *statistics;
    let free = bytes_of(statistics.free_frames);
    [
        (free, "free memory"),
        (size(statistics.heap), "kernel memory in use"),
        (tasks.to_string(), "tasks"),
        (threads.to_string(), "threads"),
        (ports.to_string(), "ports"),
        (messages.to_string(), "messages held"),
        (names.to_string(), "names"),
        (regions.to_string(), "regions"),
        (memory_objects.to_string(), "memory objects"),
        (accounts.to_string(), "accounts"),
        (deadlines.to_string(), "deadlines set"),
        (interrupts.to_string(), "interrupt lines bound"),
        (io_ports.to_string(), "I/O ports claimed"),
    ]
}

/// The bytes of so many frames.
fn bytes_of(frames: u64) -> String {
    size(frames.saturating_mul(PAGE_SIZE as u64))
}

/// The number that the next event will have.
fn recorded(host: &SendRight) -> Result<u64> {
    Ok(host::trace(host, u64::MAX, 0)?.first)
}

/// The events from number `from` on that are still known, up to number `to`.
fn events(host: &SendRight, from: u64, to: u64) -> Result<Vec<Event>> {
    let (mut events, mut next) = (Vec::new(), from);
    while next < to {
        let page = host::trace(host, next, 0)?;
        let count = page.count.min(page.events.len() as u64);
        // What came between is forgotten, or this was the last.
        if page.first >= to || count == 0 {
            break;
        }
        let wanted = count.min(to - page.first);
        events.extend_from_slice(&page.events[..wanted as usize]);
        next = page.first + count;
    }
    Ok(events)
}

fn trace(shell: &mut Shell, arguments: &[&str]) -> Done {
    let count = match arguments {
        [] => STEPS,
        [count] => words::number(count).ok_or(Wrong::Usage)?,
        _ => return Err(Wrong::Usage),
    };
    // What this command itself sends comes after.
    let end = recorded(&shell.host)?;
    let events = events(&shell.host, end.saturating_sub(count), end)?;
    let tasks = census::tasks(&shell.host)?;
    let (threads, receivers) = (census::threads(&shell.host, &tasks), census::receivers(&shell.host, &tasks));
    let mut table = Table::new([
        ("ms", Side::Right),
        ("message", Side::Right),
        ("id", Side::Left),
        ("step", Side::Left),
        ("port", Side::Right),
        ("of", Side::Left),
        ("by", Side::Left),
    ]);
    for event in events {
        let thread = match (event.thread, threads.get(&event.thread)) {
            (u32::MAX, _) => "the kernel".into(),
            (_, Some((task, thread))) => format!("{task}, thread {thread}"),
            (index, None) => format!("a thread, #{index}"),
        };
        let id = match meaning(event.id) {
            Some(meaning) => format!("{} {meaning}", event.id),
            None => event.id.to_string(),
        };
        let receiver = receivers.get(&event.port).cloned();
        table.row([
            format!("{}.{:03}", event.time / 1_000_000, event.time / 1000 % 1000),
            event.message.to_string(),
            id,
            step(event.step).into(),
            format!("#{}", event.port),
            receiver.unwrap_or_default(),
            thread,
        ]);
    }
    table.print();
    Ok(())
}

/// A step, in words.
fn step(code: u16) -> &'static str {
    match Step::from_code(code) {
        Some(Step::Send) => "is sent",
        Some(Step::Queue) => "is queued",
        Some(Step::Block) => "waits for room",
        Some(Step::Cache) => "is cached",
        Some(Step::Deliver) => "is delivered",
        Some(Step::Receive) => "is received",
        Some(Step::Notify) => "is a notice",
        Some(Step::Die) => "dies with its port",
        Some(Step::TakeBack) => "is taken back",
        Some(Step::Drop) => "is destroyed",
        Some(Step::Refuse) => "a wait is refused",
        None => "?",
    }
}

fn top(shell: &mut Shell, arguments: &[&str]) -> Done {
    let ms = match arguments {
        [] => LOOK_MS,
        [ms] => words::small(ms).filter(|ms| *ms > 0).ok_or(Wrong::Usage)?,
        _ => return Err(Wrong::Usage),
    };
    let mut since = recorded(&shell.host)?;
    loop {
        let now = recorded(&shell.host)?;
        print!("{CLEAR}");
        look(shell, since, now)?;
        println!("\nAny key ends this.");
        // What looking itself sent is not the next look's.
        since = recorded(&shell.host)?;
        if shell.pause(ms)? {
            return Ok(());
        }
    }
}

/// One look at who does something.
fn look(shell: &Shell, since: u64, now: u64) -> Done {
    let host = &shell.host;
    let (tasks, statistics) = (census::tasks(host)?, host::statistics(host)?);
    let threads = census::threads(host, &tasks);
    let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events(host, since, now)? {
        if let Some((task, _)) = threads.get(&event.thread) {
            *steps.entry(task).or_default() += 1;
        }
    }
    println!(
        "{} s: {} free, {} kernel memory, {} tasks, {} threads, {} ports, {} messages held, {} steps",
        now_ms() / 1000,
        bytes_of(statistics.free_frames),
        size(statistics.heap),
        statistics.tasks,
        statistics.threads,
        statistics.ports,
        statistics.messages,
        now - since,
    );
    let mut table = Table::new([
        ("task", Side::Left),
        ("steps", Side::Right),
        ("threads", Side::Right),
        ("names", Side::Right),
        ("memory", Side::Right),
        ("pages", Side::Right),
    ]);
    for known in &tasks {
        let (title, used) = (known.title(), census::used(&tasks, known));
        table.row([
            title.clone(),
            steps.get(title.as_str()).copied().unwrap_or_default().to_string(),
            known.info.threads.to_string(),
            known.info.names.to_string(),
            size(used.memory),
            used.frames.to_string(),
        ]);
    }
    table.print();
    Ok(())
}
