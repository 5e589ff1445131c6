//! From older formats to the present one, a step at a time.
//!
//! Format 1 is the first, so the chain is empty; the walk along it is here and tested, so that the first step is only an entry.
use super::{OpenError, header::FORMAT};
use crate::disk::Disk;

/// Brings a store from format `from` to `from + 1`. Must be safe to repeat after a crash in its middle.
pub struct Step {
    pub from: u32,
    pub run: fn(&dyn Disk) -> std::io::Result<()>,
}

const CHAIN: &[Step] = &[];

/// Brings a store of format `found` to the present one. `file` is where the format was found.
pub fn migrate(disk: &dyn Disk, file: &str, found: u32) -> Result<(), OpenError> {
    walk(CHAIN, disk, file, found, FORMAT)
}

fn walk(chain: &[Step], disk: &dyn Disk, file: &str, found: u32, to: u32) -> Result<(), OpenError> {
    if found > to {
        return Err(OpenError::Newer { file: file.to_owned(), found, known: to });
    }
    for format in found..to {
        let Some(step) = chain.iter().find(|step| step.from == format) else {
            return Err(OpenError::damaged(file, 8, format!("format {format} never existed")));
        };
        (step.run)(disk).map_err(OpenError::io("migrate", file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    const TWO_STEPS: &[Step] =
        &[Step { from: 1, run: |disk| disk.rename("one", "two") }, Step { from: 2, run: |disk| disk.rename("two", "three") }];

    #[test]
    fn each_step_runs_once_and_in_order() {
        let disk = SimDisk::new();
        disk.put("one", Vec::new());
        walk(TWO_STEPS, &disk, "f", 1, 3).expect("both steps work");
        assert_eq!(disk.list().expect("no faults"), ["three"]);
        walk(TWO_STEPS, &disk, "f", 3, 3).expect("nothing to do");
    }

    #[test]
    fn a_later_format_is_refused_and_a_failed_step_is_told() {
        let disk = SimDisk::new();
        assert!(matches!(walk(TWO_STEPS, &disk, "f", 4, 3), Err(OpenError::Newer { found: 4, known: 3, .. })));
        assert!(matches!(walk(TWO_STEPS, &disk, "f", 1, 3), Err(OpenError::Io { doing: "migrate", .. })));
        assert!(matches!(walk(TWO_STEPS, &disk, "f", 0, 3), Err(OpenError::Damaged { .. })));
    }
}
