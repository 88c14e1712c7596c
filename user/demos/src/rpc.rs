//! Lesson 3: a server and three clients, by `msg_rpc`.
//!
//! The server squares numbers. Two clients have theirs squared. The third asks
//! for something that makes the server leave with the request in its hand: the
//! client is told at once that no answer will come, and that the port is dead.

use crate::stage::{Outcome, Stage, ask, check, say};
use portolan::{
    Answer, Capacity, Error, Message, Notice, ReceiveRight, Right, SendRight, argument, bootstrap, notification,
};

/// The server tells the lead where it can be reached.
const HERE_I_AM: u32 = 1;
/// A client asks the lead for the server.
const SERVER: u32 = 2;
/// A client asks the server for the square of a number.
const SQUARE: u32 = 3;
/// A client asks the server to leave.
const LEAVE: u32 = 4;

const NOTICE_MS: u32 = 1000;

pub(crate) fn role(role: &str) -> Outcome {
    match (role, argument("which")) {
        ("server", _) => server(),
        (_, Some("3")) => client_of_a_dying_server(&ask(SERVER, "")?),
        _ => client(&ask(SERVER, "")?),
    }
}

fn server() -> Outcome {
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    bootstrap::port()?.send(Message::new(HERE_I_AM).right(Right::MakeSend(&port)))?;
    port.serve(|request| match (request.id(), request.value::<u64>()) {
        (SQUARE, Ok(number)) => {
            say!("squares {number} for task {}", request.sender());
            Message::new(SQUARE).value(number * number).into()
        }
        (LEAVE, _) => {
            say!("leaves, and answers nobody");
            Answer::Stop
        }
        _ => Answer::Nothing,
    })?;
    Ok(())
}

fn client(server: &SendRight) -> Outcome {
    for number in [3_u64, 12, 40] {
        let square: u64 = server.rpc(Message::new(SQUARE).value(number))?.value()?;
        say!("{number} squared is {square}");
        check(square == number * number, "the server cannot square")?;
    }
    Ok(())
}

fn client_of_a_dying_server(server: &SendRight) -> Outcome {
    say!("asks the server to leave");
    let error = server.rpc(Message::new(LEAVE)).err().map(|failure| failure.error);
    check(error == Some(Error::ReceiveReplyLost), "the client is not told that its reply is lost")?;
    say!("    {}", Error::ReceiveReplyLost.classic_name());

    let notice = notification::port().receive_within(NOTICE_MS)?.notice();
    check(notice == Some(Notice::DeadName(server.name())), "the notice is not about the server")?;
    say!("    the notify port says: the server's port is dead");

    let error = server.send(Message::new(SQUARE)).err().map(|failure| failure.error);
    check(error == Some(Error::SendInvalidPort), "a dead port takes messages")?;
    say!("    sending to it: {}", Error::SendInvalidPort.classic_name());
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let server = stage.enter_reachable("server", HERE_I_AM)?;
    stage.enter("client", "1")?;
    stage.enter("client", "2")?;
    stage.give(SERVER, &server)?;
    stage.give(SERVER, &server)?;
    stage.wait_until_playing(1)?;

    stage.enter("client", "3")?;
    stage.give(SERVER, &server)?;
    stage.wait_until_playing(0)
}
