use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["cannot read the configuration: …"],
        means: "The file is not there, or this user may not read it or one of its folders. Without `--config` it is \
            /etc/generic-connector/generic.json.",
        fix: "Name an existing file with `--config`. If the file is there, compare its owner and mode with the user of \
            the service.",
    },
    MessageEntry {
        phrases: &[
            "the configuration is not UTF-8",
            "the configuration starts with a byte order mark",
        ],
        means: "An editor has saved the file in another encoding, or with a mark of three invisible bytes at its \
            beginning.",
        fix: "Save the file as UTF-8 without a byte order mark.",
    },
    MessageEntry {
        phrases: &[
            "the configuration is not JSON: …",
            "the configuration is not a JSON object",
            "is given twice: keep one",
        ],
        means: "The file cannot be read as one JSON object. Usual causes are a comma after the last entry, a missing \
            quote, a comment, which JSON does not have, and a key that is there twice.",
        fix: "Correct the line and the column that the message names, then run `check --offline`.",
    },
    MessageEntry {
        phrases: &[
            "unknown key …",
            "did you mean …?",
            "the known keys are …",
            "the known types are …",
        ],
        means: "The key or type is misspelt, is one of another type of target, or is one that another version of the \
            program has. Nothing is started, so that a misspelt key is not silently without effect.",
        fix: "Correct or remove it. `explain KEY` says what a key means in the version that is installed.",
    },
    MessageEntry {
        phrases: &[
            "has a bad value (not shown)",
            "write a string in double quotes",
            "write true or false, without quotes",
            "use an IP address of this machine and a port",
            "use 1 to 500 characters without /",
            "name a directory, or remove the key",
            "write octal digits in quotes",
            "name a group of this machine, or write its number",
            "write a whole number from … to …",
            "write a number from 0.001 to 1000000",
            "write a duration such as …",
            "it must be longer than 0, such as …",
            "write 30d, 12h or forever",
            "write a list of objects",
        ],
        means: "A key of the configuration has a value that it cannot have. The message names the key, the value, unless \
            that can be a secret, and what is right.",
        fix: "Correct the value, then run `check --offline`. `explain KEY` has the range and the default.",
    },
    MessageEntry {
        phrases: &[
            "remove the query and the fragment",
            "use a URL such as …",
            "name a host, as in …",
            "start it with https://",
            "remove the user and the password; put the key",
            "use a port from 1 to 65535",
        ],
        means: "An address in the configuration is not one that requests can go to. Paths are appended to it, and keys \
            have places of their own, so it has neither a query nor a password.",
        fix: "Write scheme, host, port and path only, such as `https://integration.example.com`.",
    },
    MessageEntry {
        phrases: &[
            "name is missing: give the connector a name",
            "endpoint is missing: set it to the base URL",
        ],
        means: "The two keys that every configuration needs are `name` and `endpoint`, and one of them is not there.",
        fix: "Set it. `init` writes a configuration and asks for both.",
    },
    MessageEntry {
        phrases: &[
            "publish is an empty list",
            "publish: an entry has no type",
            "each entry of publish needs a unique name",
            "publish: the ndjson entry needs a path",
            "another entry of publish already writes there",
            "publish: the entry … needs a url",
            "publish: the formance entry needs a connector",
            "publish: the formance entry has a …",
        ],
        means: "A target in `publish` lacks what its type needs, or has what another entry has as well. Offsets are kept \
            by name, so each name has to be there once.",
        fix: "Complete the entry as the message says, then run `check --only targets`, which delivers nothing.",
    },
    MessageEntry {
        phrases: &[
            "neither listen nor publish is set",
            "works for poll, which writes changes.ndjson, but not for run",
        ],
        means: "The configuration has neither `listen` nor `publish`, so `run` has nowhere to deliver to. `poll` writes \
            changes.ndjson in that case.",
        fix: "Set `listen` if Connectivity polls the connector, or `publish` if the connector pushes.",
    },
    MessageEntry {
        phrases: &[
            "is set, but listen is not",
            "is set, but neither observe nor listen is",
        ],
        means: "A key for callers is there, but no address that they could call.",
        fix: "Set the address that the message names, or remove the key.",
    },
    MessageEntry {
        phrases: &["which is the same port of the same machine"],
        means: "`listen` and `observe` would open the same port, and only one of them can.",
        fix: "Give `observe` another port, or remove it: everything is then answered at `listen`.",
    },
    MessageEntry {
        phrases: &["listen is set and a publisher pushes to Formance"],
        means: "Formance can get payments from this connector in two ways, by asking the listener and by push. If one \
            connector in Formance is used for both, every payment is there twice.",
        fix: "Use one of the two. If both are wanted, let the pushed connector have an `endpoint` where nothing listens, \
            as PUSH TO FORMANCE says.",
    },
    MessageEntry {
        phrases: &["systemd gives several state directories"],
        means: "`StateDirectory=` of the unit has more than one directory, and `stateDir` does not say which of them \
            holds the state.",
        fix: "Set `stateDir` to the right one.",
    },
    MessageEntry {
        phrases: &["the key and the data cross the network unencrypted"],
        means: "The address is an http URL of another machine. Everybody on the way can read the key, and use it.",
        fix: "Serve https and set the address to it (A5).",
    },
    MessageEntry {
        phrases: &["keys and data cross the network unencrypted unless a reverse proxy"],
        means: "The listener speaks HTTP without TLS, and its address can be reached from other machines.",
        fix: "Set `listen` (or `observe`) to 127.0.0.1, and put a proxy that speaks TLS in front of it. \
            packaging/examples has some.",
    },
];
