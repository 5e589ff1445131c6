//! The numbers that the design asks for, and those of upstream beside which they stand.

/// A must and an aim for one figure.
pub struct Want {
    pub what: &'static str,
    must: f64,
    aim: Option<f64>,
    unit: &'static str,
    direction: Direction,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    AtMost,
    AtLeast,
}

const fn at_most(what: &'static str, must: f64, aim: Option<f64>, unit: &'static str) -> Want {
    Want { what, must, aim, unit, direction: Direction::AtMost }
}

const fn at_least(what: &'static str, must: f64, unit: &'static str) -> Want {
    Want { what, must, aim: None, unit, direction: Direction::AtLeast }
}

const fn ratio_must(what: &'static str, must: f64) -> Want {
    at_least(what, must, "×")
}

/// A ratio to upstream.
const fn ratio(what: &'static str, must: f64, aim: f64) -> Want {
    Want { what, must, aim: Some(aim), unit: "×", direction: Direction::AtLeast }
}

pub const BINARY: Want = at_most("stripped binary", 60.0, Some(30.0), " MB");
pub const CREATES: Want = ratio("durable creates of 1 KB, 64 clients, ratio to upstream", 3.0, 5.0);
pub const GET_P50: Want = ratio("GET, 1 client, p50, ratio to upstream", 3.0, 5.0);
pub const GET_CPU: Want = ratio("GET, 16 clients, CPU per request, ratio to upstream (its CPU estimated, see README)", 5.0, 10.0);
pub const LIST_JSON: Want = ratio("LIST of 5,000 pods, JSON, p50, ratio to upstream", 3.0, 10.0);
pub const LIST_PROTOBUF: Want = ratio("LIST of 5,000 pods, protobuf, p50, ratio to upstream", 1.0, 3.0);
pub const LOG_PER_UPDATE: Want = at_most("log bytes per 2 KB update, one writer", 1.2, None, "×");
pub const BLOCKS_AT_64: Want = at_most("block bytes at 64 clients, by bytes created", 3.0, None, "×");
pub const FANOUT_SHARED: Want =
    at_most("a change to the last of 1,000 watchers over 10 h2 connections, p99", 50.0, Some(15.0), " ms");
pub const FANOUT_APART: Want =
    at_most("a change to the last of 1,000 watchers over 1,000 connections, p99", 50.0, Some(15.0), " ms");
pub const FIRST_START: Want = at_most("first start of `irori api` to /readyz", 2.0, Some(0.5), " s");
pub const RESTART: Want = at_most("restart of `irori api` with 10,000 objects to /readyz", 1.0, Some(0.2), " s");
pub const HOME_FIRST_START: Want = at_most("first start of a home to /readyz", 2.0, Some(0.5), " s");
pub const NODE_READY: Want = at_most("first start of a home to node Ready", 3.0, None, " s");
pub const FIRST_START_SLOW_DISK: Want = at_most("first start of `irori api` to /readyz, fsync of 20 ms", 3.0, Some(1.0), " s");
pub const RESTART_SLOW_DISK: Want =
    at_most("restart of `irori api` with 10,000 objects to /readyz, fsync of 20 ms", 3.0, Some(1.0), " s");
pub const IDLE_RSS: Want = at_most("RSS of irori and pauses, 10 pods", 100.0, Some(60.0), " MB");
pub const IDLE_PSS: Want = at_most("PSS of irori and pauses, 10 pods", 100.0, Some(60.0), " MB");
pub const IDLE_CPU: Want = at_most("idle CPU of irori, of a core", 1.0, Some(0.2), " %");
pub const IDLE_WRITTEN: Want = at_most("block bytes written an idle hour, irori and containerd", 1.0, Some(0.0), " MB");
pub const IDLE_READ_CAPPED: Want =
    at_most("block bytes read an idle hour by irori, memory capped at 1.2 × idle", 1.0, Some(0.0), " MB");
pub const IDLE_FAULTS_CAPPED: Want =
    at_most("major faults an idle hour of irori, memory capped at 1.2 × idle", 0.0, Some(0.0), "");
pub const SLOPE: Want =
    at_most("RSS slope of a whole home from 10,000 to 100,000 objects, by JSON × 1.5 + 300 B", 1.0, None, "×");
pub const POD_P50: Want = at_most("pod start, image present, one at a time, p50", 0.5, Some(0.25), " s");
pub const POD_P99: Want = at_most("pod start, image present, one at a time, p99", 1.5, None, " s");
pub const STORE_WRITES: Want = ratio_must("durable writes of 1 KB a second at 64 clients, ratio to etcd", 3.0);
pub const STORE_P99: Want = at_most("p99 of those writes, ratio to etcd", 1.0, None, "×");
pub const STORE_LOG: Want = at_most("log bytes per 2 KB update with 100,000 objects, one writer", 1.2, None, "×");
pub const STORE_SLOW_RATE: Want = at_least("durable writes a second at 100 clients, fsync of 20 ms", 1_000.0, "");
pub const STORE_SLOW_P99: Want = at_most("p99 of those writes", 120.0, None, " ms");

/// Upstream 1.36.2 with etcd 3.5 under the same load, recorded elsewhere on the same kind of machine (2 cores, x86).
pub mod upstream {
    pub const CREATES_PER_SECOND: [(u32, f64); 3] = [(1, 1008.0), (16, 2741.0), (64, 3187.0)];
    pub const GETS_PER_SECOND: [(u32, f64); 2] = [(1, 1578.0), (16, 5268.0)];
    pub const GET_P50_MS: [(u32, f64); 2] = [(1, 0.57), (16, 2.7)];
    pub const LIST_MS_JSON: f64 = 135.0;
    pub const LIST_MS_PROTOBUF: f64 = 73.0;
    /// Memory per object of 1 KB.
    pub const BYTES_PER_OBJECT: f64 = 14_600.0;
    pub const CORES: f64 = 2.0;
}

impl Want {
    /// `≤ 100 MB | 60 MB`
    pub fn bounds(&self) -> String {
        let sign = if self.direction == Direction::AtMost { "≤" } else { "≥" };
        let aim = self.aim.map_or_else(|| "–".to_owned(), |aim| format!("{aim}{}", self.unit));
        format!("{sign} {}{} | {aim}", self.must, self.unit)
    }

    pub fn show(&self, measured: f64) -> String {
        match measured {
            0.0 => format!("0{}", self.unit),
            m if m.abs() >= 100.0 => format!("{m:.0}{}", self.unit),
            m if m.abs() >= 10.0 => format!("{m:.1}{}", self.unit),
            m if m.abs() >= 0.1 => format!("{m:.2}{}", self.unit),
            m => format!("{m:.3}{}", self.unit),
        }
    }

    pub fn verdict(&self, measured: f64) -> &'static str {
        let reaches = |bound: f64| match self.direction {
            Direction::AtMost => measured <= bound,
            Direction::AtLeast => measured >= bound,
        };
        match self.aim {
            _ if !reaches(self.must) => "MISSES THE MUST",
            Some(aim) if reaches(aim) => "reaches the aim",
            _ => "holds",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_direction() {
        assert_eq!(CREATES.verdict(2.9), "MISSES THE MUST");
        assert_eq!(CREATES.verdict(3.0), "holds");
        assert_eq!(CREATES.verdict(5.0), "reaches the aim");
        assert_eq!(IDLE_RSS.verdict(100.1), "MISSES THE MUST");
        assert_eq!(IDLE_RSS.verdict(60.0), "reaches the aim");
        assert_eq!(POD_P99.verdict(0.1), "holds");
        assert_eq!(IDLE_RSS.bounds(), "≤ 100 MB | 60 MB");
    }
}
