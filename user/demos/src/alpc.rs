//! Lesson 12: ALPC. A client connects, is let in or turned away, asks, is asked back, and hears of the end.
//!
//! The server lets in who knows the word, and refuses others, saying why. Asked for a price it has a
//! question itself: a callback, which the client answers in the middle of its own request. When the
//! server leaves with a request in its hand, the client is told so at once.

use crate::stage::{Outcome, Stage, Wrong, ask, check, say};
use portolan::{SendRight, argument, bootstrap};
use portolan_alpc::{Access, Message, Port, PortAttributes, Status, Type};

/// The server tells the lead where clients can connect.
const HERE_I_AM: u32 = 1;
/// A client asks the lead for the server.
const SERVER: u32 = 2;

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
        (_, Some("stranger")) => stranger(&ask(SERVER, "")?),
        _ => client(&ask(SERVER, "")?),
    }
}

fn server() -> Outcome {
    let port = Port::create(PortAttributes::default(), Access::Anyone)?;
    bootstrap::port()?.send(portolan::Message::new(HERE_I_AM).right(port.right()?))?;
    let mut client = None;
    loop {
        let message = port.receive(PATIENCE)?;
        match (message.message_type(), message.data()) {
            (Type::ConnectionRequest, WORD) => {
                say!("lets task {} in", message.sender());
                client = Some(port.accept(message.message_id(), message.sender(), &Message::new(b"welcome"))?);
            }
            (Type::ConnectionRequest, _) => {
                say!("turns task {} away", message.sender());
                port.refuse(message.message_id(), &Message::new(b"the word, please"))?;
            }
            (Type::Request, b"the price?") => {
                say!("is asked for the price, and asks back for what");
                let what = port.callback(message.message_id(), &Message::new(b"of what?"), PATIENCE)?;
                check(what.data() == b"of tea", "the client wants something else")?;
                port.reply(message.message_id(), &Message::new(b"three"))?;
            }
            (Type::Request, _) => {
                say!("leaves, with a request in its hand");
                break;
            }
            (kind, _) => {
                say!("hears {kind:?} of task {}", message.port_context());
            }
        }
    }
    drop(client);
    Ok(())
}

fn stranger(server: &SendRight) -> Outcome {
    let refusal = Port::connect(server, PortAttributes::default(), &Message::new(b"let me in"), None, PATIENCE);
    let Err(refusal) = refusal else { return Err(Wrong::Result("a stranger is let in")) };
    let why = refusal.message.as_ref().map_or(&b""[..], |message| message.data());
    say!("{}: `{}`", refusal.status.windows_name(), core::str::from_utf8(why).unwrap_or("?"));
    check(refusal.status == Status::PortConnectionRefused, "the refusal is another")?;
    check(why == b"the word, please", "the server does not say why")
}

fn client(server: &SendRight) -> Outcome {
    let connected = Port::connect(server, PortAttributes::default(), &Message::new(WORD), None, PATIENCE);
    let (port, welcome) = connected.map_err(|refusal| Wrong::from(refusal.status))?;
    check(welcome.data() == b"welcome", "the server does not greet")?;
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
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let server = stage.enter_reachable("server", HERE_I_AM)?;
    for (which, left) in [("stranger", 1), ("friend", 0)] {
        stage.enter("client", which)?;
        stage.give(SERVER, &server)?;
        stage.wait_until_playing(left)?;
    }
    Ok(())
}
