//! One authority per data directory, one certificate per process, TLS with ALPN for h2 and http/1.1.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::Error;
use super::files::{self, DataDir};

/// The authority's certificate and what listeners need to speak TLS.
pub(crate) struct Tls {
    pub ca_pem: String,
    pub server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the authority of the directory or makes one, and issues this process its certificate.
    pub fn prepare(dir: Option<&DataDir>) -> Result<Self, Error> {
        let kept = match dir {
            Some(dir) => {
                let (crt, key) = dir.ca();
                files::read(&crt)?.zip(files::read(&key)?)
            }
            None => None,
        };
        let params = authority()?;
        let (ca_pem, ca_key) = if let Some((crt, key)) = kept {
            let key = KeyPair::from_pem(&key).map_err(tls("read the authority's key"))?;
            (crt, key)
        } else {
            let key = KeyPair::generate().map_err(tls("make the authority's key"))?;
            let certificate = params.self_signed(&key);
            let pem = certificate.map_err(tls("make the authority"))?.pem();
            if let Some(dir) = dir {
                let (crt_file, key_file) = dir.ca();
                // The certificate last: without it the next start makes both anew.
                files::write(&key_file, &key.serialize_pem())?;
                files::write(&crt_file, &pem)?;
            }
            (pem, key)
        };
        let server = server_config(&Issuer::new(params, ca_key))?;
        Ok(Self { ca_pem, server })
    }
}

/// The authority's parameters are the same in every process: only key and certificate are kept.
fn authority() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new()).map_err(tls("describe the authority"))?;
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "sandbox clusters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params)
}

fn server_config(issuer: &Issuer<'_, KeyPair>) -> Result<Arc<ServerConfig>, Error> {
    let operation = "issue the certificate";
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).map_err(tls(operation))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "sandbox cluster");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    let key = KeyPair::generate().map_err(tls(operation))?;
    let certificate = params.signed_by(&key, issuer).map_err(tls(operation))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // The provider is named: a process may hold two of them, and then there is no default.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls("set up TLS"))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(tls("set up TLS"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Ok(ticketer) = ring::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

fn tls<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Tls {
        operation,
        reason: source.to_string(),
    }
}
