//! How tables are laid out, and the shapes that several pages share.
//!
//! A ratio is ours over theirs: below one ours is faster, or smaller. Where it is above, it is bold.

use crate::record::Section;

/// Writes a ratio of ours to another: bold where ours is worse.
pub fn over(ratio: Option<f64>) -> String {
    let Some(ratio) = ratio else { return "–".to_owned() };
    let text = match ratio {
        ..0.0005 => "< 0.001".to_owned(),
        ..0.0995 => format!("{ratio:.3}"),
        ..9.995 => format!("{ratio:.2}"),
        _ => format!("{ratio:.0}"),
    };
    if ratio >= 1.005 { format!("**{text}**") } else { text }
}

/// Lays out a Markdown table.
pub fn table(head: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head);
    text += &format!("|---|{}\n", "---:|".repeat(head.len() - 1));
    rows.into_iter().for_each(|row| text += &line(&row));
    text
}

pub fn owned<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

pub fn as_it_is(section: &Section) -> String {
    table(&section.rows[0], section.rows[1..].iter().cloned())
}

pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the contenders that are not ours, in the section's order. The harness is a bound and not a rival.
fn rivals(section: &Section) -> Vec<&str> {
    section.names().filter(|name| !name.starts_with("slab-") && *name != "harness").collect()
}

/// A table for each run of sections with the same rivals: a row for each of ours in each section, a column for each
/// rival.
pub fn versus<'a>(sections: impl IntoIterator<Item = &'a Section>, ours: &[&str]) -> String {
    let sections: Vec<&Section> = sections.into_iter().collect();
    let runs = sections.chunk_by(|one, next| rivals(one) == rivals(next));
    runs.map(|run| versus_same(run, ours)).collect::<Vec<_>>().join("\n")
}

fn versus_same(sections: &[&Section], ours: &[&str]) -> String {
    let rivals = rivals(sections[0]);
    let mut rows = Vec::new();
    for section in sections {
        let here: Vec<&str> =
            ours.iter().copied().filter(|ours| section.names().any(|name| name == *ours)).collect();
        for &name in &here {
            let title = section.title.replace(", ns per pair", "");
            let label = if here.len() > 1 { format!("{title}: {name}") } else { title };
            let ratios = rivals.iter().map(|rival| {
                let ratio = over(section.ratio(name, rival, "ns/op"));
                // The work without an allocator is a bound and not a rival.
                if *rival == "no allocator" { ratio.replace("**", "") } else { ratio }
            });
            rows.push([label].into_iter().chain(ratios).collect());
        }
    }
    let head = ["time of ours over that of"].into_iter().chain(rivals);
    table(&owned(head), rows)
}

pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = values.into_iter().map(f64::ln).collect();
    (!logarithms.is_empty())
        .then(|| (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}
