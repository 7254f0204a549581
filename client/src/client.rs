//! The client and its builder.

use crate::admin::Admin;
use crate::breaker::{Breaker, CircuitBreaker};
use crate::connection::{Config, Connection, ReconnectPolicy};
use crate::error::Error;
use crate::receiver::{Receiver, ReceiverBuilder};
use crate::sender::Sender;
use crate::session::SessionReceiverBuilder;
use crate::transaction::Transaction;
use crate::url;
use postrider_protocol::limits;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a hello's other fields, generously.
const HELLO_BYTES: usize = 64;

/// A connection to a broker, shared by its clones and all senders and receivers made from them.
///
/// Cheap to clone. When the connection is lost it is made again in the background; calls wait for that, for as long as
/// the request timeout allows. Keep the client (or a sender or receiver of it) until all confirms are in: when the last
/// handle is dropped the connection finishes what it has, says goodbye and ends, but it is not made again.
///
/// ```no_run
/// # async fn run() -> Result<(), postrider_client::Error> {
/// let client = postrider_client::Client::connect("postrider://secret-token@localhost").await?;
/// println!("{}", client.admin().status().await?.version);
/// client.close().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Connects to `postrider://token@host:port` and authenticates. The port is 7707 where none is given; a token with
    /// `@`, `/` or `%` in it is percent-encoded.
    ///
    /// Tries once, so that a wrong address is found out at once; reconnecting is for connections that have worked.
    pub async fn connect(url: &str) -> Result<Client, Error> {
        Client::builder().url(url).connect().await
    }

    /// A client with other settings than the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Opens a sender to a queue or topic.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let sender = client.sender("orders").await?;
    /// # Ok(()) }
    /// ```
    pub async fn sender(&self, address: &str) -> Result<Sender, Error> {
        Sender::open(self.connection.clone(), address).await
    }

    /// Opens a receiver of a queue, a subscription (`topic/subscriptions/name`) or dead letters
    /// (`queue/$dead-letter`), with the default settings.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let mut dead_letters = client.receiver("orders/$dead-letter").await?;
    /// # Ok(()) }
    /// ```
    pub async fn receiver(&self, address: &str) -> Result<Receiver, Error> {
        self.receiver_builder(address).open().await
    }

    /// A receiver with other settings than the defaults.
    pub fn receiver_builder(&self, address: &str) -> ReceiverBuilder {
        ReceiverBuilder::new(self.connection.clone(), address)
    }

    /// A receiver of one session of a queue or subscription with `requires_session`.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let session = client.session_receiver("orders").next().wait(Duration::from_secs(30)).accept().await?;
    /// println!("{}", session.session_id());
    /// # Ok(()) }
    /// ```
    pub fn session_receiver(&self, address: &str) -> SessionReceiverBuilder {
        SessionReceiverBuilder::new(self.receiver_builder(address))
    }

    /// Begins a transaction: what it sends and settles happens all or not at all.
    pub fn transaction<'a>(&self) -> Transaction<'a> {
        Transaction::new(self.connection.clone())
    }

    /// Creates, changes, lists and deletes entities.
    pub fn admin(&self) -> Admin {
        Admin::new(self.connection.clone())
    }

    /// Ends the connection of all clones: waits for the confirms that are under way, closes the receivers, which lets go
    /// of everything not settled without counting an attempt, and says goodbye.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when the broker did not answer everything within the request timeout. The connection is ended
    /// then too, and what had no answer has an unknown outcome.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await
    }
}

/// Settings of a [`Client`].
///
/// ```no_run
/// use std::time::Duration;
/// # async fn run() -> Result<(), postrider_client::Error> {
/// let client = postrider_client::Client::builder()
///     .address("localhost:7707")
///     .token("secret-token")
///     .name("billing")
///     .request_timeout(Duration::from_secs(5))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until connect is called"]
pub struct ClientBuilder {
    address: Result<Option<String>, Error>,
    token: String,
    name: String,
    connect_timeout: Duration,
    request_timeout: Duration,
    reconnect: ReconnectPolicy,
    circuit_breaker: Option<CircuitBreaker>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        ClientBuilder {
            address: Ok(None),
            token: String::new(),
            name: String::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            reconnect: ReconnectPolicy::default(),
            circuit_breaker: None,
        }
    }
}

/// Leaves the token out.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("address", &self.address)
            .field("name", &self.name)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("reconnect", &self.reconnect)
            .field("circuit_breaker", &self.circuit_breaker)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Address and token in one: `postrider://token@host:port`. A wrong URL is reported by [`ClientBuilder::connect`].
    pub fn url(mut self, url: &str) -> Self {
        match url::parse(url) {
            Ok(target) => {
                self.address = Ok(Some(target.address));
                if !target.token.is_empty() {
                    self.token = target.token;
                }
            }
            Err(error) => self.address = Err(error),
        }
        self
    }

    /// Where the broker is: `host` or `host:port`.
    pub fn address(mut self, address: &str) -> Self {
        self.address = url::with_port(address).map(Some);
        self
    }

    /// The secret that authenticates.
    pub fn token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// What the client calls itself, for people who look at the broker.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// How long one attempt to connect and authenticate may take; 10 s where nothing is said.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call waits for its answer, reconnecting included; 30 s where nothing is said.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How the client comes back after losing its connection.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// Has sends fail at once after so many failures in a row, with [`Error::CircuitOpen`], instead of each waiting for
    /// a broker that cannot take it. Off where nothing is said.
    ///
    /// ```no_run
    /// use postrider_client::{CircuitBreaker, Client};
    /// use std::time::Duration;
    /// # async fn run() -> Result<(), postrider_client::Error> {
    /// let breaker = CircuitBreaker { failures: 5, pause: Duration::from_secs(10) };
    /// let client = Client::builder().url("postrider://token@localhost").circuit_breaker(breaker).connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn circuit_breaker(mut self, policy: CircuitBreaker) -> Self {
        self.circuit_breaker = Some(policy);
        self
    }

    /// Connects and authenticates.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a URL or address that cannot be read, [`Error::Connection`] when there is no
    /// broker, [`Error::Unauthorized`] when it does not know the token, [`Error::Protocol`] when it is something else.
    pub async fn connect(self) -> Result<Client, Error> {
        let missing =
            || Error::InvalidArgument("no broker is named; call url or address before connect".to_owned());
        let address = self.address?.ok_or_else(missing)?;
        check_hello(&self.token, &self.name)?;
        let config = Config {
            address,
            token: self.token,
            name: self.name,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            reconnect: self.reconnect,
            breaker: self.circuit_breaker.map(Breaker::new),
            client: draw_client()?,
        };
        Ok(Client { connection: Connection::open(config).await? })
    }
}

/// The client's number. Whoever knows it can take over the client's receivers, so that it must not be guessable.
fn draw_client() -> Result<u128, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Connection(format!("the system gives no random bits: {error}")))?;
    Ok(u128::from_ne_bytes(random))
}

fn check_hello(token: &str, name: &str) -> Result<(), Error> {
    let bytes = token.len() + name.len();
    let most = limits::UNAUTHENTICATED_FRAME_BYTES - HELLO_BYTES;
    if bytes <= most {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "token and name have {bytes} bytes together, at most {most} are allowed; shorten them"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_keeps_the_token_secret() {
        let builder = Client::builder().url("postrider://s3cret@h").token("t0ken");
        let shown = format!("{builder:?} {:?}", Client::builder().url("postrider://s3cret@h"));
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    }

    #[tokio::test]
    async fn says_what_is_missing() {
        let missing = Client::builder().connect().await.unwrap_err();
        assert!(missing.to_string().contains("url or address"));
        let long = Client::builder().address("h").token(&"x".repeat(5_000)).connect().await.unwrap_err();
        assert!(long.to_string().contains("shorten"));
    }
}
