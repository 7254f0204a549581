//! The systems that are compared.

use clap::ValueEnum;
use serde::Serialize;

/// A broker, set up in one way.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Postrider
    Postrider,
    /// RabbitMQ with quorum queues
    Rabbitmq,
    /// NATS JetStream with a sync before each answer
    Nats,
    /// NATS JetStream as it comes, which answers before it syncs
    NatsUnsynced,
}

impl System {
    /// All of them, in the order of the table's columns.
    pub const ALL: [System; 4] = [System::Postrider, System::Rabbitmq, System::Nats, System::NatsUnsynced];

    /// As it is called in tables and arguments.
    pub fn name(self) -> &'static str {
        match self {
            System::Postrider => "postrider",
            System::Rabbitmq => "rabbitmq",
            System::Nats => "nats",
            System::NatsUnsynced => "nats-unsynced",
        }
    }

    /// Whether its program loads libraries, so that its syncs can be slowed down.
    pub fn takes_libraries(self) -> bool {
        matches!(self, System::Postrider | System::Rabbitmq)
    }
}
