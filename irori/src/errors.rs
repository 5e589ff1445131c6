//! Which page of docs/errors says what to do about an error.
use irori_trust::TrustError;

/// The code of an error that a person can meet, if it has a page. The chain is searched, outermost first.
pub fn code(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if let Some(trust) = cause.downcast_ref::<TrustError>() {
            return matches!(trust, TrustError::Incomplete { .. } | TrustError::OtherDomain { .. }).then_some("E05");
        }
        if cause.is::<crate::commands::store::BadBackup>() {
            return Some("E11");
        }
        if let Some(open) = cause.downcast_ref::<irori_store::OpenError>() {
            return Some(match open {
                irori_store::OpenError::Locked { .. } => "E04",
                irori_store::OpenError::NotEmpty { .. } => "E11",
                _ => "E06",
            });
        }
        if cause.is::<irori_store::SealedError>() || cause.is::<irori_trust::seal::SealError>() {
            return Some("E10");
        }
        if let Some(etcd) = cause.downcast_ref::<irori_store::EtcdError>() {
            return Some(match etcd {
                irori_store::EtcdError::Unreachable { .. } => "E20",
                irori_store::EtcdError::Version { .. } => "E21",
                irori_store::EtcdError::WentBack { .. } => "E22",
            });
        }
        if cause.is::<irori_node::containerd::StartError>() {
            return Some("E07");
        }
        if cause.is::<irori_network::host::HostError>() {
            return Some("E08");
        }
        match cause.downcast_ref::<irori_store::StoreError>() {
            Some(irori_store::StoreError::Full | irori_store::StoreError::Stopped { .. }) => Some("E09"),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        for number in 1..=11 {
            let page = pages.join(format!("E{number:02}.md"));
            assert!(page.is_file(), "{} is missing", page.display());
        }
        for code in ["E20", "E21", "E22"] {
            assert!(pages.join(format!("{code}.md")).is_file(), "{code} is missing");
        }
    }

    #[test]
    fn a_cause_below_gives_its_code() {
        let trust = TrustError::OtherDomain { made_for: "a".into(), asked: "b".into() };
        assert_eq!(code(&anyhow::Error::new(trust).context("start")), Some("E05"));
        assert_eq!(code(&anyhow::anyhow!("something else")), None);
    }
}
