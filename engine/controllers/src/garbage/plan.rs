//! What becomes of an object, given its owners as they really are
//! (https://kubernetes.io/docs/concepts/architecture/garbage-collection/).
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::graph::{FOREGROUND, ORPHAN};

/// An owner, asked live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// There, and not waiting for its dependents.
    Solid,
    /// There, and waiting for its dependents to go.
    Waiting,
    /// Not there: no such object, or another one of its name.
    Absent,
    /// Its kind is not known here: nobody can say.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Background,
    Foreground,
    Orphan,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Keep,
    /// It has a living owner: only the references to the others go.
    KeepWith(Vec<OwnerReference>),
    Delete(Policy),
}

/// Judges one object by its owners (each with what was found of it). `has_dependents`: it owns something itself.
pub fn judge(meta: &ObjectMeta, owners: &[(OwnerReference, Owner)], has_dependents: bool) -> Verdict {
    if owners.is_empty() || owners.iter().any(|(_, found)| *found == Owner::Unknown) {
        return Verdict::Keep;
    }
    let solid: Vec<_> = owners.iter().filter(|(_, found)| *found == Owner::Solid).map(|(owner, _)| owner.clone()).collect();
    if solid.len() == owners.len() {
        return Verdict::Keep;
    }
    if !solid.is_empty() {
        return Verdict::KeepWith(solid);
    }
    if meta.deletion_timestamp.is_some() {
        return Verdict::Keep; // on its way already
    }
    let wants = |name: &str| meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    let awaited = owners.iter().any(|(_, found)| *found == Owner::Waiting);
    Verdict::Delete(match () {
        () if awaited && has_dependents => Policy::Foreground,
        () if wants(ORPHAN) => Policy::Orphan,
        () if wants(FOREGROUND) => Policy::Foreground,
        () => Policy::Background,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(found: &[Owner]) -> Vec<(OwnerReference, Owner)> {
        let owner = |n: usize| OwnerReference { uid: n.to_string(), ..Default::default() };
        found.iter().enumerate().map(|(n, found)| (owner(n), *found)).collect()
    }

    fn verdict(found: &[Owner]) -> Verdict {
        judge(&ObjectMeta::default(), &owners(found), false)
    }

    #[test]
    fn an_object_goes_only_when_its_last_owner_has_gone() {
        assert_eq!(verdict(&[]), Verdict::Keep);
        assert_eq!(verdict(&[Owner::Solid, Owner::Solid]), Verdict::Keep);
        assert_eq!(
            verdict(&[Owner::Absent, Owner::Solid]),
            Verdict::KeepWith(vec![owners(&[Owner::Absent, Owner::Solid])[1].0.clone()])
        );
        assert_eq!(verdict(&[Owner::Absent, Owner::Absent]), Verdict::Delete(Policy::Background));
        assert_eq!(verdict(&[Owner::Waiting]), Verdict::Delete(Policy::Background));
    }

    #[test]
    fn what_nobody_can_know_deletes_nothing() {
        assert_eq!(verdict(&[Owner::Absent, Owner::Unknown]), Verdict::Keep);
    }

    #[test]
    fn a_family_below_an_awaited_object_goes_first() {
        assert_eq!(judge(&ObjectMeta::default(), &owners(&[Owner::Waiting]), true), Verdict::Delete(Policy::Foreground));
        assert_eq!(judge(&ObjectMeta::default(), &owners(&[Owner::Absent]), true), Verdict::Delete(Policy::Background));
    }

    #[test]
    fn finalizers_choose_the_way_to_go() {
        let with = |name: &str| ObjectMeta { finalizers: Some(vec![name.to_owned()]), ..Default::default() };
        assert_eq!(judge(&with(ORPHAN), &owners(&[Owner::Absent]), false), Verdict::Delete(Policy::Orphan));
        assert_eq!(judge(&with(FOREGROUND), &owners(&[Owner::Absent]), false), Verdict::Delete(Policy::Foreground));
    }
}
