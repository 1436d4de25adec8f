//! Two processes and a real server, which is killed and started again.
//!
//! `NATS_SERVER` names the server's program (`nats-server` if not set).

use onlooker::Watched;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a folder of its own, which outlives its death.
struct Server {
    port: u16,
    folder: PathBuf,
    process: Child,
}

impl Server {
    fn start(name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{port}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let process = Self::launch(port, &folder);
        Self {
            port,
            folder,
            process,
        }
    }

    fn launch(port: u16, folder: &PathBuf) -> Child {
        let program = env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
        let process = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server");
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the server does not listen");
            thread::yield_now();
        }
        process
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.process = Self::launch(self.port, &self.folder);
    }

    fn program(&self, path: &str) -> Command {
        let mut command = Command::new(path);
        command
            .arg(format!("nats://127.0.0.1:{}", self.port))
            .args(["states", "link"]);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Source {
    process: Child,
    input: Option<ChildStdin>,
    said: Lines<BufReader<ChildStdout>>,
}

impl Source {
    fn start(server: &Server) -> Self {
        let mut process = server
            .program(env!("CARGO_BIN_EXE_source"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take(),
            said: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    fn set(&mut self, values: impl IntoIterator<Item = u64>) {
        let input = self.input.as_mut().unwrap();
        for value in values {
            writeln!(input, "value {value}").unwrap();
        }
    }

    /// Ends its state; it publishes what is left and says up to where.
    fn end(mut self) -> String {
        self.input = None;
        let said = self.said.next().unwrap().unwrap();
        assert!(self.process.wait().unwrap().success());
        said
    }
}

/// What a mirror printed: number, missed, value.
type Line = (u64, u64, String);

struct Mirror {
    process: Child,
    lines: Receiver<Line>,
}

impl Mirror {
    fn start(server: &Server) -> Self {
        let mut process = server
            .program(env!("CARGO_BIN_EXE_mirror"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                let mut fields = line.splitn(3, ' ');
                let mut number = || fields.next().unwrap().parse().unwrap();
                let (seq, missed) = (number(), number());
                let value = fields.next().unwrap().to_owned();
                let _ = sender.send((seq, missed, value));
            }
        });
        Self { process, lines }
    }

    fn next(&self) -> Line {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("the mirror shows nothing"),
            Err(RecvTimeoutError::Disconnected) => panic!("the mirror has ended"),
        }
    }

    /// These transitions, one after the other, none missed.
    fn shows(&self, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            assert_eq!(self.next(), (seq, 0, value(seq)));
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn value(seq: u64) -> String {
    match seq {
        0 => String::new(),
        seq => format!("value {seq}"),
    }
}

#[test]
fn every_transition_arrives_once_and_in_order_although_the_server_dies_in_between() {
    let mut server = Server::start("dies");
    let mirror = Mirror::start(&server);
    let mut source = Source::start(&server);
    source.set(1..=30);
    mirror.shows(0..=30);
    server.kill();
    // The source goes on without it.
    source.set(31..=50);
    server.restart();
    source.set(51..=60);
    mirror.shows(31..=60);
    assert_eq!(source.end(), "published up to 60");
}

#[test]
fn a_server_that_dies_while_it_is_written_to_costs_nothing_and_doubles_nothing() {
    let mut server = Server::start("dies-busy");
    let mirror = Mirror::start(&server);
    let mut source = Source::start(&server);
    let mut last = 0;
    mirror.shows(0..=0);
    for _ in 0..3 {
        source.set(last + 1..=last + 40);
        // In the midst of it.
        mirror.shows(last + 1..=last + 10);
        server.kill();
        server.restart();
        mirror.shows(last + 11..=last + 40);
        last += 40;
    }
    assert_eq!(source.end(), format!("published up to {last}"));
}

#[test]
fn a_mirror_that_comes_late_gets_the_history_and_is_told_what_is_gone() {
    let server = Server::start("late");
    let mut source = Source::start(&server);
    source.set(1..=100);
    assert_eq!(source.end(), "published up to 100");
    let mirror = Mirror::start(&server);
    // 101 revisions, of which the bucket keeps 64.
    assert_eq!(mirror.next(), (37, 37, value(37)));
    mirror.shows(38..=100);
}

#[test]
fn a_source_that_starts_anew_is_a_new_life_of_the_state() {
    let server = Server::start("anew");
    let mirror = Mirror::start(&server);
    for _ in 0..2 {
        let mut source = Source::start(&server);
        source.set(1..=5);
        mirror.shows(0..=5);
        assert_eq!(source.end(), "published up to 5");
    }
}

#[test]
fn two_sources_cannot_write_into_each_other() {
    let server = Server::start("two");
    let mirror = Mirror::start(&server);
    let mut first = Source::start(&server);
    first.set(1..=1);
    mirror.shows(0..=1);
    let mut second = Source::start(&server);
    second.set(1..=1);
    mirror.shows(0..=1);
    // The first writes after a revision that is not the last any more.
    first.set(2..=2);
    first.input = None;
    assert!(!first.process.wait().unwrap().success());
    second.set(2..=2);
    mirror.shows(2..=2);
    assert_eq!(second.end(), "published up to 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_stopped_anywhere_goes_on_where_the_bucket_is() {
    let server = Server::start("stopped");
    let url = format!("nats://127.0.0.1:{}", server.port);
    let store = onlooker_nats::bucket(&url, "states").await.unwrap();
    let mirror = Mirror::start(&server);
    let state = Watched::with_history(String::new(), 1_000);
    let publish = || {
        let (view, store) = (state.view(), store.clone());
        tokio::spawn(async move { onlooker_nats::publish(view, &store, "link", 7).await })
    };
    let mut last = 0;
    let mut shown = 0;
    for round in 0..10 {
        let publishing = publish();
        // What the one before left undone.
        mirror.shows(shown..=last);
        shown = last + 1;
        for seq in last + 1..=last + 20 {
            state.set(value(seq));
        }
        last += 20;
        // In the midst of it, each time further on.
        mirror.shows(shown..shown + round);
        shown += round;
        publishing.abort();
        let _ = publishing.await;
    }
    let publishing = publish();
    drop(state);
    assert_eq!(publishing.await.unwrap(), Ok(last));
    mirror.shows(shown..=last);
}

#[tokio::test]
async fn what_the_states_own_history_has_lost_is_counted_in_the_mirror() {
    let server = Server::start("forgets");
    let url = format!("nats://127.0.0.1:{}", server.port);
    let store = onlooker_nats::bucket(&url, "states").await.unwrap();
    let state = Watched::with_history(String::new(), 5);
    (1..=30).for_each(|seq| assert!(state.set(value(seq))));
    let view = state.view();
    drop(state);
    let last = onlooker_nats::publish(view, &store, "link", 7).await;
    assert_eq!(last, Ok(30));
    let mirror = Mirror::start(&server);
    assert_eq!(mirror.next(), (25, 25, value(25)));
    mirror.shows(26..=30);
}
