//! The operations, as the contract has them.

use super::contract::{
    Answer, Change, Contract, Found, Hearing, Node, Rule, Source, Waiting, Watching, begins_now,
    judge,
};
use super::ops::{Ask, Bound, Closure, Face, Hear, Number, Op, ROOTS, Root, Until, VIEWS};
use std::collections::VecDeque;

impl Contract {
    /// What the operation gives, callbacks included.
    pub fn step(&mut self, op: Op) -> Answer {
        let answer = self.act(op).unwrap_or(Answer::Nothing);
        self.call_back();
        answer
    }

    fn act(&mut self, op: Op) -> Option<Answer> {
        use Answer::{Flag, Given};
        Some(match op {
            Op::Set(root, n) | Op::Modify(root, n) => {
                self.open(root)?;
                Flag(self.set(root, n))
            }
            Op::Replace(root, n) | Op::ReplaceWith(root, n) => {
                let before = self.open(root)?;
                self.commit(root, n);
                Answer::Number(before)
            }
            Op::SetIf(root, n, if_it_is) => {
                let holds = self.open(root)? == if_it_is;
                if holds {
                    self.set(root, n);
                }
                Given(if holds { Ok(0) } else { Err(n) })
            }
            Op::Update(root, n) => {
                let before = self.open(root)?;
                self.set(root, (before + n) & 3);
                Answer::Number(before)
            }
            Op::TryUpdate(root, n) => {
                let before = self.open(root)?;
                n.map(|n| self.set(root, n));
                Given(if n.is_some() { Ok(before) } else { Err(before) })
            }
            Op::TrySetPaced(root, n) => {
                let free = self.first_in_line(root).is_none() && self.has_room(root);
                if self.open(root)? != n && !free {
                    Given(Err(n))
                } else {
                    Given(Ok(Number::from(self.set(root, n))))
                }
            }
            Op::Pace(at, root, n) => {
                self.drop_paced(at);
                self.open(root)?;
                self.paced[at] = Some((root, n));
                Answer::Pending
            }
            Op::PollPaced(at) => {
                let (root, n) = self.paced[at]?;
                let first = self.first_in_line(root);
                if first.is_none_or(|first| first == at) && self.has_room(root) {
                    self.drop_paced(at);
                    Flag(self.set(root, n))
                } else {
                    if !self.line.contains(&at) {
                        self.line.push(at);
                        self.line_since[at] = self.nodes[root].seq;
                    }
                    Answer::Pending
                }
            }
            Op::DropPaced(at) => return self.nothing(|this| this.drop_paced(at)),
            Op::Watch(at, face, bound) => {
                self.drop_watcher(at);
                let node = self.node_of(face)?;
                let Node { value, seq, .. } = self.nodes[node];
                self.watch(at, node, bound, (seq, value), VecDeque::new())
            }
            Op::Resume(at, face, back) => {
                self.drop_watcher(at);
                let node = self.node_of(face)?;
                self.resume(at, node, back)
            }
            Op::TryRecv(at) => match self.receive(at, |_| true)? {
                Some(change) => Answer::Changes(vec![change]),
                None => self.at_the_end(at, Answer::Nothing),
            },
            Op::Recv(at) | Op::Next(at) | Op::RecvLate(at, _) => {
                let received = self.receive(at, |_| true)?;
                let watcher = self.watchers[at].as_mut()?;
                match (received, op) {
                    (Some(change), _) => Answer::Changes(vec![change]),
                    (None, Op::RecvLate(..)) => {
                        watcher.asleep = false;
                        self.at_the_end(at, Answer::GaveUp)
                    }
                    (None, _) => {
                        let sleeps = matches!(op, Op::Next(_)) && self.nodes[watcher.node].open;
                        watcher.asleep = sleeps;
                        self.at_the_end(at, Answer::Pending)
                    }
                }
            }
            Op::TryIter(at) | Op::Iter(at) => {
                let watcher = self.watchers[at].as_mut()?;
                Answer::Changes(std::iter::from_fn(|| watcher.pop()).collect())
            }
            Op::Seek(at, ask) | Op::SeekLate(at, ask, _) => {
                if let Ask::Change | Ask::Unwatched | Ask::Watched = ask {
                    // A watcher has none of these.
                    return None;
                }
                let seen = self.watchers[at].as_ref()?.seen;
                let now = (0, seen, seen, 0);
                let mut found = begins_now(ask).then(|| judge(ask, now)).flatten();
                if found.is_none() {
                    self.receive(at, |change| {
                        found = judge(ask, change);
                        found.is_some()
                    })?;
                }
                match found {
                    Some(found) => Answer::Found(found),
                    None => {
                        self.watchers[at].as_mut()?.asleep = false;
                        let late = matches!(op, Op::SeekLate(..));
                        let pending = [Answer::Pending, Answer::GaveUp];
                        self.at_the_end(at, pending[usize::from(late)].clone())
                    }
                }
            }
            Op::DropWatcher(at) => return self.nothing(|this| this.drop_watcher(at)),
            Op::Wait(at, face, ask, until) => {
                self.drop_wait(at);
                let wait = self.wait(face, ask, until)?;
                self.waits[at] = Some(wait);
                self.looked();
                Answer::Pending
            }
            Op::PollWait(at, which) => {
                let wait = self.waits[at].as_mut()?;
                let gives_up = (wait.until != Until::Forever && wait.gate).then_some(Found::GaveUp);
                match wait.found.clone().or(gives_up) {
                    Some(found) => {
                        self.drop_wait(at);
                        Answer::Found(found)
                    }
                    None => {
                        (wait.polled, wait.waker) = (true, Some(which));
                        Answer::Pending
                    }
                }
            }
            Op::OpenGate(at) => {
                self.waits[at].as_mut()?.gate = true;
                Answer::Nothing
            }
            Op::DropWait(at) => return self.nothing(|this| this.drop_wait(at)),
            Op::WaitNow(face, ask) => {
                let mut wait = self.wait(face, ask, Until::Forever)?;
                let lookers = self.view_count(wait.node) + self.watcher_count(wait.node);
                let told = match ask {
                    Ask::Unwatched => lookers == 0,
                    Ask::Watched => lookers > 0,
                    _ => false,
                };
                wait.found = wait.found.or(told.then_some(Found::Counted));
                Answer::Found(wait.found.unwrap_or(Found::GaveUp))
            }
            Op::Call(at, face, hear) => {
                self.drop_callback(at);
                let node = self.node_of(face)?;
                self.call(at, node, hear)?
            }
            Op::DropCallback(at) => return self.nothing(|this| this.drop_callback(at)),
            Op::Detach(at) => {
                let id = self.slots[at]?;
                let call = self.calls.iter().find(|call| call.id == id);
                // Else callbacks in a circle could go on for ever.
                if !call.is_some_and(|call| matches!(call.hear, Hear::Chain(..))) {
                    self.slots[at] = None;
                }
                Answer::Nothing
            }
            Op::View(at, face) => {
                let node = self.node_of(face)?;
                self.show(at, node)
            }
            Op::ViewOf(at, watcher) => {
                let node = self.watchers[watcher].as_ref()?.node;
                self.show(at, node)
            }
            Op::Map(at, of, kind) => {
                let of = self.views[of]?;
                self.derived(at, Rule::Map(kind), &[of])
            }
            Op::Zip(at, one, other) => {
                let parts = [self.views[one]?, self.views[other]?];
                self.derived(at, Rule::Zip, &parts)
            }
            Op::All(at, which) => {
                let parts: Vec<_> = (0..VIEWS)
                    .filter(|view| which >> view & 1 == 1)
                    .filter_map(|view| self.views[view])
                    .collect();
                self.derived(at, Rule::All, &parts)
            }
            Op::DropView(at) => return self.nothing(|this| this.set_view(at, None)),
            Op::Inside(root, closure, guard, panics) => {
                let before = self.open(root)?;
                self.drop_guard(guard);
                let next = (before + 1) & 3;
                match closure {
                    _ if panics => Answer::Panicked,
                    Closure::Read => Answer::Number(before),
                    Closure::SetIf => Given(Err(next)),
                    Closure::Modify => Flag(self.set(root, next)),
                    Closure::Update | Closure::ReplaceWith => {
                        self.set(root, next);
                        Answer::Number(before)
                    }
                }
            }
            Op::End(root) => {
                self.open(root)?;
                self.end(root);
                Answer::Nothing
            }
        })
    }

    fn nothing(&mut self, f: impl FnOnce(&mut Self)) -> Option<Answer> {
        f(self);
        None
    }

    /// The value of a state that can still be set.
    fn open(&self, root: Root) -> Option<Number> {
        let Node { value, open, .. } = self.nodes[root];
        open.then_some(value)
    }

    fn at_the_end(&self, at: usize, otherwise: Answer) -> Answer {
        match &self.watchers[at] {
            Some(watcher) if !self.nodes[watcher.node].open => Answer::Closed,
            _ => otherwise,
        }
    }

    /// Receives up to what matches.
    fn receive(
        &mut self,
        at: usize,
        mut matches: impl FnMut(Change) -> bool,
    ) -> Option<Option<Change>> {
        let watcher = self.watchers[at].as_mut()?;
        while let Some(change) = watcher.pop() {
            if matches(change) {
                return Some(Some(change));
            }
        }
        Some(None)
    }

    fn watch(
        &mut self,
        at: usize,
        node: usize,
        bound: Bound,
        (seen_seq, seen): (u64, Number),
        buffer: VecDeque<(u64, Number)>,
    ) -> Answer {
        self.watchers[at] = Some(Watching {
            node,
            bound,
            buffer,
            seen,
            seen_seq,
            since: seen_seq,
            missed: 0,
            asleep: false,
            wakes: 0,
        });
        self.looked();
        Answer::Joined(seen, seen_seq)
    }

    fn resume(&mut self, at: usize, node: usize, back: u64) -> Answer {
        let Node {
            value, seq, rule, ..
        } = self.nodes[node];
        let past = &self.nodes[node].past;
        let oldest = seq - past.len() as u64;
        // Three back is the future.
        let version = if back == 3 {
            seq + 1
        } else {
            seq.saturating_sub(back)
        };
        if rule != Rule::Root {
            return Answer::Forgotten(None);
        }
        if version < oldest || version > seq {
            return Answer::Forgotten(Some(oldest));
        }
        let values = past.iter().copied().chain([value]);
        let mut rest = (oldest..).zip(values).skip((version - oldest) as usize);
        let seen = rest.next().unwrap_or_default();
        let buffer = rest.collect();
        self.watch(at, node, None, seen, buffer)
    }

    fn wait(&self, face: Face, ask: Ask, until: Until) -> Option<Waiting> {
        let node = self.node_of(face)?;
        let owned = matches!(face, Face::View(_));
        if owned && matches!(ask, Ask::Unwatched | Ask::Watched) {
            return None;
        }
        let Node {
            value, seq, open, ..
        } = self.nodes[node];
        let now = begins_now(ask).then(|| judge(ask, (0, value, value, 0)));
        let found = now.flatten().or((!open).then_some(Found::Closed));
        Some(Waiting {
            node,
            ask,
            owned,
            since: seq,
            polled: false,
            found,
            waker: None,
            until,
            gate: false,
        })
    }

    fn call(&mut self, at: usize, node: usize, hear: Hear) -> Option<Answer> {
        let Node {
            value, seq, open, ..
        } = self.nodes[node];
        let hear = match hear {
            Hear::Chain(..) if node >= ROOTS => Hear::All,
            hear => hear,
        };
        if !open && hear != Hear::Value(value) {
            // Nobody would ever call it.
            return None;
        }
        let id = self.calls_made;
        self.calls_made += 1;
        self.slots[at] = Some(id);
        if node >= ROOTS {
            self.derived_calls.push(id);
        }
        self.calls.push(Hearing {
            id,
            node,
            hear,
            since: seq,
            runs: 0,
        });
        if hear == Hear::Value(value) {
            let change = (seq, value, value, 0);
            self.backlog.push_back((node, change, Some(id)));
        }
        Some(Answer::Nothing)
    }

    fn show(&mut self, at: usize, node: usize) -> Answer {
        self.set_view(at, Some(node));
        let Node { value, seq, .. } = self.nodes[node];
        Answer::Joined(value, seq)
    }

    fn derived(&mut self, at: usize, rule: Rule, parts: &[usize]) -> Answer {
        let nodes = &self.nodes;
        let source = |&part: &usize| (part, nodes[part].seq, nodes[part].open);
        let sources: Vec<Source> = parts.iter().map(source).collect();
        let open = sources.iter().any(|(.., open)| *open);
        self.nodes.push(Node {
            value: 0,
            seq: 0,
            open,
            alive: true,
            rule,
            sources,
            kept: 0,
            past: VecDeque::new(),
        });
        let node = self.nodes.len() - 1;
        self.nodes[node].value = self.derive(node);
        self.show(at, node)
    }
}
