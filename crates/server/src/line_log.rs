//! An access log of lines: `time conn=N …`, one per connection, operation and disconnection.
//!
//! A line is made on the connection's task and handed to a thread of its own over a bounded queue. When the queue is
//! full the line is dropped and counted, and the count is written as soon as there is room: a slow disk never slows a
//! connection, and a gap never goes unseen.

use std::{
    fmt::{self, Write as _},
    io,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};

use flext_ldap_directory::{Actor, External, PeerAddress, Protection};

use crate::{AccessLog, Connected, Disconnected, Finished};

/// Lines waiting to be written.
const QUEUE: usize = 8192;

/// Writes an access log as lines.
///
/// Values are quoted; control characters, quotes and backslashes in them are escaped as `\u{…}`, so that no peer can
/// forge a line. Dropping it waits until what is queued is written.
pub struct LineLog {
    lines: Option<SyncSender<String>>,
    dropped: std::sync::Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl LineLog {
    /// Writes to `sink`, which is flushed whenever nothing waits.
    ///
    /// # Errors
    ///
    /// When the thread that writes cannot be started.
    pub fn new(sink: impl io::Write + Send + 'static) -> io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = std::sync::Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(&queue, &counter, io::BufWriter::new(sink)))?;
        Ok(Self { lines: Some(lines), dropped, thread: Some(thread) })
    }

    fn send(&self, line: String) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AccessLog for LineLog {
    fn connected(&self, event: &Connected<'_>) {
        let mut line = start(event.connection);
        line.push_str(" connect from=");
        match event.peer.address {
            PeerAddress::Tcp(address) => append(&mut line, format_args!("{address}")),
            PeerAddress::Unix => line.push_str("ldapi"),
            _ => line.push_str("local"),
        }
        line.push_str(match event.peer.protection {
            Protection::Tls => " protection=tls",
            Protection::Local => " protection=local",
            _ => " protection=none",
        });
        if let Some(External::UnixUser { uid, gid }) = event.peer.external {
            append(&mut line, format_args!(" uid={uid} gid={gid}"));
        }
        self.send(line);
    }

    fn finished(&self, event: &Finished<'_>) {
        let mut line = start(event.connection);
        append(&mut line, format_args!(" op={} {} who=", event.number, event.operation));
        match event.actor {
            Actor::User(identity) => quote(&mut line, identity.authorization()),
            Actor::Anonymous => line.push_str("anonymous"),
            Actor::Service => line.push_str("service"),
        }
        for (name, value) in event.what.fields() {
            append(&mut line, format_args!(" {name}="));
            quote(&mut line, value);
        }
        match event.result {
            Some(code) => append(&mut line, format_args!(" result={}", code.0)),
            None => line.push_str(" result=none"),
        }
        append(
            &mut line,
            format_args!(" entries={} elapsed_us={}", event.entries, event.elapsed.as_micros()),
        );
        self.send(line);
    }

    fn disconnected(&self, event: &Disconnected) {
        let mut line = start(event.connection);
        append(
            &mut line,
            format_args!(" disconnect reason={} elapsed_us={}", event.reason, event.elapsed.as_micros()),
        );
        self.send(line);
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the access log panicked");
        }
    }
}

impl fmt::Debug for LineLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineLog").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// Writes until the log is dropped. What cannot be written is counted as dropped.
fn write_lines(queue: &Receiver<String>, dropped: &AtomicU64, mut sink: io::BufWriter<impl io::Write>) {
    let mut failing = false;
    loop {
        let line = match queue.try_recv() {
            Ok(line) => Some(line),
            Err(_) => {
                note(io::Write::flush(&mut sink), &mut failing);
                queue.recv().ok()
            }
        };
        let lost = dropped.swap(0, Ordering::Relaxed);
        let mut written = Ok(());
        if lost > 0 {
            written = writeln(&mut sink, &format!("{} dropped={lost}", timestamp(SystemTime::now())));
        }
        if let Some(line) = &line {
            written = written.and_then(|()| writeln(&mut sink, line));
        }
        if written.is_err() {
            dropped.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
        note(written, &mut failing);
        if line.is_none() {
            break;
        }
    }
    note(io::Write::flush(&mut sink), &mut failing);
}

fn writeln(sink: &mut impl io::Write, line: &str) -> io::Result<()> {
    sink.write_all(line.as_bytes())?;
    sink.write_all(b"\n")
}

/// Says once that the log cannot be written, and once that it can again.
fn note(written: io::Result<()>, failing: &mut bool) {
    match written {
        Err(error) if !*failing => {
            tracing::error!(%error, "the access log cannot be written; lines are lost");
            *failing = true;
        }
        Ok(()) if *failing => {
            tracing::warn!("the access log can be written again");
            *failing = false;
        }
        _ => {}
    }
}

fn start(connection: u64) -> String {
    format!("{} conn={connection}", timestamp(SystemTime::now()))
}

/// Printing into a `String` cannot fail.
fn append(line: &mut String, text: fmt::Arguments<'_>) {
    let _ = line.write_fmt(text);
}

fn quote(line: &mut String, value: &str) {
    line.push('"');
    for character in value.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            // Separators, and what turns the direction of text, would let a value look like more than one.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                append(line, format_args!("{}", character.escape_unicode()));
            }
            _ if character.is_control() => append(line, format_args!("{}", character.escape_unicode())),
            _ => line.push(character),
        }
    }
    line.push('"');
}

/// UTC as in RFC 3339, with microseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day is the last.
pub(crate) fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468; // From 0000-03-01.
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, of_month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps() {
        let table = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_795_300_000, "2026-11-21T22:26:40.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ];
        for (seconds, want) in table {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn quoting() {
        let table = [
            ("plain", r#""plain""#),
            ("a\nb", r#""a\u{a}b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{1b}[2J\u{202e}", r#""\u{1b}[2J\u{202e}""#),
            ("Grüße", "\"Grüße\""),
        ];
        for (value, want) in table {
            let mut line = String::new();
            quote(&mut line, value);
            assert_eq!(line, want);
        }
    }
}
