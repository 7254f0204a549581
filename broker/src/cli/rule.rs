//! `postrider rule`.

use super::connect::Global;
use super::failure::Failure;
use super::filter::RuleArgs;
use super::output::Row;
use super::parse::rfc3339_ms;
use super::subscription::Which;
use super::value;
use clap::{Args, Subcommand};
use postrider_client::{Error, ErrorCode};
use postrider_protocol::options::EntityKind;
use postrider_protocol::rule::{Condition, Filter, Rule, RuleInfo, Sample, ShadowInfo};
use serde_json::{Map, Value, json};

#[derive(Subcommand)]
pub enum RuleCommand {
    /// Add a rule to a subscription, which gets what any of its rules lets through
    #[command(visible_alias = "add", after_help = examples!(
        "postrider rule add order-events payment large --filter \"total >= @least\" --param least:int=1000",
        "postrider rule add order-events payment marked --filter \"region = 'eu'\" --action \"SET zone = 'eu'\"",
        "postrider rule add order-events payment tried --filter \"total > 10\" --shadow",
        "postrider rule create order-events payment urgent --where priority=high",
        "postrider rule create order-events payment large --where sys.subject=New --where items:int=100",
        "postrider rule create order-events analytics all --true",
    ))]
    Create(Change),
    /// List the rules of a subscription
    #[command(after_help = examples!("postrider rule list order-events payment"))]
    List(Which),
    /// Show a rule
    #[command(after_help = examples!("postrider rule show order-events payment urgent"))]
    Show(Named),
    /// Replace a rule, at once
    #[command(after_help = examples!(
        "postrider rule update order-events payment urgent --where priority=highest",
        "postrider rule update order-events payment large --filter \"total >= 500\"",
    ))]
    Update(Change),
    /// Make a shadow rule a real one
    #[command(after_help = examples!("postrider rule promote order-events payment tried"))]
    Promote(Named),
    /// Delete a rule
    #[command(after_help = examples!("postrider rule delete order-events payment '$default'"))]
    Delete(Named),
}

#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    which: Which,
    /// The rule's name
    rule: String,
}

#[derive(Args)]
pub struct Change {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    rule: RuleArgs,
}

impl RuleCommand {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            RuleCommand::Create(change) => change.create(global).await,
            RuleCommand::List(which) => list(global, &which).await,
            RuleCommand::Show(named) => named.show(global).await,
            RuleCommand::Update(change) => change.update(global).await,
            RuleCommand::Promote(named) => named.promote(global).await,
            RuleCommand::Delete(named) => named.delete(global).await,
        }
    }
}

impl Change {
    async fn create(self, global: &Global) -> Result<(), Failure> {
        let (named, rule) = self.rule()?;
        let client = global.connect().await?;
        client.admin().add_rule(&named.which.name()?, rule).await.map_err(|error| named.failure(error))?;
        named.done(global, "created")
    }

    async fn update(self, global: &Global) -> Result<(), Failure> {
        let (named, rule) = self.rule()?;
        let client = global.connect().await?;
        client
            .admin()
            .replace_rule(&named.which.name()?, rule)
            .await
            .map_err(|error| named.failure(error))?;
        named.done(global, "updated")
    }

    fn rule(self) -> Result<(Named, Rule), Failure> {
        let missing = "give what the rule lets through: --filter, --where, --true or --false";
        let rule = self.rule.rule(&self.named.rule).ok_or_else(|| Failure::usage(missing))?;
        rule.check()?;
        Ok((self.named, rule))
    }
}

async fn rules(global: &Global, which: &Which) -> Result<Vec<RuleInfo>, Failure> {
    let client = global.connect().await?;
    client.admin().rules(&which.name()?).await.map_err(Failure::about(EntityKind::Subscription))
}

async fn list(global: &Global, which: &Which) -> Result<(), Failure> {
    let rows: Vec<_> = rules(global, which).await?.iter().map(row).collect();
    Ok(global.printer().list(&rows, "no rules; the subscription gets nothing")?)
}

impl Named {
    async fn show(&self, global: &Global) -> Result<(), Failure> {
        let rules = rules(global, &self.which).await?;
        let found = rules.iter().find(|info| info.rule.name.eq_ignore_ascii_case(&self.rule));
        let missing =
            || Failure::refused(format!("NotFound: there is no rule {}", self.rule)).hint(self.listing());
        Ok(global.printer().one(&row(found.ok_or_else(missing)?))?)
    }

    async fn promote(&self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let promoted = client.admin().promote_rule(&self.which.name()?, &self.rule).await;
        promoted.map_err(|error| self.failure(error))?;
        self.done(global, "promoted")
    }

    async fn delete(&self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let deleted = client.admin().delete_rule(&self.which.name()?, &self.rule).await;
        deleted.map_err(|error| self.failure(error))?;
        self.done(global, "deleted")
    }

    /// What is missing can be the rule or the subscription: the list tells.
    fn failure(&self, error: Error) -> Failure {
        let unclear = matches!(error.code(), Some(ErrorCode::NotFound | ErrorCode::AlreadyExists));
        let failure = Failure::about(EntityKind::Subscription)(error);
        if unclear { failure.hint(self.listing()) } else { failure }
    }

    fn listing(&self) -> String {
        format!("see what is there with: postrider rule list {}", self.which.words())
    }

    fn done(&self, global: &Global, what: &str) -> Result<(), Failure> {
        let name = self.which.name()?;
        let row = Row::new().column("kind", "rule").column("name", self.rule.as_str());
        let row = row.column("subscription", name.as_str()).column("result", what);
        Ok(global.printer().done(&format!("rule {} of {name} {what}", self.rule), &row)?)
    }
}

fn row(info: &RuleInfo) -> Row {
    let rule = &info.rule;
    let row = Row::new().column("name", rule.name.as_str()).column("filter", rule.filter.to_string());
    let row = row.column("action", rule.action.clone());
    let row = row.column("shadow_matched", info.shadow.as_ref().map(|seen| seen.matched));
    let (kind, conditions) = match &rule.filter {
        Filter::True => ("true", &[][..]),
        Filter::False => ("false", &[][..]),
        Filter::Correlation(conditions) => ("correlation", conditions.as_slice()),
        Filter::Sql(_) => ("sql", &[][..]),
    };
    let row = row.data("kind", kind).data("conditions", conditions.iter().map(condition).collect::<Vec<_>>());
    let parameters: Map<_, _> =
        rule.parameters.iter().map(|(name, value)| (name.clone(), value::to_json(value))).collect();
    let row = row.detail("parameters", Value::Object(parameters));
    match &info.shadow {
        Some(seen) => row.detail("shadow", shadow(seen)),
        None => row,
    }
}

/// What a shadow rule has seen since it was put, or since the broker started.
fn shadow(seen: &ShadowInfo) -> Value {
    let sample = |sample: &Sample| json!({ "sequence": sample.sequence, "time": rfc3339_ms(sample.time_ms) });
    json!({
        "since": rfc3339_ms(seen.since_ms),
        "matched": seen.matched,
        "failed": seen.failed,
        "samples": seen.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn condition(condition: &Condition) -> Value {
    let scope = if condition.system { "sys." } else { "" };
    json!({ "field": format!("{scope}{}", condition.name), "value": value::to_json(&condition.value) })
}
