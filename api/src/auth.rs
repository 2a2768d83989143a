//! Who calls: tokens with names, or on loopback whoever they say they are.

use crate::errors;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, path::Path, sync::Arc};
use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("read the token file {path}: {source}; name another with --tokens")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error("the token file {path}, line {line}: {cause}; write one `NAME TOKEN` per line")]
    Malformed {
        path: String,
        line: usize,
        cause: &'static str,
    },
}

/// The caller's name, in every request's extensions: the `actor` of the operation log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

/// The actor of a request that passed [`Gate`].
pub fn actor<T>(request: &Request<T>) -> String {
    request
        .extensions()
        .get::<Actor>()
        .map_or_else(|| ANONYMOUS.to_owned(), |actor| actor.0.clone())
}

const ANONYMOUS: &str = "anonymous";

/// Header in which callers without a token name themselves.
pub const ACTOR_HEADER: &str = "muster-actor";

/// Names by the SHA-256 of their tokens: the tokens themselves are not kept, and a look-up's time
/// says nothing about them.
#[derive(Clone)]
pub struct Tokens(Arc<HashMap<[u8; 32], String>>);

impl Tokens {
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| TokensError::Unreadable {
            path: shown.clone(),
            source,
        })?;
        Self::parse(&text).map_err(|(line, cause)| TokensError::Malformed {
            path: shown,
            line,
            cause,
        })
    }

    /// Lines of `NAME TOKEN`; the error is a line number with a cause, never the line.
    fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut names = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fail = |cause| (index + 1, cause);
            let mut words = line.split_whitespace();
            let (Some(name), Some(token), None) = (words.next(), words.next(), words.next()) else {
                return Err(fail("not two words"));
            };
            if token.len() < 16 {
                return Err(fail("the token is shorter than 16 characters"));
            }
            if names.insert(hash(token), name.to_owned()).is_some() {
                return Err(fail("the token was given before"));
            }
        }
        if names.is_empty() {
            Err((1, "no token at all"))
        } else {
            Ok(Self(Arc::new(names)))
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets a request pass and notes its actor.
#[derive(Clone)]
pub struct Gate {
    /// `None`: everybody may call.
    pub tokens: Option<Tokens>,
}

impl Gate {
    fn name(&self, metadata: &MetadataMap) -> Result<Actor, Status> {
        let Some(tokens) = &self.tokens else {
            let said = metadata
                .get(ACTOR_HEADER)
                .and_then(|value| value.to_str().ok())
                .map(str::trim);
            return Ok(Actor(said.filter(|name| !name.is_empty()).map_or_else(
                || ANONYMOUS.to_owned(),
                |name| name.chars().take(64).collect(),
            )));
        };
        let Some(header) = metadata.get("authorization") else {
            return Err(errors::unauthenticated(
                "no token was sent; pass one as `authorization: Bearer TOKEN`",
            ));
        };
        header
            .to_str()
            .ok()
            .and_then(|value| {
                value
                    .strip_prefix("Bearer ")
                    .or_else(|| value.strip_prefix("bearer "))
            })
            .and_then(|token| tokens.0.get(&hash(token.trim())))
            .map(|name| Actor(name.clone()))
            .ok_or_else(|| {
                errors::unauthenticated(
                    "the token is not known; ask the operator of this server for a valid one",
                )
            })
    }
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let actor = self.name(request.metadata())?;
        request.extensions_mut().insert(actor);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn named(gate: &Gate, header: &'static str, value: &str) -> Result<String, tonic::Code> {
        let mut metadata = MetadataMap::new();
        metadata.insert(header, value.parse().unwrap());
        gate.name(&metadata)
            .map(|actor| actor.0)
            .map_err(|status| status.code())
    }

    #[test]
    fn the_actor_is_the_tokens_name_and_nothing_the_caller_says() {
        let gate = Gate {
            tokens: Tokens::parse("# team\nann 0123456789abcdef\n\nbob fedcba9876543210\n").ok(),
        };
        assert_eq!(
            named(&gate, "authorization", "Bearer 0123456789abcdef"),
            Ok("ann".into())
        );
        assert_eq!(
            named(&gate, "authorization", "Bearer fedcba9876543210"),
            Ok("bob".into())
        );
        assert_eq!(
            named(&gate, "authorization", "Bearer 0123456789abcdeX"),
            Err(tonic::Code::Unauthenticated)
        );
        assert_eq!(
            named(&gate, "authorization", "Basic 0123456789abcdef"),
            Err(tonic::Code::Unauthenticated)
        );
        assert_eq!(
            named(&gate, "muster-actor", "ann"),
            Err(tonic::Code::Unauthenticated)
        );
    }

    #[test]
    fn without_tokens_the_caller_names_itself() {
        let gate = Gate { tokens: None };
        assert_eq!(named(&gate, "muster-actor", "ann"), Ok("ann".into()));
        assert_eq!(named(&gate, "muster-actor", " "), Ok("anonymous".into()));
        assert_eq!(named(&gate, "x", "y"), Ok("anonymous".into()));
    }

    #[test]
    fn a_token_file_is_refused_by_line_without_quoting_it() {
        for (text, expected) in [
            ("ann", (1, "not two words")),
            (
                "#\nann short",
                (2, "the token is shorter than 16 characters"),
            ),
            ("", (1, "no token at all")),
        ] {
            assert_eq!(Tokens::parse(text).err(), Some(expected), "{text:?}");
        }
    }
}
