//! The loader: programs that are started by their names.

use crate::case::{Failure, Verdict};
use crate::system::System;
use crate::{cases, holds, same};
use portolan::abi::task::Limits;
use portolan::interface::MsgRpc;
use portolan::loader::{End, Loader, NotStarted, SERVICE, protocol};
use portolan::program::{Defect, LIMITS_SMALL, Launch};
use portolan::service::ServiceName;
use portolan::thread::{sleep_ms, spawn};
use portolan::{Capacity, Error, Message, ReceiveRight, Result, Right, SendRight, Task, name_server, thread};

cases!("loader":
    a_program_runs_to_its_end,
    an_exit_code_is_told,
    a_program_that_dies_is_told_of,
    an_unknown_program_is_an_error,
    a_file_that_is_no_program_says_why,
    a_task_that_cannot_pay_is_ended,
    a_task_takes_one_program,
    what_is_no_task_is_refused_at_once,
    a_task_that_has_ended_is_refused,
    a_killed_loader_comes_back,
    a_stopped_loader_is_an_error,
);

fn of(wrong: NotStarted) -> Failure {
    Failure::new(&alloc::format!("{wrong:?}"))
}

fn refused(program: &str, launch: Launch<'_>) -> core::result::Result<NotStarted, Failure> {
    match Loader::find()?.start(program, launch) {
        Ok(_) => Err(Failure::new("it was started")),
        Err(wrong) => Ok(wrong),
    }
}

/// Asks the loader for a program in what this right is to.
fn load(program: &str, priority: u32, right: &Right<'_>) -> Result<u32> {
    let loader = name_server::look_up(SERVICE)?;
    let program = ServiceName::new(program)?;
    Ok(protocol::load(&MsgRpc, loader.name(), program, priority, 0, right.descriptor())?.results.defect)
}

fn a_program_runs_to_its_end() -> Verdict {
    let _system = System::start()?;
    same!(Loader::find()?.run("hello", Launch::new("hello", "")).map_err(of)?.wait()?, End::Exit(0));
    Ok(())
}

fn an_exit_code_is_told() -> Verdict {
    let _system = System::start()?;
    // It is refused what it needs, and fails.
    same!(Loader::find()?.run("names", Launch::new("refused", "")).map_err(of)?.wait()?, End::Exit(1));
    Ok(())
}

fn a_program_that_dies_is_told_of() -> Verdict {
    let _system = System::start()?;
    let loader = Loader::find()?;
    // Peers of this program wait for orders.
    let running = loader.run("suite", Launch::new("dies", "peer")).map_err(of)?;
    running.task().terminate()?;
    same!(running.wait()?, End::Died);
    Ok(())
}

fn an_unknown_program_is_an_error() -> Verdict {
    let _system = System::start()?;
    same!(refused("nothing", Launch::new("x", ""))?, NotStarted::Call(Error::InvalidName));
    same!(refused("", Launch::new("x", ""))?, NotStarted::Call(Error::InvalidValue));
    let task = Right::CopySend(Task::this().right());
    let loader = name_server::look_up(SERVICE)?;
    let none = protocol::load(&MsgRpc, loader.name(), ServiceName::NONE, 16, 0, task.descriptor());
    same!(none.err(), Some(Error::InvalidValue));
    Ok(())
}

fn a_file_that_is_no_program_says_why() -> Verdict {
    let _system = System::start()?;
    same!(refused("suite.conf", Launch::new("x", ""))?, NotStarted::Defect(Defect::NotElf));
    Ok(())
}

fn a_task_that_cannot_pay_is_ended() -> Verdict {
    let _system = System::start()?;
    let limits = |limits| Launch { limits, ..Launch::new("poor", "") };
    let short = NotStarted::Call(Error::ResourceShortage);
    same!(refused("hello", limits(Limits { frames: 8, ..LIMITS_SMALL }))?, short);
    same!(refused("hello", limits(Limits { memory: 2048, ..LIMITS_SMALL }))?, short);
    same!(refused("hello", limits(Limits { frames: u64::MAX, ..LIMITS_SMALL }))?, short);
    same!(Loader::find()?.run("hello", Launch::new("rich", "")).map_err(of)?.wait()?, End::Exit(0));
    Ok(())
}

fn a_task_takes_one_program() -> Verdict {
    let _system = System::start()?;
    let task = Launch::new("twice", "").make()?;
    // Its thread does not run before everything has been looked at.
    task.suspend()?;
    let right = Right::CopySend(task.right());
    same!(load("hello", 99, &right).err(), Some(Error::InvalidValue));
    task.terminate()?;
    let task = Launch::new("twice", "").make()?;
    task.suspend()?;
    let right = Right::CopySend(task.right());
    same!((load("hello", 16, &right), load("hello", 16, &right)), (Ok(0), Err(Error::NoSpace)));
    same!(task.threads()?.len(), 1);
    task.terminate()?;
    Ok(())
}

fn what_is_no_task_is_refused_at_once() -> Verdict {
    let _system = System::start()?;
    let mine = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let zero = ReceiveRight::allocate(Capacity::Zero)?;
    let refusal = Err(Error::InvalidCapability);
    same!(load("hello", 16, &Right::MakeSend(&mine)), refusal);
    same!(load("hello", 16, &Right::MakeSend(&zero)), refusal);
    same!(load("hello", 16, &Right::CopySend(thread::this()?.right())), refusal);
    same!(load("hello", 16, &Right::Null), refusal);
    // Someone who answers at once, and well, is no task either.
    let right = zero.make_send()?;
    let liar = spawn(move || -> Result<()> {
        let mut asked = zero.receive()?;
        let info = Task::this().info()?;
        asked.answer(Message::new(asked.id() + 100).value([0_u32; 2]).value(info))
    })?;
    sleep_ms(5);
    same!(load("hello", 16, &Right::CopySend(&right)), refusal);
    // Whether its answer still finds a port is a matter of turns.
    let _ = liar.join()?;
    same!(Loader::find()?.run("hello", Launch::new("hello", "")).map_err(of)?.wait()?, End::Exit(0));
    Ok(())
}

fn a_task_that_has_ended_is_refused() -> Verdict {
    let _system = System::start()?;
    let task = Launch::new("ended", "").make()?;
    let right: &SendRight = task.right();
    task.terminate()?;
    same!(load("hello", 16, &Right::CopySend(right)).is_err(), true);
    Ok(())
}

fn a_killed_loader_comes_back() -> Verdict {
    let system = System::start()?;
    let loader = Loader::find()?;
    for _ in 0..3 {
        system.servers.kill(SERVICE)?;
        same!(loader.run("hello", Launch::new("hello", "")).map_err(of)?.wait()?, End::Exit(0));
    }
    same!(system.servers.info(SERVICE)?.restarts, 3);
    Ok(())
}

fn a_stopped_loader_is_an_error() -> Verdict {
    let system = System::start()?;
    let loader = Loader::find()?;
    system.servers.stop(SERVICE)?;
    let refused = loader.run("hello", Launch::new("hello", "")).map(drop);
    let lost = [Error::ReceiveReplyLost, Error::SendInvalidPort].map(|error| Err(NotStarted::Call(error)));
    holds!(lost.contains(&refused), refused);
    Ok(())
}
