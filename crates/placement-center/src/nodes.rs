//! The nodes, in a redb database and in memory.
//!
//! The database has the registered nodes. The time of the last heartbeat is only in memory, because a disk write for each
//! heartbeat would have no benefit: after a start every node has a whole lease for its next heartbeat.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message;
use protocol::placement::{ListedNode, Node};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition};
use tracing::warn;

/// Id → [`ListedNode`] as protobuf, without `seen_ms_ago`.
const NODES: TableDefinition<&str, &[u8]> = TableDefinition::new("nodes");

/// The registered nodes. Reads use the memory; a change is on disk before it is visible.
pub struct Nodes {
    /// Held during a whole change, so that disk and memory have the same order of changes.
    database: Mutex<Database>,
    lease: Duration,
    known: Mutex<BTreeMap<String, Known>>,
}

struct Known {
    node: Node,
    registered_at_ms: u64,
    seen: Instant,
}

impl Known {
    /// The time since the last heartbeat; zero for a heartbeat that another thread took after `now`.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.seen)
    }
}

impl Nodes {
    /// Opens the database, or creates it.
    ///
    /// # Errors
    /// If the file cannot be opened, is in use, or is not such a database.
    pub fn open(file: &Path, lease: Duration) -> Result<Self, redb::Error> {
        let database = Database::create(file)?;
        // A table must exist before it is read.
        change(&database, |_| Ok(()))?;
        let mut known = BTreeMap::new();
        let seen = Instant::now();
        for row in database.begin_read()?.open_table(NODES)?.iter()? {
            let (id, bytes) = row?;
            match ListedNode::decode(bytes.value()).map(|listed| (listed.node, listed.registered_at_ms)) {
                Ok((Some(node), registered_at_ms)) => {
                    known.insert(id.value().to_owned(), Known { node, registered_at_ms, seen });
                }
                // The node will register again; a center that does not start would stop all of them.
                _ => warn!(id = id.value(), "ignored a node that cannot be read"),
            }
        }
        Ok(Self { database: Mutex::new(database), lease, known: Mutex::new(known) })
    }

    /// How long a node is listed without a heartbeat.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Adds the node, or replaces the one with the same id; its lease starts at `now`. Blocks on the disk.
    ///
    /// # Errors
    /// The database's error; nothing has changed then.
    pub fn register(&self, node: Node, now: Instant) -> Result<(), redb::Error> {
        let registered_at_ms = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let stored = ListedNode { node: Some(node.clone()), registered_at_ms, seen_ms_ago: 0 };
        let database = lock(&self.database);
        change(&database, |table| {
            table.insert(node.id.as_str(), stored.encode_to_vec().as_slice())?;
            Ok(())
        })?;
        let id = node.id.clone();
        lock(&self.known).insert(id, Known { node, registered_at_ms, seen: now });
        Ok(())
    }

    /// Renews the lease. Returns whether it was valid at `now`.
    pub fn heartbeat(&self, id: &str, now: Instant) -> bool {
        let mut known = lock(&self.known);
        let valid = known.get_mut(id).filter(|known| known.age(now) < self.lease);
        valid.map(|known| known.seen = now).is_some()
    }

    /// Removes the nodes with these ids, if they are registered. Blocks on the disk.
    ///
    /// # Errors
    /// The database's error; nothing has changed then.
    pub fn remove(&self, ids: &[String]) -> Result<(), redb::Error> {
        let database = lock(&self.database);
        change(&database, |table| {
            for id in ids {
                table.remove(id.as_str())?;
            }
            Ok(())
        })?;
        lock(&self.known).retain(|id, _| !ids.contains(id));
        Ok(())
    }

    /// The ids of the nodes whose lease has expired at `now`.
    pub fn late(&self, now: Instant) -> Vec<String> {
        let known = lock(&self.known);
        let late = known.iter().filter(|(_, known)| known.age(now) >= self.lease);
        late.map(|(id, _)| id.clone()).collect()
    }

    /// The nodes of `kind` (all for an empty one) whose lease is valid at `now`, ordered by id.
    pub fn list(&self, kind: &str, now: Instant) -> Vec<ListedNode> {
        let known = lock(&self.known);
        let alive = known.values().filter(|known| known.age(now) < self.lease);
        alive
            .filter(|known| kind.is_empty() || known.node.kind == kind)
            .map(|known| ListedNode {
                node: Some(known.node.clone()),
                registered_at_ms: known.registered_at_ms,
                seen_ms_ago: millis(known.age(now)),
            })
            .collect()
    }
}

/// One atomic and durable change of the table.
fn change(
    database: &Database,
    change: impl FnOnce(&mut Table<&str, &[u8]>) -> Result<(), redb::StorageError>,
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    change(&mut write.open_table(NODES)?)?;
    Ok(write.commit()?)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// No code panics while it holds these locks, and the guarded data is consistent after each statement.
fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, kind: &str) -> Node {
        Node { id: id.to_owned(), kind: kind.to_owned(), ..Node::default() }
    }

    fn ids(nodes: &Nodes, kind: &str, now: Instant) -> Vec<String> {
        nodes.list(kind, now).into_iter().filter_map(|listed| listed.node).map(|node| node.id).collect()
    }

    /// The times are given, so the speed of the machine has no influence.
    #[test]
    fn nodes_are_listed_until_their_lease_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let nodes = Nodes::open(&folder.path().join("nodes.redb"), Duration::from_secs(4)).expect("open");
        let start = Instant::now();
        for (id, kind) in [("b", "mqtt-server"), ("a", "journal-server"), ("c", "mqtt-server")] {
            nodes.register(node(id, kind), start).expect("registered");
        }
        let last = start + Duration::from_millis(3999);
        assert_eq!(
            (ids(&nodes, "", last), ids(&nodes, "mqtt-server", last)),
            (vec!["a".into(), "b".into(), "c".into()], vec!["b".into(), "c".into()])
        );
        assert!(nodes.heartbeat("b", last) && !nodes.heartbeat("unknown", last));
        let expired = start + Duration::from_secs(4);
        assert_eq!(
            (ids(&nodes, "", expired), nodes.late(expired)),
            (vec!["b".into()], vec!["a".into(), "c".into()])
        );
        assert_eq!(nodes.list("", expired)[0].seen_ms_ago, 1);
        assert!(!nodes.heartbeat("a", expired), "an expired lease is not renewed");
        nodes.remove(&nodes.late(expired)).expect("removed");
        assert_eq!(nodes.late(expired), Vec::<String>::new());
        assert_eq!(nodes.list("", start)[0].seen_ms_ago, 0, "a heartbeat after `now`");
    }

    #[test]
    fn registered_nodes_survive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("nodes.redb");
        let lease = Duration::from_secs(9);
        let nodes = Nodes::open(&file, lease).expect("open");
        let now = Instant::now();
        nodes
            .register(node("a", "x"), now)
            .and_then(|()| nodes.register(node("b", "x"), now))
            .expect("registered");
        nodes.remove(&["a".into()]).expect("removed");
        assert!(Nodes::open(&file, lease).is_err(), "one process at a time");
        drop(nodes);
        assert_eq!(ids(&Nodes::open(&file, lease).expect("open again"), "", now), ["b"]);
    }
}
