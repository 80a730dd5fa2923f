//! Numbers and lists as text.

/// Writes a number of bytes with its unit.
pub(crate) fn bytes(count: usize) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{:.0} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// Writes a number with a comma before every three digits.
pub(crate) fn count(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number and a noun whose plural ends in `s`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Writes a ratio.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        ..2.0 => format!("{ratio:.2} ×"),
        ..10.0 => format!("{ratio:.1} ×"),
        _ => format!("{} ×", count(ratio.round() as usize)),
    }
}

/// Writes a part of a whole.
pub(crate) fn percent(part: f64) -> String {
    match part * 100.0 {
        ..0.005 => "less than 0.01 %".to_owned(),
        percent if percent.fract() < 1e-9 => format!("{percent:.0} %"),
        percent @ ..0.995 => format!("{percent:.2} %"),
        percent @ ..9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// Writes a time with its unit.
pub(crate) fn nanoseconds(ns: f64) -> String {
    match ns {
        ..9.95 => format!("{ns:.1} ns"),
        ..9_999.5 => format!("{} ns", count(ns.round() as usize)),
        ..999_500.0 => format!("{} µs", significant(ns / 1e3)),
        ..1e9 => format!("{} ms", significant(ns / 1e6)),
        _ => format!("{} s", significant(ns / 1e9)),
    }
}

/// Writes a number, with one decimal if it is small.
fn significant(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { count(value.round() as usize) }
}

/// Writes `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[impl AsRef<str>]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [head @ .., last] => {
            let head: Vec<&str> = head.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", head.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [count(7), count(999), count(1000), count(1_234_567)].join(" "),
            "7 999 1,000 1,234,567"
        );
        assert_eq!([bytes(10), bytes(20_480), bytes(1 << 24)].join(" "), "10 B 20 KiB 16.0 MiB");
        assert_eq!([times(1.064), times(5.71), times(181.9)].join(" "), "1.06 × 5.7 × 182 ×");
        let parts = [0.0, 0.00004, 0.0046, 0.01, 0.255, 1.0].map(percent);
        assert_eq!(
            parts.join(", "),
            "less than 0.01 %, less than 0.01 %, 0.46 %, 1 %, 26 %, 100 %"
        );
        let ns = [5.75, 9.97, 447.4, 12_345.0, 2.74e6, 2.7e7, 3e9].map(nanoseconds);
        assert_eq!(ns.join(" "), "5.8 ns 10 ns 447 ns 12 µs 2.7 ms 27 ms 3.0 s");
        assert_eq!(
            [counted(1, "request"), counted(0, "request")].join(", "),
            "1 request, 0 requests"
        );
        assert_eq!(list(&[""; 0]), "");
        assert_eq!([list(&["a"]), list(&["a", "b", "c"])].join(" "), "a a, b and c");
    }
}
