//! Accounts: who pays for kernel memory, ports and frames.
//!
//! A task's limits are taken out of its parent's account when it is made and go
//! back when its own account is empty, which may be long after its end: a message
//! it queued is paid for until somebody receives it.
//!
//! Invariant: what an account has used is the sum of what was charged and not
//! credited, its children's limits included, and never passes its limits.
//! Neighbours: everything that makes an object.

use crate::arena::{Arena, Id, OutOfMemory};
use portolan_abi::task::Limits;
use portolan_machine::pace;

/// Names an account.
pub type AccountId = Id<Account>;

/// What can be charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// Bytes of kernel memory.
    Memory,
    /// Ports.
    Ports,
    /// Frames.
    Frames,
}

/// The account cannot pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spent;

impl From<Spent> for portolan_abi::Error {
    fn from(Spent: Spent) -> Self {
        portolan_abi::Error::ResourceShortage
    }
}

/// Instructions that giving limits back to a parent takes.
const PER_PARENT: u32 = 60;

/// A purse, with what is in it and what has been taken out.
pub struct Account {
    parent: Option<AccountId>,
    limits: [u64; 3],
    used: [u64; 3],
    closed: bool,
}

/// All accounts.
#[derive(Default)]
pub struct Accounts {
    accounts: Arena<Account>,
}

impl Accounts {
    /// Makes the account from which all others come.
    pub fn create_root(&mut self, limits: Limits) -> Result<AccountId, OutOfMemory> {
        self.insert(None, limits)
    }

    /// Makes an account with these limits, taken out of `parent`.
    pub fn create(&mut self, parent: AccountId, limits: Limits) -> portolan_abi::Result<AccountId> {
        let wanted = amounts(limits);
        let purse = &self.accounts[parent];
        let affordable = (0..3).all(|i| wanted[i] <= purse.limits[i] - purse.used[i]);
        if !affordable {
            return Err(Spent.into());
        }
        let id = self.insert(Some(parent), limits)?;
        for (used, wanted) in self.accounts[parent].used.iter_mut().zip(wanted) {
            *used += wanted;
        }
        Ok(id)
    }

    fn insert(&mut self, parent: Option<AccountId>, limits: Limits) -> Result<AccountId, OutOfMemory> {
        self.accounts.insert(Account { parent, limits: amounts(limits), used: [0; 3], closed: false })
    }

    /// Takes something out of the account.
    #[inline]
    pub fn charge(&mut self, id: AccountId, resource: Resource, amount: u64) -> Result<(), Spent> {
        let account = &mut self.accounts[id];
        let used = account.used[resource as usize].checked_add(amount).ok_or(Spent)?;
        if used > account.limits[resource as usize] {
            return Err(Spent);
        }
        account.used[resource as usize] = used;
        Ok(())
    }

    /// Puts something back. May be the end of a closed account.
    #[inline]
    pub fn credit(&mut self, id: AccountId, resource: Resource, amount: u64) {
        let account = &mut self.accounts[id];
        account.used[resource as usize] -= amount;
        if account.closed {
            self.settle(id);
        }
    }

    /// Says that nothing new will be charged: the account goes when it is empty.
    pub fn close(&mut self, id: AccountId) {
        self.accounts[id].closed = true;
        self.settle(id);
    }

    /// Gives limits of empty closed accounts back, up the line of parents.
    fn settle(&mut self, id: AccountId) {
        let mut next = Some(id);
        while let Some(id) = next {
            pace(PER_PARENT);
            let account = &self.accounts[id];
            if !account.closed || account.used != [0; 3] {
                return;
            }
            let (parent, limits) = (account.parent, account.limits);
            self.accounts.remove(id);
            if let Some(parent) = parent {
                for (used, limit) in self.accounts[parent].used.iter_mut().zip(limits) {
                    *used -= limit;
                }
            }
            next = parent;
        }
    }

    /// Its limits, and what of them is used.
    pub fn report(&self, id: AccountId) -> (Limits, Limits) {
        let account = &self.accounts[id];
        (limits(account.limits), limits(account.used))
    }

    /// How many accounts there are.
    pub fn len(&self) -> u32 {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Every account with its parent and what it has used.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, Option<AccountId>, Limits, Limits)> {
        self.accounts.iter().map(|(id, account)| (id, account.parent, limits(account.limits), limits(account.used)))
    }

    /// Bytes of heap that hold no account.
    pub fn spare(&self) -> usize {
        self.accounts.spare()
    }
}

const fn amounts(limits: Limits) -> [u64; 3] {
    [limits.memory, limits.ports, limits.frames]
}

const fn limits(amounts: [u64; 3]) -> Limits {
    Limits { memory: amounts[0], ports: amounts[1], frames: amounts[2] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_abi::Error;

    fn some(memory: u64) -> Limits {
        Limits { memory, ports: 10, frames: 10 }
    }

    #[test]
    fn a_spent_account_refuses_and_stays_as_it_was() {
        let mut accounts = Accounts::default();
        let id = accounts.create_root(some(100)).unwrap();
        accounts.charge(id, Resource::Memory, 60).unwrap();
        assert_eq!(accounts.charge(id, Resource::Memory, 41), Err(Spent));
        assert_eq!(accounts.charge(id, Resource::Memory, u64::MAX), Err(Spent));
        assert_eq!(accounts.report(id).1.memory, 60);
        accounts.charge(id, Resource::Memory, 40).unwrap();
    }

    #[test]
    fn a_childs_limits_come_out_of_its_parent_and_go_back_when_it_is_empty() {
        let mut accounts = Accounts::default();
        let root = accounts.create_root(some(100)).unwrap();
        let child = accounts.create(root, Limits { memory: 70, ports: 1, frames: 1 }).unwrap();
        let grandchild = accounts.create(child, Limits { memory: 20, ports: 0, frames: 0 }).unwrap();
        assert_eq!(accounts.create(root, Limits { memory: 31, ports: 0, frames: 0 }), Err(Error::ResourceShortage));
        accounts.charge(grandchild, Resource::Memory, 5).unwrap();
        accounts.close(child);
        accounts.close(grandchild);
        assert_eq!((accounts.len(), accounts.report(root).1.memory), (3, 70));
        accounts.credit(grandchild, Resource::Memory, 5);
        assert_eq!((accounts.len(), accounts.report(root).1.memory), (1, 0));
    }
}
