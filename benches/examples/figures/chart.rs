//! The charts, as SVG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use slab_lab::plot::with_dark_mode;

use crate::record::Record;
use crate::{Outcome, blocks};

const WIDTH: u32 = 720;
const BAR: i32 = 20;
const STEP: i32 = 28;
const HEAD: i32 = 80;
const LABELS: i32 = 190;
/// Longer bars, as a multiple of the middle one, are cut; the number beside a cut bar is whole.
const LONGEST: f64 = 2.5;

const OURS: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const CHECKS_OFF: RGBColor = RGBColor(0xa8, 0x6b, 0x8f);
const MORE_CHECKS: RGBColor = RGBColor(0x8d, 0x7a, 0x66);
const THEIRS: RGBColor = RGBColor(0xc7, 0x7c, 0x00);
const REFERENCE: RGBColor = RGBColor(0x7f, 0x7f, 0x7f);

/// One bar: name, length, and the number of programs.
pub type Bar<'a> = (&'a str, f64, usize);

/// Draws the mean time of a request by allocator, the fastest first.
pub fn speed(record: &Record) -> Outcome<String> {
    let programs = record.sections.len();
    let title = format!("Nanoseconds per request, geometric mean of {programs} recorded programs");
    draw(
        &title,
        "The harness is subtracted; shorter is better.",
        blocks::mean_times(record),
        programs,
        1,
    )
}

/// Draws the smallest region in which the programs run, by allocator.
pub fn memory(record: &Record) -> Outcome<String> {
    let programs = record.sections.len();
    let title = format!(
        "Smallest region, over the least of all, geometric mean of {programs} recorded programs"
    );
    let bars = blocks::mean_over_least(record, "arena");
    draw(&title, "Shorter is better; malloc has no region.", bars, programs, 2)
}

fn draw(
    title: &str,
    note: &str,
    mut bars: Vec<Bar<'_>>,
    programs: usize,
    decimals: usize,
) -> Outcome<String> {
    bars.sort_by(|one, other| one.1.total_cmp(&other.1));
    let middle = bars.get(bars.len() / 2).map_or(1.0, |bar| bar.1);
    let longest = bars.iter().map(|bar| bar.1).fold(0.0, f64::max).min(LONGEST * middle);
    let height = HEAD + STEP * bars.len() as i32 + 12;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let font = |size: i32| ("sans-serif", size).into_font();
        root.draw_text(title, &TextStyle::from(font(16)), (12, 12))?;
        let legend =
            "Blue: ours; purple: checks off; brown: more checks. Orange: rivals. Grey: malloc.";
        root.draw_text(legend, &TextStyle::from(font(13)), (12, 34))?;
        root.draw_text(note, &TextStyle::from(font(13)), (12, 52))?;
        let full = f64::from(WIDTH as i32 - LABELS - 150);
        for (index, (name, value, passed)) in bars.iter().enumerate() {
            let top = HEAD + STEP * index as i32;
            let colour = match *name {
                "system" => REFERENCE,
                "slab-bytes/unchecked" => CHECKS_OFF,
                "slab-bytes/hardened" => MORE_CHECKS,
                name if name.starts_with("slab-") => OURS,
                _ => THEIRS,
            };
            let length = (full * (value / longest).min(1.0)).round() as i32;
            let right = Pos::new(HPos::Right, VPos::Center);
            let left = Pos::new(HPos::Left, VPos::Center);
            let middle = top + BAR / 2;
            root.draw_text(name, &TextStyle::from(font(14)).pos(right), (LABELS - 8, middle))?;
            let corners = [(LABELS, top), (LABELS + length, top + BAR)];
            root.draw(&Rectangle::new(corners, colour.filled()))?;
            let mut number = format!("{value:.decimals$}");
            if *value > longest {
                number += ", cut";
            }
            if *passed < programs {
                number += &format!(" ({passed} of {programs})");
            }
            let place = (LABELS + length + 6, middle);
            root.draw_text(&number, &TextStyle::from(font(14)).pos(left), place)?;
        }
        root.present()?;
    }
    Ok(with_dark_mode(&text))
}
