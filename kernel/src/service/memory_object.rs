//! Routines behind a memory object's port. Reference: `abi::memory_object`.

use super::Answer;
use crate::ipc;
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::port::{KernelObject, Owner};
use crate::kernel::Kernel;
use crate::task::AccountId;
use crate::vm::ObjectId;
use portolan_abi::memory_object::{ObjectInfo, Request, results};
use portolan_abi::{Capacity, Error, Protection, Result};

pub(super) fn handle(
    k: &mut Kernel,
    object: ObjectId,
    allowed: Protection,
    payer: AccountId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Info(_) => {
            let object = &k.vm.objects[object];
            let info = ObjectInfo {
                size: object.size(),
                resident: object.resident(),
                mappings: object.mappings,
                protection: allowed.bits(),
            };
            answer.results(&results::Info { info });
            Ok(())
        }
        Request::Derive(request) => {
            let wanted = protection(request.protection)?;
            if wanted.is_empty() {
                return Err(Error::InvalidArgument);
            }
            if !allowed.contains(wanted) {
                return Err(Error::ProtectionFailure);
            }
            answer.right(make_right(k, payer, object, wanted)?);
            Ok(())
        }
    }
}

/// The protection with these bits, and with what they imply.
pub(super) fn protection(bits: u32) -> Result<Protection> {
    Protection::from_bits(bits).map(Protection::with_implied).ok_or(Error::InvalidArgument)
}

/// A new right to map an object with at most this protection, paid for by whoever asks.
/// An object that no right stands for and no region maps ends if that fails.
pub(super) fn make_right(
    k: &mut Kernel,
    payer: AccountId,
    object: ObjectId,
    allowed: Protection,
) -> Result<CarriedRight> {
    match ipc::create(k, Owner::Kernel(KernelObject::Memory(object, allowed)), payer, Capacity::DEFAULT) {
        Ok(port) => {
            k.vm.objects[object].ports += 1;
            k.ports[port].send_rights += 1;
            Ok(CarriedRight::Send(port))
        }
        Err(error) => {
            k.vm.release_object(&mut k.accounts, object);
            Err(error)
        }
    }
}
