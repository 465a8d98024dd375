use super::html::Element;

/// A whole page: its title, what stands at its top, and its sections.
pub(super) fn page(
    title: &str,
    root: &'static str,
    header: Element,
    main: impl IntoIterator<Item = Element>,
    footer: Option<Element>,
) -> String {
    let head = Element::new("head")
        .with(Element::new("meta").attribute("charset", "utf-8"))
        .with(
            Element::new("meta")
                .attribute("name", "viewport")
                .attribute("content", "width=device-width"),
        )
        .with(
            Element::new("meta")
                .attribute("name", "color-scheme")
                .attribute("content", "light dark"),
        )
        .with(
            Element::new("link")
                .attribute("rel", "icon")
                .attribute("href", "data:,"),
        )
        .with(
            Element::new("link")
                .attribute("rel", "stylesheet")
                .attribute("href", format_args!("{root}style.css")),
        )
        .with(Element::new("title").text(title));
    let body = Element::new("body")
        .with(
            Element::class("a", "skip")
                .attribute("href", "#main")
                .text("Skip to the content"),
        )
        .with(header)
        .with(Element::new("main").attribute("id", "main").with_all(main))
        .with_all(footer);
    Element::new("html")
        .attribute("lang", "en")
        .with(head)
        .with(body)
        .document()
}

/// A section under its heading.
pub(super) fn section(
    id: &'static str,
    heading: &str,
    content: impl IntoIterator<Item = Element>,
) -> Element {
    let heading_id = format_args!("{id}-heading").to_string();
    Element::new("section")
        .attribute("id", id)
        .attribute("aria-labelledby", &heading_id)
        .with(
            Element::new("h2")
                .attribute("id", &heading_id)
                .text(heading),
        )
        .with_all(content)
}

/// A list of remarks; none if there are none.
pub(super) fn notes(notes: impl IntoIterator<Item = Element>) -> Option<Element> {
    let mut notes = notes.into_iter().peekable();
    notes.peek()?;
    let notes = notes.map(|note| Element::new("li").with(note));
    Some(Element::class("ul", "notes").with_all(notes))
}

/// A command to copy.
pub(super) fn command(command: &str) -> Element {
    Element::class("pre", "command").with(Element::new("code").text(command))
}

/// A text whose words between backticks are commands or names of the configuration.
pub(super) fn prose(text: &str) -> Element {
    let parts = text.split('`').enumerate();
    parts.fold(Element::fragment(), |prose, (number, part)| {
        if number % 2 == 0 {
            prose.text(part)
        } else {
            prose.with(Element::new("code").text(part))
        }
    })
}

/// Names and what they are.
pub(super) fn facts<const N: usize>(facts: [(&str, Element); N]) -> Element {
    facts
        .into_iter()
        .fold(Element::new("dl"), |list, (name, fact)| {
            list.with(
                Element::new("div")
                    .with(Element::new("dt").text(name))
                    .with(Element::new("dd").with(fact)),
            )
        })
}

/// Text as it is.
pub(super) fn text(text: impl std::fmt::Display) -> Element {
    Element::fragment().text(text)
}

/// A remark in a quiet voice.
pub(super) fn aside(text: impl std::fmt::Display) -> Element {
    Element::class("p", "aside").text(text)
}
