//! A chart of horizontal bars from zero, each with its name and value.

use maud::{Markup, html};

/// One bar.
pub(super) struct Bar {
    /// Its name.
    pub(super) name: String,
    /// Its length; `None` for a row without a bar.
    pub(super) value: Option<f64>,
    /// The text beside it: the value with its unit, or why there is none.
    pub(super) said: String,
    /// Its colour in CSS.
    pub(super) colour: &'static str,
}

/// A chart of bars.
pub(super) struct Bars<'a> {
    /// The title.
    pub(super) title: &'a str,
    /// How to read it.
    pub(super) note: &'a str,
    /// Whether a bar out of proportion is cut, so that the others can be compared.
    pub(super) may_tear: bool,
    /// From top to bottom.
    pub(super) bars: Vec<Bar>,
}

/// A bar longer than this many times the median is out of proportion.
const TIMES_MEDIAN_MAX: f64 = 4.0;

impl Bars<'_> {
    /// Draws the chart.
    pub(super) fn draw(&self) -> Markup {
        let full = self.full_length();
        let torn = self.bars.iter().any(|bar| bar.value.is_some_and(|value| value > full));
        html! {
            figure.chart {
                figcaption {
                    b { (self.title) }
                    @if !self.note.is_empty() { " " (self.note) }
                    @if torn { " Bars with a torn end go on beyond the chart." }
                }
                ul.bars {
                    @for bar in &self.bars {
                        li {
                            span.name { (bar.name) }
                            @match bar.value {
                                Some(value) => {
                                    span.track {
                                        span.bar.torn[value > full] style=(bar.style(value / full)) {}
                                        span.value { (bar.said) }
                                    }
                                }
                                None => span.track { span.failed { (bar.said) } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Returns the value of a full bar: the largest one that is not out of proportion.
    fn full_length(&self) -> f64 {
        let mut values: Vec<f64> = self.bars.iter().filter_map(|bar| bar.value).collect();
        values.sort_by(f64::total_cmp);
        let Some(&median) = values.get(values.len() / 2) else { return 1.0 };
        let most = if self.may_tear { median * TIMES_MEDIAN_MAX } else { f64::INFINITY };
        let fits = values.iter().copied().filter(|&value| value <= most);
        fits.fold(f64::MIN_POSITIVE, f64::max)
    }
}

impl Bar {
    /// Returns length and colour; the style sheet keeps a part of the track free for the value.
    fn style(&self, part: f64) -> String {
        format!("--part:{:.4};background:{}", part.clamp(0.0, 1.0), self.colour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64], may_tear: bool) -> String {
        let bar = |&value: &f64| Bar {
            name: "a".to_owned(),
            value: Some(value),
            said: String::new(),
            colour: "red",
        };
        let bars = values.iter().map(bar).collect();
        Bars { title: "t", note: "", may_tear, bars }.draw().into_string()
    }

    #[test]
    fn bars_are_in_proportion_and_begin_at_zero() {
        let text = chart(&[2.0, 4.0, 8.0], true);
        for part in ["--part:0.2500", "--part:0.5000", "--part:1.0000"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("torn"), "{text}");
    }

    #[test]
    fn one_that_is_out_of_proportion_is_torn() {
        let text = chart(&[2.0, 4.0, 400.0], true);
        assert!(text.contains("--part:0.5000") && text.contains("torn end"), "{text}");
        assert_eq!(text.matches("bar torn").count(), 1, "{text}");
        let whole = chart(&[2.0, 4.0, 400.0], false);
        assert!(whole.contains("--part:0.0100") && !whole.contains("torn"), "{whole}");
    }

    #[test]
    fn nothing_and_zero_are_drawn_too() {
        assert!(!chart(&[], true).contains("NaN"));
        assert!(chart(&[0.0, -3.0], true).contains("--part:0.0000"));
    }
}
