//! Lesson 12: ALPC. A client connects, is let in or turned away, asks, is asked back; either side hears of the other's end.
//!
//! The server is found by its name. It lets in who knows the word, and refuses others, saying why. Asked for a price it
//! has a question itself: a callback, which the client answers in the middle of its own request. When a client dies the
//! server is told, and its request is gone; when the server leaves with a request in its hand, the client is told.

use crate::stage::{Outcome, Stage, Wrong, check, say};
use alloc::vec::Vec;
use portolan::argument;
use portolan_alpc::{Access, Message, Port, PortAttributes, Refusal, Server, Status, Type};

const NAME: &str = "tea house";
const WORD: &[u8] = b"sesame";
/// How long anybody waits for an answer, in ms.
const PATIENCE: Option<u32> = Some(5000);

impl From<Status> for Wrong {
    fn from(status: Status) -> Wrong {
        Wrong::Result(status.windows_name())
    }
}

pub(crate) fn role(role: &str) -> Outcome {
    match (role, argument("which")) {
        ("server", _) => server(),
        (_, Some("stranger")) => stranger(),
        (_, Some("hasty")) => client_that_dies(),
        _ => client(),
    }
}

fn server() -> Outcome {
    let port = Port::create_named(NAME, PortAttributes::default(), Access::Anyone)?;
    let mut guests = Vec::new();
    let mut kept = 0;
    loop {
        let message = port.receive(PATIENCE)?;
        match (message.message_type(), message.data()) {
            (Type::ConnectionRequest, WORD) => {
                say!("lets task {} in", message.sender());
                guests.push(port.accept(message.message_id(), message.sender(), &Message::new(b"welcome"))?);
            }
            (Type::ConnectionRequest, _) => {
                say!("turns task {} away", message.sender());
                port.refuse(message.message_id(), &Message::new(b"the word, please"))?;
            }
            (Type::Request, b"a table") => {
                say!("has no table yet, and keeps the request");
                kept = message.message_id();
            }
            (Type::ClientDied, _) => {
                say!("hears that task {} has died", message.port_context());
                let gone = port.reply(kept, &Message::new(b"by the window"));
                check(gone == Err(Status::InvalidParameter), "the request of a dead client can be answered")?;
            }
            (Type::Request, b"the price?") => {
                say!("is asked for the price, and asks back for what");
                let what = port.callback(message.message_id(), &Message::new(b"of what?"), PATIENCE)?;
                check(what.data() == b"of tea", "the client wants something else")?;
                port.reply(message.message_id(), &Message::new(b"three"))?;
            }
            _ => {
                say!("leaves, with a request in its hand");
                return Ok(());
            }
        }
    }
}

/// Connects with these words, as soon as there is a server.
fn connect(words: &[u8]) -> Result<Port, Refusal> {
    let server = Server::Awaited(NAME);
    Port::connect(server, PortAttributes::default(), &Message::new(words), None, PATIENCE).map(|(port, _)| port)
}

fn stranger() -> Outcome {
    let Err(refusal) = connect(b"let me in") else { return Err(Wrong::Result("a stranger is let in")) };
    let why = refusal.message.as_ref().map_or(&b""[..], |message| message.data());
    say!("{}: `{}`", refusal.status.windows_name(), core::str::from_utf8(why).unwrap_or("?"));
    check(refusal.status == Status::PortConnectionRefused, "the refusal is another")?;
    check(why == b"the word, please", "the server does not say why")
}

fn client_that_dies() -> Outcome {
    let port = connect(WORD).map_err(|refusal| refusal.status)?;
    port.request_later(&Message::new(b"a table"))?;
    say!("asks for a table, and is gone without a word");
    // To drop the port would be to disconnect.
    core::mem::forget(port);
    Ok(())
}

fn client() -> Outcome {
    let port = connect(WORD).map_err(|refusal| refusal.status)?;
    say!("is connected");

    let question = port.request(&Message::new(b"the price?"), PATIENCE)?;
    check(question.message_type() == Type::Request, "the server does not ask back")?;
    say!("is asked `of what?` in the middle of its request");
    let price = port.reply_and_wait(question.message_id(), &Message::new(b"of tea"), PATIENCE)?;
    check(price.data() == b"three", "the price is another")?;
    say!("hears the price: three");

    let lost = port.request(&Message::new(b"anything else?"), PATIENCE).map(drop);
    check(lost == Err(Status::LpcReplyLost), "the client is not told that its reply is lost")?;
    say!("    {}", Status::LpcReplyLost.windows_name());
    check(port.receive(PATIENCE)?.message_type() == Type::PortClosed, "the client is not told of the server's end")?;
    say!("    its port says: PORT_CLOSED");
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    stage.enter("server", "")?;
    for (which, left) in [("stranger", 1), ("hasty", 1), ("friend", 0)] {
        stage.enter("client", which)?;
        stage.wait_until_playing(left)?;
    }
    Ok(())
}
