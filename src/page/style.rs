use std::sync::LazyLock;

use crate::api::ContentHash;

/// The stylesheet of every page.
pub const STYLE: &str = include_str!("style.css");

/// The entity tag of the stylesheet: another one for each content.
pub fn style_tag() -> &'static str {
    static TAG: LazyLock<String> =
        LazyLock::new(|| format!("\"{:032x}\"", u128::from_be_bytes(ContentHash::of(STYLE).0)));
    &TAG
}
