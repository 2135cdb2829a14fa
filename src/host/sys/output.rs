//! Standard output and standard error, of a program that must not wait for their readers.
//!
//! In: whole messages. Out: the same on the stream. Before [`start()`], they are written at once. After it, a thread of
//! each stream writes them: a full pipe then stops that thread and nothing else. Messages that do not fit into the
//! queue are dropped and counted, and the number is told when the reader goes on. The descriptors stay as they are:
//! `O_NONBLOCK` would also change them for the processes that share them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// How many bytes wait for a reader at most. A longer message is taken if it is the only one.
const ROOM: usize = 4 * 1024 * 1024;

/// How long a report waits for the log lines before it, so that both streams show things in their order.
const ORDER: Duration = Duration::from_millis(500);

static OUT: Stream = Stream::new(Name::Output);
static ERR: Stream = Stream::new(Name::Error);

/// Makes a line of the log.
pub type Line = fn(&str) -> String;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Output,
    Error,
}

/// One of the two streams.
struct Stream {
    name: Name,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// How a line of the log is made; `None` as long as no thread writes.
    line: Option<Line>,
    queue: VecDeque<Message>,
    /// The size of all messages in the queue.
    bytes: usize,
    is_writing: bool,
    /// How many messages were dropped that have not been told yet.
    dropped: u64,
    /// Whether one of these was dropped because it could not be written.
    has_failed: bool,
    /// Why the last message was not written.
    failure: Option<Errno>,
}

struct Message {
    text: Vec<u8>,
    /// How many are lost if this one is not written: it may tell of others.
    stands_for: u64,
}

/// From now on, threads write. If there can be no thread for a stream, its messages are still written at once.
pub fn start(line: Line) {
    for stream in [&OUT, &ERR] {
        // So that no message before is overtaken, the thread counts as started before it runs.
        stream.lock().line = Some(line);
        let thread = thread::Builder::new().name("output".to_owned());
        if thread.spawn(move || stream.write_queue(line)).is_err() {
            stream.lock().line = None;
        }
    }
}

/// Writes to standard output.
///
/// # Errors
/// The system's, as long as no thread writes.
pub fn to_stdout(text: &[u8]) -> io::Result<()> {
    OUT.write(text)
}

/// Writes to standard error. If that cannot be written, there is nothing left to report it on.
pub fn to_stderr(text: &[u8]) {
    let _ = ERR.write(text);
}

/// Waits until everything has been written, but not longer than this.
pub fn finish(longest: Duration) {
    let end = Instant::now() + longest;
    for stream in [&OUT, &ERR] {
        let _ = stream.is_written(end);
    }
}

impl Stream {
    const fn new(name: Name) -> Self {
        let state = State {
            line: None,
            queue: VecDeque::new(),
            bytes: 0,
            is_writing: false,
            dropped: 0,
            has_failed: false,
            failure: None,
        };
        Self { name, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete, so it is good after a panic, too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let Some(line) = state.line else {
            drop(state);
            return Ok(self.write_now(text)?);
        };
        let is_first = state.dropped == 0;
        if !state.has_room(text.len()) {
            state.dropped += 1;
            drop(state);
            if is_first && self.name == Name::Output {
                to_stderr(line("standard output is not read: reports are dropped").as_bytes());
            }
            return Ok(());
        }
        if state.failure.is_none() {
            self.tell_dropped(&mut state, line);
        }
        state.push(Message { text: text.to_vec(), stands_for: 1 });
        self.changed.notify_all();
        Ok(())
    }

    /// Tells how many messages were dropped, if any.
    fn tell_dropped(&self, state: &mut State, line: Line) {
        let number = std::mem::take(&mut state.dropped);
        if number == 0 {
            return;
        }
        let has_failed = std::mem::take(&mut state.has_failed);
        let why = if has_failed { "could not be written" } else { "was not read" };
        let (what, stream) = match self.name {
            Name::Output => ("reports", "output"),
            Name::Error => ("messages", "error"),
        };
        let told = line(&format!("{number} {what} were dropped because standard {stream} {why}"));
        match self.name {
            // Standard error never waits for standard output, so both may be locked here.
            Name::Output => to_stderr(told.as_bytes()),
            Name::Error => state.push(Message { text: told.into_bytes(), stands_for: number }),
        }
    }

    /// The thread.
    fn write_queue(&self, line: Line) {
        // A log that is not read is waited for once.
        let mut patience = ORDER;
        let mut state = self.lock();
        loop {
            if state.queue.is_empty() && state.failure.is_none() {
                self.tell_dropped(&mut state, line);
            }
            let Some(message) = state.pop() else {
                state.is_writing = false;
                self.changed.notify_all();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.is_writing = true;
            drop(state);
            if self.name == Name::Output {
                let is_in_order = ERR.is_written(Instant::now() + patience);
                patience = if is_in_order { ORDER } else { Duration::ZERO };
            }
            let failure = self.write_now(&message.text).err();
            state = self.lock();
            if failure.is_some() {
                state.dropped += message.stands_for;
                state.has_failed = true;
            }
            let is_new = failure.is_some() && state.failure != failure;
            state.failure = failure;
            if let (true, Some(errno), Name::Output) = (is_new, failure, self.name) {
                let told =
                    format!("failed to write to standard output: {}", io::Error::from(errno));
                to_stderr(line(&told).as_bytes());
            }
        }
    }

    /// Writes it all, without a lock: a thread that waits for a reader must not keep others from
    /// standard error.
    fn write_now(&self, mut text: &[u8]) -> Result<(), Errno> {
        let (out, err) = (io::stdout(), io::stderr());
        let to: BorrowedFd<'_> = match self.name {
            Name::Output => out.as_fd(),
            Name::Error => err.as_fd(),
        };
        while !text.is_empty() {
            match rustix::io::write(to, text) {
                Ok(0) => return Err(Errno::IO),
                Ok(length) => text = text.get(length..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // Another process that shares the descriptor has made it non-blocking.
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&to, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                },
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Waits until everything is written, but not after `end`. Returns whether it is.
    fn is_written(&self, end: Instant) -> bool {
        let mut state = self.lock();
        while state.line.is_some() && (state.is_writing || !state.queue.is_empty()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl State {
    fn has_room(&self, length: usize) -> bool {
        self.queue.is_empty() || self.bytes + length <= ROOM
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.text.len();
        self.queue.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.text.len();
        Some(message)
    }
}
