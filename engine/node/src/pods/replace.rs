//! Another image is asked for: the only field of a container that may change while its pod lives. The container is ended and started anew,
//! whatever the restart policy says and without a back-off.
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{
    absorb::stop_run,
    effect::{Effect, Tell},
    facts::{self, Role},
    life::{Life, Now, Slot, Work},
};

fn image<'a>(spec: Option<&'a PodSpec>, container: &str) -> Option<&'a str> {
    facts::container(spec?, container)?.image.as_deref()
}

/// What is known of an image that nobody asks for any more is forgotten, its troubles too.
pub fn forget_images(slots: &mut [Slot], before: &Pod, after: &Pod) {
    for slot in slots {
        if image(before.spec.as_ref(), &slot.name) == image(after.spec.as_ref(), &slot.name) {
            continue;
        }
        // The answer that is under way will be about the image of before.
        slot.image_changed = slot.image.is_busy();
        if !slot.image_changed {
            slot.image = Work::Idle;
        }
        slot.image_found = None;
        slot.pull_back_off = false;
        slot.start_trouble = None;
    }
}

/// Ends what runs another image than the one that is asked for. An init container that runs is left to its end.
pub fn drive(life: &mut Life, spec: &PodSpec, now: Now, effects: &mut Vec<Effect>) {
    let deadline = now.mono + facts::spec_grace(spec).max(Duration::from_secs(2));
    for slot in life.slots.iter_mut().filter(|slot| slot.role != Role::Init) {
        let Some(run) = slot.run().filter(|run| run.stop.is_none()) else { continue };
        if image(Some(spec), &slot.name).is_none_or(|wanted| wanted == run.image_ref) {
            continue;
        }
        let message = format!("Container {} definition changed, will be restarted", slot.name);
        effects.push(Effect::Tell(Tell { warning: false, reason: "Killing", message, container: Some(slot.name.clone()) }));
        slot.replaced = true;
        stop_run(slot, deadline);
    }
}
