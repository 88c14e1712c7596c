//! The kernel as a program for the bare machine: where it starts, and where it ends
//! when it finds a bug in itself. Everything else is in the library.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
mod bare {
    use core::fmt::Write;
    use core::panic::PanicInfo;
    use kernel::kernel::Kernel;
    use kernel::{boot, report, run};
    use portolan_machine::{BootInfo, Cpu, KernelLock, Machine, Stopped, exit, panic, self_test};

    static KERNEL: KernelLock<Option<Kernel>> = KernelLock::new(None);

    portolan_machine::entry!(start);

    fn start(machine: Machine, boot: BootInfo, mut cpu: Cpu) -> ! {
        if self_test::is_wanted(&boot) {
            exit(self_test::run(machine, boot, cpu))
        }
        match boot::kernel(machine, &boot) {
            Ok(kernel) => *KERNEL.lock() = Some(kernel),
            Err((error, mut console)) => {
                let _ = writeln!(console, "Portolan cannot start: {error}.");
                exit(false)
            }
        }
        run::forever(&KERNEL, &mut cpu)
    }

    #[panic_handler]
    fn panicked(info: &PanicInfo) -> ! {
        panic::report(info, describe)
    }

    /// What the kernel knows of its threads and messages.
    fn describe(stopped: &mut Stopped, out: &mut dyn Write) {
        if let Some(kernel) = KERNEL.seize(stopped) {
            let _ = report::state(kernel, out);
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("The kernel runs on the bare machine only; `make run` starts it in QEMU.");
}
