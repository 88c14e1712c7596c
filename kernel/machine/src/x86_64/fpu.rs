//! Floating-point and SSE registers of threads. The kernel itself uses none.
//!
//! A thread's state stays in the processor until another thread is about to run there;
//! then it is saved and the other's is loaded, at once and always: nobody ever runs with
//! another's values. Only what FXSAVE covers exists: CR4.OSXSAVE is off, so AVX is an
//! invalid instruction. Invariant: the owner named in the processor's block is null or an
//! area that lives. When there is more than one processor, a thread that moves must be
//! saved where it was first.

use super::per_cpu::PerCpu;
use crate::Unfit;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::arch::asm;
use core::ptr::{self, NonNull};
use portolan_abi::registers::FloatingPoint;

/// x87 control word: all exceptions masked, 64-bit precision.
const INITIAL_FCW: u16 = 0x37f;
/// SSE control and status: all exceptions masked.
const INITIAL_MXCSR: u32 = 0x1f80;
/// Bits of MXCSR on a processor that does not say which it has (manual, vol. 1, 11.6.6).
const MXCSR_BITS: u32 = 0xffbf;

/// What FXSAVE writes.
#[repr(C, align(16))]
pub(super) struct FpuState {
    fcw: u16,
    _status: [u8; 22],
    mxcsr: u32,
    mxcsr_mask: u32,
    _rest: [u8; 480],
}

const _: () = assert!(size_of::<FpuState>() == 512);

/// A thread's floating-point state, at an address that stays.
#[derive(Debug)]
pub(super) struct FpuArea {
    state: NonNull<FpuState>,
}

// SAFETY: the area is owned; a thread that moves to another processor is saved first.
unsafe impl Send for FpuArea {}
// SAFETY: nothing can be done to it by a shared reference.
unsafe impl Sync for FpuArea {}

impl FpuArea {
    /// The state every thread starts with: zeros, exceptions masked. `None`: out of memory.
    pub(super) fn new() -> Option<FpuArea> {
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(Layout::new::<FpuState>()) };
        let state = NonNull::new(memory.cast::<FpuState>())?;
        let initial =
            FpuState { fcw: INITIAL_FCW, _status: [0; 22], mxcsr: INITIAL_MXCSR, mxcsr_mask: 0, _rest: [0; 480] };
        // SAFETY: the memory is fresh, large enough, and aligned.
        unsafe { state.write(initial) };
        Some(FpuArea { state })
    }

    /// Sees to it that the processor holds this state. Whether it held another's before.
    #[inline]
    pub(super) fn load(&mut self, cpu: &PerCpu) -> bool {
        let other = cpu.fpu_owner.get() != self.state.as_ptr();
        if other {
            self.switch(cpu);
        }
        other
    }

    /// Sees to it that the processor holds nothing of this state.
    pub(super) fn unload(&mut self) {
        let owner = &PerCpu::current().fpu_owner;
        if owner.get() == self.state.as_ptr() {
            owner.set(ptr::null_mut());
            save(self.state);
        }
    }

    /// The state as FXSAVE writes it.
    pub(super) fn read(&mut self) -> FloatingPoint {
        self.unload();
        let mut bytes = [0; size_of::<FpuState>()];
        // SAFETY: the area is as large as the bytes, all of it is initialised, and it is this value's own.
        unsafe { ptr::copy_nonoverlapping(self.state.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len()) };
        FloatingPoint { bytes }
    }

    /// Puts another state in its place, one that FXRSTOR loads without a fault.
    ///
    /// # Errors
    /// `Flags`: a bit of MXCSR is set that the processor has not.
    pub(super) fn write(&mut self, state: &FloatingPoint) -> Result<(), Unfit> {
        // SAFETY: any bytes are an `FpuState`, and there are as many as it has.
        let state: FpuState = unsafe { state.bytes.as_ptr().cast::<FpuState>().read_unaligned() };
        if state.mxcsr & !self.mxcsr_bits() != 0 {
            return Err(Unfit::Flags);
        }
        // SAFETY: the area is this value's own, aligned, and no longer the processor's.
        unsafe { self.state.write(state) };
        Ok(())
    }

    /// The bits of MXCSR that this processor has: it writes them beside each state that it saves.
    fn mxcsr_bits(&mut self) -> u32 {
        self.unload();
        let mut saved = FpuState { fcw: 0, _status: [0; 22], mxcsr: 0, mxcsr_mask: 0, _rest: [0; 480] };
        save(NonNull::from(&mut saved));
        if saved.mxcsr_mask == 0 { MXCSR_BITS } else { saved.mxcsr_mask }
    }

    #[inline]
    fn switch(&mut self, cpu: &PerCpu) {
        let old = cpu.fpu_owner.replace(self.state.as_ptr());
        if let Some(old) = NonNull::new(old) {
            save(old);
        }
        // Some processors leave the last x87 instruction's address alone when they load
        // a state without a pending error; clearing first, it does not become the next
        // thread's to see.
        // SAFETY: the kernel has nothing in these registers; the state is well formed, being
        // either the initial one or one that the processor saved.
        unsafe {
            asm!("fninit", "fxrstor64 [{}]", in(reg) self.state.as_ptr(), options(nostack, preserves_flags));
        };
    }
}

/// Writes what the processor holds to an area: one that lives, as an owner does.
#[inline]
fn save(area: NonNull<FpuState>) {
    // SAFETY: the area lives and is aligned; saving changes nothing else.
    unsafe { asm!("fxsave64 [{}]", in(reg) area.as_ptr(), options(nostack, preserves_flags)) };
}

impl Drop for FpuArea {
    fn drop(&mut self) {
        let owner = &PerCpu::current().fpu_owner;
        if owner.get() == self.state.as_ptr() {
            owner.set(ptr::null_mut());
        }
        // SAFETY: allocated in `new` with this layout, and no longer any processor's.
        unsafe { dealloc(self.state.as_ptr().cast(), Layout::new::<FpuState>()) };
    }
}
