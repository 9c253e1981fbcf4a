//! The peer's side of a connection: requests out, whole answers in.

use bytes::{Bytes, BytesMut};
use flext_ldap_proto::{
    batch::{BatchBuilder, Item},
    ber::{Reader, Tag, Writer, frame_length},
    control::{ControlValue, Controls, ReadEntry},
    entry::Entry,
    message::{Envelope, Limits, MessageId, Request, Response},
    result::ResultCode,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::LONG;

/// A peer that asks and reads.
pub(super) struct Peer<S> {
    stream: S,
    received: BytesMut,
    last: u32,
    /// How many octets of a request are sent first, the others after them.
    pub(super) fragments: Option<usize>,
}

/// All that came for one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) entries: Vec<Entry>,
    response: Response,
    controls: Controls,
}

impl Answer {
    pub(super) fn code(&self) -> ResultCode {
        super::code(&self.response)
    }

    /// A control that came with the end.
    pub(super) fn control<C: ControlValue>(&self) -> Option<C> {
        let control = self.controls.iter().find(|control| control.oid == C::OID)?;
        let value = control.value.clone().unwrap_or_default();
        Some(C::decode(&mut Reader::new(&value), &Limits::DEFAULT).unwrap())
    }

    /// The entry of a pre-read or post-read control.
    pub(super) fn read_entry(&self) -> Option<Entry> {
        let value = self.controls.iter().find_map(|control| control.value.clone())?;
        Some(ReadEntry::decode(&mut Reader::new(&value), &Limits::DEFAULT).unwrap().0)
    }
}

/// The values of an attribute as text, sorted.
pub(super) fn values(entry: &Entry, attribute: &str) -> Vec<String> {
    let mut values: Vec<String> = entry.attributes().get(attribute).map_or_else(Vec::new, |held| {
        held.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    });
    values.sort();
    values
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, received: BytesMut::new(), last: 0, fragments: None }
    }

    pub(super) async fn ask(&mut self, request: &Request, controls: &Controls) -> Answer {
        self.last += 1;
        let mut writer = Writer::new();
        request.encode(MessageId(self.last), controls, &mut writer);
        self.send(&writer.take()).await;
        self.answers(self.last, 1).await.remove(0)
    }

    /// Sends all of them at once; the answers are in the order of the requests.
    pub(super) async fn ask_all(&mut self, requests: &[Request]) -> Vec<Answer> {
        let mut writer = Writer::new();
        let mut octets = Vec::new();
        let first = self.last + 1;
        for request in requests {
            self.last += 1;
            request.encode(MessageId(self.last), &Controls::none(), &mut writer);
            octets.extend_from_slice(&writer.take());
        }
        self.send(&octets).await;
        self.answers(first, requests.len()).await
    }

    /// A DelRequest (RFC 4511 §4.8) whose name is any text.
    pub(super) async fn ask_delete(&mut self, dn: &str) -> Answer {
        self.last += 1;
        let mut writer = Writer::new();
        writer.sequence(|writer| {
            writer.integer(i64::from(self.last));
            writer.primitive(Tag(0x4a), dn.as_bytes());
        });
        self.send(&writer.take()).await;
        self.answers(self.last, 1).await.remove(0)
    }

    async fn send(&mut self, octets: &[u8]) {
        let (first, rest) = octets.split_at(self.fragments.unwrap_or(0).min(octets.len()));
        for part in [first, rest] {
            self.stream.write_all(part).await.unwrap();
            self.stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    /// The answers to `count` requests from the id `first`.
    async fn answers(&mut self, first: u32, count: usize) -> Vec<Answer> {
        let limits = Limits::DEFAULT;
        let mut entries: Vec<Vec<Entry>> = (0..count).map(|_| Vec::new()).collect();
        let mut done: Vec<Option<(Response, Controls)>> = (0..count).map(|_| None).collect();
        while done.iter().any(Option::is_none) {
            let frame = timeout(LONG, self.frame()).await.expect("an answer");
            let envelope = Envelope::decode(frame.clone(), &limits).unwrap();
            let place = envelope.id.0.checked_sub(first).expect("no notice") as usize;
            assert!(done[place].is_none(), "an answer after the last");
            match envelope.response(&limits).unwrap() {
                Response::SearchItem => {
                    let mut builder = BatchBuilder::over(frame);
                    builder.add(envelope.op_range(), envelope.controls_range(), &limits).unwrap();
                    for item in builder.build().iter() {
                        match item.get() {
                            Item::Entry(entry) => entries[place].push(entry.to_entry()),
                            _ => panic!("an item that is no entry"),
                        }
                    }
                }
                response => done[place] = Some((response, envelope.controls(&limits).unwrap())),
            }
        }
        let answers = entries.into_iter().zip(done.into_iter().flatten());
        answers.map(|(entries, (response, controls))| Answer { entries, response, controls }).collect()
    }

    async fn frame(&mut self) -> Bytes {
        loop {
            if let Some(length) = frame_length(&self.received, 64 << 20).unwrap()
                && length <= self.received.len()
            {
                return self.received.split_to(length).freeze();
            }
            assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "the listener closed");
        }
    }
}
