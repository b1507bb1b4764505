//! The broker's state: sessions, subscriptions, retained messages. All changes are made under its lock, without waiting.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arch::topic;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{Qos, RetainHandling, StorePacket, SubOpts};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use crate::message::{Delivery, Message};
use crate::topics::Subscriptions;

/// Sessions, subscriptions and retained messages, in memory.
pub struct Broker {
    state: Mutex<State>,
    /// The maximum number of messages that wait for one client; more are dropped.
    max_queued: usize,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Session>,
    subscriptions: Subscriptions,
    retained: BTreeMap<String, Arc<Message>>,
}

/// The broker's state of a client.
struct Session {
    version: Version,
    link: Option<Link>,
    /// Messages for a disconnected client.
    kept: Kept,
    /// When a session without a connection expires; never for `None`.
    ends: Option<Instant>,
}

/// The broker's view of a session's connection.
struct Link {
    outbox: mpsc::Sender<Delivery>,
    kick: CancellationToken,
    ended: CancellationToken,
}

/// The state of a session that outlives its connection.
#[derive(Default)]
pub struct Kept {
    /// Sent, but not acknowledged.
    pub in_flight: Vec<StorePacket>,
    /// Packet ids of received QoS 2 messages that are not released.
    pub unreleased: Vec<u16>,
    /// Not sent yet.
    pub queue: VecDeque<Delivery>,
}

/// The parameters of a client's connection.
pub struct Hello {
    pub client: String,
    pub version: Version,
    /// Discard an existing session.
    pub clean: bool,
}

/// A session, held by its connection.
pub struct Attached {
    /// Whether a session existed.
    pub present: bool,
    pub kept: Kept,
    pub inbox: mpsc::Receiver<Delivery>,
    /// Cancelled when another connection takes over the session.
    pub kicked: CancellationToken,
    /// Signals the end of this connection to waiting tasks, however it ends.
    _guard: DropGuard,
}

impl Broker {
    pub fn new(max_queued: usize) -> Self {
        Self { state: Mutex::default(), max_queued }
    }

    /// Connects a client to its session. An existing connection of the session is ended first.
    pub async fn attach(&self, hello: Hello) -> Attached {
        loop {
            let ended = {
                let mut state = self.lock();
                let link = state.sessions.get(&hello.client).and_then(|session| session.link.as_ref());
                match link.filter(|link| !link.ended.is_cancelled()) {
                    None => return state.attach(hello, self.max_queued),
                    Some(link) => {
                        link.kick.cancel();
                        link.ended.clone()
                    }
                }
            };
            ended.cancelled().await;
        }
    }

    /// Ends a connection. Its session is kept for `expiry`, forever if that is `None`. `attached` has the unsent messages.
    pub fn detach(&self, client: &str, mut attached: Attached, expiry: Option<Duration>) {
        let mut state = self.lock();
        // No task can send under the lock, so no message is lost after the last one.
        attached.inbox.close();
        while let Ok(delivery) = attached.inbox.try_recv() {
            attached.kept.queue.push_back(delivery);
        }
        if expiry == Some(Duration::ZERO) {
            state.end(client);
        } else if let Some(session) = state.sessions.get_mut(client) {
            attached.kept.queue.retain(|delivery| delivery.qos != Qos::AtMostOnce);
            session.link = None;
            session.kept = attached.kept;
            session.ends = expiry.and_then(|time| Instant::now().checked_add(time));
        }
    }

    /// Whether the client is disconnected, or has no session.
    pub fn is_away(&self, client: &str) -> bool {
        self.lock().sessions.get(client).is_none_or(|session| session.link.is_none())
    }

    /// Removes expired sessions and expired retained messages.
    pub fn sweep(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        let over = state
            .sessions
            .iter()
            .filter(|(_, session)| session.link.is_none() && session.ends.is_some_and(|time| time <= now));
        for client in over.map(|(client, _)| client.clone()).collect::<Vec<_>>() {
            debug!(client, "session expired");
            state.end(&client);
        }
        state.retained.retain(|_, message| !message.is_expired());
    }

    /// Subscribes. Returns the retained messages for the client.
    pub fn subscribe(&self, client: &str, filter: &str, options: SubOpts) -> Vec<Delivery> {
        let mut state = self.lock();
        let is_new = state.subscriptions.add(client, filter, options);
        let sends_retained = match options.rh() {
            RetainHandling::SendRetained => true,
            RetainHandling::SendRetainedIfNotExists => is_new,
            RetainHandling::DoNotSendRetained => false,
        };
        if !sends_retained {
            return Vec::new();
        }
        let deliver = |message: &Arc<Message>| Delivery::new(message.clone(), options.qos(), true);
        if topic::is_name(filter) {
            return state.retained.get(filter).map(deliver).into_iter().collect();
        }
        let matching = state.retained.iter().filter(|(name, _)| topic::matches(filter, name));
        matching.map(|(_, message)| deliver(message)).collect()
    }

    /// Removes a subscription. Returns whether it existed.
    pub fn unsubscribe(&self, client: &str, filter: &str) -> bool {
        self.lock().subscriptions.remove(client, filter)
    }

    /// Delivers a message to all subscribers, and keeps it if it is to be retained.
    pub fn publish(&self, message: Message) {
        let message = Arc::new(message);
        let mut state = self.lock();
        let State { sessions, subscriptions, retained } = &mut *state;
        for (client, (qos, show_retain)) in subscriptions.matching(&message.topic, &message.from) {
            let delivery = Delivery::new(message.clone(), qos, show_retain && message.retain);
            let Some(session) = sessions.get_mut(client) else { continue };
            if !session.take(delivery, self.max_queued) {
                warn!(
                    client,
                    topic = message.topic,
                    "dropped a message: {} are already queued",
                    self.max_queued
                );
            }
        }
        if message.retain && message.payload.is_empty() {
            retained.remove(&message.topic);
        } else if message.retain {
            retained.insert(message.topic.clone(), message);
        }
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn attach(&mut self, hello: Hello, max_queued: usize) -> Attached {
        let Hello { client, version, clean } = hello;
        // The messages in flight are encoded for one version of the protocol.
        let usable = |session: &Session| {
            let over = session.link.is_none() && session.ends.is_some_and(|time| time <= Instant::now());
            !clean && !over && session.version == version
        };
        let present = self.sessions.get(&client).is_some_and(usable);
        if !present {
            self.end(&client);
        }
        let (outbox, inbox) = mpsc::channel(max_queued);
        let (kick, ended) = (CancellationToken::new(), CancellationToken::new());
        let (kicked, _guard) = (kick.clone(), ended.clone().drop_guard());
        let link = Some(Link { outbox, kick, ended });
        let fresh = Session { version, link: None, kept: Kept::default(), ends: None };
        let session = self.sessions.entry(client).or_insert(fresh);
        session.link = link;
        Attached { present, kept: std::mem::take(&mut session.kept), inbox, kicked, _guard }
    }

    fn end(&mut self, client: &str) {
        if self.sessions.remove(client).is_some() {
            self.subscriptions.forget(client);
        }
    }
}

impl Session {
    /// Whether the delivery was queued, or need not be: QoS 0 is not kept for a disconnected client.
    fn take(&mut self, delivery: Delivery, max_queued: usize) -> bool {
        if let Some(link) = self.link.as_ref().filter(|link| !link.outbox.is_closed()) {
            return link.outbox.try_send(delivery).is_ok();
        }
        if delivery.qos != Qos::AtMostOnce {
            if self.kept.queue.len() >= max_queued {
                return false;
            }
            self.kept.queue.push_back(delivery);
        }
        true
    }
}
