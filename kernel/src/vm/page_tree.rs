//! Which frame holds which page of a memory object.
//!
//! A tree of nodes with 64 places each, as high as the object's size needs, with
//! nodes only where pages are: a page of a huge, sparse object costs a handful.
//!
//! Invariant: all leaves are at the same depth. Neighbour: `object`.

use crate::arena::OutOfMemory;
use alloc::vec::Vec;
use core::ops::Range;
use portolan_machine::Frame;

const BITS: u32 = 6;
const FANOUT: usize = 1 << BITS;

enum Node {
    Inner(Vec<Option<Node>>),
    Leaf(Vec<Option<Frame>>),
}

impl Node {
    fn last_child(&self) -> Option<usize> {
        match self {
            Node::Inner(children) => children.iter().rposition(Option::is_some),
            Node::Leaf(_) => None,
        }
    }
}

/// A map from page numbers to frames.
pub(super) struct PageTree {
    root: Option<Node>,
    levels: u32,
}

impl PageTree {
    /// An empty tree for pages `0..pages`.
    pub(super) fn new(pages: u64) -> PageTree {
        PageTree { root: None, levels: levels(pages) }
    }

    /// Bytes of heap that making room for pages `0..pages` would take.
    pub(super) fn cost_of_room(&self, pages: u64) -> u64 {
        let missing = levels(pages).saturating_sub(self.levels);
        if self.root.is_some() { u64::from(missing) * INNER_SIZE } else { 0 }
    }

    /// Makes room for pages `0..pages`. On failure some nodes may have been made.
    pub(super) fn make_room(&mut self, pages: u64) -> Result<(), OutOfMemory> {
        while self.levels < levels(pages) {
            if self.root.is_some() {
                let mut children = places()?;
                children[0] = self.root.take();
                self.root = Some(Node::Inner(children));
            }
            self.levels += 1;
        }
        Ok(())
    }

    /// The frame of a page.
    pub(super) fn get(&self, page: u64) -> Option<Frame> {
        self.look(page).ok()
    }

    /// Bytes of heap that setting this page would take.
    pub(super) fn cost(&self, page: u64) -> u64 {
        let mut missing = self.levels;
        let mut next = self.root.as_ref();
        while let Some(node) = next {
            missing -= 1;
            next = match node {
                Node::Inner(children) => children[place(page, missing)].as_ref(),
                Node::Leaf(_) => None,
            };
        }
        if missing == 0 { 0 } else { u64::from(missing - 1) * INNER_SIZE + LEAF_SIZE }
    }

    /// Sets the frame of a page that has none. On failure some nodes may have been made.
    pub(super) fn set(&mut self, page: u64, frame: Frame) -> Result<(), OutOfMemory> {
        let mut level = self.levels;
        let mut slot = &mut self.root;
        loop {
            level -= 1;
            if slot.is_none() {
                *slot = Some(if level == 0 { Node::Leaf(places()?) } else { Node::Inner(places()?) });
            }
            match slot {
                Some(Node::Inner(children)) => slot = &mut children[place(page, level)],
                Some(Node::Leaf(frames)) => {
                    frames[place(page, level)] = Some(frame);
                    return Ok(());
                }
                None => return Err(OutOfMemory),
            }
        }
    }

    /// Puts another frame in the place of a page's, and returns that; `None`, and no
    /// change, if the page has none.
    pub(super) fn replace(&mut self, page: u64, frame: Frame) -> Option<Frame> {
        self.frame_mut(page)?.replace(frame)
    }

    /// Takes a page's frame out. The nodes above it stay.
    pub(super) fn take(&mut self, page: u64) -> Option<Frame> {
        self.frame_mut(page)?.take()
    }

    /// The place of a page that has a frame.
    fn frame_mut(&mut self, page: u64) -> Option<&mut Option<Frame>> {
        let mut node = self.root.as_mut()?;
        let mut level = self.levels;
        loop {
            level -= 1;
            match node {
                Node::Inner(children) => node = children[place(page, level)].as_mut()?,
                Node::Leaf(frames) => return Some(&mut frames[place(page, level)]).filter(|frame| frame.is_some()),
            }
        }
    }

    /// The first page of these that has a frame. Where a node is missing, all that it
    /// would hold is passed over at once.
    pub(super) fn next(&self, mut pages: Range<u64>) -> Option<(u64, Frame)> {
        while pages.start < pages.end {
            match self.look(pages.start) {
                Ok(frame) => return Some((pages.start, frame)),
                Err(level) => {
                    let span = 1 << (level * BITS);
                    pages.start = (pages.start & !(span - 1)) + span;
                }
            }
        }
        None
    }

    /// A page's frame, or the level of the entry that is missing on the way to it.
    fn look(&self, page: u64) -> Result<Frame, u32> {
        let mut level = self.levels;
        let mut node = self.root.as_ref().ok_or(level)?;
        loop {
            level -= 1;
            match node {
                Node::Inner(children) => node = children[place(page, level)].as_ref().ok_or(level)?,
                Node::Leaf(frames) => return frames[place(page, level)].ok_or(level),
            }
        }
    }

    /// Takes the last node that has none below it out, and gives its frames to `free`. False:
    /// the tree is empty now.
    pub(super) fn prune(&mut self, free: &mut dyn FnMut(Frame)) -> bool {
        let mut slot = &mut self.root;
        while let Some(last) = slot.as_ref().and_then(Node::last_child) {
            let Some(Node::Inner(children)) = slot else { break };
            slot = &mut children[last];
        }
        if let Some(Node::Leaf(frames)) = slot.take() {
            frames.into_iter().flatten().for_each(free);
        }
        self.root.is_some()
    }
}

const INNER_SIZE: u64 = (FANOUT * size_of::<Option<Node>>()) as u64;
const LEAF_SIZE: u64 = (FANOUT * size_of::<Option<Frame>>()) as u64;

/// How high a tree for so many pages is.
const fn levels(pages: u64) -> u32 {
    let bits = u64::BITS - pages.saturating_sub(1).leading_zeros();
    let levels = bits.div_ceil(BITS);
    if levels == 0 { 1 } else { levels }
}

const fn place(page: u64, level: u32) -> usize {
    (page >> (level * BITS)) as usize & (FANOUT - 1)
}

fn places<T>() -> Result<Vec<Option<T>>, OutOfMemory> {
    let mut places = Vec::new();
    places.try_reserve_exact(FANOUT).map_err(|_| OutOfMemory)?;
    places.resize_with(FANOUT, || None);
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_where_they_were_put() {
        let mut tree = PageTree::new(1 << 28);
        let pages = [0, 63, 64, 4095, 4096, (1 << 28) - 1];
        for (number, page) in pages.iter().enumerate() {
            assert!(tree.get(*page).is_none());
            tree.set(*page, Frame(number as u32)).unwrap();
            assert_eq!(tree.cost(*page), 0);
        }
        for (number, page) in pages.iter().enumerate() {
            assert_eq!(tree.get(*page), Some(Frame(number as u32)));
        }
        assert_eq!(tree.get(1), None);
        let mut count = 0;
        while tree.prune(&mut |_| count += 1) {}
        assert_eq!((count, tree.get(0)), (pages.len(), None));
    }

    #[test]
    fn the_next_page_is_found_over_any_gap() {
        let mut tree = PageTree::new(1 << 28);
        assert_eq!(tree.next(0..1 << 28), None);
        for page in [3, 64, 5000, (1 << 28) - 1] {
            tree.set(page, Frame(page as u32)).unwrap();
        }
        let next = |from, end| tree.next(from..end).map(|(page, _)| page);
        assert_eq!((next(0, 1 << 28), next(3, 4), next(0, 3)), (Some(3), Some(3), None));
        assert_eq!((next(4, 1 << 28), next(65, 1 << 28), next(65, 5000)), (Some(64), Some(5000), None));
        assert_eq!(next(5001, 1 << 28), Some((1 << 28) - 1));
    }

    #[test]
    fn a_frame_is_replaced_and_taken_only_where_one_is() {
        let mut tree = PageTree::new(100);
        assert_eq!((tree.replace(5, Frame(1)), tree.take(5)), (None, None));
        tree.set(5, Frame(1)).unwrap();
        assert_eq!((tree.replace(6, Frame(2)), tree.take(6)), (None, None));
        assert_eq!((tree.replace(5, Frame(2)), tree.take(5)), (Some(Frame(1)), Some(Frame(2))));
        assert_eq!((tree.get(5), tree.cost(5)), (None, 0));
    }

    #[test]
    fn a_tree_that_grows_keeps_its_pages_and_pays_for_each_level() {
        let mut tree = PageTree::new(64);
        assert_eq!(tree.cost_of_room(1 << 20), 0, "an empty one is only to be higher");
        tree.set(63, Frame(7)).unwrap();
        assert_eq!((tree.cost_of_room(64), tree.cost_of_room(65)), (0, INNER_SIZE));
        assert_eq!(tree.cost_of_room(1 << 18), 2 * INNER_SIZE);
        tree.make_room(1 << 18).unwrap();
        assert_eq!((tree.get(63), tree.get(64 + 63), tree.cost_of_room(1 << 18)), (Some(Frame(7)), None, 0));
        tree.set((1 << 18) - 1, Frame(8)).unwrap();
        assert_eq!(tree.next(64..1 << 18), Some(((1 << 18) - 1, Frame(8))));
        tree.make_room(1).unwrap();
        assert_eq!(tree.get((1 << 18) - 1), Some(Frame(8)));
    }

    #[test]
    fn a_small_object_needs_one_node() {
        assert_eq!(PageTree::new(1).cost(0), LEAF_SIZE);
        assert_eq!(PageTree::new(64).cost(63), LEAF_SIZE);
        assert_eq!(PageTree::new(65).cost(64), INNER_SIZE + LEAF_SIZE);
    }
}
