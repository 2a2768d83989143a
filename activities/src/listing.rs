//! A whole LIST of metadata, page by page, consistent.

use crate::{
    clusters::{
        answer::{Answer, NetError, Stage},
        link::Link,
    },
    object::{Meta, Page},
    request::{self, Api},
};
use std::time::Duration;

/// What came of a list.
pub enum Listing {
    Objects(Vec<Meta>),
    /// No list.
    Answered(Answer),
    Lost(NetError),
}

/// Lists a kind; an empty namespace means all of them. A list whose continue token expired (410)
/// begins anew.
pub async fn list(
    link: &Link,
    api: &Api,
    namespace: &str,
    labels: Option<&str>,
    within: Duration,
) -> Listing {
    let mut objects = Vec::new();
    let mut page: Option<String> = None;
    let mut restarts = 0;
    loop {
        let request = match request::list_metadata(api, namespace, labels, page.as_deref()) {
            Ok(request) => request,
            Err(error) => return Listing::Lost(NetError::new(Stage::Write, error.to_string())),
        };
        match link.ask(request, within).await {
            Err(error) => return Listing::Lost(error),
            Ok(answer) if answer.code == 410 && restarts < 3 => {
                restarts += 1;
                objects.clear();
                page = None;
            }
            Ok(answer) if answer.ok() => {
                let Some(read) = Page::read(&answer.body) else {
                    return Listing::Answered(answer);
                };
                objects.extend(read.objects);
                match read.next {
                    Some(next) => page = Some(next),
                    None => return Listing::Objects(objects),
                }
            }
            Ok(answer) => {
                link.discovery.doubt(&api.group, &answer);
                return Listing::Answered(answer);
            }
        }
    }
}
