//! The types of values that are texts, numbers and durations.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::value::RawValue;

use super::schema::Form;
use crate::secret::Secret;

/// Reads a JSON string.
pub(super) fn text(json: &str) -> Result<String, String> {
    serde_json::from_str(json).map_err(|_| "write a string in double quotes".to_owned())
}

impl Form for String {
    const NAME: &'static str = "text";

    fn read(json: &str) -> Result<String, String> {
        text(json)
    }
}

impl Form for Secret {
    const NAME: &'static str = "text";

    fn read(json: &str) -> Result<Secret, String> {
        Ok(Secret::new(text(json)?.trim().to_owned()))
    }

    fn is_secret(_json: &str) -> bool {
        true
    }
}

impl Form for bool {
    const NAME: &'static str = "true or false";

    fn read(json: &str) -> Result<bool, String> {
        serde_json::from_str(json).map_err(|_| "write true or false, without quotes".to_owned())
    }
}

impl Form for PathBuf {
    const NAME: &'static str = "path";

    fn read(json: &str) -> Result<PathBuf, String> {
        text(json).map(PathBuf::from)
    }
}

impl Form for SocketAddr {
    const NAME: &'static str = "address and port";

    fn read(json: &str) -> Result<SocketAddr, String> {
        text(json)?.parse().map_err(|_| {
            "use an IP address of this machine and a port, such as \"127.0.0.1:8080\"".to_owned()
        })
    }
}

/// The connector's name.
pub(super) struct ConnectorName(pub String);

impl Form for ConnectorName {
    const NAME: &'static str = "text";

    fn read(json: &str) -> Result<ConnectorName, String> {
        let name = text(json)?;
        if name.is_empty() || name.len() > 500 || name.chars().any(|c| c.is_control() || c == '/') {
            return Err("use 1 to 500 characters without \"/\", such as \"acme-bank\"".to_owned());
        }
        Ok(ConnectorName(name))
    }
}

/// A directory.
pub(super) struct Directory(pub PathBuf);

impl Form for Directory {
    const NAME: &'static str = PathBuf::NAME;

    fn read(json: &str) -> Result<Directory, String> {
        let path = PathBuf::read(json)?;
        if path.as_os_str().is_empty() {
            return Err("name a directory, or remove the key".to_owned());
        }
        Ok(Directory(path))
    }
}

/// The permission bits of a file, of which its owner has those to read and to write.
#[derive(Clone, Copy)]
pub(super) struct FileMode(pub u32);

impl Form for FileMode {
    const NAME: &'static str = "text";

    fn read(json: &str) -> Result<FileMode, String> {
        let digits = text(json).unwrap_or_default();
        let mode = u32::from_str_radix(&digits, 8).ok();
        mode.filter(|mode| (0o600..=0o777).contains(mode) && mode & 0o600 == 0o600)
            .map(FileMode)
            .ok_or_else(|| {
                "write octal digits in quotes that let the owner read and write, such as \"0640\""
                    .to_owned()
            })
    }
}

/// A group of this machine, by its number.
#[derive(Clone, Copy)]
pub(super) struct FileGroup(pub u32);

impl Form for FileGroup {
    const NAME: &'static str = "text";

    fn read(json: &str) -> Result<FileGroup, String> {
        let name = text(json)?;
        if let Ok(number) = name.parse() {
            return Ok(FileGroup(number));
        }
        let group = nix::unistd::Group::from_name(&name).ok().flatten();
        group
            .map(|group| FileGroup(group.gid.as_raw()))
            .ok_or_else(|| "name a group of this machine, or write its number in quotes".to_owned())
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy)]
pub(super) struct Whole<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> Form for Whole<LEAST, MOST> {
    const NAME: &'static str = "whole number";
    const RANGE: Option<(u32, u32)> = Some((LEAST, MOST));

    fn read(json: &str) -> Result<Self, String> {
        serde_json::from_str(json)
            .ok()
            .filter(|number| (LEAST..=MOST).contains(number))
            .map(Whole)
            .ok_or_else(|| format!("write a whole number from {LEAST} to {MOST}"))
    }
}

/// A number above zero, with or without decimals.
#[derive(Clone, Copy)]
pub(super) struct Rate(pub f64);

impl Form for Rate {
    const NAME: &'static str = "number from 0.001 to 1000000";

    fn read(json: &str) -> Result<Rate, String> {
        serde_json::from_str(json)
            .ok()
            .filter(|rate| (0.001..=1e6).contains(rate))
            .map(Rate)
            .ok_or_else(|| "write a number from 0.001 to 1000000, such as 10 or 0.5".to_owned())
    }
}

/// A duration as Go writes them, which may be zero.
#[derive(Clone, Copy)]
pub(super) struct Span(pub Duration);

impl Form for Span {
    const NAME: &'static str = "duration";

    fn read(json: &str) -> Result<Span, String> {
        /// Longer than any period, and short enough to be added to any clock.
        const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
        let parsed: Option<SignedDuration> = match text(json).as_deref() {
            Ok("0") => Some(SignedDuration::ZERO),
            Ok(text) => text.parse().ok(),
            Err(_) => None,
        };
        parsed
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| *duration <= LONGEST)
            .map(Span)
            .ok_or_else(|| {
                "write a duration such as \"500ms\", \"30s\", \"2m\" or \"1h30m0s\"".to_owned()
            })
    }
}

/// A duration above zero.
#[derive(Clone, Copy)]
pub(super) struct Period(pub Duration);

impl Form for Period {
    const NAME: &'static str = Span::NAME;

    fn read(json: &str) -> Result<Period, String> {
        match Span::read(json)? {
            Span(Duration::ZERO) => Err("it must be longer than 0, such as \"30s\"".to_owned()),
            Span(duration) => Ok(Period(duration)),
        }
    }
}

/// For how long something is kept: a duration, also in days, or forever.
#[derive(Clone, Copy)]
pub(super) struct Kept(pub Option<Duration>);

impl Form for Kept {
    const NAME: &'static str = "duration";

    fn read(json: &str) -> Result<Kept, String> {
        let written = text(json).unwrap_or_default();
        let days = written.strip_suffix('d').and_then(|days| days.parse().ok());
        match days {
            _ if written == "forever" => Ok(Kept(None)),
            Some(days @ 1..=3_660) => Ok(Kept(Some(Duration::from_secs(days * 86_400)))),
            _ => match Period::read(json) {
                Ok(Period(duration)) => Ok(Kept(Some(duration))),
                Err(_) => Err("write \"30d\", \"12h\" or \"forever\"".to_owned()),
            },
        }
    }
}

/// A list of objects, each as its text.
pub(super) struct Objects(pub Vec<Box<RawValue>>);

impl Form for Objects {
    const NAME: &'static str = "list of objects";

    fn read(json: &str) -> Result<Objects, String> {
        serde_json::from_str(json)
            .ok()
            .filter(|entries: &Vec<Box<RawValue>>| {
                entries.iter().all(|entry| entry.get().starts_with('{'))
            })
            .map(Objects)
            .ok_or_else(|| "write a list of objects: [ { … } ]".to_owned())
    }
}
