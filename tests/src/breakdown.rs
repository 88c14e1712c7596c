//! What kinds of instruction an operation consists of, from the counts of the `portolan-counter` plugin.
//!
//! The plugin writes one line for each run of a marked region: `REGION 7 total=14100 cr3=20 …`. The guest
//! says which operation a region is and how often it runs (`MARK`). Of several runs the shortest is taken; and,
//! of the stretches with interrupts off, the longest.

use crate::record::{Figure, Mark};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// The parts of one operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Breakdown {
    /// The operation.
    #[serde(skip)]
    pub name: String,
    /// How many instructions of each kind one operation takes.
    #[serde(flatten)]
    pub parts: BTreeMap<String, f64>,
}

/// The counts of one run of a region, by kind.
type Counts = BTreeMap<String, u64>;

const TOTAL: &str = "total";
/// What is no count but the largest of many.
const LONGEST: &str = "longest";

/// Joins the plugin's lines with the guest's marks.
pub fn read(counts: &str, marks: &[Mark]) -> Result<Vec<Breakdown>> {
    let shortest = shortest_runs(counts)?;
    Ok(marks.iter().filter_map(|mark| per_operation(mark, shortest.get(&mark.region)?)).collect())
}

/// The longest stretch of the kernel's with interrupts off, in each operation.
pub fn stretches(counts: &str, marks: &[Mark]) -> Result<Vec<Figure>> {
    let mut longest: BTreeMap<u32, u64> = BTreeMap::new();
    for line in counts.lines() {
        let (region, counts) = run(line).with_context(|| format!("not a region: {line:?}"))?;
        let known = longest.entry(region).or_default();
        *known = counts.get(LONGEST).copied().unwrap_or(0).max(*known);
    }
    let figure = |mark: &Mark| {
        let (name, unit) = (format!("{}, interrupts off", mark.name), "at most".into());
        Some(Figure { name, value: *longest.get(&mark.region)?, unit })
    };
    Ok(marks.iter().filter_map(figure).collect())
}

fn shortest_runs(text: &str) -> Result<BTreeMap<u32, Counts>> {
    let mut shortest: BTreeMap<u32, Counts> = BTreeMap::new();
    for line in text.lines() {
        let (region, counts) = run(line).with_context(|| format!("not a region: {line:?}"))?;
        let known = shortest.entry(region).or_insert_with(|| counts.clone());
        if counts.get(TOTAL) < known.get(TOTAL) {
            *known = counts;
        }
    }
    Ok(shortest)
}

fn run(line: &str) -> Option<(u32, Counts)> {
    let mut words = line.strip_prefix("REGION ")?.split(' ');
    let region = words.next()?.parse().ok()?;
    let count = |word: &str| {
        let (kind, count) = word.split_once('=')?;
        Some((kind.to_owned(), count.parse().ok()?))
    };
    Some((region, words.map(count).collect::<Option<Counts>>()?))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_operation(mark: &Mark, counts: &Counts) -> Option<Breakdown> {
    let each = |count: u64| (count as f64 / mark.iterations as f64 * 10.0).round() / 10.0;
    let parts = counts.iter().filter(|(kind, _)| *kind != LONGEST).map(|(kind, &count)| (kind.clone(), each(count)));
    Some(Breakdown { name: mark.name.clone(), parts: parts.filter(|(_, n)| *n > 0.0).collect() })
}

impl Display for Breakdown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        self.parts.iter().try_for_each(|(kind, count)| write!(f, " {kind} {count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(region: u32, iterations: u64) -> Mark {
        Mark { region, name: "rpc_8".into(), iterations }
    }

    #[test]
    fn counts_are_shared_out_to_operations() {
        let all = read("REGION 7 total=14105 cr3=20 wrmsr=0\n", &[mark(7, 10)]).unwrap();
        assert_eq!(all[0].to_string(), "rpc_8: cr3 2 total 1410.5");
    }

    #[test]
    fn the_shortest_run_counts() {
        let all = read("REGION 7 total=30\nREGION 7 total=20\nREGION 7 total=25\n", &[mark(7, 10)]);
        assert_eq!(all.unwrap()[0].parts["total"], 2.0);
    }

    #[test]
    fn of_stretches_the_longest_counts_and_is_no_part() {
        let text = "REGION 7 total=30 longest=9\nREGION 7 total=20 longest=12\n";
        assert_eq!(stretches(text, &[mark(7, 10), mark(8, 1)]).unwrap().len(), 1);
        assert_eq!(stretches(text, &[mark(7, 10)]).unwrap()[0].value, 12);
        assert_eq!(read(text, &[mark(7, 10)]).unwrap()[0].to_string(), "rpc_8: total 2");
    }

    #[test]
    fn a_region_that_never_ran_is_left_out() {
        assert!(read("REGION 7 total=30\n", &[mark(8, 1)]).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_no_region_is_refused() {
        assert!(read("REGION 7 total=\n", &[mark(7, 1)]).is_err());
        assert!(read("TOTAL 9\n", &[]).is_err());
    }
}
