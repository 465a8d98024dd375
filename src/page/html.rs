use std::fmt::{self, Display, Write};

/// An element and what is in it. Every text and every attribute goes through [`escape`], and tags have names that this
/// program chose, so whatever a record says stays text.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    content: String,
}

/// Elements without content.
const VOID: [&str; 2] = ["meta", "link"];

/// Elements whose end tag HTML lets one leave out before the next of them. That is a sixth of a table.
const ENDS_ITSELF: [&str; 8] = ["tr", "td", "th", "thead", "tbody", "li", "dt", "dd"];

impl Element {
    /// An empty element.
    pub fn new(name: &'static str) -> Element {
        Element {
            name,
            attributes: String::new(),
            content: String::new(),
        }
    }

    /// Content without an element around it.
    pub fn fragment() -> Element {
        Element::new("")
    }

    /// An empty element of a class.
    pub fn class(name: &'static str, class: &'static str) -> Element {
        Element::new(name).attribute("class", class)
    }

    /// Adds an attribute.
    pub fn attribute(mut self, name: &'static str, value: impl Display) -> Element {
        self.attributes.push(' ');
        self.attributes.push_str(name);
        self.attributes.push_str("=\"");
        escape(&mut self.attributes, &value);
        self.attributes.push('"');
        self
    }

    /// Adds text.
    pub fn text(mut self, text: impl Display) -> Element {
        escape(&mut self.content, &text);
        self
    }

    /// Adds an element.
    pub fn with(mut self, child: Element) -> Element {
        child.write(&mut self.content);
        self
    }

    /// Adds elements.
    pub fn with_all(self, children: impl IntoIterator<Item = Element>) -> Element {
        children.into_iter().fold(self, Element::with)
    }

    /// A whole document.
    pub fn document(self) -> String {
        let mut document = "<!doctype html>\n".to_owned();
        self.write(&mut document);
        document.push('\n');
        document
    }

    fn write(self, out: &mut String) {
        let Element {
            name,
            attributes,
            content,
        } = self;
        if name.is_empty() {
            out.push_str(&content);
            return;
        }
        for part in ["<", name, &attributes, ">", &content] {
            out.push_str(part);
        }
        if !(VOID.contains(&name) || ENDS_ITSELF.contains(&name)) {
            for part in ["</", name, ">"] {
                out.push_str(part);
            }
        }
    }
}

/// Writes text such that a browser shows each character of it: nothing begins a tag, an entity or the end of an attribute,
/// and what no one could see is shown by its number, as JSON writes it.
fn escape(out: &mut String, text: &impl Display) {
    // Writing into a string never fails.
    let _ = write!(Escaping(out), "{text}");
}

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                _ if is_unseen(character) => write!(self.0, "\\u{:04x}", u32::from(character))?,
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

/// Whether a character is a control character, turns the direction of writing, or has no width.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_element_has_attributes_and_content() {
        let list = Element::class("ul", "notes")
            .with_all(["a", "b"].map(|text| Element::new("li").text(text)))
            .with(Element::new("path").attribute("d", "M0 0"));
        assert_eq!(
            Element::new("p").with(list).document(),
            "<!doctype html>\n<p><ul class=\"notes\"><li>a<li>b<path d=\"M0 0\"></path></ul></p>\n"
        );
    }

    #[test]
    fn what_could_not_be_seen_is_shown_by_its_number() {
        let shown = Element::new("b")
            .text("a\u{202e}b\u{0}\u{200b}\r")
            .document();
        assert!(
            shown.ends_with("<b>a\\u202eb\\u0000\\u200b\\u000d</b>\n"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn no_text_is_markup(text in any::<String>()) {
            let written = Element::new("b").attribute("title", &text).text(&text).document();
            let inside = written.strip_prefix("<!doctype html>\n<b title=\"").unwrap();
            let (attribute, content) = inside.split_once("\">").unwrap();
            let content = content.strip_suffix("</b>\n").unwrap();
            prop_assert_eq!(attribute, content);
            prop_assert!(!content.contains(['<', '>', '"', '\'']));
            let unescaped = content
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&");
            prop_assert_eq!(unescaped.replace('\\', ""), Element::new("b").shown(&text).replace('\\', ""));
        }
    }

    impl Element {
        /// What a person sees of a text.
        fn shown(&self, text: &str) -> String {
            let shown = |character: char| match character {
                '\n' | '\t' => character.to_string(),
                _ if is_unseen(character) => format!("\\u{:04x}", u32::from(character)),
                _ => character.to_string(),
            };
            text.chars().map(shown).collect()
        }
    }
}
