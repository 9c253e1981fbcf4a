//! A collector: takes OTLP over HTTP/1.1 and keeps it. The tests of the command line use this file too.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message as _;

/// Listens on a port of its own until it is dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Arc<Kept>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Kept {
    is_over: AtomicBool,
    /// What it says before it takes anything.
    status: Mutex<String>,
    heads: Mutex<Vec<String>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Kept::default());
        "200 OK".clone_into(&mut kept.status.lock().unwrap());
        let keeper = kept.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if keeper.is_over.load(Ordering::SeqCst) {
                    return;
                }
                keeper.take(stream.unwrap());
            }
        });
        Self { address, kept, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this from now on, like `503 Service Unavailable`.
    pub(crate) fn answer(&self, status: &str) {
        status.clone_into(&mut self.kept.status.lock().unwrap());
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.kept.heads.lock().unwrap().clone()
    }

    /// All octets that came as spans.
    pub(crate) fn octets(&self) -> Vec<u8> {
        self.kept.bodies.lock().unwrap().concat()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.kept.bodies.lock().unwrap();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
    }

    /// What is said of the program.
    pub(crate) fn resource(&self, key: &str) -> String {
        let request = self.requests().remove(0).resource_spans.remove(0);
        let attributes = request.resource.unwrap().attributes;
        let found = attributes.into_iter().find(|attribute| attribute.key == key);
        shown(found.unwrap().value.unwrap().value.unwrap())
    }

    /// The spans as trees, those that began first first: name and attributes, with `!` where one has failed.
    pub(crate) fn trees(&self) -> Vec<String> {
        let mut spans = self.spans();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        let ids: HashSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        let roots = spans.iter().filter(|span| !ids.contains(&span.parent_span_id));
        let drawn = roots.map(|root| {
            let mut text = String::new();
            draw(&spans, root, 0, &mut text);
            text
        });
        drawn.collect()
    }
}

fn draw(spans: &[Span], span: &Span, depth: usize, text: &mut String) {
    let failed = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    let mark = if failed { "!" } else { "" };
    write!(text, "{:indent$}{}{mark}", "", span.name, indent = 2 * depth).unwrap();
    for attribute in &span.attributes {
        let value = attribute.value.clone().unwrap().value.unwrap();
        if !["db.system.name", "db.operation.name", "server.address", "flext_ldap.octets"]
            .contains(&attribute.key.as_str())
        {
            write!(text, " {}={}", attribute.key, shown(value)).unwrap();
        }
    }
    text.push('\n');
    for below in spans.iter().filter(|below| below.parent_span_id == span.span_id) {
        assert_eq!(below.trace_id, span.trace_id);
        draw(spans, below, depth + 1, text);
    }
}

pub(crate) fn shown(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

impl Kept {
    fn take(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap()];
        reader.read_exact(&mut body).unwrap();
        let status = self.status.lock().unwrap().clone();
        if status.starts_with("200") {
            self.heads.lock().unwrap().push(head);
            self.bodies.lock().unwrap().push(body);
        }
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        // The other side may have gone.
        let _gone = stream.shutdown(Shutdown::Both);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.kept.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}
