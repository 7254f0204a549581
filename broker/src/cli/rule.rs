//! `postrider rule`.

use super::connect::Global;
use super::failure::Failure;
use super::filter::FilterArgs;
use super::output::Row;
use super::subscription::Which;
use super::value;
use clap::{Args, Subcommand};
use postrider_client::{Error, ErrorCode};
use postrider_protocol::options::EntityKind;
use postrider_protocol::rule::{Condition, Filter, Rule};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub enum RuleCommand {
    /// Add a rule to a subscription, which gets what any of its rules lets through
    #[command(after_help = examples!(
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
    /// Replace what a rule lets through, at once
    #[command(after_help = examples!("postrider rule update order-events payment urgent --where priority=highest"))]
    Update(Change),
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
    filter: FilterArgs,
}

impl RuleCommand {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            RuleCommand::Create(change) => change.create(global).await,
            RuleCommand::List(which) => list(global, &which).await,
            RuleCommand::Show(named) => named.show(global).await,
            RuleCommand::Update(change) => change.update(global).await,
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
        let filter = self.filter.filter();
        let filter = filter
            .ok_or_else(|| Failure::usage("give what the rule lets through: --where, --true or --false"))?;
        let rule = Rule { name: self.named.rule.clone(), filter };
        rule.check()?;
        Ok((self.named, rule))
    }
}

async fn rules(global: &Global, which: &Which) -> Result<Vec<Rule>, Failure> {
    let client = global.connect().await?;
    let info = client.admin().get(&which.name()?).await.map_err(Failure::about(EntityKind::Subscription))?;
    Ok(info.rules)
}

async fn list(global: &Global, which: &Which) -> Result<(), Failure> {
    let rows: Vec<_> = rules(global, which).await?.iter().map(row).collect();
    Ok(global.printer().list(&rows, "no rules; the subscription gets nothing")?)
}

impl Named {
    async fn show(&self, global: &Global) -> Result<(), Failure> {
        let rules = rules(global, &self.which).await?;
        let found = rules.iter().find(|rule| rule.name.eq_ignore_ascii_case(&self.rule));
        let missing =
            || Failure::refused(format!("NotFound: there is no rule {}", self.rule)).hint(self.listing());
        Ok(global.printer().one(&row(found.ok_or_else(missing)?))?)
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

fn row(rule: &Rule) -> Row {
    let row = Row::new().column("name", rule.name.as_str()).column("filter", rule.filter.to_string());
    let (kind, conditions) = match &rule.filter {
        Filter::True => ("true", &[][..]),
        Filter::False => ("false", &[][..]),
        Filter::Correlation(conditions) => ("correlation", conditions.as_slice()),
        Filter::Sql(_) => ("sql", &[][..]),
    };
    row.data("kind", kind).data("conditions", conditions.iter().map(condition).collect::<Vec<_>>())
}

fn condition(condition: &Condition) -> Value {
    let scope = if condition.system { "sys." } else { "" };
    json!({ "field": format!("{scope}{}", condition.name), "value": value::to_json(&condition.value) })
}
