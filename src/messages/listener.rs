use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["cannot listen on …"],
        means: "The address of `listen` or `observe` cannot be opened: another program has the port (exit code 75), or \
            the address is not one of this machine.",
        fix: "`ss -ltnp` shows who has the port. Stop that, or set another one.",
    },
    MessageEntry {
        phrases: &[
            "Connectivity no longer asks for",
            "for which it has never asked",
        ],
        means: "It asked before, and now has not for 65 minutes, or for two of its periods if they are longer. New \
            records stay here.",
        fix: "In Formance, look at the connector and at its tasks: one that fails is tried again forever. Look at the \
            proxy in between, and at the log here for requests with a wrong key. `status` shows when each list was last \
            asked for, and from which date.",
    },
    MessageEntry {
        phrases: &["Connectivity has never asked, although"],
        means: "The listener has waited for 65 minutes or more, and nothing else delivers: `publish` is not set.",
        fix: "In Formance, install the generic connector with the address and the key of this listener. `listen`, \
            `listenKey` and the proxy in between must let it in.",
    },
    MessageEntry {
        phrases: &["Connectivity gets 503, because it asks with the bound"],
        means: "Connectivity says that it has read records later than any that this list has shown. It has read the \
            service itself before, or this state was put back from a copy.",
        fix: "If the bound is right, run `listing adopt LIST`. If the state was put back, run `restored` first.",
    },
    MessageEntry {
        phrases: &[
            "Connectivity asks with the bound …, but",
            "The bound lies in the future",
        ],
        means: "Connectivity has read further than this list was ever shown: it has polled the service directly before, \
            or the state was put back. It gets 503 for about a minute, then the whole list gets new dates.",
        fix: "Nothing, unless the line says that the bound lies in the future: then compare the clocks, and run `listing \
            adopt LIST` if it is right.",
    },
    MessageEntry {
        phrases: &["Connectivity has read further than this list was ever shown"],
        means: "Every entry of the list gets a new date above what Connectivity has read. It gets 503 until that is done, \
            then reads the list again, and recognises what it has.",
        fix: "Nothing. A list of a million versions takes minutes.",
    },
    MessageEntry {
        phrases: &["the list cannot be dated again"],
        means: "The list could not get its new dates, for the reason in the line. Connectivity gets 503 and asks again, \
            and then it is tried again.",
        fix: "Repair what the reason names, usually the disk of the state.",
    },
    MessageEntry {
        phrases: &["and no date can follow that: reinstall Formance's connector"],
        means: "The service has once listed a date such as 9999-12-31, and Connectivity has read it. No date can follow \
            it, so this list is never read again.",
        fix: "Correct the date in the service, then uninstall and install the connector in Formance. It reads everything \
            again.",
    },
    MessageEntry {
        phrases: &["there is nothing to agree to"],
        means: "`listing adopt` agrees to a bound that Connectivity asked with and did not get. For this list there is \
            none.",
        fix: "Nothing. `status` shows with which bound each list was last asked.",
    },
    MessageEntry {
        phrases: &["that Connectivity asks is not noted"],
        means: "When Connectivity asked could not be written to the state. It got its answer.",
        fix: "The rest of the line says what is wrong with the state.",
    },
    MessageEntry {
        phrases: &[
            "a request to the listener cannot be answered",
            "the state cannot be shown",
        ],
        means: "The state could not be read for an answer, so the caller got 503. Formance asks again by itself.",
        fix: "The rest of the line says what is wrong with the state.",
    },
    MessageEntry {
        phrases: &["the listener cannot …: …; retrying"],
        means: "The system gives no socket or no memory for another connection. It is tried again; connections that are \
            open go on.",
        fix: "Raise `LimitNOFILE=` of the unit, or find out who opens so many connections: `ss -tnp`.",
    },
    MessageEntry {
        phrases: &["every request is answered with 503 until this is repaired"],
        means: "The program cannot start, for the reason in the line before. systemd keeps its sockets open, so it \
            answers 503 instead of ending.",
        fix: "Repair that, then restart the unit.",
    },
    MessageEntry {
        phrases: &[
            "systemd passes a socket",
            "systemd passes two sockets",
            "systemd passes the socket",
            "but systemd has opened …, and that is answered",
        ],
        means: "A socket unit and the configuration do not agree about an address or a name.",
        fix: "Make `ListenStream=` the same as `listen` or `observe`, and `FileDescriptorName=` `listen` or `observe`. \
            SYSTEMD has an example.",
    },
    MessageEntry {
        phrases: &["Title: Not Ready"],
        means: "503: nothing was read from the service yet, the list gets new dates, or balances are read again after a \
            restore. Formance tries again by itself.",
        fix: "The detail says which. If it lasts, look at the last poll in `status`.",
    },
    MessageEntry {
        phrases: &[
            "Title: State Unavailable",
            "Title: Internal Server Error",
            "Title: Service Unavailable",
        ],
        means: "The listener could not answer: the state cannot be read, an answer took too long, or the program waits \
            for a repair.",
        fix: "The log of the connector has the reason at that time.",
    },
    MessageEntry {
        phrases: &["Title: Unauthorized"],
        means: "401: the request has no key, another one, or sends it in another way. Lists and payouts take \
            `Authorization: Bearer KEY` only.",
        fix: "Compare the key of the caller with `listenKey`, and for pages and metrics with `observeKey`. A systemd \
            credential is read at the start of the unit only.",
    },
    MessageEntry {
        phrases: &[
            "Title: Not Found",
            "There is no … here.",
            "Title: Method Not Allowed",
        ],
        means: "404 or 405: the listener has no such path, account or list, or takes another method there. With \
            `observe`, pages and metrics are at that address.",
        fix: "THE LISTENER and OBSERVING list the paths. A proxy must not change them: an id with an escaped slash has to \
            arrive escaped.",
    },
    MessageEntry {
        phrases: &[
            "Title: Bad Request",
            "The parameter …",
            "in the query is not UTF-8",
            "There is no list",
            "the body is not a JSON object of the API",
        ],
        means: "400: a part of the request is not as the API says. The detail names it.",
        fix: "Correct the caller. If Formance is the caller, compare what the proxy in between does with paths and \
            headers.",
    },
    MessageEntry {
        phrases: &[
            "The head is malformed",
            "A line of the head does not end with CR LF",
            "The request line is incomplete",
            "The request's target must be a path or a URL",
            "There must be exactly one Host header",
            "The Authorization header is not text",
            "There is more than one Authorization header",
            "The request has both a Transfer-Encoding and a Content-Length",
            "The Content-Length is not a number",
            "There is more than one Content-Length",
        ],
        means: "400: the request breaks HTTP, or could be read in two ways by the proxy and by the listener. It was not \
            looked at further, and the connection is closed.",
        fix: "Look at what is in between: a proxy that adds a second header, or a script that writes HTTP by hand.",
    },
    MessageEntry {
        phrases: &[
            "This server supports HTTP/1.1 and HTTP/1.0 only",
            "Only the expectation 100-continue is supported",
            "The only Transfer-Encoding that is supported is chunked",
            "Title: Content Too Large",
            "Title: Request Header Fields Too Large",
            "Title: Request Timeout",
            "Title: Expectation Failed",
            "Title: Not Implemented",
            "Title: HTTP Version Not Supported",
        ],
        means: "The request is too long, too slow, or uses a part of HTTP that the listener does not have. The detail has \
            the limit.",
        fix: "Look at the proxy in between: neither Formance nor a browser sends such a request.",
    },
];
