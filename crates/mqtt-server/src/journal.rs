//! Journaled messages: they are written to the journal before they are acknowledged.

use std::time::Duration;

use arch::topic;
use protocol::journal::journal_client::JournalClient;
use protocol::journal::{AppendRequest, Entry};
use tonic::transport::{Channel, Endpoint};
use tracing::warn;

use crate::message::{Message, Refusal};

/// How long a message waits for the journal.
const LIMIT: Duration = Duration::from_secs(5);

/// Appends the messages whose topic matches a filter to a journal.
pub struct Recorder {
    client: JournalClient<Channel>,
    filter: String,
}

impl Recorder {
    /// Connects with the first message, and reconnects when the connection is lost.
    pub fn new(journal: Endpoint, filter: String) -> Self {
        let channel = journal.timeout(LIMIT).connect_timeout(LIMIT).connect_lazy();
        Self { client: JournalClient::new(channel), filter }
    }

    /// Returns when the journal has the message, or immediately if the filter does not match.
    ///
    /// # Errors
    /// [`Refusal::Journal`] if the journal cannot be reached or refuses the message.
    pub async fn record(&self, message: &Message) -> Result<(), Refusal> {
        if !topic::matches(&self.filter, &message.topic) {
            return Ok(());
        }
        let entry = Entry { key: message.topic.clone(), value: message.payload.as_slice().to_vec() };
        let appended = self.client.clone().append(AppendRequest { entries: vec![entry] }).await;
        appended.map(drop).map_err(|status| {
            warn!(topic = message.topic, code = ?status.code(), "journal: {}", status.message());
            Refusal::Journal
        })
    }
}
