//! Measurements beside those of other kernels: a table for people, JSON for programs.
//!
//! The peers' figures are data (`tests/peers.json`, with their source); they were counted by the same
//! method on the same virtual machine. They are guest instructions, not time on hardware.

use crate::breakdown::Breakdown;
use crate::record::Figure;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// The kernels that ours is compared with, in the order of the columns.
const PEERS: [&str; 3] = ["seL4", "GNU Mach", "Linux"];

/// The peers' figures.
#[derive(Debug, Deserialize)]
pub struct Peers {
    source: String,
    operations: Vec<Operation>,
}

/// What the peers need for one operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    #[serde(skip_serializing)]
    name: String,
    title: String,
    #[serde(rename = "seL4")]
    sel4: Option<u64>,
    #[serde(rename = "GNU Mach")]
    gnu_mach: Option<u64>,
    #[serde(rename = "Linux")]
    linux: Option<u64>,
    note: Option<String>,
}

/// Our figures beside the peers'.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// How the peers were measured.
    source: String,
    /// One row a figure, in the order of measuring.
    figures: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    value: u64,
    unit: String,
    peers: Operation,
    #[serde(skip_serializing_if = "Option::is_none")]
    breakdown: Option<Breakdown>,
}

/// Fails at the first figure in which two runs differ: counted instructions must not.
pub fn same(one: &[Figure], other: &[Figure]) -> Result<()> {
    ensure!(one.len() == other.len(), "{} figures, then {}", one.len(), other.len());
    for (first, second) in one.iter().zip(other) {
        ensure!(first == second, "two runs differ: {first:?}, then {second:?}");
    }
    Ok(())
}

impl Peers {
    /// The figures that this tree carries.
    pub fn known() -> Result<Self> {
        serde_json::from_str(include_str!("../peers.json")).context("in tests/peers.json")
    }

    /// Sets figures beside the peers'; an operation that no peer has stands alone.
    pub fn compare(self, figures: &[Figure], breakdowns: &[Breakdown]) -> Comparison {
        let figures = figures.iter().map(|figure| self.row(figure, breakdowns)).collect();
        Comparison { source: self.source, figures }
    }

    fn row(&self, figure: &Figure, breakdowns: &[Breakdown]) -> Row {
        let known = self.operations.iter().find(|operation| operation.name == figure.name);
        let unknown = || Operation { title: figure.name.clone(), ..Operation::default() };
        Row {
            name: figure.name.clone(),
            value: figure.value,
            unit: figure.unit.clone(),
            peers: known.cloned().unwrap_or_else(unknown),
            breakdown: breakdowns.iter().find(|parts| parts.name == figure.name).cloned(),
        }
    }
}

impl Comparison {
    /// The same as JSON.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:40} {:>12} {:14}", "", "Portolan", "")?;
        PEERS.iter().try_for_each(|peer| write!(f, " {peer:>13}"))?;
        writeln!(f)?;
        for row in &self.figures {
            write!(f, "{:40} {:>12} {:14}", row.peers.title, grouped(row.value), row.unit)?;
            for figure in [row.peers.sel4, row.peers.gnu_mach, row.peers.linux] {
                write!(f, " {:>13}", figure.map_or("-".into(), grouped))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\nThe peers: {}", self.source)
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = (digits.len() + 2) % 3 + 1;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        text.push(',');
        text.extend(group.iter().map(|&digit| char::from(digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, value: u64) -> Figure {
        Figure { name: name.into(), value, unit: "instructions".into() }
    }

    #[test]
    fn the_peers_data_can_be_read_and_names_each_operation_once() {
        let peers = Peers::known().unwrap();
        let mut names: Vec<_> = peers.operations.iter().map(|one| &one.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), peers.operations.len());
    }

    #[test]
    fn a_figure_stands_beside_its_peers() {
        let table = Peers::known().unwrap().compare(&[figure("rpc_8", 1410)], &[]).to_string();
        let row = table.lines().nth(1).unwrap();
        let words: Vec<_> = row.split_whitespace().rev().take(5).collect();
        assert_eq!(words, ["9,111", "1,659", "425", "instructions", "1,410"]);
    }

    #[test]
    fn an_operation_without_peers_is_shown_too() {
        let table = Peers::known().unwrap().compare(&[figure("somersault", 7)], &[]).to_string();
        assert!(table.lines().nth(1).unwrap().starts_with("somersault"));
    }

    #[test]
    fn json_holds_what_was_measured() {
        let json = Peers::known().unwrap().compare(&[figure("rpc_8", 1410)], &[]).json().unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["figures"][0]["name"], "rpc_8");
        assert_eq!(value["figures"][0]["value"], 1410);
        assert_eq!(value["figures"][0]["peers"]["GNU Mach"], 1659);
    }

    #[test]
    fn two_runs_must_give_the_same_figures() {
        let figures = [figure("rpc_8", 1410), figure("rpc_32", 1420)];
        assert!(same(&figures, &figures).is_ok());
        assert!(same(&figures, &figures[..1]).is_err());
        assert!(same(&figures[..1], &[figure("rpc_8", 1411)]).is_err());
    }

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 12, 999, 1000, 48_000_000];
        assert_eq!(numbers.map(grouped), ["0", "12", "999", "1,000", "48,000,000"]);
    }
}
