//! The tables of spec §1 as data, compared with the machines for every state and event.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{context, dig, resource, *};
use std::collections::BTreeMap;

type DigRow = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [DigEvent],
    &'static str,
);

/// From states, context states (`*` = any, `-` = none), events, to; `=` is unchanged.
const DIG: &[DigRow] = {
    use DigEvent::*;
    &[
        (&["[*]"], &["*"], &[Create], "Created"),
        (&["Created", "Approved"], &["*"], &[Modify], "Created"),
        (&["Terminated"], &["Terminated"], &[Modify], "Created"),
        (&["Created"], &["*"], &[Approve], "Approved"),
        (&["Approved"], &["*"], &[Approve], "="),
        (
            &["Approved", "Terminated"],
            &["-", "Terminated"],
            &[Instantiate],
            "Instantiated",
        ),
        (&["Instantiated"], &["*"], &[Terminate], "Terminated"),
        (
            &["Instantiated"],
            &["Instantiating"],
            &[Stop],
            "InstantiateStopped",
        ),
        (
            &["Terminated"],
            &["Terminating"],
            &[Stop],
            "TerminateStopped",
        ),
        (
            &["Instantiated"],
            &["InstantiateFailed"],
            &[Retry],
            "Instantiated",
        ),
        (&["InstantiateStopped"], &["*"], &[Retry], "Instantiated"),
        (
            &["Terminated"],
            &["TerminateFailed"],
            &[Retry, Terminate],
            "Terminated",
        ),
        (
            &["TerminateStopped"],
            &["*"],
            &[Retry, Terminate],
            "Terminated",
        ),
        (&["InstantiateStopped"], &["*"], &[Terminate], "Terminated"),
        (
            &["Terminated"],
            &["PreTerminate", "Terminating"],
            &[Terminate],
            "=",
        ),
        (
            &["Instantiated", "InstantiateStopped"],
            &["*"],
            &[Modify],
            "=",
        ),
        (
            &["Instantiated", "InstantiateStopped"],
            &["*"],
            &[Update, Rollback, Migrate],
            "Instantiated",
        ),
        (
            &["Created", "Approved", "Terminated"],
            &["-", "Terminated"],
            &[Delete],
            "[*]",
        ),
    ]
};

const CONTEXT: &[(&[&str], &[ContextEvent], &str)] = {
    use ContextEvent::*;
    &[
        (&["[*]"], &[Instantiate], "Instantiating"),
        (&["Instantiating"], &[Settled], "Instantiated"),
        (&["Instantiating"], &[SettledFailed], "InstantiateFailed"),
        (&["Instantiating"], &[Terminate], "PreTerminate"),
        (&["PreTerminate"], &[WindowClosed], "Terminating"),
        (
            &["Instantiated", "InstantiateFailed", "TerminateFailed"],
            &[Terminate],
            "Terminating",
        ),
        (&["Terminating"], &[Settled], "Terminated"),
        (&["Terminating"], &[SettledFailed], "TerminateFailed"),
        (&["Instantiating"], &[Stop], "InstantiateFailed"),
        (&["Terminating"], &[Stop], "TerminateFailed"),
        (&["InstantiateFailed"], &[Retry], "Instantiating"),
        (&["TerminateFailed"], &[Retry], "Terminating"),
        (
            &["Instantiated", "InstantiateFailed", "UpdateFailed"],
            &[Update, Rollback, Migrate],
            "Updating",
        ),
        (&["Updating"], &[Settled], "Instantiated"),
        (&["Updating"], &[SettledFailed], "UpdateFailed"),
        (&["UpdateFailed"], &[Retry], "Updating"),
        (&["Updating", "UpdateFailed"], &[Terminate], "PreTerminate"),
    ]
};

const RESOURCE: &[(&[&str], &[ResourceEvent], &str)] = {
    use ResourceEvent::*;
    &[
        (&["[*]"], &[Instantiate], "Pending(Apply)"),
        (
            &["Pending(Apply)", "Retrying(Apply)"],
            &[Applied],
            "Applied",
        ),
        (
            &["Pending(Apply)", "Retrying(Apply)"],
            &[Transient],
            "Retrying(Apply)",
        ),
        (
            &["Pending(Delete)", "Retrying(Delete)"],
            &[Transient],
            "Retrying(Delete)",
        ),
        (
            &["Pending(Apply)", "Retrying(Apply)"],
            &[Refused],
            "Failed(Apply)",
        ),
        (
            &["Pending(Delete)", "Retrying(Delete)"],
            &[Refused],
            "Failed(Delete)",
        ),
        (
            &["Applied"],
            &[Terminate { sent: true }, Terminate { sent: false }],
            "Pending(Delete)",
        ),
        (
            &["Pending(Apply)", "Retrying(Apply)", "Failed(Apply)"],
            &[Terminate { sent: false }],
            "Deleted",
        ),
        (
            &["Pending(Apply)", "Retrying(Apply)", "Failed(Apply)"],
            &[Terminate { sent: true }],
            "Pending(Delete)",
        ),
        (
            &["Pending(Delete)", "Retrying(Delete)"],
            &[Gone, Kept],
            "Deleted",
        ),
        (&["Pending(Apply)"], &[Used], "Applied"),
        (&["Deleted"], &[Found], "Pending(Delete)"),
        (
            &["Retrying(Delete)", "Failed(Delete)"],
            &[Terminate { sent: true }, Terminate { sent: false }],
            "Pending(Delete)",
        ),
        (
            &["Retrying(Apply)", "Failed(Apply)"],
            &[Instantiate],
            "Pending(Apply)",
        ),
    ]
};

/// `None` and every state.
fn with_none<S: Copy>(all: &[S]) -> Vec<Option<S>> {
    std::iter::once(None)
        .chain(all.iter().copied().map(Some))
        .collect()
}

#[test]
fn the_dig_machine_is_the_table_of_the_spec() {
    let mut listed = BTreeMap::new();
    for (from, contexts, events, to) in DIG {
        for state in *from {
            for context in with_none(ContextState::ALL) {
                let named = context.map_or("-", ContextState::as_str);
                if !contexts.contains(&"*") && !contexts.contains(&named) {
                    continue;
                }
                for event in *events {
                    let to = if *to == "=" { state } else { to };
                    let twice = listed.insert((*state, context, *event), *to);
                    assert_eq!(twice, None, "{state} {context:?} {event} is listed twice");
                }
            }
        }
    }
    for state in with_none(DigState::ALL) {
        for context in with_none(ContextState::ALL) {
            for event in DigEvent::ALL {
                let from = state_text(state);
                let want = listed.get(&(from.as_str(), context, *event)).copied();
                let got = dig::next(state, context, *event);
                assert_eq!(
                    got.as_ref().ok().map(|state| state_text(*state)).as_deref(),
                    want,
                    "{from} (context {context:?}) {event}"
                );
                if let Err(refused) = got {
                    assert_eq!(
                        refused.to_string(),
                        format!("DIG is {from}: {} is not possible", event.verb())
                    );
                }
            }
        }
    }
}

#[test]
fn the_context_machine_is_the_table_of_the_spec() {
    let mut listed = BTreeMap::new();
    for (from, events, to) in CONTEXT {
        for state in *from {
            for event in *events {
                assert_eq!(
                    listed.insert((*state, *event), *to),
                    None,
                    "{state} {event}"
                );
            }
        }
    }
    for state in with_none(ContextState::ALL) {
        for event in ContextEvent::ALL {
            let from = state_text(state);
            let got = context::next(state, *event).ok().map(state_text);
            assert_eq!(
                got.as_deref(),
                listed.get(&(from.as_str(), *event)).copied(),
                "{from} {event}"
            );
        }
    }
}

#[test]
fn the_resource_machine_is_the_table_of_the_spec_and_takes_a_repeat() {
    let mut listed = BTreeMap::new();
    for (from, events, to) in RESOURCE {
        for state in *from {
            for event in *events {
                assert_eq!(
                    listed.insert((*state, *event), *to),
                    None,
                    "{state} {event}"
                );
            }
        }
    }
    // "The event that led here, once more" wherever the table says nothing else.
    for (event, to) in listed
        .clone()
        .into_iter()
        .map(|((_, event), to)| (event, to))
    {
        listed.entry((to, event)).or_insert(to);
    }
    for state in with_none(ResourceState::ALL) {
        for event in ResourceEvent::ALL {
            let from = state_text(state);
            let got = resource::next(state, *event).ok().map(state_text);
            assert_eq!(
                got.as_deref(),
                listed.get(&(from.as_str(), *event)).copied(),
                "{from} {event}"
            );
        }
    }
}

#[test]
fn an_unsent_resource_is_never_pending_delete_by_terminate_and_a_sent_one_never_skips_it() {
    for state in ResourceState::ALL {
        let unsent = resource::next(Some(*state), ResourceEvent::Terminate { sent: false });
        let sent = resource::next(Some(*state), ResourceEvent::Terminate { sent: true });
        if state.goal() == Goal::Apply && *state != ResourceState::Applied {
            assert_eq!(unsent, Ok(Some(ResourceState::Deleted)));
        }
        assert_ne!(sent, Ok(Some(ResourceState::Deleted)), "{state}");
    }
}

#[test]
fn instantiated_never_follows_pre_terminate() {
    // Everything that can be reached from PreTerminate without a new life.
    let mut seen = vec![ContextState::PreTerminate];
    let mut at = 0;
    while at < seen.len() {
        for event in ContextEvent::ALL {
            if let Ok(Some(to)) = context::next(Some(seen[at]), *event)
                && !seen.contains(&to)
            {
                seen.push(to);
            }
        }
        at += 1;
    }
    use ContextState::*;
    seen.sort();
    assert_eq!(
        seen,
        [PreTerminate, Terminating, Terminated, TerminateFailed]
    );
}

#[test]
fn allowed_verbs_follow_both_machines_and_only_built_ones_are_offered() {
    use ContextState as C;
    use DigState as S;
    let cases = [
        (S::Created, None, "approve delete"),
        (S::Approved, None, "approve delete instantiate"),
        (
            S::Approved,
            Some(C::Terminated),
            "approve delete instantiate",
        ),
        (S::Instantiated, Some(C::Instantiating), "stop terminate"),
        (S::Instantiated, Some(C::Instantiated), "terminate"),
        (
            S::Instantiated,
            Some(C::InstantiateFailed),
            "retry terminate",
        ),
        (
            S::InstantiateStopped,
            Some(C::InstantiateFailed),
            "retry terminate",
        ),
        (S::Terminated, Some(C::PreTerminate), "terminate"),
        (S::Terminated, Some(C::Terminating), "stop terminate"),
        (S::Terminated, Some(C::TerminateFailed), "retry terminate"),
        (
            S::TerminateStopped,
            Some(C::TerminateFailed),
            "retry terminate",
        ),
        (S::Terminated, Some(C::Terminated), "delete instantiate"),
    ];
    for (state, context, want) in cases {
        let got: Vec<_> = allowed_verbs(state, context)
            .into_iter()
            .map(DigEvent::verb)
            .collect();
        assert_eq!(got.join(" "), want, "{state} {context:?}");
    }
}

#[test]
fn every_name_reads_back() {
    for state in ResourceState::ALL {
        assert_eq!(
            ResourceState::from_name(state.name(), state.goal()),
            Ok(*state)
        );
        assert_eq!(state.to_string().parse(), Ok(*state));
        assert!(ResourceState::NAMES.contains(&state.name()));
    }
    for event in ResourceEvent::ALL {
        assert_eq!(event.as_str().parse(), Ok(*event));
    }
    for event in DigEvent::ALL {
        assert_eq!(event.verb().parse(), Ok(*event));
        assert_eq!(event.as_str().to_lowercase(), event.verb());
    }
    for state in ContextState::ALL {
        assert_eq!(state.to_string().parse(), Ok(*state));
    }
    for state in DigState::ALL {
        assert_eq!(state.to_string().parse(), Ok(*state));
    }
    assert_eq!(
        "Gone".parse::<DigState>().unwrap_err().to_string(),
        "\"Gone\" is no DIG state"
    );
}
