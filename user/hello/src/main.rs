//! The smallest program: it makes a port, sends itself a message, and prints it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use portolan::{Capacity, Message, ReceiveRight, Result, println};

portolan::main!(main);

fn main() -> Result<()> {
    let mailbox = ReceiveRight::allocate(Capacity::Bounded(1))?;
    mailbox.make_send()?.send(Message::new(1).text("Hello, port!"))?;
    println!("{}", mailbox.receive()?.text()?);
    Ok(())
}
