//! What a kubeconfig says of TLS: whom to trust, and which certificate to show.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{ClusterEntry, UserEntry};

pub(super) fn tls(
    cluster: &ClusterEntry,
    user: &UserEntry,
    folder: &Path,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if cluster.insecure_skip_tls_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        let authority = pem(
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_deref(),
            folder,
            "certificate-authority",
        )?;
        if let Some(authority) = authority {
            for certificate in certificates(&authority, "certificate-authority")? {
                roots.add(certificate).map_err(|error| {
                    format!("its certificate-authority cannot be used: {error}")
                })?;
            }
        }
        builder.with_root_certificates(roots)
    };
    let certificate = pem(
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
        folder,
        "client-certificate",
    )?;
    let key = pem(
        user.client_key_data.as_deref(),
        user.client_key.as_deref(),
        folder,
        "client-key",
    )?;
    match certificate.zip(key) {
        Some((certificate, key)) => {
            let chain = certificates(&certificate, "client-certificate")?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|_| "its client-key is no PEM key".to_owned())?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("its client-certificate cannot be used: {error}"))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn pem(
    inline: Option<&str>,
    file: Option<&Path>,
    folder: &Path,
    what: &str,
) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = inline {
        let bytes = STANDARD.decode(data.trim());
        return bytes
            .map(Some)
            .map_err(|_| format!("its {what}-data is not base64"));
    }
    let Some(file) = file else { return Ok(None) };
    fs::read(folder.join(file))
        .map(Some)
        .map_err(|error| format!("its {what} {}: {error}", file.display()))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("its {what} is no PEM certificate"))
}

/// For kubeconfigs that say `insecure-skip-tls-verify`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
