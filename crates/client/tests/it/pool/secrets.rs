//! The pool's own password: refused, rotated, and never sent so often that an account is locked.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use flext_ldap_client::{Connector, Credentials, Pool};
use flext_ldap_directory::{Applied, DirectoryExt, Error, ErrorKind};
use tokio::time::sleep;

use super::server::*;
use crate::support::chain;

fn refused(fake: &Fake) -> usize {
    fake.script.refused_binds.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_sent_twice_in_half_an_hour_and_the_error_says_so() {
    let fake = Fake::start().await;
    let connector =
        fake.connector().credentials(Credentials::simple(READER, "an 0ld password")).build().unwrap();
    let pool = Pool::builder(connector).min(4).build().unwrap();
    let error = pool.ready(soon()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    // Many ask, all the time.
    for _ in 0..29 * 60 {
        let error = pool.search_one(lookup("cn=a")).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unreachable, Applied::No));
        let text = chain(&error);
        assert!(text.contains("refuses this program's own credentials"), "{text}");
        assert!(text.contains("invalidCredentials") && text.contains(&fake.address.to_string()), "{text}");
        assert!(!text.contains("0ld") && !format!("{error:?}").contains("0ld"));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((refused(&fake), pool.stats().refusals), (2, 2));
    sleep(Duration::from_secs(24 * 3_600)).await;
    assert!(refused(&fake) <= 16, "{}", refused(&fake));
    // The account is mended.
    fake.script.set_password(READER, "an 0ld password");
    sleep(Duration::from_secs(2 * 3_600)).await;
    pool.search_one(lookup("cn=a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rotated_password_is_found_without_a_restart() {
    let fake = Fake::start().await;
    let secret = Arc::new(Mutex::new(READERS_PASSWORD.to_owned()));
    let source = {
        let secret = Arc::clone(&secret);
        move || Ok(Credentials::simple(READER, secret.lock().unwrap().as_str()))
    };
    let pool =
        Pool::builder(fake.connector().build().unwrap()).min(3).credentials_from(source).build().unwrap();
    pool.ready(soon()).await.unwrap();

    // First where the secret is kept, then at the server.
    secret.lock().unwrap().replace_range(.., "a new password");
    fake.script.set_password(READER, "a new password");
    fake.cut();
    sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.stats().open, refused(&fake)), (3, 0));

    // The other way round: the old one is sent by one, not by all that are opened, and once more.
    fake.script.set_password(READER, "the newest password");
    fake.cut();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((pool.stats().open, refused(&fake)), (0, 2));
    secret.lock().unwrap().replace_range(.., "the newest password");
    sleep(Duration::from_secs(7)).await;
    assert_eq!((pool.stats().open, refused(&fake)), (3, 2));
    pool.search_one(lookup("cn=a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_replaced_just_now_is_read_again_at_once() {
    let fake = Fake::start().await;
    let times = Mutex::new(0);
    let source = move || {
        let mut times = times.lock().unwrap();
        *times += 1;
        Ok(Credentials::simple(READER, if *times == 1 { "an old password" } else { READERS_PASSWORD }))
    };
    let pool = Pool::builder(fake.connector().build().unwrap()).credentials_from(source).build().unwrap();
    sleep(Duration::from_millis(10)).await;
    assert_eq!((pool.stats().open, refused(&fake)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_is_no_bind() {
    let fake = Fake::start().await;
    let source = || Err(Error::new(ErrorKind::Unreachable, "the secret in /run/reader cannot be read"));
    let pool = Pool::builder(fake.connector().build().unwrap()).credentials_from(source).build().unwrap();
    let error = pool.ready(soon()).await.unwrap_err();
    assert!(chain(&error).contains("/run/reader"), "{}", chain(&error));
    assert_eq!(fake.script.accepted.load(Ordering::SeqCst), 0);
    let empty = || Ok(Credentials::simple(READER, ""));
    let pool = Pool::builder(fake.connector().build().unwrap()).credentials_from(empty).build().unwrap();
    let error = pool.ready(soon()).await.unwrap_err();
    assert!(chain(&error).contains("the password is empty"), "{}", chain(&error));
    assert_eq!(fake.script.accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_pool_is_of_one_server() {
    let two =
        Connector::builder().clear().address("localhost", 389).address("localhost", 390).build().unwrap();
    assert_eq!(Pool::builder(two).build().unwrap_err().kind(), ErrorKind::Misuse);
    let one = Connector::builder().clear().address("localhost", 389).build().unwrap();
    assert_eq!(Pool::builder(one).min(3).max(2).build().unwrap_err().kind(), ErrorKind::Misuse);
}
