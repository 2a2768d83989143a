//! Flags, names and verbs that cannot be meant, or not now.

use super::Row;

fn usage(what: &'static str, run: &'static str, says: &[&'static str]) -> Row {
    Row::new(what, run, 2, says)
}

fn refused(
    what: &'static str,
    run: &'static str,
    says: &[&'static str],
    reason: &'static str,
) -> Row {
    Row::new(what, run, 4, says).details(reason)
}

pub fn rows() -> Vec<Row> {
    vec![
        usage(
            "an unknown flag",
            "status --sumary p/created",
            &[
                "unexpected argument '--sumary' found",
                "a similar argument exists: '--summary'; `muster --help` explains the flags",
            ],
        ),
        usage(
            "an unknown verb",
            "instanciate p/created",
            &[
                "unrecognized subcommand 'instanciate'",
                "a similar subcommand exists: 'instantiate'; `muster --help`",
            ],
        ),
        usage(
            "a flag without its value",
            "apply -f",
            &[
                "a value is required for '--filename <FILE|DIR|->'",
                "; `muster --help`",
            ],
        ),
        usage(
            "a verb without its object",
            "status",
            &["the following required arguments were not provided: <DIG>; `muster --help`"],
        ),
        usage(
            "an unknown format",
            "get dig -o xml",
            &[
                "invalid value 'xml' for '--output <FORMAT>'",
                "; `muster --help`",
            ],
        ),
        usage(
            "a time in words",
            "get dig --timeout soon",
            &[
                "`soon` is no duration",
                "write it like 30s, 5m or 1h30m; `muster --help`",
            ],
        ),
        usage(
            "an unknown state",
            "status p/created --state Gone",
            &[
                "invalid value 'Gone' for '--state <STATE>'",
                "; `muster --help`",
            ],
        ),
        usage(
            "a number below its range",
            "events p/created --tail 0",
            &["invalid value '0' for '--tail <N>'", "; `muster --help`"],
        ),
        usage(
            "an unknown kind",
            "get pods",
            &["`pods` is no kind; the kinds are cluster, app, dig"],
        ),
        usage(
            "two kinds at once",
            "get dig/created app/shop",
            &["there are several kinds; name things of one kind at a time"],
        ),
        usage(
            "a name of three parts",
            "status a/b/c",
            &["`a/b/c` names no deployment intent group; write NAME or PROJECT/NAME"],
        ),
        usage(
            "a project with a slash",
            "status created -p a/b",
            &["project: \"a/b\" holds a '/'", "; use lower-case letters"],
        )
        .details("project"),
        usage(
            "a project with a slash for documents",
            "apply -f - -p a/b",
            &["project: \"a/b\" holds a '/'", "; use lower-case"],
        )
        .stdin("a: b")
        .details("project"),
        usage(
            "a cluster that is no name",
            "get cluster a+b+c",
            &["more than one '+'; write PROVIDER+NAME"],
        )
        .details("cluster"),
        usage(
            "a filter that is no cluster",
            "status p/created --cluster a+b+c",
            &["more than one '+'; write PROVIDER+NAME"],
        )
        .details("cluster"),
        usage(
            "a request id with a space in front of a control character",
            "approve p/created --request-id a\u{7}",
            &["request_id: must be at most 128 printable characters; a UUID serves well"],
        )
        .details("request_id"),
        usage(
            "a server that is no address",
            "get dig --server ftp://x",
            &["`ftp://x` is no address of a server; write it like http://127.0.0.1:7443"],
        ),
        usage(
            "a password in the server's address",
            "get dig --server http://me:zq7-planted-marker@127.0.0.1:1",
            &["the server's address holds a user or password; leave them out"],
        ),
        usage(
            "a token that no header takes",
            "get dig --token a\u{7}b",
            &["the token holds characters that no token has; copy it again"],
        ),
        usage(
            "a CA certificate that is not there",
            "get dig --server https://127.0.0.1:1 --ca-cert DIR/none.pem",
            &[
                "cannot read the CA certificate none.pem",
                "; correct --ca-cert or MUSTER_CA_CERT",
            ],
        ),
        usage(
            "a CA certificate that is none",
            "get dig --server https://127.0.0.1:1 --ca-cert DIR/ca.pem",
            &["ca.pem holds no CA certificate; name a PEM file with --ca-cert"],
        )
        .file("ca.pem", "none"),
        Row::new(
            "a server that is not there",
            "get dig --server http://127.0.0.1:1",
            6,
            &[
                "cannot reach the server at http://127.0.0.1:1",
                "onnection refused; check that it runs",
            ],
        ),
        Row::new(
            "a group that does not exist",
            "status p/none",
            3,
            &["p/none does not exist; list what exists with `muster get dig`"],
        )
        .details("NOT_FOUND"),
        Row::new(
            "a cluster that does not exist",
            "get cluster none",
            3,
            &["default+none does not exist; list what exists with `muster get cluster`"],
        )
        .details("NOT_FOUND"),
        Row::new(
            "an app that does not exist",
            "get app p/none",
            3,
            &["p/none does not exist; list what exists with `muster get app`"],
        )
        .details("NOT_FOUND"),
        refused(
            "instantiate before approve",
            "instantiate p/created",
            &["p/created is Created, so instantiate is not possible; possible now: "],
            "WRONG_STATE",
        ),
        refused(
            "terminate before instantiate",
            "terminate p/created --yes",
            &["p/created is Created, so terminate is not possible; possible now: "],
            "WRONG_STATE",
        ),
        refused(
            "an unknown cluster",
            "instantiate p/lost",
            &[
                "DIG p/lost cannot be instantiated: app back: cluster acme+nowhere is not known; register it or name another one",
            ],
            "PLACEMENT",
        ),
        refused(
            "a label that nobody has",
            "instantiate p/unlabelled",
            &["app back: no cluster has the label zone=z9; label one or choose another label"],
            "PLACEMENT",
        ),
        refused(
            "an empty label",
            "instantiate p/blank",
            &["app back: the label is empty; write it as key=value"],
            "PLACEMENT",
        ),
        refused(
            "a placement without clusters",
            "instantiate p/nowhere",
            &["app back has no cluster; add a placement entry for it or for \"*\""],
            "PLACEMENT",
        ),
        refused(
            "no placement",
            "instantiate p/unplaced",
            &["app back has no cluster; add a placement entry"],
            "PLACEMENT",
        ),
        refused(
            "two apps with one object on a cluster",
            "instantiate p/twice",
            &["DIG p/twice cannot be instantiated", "ConfigMap", "; "],
            "PLAN",
        ),
        refused(
            "an object of another group",
            "instantiate p/second",
            &[
                "ConfigMap default/m on default+c1",
                "belongs to deployment intent group p/running",
                "; terminate p/running",
            ],
            "OBJECT_CLAIMED",
        ),
        refused(
            "an object of another group, asked beforehand",
            "instantiate p/second --dry-run",
            &[
                "ConfigMap default/m on default+c1",
                "belongs to deployment intent group p/running",
                "; terminate p/running",
            ],
            "OBJECT_CLAIMED",
        ),
        refused(
            "deleting a cluster in use",
            "delete cluster c1",
            &["default+c1", "p/running", "; "],
            "IN_USE",
        ),
        refused(
            "deleting an app in use",
            "delete app p/shop/v1",
            &["p/shop/v1", "p/running", "; "],
            "IN_USE",
        ),
        refused(
            "deleting a group that runs",
            "delete dig p/running",
            &["p/running is ", "; possible now: "],
            "WRONG_STATE",
        ),
    ]
}
