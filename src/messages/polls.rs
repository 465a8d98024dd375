use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["no poll has ever succeeded"],
        means: "The connector has not read a list to its end yet. Nothing is delivered.",
        fix: "Run `check`: it says whether the address, the key or the service is wrong.",
    },
    MessageEntry {
        phrases: &["no poll has succeeded since"],
        means: "Polls have failed for three periods or more, or nothing polls: the connector was stopped, has ended or \
            hangs. Records that were read before are kept. Where only `poll` is run, as by cron, a pause counts after 25 \
            hours.",
        fix: "Look at `systemctl status generic-connector` and at the reason of the last poll in `status`, then run \
            `check`.",
    },
    MessageEntry {
        phrases: &["poll aborted: …", "no poll was stored since"],
        means: "The state cannot be read or written. Nothing of that poll is kept, and nothing is lost: the next one \
            reads it again.",
        fix: "The line says what failed. Make room on the disk, or correct the owner and the mode of the state directory. \
            A damaged state is put back from a backup.",
    },
    MessageEntry {
        phrases: &["polls in a row have not read"],
        means: "Polls succeed, because other streams are read. This one has failed for three polls and three periods or \
            more. Records that were read before are kept, and are still delivered.",
        fix: "The reason is that of the last poll. `check` says what is wrong with the service. Balances of an account \
            that the service no longer has stop failing once a sweep does not find the account either.",
    },
    MessageEntry {
        phrases: &["the cursor has been at"],
        means: "Polls read records that are newer than the cursor, and it stays where it is, because they are dated in \
            the future, or because a clock is behind. Nothing is lost: they are read and delivered again in each poll.",
        fix: "Run `check --only R4,H5`. Correct the dates, or synchronise the clocks of the service and of this machine.",
    },
    MessageEntry {
        phrases: &["jumped … ahead, to …: cursors do not follow it"],
        means: "A clock is wrong for a moment, or was set right. Cursors do not follow it for ten minutes, which costs \
            requests and nothing else.",
        fix: "Compare the clocks of this machine (`timedatectl`) and of the service (its `Date` header).",
    },
    MessageEntry {
        phrases: &["which was still in the future at"],
        means: "A clock was ahead when a poll moved the cursor. The cursor went back, and the sweep that is due finds \
            what it hid meanwhile.",
        fix: "Nothing for the data. Find out why the clock was wrong.",
    },
    MessageEntry {
        phrases: &["the first … polls store nothing before the clocks agree"],
        means: "The clocks of the service and of this machine differ, and Connectivity keeps the dates that it sees \
            first. So the first five polls store nothing while the clocks differ; later ones do.",
        fix: "Set the clock that is wrong: `timedatectl` shows that of this machine, the `Date` header that of the \
            service.",
    },
    MessageEntry {
        phrases: &["does the service put the time of the request into it?"],
        means: "The record changes whenever it is read, without a newer date. Every change is delivered, which fills the \
            state and the targets.",
        fix: "Have the service leave out what does not belong to the record, such as the time of the request or a \
            changing link.",
    },
    MessageEntry {
        phrases: &["skipped in this sweep: …"],
        means: "The sweep could not read this list to its end, for the reason in the line. Records that polls have missed \
            are not found before a sweep reads the list.",
        fix: "Do what the reason says. `generic-connector sweep` begins another one.",
    },
    MessageEntry {
        phrases: &[
            "the sweep continues after the next poll",
            "the sweep continues in the next run",
        ],
        means: "A slice of the sweep failed. Its place is kept, and it goes on from there.",
        fix: "The rest of the line has the reason. If it returns, that is what has to be repaired.",
    },
    MessageEntry {
        phrases: &["would have caught it", "missed before"],
        means: "The sweep found records that polls had missed, because the service listed them later than `lookback`. \
            They are delivered now.",
        fix: "Raise `lookback` to what the line says, so that polls find such records.",
    },
    MessageEntry {
        phrases: &["polls ask for what is dated since the cursor and did not get them"],
        means: "The sweep found records with a date that polls had asked for. The filter of the service compares another \
            date than the one in the records.",
        fix: "Have the service filter by the date that it shows (F10). Until then a shorter `sweepPeriod` finds them \
            sooner.",
    },
    MessageEntry {
        phrases: &["a lookback of more than a year would read too much"],
        means: "The sweep found records that appeared more than a year after their date, such as an import of old data. \
            They are delivered now.",
        fix: "Nothing, if it was an import. If it returns, have the service date records when they appear.",
    },
    MessageEntry {
        phrases: &[
            "the list cannot be read completely",
            "fill a page of …, and the service ignores page",
            "cannot be reached: the service ignores page",
            "does not fit on a page of",
        ],
        means: "A group of records with one date is longer than any page that the service gives, and it ignores `page` or \
            changes its order. The records after it are read.",
        fix: "Have the service honour `page` (P2), and sort by the date and then by id (O3).",
    },
    MessageEntry {
        phrases: &[
            "the list did not end within … s and … pages",
            "the list does not end: it gave",
        ],
        means: "The list goes on for longer than a poll may take, or gives the same records again and again.",
        fix: "Have the service answer `[]` to the page after the last one (P9). A first import that is just long goes on \
            by itself.",
    },
    MessageEntry {
        phrases: &[
            "does not sort",
            "ignores the filter",
            "caps pageSize",
            "hides records from the filter",
        ],
        means: "The service departs from the API in a way that the connector knows and works around. Nothing is lost, but \
            it costs requests.",
        fix: "QUIRKS has each of them, and what it costs. Repair the service; the quirk is then forgotten by itself.",
    },
    MessageEntry {
        phrases: &["this is a bug, please report it", "panic: …"],
        means: "A part of the program has ended in a way that it never should. The step that failed is tried again; the \
            state is safe.",
        fix: "Restart the unit if it does not go on by itself. Run `support-bundle`, and report it with the lines of the \
            log before this one.",
    },
];
