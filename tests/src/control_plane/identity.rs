//! Who is who in one control plane: an authority of its own, the server's certificate, an
//! administrator by token and by client certificate, and the kubeconfigs that say so.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde_json::json;
use std::{fs, io, path::Path};

/// Only ever good for a server on the loopback that lives as long as a test.
const TOKEN: &str = "admin-of-";

/// How the administrator says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Token,
    Certificate,
}

/// The text of everything; keys are also in files beside the servers that need them.
#[derive(Debug)]
pub struct Identity {
    name: String,
    ca: String,
    certificate: String,
    key: String,
}

impl Identity {
    /// Makes all of it, and writes what the API server reads: `ca.crt`, `server.crt`, `server.key`,
    /// `accounts.key`, `accounts.pub`, `tokens.csv`.
    pub fn create(name: &str, folder: &Path) -> io::Result<Self> {
        let authority_key = key()?;
        let mut params = params(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&authority_key).map_err(wrong)?.pem();
        let issuer = Issuer::new(params, authority_key);

        let server_key = key()?;
        let mut server = self::params("kube-apiserver", &["localhost", "127.0.0.1"])?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server = server.signed_by(&server_key, &issuer).map_err(wrong)?.pem();

        let admin_key = key()?;
        let mut admin = self::params("admin", &[])?;
        // The group that RBAC lets do everything.
        admin
            .distinguished_name
            .push(DnType::OrganizationName, "system:masters");
        admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = admin.signed_by(&admin_key, &issuer).map_err(wrong)?.pem();

        fs::write(folder.join("ca.crt"), &ca)?;
        fs::write(folder.join("server.crt"), server)?;
        fs::write(folder.join("server.key"), server_key.serialize_pem())?;
        let accounts = key()?;
        fs::write(folder.join("accounts.key"), accounts.serialize_pem())?;
        fs::write(folder.join("accounts.pub"), accounts.public_key_pem())?;
        let tokens = format!("{TOKEN}{name},admin,admin,\"system:masters\"\n");
        fs::write(folder.join("tokens.csv"), tokens)?;
        Ok(Self {
            name: name.to_owned(),
            ca,
            certificate,
            key: admin_key.serialize_pem(),
        })
    }

    /// The administrator's kubeconfig, everything inline.
    pub fn kubeconfig(&self, port: u16, by: By) -> String {
        let name = &self.name;
        let base64 = |text: &str| serde_json::to_value(k8s_openapi::ByteString(text.into()));
        let inline = |text| base64(text).unwrap_or_default();
        let user = match by {
            By::Token => json!({"token": format!("{TOKEN}{name}")}),
            By::Certificate => json!({
                "client-certificate-data": inline(&self.certificate),
                "client-key-data": inline(&self.key),
            }),
        };
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority-data": inline(&self.ca),
            }}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        });
        serde_yaml_ng::to_string(&document).unwrap_or_default()
    }
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(wrong)
}

fn params(name: &str, names: &[&str]) -> io::Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(wrong)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params)
}

fn wrong(error: rcgen::Error) -> io::Error {
    io::Error::other(error)
}
