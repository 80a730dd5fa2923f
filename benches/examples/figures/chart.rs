//! The pictures.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::record::Record;
use crate::{Outcome, blocks};

const WIDTH: u32 = 720;
const BAR: i32 = 20;
const STEP: i32 = 28;
const HEAD: i32 = 62;
const LABELS: i32 = 190;
/// A bar that would be longer is cut, and its number says how long it is.
const LONGEST: f64 = 2.5;

const OURS: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const THEIRS: RGBColor = RGBColor(0xc7, 0x7c, 0x00);
const REFERENCE: RGBColor = RGBColor(0x7f, 0x7f, 0x7f);

/// Draws the mean time of a request by allocator, fastest first.
pub fn speed(record: &Record) -> Outcome<String> {
    let mut times = blocks::mean_times(record);
    times.sort_by(|one, other| one.1.total_cmp(&other.1));
    let middle = times.get(times.len() / 2).map_or(1.0, |time| time.1);
    let longest = times.iter().map(|time| time.1).fold(0.0, f64::max).min(LONGEST * middle);
    let height = HEAD + STEP * times.len() as i32 + 12;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let font = |size: i32| ("sans-serif", size).into_font();
        let title = format!(
            "Nanoseconds a request, geometric mean of {} recorded programs",
            record.sections.len()
        );
        root.draw_text(&title, &TextStyle::from(font(16)), (12, 12))?;
        let legend = "Blue: ours. Orange: others on a region. Grey: the system's. The harness is subtracted; shorter is better.";
        root.draw_text(legend, &TextStyle::from(font(13)), (12, 34))?;
        let full = f64::from(WIDTH as i32 - LABELS - 150);
        for (index, (name, time, passed)) in times.iter().enumerate() {
            let top = HEAD + STEP * index as i32;
            let colour = match *name {
                "system" => REFERENCE,
                name if name.starts_with("slab-") => OURS,
                _ => THEIRS,
            };
            let length = (full * (time / longest).min(1.0)).round() as i32;
            let right = Pos::new(HPos::Right, VPos::Center);
            let left = Pos::new(HPos::Left, VPos::Center);
            let middle = top + BAR / 2;
            root.draw_text(name, &TextStyle::from(font(14)).pos(right), (LABELS - 8, middle))?;
            root.draw(&Rectangle::new(
                [(LABELS, top), (LABELS + length, top + BAR)],
                colour.filled(),
            ))?;
            let mut number = format!("{time:.1}");
            if *time > longest {
                number += ", cut";
            }
            if *passed < record.sections.len() {
                number += &format!(" ({passed} of {})", record.sections.len());
            }
            root.draw_text(
                &number,
                &TextStyle::from(font(14)).pos(left),
                (LABELS + length + 6, middle),
            )?;
        }
        root.present()?;
    }
    Ok(text)
}
