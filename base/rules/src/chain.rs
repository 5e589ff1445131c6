//! The way to a value as a chain of borrowed steps, written out only where something is told: a name of half a megabyte above a
//! thousand fields costs nothing until then.

/// A step below others.
#[derive(Clone, Copy)]
pub struct Chain<'p, S> {
    pub up: Option<&'p Chain<'p, S>>,
    pub step: S,
}

impl<'p, S: Copy> Chain<'p, S> {
    /// From the last step to the first.
    pub fn upwards(&'p self) -> impl Iterator<Item = S> {
        std::iter::successors(Some(self), |at| at.up).map(|at| at.step)
    }

    /// From the first step to the last.
    pub fn steps(&'p self) -> Vec<S> {
        let mut steps: Vec<S> = self.upwards().collect();
        steps.reverse();
        steps
    }
}
