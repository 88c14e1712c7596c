//! A panic prints its message and ends the task; whoever holds the task's port
//! is told of its death. In the first task it ends the machine.

use crate::start::STARTUP;
use crate::{host, println, task};
use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let startup = STARTUP.get();
    println!("panic in task `{}`: {info}", startup.map_or("", |startup| startup.arguments));
    if let Some(host) = startup.and_then(|startup| startup.host_privileged.as_ref()) {
        host::exit(host, 1);
    }
    task::end()
}
