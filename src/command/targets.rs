use crate::config::TargetKind;
use crate::publish::{FormancePublisher, HttpPublisher, TargetFinding, check_is_file};

/// What `check` finds about a target. Offline, only files are looked at.
pub(super) fn findings(kind: &TargetKind, is_offline: bool) -> Vec<TargetFinding> {
    match kind {
        TargetKind::NdjsonStdout => Vec::new(),
        TargetKind::NdjsonFile(path) => {
            // The first delivery creates the file.
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let result = match folder {
                Some(folder) if !folder.is_dir() => Err(format!(
                    "there is no directory {}: create it, or set another \"path\"",
                    folder.display()
                )),
                _ => check_is_file(path).map(|()| path.display().to_string()),
            };
            vec![TargetFinding::new("path", result)]
        }
        TargetKind::Http(_) | TargetKind::Formance(_) if is_offline => Vec::new(),
        TargetKind::Http(settings) => HttpPublisher::new(settings.clone()).check(),
        TargetKind::Formance(settings) => FormancePublisher::new(settings.clone()).check(),
    }
}
