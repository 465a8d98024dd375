/// Seconds in words, to two units at most.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let (whole, rest) = match seconds {
        0..60 => (format!("{seconds} s"), None),
        60..600 => (format!("{minutes} min"), Some((seconds % 60, "s"))),
        600..3_600 => (format!("{minutes} min"), None),
        3_600..86_400 => (format!("{hours} h"), Some((minutes, "min"))),
        _ => (format!("{days} d"), Some((hours, "h"))),
    };
    match rest {
        Some((rest, unit)) if rest > 0 => format!("{whole} {rest} {unit}"),
        _ => whole,
    }
}
