//! One colour per allocator, the same in every chart of every report.
//!
//! The colours are those of Okabe and Ito and their neighbours, which people with the usual colour
//! blindnesses can tell apart, adjusted until each contrasts with a white and with a nearly black
//! page. No chart relies on colours: every bar and curve has a name. Modes that are not a crate's
//! default have separate colours, so that they do not look like a recommendation.

use slab_peers::{Checks, Contender, Side, contenders};

const OURS: [&str; 6] = ["#0072b2", "#3b8fd0", "#5b6abf", "#00838f", "#4f86c6", "#7a6fb5"];
const RIVALS: [&str; 8] =
    ["#c77c00", "#009e73", "#d55e00", "#b5598f", "#87870f", "#a0522d", "#8a6fa8", "#5f8a3c"];
const CHECKS_OFF: &str = "#a86b8f";
const MORE_CHECKS: &str = "#8d7a66";
const REFERENCE: &str = "#7f7f7f";

/// Returns the colour of an allocator: by its place in the registry, not in the results.
pub(super) fn colour(allocator: &str) -> &'static str {
    let Some(contender) = Contender::named(allocator) else { return REFERENCE };
    match contender.checks() {
        Checks::Default => {}
        Checks::Off => return CHECKS_OFF,
        Checks::More => return MORE_CHECKS,
    }
    let side = contender.side();
    let peers = contenders().iter().filter(|peer| peer.side() == side);
    let place = peers.take_while(|peer| peer.name() != allocator).count();
    match side {
        Side::Ours => OURS[place % OURS.len()],
        Side::Rival => RIVALS[place % RIVALS.len()],
        Side::Reference => REFERENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of the web's accessibility guidelines.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).expect("hexadecimal");
            match f64::from(value) / 255.0 {
                value @ ..=0.04045 => value / 12.92,
                value => ((value + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn every_colour_stands_out_from_both_pages() {
        let style = crate::html::page::STYLE;
        let page = |name: &str| {
            let at = style.match_indices(name).map(|(at, _)| at + name.len());
            at.map(|at| &style[at..at + 7]).collect::<Vec<_>>()
        };
        let pages = page("--page: ");
        assert_eq!(pages.len(), 2, "a light and a dark page");
        for colour in OURS.iter().chain(&RIVALS).chain([&CHECKS_OFF, &MORE_CHECKS, &REFERENCE]) {
            for page in &pages {
                assert!(contrast(colour, page) >= 3.0, "{colour} on {page}");
            }
        }
    }

    #[test]
    fn no_two_allocators_share_a_colour() {
        let colours: Vec<_> = contenders().iter().map(|peer| colour(peer.name())).collect();
        for (index, colour) in colours.iter().enumerate() {
            assert!(!colours[..index].contains(colour), "{colour}");
        }
    }
}
