//! Routines behind a thread's kernel port. Reference: `abi::thread`.

use super::Answer;
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::{deadlock, pager, receive, send};
use crate::kernel::Kernel;
use crate::run;
use crate::task::thread::{Completion, State, Wait};
use crate::task::{self, ThreadId, exception, registers, special, word};
use portolan_abi::message::Options;
use portolan_abi::thread::{self as abi, PRIORITY_MAX, Request, SpecialPort, ThreadInfo, results};
use portolan_abi::{Error, Name, Result};
use zerocopy::FromZeros;

pub(super) fn handle(
    k: &mut Kernel,
    target: ThreadId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Terminate(_) => task::terminate_thread(k, target),
        Request::Info(_) => answer.results(&results::Info { info: info(k, target) }),
        Request::SetPriority(request) => set_priority(k, target, priority(request.priority)?),
        Request::Abort(_) => abort(k, target),
        Request::Suspend(_) => task::suspend_thread(k, target)?,
        Request::Resume(_) => task::resume_thread(k, target)?,
        Request::GetState(_) => {
            let registers = registers::of(k, target)?.registers();
            answer.results(&results::GetState { registers });
        }
        Request::SetState(request) => registers::set(k, target, &request.registers)?,
        Request::GetFloatingPoint(_) => {
            let state = registers::of(k, target)?.floating_point();
            answer.results(&results::GetFloatingPoint { state });
        }
        Request::SetFloatingPoint(request) => {
            registers::set_floating_point(k, target, &request.state)?;
        }
        Request::GetSpecialPort(request) => {
            let held = match special_port(request.which)? {
                SpecialPort::Kernel => Some(k.threads[target].kernel_port),
                SpecialPort::Exception => k.threads[target].exception,
            };
            answer.right(special::copy(k, held));
        }
        Request::Refusal(_) => {
            let waits = deadlock::refusal(k, target).ok_or(Error::Failure)?;
            let mut results = results::Refusal { count: waits.len() as u32, ..FromZeros::new_zeroed() };
            results.waits[..waits.len()].copy_from_slice(waits);
            answer.results(&results);
        }
        Request::SetSpecialPort(request) => match special_port(request.which)? {
            SpecialPort::Kernel => return Err(Error::InvalidArgument),
            SpecialPort::Exception => set_exception_port(k, target, rights)?,
        },
    }
    Ok(())
}

/// The priority with this number.
pub(super) fn priority(number: u32) -> Result<u8> {
    if number > PRIORITY_MAX {
        return Err(Error::InvalidValue);
    }
    u8::try_from(number).map_err(|_| Error::InvalidValue)
}

fn info(k: &Kernel, id: ThreadId) -> ThreadInfo {
    let thread = &k.threads[id];
    let port = match &thread.state {
        State::Waiting(Wait::Send(sending)) => k.messages[sending.message].envelope.destination.from,
        State::Waiting(Wait::Receive(receiving)) => receiving.half.port,
        _ => Name::NULL,
    };
    ThreadInfo {
        id: thread.serial,
        state: state(&thread.state) as u32,
        priority: thread.priority.into(),
        suspensions: thread.suspension.count,
        port,
        owner: word::owner_number(id, thread),
    }
}

fn state(state: &State) -> abi::State {
    match state {
        State::Running | State::Ready => abi::State::Ready,
        State::Suspended => abi::State::Suspended,
        State::Waiting(Wait::Send(_)) => abi::State::Sending,
        State::Waiting(Wait::Receive(_)) => abi::State::Receiving,
        State::Waiting(Wait::Sleep) => abi::State::Sleeping,
        State::Waiting(Wait::Exception(_)) => abi::State::Excepted,
        State::Waiting(Wait::Page(_)) => abi::State::Paging,
        State::Waiting(Wait::Word(_)) => abi::State::AtWord,
    }
}

fn special_port(code: u32) -> Result<SpecialPort> {
    SpecialPort::from_code(code).ok_or(Error::InvalidArgument)
}

fn set_exception_port(k: &mut Kernel, target: ThreadId, rights: &mut Rights) -> Result<()> {
    let right = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let old = core::mem::replace(&mut k.threads[target].exception, special::holdable(right)?);
    rights.clear();
    special::release(k, old);
    Ok(())
}

fn set_priority(k: &mut Kernel, target: ThreadId, priority: u8) {
    let Kernel { threads, scheduler, .. } = k;
    if matches!(threads[target].state, State::Ready) {
        scheduler.remove(threads, target);
        threads[target].priority = priority;
        scheduler.make_ready(threads, target);
    } else {
        threads[target].priority = priority;
    }
}

fn abort(k: &mut Kernel, target: ThreadId) {
    match &k.threads[target].state {
        State::Waiting(Wait::Send(sending)) if sending.options.contains(Options::SEND_INTERRUPT) => {
            send::fail(k, target, Error::SendInterrupted);
        }
        State::Waiting(Wait::Receive(receiving)) if receiving.options.contains(Options::RCV_INTERRUPT) => {
            receive::finish_waiting(k, target, Completion::failure(Error::ReceiveInterrupted));
        }
        State::Waiting(Wait::Exception(_)) => exception::go_on(k, target),
        State::Waiting(Wait::Page(_)) => pager::abort(k, target),
        State::Waiting(Wait::Word(_)) => word::finish(k, target, Completion::failure(Error::Aborted)),
        State::Waiting(Wait::Sleep) => run::wake(k, target, Completion::failure(Error::Aborted)),
        _ => {}
    }
}
