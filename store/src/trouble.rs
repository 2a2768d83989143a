//! Why a database does not do what it is asked, in words that quote nothing of it.

use crate::StoreError;
use model::failure::{Guide, REFUSALS};

/// What the databases say (in lower case), and the reason under which it is explained.
const KNOWN: &[(&[&str], &str)] = &[
    (
        &[
            "database or disk is full",
            "no space left",
            "could not extend file",
        ],
        "STORE_FULL",
    ),
    (&["disk i/o error"], "STORE_NOT_WRITTEN"),
    (
        &["readonly database", "read-only transaction"],
        "STORE_READ_ONLY",
    ),
    (
        &["unable to open database file", "too many open files"],
        "STORE_NOT_OPENED",
    ),
    (
        &["database is locked", "database table is locked"],
        "STORE_LOCKED",
    ),
];

impl StoreError {
    /// What is known of the cause: a reason of [`REFUSALS`], what it means and what is to be done.
    pub fn trouble(&self) -> Option<&'static Guide> {
        let Self::Db(error) = self else { return None };
        let text = error.to_string().to_lowercase();
        let (_, reason) = KNOWN
            .iter()
            .find(|(says, _)| says.iter().any(|says| text.contains(says)))?;
        REFUSALS.iter().find(|guide| guide.code == *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_databases_say_is_told_without_quoting_them() {
        for (_, reason) in KNOWN {
            assert!(
                REFUSALS.iter().any(|guide| guide.code == *reason),
                "{reason}"
            );
        }
        let cases = [
            ("(code: 13) database or disk is full", Some("is full")),
            (
                "could not extend file \"base/5/16384\": No space left on device",
                Some("is full"),
            ),
            ("(code: 778) disk I/O error", Some("does not take")),
            ("attempt to write a readonly database", Some("is read-only")),
            (
                "cannot execute INSERT in a read-only transaction",
                Some("is read-only"),
            ),
            ("unable to open database file", Some("cannot be opened")),
            ("database is locked", Some("locked")),
            ("syntax error near 'secret'", None),
        ];
        for (says, cause) in cases {
            let trouble = StoreError::Db(says.into()).trouble();
            let found = trouble.map(|trouble| trouble.sees);
            assert_eq!(found.is_some(), cause.is_some(), "{says}");
            assert!(
                cause.is_none_or(|cause| found.is_some_and(|found| found.contains(cause))),
                "{says}: {found:?}"
            );
        }
    }
}
