//! Draws a heap over time as SVG: bytes, fragmentation, and a map of the heap.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::replay::{Area, HeapMap, SHADES, Samples};

/// The result of a drawing step.
type Outcome<T> = Result<T, Box<dyn Error>>;
type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1000, 900);
const FONT: (&str, u32) = ("sans-serif", 14);
const LIVE: RGBColor = RGBColor(0x1b, 0x7f, 0x79);
const PAGES: RGBColor = RGBColor(0xe0, 0x8e, 0x1b);
const TOUCHED: RGBColor = RGBColor(0xc8, 0x4a, 0x3c);

/// The most rows of the map.
const ROWS: usize = 180;

/// Draws samples under a title and returns the text of the SVG file.
///
/// # Errors
///
/// If the drawing library fails; the text is its error.
pub fn svg(title: &str, samples: &Samples) -> Result<String, String> {
    let mut text = String::new();
    draw(&mut text, title, samples).map_err(|error| error.to_string())?;
    Ok(with_dark_mode(&text))
}

/// Adds dark colours to a drawing of black on white, for readers whose system is set to them.
pub fn with_dark_mode(svg: &str) -> String {
    const STYLE: &str = r##"
<style>@media (prefers-color-scheme: dark) {
[fill="#FFFFFF"] { fill: #14181c } [fill="#000000"] { fill: #e4e8ec } [stroke="#000000"] { stroke: #e4e8ec }
}</style>"##;
    match svg.split_once('>') {
        Some((start, rest)) => format!("{start}>{STYLE}{rest}"),
        None => svg.to_owned(),
    }
}

fn draw(text: &mut String, title: &str, samples: &Samples) -> Outcome<()> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 20))?;
    let (bytes, rest) = root.split_vertically(300);
    let (fragmentation, map) = rest.split_vertically(180);
    draw_bytes(&bytes, samples)?;
    draw_fragmentation(&fragmentation, samples)?;
    draw_map(&map, samples)?;
    root.present()?;
    Ok(())
}

/// Writes the number at a tick.
fn whole(number: &f64) -> String {
    format!("{number:.0}")
}

fn operations(samples: &Samples) -> f64 {
    samples.moments.last().map_or(1.0, |last| last.operation.max(1) as f64)
}

fn draw_bytes(canvas: &Canvas<'_>, samples: &Samples) -> Outcome<()> {
    // The legend takes the space above the highest line.
    let kib = |bytes: usize| bytes as f64 / 1024.0;
    let top = samples.moments.iter().map(|moment| kib(moment.touched_bytes)).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(canvas)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..operations(samples), 0.0..top * 1.4)?;
    chart
        .configure_mesh()
        .label_style(FONT)
        .y_desc("KiB")
        .y_label_formatter(&whole)
        .x_label_formatter(&whole)
        .light_line_style(TRANSPARENT)
        .draw()?;
    type Bytes = fn(&crate::replay::Moment) -> usize;
    let lines: [(&str, RGBColor, Bytes); 3] = [
        ("pages ever touched by blocks", TOUCHED, |moment| moment.touched_bytes),
        ("pages under live blocks", PAGES, |moment| moment.page_bytes),
        ("live bytes", LIVE, |moment| moment.live_bytes),
    ];
    for (name, colour, value) in lines {
        let points = samples.moments.iter().map(|m| (m.operation as f64, kib(value(m))));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .label_font(FONT)
        .draw()?;
    Ok(())
}

fn draw_fragmentation(canvas: &Canvas<'_>, samples: &Samples) -> Outcome<()> {
    let mut chart = ChartBuilder::on(canvas)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..operations(samples), 0.0..100.0)?;
    chart
        .configure_mesh()
        .label_style(FONT)
        .y_desc("% of pages unused")
        .y_labels(5)
        .y_label_formatter(&whole)
        .x_label_formatter(&whole)
        .light_line_style(TRANSPARENT)
        .draw()?;
    let points = samples.moments.iter().map(|m| (m.operation as f64, 100.0 * m.fragmentation()));
    chart.draw_series(LineSeries::new(points, PAGES.stroke_width(2)))?;
    Ok(())
}

fn draw_map(canvas: &Canvas<'_>, samples: &Samples) -> Outcome<()> {
    let map = HeapMap::new(samples, ROWS);
    let row_kib = map.row_bytes as f64 / 1024.0;
    let mut chart = ChartBuilder::on(canvas)
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..operations(samples), 0.0..map.rows as f64 * row_kib)?;
    chart
        .configure_mesh()
        .label_style(FONT)
        .x_desc("requests; the stronger the colour, the more of the place is live")
        .y_desc("KiB from the region's start")
        .y_label_formatter(&whole)
        .x_label_formatter(&whole)
        .disable_mesh()
        .draw()?;
    let operation = |moment: usize| {
        samples.moments.get(moment).map_or(operations(samples), |moment| moment.operation as f64)
    };
    for Area { moments, rows, shade } in map.areas {
        let y = |row: usize| row as f64 * row_kib;
        let corners =
            [(operation(moments.start), y(rows.start)), (operation(moments.end), y(rows.end))];
        let colour = LIVE.mix(f64::from(shade) / f64::from(SHADES));
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_whole_and_dark_mode_has_colours() {
        let mut samples = Samples::new(0..1 << 20, 2);
        samples.observe(0, &[(0, 5000)].into_iter().collect());
        samples.observe(1, &[(0, 9000)].into_iter().collect());
        let drawing = svg("a drawing", &samples).expect("it can be drawn");
        assert!(drawing.contains("prefers-color-scheme: dark"), "{drawing}");
        let ticks: Vec<&str> = drawing.lines().filter(|line| line.parse::<f64>().is_ok()).collect();
        assert!(ticks.len() > 10 && ticks.iter().all(|tick| !tick.contains('.')), "{ticks:?}");
    }
}
