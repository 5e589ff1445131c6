//! Families of a Service's addresses.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/dual-stack/#services>
use irori_api::field::{ErrorList, FieldPath};
use irori_rules::tree;
use serde_json::Value;

use super::{about, family};
use crate::{
    refusal::{Answered, Refusal},
    server::Server,
};

const SINGLE: &str = "SingleStack";
const BOTH: &str = "RequireDualStack";

fn texts(service: &Value, field: &str) -> Vec<String> {
    tree::items(service, &["spec", field]).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn family_of(address: &str) -> &'static str {
    if address.contains(':') { "IPv6" } else { "IPv4" }
}

/// ipFamilyPolicy and ipFamilies, from what the Service says, what it said before and what the cluster has.
pub fn choose(server: &Server, service: &mut Value, old: Option<&Value>) -> Answered<()> {
    if tree::text(service, &["spec", "type"]) == "ExternalName" {
        for key in ["ipFamilyPolicy", "ipFamilies", "clusterIP", "clusterIPs"] {
            tree::remove(service, &["spec", key]);
        }
        return Ok(());
    }
    let cluster: Vec<&str> = server.settings.service_cidrs.iter().map(family).collect();
    let headless = tree::text(service, &["spec", "clusterIP"]) == "None";
    let for_nobody = headless && tree::map(service, &["spec", "selector"]).is_none_or(|s| s.is_empty());
    let said = |service: &Value| tree::text(service, &["spec", "ipFamilyPolicy"]).to_owned();
    let policy = [said(service), old.map(said).unwrap_or_default()].into_iter().find(|policy| !policy.is_empty());
    let policy = policy.unwrap_or_else(|| if for_nobody { BOTH } else { SINGLE }.to_owned());
    if policy == SINGLE {
        release_second(service, old);
    }
    let mut wanted = texts(service, "ipFamilies");
    let mut errors = ErrorList::default();
    fits_policy(service, old, &policy, &mut errors);
    infer(service, &cluster, &mut wanted, &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::invalid(about(service), &errors));
    }
    if !for_nobody {
        configured(&cluster, &policy, &wanted, &mut errors);
        if !errors.is_empty() {
            return Err(Refusal::invalid(about(service), &errors));
        }
    }
    if wanted.is_empty() {
        wanted.extend(cluster.first().map(|family| (*family).to_owned()));
    }
    // Nobody allocates for a Service without a selector: it may speak of both families wherever it runs.
    if policy != SINGLE && wanted.len() == 1 && (for_nobody || cluster.len() > 1) {
        wanted.push(if wanted[0] == "IPv4" { "IPv6" } else { "IPv4" }.to_owned());
    }
    tree::set(service, &["spec", "ipFamilyPolicy"], policy);
    tree::set(service, &["spec", "ipFamilies"], wanted);
    Ok(())
}

/// A Service of two families that asks for one gives back the second, if it says the same as before otherwise.
fn release_second(service: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    for field in ["clusterIPs", "ipFamilies"] {
        let all = texts(service, field);
        if all.len() > 1 && all == texts(old, field) {
            tree::set(service, &["spec", field], vec![all[0].clone()]);
        }
    }
}

fn fits_policy(service: &Value, old: Option<&Value>, policy: &str, errors: &mut ErrorList) {
    let at = FieldPath::new("spec").child("ipFamilyPolicy");
    for (field, one, several) in
        [("clusterIPs", "secondary cluster IP", "cluster IPs"), ("ipFamilies", "secondary IP family", "IP families")]
    {
        let (is, was) = (texts(service, field).len(), old.map_or(0, |old| texts(old, field).len()));
        if policy == SINGLE && is == 2 {
            let why = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {several} are specified");
            errors.invalid(at.clone(), policy, why);
        } else if policy != SINGLE && is > 0 && is < was {
            errors.invalid(at.clone(), policy, format!("must be 'SingleStack' to release the {one}"));
        }
    }
}

/// Addresses say their families.
fn infer(service: &Value, cluster: &[&str], wanted: &mut Vec<String>, errors: &mut ErrorList) {
    let given = texts(service, "clusterIPs");
    for (index, address) in given.iter().enumerate().skip(wanted.len()).filter(|(_, address)| *address != "None") {
        let family = family_of(address);
        if cluster.contains(&family) {
            wanted.push(family.to_owned());
        } else {
            let at = FieldPath::new("spec").child("clusterIPs").index(index);
            errors.invalid(at, given.clone(), format!("{family} is not configured on this cluster"));
        }
    }
}

fn configured(cluster: &[&str], policy: &str, wanted: &[String], errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    if policy == BOTH && cluster.len() < 2 {
        errors.invalid(at.child("ipFamilyPolicy"), policy, "this cluster is not configured for dual-stack services");
    }
    for (index, family) in wanted.iter().enumerate().filter(|(_, family)| !cluster.contains(&family.as_str())) {
        errors.invalid(at.child("ipFamilies").index(index), family.as_str(), "not configured on this cluster");
    }
}
