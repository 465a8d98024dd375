use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["connection refused; is the service running"],
        means: "The machine answers, and nothing listens at that port. The service is down, or the port is wrong. Nothing \
            is lost, the first good poll catches up.",
        fix: "Start the service, or correct the port in the key that the message names.",
    },
    MessageEntry {
        phrases: &["the host name cannot be resolved"],
        means: "DNS has no address for the host, or does not answer this machine.",
        fix: "Compare the name with the one in the configuration, then look it up on this machine: `getent hosts NAME`.",
    },
    MessageEntry {
        phrases: &["no connection in time"],
        means: "Nothing answers at that address: the host is down, or a firewall drops the packets.",
        fix: "Try it from this machine: `curl -v ADDRESS`. Ask whoever runs the network about port and route.",
    },
    MessageEntry {
        phrases: &["no complete answer within … s (requestTimeout)"],
        means: "The service takes longer for the answer than `requestTimeout` allows.",
        fix: "Look at what the service does at that time. A lower `pageSize` makes its answers shorter (H6, H7); a higher \
            `requestTimeout` waits longer.",
    },
    MessageEntry {
        phrases: &[
            "the server closed the connection before it answered",
            "stopped before an answer arrived",
        ],
        means: "The connection ended before the answer was complete: the service or a proxy closed it, or this program is \
            being stopped. The request is sent again where that is safe.",
        fix: "If it continues, look at the log of the service and at the time limits of the proxy in between.",
    },
    MessageEntry {
        phrases: &["the request was not sent: its … has … bytes"],
        means: "An id or a key is longer than a request can carry, so no request was made. Trying again does not help.",
        fix: "The message says which part it is. If it is an account's id, have the service use shorter ones.",
    },
    MessageEntry {
        phrases: &["TLS failed (…)", "have the server's certificate corrected"],
        means: "The connection is there, and the certificate or the protocol of the other side is not acceptable. The \
            message says why.",
        fix: "`openssl s_client -connect HOST:PORT` shows the certificate. One that is self-signed, or of a private \
            authority, needs `caFile`.",
    },
    MessageEntry {
        phrases: &[
            "the server needs a new certificate, unless the clock",
            "is the clock of this machine right?",
        ],
        means: "The certificate has expired, or is not valid yet, by the clock of this machine.",
        fix: "Look at the clock with `timedatectl`. If it is right, have the certificate renewed, or the clock corrected \
            of the machine that issued it.",
    },
    MessageEntry {
        phrases: &["to a name that the certificate has, or have it issued for this one"],
        means: "The certificate is for another name than the one in the configuration, for example because an IP address \
            is written there.",
        fix: "Write a name that the certificate has: `openssl s_client -connect HOST:PORT | openssl x509 -noout -ext \
            subjectAltName` lists them.",
    },
    MessageEntry {
        phrases: &[
            "if the service's certificate is of a private authority",
            "caFile has another certificate of that name",
            "which counts only if caFile has it, byte for byte",
        ],
        means: "No authority that this program knows has issued the certificate, and `caFile` has neither that authority \
            nor this very certificate.",
        fix: "Put the certificate of the authority, or a self-signed one itself, into the file of `caFile`. With a new \
            certificate of the service, that file needs the new one, too.",
    },
    MessageEntry {
        phrases: &["is it TLS that the server speaks at the port"],
        means: "Something answers at that port, and it does not speak TLS.",
        fix: "Compare the port. A service without TLS has an `http:` address.",
    },
    MessageEntry {
        phrases: &["the certificate of the service expires at"],
        means: "The certificate that the service shows is accepted for two weeks more at most. After that, every request \
            fails.",
        fix: "Have the service renew it. If `caFile` holds the certificate itself, put the new one beside the old one \
            there first.",
    },
    MessageEntry {
        phrases: &[
            "is not a PEM file",
            "contains no certificate in PEM format",
            "contains no certificate that can be used",
            "the host is neither a name nor an address",
        ],
        means: "`caFile` has no certificate that can be used, or the address has no name to compare with one.",
        fix: "Set `caFile` to a text file with `-----BEGIN CERTIFICATE-----`. `openssl x509 -in FILE -noout -text` shows \
            one.",
    },
    MessageEntry {
        phrases: &[
            "answered with status …, but …; is endpoint right?",
            "the body is not … (",
            "the body is empty, not",
        ],
        means: "The body is not what the API says, such as a login page or an object around a list. The message shows how \
            it starts.",
        fix: "Compare `endpoint` with the address of the service. `check --only L1` shows the beginning of the body.",
    },
    MessageEntry {
        phrases: &["the body is not UTF-8"],
        means: "The service, or the caller of the listener, sends JSON in another encoding.",
        fix: "Have the sender encode its JSON in UTF-8.",
    },
    MessageEntry {
        phrases: &["but only gzip was accepted", "the body is not gzip"],
        means: "The service, or a proxy in between, compresses its answers in a way that was not asked for, or breaks \
            them.",
        fix: "Look at the proxy first. The service has to answer without `Content-Encoding`, or with gzip where the \
            request accepts it (H4).",
    },
    MessageEntry {
        phrases: &["of its … elements break the API"],
        means: "A page has more than 10,000 elements that break the API, so it is taken for something else than a list of \
            records: `endpoint` may be that of another API.",
        fix: "The first broken element is in the message. Run `check --only Records`.",
    },
    MessageEntry {
        phrases: &[
            "answered 404…: the service does not know it",
            "the account no longer exists",
        ],
        means: "The path or the account does not exist at the service.",
        fix: "If it is a list, compare `endpoint`: a prefix such as /v1 may be missing. If it is an account's balances, \
            the account is gone (B1); it stops failing once a sweep does not find the account either.",
    },
    MessageEntry {
        phrases: &["counts as closed: the service no longer lists it"],
        means: "The service no longer lists the account, and answers 404 for its balances. That is no failure any more; \
            its last balances stay.",
        fix: "Nothing, unless the account should be there: then look for it in the service.",
    },
    MessageEntry {
        phrases: &[
            "the service withholds those of this account",
            "it names the account …, which was not requested",
            "accountID is …, not the account of the request",
        ],
        means: "The service lists the account, but refuses its balances or answers with those of another account.",
        fix: "Ask for /accounts/ID/balances by hand. Have the service answer `[]` for an account without balances (B1).",
    },
    MessageEntry {
        phrases: &["requests in a row failed: the remaining accounts wait"],
        means: "The balances of several accounts in a row could not be read, so this poll asks for no more of them. The \
            next poll begins with those that were left.",
        fix: "Look at the lines before it; the cause is there.",
    },
    MessageEntry {
        phrases: &["a redirect to …, which is not followed"],
        means: "It leads to another scheme, host or port, where the key must not go, or it answers a payout, which could \
            then be made twice.",
        fix: "Set `endpoint` (or the target's `url`) to the address that the redirect names (A6).",
    },
    MessageEntry {
        phrases: &["answered with more than … bytes"],
        means: "The body has more bytes than `maxBodyBytes` allows. It was not read to its end.",
        fix: "Lower `pageSize`, or raise `maxBodyBytes`. Formance, polling the service directly, takes at most 2 MiB (H8).",
    },
    MessageEntry {
        phrases: &["answered 5"],
        means: "The service or the target failed, or is down. The request is tried again, and what is left waits for the \
            next poll.",
        fix: "Look at the log of the other side at that time.",
    },
    MessageEntry {
        phrases: &[
            "answered 400",
            "answered 403",
            "answered 405",
            "answered 406",
            "answered 409",
            "answered 410",
            "answered 422",
        ],
        means: "The other side understands the request, and does not accept it as it is. Sending it again changes nothing.",
        fix: "The text behind the status is its reason. Look at its log at that time; `check` sends each kind of request to \
            the service, and shows a right answer.",
    },
    MessageEntry {
        phrases: &["answered 429"],
        means: "The other side takes fewer requests than it is sent.",
        fix: "Set `maxRequestsPerSecond` or lower `workers`. The service should send Retry-After (E3).",
    },
    MessageEntry {
        phrases: &["more requests failed"],
        means: "A poll logs the first failures of a stream one by one. This line counts the rest of them.",
        fix: "The lines before it have the reasons. `--verbose` logs each one.",
    },
];
