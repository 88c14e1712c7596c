//! Which frame holds which page of a memory object.
//!
//! A tree of nodes with 16 places each, as high as the object's size needs, with
//! nodes only where pages are: a page of a huge, sparse object costs a handful. Trees
//! share nodes: to copy pages is to hold the nodes that have them once more. Who
//! changes a page first makes every node on the way to it its own.
//!
//! Invariants: all leaves are at the same depth; a node is held as often as trees
//! and nodes above point to it, and knows how many pages and nodes there are in it; a
//! frame is held once for each leaf that has it. Neighbours: `object`, `frame`.

use super::Frames;
use crate::arena::{Arena, Id, OutOfMemory};
use alloc::boxed::Box;
use core::ops::{Add, Index, Range, Sub};
use portolan_machine::{Frame, pace, try_box};

const BITS: u32 = 4;
const FANOUT: usize = 1 << BITS;

/// Instructions that a walk down a tree takes, and a node to be made or let go of.
const PER_WALK: u32 = 40;
const PER_NODE: u32 = 500;

/// Names a node.
pub type NodeId = Id<Node>;

/// A part of one or several trees: all pages of a span.
pub struct Node {
    holders: u32,
    size: Size,
    places: Places,
}

enum Places {
    Inner(Box<[Option<NodeId>; FANOUT]>),
    Leaf(Box<[Option<Frame>; FANOUT]>),
}

/// How much there is in a tree, or in a node: what its payer pays for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Size {
    /// Pages that have a frame.
    pub pages: u64,
    /// Nodes, itself included.
    pub nodes: u64,
}

impl Size {
    const NODE: Size = Size { pages: 0, nodes: 1 };
    pub(super) const PAGE: Size = Size { pages: 1, nodes: 0 };

    /// Bytes of heap that its nodes take.
    pub fn memory(self) -> u64 {
        self.nodes * NODE_COST
    }
}

impl Add for Size {
    type Output = Size;
    fn add(self, other: Size) -> Size {
        Size { pages: self.pages + other.pages, nodes: self.nodes + other.nodes }
    }
}

impl Sub for Size {
    type Output = Size;
    fn sub(self, other: Size) -> Size {
        Size { pages: self.pages - other.pages, nodes: self.nodes - other.nodes }
    }
}

/// Bytes of heap that a node takes.
const NODE_COST: u64 = (Arena::<Node>::SLOT_SIZE + size_of::<[Option<Frame>; FANOUT]>()) as u64;
const _: () = assert!(size_of::<[Option<Frame>; FANOUT]>() == size_of::<[Option<NodeId>; FANOUT]>());

impl Node {
    /// How often it is held.
    pub fn holders(&self) -> u32 {
        self.holders
    }

    /// What is in it.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The nodes right below it.
    pub fn children(&self) -> impl Iterator<Item = NodeId> {
        let children = match &self.places {
            Places::Inner(children) => &children[..],
            Places::Leaf(_) => &[],
        };
        children.iter().copied().flatten()
    }

    /// The frames right below it.
    pub fn frames(&self) -> impl Iterator<Item = Frame> {
        let frames = match &self.places {
            Places::Inner(_) => &[],
            Places::Leaf(frames) => &frames[..],
        };
        frames.iter().copied().flatten()
    }

    #[inline]
    fn child(&self, place: usize) -> Option<NodeId> {
        match &self.places {
            Places::Inner(children) => children[place],
            Places::Leaf(_) => None,
        }
    }

    #[inline]
    fn frame(&self, place: usize) -> Option<Frame> {
        match &self.places {
            Places::Inner(_) => None,
            Places::Leaf(frames) => frames[place],
        }
    }

    /// Puts a node in one of its places, and returns the one that was there.
    fn set_child(&mut self, place: usize, child: Option<NodeId>) -> Option<NodeId> {
        match &mut self.places {
            Places::Inner(children) => core::mem::replace(&mut children[place], child),
            Places::Leaf(_) => panic!("a leaf has no nodes below"),
        }
    }

    /// Puts a frame in one of its places, and returns the one that was there.
    fn set_frame(&mut self, place: usize, frame: Option<Frame>) -> Option<Frame> {
        match &mut self.places {
            Places::Inner(_) => panic!("only leaves have frames"),
            Places::Leaf(frames) => core::mem::replace(&mut frames[place], frame),
        }
    }
}

/// All nodes.
#[derive(Default)]
pub struct Nodes {
    arena: Arena<Node>,
}

impl Nodes {
    /// Every node.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.arena.iter()
    }

    /// Bytes of heap that hold no node.
    pub fn spare(&self) -> usize {
        self.arena.spare()
    }

    /// An empty node of a height, held once.
    fn create(&mut self, height: u32) -> Result<NodeId, OutOfMemory> {
        let places = match height {
            LEAF => Places::Leaf(try_box([None; FANOUT]).ok_or(OutOfMemory)?),
            _ => Places::Inner(try_box([None; FANOUT]).ok_or(OutOfMemory)?),
        };
        self.arena.insert(Node { holders: 1, size: Size::NODE, places })
    }

    /// A node with the same below it, held once by who held the other one before.
    fn duplicate(&mut self, frames: &mut Frames, id: NodeId) -> Result<NodeId, OutOfMemory> {
        pace(PER_NODE);
        self.arena.reserve()?;
        let node = &self.arena[id];
        let places = match &node.places {
            Places::Inner(children) => Places::Inner(try_box(**children).ok_or(OutOfMemory)?),
            Places::Leaf(frames) => Places::Leaf(try_box(**frames).ok_or(OutOfMemory)?),
        };
        let size = node.size;
        let copy = self.arena.insert(Node { holders: 1, size, places })?;
        // Nothing below may fail.
        self.arena[id].holders -= 1;
        for place in 0..FANOUT {
            let node = &self.arena[copy];
            if let Some(frame) = node.frame(place) {
                frames.share(frame);
            } else if let Some(child) = node.child(place) {
                self.arena[child].holders += 1;
            }
        }
        Ok(copy)
    }

    /// One that held a node does so no longer; when the last does, it goes, and lets go of what
    /// is below it. Recursion is as deep as a tree: at most nine, for a copy of all user memory.
    fn release(&mut self, frames: &mut Frames, id: NodeId) {
        if self.arena[id].holders > 1 {
            self.arena[id].holders -= 1;
            return;
        }
        let Some(node) = self.arena.remove(id) else { return };
        pace(PER_NODE);
        match node.places {
            Places::Inner(children) => children.iter().flatten().for_each(|child| self.release(frames, *child)),
            Places::Leaf(places) => places.iter().flatten().for_each(|frame| frames.free(*frame)),
        }
    }
}

/// The height of a leaf.
pub(super) const LEAF: u32 = 1;

impl Index<NodeId> for Nodes {
    type Output = Node;
    fn index(&self, id: NodeId) -> &Node {
        &self.arena[id]
    }
}

/// A map from page numbers to frames.
#[derive(Clone, Copy)]
pub(super) struct PageTree {
    root: Option<NodeId>,
    height: u32,
}

/// A page's frame, as it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) frame: Frame,
    /// Whether another tree has, or may have, the same frame by way of the same node.
    pub(super) in_common: bool,
}

/// Some pages that a tree has in one node, all of the node's or a part of a leaf's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) pages: Range<u64>,
    node: NodeId,
    /// The node's height if it is meant as a whole.
    whole: Option<u32>,
}

impl PageTree {
    /// An empty tree for pages `0..pages`.
    pub(super) fn new(pages: u64) -> PageTree {
        PageTree { root: None, height: height(pages) }
    }

    /// What making room for pages `0..pages` adds.
    pub(super) fn growth_of_room(&self, pages: u64) -> Size {
        let missing = height(pages).saturating_sub(self.height);
        Size { pages: 0, nodes: if self.root.is_some() { missing.into() } else { 0 } }
    }

    /// Makes room for pages `0..pages`. On failure some nodes may have been made.
    pub(super) fn make_room(&mut self, nodes: &mut Nodes, pages: u64) -> Result<(), OutOfMemory> {
        while self.height < height(pages) {
            if let Some(below) = self.root {
                let root = nodes.create(self.height + 1)?;
                let size = nodes.arena[below].size;
                let node = &mut nodes.arena[root];
                node.size = node.size + size;
                node.set_child(0, Some(below));
                self.root = Some(root);
            }
            self.height += 1;
        }
        Ok(())
    }

    /// The node that all others are below.
    pub(super) fn root(&self) -> Option<NodeId> {
        self.root
    }

    /// What is in it.
    pub(super) fn size(&self, nodes: &Nodes) -> Size {
        self.root.map_or(Size::default(), |root| nodes.arena[root].size)
    }

    /// The frame of a page.
    pub(super) fn find(&self, nodes: &Nodes, page: u64) -> Option<Found> {
        let mut id = self.root?;
        let mut in_common = false;
        for height in (LEAF + 1..=self.height).rev() {
            let node = &nodes.arena[id];
            in_common |= node.holders > 1;
            id = node.child(place(page, height))?;
        }
        let leaf = &nodes.arena[id];
        let frame = leaf.frame(place(page, LEAF))?;
        Some(Found { frame, in_common: in_common || leaf.holders > 1 })
    }

    /// The first page of these that has a frame. Where a node is missing, all that it
    /// would hold is passed over at once.
    pub(super) fn next(&self, nodes: &Nodes, mut pages: Range<u64>) -> Option<(u64, Frame)> {
        while pages.start < pages.end {
            pace(PER_WALK);
            let height = match self.node(nodes, pages.start, LEAF) {
                Ok(leaf) => match nodes.arena[leaf].frame(place(pages.start, LEAF)) {
                    Some(frame) => return Some((pages.start, frame)),
                    None => 0,
                },
                Err(height) => height,
            };
            pages.start = next_multiple(pages.start, height);
        }
        None
    }

    /// The first part of these pages that there is, as large as another tree can have it whose
    /// page `at` is to be the first of them: a node as a whole where it lies in both alike,
    /// else some pages of one leaf that are in one leaf there.
    pub(super) fn next_part(&self, nodes: &Nodes, mut pages: Range<u64>, mut at: u64) -> Option<Part> {
        while pages.start < pages.end {
            pace(PER_WALK);
            let whole = largest_whole(&pages, at).min(self.height);
            let span = match self.node(nodes, pages.start, whole.max(LEAF)) {
                Ok(node) if whole >= LEAF => {
                    let pages = pages.start..pages.start + (1 << (whole * BITS));
                    return Some(Part { pages, node, whole: Some(whole) });
                }
                Ok(node) => {
                    let size = (next_multiple(pages.start, LEAF) - pages.start).min(next_multiple(at, LEAF) - at);
                    let pages = pages.start..pages.end.min(pages.start + size);
                    return Some(Part { pages, node, whole: None });
                }
                Err(height) => next_multiple(pages.start, height) - pages.start,
            };
            (pages.start, at) = (pages.start + span, at + span);
        }
        None
    }

    /// How much this tree grows when it gets a part of another one, from its page `at`.
    pub(super) fn growth(&self, nodes: &Nodes, part: &Part, at: u64) -> Size {
        match part.whole {
            Some(height) => self.missing(nodes, at, height + 1) + nodes.arena[part.node].size,
            None => {
                let pages =
                    part.pages.clone().filter(|page| nodes.arena[part.node].frame(place(*page, LEAF)).is_some());
                self.missing(nodes, at, LEAF) + Size { pages: pages.count() as u64, nodes: 0 }
            }
        }
    }

    /// The nodes that are missing on the way to a page, down to a height.
    pub(super) fn missing(&self, nodes: &Nodes, page: u64, height: u32) -> Size {
        let missing = self.node(nodes, page, height).map_or_else(|missing| missing + 1 - height, |_| 0);
        Size { pages: 0, nodes: missing.into() }
    }

    /// The node of this height that a page is in, or the height of the one missing on the way.
    fn node(&self, nodes: &Nodes, page: u64, height: u32) -> Result<NodeId, u32> {
        let mut id = self.root.ok_or(self.height)?;
        for above in (height + 1..=self.height).rev() {
            id = nodes.arena[id].child(place(page, above)).ok_or(above - 1)?;
        }
        Ok(id)
    }

    /// Sees that all nodes on the way to a page, down to a height, are there and this tree's
    /// alone. On failure some are.
    pub(super) fn make_own(
        &mut self,
        nodes: &mut Nodes,
        frames: &mut Frames,
        page: u64,
        height: u32,
    ) -> Result<(), OutOfMemory> {
        let mut above = None;
        for at in (height..=self.height).rev() {
            let here = match above {
                None => self.root,
                Some(above) => nodes.arena[above].child(place(page, at + 1)),
            };
            let own = match here {
                Some(node) if nodes.arena[node].holders == 1 => node,
                Some(node) => nodes.duplicate(frames, node)?,
                None => {
                    let node = nodes.create(at)?;
                    self.resize(nodes, page, at + 1, |size| size + Size::NODE);
                    node
                }
            };
            match above {
                None => self.root = Some(own),
                Some(above) => _ = nodes.arena[above].set_child(place(page, at + 1), Some(own)),
            }
            above = Some(own);
        }
        Ok(())
    }

    /// Changes the size of all nodes on the way to a page, down to a height.
    fn resize(&self, nodes: &mut Nodes, page: u64, height: u32, change: impl Fn(Size) -> Size) {
        let mut next = self.root;
        for at in (height..=self.height).rev() {
            let Some(id) = next else { return };
            let node = &mut nodes.arena[id];
            node.size = change(node.size);
            next = node.child(place(page, at));
        }
    }

    /// The leaf with a page, to which the way is this tree's own.
    fn own_leaf<'a>(&self, nodes: &'a mut Nodes, page: u64) -> &'a mut Node {
        let leaf = self.node(nodes, page, LEAF).expect("the way has been made");
        &mut nodes.arena[leaf]
    }

    /// Sets the frame of a page that has none. On failure some nodes may have been made.
    pub(super) fn set(
        &mut self,
        nodes: &mut Nodes,
        frames: &mut Frames,
        page: u64,
        frame: Frame,
    ) -> Result<(), OutOfMemory> {
        self.make_own(nodes, frames, page, LEAF)?;
        // Nothing below may fail.
        self.own_leaf(nodes, page).set_frame(place(page, LEAF), Some(frame));
        self.resize(nodes, page, LEAF, |size| size + Size::PAGE);
        Ok(())
    }

    /// Puts another frame in the place of a page's, to which the way is this tree's own.
    pub(super) fn replace(&mut self, nodes: &mut Nodes, page: u64, frame: Frame) -> Option<Frame> {
        self.own_leaf(nodes, page).set_frame(place(page, LEAF), Some(frame))
    }

    /// Gets a part of another tree, from its own page `at`, where it must have nothing. On
    /// failure some nodes may have been made.
    pub(super) fn graft(
        &mut self,
        nodes: &mut Nodes,
        frames: &mut Frames,
        part: &Part,
        at: u64,
    ) -> Result<(), OutOfMemory> {
        match part.whole {
            Some(height) => self.graft_node(nodes, frames, part.node, at, height),
            None => self.graft_pages(nodes, frames, part, at),
        }
    }

    fn graft_node(
        &mut self,
        nodes: &mut Nodes,
        frames: &mut Frames,
        node: NodeId,
        at: u64,
        height: u32,
    ) -> Result<(), OutOfMemory> {
        self.make_own(nodes, frames, at, height + 1)?;
        // Nothing below may fail.
        let grown = nodes.arena[node].size;
        self.put_node(nodes, at, height, Some(node));
        nodes.arena[node].holders += 1;
        self.resize(nodes, at, height + 1, |size| size + grown);
        Ok(())
    }

    fn graft_pages(&mut self, nodes: &mut Nodes, frames: &mut Frames, part: &Part, at: u64) -> Result<(), OutOfMemory> {
        self.make_own(nodes, frames, at, LEAF)?;
        // Nothing below may fail.
        let target = self.node(nodes, at, LEAF).expect("the way has been made");
        let mut count = 0;
        for (page, to) in part.pages.clone().zip(at..) {
            let Some(frame) = nodes.arena[part.node].frame(place(page, LEAF)) else { continue };
            frames.share(frame);
            nodes.arena[target].set_frame(place(to, LEAF), Some(frame));
            count += 1;
        }
        self.resize(nodes, at, LEAF, |size| size + Size { pages: count, nodes: 0 });
        Ok(())
    }

    /// Puts a node in its place, to which the way is this tree's own, and returns the one that
    /// was there.
    fn put_node(&mut self, nodes: &mut Nodes, page: u64, height: u32, node: Option<NodeId>) -> Option<NodeId> {
        if height == self.height {
            return core::mem::replace(&mut self.root, node);
        }
        let above = self.node(nodes, page, height + 1).expect("the way has been made");
        nodes.arena[above].set_child(place(page, height + 1), node)
    }

    /// Lets go of these pages. Those in a node that is shared, and that this tree cannot have
    /// as its own for want of memory, stay.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, frames: &mut Frames, mut pages: Range<u64>) {
        while let Some(part) = self.next_part(nodes, pages.clone(), pages.start) {
            pace(PER_NODE);
            pages.start = part.pages.end;
            let page = part.pages.start;
            let above = part.whole.map_or(LEAF, |height| height + 1);
            match self.make_own(nodes, frames, page, above) {
                Ok(()) => self.cut(nodes, frames, &part),
                Err(OutOfMemory) => continue,
            }
        }
    }

    /// Lets go of a part, to which the way is this tree's own.
    fn cut(&mut self, nodes: &mut Nodes, frames: &mut Frames, part: &Part) {
        let first = part.pages.start;
        if let Some(height) = part.whole {
            let gone = nodes.arena[part.node].size;
            self.resize(nodes, first, height + 1, |size| size - gone);
            self.put_node(nodes, first, height, None);
            nodes.release(frames, part.node);
            return;
        }
        let leaf = self.own_leaf(nodes, first);
        let mut gone = 0;
        for frame in part.pages.clone().filter_map(|page| leaf.set_frame(place(page, LEAF), None)) {
            frames.free(frame);
            gone += 1;
        }
        self.resize(nodes, first, LEAF, |size| size - Size { pages: gone, nodes: 0 });
    }

    /// Lets go of the last node that has none below it, or is shared. False: the tree is empty.
    pub(super) fn prune(&mut self, nodes: &mut Nodes, frames: &mut Frames) -> bool {
        let Some(root) = self.root else { return false };
        let (mut node, mut page, mut height) = (root, 0, self.height);
        while nodes.arena[node].holders == 1
            && let Some((last, child)) = (0..FANOUT).rev().find_map(|at| Some((at, nodes.arena[node].child(at)?)))
        {
            height -= 1;
            page += (last as u64) << (height * BITS);
            node = child;
        }
        let pages = page..page + (1 << (height * BITS));
        self.cut(nodes, frames, &Part { pages, node, whole: Some(height) });
        self.root.is_some()
    }
}

/// How high a tree for so many pages is.
const fn height(pages: u64) -> u32 {
    let bits = u64::BITS - pages.saturating_sub(1).leading_zeros();
    if bits <= BITS { LEAF } else { bits.div_ceil(BITS) }
}

/// The place that a page has in a node of a height, or the node below that it is in.
const fn place(page: u64, height: u32) -> usize {
    (page >> ((height - 1) * BITS)) as usize & (FANOUT - 1)
}

/// The first page after this one that is the first of a node of a height; of height 0, any page.
const fn next_multiple(page: u64, height: u32) -> u64 {
    let span = 1 << (height * BITS);
    (page & !(span - 1)) + span
}

/// The largest height of which these pages begin with a whole node, in their own tree and in
/// one where they begin at `at`; 0 if there is none.
fn largest_whole(pages: &Range<u64>, at: u64) -> u32 {
    let aligned = (pages.start | at).trailing_zeros();
    let fits = (pages.end - pages.start).ilog2();
    aligned.min(fits) / BITS
}

/// The page that `first` should become in a tree of its own, together with the pages after it, so
/// that most nodes are in both trees alike.
pub(super) fn best_start(first: u64, pages: u64) -> u64 {
    let height = pages.max(1).ilog2() / BITS;
    first & ((1 << (height * BITS)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_machine::FrameRange;
    use std::vec::Vec;

    /// Trees, with what they stand on.
    struct Bench {
        nodes: Nodes,
        frames: Frames,
        trees: Vec<PageTree>,
    }

    impl Bench {
        fn new(sizes: &[u64]) -> Bench {
            let frames = Frames::new(&[FrameRange { start: Frame(0), end: Frame(10_000) }]).unwrap();
            Bench { nodes: Nodes::default(), frames, trees: sizes.iter().map(|pages| PageTree::new(*pages)).collect() }
        }

        fn set(&mut self, tree: usize, page: u64) -> Frame {
            let frame = self.frames.allocate().unwrap();
            self.trees[tree].set(&mut self.nodes, &mut self.frames, page, frame).unwrap();
            self.check();
            frame
        }

        fn get(&self, tree: usize, page: u64) -> Option<Frame> {
            self.trees[tree].find(&self.nodes, page).map(|found| found.frame)
        }

        fn next(&self, tree: usize, from: u64, end: u64) -> Option<u64> {
            self.trees[tree].next(&self.nodes, from..end).map(|(page, _)| page)
        }

        /// Copies pages of the first tree to the second, and says in how many parts.
        fn copy(&mut self, pages: Range<u64>, at: u64) -> usize {
            let (mut parts, mut left) = (0, pages.clone());
            while let Some(part) = self.trees[0].next_part(&self.nodes, left.clone(), at + (left.start - pages.start)) {
                left.start = part.pages.end;
                let to = at + (part.pages.start - pages.start);
                let before = self.trees[1].size(&self.nodes);
                let growth = self.trees[1].growth(&self.nodes, &part, to);
                self.trees[1].graft(&mut self.nodes, &mut self.frames, &part, to).unwrap();
                assert_eq!(self.trees[1].size(&self.nodes), before + growth);
                self.check();
                parts += 1;
            }
            parts
        }

        fn remove(&mut self, tree: usize, pages: Range<u64>) {
            self.trees[tree].remove(&mut self.nodes, &mut self.frames, pages);
            self.check();
        }

        /// What the invariant says.
        fn check(&self) {
            let mut held = std::collections::BTreeMap::<NodeId, u32>::new();
            let mut framed = std::collections::BTreeMap::<Frame, u32>::new();
            for tree in &self.trees {
                tree.root().into_iter().for_each(|root| *held.entry(root).or_default() += 1);
            }
            for (_, node) in self.nodes.iter() {
                node.children().for_each(|child| *held.entry(child).or_default() += 1);
                node.frames().for_each(|frame| *framed.entry(frame).or_default() += 1);
                let below = node.children().map(|child| self.nodes.arena[child].size());
                let pages = Size { pages: node.frames().count() as u64, nodes: 1 };
                assert_eq!(node.size(), below.fold(pages, Add::add));
            }
            assert!(self.nodes.iter().all(|(id, node)| held.get(&id) == Some(&node.holders())));
            assert!(framed.iter().all(|(frame, holders)| self.frames.holders(*frame) == Some(*holders)));
            assert_eq!(framed.len() as u64 + self.frames.available(), self.frames.total());
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            if std::thread::panicking() {
                return;
            }
            for tree in &mut self.trees {
                while tree.prune(&mut self.nodes, &mut self.frames) {}
            }
            assert_eq!((self.nodes.arena.len(), self.frames.available()), (0, self.frames.total()));
        }
    }

    #[test]
    fn pages_are_found_where_they_were_put() {
        let mut bench = Bench::new(&[1 << 28]);
        let pages = [0, 63, 64, 4095, 4096, (1 << 28) - 1];
        let frames = pages.map(|page| {
            assert!(bench.get(0, page).is_none());
            bench.set(0, page)
        });
        for (frame, page) in frames.into_iter().zip(pages) {
            assert_eq!(bench.get(0, page), Some(frame));
            assert_eq!(bench.trees[0].missing(&bench.nodes, page, LEAF), Size::default());
        }
        assert_eq!((bench.get(0, 1), bench.trees[0].size(&bench.nodes).pages), (None, 6));
    }

    #[test]
    fn the_next_page_is_found_over_any_gap() {
        let mut bench = Bench::new(&[1 << 28]);
        assert_eq!(bench.next(0, 0, 1 << 28), None);
        for page in [3, 64, 5000, (1 << 28) - 1] {
            bench.set(0, page);
        }
        assert_eq!((bench.next(0, 0, 1 << 28), bench.next(0, 3, 4), bench.next(0, 0, 3)), (Some(3), Some(3), None));
        assert_eq!((bench.next(0, 4, 1 << 28), bench.next(0, 65, 1 << 28)), (Some(64), Some(5000)));
        assert_eq!((bench.next(0, 65, 5000), bench.next(0, 5001, 1 << 28)), (None, Some((1 << 28) - 1)));
    }

    #[test]
    fn a_tree_that_grows_keeps_its_pages_and_pays_for_each_level() {
        const LEVEL: u64 = FANOUT as u64;
        let mut bench = Bench::new(&[LEVEL, LEVEL]);
        let growth = |bench: &Bench, pages| bench.trees[0].growth_of_room(pages).nodes;
        assert_eq!(growth(&bench, 1 << 20), 0, "an empty one is only to be higher");
        let frame = bench.set(0, LEVEL - 1);
        assert_eq!([LEVEL, LEVEL + 1, LEVEL.pow(3)].map(|pages| growth(&bench, pages)), [0, 1, 2]);
        // Its root, then no longer one, may be another tree's, too.
        bench.copy(0..LEVEL, 0);
        let before = bench.trees[0].size(&bench.nodes);
        bench.trees[0].make_room(&mut bench.nodes, LEVEL.pow(3)).unwrap();
        bench.check();
        assert_eq!(bench.trees[0].size(&bench.nodes), before + Size { pages: 0, nodes: 2 });
        assert_eq!((bench.get(0, LEVEL - 1), bench.get(0, 2 * LEVEL - 1)), (Some(frame), None));
        bench.set(0, LEVEL.pow(3) - 1);
        assert_eq!(bench.next(0, LEVEL, LEVEL.pow(3)), Some(LEVEL.pow(3) - 1));
        bench.trees[0].make_room(&mut bench.nodes, 1).unwrap();
        assert_eq!((growth(&bench, LEVEL.pow(3)), bench.get(1, LEVEL - 1)), (0, Some(frame)));
    }

    #[test]
    fn a_small_object_needs_one_node() {
        let missing = |pages| PageTree::new(pages).missing(&Nodes::default(), pages - 1, LEAF).nodes;
        assert_eq!([1, 16, 17, 256, 257].map(missing), [1, 1, 2, 2, 3]);
    }

    #[test]
    fn whole_nodes_are_shared_and_the_rest_is_copied_page_by_page() {
        let mut bench = Bench::new(&[8192, 8192]);
        (0..300).for_each(|page| _ = bench.set(0, page));
        assert_eq!(bench.copy(10..290, 10), 19, "seventeen leaves, and a part of one at each end");
        for page in 0..300 {
            let copied = (10..290).contains(&page).then(|| bench.get(0, page)).flatten();
            assert_eq!(bench.get(1, page), copied, "page {page}");
        }
        let in_common = |tree: usize, page| bench.trees[tree].find(&bench.nodes, page).unwrap().in_common;
        assert_eq!([15, 16, 287, 288].map(|page| in_common(0, page)), [false, true, true, false]);
    }

    #[test]
    fn a_large_tree_is_shared_by_its_largest_nodes() {
        let mut bench = Bench::new(&[1 << 20, 1 << 20]);
        (0..100).for_each(|number| _ = bench.set(0, number * 4000));
        assert!(bench.copy(0..1 << 16, 0) == 1 && bench.get(1, 16 * 4000) == bench.get(0, 16 * 4000));
        bench.remove(1, 0..1 << 20);
        assert_eq!(bench.copy(0..(1 << 16) + 4096, 4096), 17, "shifted by what the third level holds");
    }

    #[test]
    fn who_changes_a_shared_page_gets_nodes_of_its_own() {
        let mut bench = Bench::new(&[5000, 5000]);
        (0..130).for_each(|page| _ = bench.set(0, page));
        bench.copy(0..4096, 0);
        let before = bench.get(0, 70);
        bench.set(1, 200);
        assert_eq!((bench.get(0, 200), bench.get(0, 70), bench.get(1, 70)), (None, before, before));
        let size = bench.trees[1].size(&bench.nodes);
        bench.trees[1].make_own(&mut bench.nodes, &mut bench.frames, 70, LEAF).unwrap();
        assert_eq!(bench.trees[1].size(&bench.nodes), size, "which it has paid for");
        bench.check();
        let own = bench.frames.allocate().unwrap();
        let replaced = bench.trees[1].replace(&mut bench.nodes, 70, own).unwrap();
        bench.frames.free(replaced);
        bench.check();
        assert_eq!((bench.get(0, 70), bench.get(1, 70)), (before, Some(own)));
    }

    #[test]
    fn what_one_tree_lets_go_of_the_other_keeps() {
        let mut bench = Bench::new(&[5000, 5000]);
        (0..200).for_each(|page| _ = bench.set(0, page));
        bench.copy(0..4096, 0);
        bench.remove(1, 10..150);
        let kept: Vec<u64> = (0..200).filter(|page| bench.get(1, *page).is_some()).collect();
        assert_eq!(kept, (0..10).chain(150..200).collect::<Vec<_>>());
        assert!((0..200).all(|page| bench.get(0, page).is_some()));
        bench.remove(0, 0..5000);
        assert_eq!(bench.trees[0].size(&bench.nodes).pages, 0);
        assert_eq!(bench.trees[1].size(&bench.nodes).pages, 60);
    }

    #[test]
    fn a_copy_starts_where_most_nodes_are_alike() {
        assert_eq!([best_start(1000, 1), best_start(1000, 15), best_start(1000, 16)], [0, 0, 8]);
        assert_eq!([best_start(5000, 255), best_start(5000, 256), best_start(4096, 9000)], [8, 136, 0]);
    }
}
