//! An order and its confirmation e-mail, and files of orders: JSON lines.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The domain whose addresses take no e-mail. Names below `.invalid` never exist (RFC 2606).
pub const BOUNCING_DOMAIN: &str = "bounce.invalid";

/// What a customer ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Unique; also the id of the message that tells of the order.
    pub order_id: String,
    /// UTC, as in `2026-03-02T08:00:00Z`.
    pub created_at: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Who ordered.
    pub customer: Customer,
    /// What was ordered.
    pub items: Vec<Item>,
    /// What it costs in all.
    pub amount: f64,
    /// Three letters, as in `EUR`.
    pub currency: String,
}

/// How urgent an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// In its turn.
    Normal,
    /// Before all others.
    High,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Priority::Normal => "normal",
            Priority::High => "high",
        })
    }
}

/// Who ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// First and last name.
    pub name: String,
    /// Where the confirmation goes.
    pub email: String,
    /// Two letters, as in `DE`.
    pub country: String,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The article's number.
    pub sku: String,
    /// The article's name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What one costs, in the order's currency.
    pub unit_price: f64,
}

/// The e-mail that confirms an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The address.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// The text.
    pub text: String,
}

impl Email {
    /// Confirms `order` to its customer.
    pub fn confirming(order: &Order) -> Self {
        let Order { order_id, customer, items, amount, currency, .. } = order;
        let text = format!(
            "Dear {},\n\nthank you for your order of {} article(s) for {amount:.2} {currency}.\n\nCloudMart",
            customer.name,
            items.iter().map(|item| item.quantity).sum::<u32>(),
        );
        Email { to: customer.email.clone(), subject: format!("Your order {order_id}"), text }
    }

    /// The id of the message with the confirmation of an order: the same however often it is sent.
    pub fn id(order_id: &str) -> String {
        format!("email-{order_id}")
    }

    /// Whether the address takes no e-mail.
    pub fn bounces(&self) -> bool {
        self.to.ends_with(BOUNCING_DOMAIN)
    }
}

/// Reads a file of orders, one line at a time.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Order>>> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let lines = BufReader::new(file).lines().zip(1u64..);
    Ok(lines.map(move |(line, number)| {
        serde_json::from_str(&line?).with_context(|| format!("{name}, line {number}: not an order"))
    }))
}
