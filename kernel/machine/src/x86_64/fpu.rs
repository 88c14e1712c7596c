//! Floating-point and SSE registers of threads. The kernel itself uses none.
//!
//! A thread's state stays in the processor until another thread is about to run there;
//! then it is saved and the other's is loaded, at once and always: nobody ever runs with
//! another's values. Only what FXSAVE covers exists: CR4.OSXSAVE is off, so AVX is an
//! invalid instruction. Invariant: the owner named in the processor's block is null or an
//! area that lives. When there is more than one processor, a thread that moves must be
//! saved where it was first.

use super::per_cpu::PerCpu;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::arch::asm;
use core::ptr::{self, NonNull};

/// x87 control word: all exceptions masked, 64-bit precision.
const INITIAL_FCW: u16 = 0x37f;
/// SSE control and status: all exceptions masked.
const INITIAL_MXCSR: u32 = 0x1f80;

/// What FXSAVE writes.
#[repr(C, align(16))]
pub(super) struct FpuState {
    fcw: u16,
    _status: [u8; 22],
    mxcsr: u32,
    _rest: [u8; 484],
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
        let initial = FpuState { fcw: INITIAL_FCW, _status: [0; 22], mxcsr: INITIAL_MXCSR, _rest: [0; 484] };
        // SAFETY: the memory is fresh, large enough, and aligned.
        unsafe { state.write(initial) };
        Some(FpuArea { state })
    }

    /// Sees to it that the processor holds this state.
    #[inline]
    pub(super) fn load(&mut self, cpu: &PerCpu) {
        if cpu.fpu_owner.get() != self.state.as_ptr() {
            self.switch(cpu);
        }
    }

    #[inline]
    fn switch(&mut self, cpu: &PerCpu) {
        let old = cpu.fpu_owner.replace(self.state.as_ptr());
        if !old.is_null() {
            // SAFETY: an owner lives, and its state is the processor's.
            unsafe { asm!("fxsave64 [{}]", in(reg) old, options(nostack, preserves_flags)) };
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
