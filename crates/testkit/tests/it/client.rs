//! The least client: one request, its answers, over anything that reads and writes.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use bytes::Bytes;
use flext_ldap_proto::{
    batch::{BatchBuilder, Item},
    ber::{Writer, frame_length},
    control::Controls,
    dn::Dn,
    extended::{ExtendedOperation as _, WhoAmI},
    filter::Filter,
    message::{
        Authentication, BindRequest, Delete, Envelope, Limits, MessageId, Request, Response, Scope, Search,
    },
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_testkit::TestDirectory;

pub(crate) struct Client<S>(pub(crate) S, u32);

pub(crate) fn connect(directory: &TestDirectory) -> Client<TcpStream> {
    let address = directory.url().strip_prefix("ldap://").unwrap();
    Client::new(TcpStream::connect(address.trim_end_matches('/')).unwrap())
}

/// A client that has bound as the administrator.
pub(crate) fn administrator(directory: &TestDirectory) -> Client<TcpStream> {
    let mut client = connect(directory);
    let code = client.bind(directory.admin_dn().as_str(), directory.admin_password());
    assert_eq!(code, ResultCode::SUCCESS);
    client
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(stream, 0)
    }

    fn send(&mut self, request: &Request) {
        self.1 += 1;
        let mut writer = Writer::new();
        request.encode(MessageId(self.1), &Controls::none(), &mut writer);
        self.0.write_all(writer.as_slice()).unwrap();
        self.0.flush().unwrap();
    }

    /// The next message, or `None` at the end.
    pub(crate) fn receive(&mut self) -> Option<(Bytes, Envelope)> {
        let mut octets = Vec::new();
        loop {
            let want = match frame_length(&octets, 64 << 20).unwrap() {
                Some(length) if length == octets.len() => break,
                Some(length) => length - octets.len(),
                None => 1,
            };
            let start = octets.len();
            octets.resize(start + want, 0);
            match self.0.read(&mut octets[start..]) {
                Ok(0) => return None,
                Ok(read) => octets.truncate(start + read),
                Err(_) => return None,
            }
        }
        let octets = Bytes::from(octets);
        let envelope = Envelope::decode(octets.clone(), &Limits::DEFAULT).unwrap();
        Some((octets, envelope))
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        self.send(request);
        let (_, envelope) = self.receive().expect("an answer");
        envelope.response(&Limits::DEFAULT).unwrap()
    }

    pub(crate) fn bind(&mut self, name: &str, password: &str) -> ResultCode {
        let authentication = Authentication::Simple(Secret::from(password));
        match self.ask(&Request::Bind(BindRequest { version: 3, name: name.to_owned(), authentication })) {
            Response::Bind(response) => response.result.code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn external(&mut self) -> ResultCode {
        let authentication =
            Authentication::Sasl { mechanism: "EXTERNAL".to_owned(), credentials: Some(Secret::default()) };
        match self.ask(&Request::Bind(BindRequest { version: 3, name: String::new(), authentication })) {
            Response::Bind(response) => response.result.code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn who_am_i(&mut self) -> String {
        match self.ask(&Request::Extended(WhoAmI.request())) {
            Response::Extended(response) => {
                String::from_utf8(response.value.unwrap_or_default().to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn delete(&mut self, dn: &str) -> ResultCode {
        match self.ask(&Request::Delete(Delete { dn: dn.parse().unwrap() })) {
            Response::Delete(result) => result.code,
            other => panic!("{other:?}"),
        }
    }

    /// Names and the values of one attribute of all entries below `base`, sorted.
    pub(crate) fn search(
        &mut self,
        base: &Dn,
        attribute: &str,
    ) -> Result<Vec<(String, Option<String>)>, ResultCode> {
        let search = Search::new(base.clone(), Scope::Subtree, Filter::any()).attributes([attribute]);
        self.send(&Request::Search(search));
        let mut found = Vec::new();
        loop {
            let (octets, envelope) = self.receive().expect("an answer");
            match envelope.response(&Limits::DEFAULT).unwrap() {
                Response::SearchDone(result) if result.code == ResultCode::SUCCESS => {
                    found.sort();
                    return Ok(found);
                }
                Response::SearchDone(result) => return Err(result.code),
                Response::SearchItem => {
                    let mut builder = BatchBuilder::over(octets);
                    builder.add(envelope.op_range(), envelope.controls_range(), &Limits::DEFAULT).unwrap();
                    let batch = builder.build();
                    let Item::Entry(entry) = batch.item(0).unwrap().get() else { panic!("no entry") };
                    found.push((entry.dn_str().to_owned(), entry.text(attribute).map(str::to_owned)));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
