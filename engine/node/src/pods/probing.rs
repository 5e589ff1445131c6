//! When which probe runs.
use k8s_openapi::api::core::v1::PodSpec;

use super::{
    effect::Effect,
    facts::{self, ProbeKind, Role},
    life::{Hook, Instance, Life, Now, ProbeState},
};

/// Asks for the probes that are due. A probe runs once at a time; liveness and readiness wait for startup.
pub fn drive(life: &mut Life, spec: &PodSpec, now: Now, effects: &mut Vec<Effect>) {
    for slot in life.slots.iter_mut().filter(|slot| slot.role != Role::Init) {
        let started = slot.is_started(spec);
        let Instance::Running(run) = &slot.instance else { continue };
        if run.stop.is_some() || run.post_start != Hook::Done {
            continue;
        }
        let Some(container) = facts::container(spec, &slot.name) else { continue };
        for kind in ProbeKind::ALL {
            let Some(probe) = facts::probe(container, kind) else { continue };
            let wanted = if kind == ProbeKind::Startup { !started } else { started };
            if !wanted {
                continue;
            }
            let first = run.since + facts::seconds(probe.initial_delay_seconds.map(i64::from), 0);
            let state = slot.probes.entry(kind).or_insert_with(|| ProbeState { next: first, ..ProbeState::default() });
            if state.busy || state.next > now.mono {
                continue;
            }
            state.busy = true;
            state.next =
                now.mono + facts::seconds(probe.period_seconds.map(i64::from), 10).max(std::time::Duration::from_secs(1));
            effects.push(Effect::Probe { container: slot.name.clone(), id: run.id.clone(), kind });
        }
    }
}
