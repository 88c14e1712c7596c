//! Streams: musl's `stdio` above, the console below.
//!
//! Musl formats and buffers; what it asks of the system for a stream is the four functions that its
//! `FILE` points to, and these are here. Invariant: [`File`] is musl's `struct _IO_FILE`
//! (`src/internal/stdio_impl.h`); a thread changes the buffer only while it holds the stream's lock.

use crate::errno::{self, Errno};
use crate::lock::{__lockfile, __unlockfile};
use crate::unistd;
use core::ffi::{c_int, c_uint, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicI64, Ordering};

/// A stream.
#[repr(C)]
pub(crate) struct File {
    flags: c_uint,
    read_at: *mut u8,
    read_end: *mut u8,
    close: *const c_void,
    write_end: *mut u8,
    write_at: *mut u8,
    zero: *mut u8,
    write_start: *mut u8,
    functions: [*const c_void; 3],
    buffer: *mut u8,
    buffer_size: usize,
    neighbours: [*mut File; 2],
    descriptor: c_int,
    pipe: c_int,
    /// How often its holder has locked it beyond the first time.
    pub(crate) locked_again: AtomicI64,
    mode: c_int,
    /// The thread that holds it, or 0. Below 0 musl takes no lock.
    pub(crate) lock: AtomicI32,
}

/// Its end has been reached.
const AT_END: c_uint = 16;
/// Reading or writing has failed.
const FAILED: c_uint = 32;

unsafe extern "C" {
    static stdin: *mut File;
    static stdout: *mut File;
    static stderr: *mut File;
    fn getc_unlocked(file: *mut File) -> c_int;
    fn putc_unlocked(byte: c_int, file: *mut File) -> c_int;
}

/// Has every thread lock the streams that it uses: musl does not, before there is a second thread.
pub(crate) fn share_streams() {
    // SAFETY: musl sets them before any program runs.
    for file in [unsafe { stdin }, unsafe { stdout }, unsafe { stderr }] {
        // SAFETY: it is a stream, and only atomically changed here.
        unsafe { &(*file).lock }.store(0, Ordering::Relaxed);
    }
}

/// Writes what the buffer holds and then these bytes; how many of them were written.
#[unsafe(no_mangle)]
unsafe extern "C" fn __stdio_write(file: &mut File, bytes: *const u8, length: usize) -> usize {
    let held = file.write_at.addr() - file.write_start.addr();
    // SAFETY: musl keeps the bytes to be written between these two.
    let held = unsafe { unistd::bytes(file.write_start, held) };
    // SAFETY: the caller passes memory of this length.
    let bytes = unsafe { unistd::bytes(bytes, length) };
    let descriptor = file.descriptor;
    if let Err(errno) = [held, bytes].into_iter().try_for_each(|part| unistd::write_all(descriptor, part)) {
        errno::set(errno);
        file.flags |= FAILED;
        (file.write_at, file.write_start, file.write_end) = (null_mut(), null_mut(), null_mut());
        return 0;
    }
    file.write_end = file.buffer.wrapping_add(file.buffer_size);
    (file.write_start, file.write_at) = (file.buffer, file.buffer);
    length
}

/// The console is a terminal: the buffer is written at each end of a line, as musl sets it up.
#[unsafe(no_mangle)]
unsafe extern "C" fn __stdout_write(file: &mut File, bytes: *const u8, length: usize) -> usize {
    // SAFETY: as there.
    unsafe { __stdio_write(file, bytes, length) }
}

/// Reads into the buffer what is typed, and gives the caller the first bytes; how many.
#[unsafe(no_mangle)]
unsafe extern "C" fn __stdio_read(file: &mut File, into: *mut u8, length: usize) -> usize {
    // SAFETY: musl gives every stream that it reads a buffer, which nothing else uses meanwhile.
    let buffer = unsafe { core::slice::from_raw_parts_mut(file.buffer, file.buffer_size) };
    match unistd::read_some(file.descriptor, buffer) {
        Ok(0) => {
            file.flags |= AT_END;
            0
        }
        Ok(count) => {
            let given = count.min(length);
            // SAFETY: the caller passes room for `length` bytes, apart from the buffer.
            unsafe { into.copy_from_nonoverlapping(file.buffer, given) };
            file.read_at = file.buffer.wrapping_add(given);
            file.read_end = file.buffer.wrapping_add(count);
            given
        }
        Err(errno) => {
            errno::set(errno);
            file.flags |= FAILED;
            0
        }
    }
}

/// The console has no places to go to.
#[unsafe(no_mangle)]
extern "C" fn __stdio_seek(_file: &File, _offset: i64, _whence: c_int) -> i64 {
    errno::set(Errno::IllegalSeek);
    -1
}

/// The console stays open.
#[unsafe(no_mangle)]
extern "C" fn __stdio_close(_file: &File) -> c_int {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fgetc(file: *mut File) -> c_int {
    // SAFETY: the caller passes a stream.
    let mine = __lockfile(unsafe { &*file });
    // SAFETY: it is locked.
    let byte = unsafe { getc_unlocked(file) };
    if mine != 0 {
        // SAFETY: the caller passes a stream.
        __unlockfile(unsafe { &*file });
    }
    byte
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getc(file: *mut File) -> c_int {
    // SAFETY: the caller passes a stream.
    unsafe { fgetc(file) }
}

#[unsafe(no_mangle)]
extern "C" fn getchar() -> c_int {
    // SAFETY: musl sets it before any program runs.
    let file = unsafe { stdin };
    // SAFETY: it is a stream.
    unsafe { fgetc(file) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fputc(byte: c_int, file: *mut File) -> c_int {
    // SAFETY: the caller passes a stream.
    let mine = __lockfile(unsafe { &*file });
    // SAFETY: it is locked.
    let written = unsafe { putc_unlocked(byte, file) };
    if mine != 0 {
        // SAFETY: the caller passes a stream.
        __unlockfile(unsafe { &*file });
    }
    written
}

#[unsafe(no_mangle)]
unsafe extern "C" fn putc(byte: c_int, file: *mut File) -> c_int {
    // SAFETY: the caller passes a stream.
    unsafe { fputc(byte, file) }
}

#[unsafe(no_mangle)]
extern "C" fn putchar(byte: c_int) -> c_int {
    // SAFETY: musl sets it before any program runs.
    let file = unsafe { stdout };
    // SAFETY: it is a stream.
    unsafe { fputc(byte, file) }
}
