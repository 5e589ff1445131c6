//! What kinds of objects an API has, by discovery.
use irori_client::ApiError;
use kube::Client;

/// One resource in its preferred version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl ResourceKind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    /// The collection: of all namespaces where `namespace` is empty.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let group_version = self.api_version();
        match (self.namespaced, namespace) {
            (true, namespace) if !namespace.is_empty() => {
                format!("{root}/{group_version}/namespaces/{namespace}/{}", self.plural)
            }
            _ => format!("{root}/{group_version}/{}", self.plural),
        }
    }
}

/// All resources, one version each (the group's preferred one that has it), and the group versions that did not answer.
pub async fn discover(client: &Client) -> Result<(Vec<ResourceKind>, Vec<String>), kube::Error> {
    let mut group_versions = vec!["v1".to_owned()];
    for group in client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.map(|version| version.group_version);
        let others = group.versions.into_iter().map(|version| version.group_version);
        let others: Vec<_> = others.filter(|name| preferred.as_ref() != Some(name)).collect();
        group_versions.extend(preferred.into_iter().chain(others));
    }
    let (mut kinds, mut failed): (Vec<ResourceKind>, Vec<String>) = (Vec::new(), Vec::new());
    for group_version in group_versions {
        let list = match group_version.as_str() {
            "v1" => client.list_core_api_resources("v1").await,
            other => client.list_api_group_resources(other).await,
        };
        let list = match list {
            Ok(list) => list,
            Err(source) if source.is_not_found() => continue,
            Err(_) => {
                failed.push(group_version);
                continue;
            }
        };
        let (group, version) = group_version.split_once('/').unwrap_or(("", &group_version));
        for resource in list.resources {
            let known = kinds.iter().any(|kind| kind.group == group && kind.plural == resource.name);
            if known || resource.name.contains('/') {
                continue;
            }
            kinds.push(ResourceKind {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: resource.name,
                kind: resource.kind,
                namespaced: resource.namespaced,
                verbs: resource.verbs,
            });
        }
    }
    Ok((kinds, failed))
}
