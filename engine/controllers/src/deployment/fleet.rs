//! The ReplicaSets of a deployment as the plan changes them.
use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::limits::Limits;
use crate::owners;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MOST: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
pub const HASH: &str = "pod-template-hash";
/// Characters of the list of former revisions; the oldest are forgotten above it.
const HISTORY_CHARS_MAX: usize = 2000;

/// One set: as it is stored, and as it shall be.
#[derive(Clone, Debug)]
pub struct Member {
    pub stored: Arc<ReplicaSet>,
    pub set: ReplicaSet,
}

/// All sets of a deployment.
#[derive(Debug)]
pub struct Fleet {
    /// The set of the present template.
    pub new: Option<Member>,
    /// The others, oldest first.
    pub old: Vec<Member>,
}

impl Fleet {
    pub fn of(deployment: &Deployment, mut sets: Vec<Arc<ReplicaSet>>) -> Self {
        sets.sort_by(|a, b| {
            (&a.metadata.creation_timestamp, &a.metadata.name).cmp(&(&b.metadata.creation_timestamp, &b.metadata.name))
        });
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        let is_new = |set: &Arc<ReplicaSet>| {
            let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            matches!((own, template), (Some(own), Some(template)) if same_template(own, template))
        };
        let position = sets.iter().position(is_new);
        let member = |stored: Arc<ReplicaSet>| Member { set: ReplicaSet::clone(&stored), stored };
        let new = position.map(|at| member(sets.remove(at)));
        Self { new, old: sets.into_iter().map(member).collect() }
    }

    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.old.iter().chain(&self.new)
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.old.iter_mut().chain(&mut self.new)
    }

    /// Pods that the sets are to have, together.
    pub fn replicas(&self) -> i32 {
        self.all().map(Member::replicas).sum()
    }

    pub fn old_replicas(&self) -> i32 {
        self.old.iter().map(Member::replicas).sum()
    }

    pub fn available(&self) -> i32 {
        self.all().map(Member::available).sum()
    }

    /// The revision of the present template: one more than any other set's.
    pub fn next_revision(&self) -> i64 {
        self.old.iter().map(Member::revision).max().unwrap_or(0) + 1
    }
}

impl Member {
    pub fn replicas(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    pub fn scale(&mut self, to: i32, limits: Limits) {
        self.set.spec.get_or_insert_default().replicas = Some(to.max(0));
        self.annotate_size(limits);
    }

    /// Notes for which size of the deployment this set's size was chosen.
    pub fn annotate_size(&mut self, limits: Limits) {
        annotate_size(&mut self.set.metadata, limits);
    }

    pub fn available(&self) -> i32 {
        self.set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    pub fn revision(&self) -> i64 {
        revision(&self.set.metadata)
    }

    pub fn changed(&self) -> bool {
        self.set.spec != self.stored.spec || self.set.metadata != self.stored.metadata
    }

    /// Takes over what a rollout to `revision` notes on its set.
    pub fn refresh(&mut self, deployment: &Deployment, revision: i64) {
        note_revision(&mut self.set.metadata, deployment, revision);
        let seconds = deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds).filter(|seconds| *seconds != 0);
        let spec = self.set.spec.get_or_insert_default();
        if spec.min_ready_seconds.filter(|seconds| *seconds != 0) != seconds {
            spec.min_ready_seconds = seconds;
        }
    }
}

pub fn revision(meta: &ObjectMeta) -> i64 {
    annotation(meta, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

pub fn annotate(meta: &mut ObjectMeta, name: &str, value: String) {
    meta.annotations.get_or_insert_default().insert(name.to_owned(), value);
}

fn annotate_size(meta: &mut ObjectMeta, limits: Limits) {
    annotate(meta, DESIRED, limits.replicas.to_string());
    annotate(meta, MOST, limits.most().to_string());
}

fn note_revision(meta: &mut ObjectMeta, deployment: &Deployment, revision_now: i64) {
    for (name, value) in deployment.annotations() {
        if ![LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MOST, ROLLBACK_TO].contains(&name.as_str())
            && annotation(meta, name) != Some(value)
        {
            annotate(meta, name, value.clone());
        }
    }
    let former = revision(meta);
    if former >= revision_now {
        return;
    }
    annotate(meta, REVISION, revision_now.to_string());
    if former > 0 {
        let mut history = match annotation(meta, REVISION_HISTORY) {
            Some(history) if !history.is_empty() => format!("{history},{former}"),
            _ => former.to_string(),
        };
        while history.len() > HISTORY_CHARS_MAX {
            history = history.split_once(',').map_or(String::new(), |(_, rest)| rest.to_owned());
        }
        annotate(meta, REVISION_HISTORY, history);
    }
}

/// The set of the present template, to be made with `replicas`. Its name comes from the template, so that making it twice is refused.
pub fn new_set(deployment: &Deployment, replicas: i32, revision_now: i64, limits: Limits) -> Option<ReplicaSet> {
    let spec = deployment.spec.as_ref()?;
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template_hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut meta = ObjectMeta {
        name: Some(format!("{}-{hash}", deployment.name_any())),
        namespace: deployment.metadata.namespace.clone(),
        labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
        owner_references: Some(vec![owners::controller_ref(deployment)]),
        ..Default::default()
    };
    note_revision(&mut meta, deployment, revision_now);
    annotate_size(&mut meta, limits);
    Some(ReplicaSet {
        metadata: meta,
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    })
}

/// Whether both templates make the same pods: the hash label is the set's own.
pub fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    fn labels(template: &PodTemplateSpec) -> impl Iterator<Item = (&String, &String)> {
        template.metadata.iter().flat_map(|meta| meta.labels.iter().flatten()).filter(|(name, _)| *name != HASH)
    }
    let rest = |template: &PodTemplateSpec| {
        let mut meta = template.metadata.clone().unwrap_or_default();
        meta.labels = None;
        meta.annotations = meta.annotations.filter(|annotations| !annotations.is_empty());
        meta.creation_timestamp = None;
        meta
    };
    a.spec == b.spec && labels(a).eq(labels(b)) && rest(a) == rest(b)
}

/// A short name for a template, without vowels, so that no word comes of it.
fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let json = serde_json::to_vec(template).expect("a template of strings and numbers is JSON");
    let salt = collisions.map(i32::to_le_bytes);
    // FNV-1a: only has to spread; the sets are compared in full.
    let hash = json
        .iter()
        .chain(salt.iter().flatten())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}
