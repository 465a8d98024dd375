use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["the disk of the state has"],
        means: "Less than 256 MiB are left on the disk of the state. When it is full, polls and deliveries stop. Nothing \
            is lost.",
        fix: "Make room, or move `stateDir` to a larger disk while the connector is stopped.",
    },
    MessageEntry {
        phrases: &[
            "the disk is full: cannot",
            "is the disk full or failing, or the file over a quota",
            "are needed beside …, and … MB are free",
        ],
        means: "The disk of the state has no room for what is written. Nothing of that batch is stored, and nothing is \
            lost: the next poll continues there.",
        fix: "Make room. `df -h`, `df -i` and `quota` show what is used up; older copies (`state.sqlite3.layout-…`) and \
            backups in that directory can go.",
    },
    MessageEntry {
        phrases: &[
            "check what is there, its owner and its mode",
            "you may not read …: run the command as root",
            "this user may not write to it or to its directory",
        ],
        means: "This user may not use a file or a directory of the state. Commands that were run as another user may have \
            left files of theirs there.",
        fix: "Run the command as root or as the user that the message names. For the unit: `chown -R generic-connector: \
            /var/lib/generic-connector`.",
    },
    MessageEntry {
        phrases: &["is in use by another generic-connector"],
        means: "Another process has the state open, and two would deliver everything twice. Exit code 75: systemd tries \
            again every 10 seconds.",
        fix: "Stop the other one. `fuser FILE` with the file `lock` in the state directory shows it. Commands such as \
            `status` work beside a running connector; `poll`, `restore`, `restored` and `migrate` do not.",
    },
    MessageEntry {
        phrases: &["another backup of the state in"],
        means: "Another `backup` of the same state runs, perhaps that of the timer. Exit code 75.",
        fix: "Wait until it has ended.",
    },
    MessageEntry {
        phrases: &[
            "there is no file …: give the path of a copy",
            "cannot be put back: it is not a copy of a state",
        ],
        means: "The file for `restore` is not there, or it is not a copy that `backup` has made. The state is as it was.",
        fix: "Give the path of a copy, such as `state-20261126T001600Z.sqlite3`. Unpack it first if it is packed.",
    },
    MessageEntry {
        phrases: &["stays: it has the name of a backup"],
        means: "A file among the backups cannot be read as a state, so it is not known whose it is. `--keep` neither counts \
            nor removes it.",
        fix: "Look at it. Remove it if nobody needs it: as a backup it is of no use.",
    },
    MessageEntry {
        phrases: &["a cursor of one service must never serve another"],
        means: "The state belongs to a connector with another `name` or `endpoint`. With it, records of one service would \
            be taken for those of another.",
        fix: "If the service has moved to a new address, run the `sqlite3` line of the message. Otherwise give this \
            connector a `stateDir` of its own.",
    },
    MessageEntry {
        phrases: &["knows … at most: install the newer version again"],
        means: "A newer version of the program has migrated the state. An older one refuses it, and changes nothing.",
        fix: "Install the newer version again. To go back for good, `restore` the copy from before the upgrade \
            (`state.sqlite3.layout-…`), as SECURITY AND UPGRADES says.",
    },
    MessageEntry {
        phrases: &["of an older version of generic-connector: start run or poll once"],
        means: "Commands that only look never change a state, and this one has the layout of an older version.",
        fix: "Start `run` or `poll` once with this version, or run `migrate`. `migrate --dry-run` says what that takes.",
    },
    MessageEntry {
        phrases: &["is being migrated to the layout of this version"],
        means: "A migration is under way in another process, or was interrupted.",
        fix: "Wait: the log has its progress. If nothing runs, start `run`, `poll` or `migrate`: it continues.",
    },
    MessageEntry {
        phrases: &["is not a state file of generic-connector"],
        means: "The file at that place was written by another program.",
        fix: "Choose another `stateDir`.",
    },
    MessageEntry {
        phrases: &["cannot use a write-ahead log"],
        means: "The file system cannot share memory between processes, as NFS and some container volumes cannot. A crash \
            could damage the state there.",
        fix: "Put `stateDir` on a local file system.",
    },
    MessageEntry {
        phrases: &["is damaged or not a state file"],
        means: "SQLite finds the structure of the file damaged. The connector ends with code 65, so that nothing is built \
            on it.",
        fix: "Stop the connector and restore a backup, or move the state away: an empty state is safe, and everything is \
            read and delivered again. Then look for the cause: the disk, or something else that writes there.",
    },
    MessageEntry {
        phrases: &["was removed or replaced while generic-connector had it open"],
        means: "A file of the state was removed or replaced under the running connector. It writes nothing more and ends \
            with code 65.",
        fix: "If you have put another state there, start it again. Otherwise find out what changes that directory, such \
            as a clean-up job or a backup tool, and run `verify`.",
    },
    MessageEntry {
        phrases: &["the version of seq … is damaged in the state"],
        means: "The text on the disk is not the one that was written. It is neither shown nor delivered.",
        fix: "Check the disk, and run `verify`. The next sweep repairs records that the service still has; the others are \
            in a backup only.",
    },
    MessageEntry {
        phrases: &["was damaged in the state; the service has sent the same bytes again"],
        means: "A damaged version is repaired, listed again, and delivered where it had been passed over.",
        fix: "The data is right again. Check the disk all the same: `dmesg` and `smartctl`.",
    },
    MessageEntry {
        phrases: &[
            "Restore a backup, or move the state away to start over",
            "To have it read again soon, run: generic-connector sweep",
        ],
        means: "`verify` has found something in the state that is not as it was written.",
        fix: "Do what the line says. If several lines ask for a backup, one restore is enough for all of them. Check the \
            disk, too.",
    },
    MessageEntry {
        phrases: &["there is no state at"],
        means: "There is no state file at that place: the connector has never run with this configuration, or `stateDir` \
            is another one.",
        fix: "Compare `stateDir` with the one of the unit. Without it and outside of systemd, the default is beside the \
            configuration.",
    },
    MessageEntry {
        phrases: &["SQLite cannot …"],
        means: "SQLite could not read or write the state, for the reason that the line ends with. Nothing of that step is \
            kept.",
        fix: "If it says locked or busy, another program holds the file: do not open it for long with `sqlite3`. For \
            anything else, check the disk and run `verify`.",
    },
    MessageEntry {
        phrases: &["every user of this machine had access to"],
        means: "A file of the state could be read by every user, for example after a copy was put there. The mode is \
            corrected already.",
        fix: "If others had access to the machine, take the records as seen by them.",
    },
    MessageEntry {
        phrases: &["every user of this machine has access to …, and that cannot be changed"],
        means: "A file of the state can be read by every user, and belongs to somebody else, so its mode stays.",
        fix: "Run the `chmod` of the message as root.",
    },
    MessageEntry {
        phrases: &[
            "was put back",
            "is treated as put back",
            "The newest version had seq …, the next one has",
        ],
        means: "An older copy of the state is in use. It was noticed, and everything that follows from it was done: the \
            line says what.",
        fix: "Compare payouts that were made since the copy with the PSP if the line asks for it. See BACKUP AND RESTORE. \
            A directory that was moved to another disk looks the same, and needs nothing.",
    },
    MessageEntry {
        phrases: &["a state that is put back would not be noticed"],
        means: "The file `witness` beside the state cannot be written. Everything else works.",
        fix: "Correct the owner and the mode of the state directory, or make room.",
    },
    MessageEntry {
        phrases: &["the backup is made, but status does not know"],
        means: "The copy is complete and checked. Only the note about it could not be written to the state.",
        fix: "Nothing for the copy. The rest of the line says what is wrong with the state.",
    },
    MessageEntry {
        phrases: &["remove the older backup", "look for older backups in"],
        means: "The backup is made, and an older one that `--keep` no longer wants is still there.",
        fix: "Remove it by hand, and correct the owner of the directory.",
    },
];
