use crate::config::TargetKind;
use crate::publish::{FormancePublisher, HttpPublisher, TargetFinding};

/// What `check` finds about a target. Offline, only files are looked at.
pub(super) fn findings(kind: &TargetKind, is_offline: bool) -> Vec<TargetFinding> {
    match kind {
        TargetKind::NdjsonStdout => Vec::new(),
        TargetKind::NdjsonFile(file) => {
            let result = file.check().map(|()| file.path.display().to_string());
            vec![TargetFinding::new("path", result)]
        }
        TargetKind::Http(_) | TargetKind::Formance(_) if is_offline => Vec::new(),
        TargetKind::Http(settings) => HttpPublisher::new(settings.clone()).check(),
        TargetKind::Formance(settings) => FormancePublisher::new(settings.clone()).check(),
    }
}
