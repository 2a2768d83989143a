//! Why a database does not do what it is asked, in words that quote nothing of it.

use crate::StoreError;

/// A cause that people can mend, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    pub cause: &'static str,
    pub next: &'static str,
}

/// What the databases say (in lower case), and what it means.
const KNOWN: &[(&[&str], Trouble)] = &[
    (
        &[
            "database or disk is full",
            "no space left",
            "could not extend file",
        ],
        Trouble {
            cause: "the disk of the database is full",
            next: "free space on it; nothing was changed, try again then",
        },
    ),
    (
        &["disk i/o error"],
        Trouble {
            cause: "the disk of the database does not take what is written",
            next: "look at the disk and its quotas; nothing was changed, try again then",
        },
    ),
    (
        &["readonly database", "read-only transaction"],
        Trouble {
            cause: "the database is read-only",
            next: "make it writable for the user of this server, then try again",
        },
    ),
    (
        &["unable to open database file", "too many open files"],
        Trouble {
            cause: "the database's file cannot be opened",
            next: "look at its folder's rights and at the limit of open files, then try again",
        },
    ),
    (
        &["database is locked", "database table is locked"],
        Trouble {
            cause: "another program holds the database locked",
            next: "end that program, then try again",
        },
    ),
];

impl StoreError {
    /// The cause, where it is one that is known.
    pub fn trouble(&self) -> Option<Trouble> {
        let Self::Db(error) = self else { return None };
        let text = error.to_string().to_lowercase();
        KNOWN
            .iter()
            .find(|(says, _)| says.iter().any(|says| text.contains(says)))
            .map(|(_, trouble)| *trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_databases_say_is_told_without_quoting_them() {
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
            let found = trouble.map(|trouble| trouble.cause);
            assert_eq!(found.is_some(), cause.is_some(), "{says}");
            assert!(
                cause.is_none_or(|cause| found.is_some_and(|found| found.contains(cause))),
                "{says}: {found:?}"
            );
        }
    }
}
