//! Names on the command line: kinds with their short forms, `project/name`, `project/name/version`.

use crate::fault::Fault;
use std::fmt;

/// What `get`, `describe` and `delete` know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cluster,
    App,
    Dig,
}

impl Kind {
    /// Singular, plural, short form and the document's kind, whatever the case.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_lowercase().as_str() {
            "cluster" | "clusters" | "cl" => Self::Cluster,
            "app" | "apps" | "compositeapp" | "compositeapps" | "composite-app"
            | "composite-apps" | "ca" => Self::App,
            "dig"
            | "digs"
            | "deploymentintentgroup"
            | "deploymentintentgroups"
            | "deployment-intent-group"
            | "deployment-intent-groups" => Self::Dig,
            _ => return None,
        })
    }

    /// The word in messages and in `-o name`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::App => "app",
            Self::Dig => "dig",
        }
    }
}

/// `KIND NAME…` or `KIND/NAME…`, taken apart.
pub fn targets(words: &[String]) -> Result<(Kind, Vec<String>), Fault> {
    let unknown = |word: &str| {
        Fault::usage(format!(
            "`{word}` is no kind; the kinds are cluster, app, dig"
        ))
    };
    let Some((first, rest)) = words.split_first() else {
        return Err(Fault::usage("name a kind: cluster, app or dig"));
    };
    if !first.contains('/') {
        let kind = Kind::parse(first).ok_or_else(|| unknown(first))?;
        return Ok((kind, rest.to_vec()));
    }
    let mut names = Vec::new();
    let mut common = None;
    for word in words {
        let (kind, name) = word.split_once('/').ok_or_else(|| {
            Fault::usage(format!(
                "`{word}` follows names of the form KIND/NAME, so it needs a kind too"
            ))
        })?;
        let kind = Kind::parse(kind).ok_or_else(|| unknown(kind))?;
        if *common.get_or_insert(kind) != kind {
            return Err(Fault::usage(
                "there are several kinds; name things of one kind at a time",
            ));
        }
        names.push(name.to_owned());
    }
    common
        .map(|kind| (kind, names))
        .ok_or_else(|| Fault::usage("name a kind: cluster, app or dig"))
}

/// A deployment intent group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigName {
    pub project: String,
    pub name: String,
}

impl DigName {
    /// `name`, `project/name`, or `dig/project/name` as `-o name` prints it.
    pub fn parse(text: &str, project: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.split('/').collect();
        let (project, name) = match parts[..] {
            [name] => (project, name),
            [project, name] => (project, name),
            [kind, project, name] if Kind::parse(kind) == Some(Kind::Dig) => (project, name),
            _ => ("", ""),
        };
        if project.is_empty() || name.is_empty() {
            return Err(Fault::usage(format!(
                "`{text}` names no deployment intent group; write NAME or PROJECT/NAME"
            )));
        }
        Ok(Self {
            project: project.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for DigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// A composite app; an empty version means the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppName {
    pub project: String,
    pub name: String,
    pub version: String,
}

impl AppName {
    /// `name`, `project/name`, `project/name/version`, or that after `app/`.
    pub fn parse(text: &str, project: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.split('/').collect();
        let (project, name, version) = match parts[..] {
            [name] => (project, name, Some("")),
            [project, name] => (project, name, Some("")),
            [project, name, version] => (project, name, some_version(version)),
            [kind, project, name, version] if Kind::parse(kind) == Some(Kind::App) => {
                (project, name, some_version(version))
            }
            _ => ("", "", None),
        };
        match version {
            Some(version) if !project.is_empty() && !name.is_empty() => Ok(Self {
                project: project.to_owned(),
                name: name.to_owned(),
                version: version.to_owned(),
            }),
            _ => Err(Fault::usage(format!(
                "`{text}` names no composite app; write NAME, PROJECT/NAME or PROJECT/NAME/VERSION"
            ))),
        }
    }
}

fn some_version(version: &str) -> Option<&str> {
    (!version.is_empty()).then_some(version)
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)?;
        if self.version.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.version)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn kinds_have_plural_and_short_forms() {
        for (text, kind, names) in [
            ("cluster", Kind::Cluster, ""),
            ("Clusters acme+e1", Kind::Cluster, "acme+e1"),
            ("dig a b", Kind::Dig, "a b"),
            ("DeploymentIntentGroup a", Kind::Dig, "a"),
            ("dig/shop/a", Kind::Dig, "shop/a"),
            (
                "app/shop/a/v1 app/shop/b/v1",
                Kind::App,
                "shop/a/v1 shop/b/v1",
            ),
            ("ca", Kind::App, ""),
        ] {
            assert_eq!(
                targets(&words(text)).unwrap(),
                (kind, words(names)),
                "{text}"
            );
        }
        for text in ["", "pod", "pod/x", "dig/a b", "dig/a app/b"] {
            assert!(targets(&words(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_dig_is_named_alone_or_with_its_project() {
        for (text, expected) in [
            ("web", Some("default/web")),
            ("shop/web", Some("shop/web")),
            ("dig/shop/web", Some("shop/web")),
            ("dig/web", Some("dig/web")),
            ("a/b/c", None),
            ("/web", None),
            ("", None),
        ] {
            assert_eq!(
                DigName::parse(text, "default")
                    .ok()
                    .map(|n| n.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn an_app_may_name_its_version() {
        for (text, expected) in [
            ("web", Some("default/web")),
            ("shop/web", Some("shop/web")),
            ("shop/web/v1", Some("shop/web/v1")),
            ("app/shop/web/v1", Some("shop/web/v1")),
            ("shop/web/", None),
            ("a/b/c/d", None),
        ] {
            assert_eq!(
                AppName::parse(text, "default")
                    .ok()
                    .map(|n| n.to_string())
                    .as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
