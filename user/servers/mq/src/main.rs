//! The server of POSIX message queues, as a program. What it does is in `queues`, which is tested on the host.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use portolan::{Result, bootstrap};
use portolan_posix::queue::SERVICE;

portolan::main!(main);

fn main() -> Result<()> {
    portolan_queues::serve(&bootstrap::check_in(SERVICE)?)
}
