//! Throw-away certificates: good ones, and each kind of bad one that a client must refuse.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A certificate with its private key, both in PEM.
#[derive(Clone)]
#[non_exhaustive]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key, PKCS #8.
    pub key_pem: String,
}

/// A certificate authority that exists for one test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn new() -> Result<Self> {
        let params = authority_params("Lab CA")?;
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("cannot make the CA")?;
        Ok(Self { issuer })
    }

    /// The authority's certificate, for those who shall trust it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server certificate for [`host_names`].
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn server(&self) -> Result<Identity> {
        self.server_for(&host_names())
    }

    /// A server certificate for the given DNS names and IP addresses: with a name that is not this host's, one that
    /// a client must refuse.
    ///
    /// # Errors
    /// A name is not ASCII, or no randomness for the key.
    pub fn server_for<S: AsRef<str>>(&self, names: &[S]) -> Result<Identity> {
        self.sign(&server_params(names)?)
    }

    /// A server certificate for [`host_names`] whose time was up in 2021.
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn expired_server(&self) -> Result<Identity> {
        let mut params = server_params(&host_names())?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    /// A server certificate for [`host_names`] that is good from 2090 on.
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn early_server(&self) -> Result<Identity> {
        let mut params = server_params(&host_names())?;
        params.not_before = date_time_ymd(2090, 1, 1);
        self.sign(&params)
    }

    /// An authority that this one vouches for. A server that shows a certificate of it must send its
    /// [`pem`](Self::pem) too.
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn intermediate(&self, common_name: &str) -> Result<Self> {
        let params = authority_params(common_name)?;
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate()?, &self.issuer)
            .context("cannot make the intermediate CA")?;
        Ok(Self { issuer })
    }

    /// A client certificate with the subject `cn=NAME,o=Lab`. [`Slapd`](crate::Slapd) takes its owner for
    /// `uid=NAME,ou=people` below its suffix.
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn client(&self, name: &str) -> Result<Identity> {
        let mut params = subject(name, Vec::new())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer).context("cannot sign a certificate")?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl Identity {
    /// A server certificate for [`host_names`] that no authority vouches for.
    ///
    /// # Errors
    /// No randomness for the key.
    pub fn self_signed() -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = server_params(&host_names())?.self_signed(&key)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Writes `NAME.pem` and `NAME.key` into a folder and returns their paths.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate_pem)
            .with_context(|| format!("cannot write {}", certificate.display()))?;
        std::fs::write(&key, &self.key_pem).with_context(|| format!("cannot write {}", key.display()))?;
        Ok((certificate, key))
    }
}

/// The names under which a server on loopback is reached. The machine's own are among them because Debian's libldap
/// puts the host name in the place of `localhost` before it checks a certificate.
#[must_use]
pub fn host_names() -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for flags in [&[][..], &["-f"]] {
        // A machine without `hostname`, or without a name, needs no name in its certificate.
        let Ok(output) = Command::new("hostname").args(flags).output() else { continue };
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && name.is_ascii() && !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn authority_params(common_name: &str) -> Result<CertificateParams> {
    let mut params = subject(common_name, Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server_params<S: AsRef<str>>(names: &[S]) -> Result<CertificateParams> {
    let names: Vec<_> = names.iter().map(|name| name.as_ref().to_owned()).collect();
    let mut params = subject("Lab server", names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn subject(common_name: &str, names: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names).context("not a name for a certificate")?;
    // A new one: the default holds a common name already, and would keep it in front.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Lab");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    Ok(params)
}
