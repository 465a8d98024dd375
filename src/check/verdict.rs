/// How much a failure of a check matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is lost or wrong.
    Must,
    /// Something is slow, fragile or hard to diagnose.
    Should,
    /// Worth knowing.
    Info,
}

/// What a check found: that all is right, or something else.
pub(super) type Verdict = Result<(), NotPassed>;

/// Why a check did not pass.
#[derive(Debug, Clone)]
pub(super) enum NotPassed {
    /// The service does something else.
    Wrong(Wrong),
    /// Nothing can be said, because the data lack this, such as "two records in one second".
    Needs(String),
    /// Nothing can be said, because that check failed.
    Because(&'static str),
}

/// What the service does instead of what is right.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    /// What was seen. It is shown to people: texts of the service in it are escaped.
    pub got: String,
    /// How much it matters, if that is not what the catalogue says.
    pub level: Option<Level>,
    /// The exchanges that show it, by number.
    pub exchanges: Vec<usize>,
}

/// The service does something else than what is right.
pub(super) fn wrong(got: impl Into<String>, exchanges: &[usize]) -> NotPassed {
    NotPassed::Wrong(Wrong {
        got: got.into(),
        level: None,
        exchanges: exchanges.to_vec(),
    })
}

/// As [`wrong`], with a level of its own.
pub(super) fn wrong_at(level: Level, got: impl Into<String>, exchanges: &[usize]) -> NotPassed {
    NotPassed::Wrong(Wrong {
        got: got.into(),
        level: Some(level),
        exchanges: exchanges.to_vec(),
    })
}

/// Nothing can be said, because the data lack this.
pub(super) fn needs(what: impl Into<String>) -> NotPassed {
    NotPassed::Needs(what.into())
}
