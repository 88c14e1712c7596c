//! Judging Portolan from outside: what the programs in `src/bin` share.
//!
//! [`guest`] runs a machine within limits of time and hands over its serial lines, [`record`] reads the
//! records among them, [`report`] decides whether they add up to a pass, and [`session`] is the three in one.
//! [`conversation`] types at a machine, and looks for what is said; [`processor`] starts it on processors that lack something,
//! [`crash`] has it do what must end in a panic,
//! and [`disturbance`] does to it what hardware can. [`seat`] sits at its keyboard and its screen.
//! [`reference`] makes the reference documentation. [`figures`] sets measurements beside the peers', [`breakdown`] says what they consist of.
//! The rule of the house: a pass must be said by the guest, twice (in its final record and by its exit
//! code), and must agree with what was counted here. Silence is a failure.

#![forbid(unsafe_code)]

pub mod breakdown;
pub mod conversation;
pub mod crash;
pub mod disturbance;
pub mod figures;
pub mod guest;
pub mod options;
pub mod processor;
pub mod record;
pub mod reference;
pub mod report;
pub mod seat;
pub mod session;
