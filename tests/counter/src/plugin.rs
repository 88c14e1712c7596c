//! The plugin's two meetings with QEMU: when it is installed, and when a block of code is translated.

use crate::kind;
use crate::{COUNTERS, Counts, Edge, MEMORY, Stretches, TOTAL, USER};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// The version of the interface; QEMU looks for this name.
#[unsafe(no_mangle)]
static qemu_plugin_version: c_int = 1;

/// A block of translated code, while QEMU translates it.
#[repr(C)]
struct Block {
    _opaque: [u8; 0],
}

/// An instruction of such a block.
#[repr(C)]
struct Instruction {
    _opaque: [u8; 0],
}

const ADD: c_int = 0;
const NO_REGISTERS: c_int = 0;
/// Loads and stores: QEMU 7.2 confuses the two when asked for one of them.
const LOAD_OR_STORE: c_int = 3;

type OnTranslation = extern "C" fn(u64, *mut Block);
type OnExecution = extern "C" fn(c_uint, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(plugin: u64, callback: OnTranslation);
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const u8;
    fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: OnExecution,
        registers: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut Instruction,
        operation: c_int,
        counter: *mut u64,
        value: u64,
    );
    fn qemu_plugin_register_vcpu_mem_inline(
        instruction: *mut Instruction,
        accesses: c_int,
        operation: c_int,
        counter: *mut u64,
        value: u64,
    );
}

/// What QEMU's translated code counts in.
static COUNTS: [AtomicU64; COUNTERS] = [const { AtomicU64::new(0) }; COUNTERS];

static REGIONS: OnceLock<Mutex<Regions>> = OnceLock::new();

/// The regions that have begun, the stretches since the last one did, and the file that takes their counts.
struct Regions {
    begun: BTreeMap<u16, Counts>,
    stretches: Stretches,
    out: File,
}

/// Called by QEMU once, before the machine starts.
///
/// # Safety
/// `arguments` points to `count` strings, as QEMU gives them.
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_install(
    plugin: u64,
    _machine: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let pointers = if count == 0 {
        &[]
    } else {
        // SAFETY: QEMU gives an array of `count` pointers, which outlives this call.
        unsafe { slice::from_raw_parts(arguments, count) }
    };
    let out = pointers.iter().find_map(|&pointer| {
        // SAFETY: each of them points to a string that ends with a zero byte.
        let argument = unsafe { CStr::from_ptr(pointer) };
        File::create(argument.to_str().ok()?.strip_prefix("out=")?).ok()
    });
    let Some(out) = out else {
        eprintln!("portolan-counter: out=FILE must name a file that can be written");
        return 1;
    };
    if REGIONS.set(Mutex::new(Regions { begun: BTreeMap::new(), stretches: Stretches::default(), out })).is_err() {
        return 1;
    }
    // SAFETY: QEMU passes this plugin's own number, and the callback stays for as long as the plugin does.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated) };
    0
}

extern "C" fn translated(_plugin: u64, block: *mut Block) {
    // SAFETY: QEMU passes a block that is valid for this call.
    let length = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..length {
        // SAFETY: the block has an instruction of this index.
        count(unsafe { qemu_plugin_tb_get_insn(block, index) });
    }
}

/// Makes an instruction count itself whenever it runs.
fn count(instruction: *mut Instruction) {
    let bytes = bytes(instruction);
    add_one(instruction, TOTAL);
    if is_user(instruction) {
        add_one(instruction, USER);
    }
    if let Some(kind) = kind::of(&bytes) {
        add_one(instruction, kind as usize);
    }
    // SAFETY: the instruction is valid while its block is translated, and the counter lives for ever.
    unsafe {
        qemu_plugin_register_vcpu_mem_inline(instruction, LOAD_OR_STORE, ADD, COUNTS[MEMORY].as_ptr(), 1);
    }
    if let Some(edge) = crate::edge(&bytes) {
        match edge {
            Edge::Begin(region) => call_at(instruction, begin, region),
            Edge::End(region) => call_at(instruction, end, region),
        }
    }
    if !is_user(instruction) && crate::lets_in(&bytes) {
        call_at(instruction, let_in, 0);
    }
}

fn bytes(instruction: *const Instruction) -> Vec<u8> {
    // SAFETY: the instruction is valid while its block is translated.
    let size = unsafe { qemu_plugin_insn_size(instruction) };
    // SAFETY: as above.
    let data = unsafe { qemu_plugin_insn_data(instruction) };
    // SAFETY: QEMU keeps `size` bytes at `data` while the block is translated.
    unsafe { slice::from_raw_parts(data, size) }.to_vec()
}

fn is_user(instruction: *const Instruction) -> bool {
    // SAFETY: the instruction is valid while its block is translated.
    let address = unsafe { qemu_plugin_insn_vaddr(instruction) };
    address < 1 << 47
}

fn add_one(instruction: *mut Instruction, counter: usize) {
    let counter = COUNTS[counter].as_ptr();
    // SAFETY: the instruction is valid while its block is translated, and the counter lives for ever.
    unsafe { qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, counter, 1) };
}

fn call_at(instruction: *mut Instruction, callback: OnExecution, region: u16) {
    let region = std::ptr::without_provenance_mut(usize::from(region));
    // SAFETY: the instruction is valid while its block is translated; the data is a number, not a pointer.
    unsafe {
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, NO_REGISTERS, region);
    }
}

extern "C" fn let_in(_cpu: c_uint, region: *mut c_void) {
    with_regions(region, |regions, _| {
        let [total, user] = [TOTAL, USER].map(|counter| COUNTS[counter].load(Ordering::Relaxed));
        regions.stretches.end_one(total - user);
    });
}

extern "C" fn begin(_cpu: c_uint, region: *mut c_void) {
    with_regions(region, |regions, region| {
        regions.stretches.longest = 0;
        regions.begun.insert(region, counts());
    });
}

extern "C" fn end(_cpu: c_uint, region: *mut c_void) {
    with_regions(region, |regions, region| {
        let now = counts();
        if let Some(then) = regions.begun.remove(&region)
            && let Err(error) = writeln!(regions.out, "{}", crate::line(region, &then, &now, regions.stretches.longest))
        {
            eprintln!("portolan-counter: {error}");
        }
    });
}

fn with_regions(region: *mut c_void, work: impl FnOnce(&mut Regions, u16)) {
    let region = u16::try_from(region.addr()).expect("a region's number, as given to QEMU");
    if let Some(mut regions) = REGIONS.get().and_then(|regions| regions.lock().ok()) {
        work(&mut regions, region);
    }
}

fn counts() -> Counts {
    COUNTS.each_ref().map(|counter| counter.load(Ordering::Relaxed))
}
