//! I/O ports: claimed once, used within the range, given back; and who has the console.

use crate::harness::{System, Task};
use portolan_abi::call::Call;
use portolan_abi::{Disposition, Error, Name, Result, host, io_ports};

fn claim(first: &Task, start: u32, count: u32) -> Result<Name> {
    host::io_claim(&**first, first.host_port(), start, count).map(|reply| reply.rights[0])
}

fn read(task: &Task, right: Name, offset: u32, width: u32) -> Result<u32> {
    io_ports::read(&**task, right, offset, width).map(|reply| reply.results.value)
}

fn write(task: &Task, right: Name, offset: u32, width: u32, value: u32) -> Result<()> {
    io_ports::write(&**task, right, offset, width, value, 0).map(drop)
}

#[test]
fn a_driver_reads_and_writes_its_ports_in_every_width() {
    let system = System::boot();
    let (first, driver) = (system.first(), system.task("driver"));
    let right = claim(first, 0x1f0, 8).expect("free ports");
    let right = first.give(&driver, right, Disposition::MoveSend);
    assert_eq!(read(&driver, right, 0, 1), Ok(0xff));
    assert_eq!(write(&driver, right, 0, 4, 0x1234_5678), Ok(()));
    assert_eq!(write(&driver, right, 1, 1, 0xffff_ffab), Ok(()));
    assert_eq!(write(&driver, right, 2, 2, 0xcdef), Ok(()));
    assert_eq!((read(&driver, right, 0, 4), read(&driver, right, 1, 2)), (Ok(0xcdef_ab78), Ok(0xefab)));
    let mut bytes = [0; io_ports::BYTES_MAX];
    bytes[..3].copy_from_slice(&[1, 2, 3]);
    assert!(io_ports::write_bytes(&*driver, right, 7, 3, bytes).is_ok());
    assert_eq!(read(&driver, right, 7, 1), Ok(3));
    let range = io_ports::info(&*driver, right).expect("information").results;
    assert_eq!((range.first, range.count), (0x1f0, 8));
}

#[test]
fn nothing_outside_the_range_is_touched() {
    let system = System::boot();
    let first = system.first();
    let right = claim(first, 0x200, 8).expect("free ports");
    for (offset, width) in [(8, 1), (7, 2), (5, 4), (u32::MAX, 1), (u32::MAX - 1, 2), (0, 0), (0, 3), (0, 8)] {
        assert_eq!(read(first, right, offset, width), Err(Error::InvalidArgument), "{offset}, {width}");
        assert_eq!(write(first, right, offset, width, 0), Err(Error::InvalidArgument), "{offset}, {width}");
    }
    for (offset, count) in [(8, 1), (0, 65), (0, u32::MAX)] {
        let written = io_ports::write_bytes(&**first, right, offset, count, [0; 64]);
        assert_eq!(written.map(drop), Err(Error::InvalidArgument), "{offset}, {count}");
    }
    assert_eq!(read(first, right, 4, 4), Ok(u32::MAX), "nothing was written");
    first.port_deallocate(right).expect("ours");
}

#[test]
fn a_port_is_claimed_once_and_by_whoever_may() {
    let system = System::boot();
    let (first, task) = (system.first(), system.task("task"));
    let right = claim(first, 0x60, 1).expect("a free port");
    assert_eq!(system.statistics().io_ports, 1);
    for (start, count) in [(0x60, 1), (0x5f, 2), (0x40, 0x41)] {
        assert_eq!(claim(first, start, count), Err(Error::NoSpace), "{start:#x}");
    }
    for (start, count) in [(0x20, 1), (0x21, 1), (0xa1, 1), (0xf4, 1), (0xf0, 8), (0x4d1, 1), (0, 0x1_0000)] {
        assert_eq!(claim(first, start, count), Err(Error::NoAccess), "{start:#x}");
    }
    for (start, count) in [(0, 0), (0xffff, 2), (0x1_0000, 1), (u32::MAX, u32::MAX)] {
        assert_eq!(claim(first, start, count), Err(Error::InvalidArgument), "{start:#x}");
    }
    let plain = first.give(&task, first.plain_host_port(), Disposition::CopySend);
    assert_eq!(host::io_claim(&*task, plain, 0x70, 2).map(drop), Err(Error::NoAccess));
    first.port_deallocate(right).expect("ours");
    assert_eq!(system.statistics().io_ports, 0);
    let again = claim(first, 0x40, 0x41).expect("all free");
    first.port_deallocate(again).expect("ours");
}

#[test]
fn the_console_is_its_drivers_until_that_ends() {
    let system = System::boot();
    let (first, driver) = (system.first(), system.task("driver"));
    let (buffer, _) = driver.buffers();
    driver.store(buffer, b"hello");
    let say = || driver.call(Call::DebugWrite { address: buffer, size: 5 }).done().0;
    assert_eq!(say(), Ok(()));
    let right = claim(first, 0x3f8, 8).expect("the serial line");
    let right = first.give(&driver, right, Disposition::MoveSend);
    assert_eq!(say(), Err(Error::NoAccess));
    // Another line is not the console.
    let other = claim(first, 0x2f8, 8).expect("the second line");
    driver.port_deallocate(right).expect("ours");
    assert_eq!(say(), Ok(()));
    first.port_deallocate(other).expect("ours");
    // A part of it is enough to have it.
    let part = claim(first, 0x3ff, 1).expect("its last port");
    assert_eq!(say(), Err(Error::NoAccess));
    first.port_deallocate(part).expect("ours");
    assert_eq!(system.console().matches("hello").count(), 2);
}
