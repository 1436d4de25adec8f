//! The contract as plain sequential code: what everybody is owed is written down at each commit, in the open.

use super::ops::{
    Ask, Bound, CALLS, Face, Guard, Hear, Kind, Number, PACED, ROOTS, Root, Until, VIEWS, WAITS,
    WATCHERS,
};
use std::collections::VecDeque;

/// `(seq, old, new, missed)`
pub type Change = (u64, Number, Number, u64);

/// A line in the log of all callbacks: who, and what it was given.
pub type Heard = (usize, Change);

/// What a wait ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Value(Number),
    Mapped(u16),
    Change(Change),
    Counted,
    Closed,
    GaveUp,
}

/// What an operation gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    Pending,
    Closed,
    GaveUp,
    Panicked,
    Flag(bool),
    Number(Number),
    Given(Result<Number, Number>),
    /// A value and its version.
    Joined(Number, u64),
    Forgotten(Option<u64>),
    Changes(Vec<Change>),
    Found(Found),
}

/// How a state comes by its values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Root,
    Map(Kind),
    Zip,
    All,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Rule::Root => "root",
            Rule::Map(_) => "map",
            Rule::Zip => "zip",
            Rule::All => "all",
        }
    }

    pub fn of(self, parts: &[Number]) -> Number {
        match self {
            Rule::Root => unreachable!("a root is set"),
            Rule::Map(kind) => kind.of(parts[0]),
            Rule::Zip => (parts[0] + 2 * parts[1]) & 3,
            Rule::All => parts.iter().sum::<Number>() & 3,
        }
    }
}

/// A source, the version since which it is followed, and whether it was open then.
pub type Source = (usize, u64, bool);

pub struct Node {
    pub value: Number,
    pub seq: u64,
    pub open: bool,
    /// Somebody looks at it, or it is a root.
    pub alive: bool,
    pub rule: Rule,
    pub sources: Vec<Source>,
    pub(super) kept: usize,
    pub(super) past: VecDeque<Number>,
}

pub struct Watching {
    pub node: usize,
    pub bound: Bound,
    pub buffer: VecDeque<(u64, Number)>,
    pub seen: Number,
    pub seen_seq: u64,
    pub since: u64,
    pub missed: u64,
    /// Its stream is pending.
    pub asleep: bool,
    /// How often its task has to have been woken.
    pub wakes: usize,
}

impl Watching {
    fn push(&mut self, seq: u64, new: Number) {
        match self.bound {
            Some((capacity, newest)) if self.buffer.len() == capacity => {
                self.missed += 1;
                if newest {
                    return;
                }
                self.buffer.pop_front();
            }
            _ => {}
        }
        self.buffer.push_back((seq, new));
        self.wake();
    }

    fn wake(&mut self) {
        self.wakes += usize::from(std::mem::take(&mut self.asleep));
    }

    pub fn pop(&mut self) -> Option<Change> {
        let (seq, new) = self.buffer.pop_front()?;
        let change = (seq, self.seen, new, seq - self.seen_seq - 1);
        (self.seen, self.seen_seq) = (new, seq);
        Some(change)
    }

    fn has_room(&self) -> bool {
        let room = |(capacity, _)| self.buffer.len() < capacity;
        self.bound.is_none_or(room)
    }
}

pub struct Waiting {
    pub node: usize,
    pub ask: Ask,
    pub owned: bool,
    pub since: u64,
    pub polled: bool,
    pub found: Option<Found>,
    pub waker: Option<usize>,
    pub(super) until: Until,
    pub(super) gate: bool,
}

pub struct Hearing {
    pub id: usize,
    pub node: usize,
    pub hear: Hear,
    pub since: u64,
    pub runs: u64,
}

pub struct Contract {
    pub nodes: Vec<Node>,
    pub views: [Option<usize>; VIEWS],
    pub watchers: [Option<Watching>; WATCHERS],
    pub waits: [Option<Waiting>; WAITS],
    /// How often each of a wait's two tasks has to have been woken.
    pub wakes: [[usize; 2]; WAITS],
    pub paced: [Option<(Root, Number)>; PACED],
    /// Paced setters in line: the slot.
    pub line: Vec<usize>,
    /// The version at which each of these joined it.
    pub line_since: [u64; PACED],
    pub calls: Vec<Hearing>,
    /// Callbacks on derived states.
    pub derived_calls: Vec<usize>,
    pub(super) slots: [Option<usize>; CALLS],
    pub(super) calls_made: usize,
    /// Changes on their way to the callbacks, and the one callback a value found at registration is for.
    pub(super) backlog: VecDeque<(usize, Change, Option<usize>)>,
    pub heard: Vec<Heard>,
    /// How often functions of maps were called.
    pub mapped: usize,
}

pub fn judge(ask: Ask, change: Change) -> Option<Found> {
    let new = change.2;
    let value = |holds: bool| holds.then_some(Found::Value(new));
    match ask {
        Ask::For(n) | Ask::Next(n) => value(new == n),
        Ask::ForNot(n) => value(new != n),
        Ask::Until(n) | Ask::UntilNext(n) => value(new >= n),
        Ask::Map(n) => (new >= n).then(|| Found::Mapped(u16::from(new) + 100)),
        Ask::Change => Some(Found::Change(change)),
        Ask::Unwatched | Ask::Watched => None,
    }
}

/// Whether the present value counts.
pub fn begins_now(ask: Ask) -> bool {
    !matches!(ask, Ask::Change | Ask::Next(_) | Ask::UntilNext(_))
}

impl Contract {
    pub fn new() -> Self {
        let root = |root| Node {
            value: 0,
            seq: 0,
            open: true,
            alive: true,
            rule: Rule::Root,
            sources: Vec::new(),
            kept: [0, 2, usize::MAX][root],
            past: VecDeque::new(),
        };
        Self {
            nodes: (0..ROOTS).map(root).collect(),
            views: Default::default(),
            watchers: Default::default(),
            waits: Default::default(),
            wakes: Default::default(),
            paced: Default::default(),
            line: Vec::new(),
            line_since: Default::default(),
            calls: Vec::new(),
            derived_calls: Vec::new(),
            slots: Default::default(),
            calls_made: 0,
            backlog: VecDeque::new(),
            heard: Vec::new(),
            mapped: 0,
        }
    }

    pub fn node_of(&self, face: Face) -> Option<usize> {
        match face {
            Face::Root(root) => self.nodes[root].open.then_some(root),
            Face::View(at) => self.views[at],
        }
    }

    // The commit

    pub(super) fn commit(&mut self, root: Root, new: Number) {
        self.advance(root, new);
        let mut moved = vec![root];
        // Whoever is derived was made after its sources.
        for node in ROOTS..self.nodes.len() {
            let Node { open, alive, .. } = self.nodes[node];
            let follows = self.nodes[node]
                .sources
                .iter()
                .any(|(source, ..)| moved.contains(source));
            if open && alive && follows {
                let new = self.derive(node);
                if new != self.nodes[node].value {
                    self.advance(node, new);
                    moved.push(node);
                }
            }
        }
    }

    pub(super) fn derive(&mut self, node: usize) -> Number {
        self.mapped += 1;
        let sources = &self.nodes[node].sources;
        let parts: Vec<_> = sources
            .iter()
            .map(|&(source, ..)| self.nodes[source].value)
            .collect();
        self.nodes[node].rule.of(&parts)
    }

    fn advance(&mut self, at: usize, new: Number) {
        let node = &mut self.nodes[at];
        let old = std::mem::replace(&mut node.value, new);
        node.seq += 1;
        node.past.push_back(old);
        if node.past.len() > node.kept {
            node.past.pop_front();
        }
        let change = (node.seq, old, new, 0);
        for watcher in self.watchers.iter_mut().flatten() {
            if watcher.node == at {
                watcher.push(change.0, new);
            }
        }
        self.decide(at, |wait| judge(wait.ask, change));
        self.backlog.push_back((at, change, None));
    }

    fn decide(&mut self, at: usize, mut found: impl FnMut(&Waiting) -> Option<Found>) {
        for (wait, wakes) in self.waits.iter_mut().zip(&mut self.wakes) {
            let Some(wait) = wait else { continue };
            if wait.node == at && wait.found.is_none() {
                wait.found = found(wait);
                if wait.found.is_some() {
                    wait.waker.take().inspect(|&waker| wakes[waker] += 1);
                }
            }
        }
    }

    pub(super) fn set(&mut self, root: Root, new: Number) -> bool {
        let changes = self.nodes[root].open && new != self.nodes[root].value;
        if changes {
            self.commit(root, new);
        }
        changes
    }

    /// Calls everybody for everything, in order; what a callback sets comes after, on whatever state.
    pub(super) fn call_back(&mut self) {
        while let Some((node, change, only)) = self.backlog.pop_front() {
            let mut at = 0;
            while let Some(call) = self.calls.get_mut(at) {
                let (id, hear) = (call.id, call.hear);
                let for_it = match only {
                    Some(only) => only == id,
                    None => call.node == node && call.since < change.0,
                };
                at += 1;
                if !for_it {
                    continue;
                }
                call.runs += 1;
                match hear {
                    Hear::All => self.heard.push((id, change)),
                    Hear::Chain(n, root) => {
                        self.heard.push((id, change));
                        if change.2 == n {
                            self.set(root, (n + 1) & 3);
                        }
                    }
                    Hear::Value(n) if change.2 == n => {
                        self.heard.push((id, (0, n, n, 0)));
                        at -= 1;
                        self.calls.remove(at);
                    }
                    Hear::Value(_) => {}
                }
            }
        }
        self.looked();
    }

    // Who looks

    /// Views of a state, with what counts as one.
    pub fn view_count(&self, at: usize) -> usize {
        let views = self.views.iter().flatten().filter(|view| **view == at);
        let waits = self.waits.iter().flatten();
        let waits = waits.filter(|wait| wait.owned && wait.node == at);
        let nodes = self.nodes.iter().filter(|node| node.alive);
        let edges = nodes.flat_map(|node| &node.sources);
        let edges = edges.filter(|(source, _, tied)| *tied && *source == at);
        views.count() + waits.count() + edges.count()
    }

    pub fn watcher_count(&self, at: usize) -> usize {
        let watchers = self.watchers.iter().flatten();
        watchers.filter(|watcher| watcher.node == at).count()
    }

    /// Somebody came or went: derived states at which nobody looks go, and those who wait for that are told.
    pub(super) fn looked(&mut self) {
        for node in (ROOTS..self.nodes.len()).rev() {
            let called = self.calls.iter().any(|call| call.node == node);
            let watched = self.view_count(node) + self.watcher_count(node) > 0;
            self.nodes[node].alive &= called || watched;
        }
        for root in 0..ROOTS {
            let lookers = self.view_count(root) + self.watcher_count(root);
            self.decide(root, |wait| {
                let told = match wait.ask {
                    Ask::Unwatched => lookers == 0,
                    Ask::Watched => lookers > 0,
                    _ => false,
                };
                told.then_some(Found::Counted)
            });
        }
    }

    /// Functions of maps that are kept.
    pub fn maps(&self) -> usize {
        let kept = |node: &&Node| node.rule != Rule::Root && node.alive && node.open;
        self.nodes.iter().filter(kept).count()
    }

    pub fn has_room(&self, root: Root) -> bool {
        let mut watchers = self.watchers.iter().flatten();
        watchers.all(|watcher| watcher.node != root || watcher.has_room())
    }

    pub fn first_in_line(&self, root: Root) -> Option<usize> {
        let of_root = |at: &&usize| self.paced[**at].is_some_and(|(of, _)| of == root);
        self.line.iter().find(of_root).copied()
    }

    // Leaving

    pub(super) fn drop_wait(&mut self, at: usize) {
        self.waits[at] = None;
        self.looked();
    }

    pub(super) fn drop_paced(&mut self, at: usize) {
        self.line.retain(|other| *other != at);
        self.paced[at] = None;
    }

    pub(super) fn drop_watcher(&mut self, at: usize) {
        self.watchers[at] = None;
        self.looked();
    }

    pub(super) fn drop_callback(&mut self, at: usize) {
        if let Some(id) = self.slots[at].take() {
            self.calls.retain(|call| call.id != id);
            self.looked();
        }
    }

    pub(super) fn set_view(&mut self, at: usize, view: Option<usize>) {
        self.views[at] = view;
        self.looked();
    }

    pub(super) fn drop_guard(&mut self, guard: Guard) {
        match guard {
            Guard::Watcher(at) => self.drop_watcher(at),
            Guard::Wait(at) => self.drop_wait(at),
            Guard::View(at) => self.set_view(at, None),
            Guard::Callback(at) => self.drop_callback(at),
            Guard::Paced(at) => self.drop_paced(at),
        }
    }

    /// What borrows a state goes.
    pub fn drop_borrowed(&mut self) {
        for at in 0..WAITS {
            if self.waits[at].as_ref().is_some_and(|wait| !wait.owned) {
                self.drop_wait(at);
            }
        }
        (0..PACED).for_each(|at| self.drop_paced(at));
    }

    pub(super) fn end(&mut self, root: Root) {
        self.drop_borrowed();
        self.close(root);
        for node in ROOTS..self.nodes.len() {
            let Node { open, sources, .. } = &self.nodes[node];
            let sources_open = sources.iter().any(|(source, ..)| self.nodes[*source].open);
            if *open && !sources_open {
                self.close(node);
            }
        }
        self.looked();
    }

    fn close(&mut self, at: usize) {
        self.nodes[at].open = false;
        for watcher in self.watchers.iter_mut().flatten() {
            if watcher.node == at {
                watcher.wake();
            }
        }
        self.decide(at, |_| Some(Found::Closed));
        self.calls.retain(|call| call.node != at);
    }
}
