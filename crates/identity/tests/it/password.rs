//! Changing a password in the embedded directory, with its policy.

use flext_ldap_identity::{ChangeReason, DnTemplate, InputError, RefusalKind};
use flext_ldap_store::QualityCheck;

use crate::world::*;

#[tokio::test]
async fn a_new_password_counts_and_the_old_one_does_not() {
    let world = World::new(|policy| policy.must_change = true).await;
    world.set("anna", "pwdReset", &["TRUE"]).await;
    let authenticator = world.builder().build();
    let refusal = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::MustChange);
    world.binds();
    authenticator.change_password("anna", secret(RIGHT), secret("neap tide 8")).await.unwrap();
    assert_eq!(world.binds(), 1);
    authenticator.sign_in("anna", secret("neap tide 8")).await.unwrap();
    let refusal = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Rejected);
    // Who need not may too.
    authenticator.change_password("anna", secret("neap tide 8"), secret("spring tide 9")).await.unwrap();
    authenticator.sign_in("anna", secret("spring tide 9")).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_it_is_said() {
    let world = World::new(|policy| {
        policy.check_quality = QualityCheck::Always;
        policy.min_length = 8;
        policy.max_length = 20;
        policy.in_history = 3;
    })
    .await;
    let authenticator = world.builder().build();
    let wrong = async |old: &str, new: &str| {
        authenticator.change_password("anna", secret(old), secret(new)).await.unwrap_err()
    };
    let refusal = wrong(RIGHT, "short").await;
    assert!(matches!(refusal.reason(), ChangeReason::TooShort), "{refusal:?}");
    assert_eq!(refusal.to_string(), "The new password is too short.");
    let refusal = wrong(RIGHT, "longer than twenty characters").await;
    assert!(matches!(refusal.reason(), ChangeReason::TooLong), "{refusal:?}");
    let refusal = wrong(RIGHT, "").await;
    assert!(matches!(refusal.reason(), ChangeReason::New(InputError::EmptyPassword)), "{refusal:?}");
    world.binds();
    let refusal = wrong("high water 7", "neap tide 8").await;
    assert_eq!(world.binds(), 1, "the old password counts once");
    assert_eq!(refusal.to_string(), "The name or the old password is wrong.");
    assert!(
        matches!(refusal.reason(), ChangeReason::NotSignedIn(one) if one.kind() == RefusalKind::Rejected)
    );
    let nobody =
        authenticator.change_password("nobody", secret(RIGHT), secret("neap tide 8")).await.unwrap_err();
    assert_eq!(nobody.told(), refusal.told());
    for text in [format!("{refusal:?}"), refusal.log().to_string()] {
        assert!(!text.contains("high water") && !text.contains("neap"), "{text}");
    }

    authenticator.change_password("anna", secret(RIGHT), secret("neap tide 8")).await.unwrap();
    let refusal = wrong("neap tide 8", RIGHT).await;
    assert!(matches!(refusal.reason(), ChangeReason::InHistory), "{refusal:?}");
}

#[tokio::test]
async fn when_it_may_not_be_changed() {
    let world = World::new(|policy| policy.min_age = std::time::Duration::from_secs(3_600)).await;
    let authenticator = world.builder().build();
    let refusal =
        authenticator.change_password("anna", secret(RIGHT), secret("neap tide 8")).await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::TooYoung), "{refusal:?}");
    assert_eq!(refusal.to_string(), "Your password was changed too recently to be changed again.");

    let world = World::new(|policy| policy.allow_user_change = false).await;
    let template = DnTemplate::new("uid={user},ou=people,dc=harbourlane,dc=example").unwrap();
    let authenticator =
        flext_ldap_identity::Authenticator::builder(world.sessions(), world.store.clone(), template).build();
    let refusal =
        authenticator.change_password("anna", secret(RIGHT), secret("neap tide 8")).await.unwrap_err();
    assert!(matches!(refusal.reason(), ChangeReason::NotAllowed), "{refusal:?}");
    authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
}
