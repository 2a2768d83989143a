//! The kinds of things the server keeps: how they are fetched, alone and in lists.

use crate::{
    fault::{Exit, Fault},
    names::{AppName, DigName, Kind},
    session::Session,
    thing::Thing,
};
use proto::v1;

pub struct List {
    pub things: Vec<Thing>,
    /// Clusters that do not answer.
    pub unreachable: Vec<String>,
}

/// All of a kind, page by page.
pub async fn list(
    session: &mut Session,
    kind: Kind,
    all_projects: bool,
    documents: bool,
) -> Result<List, Fault> {
    let client = session.documents().await?;
    let project = if all_projects {
        "-".to_owned()
    } else {
        session.global.project.clone()
    };
    let mut result = List {
        things: Vec::new(),
        unreachable: Vec::new(),
    };
    let mut page_token = String::new();
    loop {
        page_token = match kind {
            Kind::Cluster => {
                let request = v1::ListClustersRequest {
                    page_size: 1000,
                    page_token,
                };
                let page = session
                    .call(&client, request, async |mut client, request| {
                        client.list_clusters(request).await
                    })
                    .await?;
                result
                    .things
                    .extend(page.clusters.into_iter().map(Thing::Cluster));
                result.unreachable = page.unreachable;
                page.next_page_token
            }
            Kind::App => {
                let name = String::new();
                // With its objects an app may be large.
                let page_size = if documents { 10 } else { 1000 };
                let request = v1::ListCompositeAppsRequest {
                    project: project.clone(),
                    name,
                    with_documents: documents,
                    page_size,
                    page_token,
                };
                let page = apps_page(session, &client, request).await?;
                result
                    .things
                    .extend(page.composite_apps.into_iter().map(Thing::App));
                page.next_page_token
            }
            Kind::Dig => {
                let request = v1::ListDeploymentIntentGroupsRequest {
                    project: project.clone(),
                    page_size: 1000,
                    page_token,
                };
                let page = session
                    .call(&client, request, async |mut client, request| {
                        client.list_deployment_intent_groups(request).await
                    })
                    .await?;
                result
                    .things
                    .extend(page.deployment_intent_groups.into_iter().map(Thing::Dig));
                result.unreachable = page.unreachable;
                page.next_page_token
            }
        };
        if page_token.is_empty() {
            return Ok(result);
        }
    }
}

type Documents = v1::document_service_client::DocumentServiceClient<crate::session::Connection>;

async fn apps_page(
    session: &Session,
    client: &Documents,
    request: v1::ListCompositeAppsRequest,
) -> Result<v1::ListCompositeAppsResponse, Fault> {
    session
        .call(client, request, async |mut client, request| {
            client.list_composite_apps(request).await
        })
        .await
}

/// What has this name: one thing, or every version of an app whose version is not given.
pub async fn named(session: &mut Session, kind: Kind, name: &str) -> Result<Vec<Thing>, Fault> {
    let client = session.documents().await?;
    let found = match kind {
        Kind::Cluster => {
            let request = v1::GetClusterRequest {
                id: name.to_owned(),
            };
            session
                .call(&client, request, async |mut client, request| {
                    client.get_cluster(request).await
                })
                .await
                .map(Thing::Cluster)
        }
        Kind::App => {
            let AppName {
                project,
                name,
                version,
            } = AppName::parse(name, &session.global.project)?;
            if version.is_empty() {
                let request = v1::ListCompositeAppsRequest {
                    project: project.clone(),
                    name: name.clone(),
                    with_documents: session.output.structured(),
                    page_size: 0,
                    page_token: String::new(),
                };
                let page = apps_page(session, &client, request).await?;
                if page.composite_apps.len() > 1 {
                    return Ok(page.composite_apps.into_iter().map(Thing::App).collect());
                }
            }
            let request = v1::GetCompositeAppRequest {
                project,
                name,
                version,
            };
            session
                .call(&client, request, async |mut client, request| {
                    client.get_composite_app(request).await
                })
                .await
                .map(Thing::App)
        }
        Kind::Dig => {
            let DigName { project, name } = session.dig(name)?;
            let request = v1::GetDeploymentIntentGroupRequest { project, name };
            session
                .call(&client, request, async |mut client, request| {
                    client.get_deployment_intent_group(request).await
                })
                .await
                .map(Thing::Dig)
        }
    };
    found
        .map(|thing| vec![thing])
        .map_err(|fault| look_around(fault, session, kind))
}

/// Where a name is unknown, the list of known ones is the next step.
pub fn look_around(fault: Fault, session: &Session, kind: Kind) -> Fault {
    if fault.exit() != Exit::NotFound || fault.mentions("muster get") {
        return fault;
    }
    let command = match kind {
        Kind::Cluster => "get cluster".to_owned(),
        Kind::App => format!("get app -p {}", session.global.project),
        Kind::Dig => "get dig -A".to_owned(),
    };
    let hint = session.hint(&command);
    fault.next(format!("{hint} lists what there is"))
}
