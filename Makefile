# Portolan: build it, run it, test it. `make help` lists the verbs.

# The programs of the boot archive: NAME is the binary of the package portolan-NAME.
PROGRAMS := first names console clock loader shm mq shell hello demos suite bench
PROGRAMS += $(patsubst user/programs/%/Cargo.toml,%,$(wildcard user/programs/*/Cargo.toml))

# What else is in it: which servers are started, and how.
files := user/servers/servers.conf user/suite/suite.conf

# What a person may set.
RUN       ?=#          run: which program of the archive, instead of the demos
DEMO      ?=#          run: one demo by its name, instead of all
NAME      ?=#          new-task: what it is called
PROGRAM   ?=#          run: C or Rust files of your own, each a program, one after the other
ARGUMENTS ?=#          run: words for the programs that PROGRAM names
T         ?=#          test: one guest test by its name, instead of everything
FIRMWARE  ?=#          run: boot the disk image by bios or uefi, instead of the kernel itself
SCREEN    ?=#          run: show the disk image's screen, in QEMU's words: gtk, sdl, vnc=:1
ACCEL     ?= tcg#      how QEMU runs instructions: tcg, or kvm
MEM       ?= 256M#     the machine's memory
CONSOLE   ?= server#   run: who has the serial line: server, or kernel
BREAKDOWN ?=#          bench: 1 shows what kinds of instruction an operation is made of
TWICE     ?=#          bench: 1 runs it twice, and no figure may differ
TOOLCHAIN ?= auto#     where core and alloc for the bare machine come from: rustup, or debian

export CARGO_TARGET_DIR := $(CURDIR)/target
export RUSTUP_AUTO_INSTALL := 0# setup/toolchain has seen to that
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

bare  := target/toolchain/bin/cargo
boot  := target/debug/portolan-boot
guest := target/x86_64-unknown-none
build := build --quiet --target x86_64-unknown-none

# What PROGRAM names, by the names that the programs get.
own   := $(basename $(notdir $(PROGRAM)))
comma := ,
space := $(subst ,, )

# Who sits at a terminal and asks for nothing else has a tour of the demos, and then the shell.
seat := $(if $(own)$(RUN)$(DEMO)$(filter kernel,$(CONSOLE)),,$(if $(MAKE_TERMOUT),$(shell [ -t 0 ] && echo shell)))

# Tests and benchmarks have the machine to themselves, without servers; their cases start their own.
run   = $(or $(subst $(space),$(comma),$(strip $(own))),$(RUN),$(seat),demos)
words = $(strip run=$(run) $(if $(seat),begin=tour) $(DEMO:%=demo=%) $(if $(filter suite bench,$(run)),,servers=servers.conf console=$(CONSOLE)) $(if $(ARGUMENTS),-- $(ARGUMENTS)))
vm    = --accel $(ACCEL) --memory $(MEM)

# Control-C is the shell's. QEMU ends by control-A and then X.
keys  = $(if $(filter shell,$(run)),--serial mon:stdio)

# A window is opened only where one is asked for: there may be no display to open it on.
screen = $(if $(SCREEN),--display $(SCREEN))

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo; sed -n 's/^\([A-Z]*\) *?= *\([a-z0-9A-Z]*\)# */\1\t\2\t/p' Makefile | expand -t 12,20

run: run-$(or $(FIRMWARE),$(if $(SCREEN),bios),kernel) ## boot Portolan in QEMU and show the demos; at a terminal, then the shell

run-kernel: $(if $(PROGRAM),target/programs/archive.tar,$(guest)/release/archive.tar) qemu
	@$(boot) run --kernel $(guest)/release/portolan --archive $< --words "$(words)" $(vm) $(keys)

run-bios: image qemu
	@$(boot) run --disk target/image/portolan-bios.img $(vm) $(screen) $(keys)

run-uefi: image qemu ovmf
	@$(boot) run --disk target/image/portolan-uefi.img --uefi-variables target/image/variables.fd $(vm) $(screen) $(keys)

shell: RUN = shell
shell: run ## boot Portolan in QEMU, and sit down at its shell

test: $(guest)/checked/tests.tar qemu ## test on the host, then in QEMU
ifeq ($(T),)
	cargo test --quiet --no-fail-fast
endif
	cargo run --quiet -p portolan-tests --bin guest -- --kernel $(guest)/checked/portolan --archive $< $(T:%=--test %) $(vm)

bench: $(guest)/release/archive.tar qemu ## count the instructions of each operation, beside the peers' figures
	cargo build --quiet --release -p portolan-counter
	cargo run --quiet -p portolan-tests --bin bench -- --kernel $(guest)/release/portolan --archive $< --out target/bench.json \
		--counter target/release/libportolan_counter.so $(if $(BREAKDOWN),--breakdown) $(if $(TWICE),--twice)

image: target/image/portolan-bios.img ## make the BIOS and UEFI disk images

test-image: RUN = demos,shell
test-image: image qemu ovmf ## boot the demos from both disk images, and use the shell by screen and keyboard
	cargo run --quiet -p portolan-tests --bin demos -- --bios target/image/portolan-bios.img --uefi target/image/portolan-uefi.img

gdb: $(guest)/release/archive.tar qemu ## boot halted, with gdb on the kernel
	@setup/need gdb gdb "the debugger"
	gdb -q $(guest)/release/portolan -x setup/kernel.gdb -ex 'target remote | exec $(boot) run --kernel $(guest)/release/portolan \
		--archive $< --words "$(words)" $(vm) --serial file:target/serial.log -- -S -gdb stdio'

new-task: ## make a program of your own, NAME=…
	@setup/new-task "$(NAME)"

book: docs/reference.md ## make the book, target/book/index.html
	@setup/mdbook
	@target/mdbook/bin/mdbook build docs/book

docs: | target/toolchain/ready ## write docs/reference.md from the definitions in kernel/abi
	cargo run --quiet -p portolan-tests --bin reference

check: | target/toolchain/ready ## formatting, lints, and which part may use which
	cargo fmt --all --check
	cargo fmt --manifest-path boot/image/Cargo.toml --check
	cargo clippy --quiet --all-targets -- --deny warnings
	$(bare)-clippy clippy --quiet --target x86_64-unknown-none -p portolan-kernel $(PROGRAMS:%=-p portolan-%) -p portolan-c -- --deny warnings
	cargo test --quiet -p portolan-tests --test layers

clean: ## remove what was built, but not the toolchain
	@[ ! -d target ] || find target -mindepth 1 -maxdepth 1 ! -name toolchain ! -name bootloader ! -name mdbook -exec rm -rf {} +

doctor: ## say which tools are here, and how to get the missing ones
	@setup/doctor

# Nobody sits at these.
test-image gdb shell: seat =

.PHONY: c own-programs help run shell run-kernel run-bios run-uefi test bench image test-image gdb new-task book docs check clean doctor qemu ovmf FORCE
.SECONDARY:

# The kernel, the programs, and the archive that the kernel finds in memory; the stem is the build profile.
# Cargo knows what has changed; it leaves alone what has not, and then the archive is not packed again.
$(guest)/%/portolan: FORCE | target/toolchain/ready
	@$(bare) $(build) --profile $* -p portolan-kernel --bin portolan

$(addprefix $(guest)/%/,$(PROGRAMS)): FORCE | target/toolchain/ready
	@$(bare) $(build) --profile $* $(PROGRAMS:%=-p portolan-%)

$(guest)/%/archive.tar: $(guest)/%/portolan $(addprefix $(guest)/%/,$(PROGRAMS)) $(files) $(boot)
	@$(boot) pack --out $@ --words "run=demos" --kernel $(filter-out $(boot),$^)

$(boot): FORCE | target/toolchain/ready
	@cargo build --quiet -p portolan-boot

# The tests of the C library are one C program. Without builtins, as the library is tested, not the compiler.
$(guest)/checked/c-tests: $(wildcard user/c/tests/*) user/c/cc target/c/checked
	@PROFILE=checked user/c/cc -O2 -g -fno-builtin -Wall -Wextra -Werror -o $@ $(filter %.c,$^)

$(guest)/checked/tests.tar: $(guest)/checked/archive.tar $(guest)/checked/c-tests
	@$(boot) pack --out $@ --words "run=suite" --kernel $(guest)/checked/portolan \
		$(addprefix $(guest)/checked/,$(PROGRAMS)) $(guest)/checked/c-tests $(files)

# The images carry their command line with them.
target/image/archive.tar: $(guest)/release/archive.tar $(if $(PROGRAM),own-programs) FORCE
	@mkdir -p $(@D)
	@$(boot) pack --out $@ --words "$(words)" --kernel $(guest)/release/portolan \
		$(addprefix $(guest)/release/,$(filter-out $(own),$(PROGRAMS))) $(addprefix target/programs/,$(own)) $(files)

target/programs/archive.tar: $(guest)/release/archive.tar own-programs
	@$(boot) pack --out $@ --words "$(words)" --kernel $(guest)/release/portolan \
		$(addprefix $(guest)/release/,$(filter-out $(own),$(PROGRAMS))) $(addprefix target/programs/,$(own)) $(files)

# What a person's own files are built with, and the files.
own-programs: $(if $(filter %.c,$(PROGRAM)),c) $(guest)/release/archive.tar
	@user/program release target/programs $(PROGRAM)

c: target/c/release ## build what user/c/cc makes C programs with

target/c/%: FORCE | target/toolchain/ready
	@$(bare) $(build) --profile $* -p portolan-c
	@setup/c $(guest)/$*/libportolan_c.a

target/image/portolan-bios.img: $(guest)/release/portolan target/image/archive.tar target/bootloader/portolan-image
	@target/bootloader/portolan-image --kernel $< --archive target/image/archive.tar --out $(@D)

target/bootloader/portolan-image: boot/image/Cargo.lock boot/image/src/main.rs setup/image | target/toolchain/ready
	@setup/image

# What has to be there once.
target/toolchain/ready:
	@setup/toolchain $(TOOLCHAIN)

qemu:
	@setup/need qemu-system-x86_64 qemu-system-x86 "the machine that Portolan runs in"

ovmf:
	@setup/need /usr/share/OVMF ovmf "UEFI for that machine"
