//! A plain picture of a machine: states in columns by their distance from `[*]`, one arrow for
//! each pair of states, its events beside it.

use super::Machine;
use std::collections::BTreeMap;
use std::fmt::Write;

const COLUMN: f64 = 290.0;
const ROW: f64 = 150.0;
const WIDTH: f64 = 150.0;
const HEIGHT: f64 = 36.0;
const MARGIN: f64 = 90.0;

pub(super) fn draw(machine: &Machine, current: Option<&str>) -> String {
    let states = machine.states();
    let places = places(machine, &states);
    let columns = places.values().map(|(x, _)| *x).fold(0.0, f64::max);
    let rows = places.values().map(|(_, y)| *y).fold(0.0, f64::max);
    let (width, height) = (columns + WIDTH + 2.0 * MARGIN, rows + HEIGHT + 2.0 * MARGIN);
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" role=\"img\" aria-label=\"{}\">\n\
         <style>rect{{fill:#fff;stroke:#345}}.now{{fill:#bde}}path{{fill:none;stroke:#678}}\
         text{{fill:#123;text-anchor:middle}}.e{{fill:#456;font-size:9px}}</style>\n\
         <defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" style=\"fill:#678\"/></marker></defs>\n",
        machine.title
    );
    let mut arrows: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    let index = |name: &str| states.iter().position(|state| *state == name).unwrap_or(0);
    for transition in &machine.transitions {
        let pair = (index(&transition.from), index(&transition.to));
        arrows.entry(pair).or_default().push(label(transition));
    }
    for ((from, to), labels) in &arrows {
        arrow(&mut out, places[states[*from]], places[states[*to]], labels);
    }
    for state in &states {
        let (x, y) = places[state];
        let class = if current == Some(*state) {
            " class=\"now\""
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<rect{class} x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\
             <text x=\"{}\" y=\"{}\">{state}</text>",
            x + WIDTH / 2.0,
            y + HEIGHT / 2.0 + 4.0
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Long guards belong into the table.
fn label(transition: &super::Transition) -> String {
    match transition.guard.len() {
        0 => transition.event.clone(),
        1 | 2 => transition.label(),
        _ => format!("{} […]", transition.event),
    }
}

/// Columns by the number of events from `[*]`, rows in the order of the states.
fn places<'a>(machine: &'a Machine, states: &[&'a str]) -> BTreeMap<&'a str, (f64, f64)> {
    let mut distance: BTreeMap<&str, usize> = BTreeMap::from([("[*]", 0)]);
    for step in 0..states.len() {
        for transition in &machine.transitions {
            if distance.get(transition.from.as_str()) == Some(&step) {
                distance.entry(&transition.to).or_insert(step + 1);
            }
        }
    }
    let mut used: BTreeMap<usize, usize> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for state in states {
        let column = distance.get(state).copied().unwrap_or(0);
        let row = used.entry(column).or_default();
        // Neighbouring columns are shifted, so that arrows between far ones pass between boxes.
        let shift = if column % 2 == 1 { ROW / 2.0 } else { 0.0 };
        let (x, y) = (column as f64 * COLUMN, *row as f64 * ROW + shift);
        out.insert(*state, (MARGIN + x, MARGIN + y));
        *row += 1;
    }
    out
}

fn arrow(out: &mut String, from: (f64, f64), to: (f64, f64), labels: &[String]) {
    let middle = |(x, y): (f64, f64)| (x + WIDTH / 2.0, y + HEIGHT / 2.0);
    let (label_x, label_y);
    if from == to {
        let (x, y) = (from.0 + WIDTH / 2.0, from.1);
        let _ = writeln!(
            out,
            "<path marker-end=\"url(#a)\" d=\"M{} {y}C{} {} {} {} {} {y}\"/>",
            x - 20.0,
            x - 30.0,
            y - 34.0,
            x + 30.0,
            y - 34.0,
            x + 20.0
        );
        (label_x, label_y) = (x, y - 28.0 - 10.0 * labels.len() as f64 + 10.0);
    } else {
        let ((ax, ay), (bx, by)) = (middle(from), middle(to));
        let (dx, dy) = (bx - ax, by - ay);
        let length = (dx * dx + dy * dy).sqrt();
        // There and back bend to different sides; inside a column, past the boxes between.
        let bend = match (dx == 0.0, length > ROW) {
            (true, true) => WIDTH + 0.25 * length,
            (true, false) => 0.4 * length,
            _ => 0.12 * length,
        };
        let (cx, cy) = (
            (ax + bx) / 2.0 - dy / length * bend,
            (ay + by) / 2.0 + dx / length * bend,
        );
        let (sx, sy) = edge((ax, ay), (cx, cy));
        let (ex, ey) = edge((bx, by), (cx, cy));
        let _ = writeln!(
            out,
            "<path marker-end=\"url(#a)\" d=\"M{sx:.1} {sy:.1}Q{cx:.1} {cy:.1} {ex:.1} {ey:.1}\"/>"
        );
        (label_x, label_y) = ((ax + bx) / 4.0 + cx / 2.0, (ay + by) / 4.0 + cy / 2.0);
    }
    for (i, label) in labels.iter().enumerate() {
        let y = label_y + 10.0 * i as f64;
        let _ = writeln!(
            out,
            "<text class=\"e\" x=\"{label_x:.1}\" y=\"{y:.1}\">{label}</text>"
        );
    }
}

/// Where the line from a box's middle towards a point leaves the box.
fn edge((x, y): (f64, f64), (tx, ty): (f64, f64)) -> (f64, f64) {
    let (dx, dy) = (tx - x, ty - y);
    let across = if dx == 0.0 {
        f64::INFINITY
    } else {
        (WIDTH / 2.0) / dx.abs()
    };
    let down = if dy == 0.0 {
        f64::INFINITY
    } else {
        (HEIGHT / 2.0) / dy.abs()
    };
    let part = across.min(down).min(1.0);
    (x + dx * part, y + dy * part)
}
