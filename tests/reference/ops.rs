//! What programs are made of, and how any bytes are one.

/// Values are 0 to 3.
pub type Number = u8;

/// A state that is set. The second keeps a history of two, the third all of it.
pub type Root = usize;

pub const ROOTS: usize = 3;
pub const VIEWS: usize = 4;
pub const WATCHERS: usize = 3;
pub const WAITS: usize = 4;
pub const PACED: usize = 2;
pub const CALLS: usize = 3;

/// Through what a state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Root(Root),
    /// The view in this slot, of a root or derived.
    View(usize),
}

/// A slot is emptied before something new is put in. What an operation needs and does not find makes it do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Set(Root, Number),
    Replace(Root, Number),
    ReplaceWith(Root, Number),
    SetIf(Root, Number, Number),
    Update(Root, Number),
    TryUpdate(Root, Option<Number>),
    Modify(Root, Number),
    TrySetPaced(Root, Number),
    Pace(usize, Root, Number),
    PollPaced(usize),
    DropPaced(usize),
    Watch(usize, Face, Bound),
    /// `watch_since`, so many versions ago.
    Resume(usize, Face, u64),
    TryRecv(usize),
    TryIter(usize),
    /// `iter`, as far as there is something to give.
    Iter(usize),
    /// Polls the future of `recv` once and drops it.
    Recv(usize),
    /// `recv` with a deadline that is there already.
    RecvLate(usize, Late),
    /// Polls the watcher as a stream; its waker stays.
    Next(usize),
    /// Polls a wait of the watcher once and drops it.
    Seek(usize, Ask),
    /// The same with a deadline that is there already.
    SeekLate(usize, Ask, Late),
    DropWatcher(usize),
    Wait(usize, Face, Ask, Until),
    /// Polls with one of two wakers.
    PollWait(usize, usize),
    /// The deadline of a wait is there.
    OpenGate(usize),
    DropWait(usize),
    /// Makes a wait and blocks on it, with a deadline that is there already.
    WaitNow(Face, Ask),
    Call(usize, Face, Hear),
    DropCallback(usize),
    Detach(usize),
    View(usize, Face),
    /// The view of a watcher.
    ViewOf(usize, usize),
    Map(usize, usize, Kind),
    Zip(usize, usize, usize),
    /// Of the views in the slots whose bits are set.
    All(usize, u8),
    DropView(usize),
    /// Drops a guard inside a closure of a state; may the closure panic?
    Inside(Root, Closure, Guard, bool),
    /// The state goes, and with it what borrows a state.
    End(Root),
}

pub type Bound = Option<(usize, bool)>;

/// What a wait asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    For(Number),
    ForNot(Number),
    Until(Number),
    Map(Number),
    Change,
    Next(Number),
    UntilNext(Number),
    Unwatched,
    Watched,
}

/// Whether a wait may give up, and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Forever,
    Unless,
    Timeout,
}

/// A deadline that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    Unless,
    Blocking,
}

/// What a callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hear {
    /// Logs every change.
    All,
    /// Logs every change and, at this value, sets that state to the next one.
    Chain(Number, Root),
    /// Logs the value, once.
    Value(Number),
}

/// What a map does: `n` to `(n * factor + 1) % 4`. Two lets neighbours meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Turn,
    Half,
}

impl Kind {
    pub fn of(self, number: Number) -> Number {
        match self {
            Kind::Turn => (number + 1) & 3,
            Kind::Half => number / 2 + 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closure {
    Read,
    SetIf,
    Update,
    ReplaceWith,
    Modify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    Watcher(usize),
    Wait(usize),
    View(usize),
    Callback(usize),
    Paced(usize),
}

/// Reads a program from any bytes: two for each operation.
///
/// The first says which operation, and what is left of it (`more`) how; of the second, two bits are a number, three a
/// face, two a slot, and one more.
pub fn decode(bytes: &[u8]) -> Vec<Op> {
    bytes.chunks_exact(2).map(|b| op(b[0], b[1])).collect()
}

fn op(first: u8, second: u8) -> Op {
    let (kind, more) = (first % 64, usize::from(first / 64));
    let n = second & 3;
    let three = usize::from(second >> 2) & 7;
    let slot = usize::from(second >> 5) & 3;
    let flag = second >> 7 == 1;
    let root = three % ROOTS;
    let face = match three {
        0..ROOTS => Face::Root(three),
        _ => Face::View((three - ROOTS) % VIEWS),
    };
    let (view, watcher, wait) = (slot % VIEWS, slot % WATCHERS, slot % WAITS);
    let (paced, call) = (slot % PACED, slot % CALLS);
    let ask = |which: usize| match which % 10 {
        0 => Ask::For(n),
        1 => Ask::ForNot(n),
        2 => Ask::Until(n),
        3 => Ask::Map(n),
        4 => Ask::Change,
        5 => Ask::Next(n),
        6 => Ask::UntilNext(n),
        7 => Ask::Unwatched,
        8 => Ask::Watched,
        _ => Ask::For(n),
    };
    let late = if flag { Late::Blocking } else { Late::Unless };
    match kind {
        0..=5 => Op::Set(root, n),
        6 => Op::Replace(root, n),
        7 => Op::ReplaceWith(root, n),
        8 => Op::SetIf(root, n, slot as u8),
        9 => Op::Update(root, n),
        10 => Op::TryUpdate(root, (!flag).then_some(n)),
        11 => Op::Modify(root, n),
        12 => Op::TrySetPaced(root, n),
        13 | 14 => Op::Pace(paced, root, n),
        15 | 16 => Op::PollPaced(paced),
        17 => Op::DropPaced(paced),
        18 => Op::Watch(watcher, face, None),
        19 => Op::Watch(watcher, face, Some((usize::from(n) + 1, false))),
        20 => Op::Watch(watcher, face, Some((usize::from(n) + 1, true))),
        21 => Op::Resume(watcher, face, n.into()),
        22 | 23 => Op::TryRecv(watcher),
        24 if flag => Op::TryIter(watcher),
        24 => Op::Iter(watcher),
        25 => Op::Recv(watcher),
        26 => Op::RecvLate(watcher, late),
        27 | 28 => Op::Next(watcher),
        29 => Op::Seek(watcher, ask(more + 4 * usize::from(three > 3))),
        30 => Op::SeekLate(watcher, ask(three), late),
        31 => Op::DropWatcher(watcher),
        32..=37 => {
            let which = more + 4 * usize::from((kind - 32) % 3);
            let until = match kind {
                32..=34 => Until::Forever,
                _ if flag => Until::Unless,
                _ => Until::Timeout,
            };
            Op::Wait(wait, face, ask(which), until)
        }
        38..=40 => Op::PollWait(wait, usize::from(n & 1)),
        41 => Op::OpenGate(wait),
        42 => Op::DropWait(wait),
        43 => Op::WaitNow(face, ask(more + slot)),
        44..=46 => {
            let hear = match (kind, more) {
                (44, _) => Hear::All,
                (45, _) => Hear::Chain(n, (more + three) % ROOTS),
                _ => Hear::Value(n),
            };
            Op::Call(call, face, hear)
        }
        47 => Op::DropCallback(call),
        48 => Op::Detach(call),
        49 | 50 => Op::View(view, face),
        51 => Op::ViewOf(view, usize::from(n) % WATCHERS),
        52 => Op::Map(view, usize::from(n), [Kind::Turn, Kind::Half][more % 2]),
        53 => Op::Zip(view, usize::from(n), three % VIEWS),
        54 => Op::All(view, second >> 3 & 15),
        55 | 56 => Op::DropView(view),
        57..=61 => {
            let closure = [
                Closure::Read,
                Closure::SetIf,
                Closure::Update,
                Closure::ReplaceWith,
                Closure::Modify,
            ][(more + usize::from(n)) % 5];
            let guard = match kind {
                57 => Guard::Watcher(watcher),
                58 => Guard::Wait(wait),
                59 => Guard::View(view),
                60 => Guard::Callback(call),
                _ => Guard::Paced(paced),
            };
            Op::Inside(root, closure, guard, flag)
        }
        // Seldom: it takes all waits along.
        62 if more == 0 => Op::End(root),
        _ => Op::Set(root, n),
    }
}
