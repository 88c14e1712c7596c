//! Messages that a full port does not keep, because its receiver wants it so.
//!
//! A message that is destroyed takes its rights with it, as one of a dying port does: a
//! send-once right tells its port, and the `msg_rpc` behind it. If the kernel cached it, its
//! sender is told. Invariant: who comes here has decided (`policy`), and nothing can fail.
//! Neighbours: `send`, `cached`, `death`.

use super::message::{self, Message, MessageId};
use super::port::PortId;
use super::{cached, death, send};
use crate::kernel::Kernel;
use portolan_abi::notification::Kind;
use portolan_abi::trace::Step;
use portolan_machine::pace;

/// Instructions that looking at a queued message takes.
const PER_LOOK: u32 = 20;

/// The oldest message in a queue that has this id.
pub fn same_id(k: &Kernel, port: PortId, id: u32) -> Option<MessageId> {
    k.ports[port].queue.iter(&k.messages).find(|message| {
        pace(PER_LOOK);
        k.messages[*message].envelope.id == id
    })
}

/// Queues a message, and destroys the oldest.
pub fn drop_oldest(k: &mut Kernel, port: PortId, id: MessageId) {
    let Kernel { ports, messages, .. } = k;
    let oldest = ports[port].queue.pop_front(messages);
    send::enqueue(k, port, id, Step::Queue);
    if let Some(oldest) = oldest {
        k.ports[port].overflows.dropped_oldest += 1;
        destroy(k, port, oldest);
    }
}

/// Puts a message in the place of the oldest with its id, and destroys that.
pub fn replace(k: &mut Kernel, port: PortId, id: MessageId) {
    let Some(place) = same_id(k, port, k.messages[id].envelope.id) else { return };
    let Some(new) = k.messages.remove(id) else { return };
    let queue = core::mem::take(&mut k.messages[place].queue);
    let old = core::mem::replace(&mut k.messages[place], Message { queue, ..new });
    k.trace_message(Step::Queue, place, port, None);
    k.ports[port].overflows.replaced += 1;
    end(k, port, old);
}

/// Destroys a message that is in no queue.
pub fn destroy(k: &mut Kernel, port: PortId, id: MessageId) {
    if let Some(message) = k.messages.remove(id) {
        end(k, port, message);
    }
}

fn end(k: &mut Kernel, port: PortId, mut message: Message) {
    k.trace(Step::Drop, &message.envelope, port, None);
    match message.cached_for {
        None => message::release(&mut k.vm, &mut k.accounts, &message),
        Some(slot) => {
            k.ports[port].cached -= 1;
            cached::tell(k, slot, &message, Kind::MessageDropped, message.envelope.id);
        }
    }
    death::discard_contents(k, &mut message.envelope);
}
