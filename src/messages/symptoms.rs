use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["WARNING"],
        means: "A line of `status` that begins so is an alarm; Prometheus shows it, too. Each says what to do.",
        fix: "Give the line to `explain`, which says more.",
    },
    MessageEntry {
        phrases: &["Formance shows fewer than status counts"],
        means: "Formance reads 100 records at a time, and starts again every 20 minutes or more.",
        fix: "Look at `/readyz`, and at `asked` in `status`: it says when Formance last read each list, and how many \
            versions it has not read.",
    },
    MessageEntry {
        phrases: &["401 from the listener"],
        means: "The key in Formance is not the one here.",
        fix: "Compare it with `listenKey`. A systemd credential needs a restart.",
    },
    MessageEntry {
        phrases: &["skipped, … versions in status"],
        means: "The target has no place for these versions; the reason is beside them.",
        fix: "PUSH TO FORMANCE lists what Formance has no place for.",
    },
    MessageEntry {
        phrases: &["Prometheus gets no answer"],
        means: "The process is not running, or the address or the key in Prometheus is not the one here.",
        fix: "Look at `systemctl status generic-connector`, then compare `observe` and `observeKey`. A systemd credential \
            needs a restart.",
    },
    MessageEntry {
        phrases: &["the last backup is old"],
        means: "An alarm of Prometheus: `backup` has not succeeded for longer than its timer allows.",
        fix: "Look at `systemctl list-timers generic-connector-backup.timer` and at the log of its service: the disk for \
            the copies may be full.",
    },
    MessageEntry {
        phrases: &["Formance asks from the same date each time"],
        means: "An alarm of Prometheus: a task of the connector in Formance fails on a record again and again.",
        fix: "Look at the tasks of the connector in Formance, and at `status`: since when does the first version wait?",
    },
];
