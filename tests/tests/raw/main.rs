//! Raw bytes against a real listener: what is refused, what closes the connection, what holds nobody up.

mod corpus;
mod full;
mod greeting;
mod hostile;
mod links;
