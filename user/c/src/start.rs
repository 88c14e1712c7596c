//! Where a C program begins: its main function, in a thread that has its own storage.
//!
//! The thread in which the task begins has none, as only a thread that stands still can be given one. So it
//! starts the thread that runs `main`, and ends. Neighbours: `portolan`'s entry before, `thread` beside.

use crate::stdio;
use crate::thread::{self, Attributes};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;
use portolan::{argument, println};

/// Bytes of the main thread's stack.
const STACK_SIZE: usize = 1 << 20;

unsafe extern "C" {
    /// The program's.
    fn main(count: c_int, arguments: *mut *mut c_char, environment: *mut *mut c_char) -> c_int;
    /// Musl's: flushes the streams, and runs what was left for the end.
    safe fn exit(status: c_int) -> !;
    /// Musl's list of environment variables.
    static mut __environ: *mut *mut c_char;
    /// Functions to be run before `main`, between these two.
    static __init_array_start: [extern "C" fn(); 0];
    static __init_array_end: [extern "C" fn(); 0];
}

#[unsafe(no_mangle)]
extern "C" fn portolan_main() -> u32 {
    let attributes = Attributes::with_stack(STACK_SIZE);
    if let Err(errno) = thread::start(&attributes, run, null_mut()) {
        println!("the program's main thread could not be started: {errno:?}");
        return 1;
    }
    thread::leave_the_first()
}

extern "C" fn run(_nothing: *mut c_void) -> *mut c_void {
    stdio::share_streams();
    let mut environment = [null_mut()];
    // SAFETY: no other thread runs yet.
    unsafe { __environ = environment.as_mut_ptr() };
    run_constructors();
    let mut arguments = arguments();
    let (count, arguments) = (arguments.len() as c_int - 1, arguments.as_mut_ptr());
    // SAFETY: it is the program's main function, and gets what the C standard says.
    exit(unsafe { main(count, arguments, environment.as_mut_ptr()) })
}

fn run_constructors() {
    let (mut next, end) = (&raw const __init_array_start, &raw const __init_array_end);
    while next.cast::<u8>() != end.cast() {
        // SAFETY: the linker puts the addresses of functions there.
        let constructor = unsafe { next.cast::<extern "C" fn()>().read() };
        constructor();
        next = next.cast::<extern "C" fn()>().wrapping_add(1).cast();
    }
}

/// The program's name, the words of the argument text after `--`, and null. They live as long as the task.
fn arguments() -> Vec<*mut c_char> {
    let words = portolan::arguments().split_whitespace().skip_while(|word| *word != "--").skip(1);
    let name = argument("program").unwrap_or_default();
    let strings = core::iter::once(name).chain(words).map(|word| CString::new(word).unwrap_or_default());
    strings.map(CString::into_raw).chain([null_mut()]).collect()
}
