//! The loader: puts programs of the boot archive into tasks that its clients have made (`portolan::loader`).
//!
//! The right to a task that comes with a request may be to anything, and the task may end at any moment.
//! Invariant: it waits for nobody but the kernel, and keeps nothing of a request.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use portolan::loader::SERVICE;
use portolan::loader::protocol::{self, Load};
use portolan::program::Program;
use portolan::server::{Call, Outcome};
use portolan::service::ServiceName;
use portolan::{Archive, Error, Result, SendRight, Task, bootstrap};

portolan::main!(main);

fn main() -> Result<()> {
    let port = bootstrap::check_in(SERVICE)?;
    protocol::serve(&port, &mut Loader { files: bootstrap::archive()? })
}

struct Loader {
    files: &'static Archive,
}

impl protocol::Server for Loader {
    fn load(
        &mut self,
        _: &mut Call<'_, Load>,
        program: ServiceName,
        priority: u32,
        _reserved: u32,
        task: SendRight,
    ) -> Outcome<Load> {
        let file = self.files.file(program.text()?).ok_or(Error::InvalidName)?;
        let task = Task::from_stranger(task)?;
        match Program::parse(file) {
            Ok(program) => {
                program.load(&task, priority)?;
                Ok((0, 0))
            }
            Err(defect) => Ok((defect as u32, 0)),
        }
    }
}
