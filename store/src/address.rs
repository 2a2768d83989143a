//! Where a store is: `sqlite:PATH`, `postgres://…`.

use std::path::PathBuf;

/// The key file of a store that names none: beside the SQLite file. `None` for PostgreSQL.
pub fn usual_key_file(store: &str) -> Option<PathBuf> {
    sqlite_file(store).map(|database| database.with_file_name("muster.key"))
}

/// The file of `sqlite:PATH` (also `sqlite://PATH`, with or without `?options`).
fn sqlite_file(store: &str) -> Option<PathBuf> {
    let rest = store.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    Some(PathBuf::from(rest.split('?').next().unwrap_or(rest)))
}

/// The address for logs and errors: without its password.
pub fn without_password(store: &str) -> String {
    let Some((scheme, rest)) = store.split_once("://") else {
        return store.to_owned();
    };
    // Options may hold a password too.
    let rest = rest.split('?').next().unwrap_or(rest);
    let Some((credentials, place)) = rest.rsplit_once('@') else {
        return format!("{scheme}://{rest}");
    };
    let user = credentials.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:***@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_lies_beside_the_sqlite_file() {
        for (store, key) in [
            ("sqlite:/d/m.db", Some("/d/muster.key")),
            ("sqlite:///d/m.db?mode=rwc", Some("/d/muster.key")),
            ("postgres://u@h/m", None),
        ] {
            assert_eq!(usual_key_file(store), key.map(PathBuf::from), "{store}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (store, shown) in [
            (
                "postgres://u:secret@db:5432/m?password=x",
                "postgres://u:***@db:5432/m",
            ),
            ("postgres://u:se@cret@db/m", "postgres://u:***@db/m"),
            ("postgres://db/m?password=x", "postgres://db/m"),
            ("sqlite:/a/b.db", "sqlite:/a/b.db"),
        ] {
            assert_eq!(without_password(store), shown);
        }
    }
}
