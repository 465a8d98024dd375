//! Keys that must not be the same: whoever holds the one must not get what the other opens.

use super::Context;
use super::targets::{TargetConfig, TargetKind};
use crate::secret::{Rotating, Secret};
use crate::serve::Settings;

/// A key that is sent to somebody, or that others send.
struct NamedKey {
    /// How messages name it.
    name: String,
    /// What it opens, as a clause.
    opens: &'static str,
    values: Vec<Secret>,
}

/// Compares the keys of everybody with each other. The keys of the listener stay apart from those that are sent when they are
/// replaced, too.
pub(super) fn check(
    api_key: &Rotating,
    serve: &mut Settings,
    publish: Option<&[TargetConfig]>,
    context: &mut Context,
) -> Result<(), String> {
    let (api, targets) = (of_service(api_key), targets(publish.unwrap_or_default()));
    let sent: Vec<Rotating> = targets.iter().map(|(_, secret)| secret.clone()).collect();
    let listen = serve.listen.as_mut().map(|listen| {
        listen.keys.keep_apart_from(sent.clone());
        let values = listen.keys.keys().to_vec();
        NamedKey {
            name: "\"listenKey\"".to_owned(),
            opens: "opens the listener, payouts included",
            values,
        }
    });
    let observe = serve.observe.as_mut().map(|observe| {
        observe
            .keys
            .keep_apart_from(sent.into_iter().chain([api_key.clone()]).collect());
        let values = observe.keys.keys().to_vec();
        NamedKey {
            name: "\"observeKey\"".to_owned(),
            opens: "opens the status and the records in quarantine",
            values,
        }
    });
    let targets: Vec<&NamedKey> = targets.iter().map(|(target, _)| target).collect();
    // They may have been one key for long, and the connector works.
    for key in listen
        .iter()
        .chain(targets.iter().copied())
        .filter(|key| key.is_shared(&api))
    {
        context.warnings.push(format!(
            "{} is the same as {}: whoever has the one has the other; give it a value of its own, made with: openssl rand -hex 32",
            key.name, api.name
        ));
    }
    let ours: Vec<&NamedKey> = listen.iter().chain(&observe).collect();
    let targets = targets.into_iter().map(|target| (target, &ours[..]));
    let api = [&api];
    let observe = observe.as_ref().map(|observe| (observe, &api[..]));
    for (key, others) in targets.chain(observe) {
        if let Some(other) = others.iter().find(|other| key.is_shared(other)) {
            return Err(format!(
                "{} is the same as {}, which {}: give it a key of its own",
                key.name, other.name, other.opens
            ));
        }
    }
    Ok(())
}

impl NamedKey {
    fn is_shared(&self, other: &NamedKey) -> bool {
        self.values.iter().any(|value| other.values.contains(value))
    }
}

fn of_service(api_key: &Rotating) -> NamedKey {
    NamedKey {
        name: "\"apiKey\"".to_owned(),
        opens: "opens the service, payouts included",
        values: vec![api_key.current()],
    }
}

/// What is sent to the targets.
fn targets(publish: &[TargetConfig]) -> Vec<(NamedKey, Rotating)> {
    let target = |target: &TargetConfig| {
        let (key, secret) = match &target.kind {
            TargetKind::Http(settings) => ("apiKey", settings.key.clone()?),
            TargetKind::Formance(settings) => (
                "clientSecret",
                settings.credentials.as_ref()?.secret.clone(),
            ),
            TargetKind::NdjsonFile(_) | TargetKind::NdjsonStdout => return None,
        };
        let named = NamedKey {
            name: format!("the \"{key}\" of the publisher \"{}\"", target.name),
            opens: "opens the target",
            values: vec![secret.current()],
        };
        Some((named, secret))
    };
    publish.iter().filter_map(target).collect()
}
