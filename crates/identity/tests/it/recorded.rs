//! Active Directory, by answers it has given; and directories that are not there, or not what they should be.

use std::time::Duration;

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Identity, Op,
    Outcome, Peer, Reply, Request, Session, Sessions,
};
use flext_ldap_identity::{
    Authenticator, ChangeReason, GroupSearch, InputError, Offers, PrincipalName, Reason, RefusalKind,
    UserSearch,
};
use flext_ldap_proto::{
    filter::{Filter, Node},
    message::{ChangeKind, Scope, Search},
    result::ResultCode,
};

use crate::{
    script::{Conversations, Row, Rows, Sent, refused, success},
    world::{dn, secret},
};

const BASE: &str = "DC=harbourlane,DC=example";
const ADA: &str = "CN=Ada Byrne,OU=Staff,DC=harbourlane,DC=example";
const GUID: [u8; 16] =
    [0x86, 0xf1, 0xc9, 0xd7, 0xc5, 0xdb, 0xa9, 0x4d, 0xb0, 0x73, 0xd4, 0x43, 0x2a, 0x89, 0xca, 0x43];

fn sid(number: u8) -> Vec<u8> {
    vec![1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, number, 0, 0, 0]
}

fn group(number: u8) -> String {
    format!("CN=Group {number},OU=Groups,{BASE}")
}

fn ada() -> Row {
    (ADA.to_owned(), vec![("objectGUID", vec![GUID.to_vec()]), ("objectSid", vec![sid(9)])])
}

/// A domain with Ada, who is in groups 1 to `groups`, and what it is asked.
fn domain(groups: u8) -> Rows {
    Rows::new(move |search: &Search| {
        let wanted = search.filter.to_string();
        let rows = if search.scope == Scope::Base {
            vec![(ADA.to_owned(), vec![("tokenGroups", (1..=groups).map(sid).collect())])]
        } else if wanted.contains("objectSid") {
            // Those asked for, whatever else is in the filter.
            let asked = |number: &u8| {
                search
                    .filter
                    .nodes()
                    .iter()
                    .any(|node| matches!(node, Node::Equality(_, value) if value[..] == sid(*number)[..]))
            };
            (1..=groups).filter(asked).map(|number| (group(number), Vec::new())).collect()
        } else if wanted.contains("1941") {
            (1..=groups).map(|number| (group(number), Vec::new())).collect()
        } else {
            vec![ada()]
        };
        (rows, ResultCode::SUCCESS)
    })
}

fn by_principal() -> PrincipalName {
    PrincipalName::new(dn(BASE), "harbourlane.example").unwrap()
}

fn data(code: &str) -> String {
    format!("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {code}, v1db1")
}

#[tokio::test]
async fn by_principal_name_with_all_groups() {
    let directory = domain(120);
    let conversations = Conversations::new([success()]);
    let authenticator = Authenticator::builder(conversations.clone(), directory.clone(), by_principal())
        .offers(Offers::active_directory())
        .groups(GroupSearch::new(dn(BASE)).filter("(objectClass=group)".parse().unwrap()))
        .build();
    let signed_in = authenticator.sign_in("ada", secret("low water 7")).await.unwrap();
    assert!(matches!(&conversations.sent()[..], [Sent::Bind { name, password }]
            if name == "ada@harbourlane.example" && password == "low water 7"));
    assert_eq!(signed_in.account.dn, dn(ADA));
    assert_eq!(signed_in.account.id.as_str(), "objectGUID:d7c9f186-dbc5-4da9-b073-d4432a89ca43");
    assert_eq!(signed_in.groups.names().len(), 120);
    assert!(signed_in.groups.is_complete() && signed_in.groups.contains(&dn(&group(77).to_lowercase())));
    // The account, its tokens, and 120 identifiers in filters of fifty.
    let searches = directory.searches();
    assert_eq!(searches.len(), 5);
    assert_eq!(
        searches[0].filter,
        "(|(userPrincipalName=ada@harbourlane.example)(sAMAccountName=ada))".parse::<Filter>().unwrap()
    );
    assert_eq!((searches[0].size_limit, searches[1].scope), (2, Scope::Base));
    assert!(searches[2].filter.to_string().starts_with("(&(objectClass=group)(|(objectSid="));
}

#[tokio::test]
async fn by_the_rule_that_follows_members() {
    let directory = domain(3);
    let people = UserSearch::new(dn(BASE), "sAMAccountName".parse().unwrap());
    let offers = Offers { in_chain: true, ..Offers::default() };
    let authenticator = Authenticator::builder(Conversations::new([success()]), directory.clone(), people)
        .offers(offers)
        .groups(GroupSearch::new(dn(BASE)).most(2))
        .build();
    let signed_in = authenticator.sign_in("ada", secret("x")).await.unwrap();
    assert_eq!(signed_in.groups.names().len(), 2);
    assert!(!signed_in.groups.is_complete());
    let searches = directory.searches();
    let rule = format!("(|(member:1.2.840.113556.1.4.1941:={ADA}))").parse::<Filter>().unwrap();
    assert_eq!((searches.len(), &searches[1].filter, searches[1].size_limit), (2, &rule, 3));
}

#[tokio::test]
async fn member_of_where_it_is_nested() {
    let rows = |values: Vec<Vec<u8>>, name| {
        Rows::new(move |search: &Search| {
            let more =
                search.attributes.selectors().iter().any(|one| one.to_string() == "memberOf;range=3-*");
            let attribute = match more {
                true => ("memberOf;range=3-*", vec![group(3).into_bytes()]),
                false => (name, values.clone()),
            };
            (vec![(ADA.to_owned(), vec![attribute])], ResultCode::SUCCESS)
        })
    };
    let values = vec![group(1).into_bytes(), group(2).into_bytes(), group(1).to_uppercase().into_bytes()];
    // Active Directory sends the first 1,500 of more, unasked.
    for (name, count, searches) in [("memberOf", 2, 1), ("MEMBEROF", 2, 1), ("memberOf;range=0-2", 3, 2)] {
        let people = UserSearch::new(dn(BASE), "uid".parse().unwrap());
        let offers = Offers { nested_member_of: true, ..Offers::default() };
        let directory = rows(values.clone(), name);
        let authenticator =
            Authenticator::builder(Conversations::new([success()]), directory.clone(), people)
                .offers(offers)
                .groups(GroupSearch::new(dn(BASE)))
                .build();
        let groups = authenticator.sign_in("ada", secret("x")).await.unwrap().groups;
        assert_eq!((groups.names().len(), groups.is_complete()), (count, true), "{name}");
        assert_eq!(directory.searches().len(), searches);
        assert!(
            directory.searches()[0].attributes.selectors().iter().any(|one| one.to_string() == "memberOf")
        );
    }
}

#[tokio::test]
async fn every_sub_code_is_one_bind() {
    use RefusalKind::{Disabled, Locked, MustChange, PasswordExpired, Rejected, Unavailable};
    for (code, kind, told) in [
        ("525", Rejected, Rejected),
        ("52e", Rejected, Rejected),
        ("52f", Disabled, Rejected),
        ("530", Disabled, Rejected),
        ("531", Disabled, Rejected),
        ("532", PasswordExpired, PasswordExpired),
        ("533", Disabled, Rejected),
        ("568", Disabled, Rejected),
        ("701", Disabled, Rejected),
        ("773", MustChange, MustChange),
        ("775", Locked, Rejected),
        ("80090346", Unavailable, Unavailable),
    ] {
        let conversations = Conversations::new([refused(ResultCode::INVALID_CREDENTIALS, &data(code))]);
        let authenticator = Authenticator::builder(conversations.clone(), domain(0), by_principal()).build();
        let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.told()), (kind, told), "{code}");
        assert_eq!(conversations.sent().len(), 1, "{code}");
        assert!(refusal.log().to_string().contains(&format!("data {code},")), "{}", refusal.log());
        assert!(!refusal.to_string().contains("data"), "{refusal}");
    }
}

#[tokio::test]
async fn other_domains_and_other_kinds_of_name_are_not_sent() {
    let conversations = Conversations::new([success()]);
    let names = by_principal().other_domain("pilots.example").unwrap();
    let authenticator = Authenticator::builder(conversations.clone(), domain(0), names).build();
    for name in [
        "ada@elsewhere.example",
        "HARBOUR\\ada",
        "ada@pilots.example@elsewhere.example",
        "ada@elsewhere.example@pilots.example",
        ADA,
        "@harbourlane.example",
        "*",
        "ada@",
    ] {
        let refusal = authenticator.sign_in(name, secret("x")).await.unwrap_err();
        assert!(
            matches!(refusal.reason(), Reason::Input(InputError::ForbiddenInName)),
            "{name}: {refusal:?}"
        );
    }
    assert_eq!(conversations.sent().len(), 0);
    authenticator.sign_in("ada@PILOTS.example", secret("x")).await.unwrap();
    assert!(matches!(&conversations.sent()[..], [Sent::Bind { name, .. }] if name == "ada@pilots.example"));
}

#[tokio::test]
async fn a_new_password_in_active_directory() {
    let people = || UserSearch::new(dn(BASE), "sAMAccountName".parse().unwrap());
    let builder = |conversations: &Conversations| {
        Authenticator::builder(conversations.clone(), domain(0), people()).offers(Offers::active_directory())
    };
    let utf16 = |text: &str| -> Bytes {
        format!("\"{text}\"").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().into()
    };
    let is_change = |sent: &Sent, by: &str| match sent {
        Sent::Op(Op::Modify(modify), Actor::User(identity)) => {
            let changes: Vec<_> =
                modify.changes.iter().map(|one| (one.kind, one.attribute.as_str(), &one.values[0])).collect();
            identity.authorization() == format!("dn:{by}")
                && modify.dn == dn(ADA)
                && changes
                    == [
                        (ChangeKind::Delete, "unicodePwd", &utf16("low water 7")),
                        (ChangeKind::Add, "unicodePwd", &utf16("Néap tide 8")),
                    ]
        }
        _ => false,
    };
    let (old, new) = (secret("low water 7"), secret("Néap tide 8"));

    // By themselves.
    let conversations = Conversations::new([success(), success()]);
    builder(&conversations).build().change_password("ada", old.clone(), new.clone()).await.unwrap();
    let sent = conversations.sent();
    assert!(matches!(&sent[0], Sent::Bind { name, .. } if name == ADA));
    assert!(is_change(&sent[1], ADA) && sent.len() == 2, "{sent:?}");

    // Who must change it cannot bind: somebody else sends it.
    for code in ["773", "532"] {
        let refusal = || refused(ResultCode::INVALID_CREDENTIALS, &data(code));
        let conversations = Conversations::new([refusal(), success(), success()]);
        let changer = "changer@harbourlane.example";
        let authenticator = builder(&conversations).password_changer(changer, secret("its own")).build();
        authenticator.change_password("ada", old.clone(), new.clone()).await.unwrap();
        let sent = conversations.sent();
        assert!(
            matches!(&sent[1], Sent::Bind { name, password } if name == changer && password == "its own")
        );
        assert!(is_change(&sent[2], changer) && sent.len() == 3, "{sent:?}");

        let conversations = Conversations::new([refusal()]);
        let failed = builder(&conversations).build().change_password("ada", old.clone(), new.clone()).await;
        let failed = failed.unwrap_err();
        assert!(matches!(failed.reason(), ChangeReason::NotSignedIn(_)), "{failed:?}");
    }
    // A wrong old password goes nowhere else.
    let conversations = Conversations::new([refused(ResultCode::INVALID_CREDENTIALS, &data("52e"))]);
    let authenticator = builder(&conversations).password_changer("changer", secret("its own")).build();
    let failed = authenticator.change_password("ada", old.clone(), new.clone()).await.unwrap_err();
    assert_eq!((conversations.sent().len(), failed.told()), (1, "The name or the old password is wrong."));

    for (answer, want) in [
        (
            refused(ResultCode::CONSTRAINT_VIOLATION, "0000052D: AtrErr: DSID-03191083, #1:\n\t0: 0000052D"),
            "AgainstRules",
        ),
        (refused(ResultCode::CONSTRAINT_VIOLATION, "00000056: AtrErr: DSID-03190F80, #1"), "NotSignedIn"),
        (refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, "00000005: SecErr: DSID-031A1190"), "NotAllowed"),
        (refused(ResultCode::UNWILLING_TO_PERFORM, "0000001F: SvcErr: DSID-031A12D2"), "Refused"),
        (Err(Error::new(ErrorKind::Closed, "gone").with_applied(Applied::Unknown)), "Unknown"),
        (Err(Error::new(ErrorKind::Closed, "gone")), "Directory"),
    ] {
        let conversations = Conversations::new([success(), answer]);
        let failed = builder(&conversations).build().change_password("ada", old.clone(), new.clone()).await;
        let failed = failed.unwrap_err();
        assert!(format!("{:?}", failed.reason()).starts_with(want), "{failed:?}");
        assert!(failed.told().ends_with('.'));
    }
    let conversations = Conversations::new([success()]);
    let binary = flext_ldap_proto::secret::Secret::new([0xff, 0xfe]);
    let failed = builder(&conversations).build().change_password("ada", old, binary).await.unwrap_err();
    assert!(matches!(failed.reason(), ChangeReason::New(InputError::PasswordNotText)), "{failed:?}");
}

/// Conversations that are never opened, and operations that are never answered.
struct Silent;

impl Sessions for Silent {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(std::future::pending())
    }
}

impl Directory for Silent {
    fn call(&self, _request: Request) -> Reply {
        Reply::pending(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_does_not_answer_costs_the_time_allowed() {
    let start = tokio::time::Instant::now();
    let builders = [
        Authenticator::builder(Silent, domain(0), by_principal()),
        Authenticator::builder(Silent, Silent, UserSearch::new(dn(BASE), "uid".parse().unwrap())),
        Authenticator::builder(Conversations::new([success()]), Silent, by_principal()),
    ];
    for (number, builder) in (1..).zip(builders) {
        let authenticator = builder.timeout(Duration::from_secs(3)).build();
        let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Unavailable);
        assert_eq!(refusal.to_string(), "Signing in is not possible at present. Please try again later.");
        assert!(matches!(refusal.reason(), Reason::Directory(error) if error.kind() == ErrorKind::Timeout));
        assert_eq!(start.elapsed().as_secs(), 3 * number);
    }
    let people = UserSearch::new(dn(BASE), "uid".parse().unwrap());
    let authenticator =
        Authenticator::builder(Silent, Silent, people).timeout(Duration::from_secs(2)).build();
    let refusal = authenticator.change_password("ada", secret("x"), secret("y")).await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::Directory(error) if error.kind() == ErrorKind::Timeout));
    assert_eq!(start.elapsed().as_secs(), 11);

    // Of a change that was sent nobody knows.
    let people = UserSearch::new(dn(BASE), "uid".parse().unwrap());
    let authenticator = Authenticator::builder(Mute, domain(0), people).build();
    let refusal = authenticator.change_password("ada", secret("x"), secret("y")).await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::Unknown(_)), "{refusal:?}");
    assert_eq!(
        refusal.told(),
        "Your password may have been changed. Please try to sign in with the new one."
    );
    assert_eq!(start.elapsed().as_secs(), 21);
}

/// Lets everybody in, and answers nothing that is asked afterwards.
struct Mute;

impl Sessions for Mute {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async { Ok(Box::new(Self) as Box<dyn Session>) })
    }
}

impl Directory for Mute {
    fn call(&self, _request: Request) -> Reply {
        Reply::pending(std::future::pending())
    }
}

impl Session for Mute {
    fn bind(&mut self, _step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        let actor = Actor::User(Identity::from_successful_bind(dn(ADA)));
        Box::pin(async { Ok(BindReply::Done { actor, outcome: Outcome::success(), credentials: None }) })
    }
}

/// Says success to everybody, as nobody: servers do so to a name with an empty password.
struct Anybody;

impl Sessions for Anybody {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async { Ok(Box::new(Self) as Box<dyn Session>) })
    }
}

impl Directory for Anybody {
    fn call(&self, _request: Request) -> Reply {
        panic!("nothing is asked on it")
    }
}

impl Session for Anybody {
    fn bind(&mut self, _step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        let (actor, outcome) = (Actor::Anonymous, Outcome::success());
        Box::pin(async { Ok(BindReply::Done { actor, outcome, credentials: None }) })
    }
}

#[tokio::test]
async fn a_success_that_is_nobodys_signs_nobody_in() {
    let authenticator = Authenticator::builder(Anybody, domain(0), by_principal()).build();
    let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
    assert!(matches!(refusal.reason(), Reason::Anonymous), "{refusal:?}");
    assert_eq!(refusal.told(), RefusalKind::Rejected);
}

#[tokio::test]
async fn an_entry_without_a_name_is_nobody() {
    for name in ["", "no name at all"] {
        let directory = Rows::new(move |_| (vec![(name.to_owned(), Vec::new())], ResultCode::SUCCESS));
        let people = UserSearch::new(dn(BASE), "uid".parse().unwrap());
        let authenticator = Authenticator::builder(Conversations::default(), directory, people).build();
        let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Unavailable, "{refusal:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_again() {
    let closed = || Err(Error::new(ErrorKind::Closed, "the server closed the connection"));
    let busy = refused(ResultCode::BUSY, "");
    for answer in [closed(), busy] {
        let conversations = Conversations::new([answer]);
        let authenticator = Authenticator::builder(conversations.clone(), domain(0), by_principal()).build();
        let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
        assert_eq!((refusal.kind(), conversations.sent().len()), (RefusalKind::Unavailable, 1));
    }
    // For who is nobody it is the same where the decoy cannot be asked.
    let nobody = Rows::new(|_| (Vec::new(), ResultCode::SUCCESS));
    let people = UserSearch::new(dn(BASE), "uid".parse().unwrap());
    let conversations = Conversations::new([closed()]);
    let authenticator = Authenticator::builder(conversations.clone(), nobody, people)
        .decoy(dn("cn=decoy,dc=example"))
        .build();
    let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
    assert_eq!((refusal.kind(), conversations.sent().len()), (RefusalKind::Unavailable, 1));
}

#[tokio::test]
async fn nobody_is_signed_in_without_their_groups() {
    let directory = Rows::new(|search: &Search| match &search.filter.nodes()[0] {
        Node::Equality(..) => (vec![ada()], ResultCode::SUCCESS),
        _ => (Vec::new(), ResultCode::UNAVAILABLE),
    });
    let people = UserSearch::new(dn(BASE), "uid".parse().unwrap());
    let authenticator = Authenticator::builder(Conversations::new([success()]), directory, people)
        .groups(GroupSearch::new(dn(BASE)))
        .build();
    let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.account()), (RefusalKind::Unavailable, Some(&dn(ADA))));
}

/// Whatever a server puts into its answers, a line of the log stays one line.
#[tokio::test]
async fn a_line_cannot_be_forged() {
    let forged = "\nINFO signed in account=\"root\"\u{1b}[2J";
    for code in [ResultCode::INVALID_CREDENTIALS, ResultCode::BUSY] {
        let conversations = Conversations::new([refused(code, forged)]);
        let authenticator = Authenticator::builder(conversations, domain(0), by_principal()).build();
        let refusal = authenticator.sign_in("ada", secret("x")).await.unwrap_err();
        let line = refusal.log().to_string();
        assert!(!line.contains(char::is_control) && line.contains("signed in account"), "{line}");

        let conversations = Conversations::new([success(), refused(code, forged)]);
        let authenticator = Authenticator::builder(conversations, domain(0), by_principal()).build();
        let refusal = authenticator.change_password("ada", secret("x"), secret("y")).await.unwrap_err();
        assert!(!refusal.log().to_string().contains(char::is_control), "{}", refusal.log());
    }
}
