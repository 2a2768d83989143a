//! Manifests by their content's digest; Secrets are sealed.

use crate::{
    Result, Store,
    seal::decompress,
    sql::{self, Columns, args},
};

impl Store {
    /// Manifests by digest, unsealed and decompressed: the JSON text. Digests that are not stored
    /// are left out.
    pub async fn manifests(&self, digests: &[String]) -> Result<Vec<(String, String)>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT digest, secret, body FROM manifest \
             WHERE digest IN (SELECT v.digest FROM json_rows($1; digest text) AS v)",
            args![sql::json_list(digests)],
        )
        .await?;
        rows.iter()
            .map(|row| {
                let digest = row.text("digest")?;
                let mut body = row.bytes("body")?;
                if row.int("secret")? != 0 {
                    body = self.shared.key.unseal(&digest, &body)?;
                }
                Ok((digest, decompress(&body)?))
            })
            .collect()
    }
}
