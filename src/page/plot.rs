use std::fmt::Write;

use super::html::Element;

/// Pixels between the beginnings of two bars.
const SLOT: usize = 8;
/// Pixels of a bar.
const BAR: usize = 6;
/// Bars.
const SLOTS: usize = super::POLLS;
/// Pixels.
const WIDTH: usize = SLOTS * SLOT;
/// Pixels of the tallest bar.
const HEIGHT: usize = 56;

/// Values of one kind, the oldest first.
pub(super) struct Series {
    /// Its colour in the stylesheet.
    pub class: &'static str,
    /// Its values. One that is not known has no bar.
    pub values: Vec<Option<f64>>,
}

/// Marks of one kind, by the places of their polls, the oldest poll first.
pub(super) struct Marks {
    /// Its colour in the stylesheet.
    pub class: &'static str,
    /// What shows it, drawn from its left upper corner in six pixels by eight.
    pub shape: &'static str,
    /// What shows it to those who do not see colours or shapes that well.
    pub letter: char,
    /// Where it is.
    pub places: Vec<usize>,
}

/// How tall bars are.
pub(super) struct Scale {
    /// What fills the plot.
    top: f64,
    /// The greatest sum of a poll.
    pub most: f64,
}

impl Scale {
    /// One on which most bars can be compared: a first import would press everything else to the ground.
    pub fn of(series: &[Series]) -> Scale {
        let mut sums: Vec<f64> = (0..polls(series)).map(|place| sum(series, place)).collect();
        sums.retain(|sum| *sum > 0.0);
        sums.sort_by(f64::total_cmp);
        let most = sums.last().copied().unwrap_or(0.0);
        let usual = sums.get(sums.len().saturating_sub(1) * 95 / 100);
        Scale {
            top: usual.map_or(0.0, |usual| most.min(2.0 * usual)),
            most,
        }
    }

    /// Whether a bar is taller than the plot.
    pub fn cuts(&self) -> bool {
        self.most > self.top
    }

    /// Pixels of a part of a sum. One that is there is seen, however small.
    fn height(&self, part: f64, sum: f64) -> usize {
        if part <= 0.0 {
            return 0;
        }
        // Others of the stack may be rounded up to a pixel, too.
        let room = (HEIGHT - 3) as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let height = (part / self.top.max(sum) * room).round() as usize;
        height.max(1)
    }
}

/// Bars, the newest at the right edge. Series are stacked, the first one at the bottom.
pub(super) fn bars(
    id: &str,
    title: &str,
    description: &str,
    series: &[Series],
    scale: &Scale,
) -> Element {
    let polls = polls(series);
    let sums: Vec<f64> = (0..polls).map(|place| sum(series, place)).collect();
    let mut floors = vec![0_usize; polls];
    let mut paths = Vec::new();
    for one in series {
        let mut path = String::new();
        for (place, (floor, sum)) in floors.iter_mut().zip(&sums).enumerate() {
            let height = scale.height(one.value(place), *sum);
            if height > 0 {
                let (x, top) = (left(place, polls), HEIGHT.saturating_sub(*floor + height));
                // Writing into a string never fails.
                let _ = write!(path, "M{x} {top}h{BAR}v{height}h-{BAR}z");
            }
            *floor += height;
        }
        paths.push(Element::class("path", one.class).attribute("d", path));
    }
    let mut gaps = String::new();
    for (place, _) in sums.iter().enumerate().filter(|(_, sum)| **sum > scale.top) {
        let _ = write!(gaps, "M{} 8h{BAR}v3h-{BAR}z", left(place, polls));
    }
    let gaps = Element::class("path", "gap").attribute("d", gaps);
    let base = Element::class("path", "base").attribute("d", format_args!("M0 {HEIGHT}h{WIDTH}"));
    frame(id, title, description, HEIGHT + 1)
        .with_all(paths)
        .with(gaps)
        .with(base)
}

fn polls(series: &[Series]) -> usize {
    series.iter().map(|one| one.values.len()).max().unwrap_or(0)
}

fn sum(series: &[Series], place: usize) -> f64 {
    series.iter().map(|one| one.value(place)).sum()
}

impl Series {
    fn value(&self, place: usize) -> f64 {
        self.values.get(place).copied().flatten().unwrap_or(0.0)
    }
}

/// Marks with letters below them, the newest at the right edge.
pub(super) fn marks(
    id: &str,
    title: &str,
    description: &str,
    polls: usize,
    kinds: &[Marks],
) -> Element {
    /// Where the letters stand.
    const LETTERS: usize = 21;
    let kinds = kinds.iter().filter(|kind| !kind.places.is_empty());
    let drawn = kinds.flat_map(|kind| {
        let (mut path, mut xs) = (String::new(), String::new());
        for place in &kind.places {
            let x = left(*place, polls);
            let _ = write!(path, "M{x} 2{}", kind.shape);
            let _ = write!(xs, "{} ", x + BAR / 2);
        }
        let letters: String = kind.places.iter().map(|_| kind.letter).collect();
        [
            Element::class("path", kind.class).attribute("d", path),
            Element::class("text", kind.class)
                .attribute("y", LETTERS)
                .attribute("x", xs.trim_end())
                .text(letters),
        ]
    });
    frame(id, title, description, LETTERS + 3).with_all(drawn)
}

fn frame(id: &str, title: &str, description: &str, height: usize) -> Element {
    let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
    // A narrower screen shows the newest polls, in the same size.
    Element::new("svg")
        .attribute("viewBox", format_args!("0 0 {WIDTH} {height}"))
        .attribute("height", height)
        .attribute("preserveAspectRatio", "xMaxYMax slice")
        .attribute("role", "img")
        .attribute(
            "aria-labelledby",
            format_args!("{title_id} {description_id}"),
        )
        .with(Element::new("title").attribute("id", title_id).text(title))
        .with(
            Element::new("desc")
                .attribute("id", description_id)
                .text(description),
        )
}

/// Where a bar begins.
fn left(place: usize, polls: usize) -> usize {
    (SLOTS + place).saturating_sub(polls) * SLOT + SLOT - BAR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(series: &[Series]) -> String {
        bars("new", "New", "what it shows", series, &Scale::of(series)).document()
    }

    #[test]
    fn the_newest_bar_is_at_the_right_edge_and_the_tallest_fills_the_plot() {
        let values = vec![Some(1.0), None, Some(2.0), Some(0.0)];
        let drawn = drawn(&[Series { class: "a", values }]);
        assert!(
            drawn.contains("d=\"M770 29h6v27h-6zM786 3h6v53h-6z\""),
            "{drawn}"
        );
    }

    #[test]
    fn series_are_stacked_and_a_small_value_is_seen() {
        let series = |class, value| Series {
            class,
            values: vec![Some(value)],
        };
        let drawn = drawn(&[series("a", 1_000_000.0), series("b", 1.0)]);
        assert!(
            drawn.contains("class=\"a\" d=\"M794 3h6v53h-6z\""),
            "{drawn}"
        );
        assert!(
            drawn.contains("class=\"b\" d=\"M794 2h6v1h-6z\""),
            "{drawn}"
        );
        assert!(drawn.contains("class=\"gap\" d=\"\""), "{drawn}");
    }

    /// The plot of the first hundred polls was one bar: that of the first import.
    #[test]
    fn one_value_out_of_all_proportion_is_cut_and_the_others_are_seen() {
        let mut values = vec![Some(4.0); 99];
        values.insert(0, Some(10_000_000.0));
        let drawn = drawn(&[Series { class: "a", values }]);
        assert!(drawn.contains("M2 3h6v53h-6zM10 29h6v27h-6z"), "{drawn}");
        assert!(
            drawn.contains("class=\"gap\" d=\"M2 8h6v3h-6z\""),
            "{drawn}"
        );
    }

    #[test]
    fn without_polls_there_is_only_the_base() {
        let drawn = drawn(&[Series {
            class: "a",
            values: Vec::new(),
        }]);
        assert!(drawn.contains("class=\"a\" d=\"\""), "{drawn}");
    }
}
