//! `flext-ldap passwd`: what ldappasswd does (RFC 3062).

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use flext_ldap_directory::{
    Actor, DirectoryExt, Request,
    proto::{
        control::PasswordPolicyRequest,
        extended::{ExtendedOperation, PasswordModify},
        line::is_unseen,
        result::ResultCode,
        secret::Secret,
    },
};

use crate::{
    connect::{Connect, ask_password, password_file, secret},
    controls::General,
    ppolicy,
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap passwd -D uid=ada,ou=people,dc=example,dc=com -W -A -S  # asks for the old and the new
  flext-ldap passwd -D cn=admin,dc=example,dc=com -W uid=ada,ou=people,dc=example,dc=com
                                              # the server makes one up, and it is printed";

/// Arguments of `passwd`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    general: General,
    /// Old password; visible to others on this machine: -A asks, -t reads a file
    #[arg(short = 'a', long, value_name = "PASSWORD", value_parser = secret, conflicts_with_all = ["ask_old", "old_file"])]
    old: Option<Secret>,
    /// Ask for the old password
    #[arg(short = 'A', long, conflicts_with = "old_file")]
    ask_old: bool,
    /// Read the old password from this file
    #[arg(short = 't', long, value_name = "FILE")]
    old_file: Option<PathBuf>,
    /// New password; visible to others on this machine: -S asks, -T reads a file
    #[arg(short = 's', long, value_name = "PASSWORD", value_parser = secret, conflicts_with_all = ["ask_new", "new_file"])]
    new: Option<Secret>,
    /// Ask for the new password
    #[arg(short = 'S', long, conflicts_with = "new_file")]
    ask_new: bool,
    /// Read the new password from this file
    #[arg(short = 'T', long, value_name = "FILE")]
    new_file: Option<PathBuf>,
    /// Whose password; your own if left out
    #[arg(value_name = "USER")]
    user: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let old = match (&self.old, self.ask_old, &self.old_file) {
            (Some(old), ..) => Some(old.clone()),
            (None, true, _) => Some(ask_password("Old password: ", "-t")?),
            (None, false, Some(path)) => Some(password_file(path)?),
            (None, false, None) => None,
        };
        let new = match (&self.new, self.ask_new, &self.new_file) {
            (Some(new), ..) => Some(new.clone()),
            (None, true, _) => {
                let new = ask_password("New password: ", "-T")?;
                let again = ask_password("New password again: ", "-T")?;
                if new.expose() != again.expose() {
                    return Err(crate::exit::Usage(
                        "the two passwords differ; nothing was changed".to_owned(),
                    )
                    .into());
                }
                Some(new)
            }
            (None, false, Some(path)) => Some(password_file(path)?),
            (None, false, None) => None,
        };
        if new.as_ref().is_some_and(|new| new.is_empty()) {
            return Err(
                crate::exit::Usage("the new password is empty; nothing was changed".to_owned()).into()
            );
        }
        let change = PasswordModify { user: self.user.clone(), old, new };
        crate::block_on(async move {
            let connection = self.general.open(&self.connect).await?;
            let mut request = self.general.on(Request::new(change.request(), Actor::Service));
            if self.general.asks_policy() {
                request = request.optional(&PasswordPolicyRequest);
            }
            let answer = connection.extended::<PasswordModify>(request).await.map_err(|error| {
                if self.general.asks_policy() {
                    error.outcome().into_iter().for_each(ppolicy::tell);
                }
                let is_no_name = error.result_code() == Some(ResultCode::INVALID_DN_SYNTAX);
                let hint = self.connect.hint(&error);
                let error = anyhow::Error::new(error);
                match (&self.user, is_no_name) {
                    (Some(user), true) => error.context(format!(
                        "`{user}` is no name: one is written like `uid=ada,ou=people,dc=example,dc=com`"
                    )),
                    (Some(user), false) => {
                        error.context(format!("failed to change the password of `{user}`{hint}"))
                    }
                    (None, _) => error.context(format!("failed to change the password{hint}")),
                }
            })?;
            if let Some(generated) = answer.generated {
                // What a terminal does not show could be anything but a password.
                match str::from_utf8(generated.expose()) {
                    Ok(text) if !text.chars().any(is_unseen) => {
                        writeln!(io::stdout(), "New password: {text}")?
                    }
                    _ => anyhow::bail!(
                        "the password was changed, and the one that the server made cannot be shown; set another (-S)"
                    ),
                }
            }
            connection.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
