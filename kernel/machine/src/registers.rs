//! Which registers a thread may be given.
//!
//! Invariant: what is accepted here can be loaded by the return to user mode without a
//! fault in the kernel, and gives the thread no privilege. Both backends ask.

use portolan_abi::registers::{FIXED_FLAGS, Registers, USER_FLAGS};
use portolan_abi::vm::USER_END;

/// Why registers were not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The instruction pointer, or the base of FS, is no user address.
    Address,
    /// A flag is not the thread's to change, or a reserved bit of MXCSR is set.
    Flags,
}

/// The registers with the flags that every thread has.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn checked(registers: &Registers) -> Result<Registers, Unfit> {
    if registers.rip >= USER_END || registers.fs_base >= USER_END {
        return Err(Unfit::Address);
    }
    if registers.rflags & !(USER_FLAGS | FIXED_FLAGS) != 0 {
        return Err(Unfit::Flags);
    }
    Ok(Registers { rflags: registers.rflags | FIXED_FLAGS, ..*registers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_flags(rflags: u64) -> Result<u64, Unfit> {
        checked(&Registers { rflags, ..Registers::default() }).map(|registers| registers.rflags)
    }

    #[test]
    fn flags_of_the_kernel_are_refused_and_fixed_ones_set() {
        assert_eq!(with_flags(0), Ok(FIXED_FLAGS));
        assert_eq!(with_flags(USER_FLAGS), Ok(USER_FLAGS | FIXED_FLAGS));
        for bit in [3, 5, 12, 13, 15, 17, 19, 20, 22, 32, 63] {
            assert_eq!(with_flags(1 << bit), Err(Unfit::Flags), "bit {bit}");
        }
    }

    #[test]
    fn only_user_addresses_are_accepted() {
        for address in [USER_END, 1 << 47, u64::MAX, 0xffff_8000_0000_0000] {
            let code = Registers { rip: address, ..Registers::default() };
            let storage = Registers { fs_base: address, ..Registers::default() };
            assert_eq!((checked(&code), checked(&storage)), (Err(Unfit::Address), Err(Unfit::Address)));
        }
        let last = Registers { rip: USER_END - 1, fs_base: USER_END - 1, rsp: u64::MAX, ..Registers::default() };
        assert!(checked(&last).is_ok());
    }
}
