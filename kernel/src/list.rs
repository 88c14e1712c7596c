//! Queues of kernel objects, linked through the objects themselves.
//!
//! Every operation takes constant time and no memory. `W` is a type that says
//! which of an object's links a list uses ([`Linked`]).
//!
//! Invariant: an object is in at most one list per link. Neighbour: `arena`.

use crate::arena::{Arena, Id};
use core::marker::PhantomData;

/// An object's place in a list.
pub struct Link<T> {
    next: Option<Id<T>>,
    previous: Option<Id<T>>,
}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Link { next: None, previous: None }
    }
}

/// An object with a link for lists of kind `W`.
pub trait Linked<W>: Sized {
    /// The link.
    fn link(&mut self) -> &mut Link<Self>;
    /// The link.
    fn link_ref(&self) -> &Link<Self>;
}

/// A queue.
pub struct List<T, W> {
    first: Option<Id<T>>,
    last: Option<Id<T>>,
    len: u32,
    link: PhantomData<fn() -> W>,
}

impl<T, W> Default for List<T, W> {
    fn default() -> Self {
        List { first: None, last: None, len: 0, link: PhantomData }
    }
}

impl<T: Linked<W>, W> List<T, W> {
    /// How many are in it.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The one that has waited longest.
    #[inline(always)]
    pub fn first(&self) -> Option<Id<T>> {
        self.first
    }

    /// Puts an object last, and returns it.
    #[inline(always)]
    pub fn push_back<'a>(&mut self, arena: &'a mut Arena<T>, id: Id<T>) -> &'a mut T {
        let previous = self.last.replace(id);
        match previous {
            Some(last) => arena[last].link().next = Some(id),
            None => self.first = Some(id),
        }
        self.len += 1;
        let object = &mut arena[id];
        *object.link() = Link { next: None, previous };
        object
    }

    /// Puts an object first, and returns it.
    #[inline]
    pub fn push_front<'a>(&mut self, arena: &'a mut Arena<T>, id: Id<T>) -> &'a mut T {
        let next = self.first.replace(id);
        match next {
            Some(first) => arena[first].link().previous = Some(id),
            None => self.last = Some(id),
        }
        self.len += 1;
        let object = &mut arena[id];
        *object.link() = Link { next, previous: None };
        object
    }

    /// Puts all of another list last, which is then empty.
    pub fn append(&mut self, arena: &mut Arena<T>, other: &mut List<T, W>) {
        let other = core::mem::take(other);
        let Some(first) = other.first else { return };
        arena[first].link().previous = self.last;
        match self.last {
            Some(last) => arena[last].link().next = Some(first),
            None => self.first = Some(first),
        }
        self.last = other.last;
        self.len += other.len;
    }

    /// Takes out the first.
    #[inline(always)]
    pub fn pop_front(&mut self, arena: &mut Arena<T>) -> Option<Id<T>> {
        let id = self.first?;
        self.remove(arena, id);
        Some(id)
    }

    /// Takes out an object that is in this list.
    #[inline(always)]
    pub fn remove(&mut self, arena: &mut Arena<T>, id: Id<T>) {
        let link = core::mem::take(arena[id].link());
        self.close_gap(arena, link);
    }

    /// Forgets an object that was in this list and has lost this link.
    #[inline(always)]
    pub fn close_gap(&mut self, arena: &mut Arena<T>, Link { next, previous }: Link<T>) {
        match previous {
            Some(previous) => arena[previous].link().next = next,
            None => self.first = next,
        }
        match next {
            Some(next) => arena[next].link().previous = previous,
            None => self.last = previous,
        }
        self.len -= 1;
    }

    /// The one behind an object that is in this list.
    #[inline]
    pub fn after(&self, arena: &Arena<T>, id: Id<T>) -> Option<Id<T>> {
        arena[id].link_ref().next
    }

    /// All objects in it, first to last.
    pub fn iter<'a>(&self, arena: &'a Arena<T>) -> impl Iterator<Item = Id<T>> + 'a
    where
        T: 'a,
    {
        let mut next = self.first;
        core::iter::from_fn(move || {
            let id = next?;
            next = arena[id].link_ref().next;
            Some(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item {
        link: Link<Item>,
    }

    impl Linked<()> for Item {
        fn link(&mut self) -> &mut Link<Item> {
            &mut self.link
        }
        fn link_ref(&self) -> &Link<Item> {
            &self.link
        }
    }

    #[test]
    fn the_order_is_that_of_a_queue() {
        let mut arena = Arena::default();
        let mut list = List::<Item, ()>::default();
        let ids: std::vec::Vec<_> = (0..4).map(|_| arena.insert(Item { link: Link::default() }).unwrap()).collect();
        for id in &ids {
            list.push_back(&mut arena, *id);
        }
        list.remove(&mut arena, ids[1]);
        list.push_front(&mut arena, ids[1]);
        let order: std::vec::Vec<_> = list.iter(&arena).collect();
        assert_eq!(order, [ids[1], ids[0], ids[2], ids[3]]);
        assert_eq!(list.pop_front(&mut arena), Some(ids[1]));
        list.remove(&mut arena, ids[3]);
        list.remove(&mut arena, ids[0]);
        assert_eq!((list.first(), list.len()), (Some(ids[2]), 1));
        list.remove(&mut arena, ids[2]);
        assert!(list.is_empty());
    }

    #[test]
    fn a_list_goes_behind_another_as_a_whole() {
        let mut arena = Arena::default();
        let (mut front, mut back) = (List::<Item, ()>::default(), List::default());
        let ids: std::vec::Vec<_> = (0..4).map(|_| arena.insert(Item { link: Link::default() }).unwrap()).collect();
        front.append(&mut arena, &mut back);
        assert!(front.is_empty());
        for id in &ids[..2] {
            back.push_back(&mut arena, *id);
        }
        front.append(&mut arena, &mut back);
        for id in &ids[2..] {
            back.push_back(&mut arena, *id);
        }
        front.append(&mut arena, &mut back);
        front.append(&mut arena, &mut back);
        assert_eq!(front.iter(&arena).collect::<std::vec::Vec<_>>(), ids);
        assert_eq!((front.len(), back.len(), back.first()), (4, 0, None));
        front.remove(&mut arena, ids[2]);
        front.remove(&mut arena, ids[1]);
        assert_eq!(front.iter(&arena).collect::<std::vec::Vec<_>>(), [ids[0], ids[3]]);
    }
}
