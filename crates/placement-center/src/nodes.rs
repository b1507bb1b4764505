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

    /// Adds the node, or replaces the one with the same id. Blocks on the disk.
    ///
    /// # Errors
    /// The database's error; nothing has changed then.
    pub fn register(&self, node: Node) -> Result<(), redb::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let registered_at_ms = millis(now);
        let stored = ListedNode { node: Some(node.clone()), registered_at_ms, seen_ms_ago: 0 };
        let database = lock(&self.database);
        change(&database, |table| {
            table.insert(node.id.as_str(), stored.encode_to_vec().as_slice())?;
            Ok(())
        })?;
        let id = node.id.clone();
        lock(&self.known).insert(id, Known { node, registered_at_ms, seen: Instant::now() });
        Ok(())
    }

    /// Renews the lease. Returns whether the node is registered.
    pub fn heartbeat(&self, id: &str) -> bool {
        let mut known = lock(&self.known);
        let valid = known.get_mut(id).filter(|known| known.seen.elapsed() < self.lease);
        valid.map(|known| known.seen = Instant::now()).is_some()
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

    /// The ids of the nodes whose lease has expired.
    pub fn late(&self) -> Vec<String> {
        let known = lock(&self.known);
        let late = known.iter().filter(|(_, known)| known.seen.elapsed() >= self.lease);
        late.map(|(id, _)| id.clone()).collect()
    }

    /// The nodes of `kind` (all for an empty one) whose lease is valid, ordered by id.
    pub fn list(&self, kind: &str) -> Vec<ListedNode> {
        let known = lock(&self.known);
        let alive = known.values().filter(|known| known.seen.elapsed() < self.lease);
        alive
            .filter(|known| kind.is_empty() || known.node.kind == kind)
            .map(|known| ListedNode {
                node: Some(known.node.clone()),
                registered_at_ms: known.registered_at_ms,
                seen_ms_ago: millis(known.seen.elapsed()),
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

    fn ids(nodes: &Nodes, kind: &str) -> Vec<String> {
        nodes.list(kind).into_iter().filter_map(|listed| listed.node).map(|node| node.id).collect()
    }

    #[test]
    fn nodes_are_listed_until_their_lease_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let nodes = Nodes::open(&folder.path().join("nodes.redb"), Duration::from_millis(400)).expect("open");
        for (id, kind) in [("b", "mqtt-server"), ("a", "journal-server"), ("c", "mqtt-server")] {
            nodes.register(node(id, kind)).expect("registered");
        }
        assert_eq!(
            (ids(&nodes, ""), ids(&nodes, "mqtt-server")),
            (vec!["a".into(), "b".into(), "c".into()], vec!["b".into(), "c".into()])
        );
        std::thread::sleep(Duration::from_millis(250));
        assert!(nodes.heartbeat("b") && !nodes.heartbeat("unknown"));
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!((ids(&nodes, ""), nodes.late()), (vec!["b".into()], vec!["a".into(), "c".into()]));
        assert!(!nodes.heartbeat("a"), "an expired lease is not renewed");
        nodes.remove(&nodes.late()).expect("removed");
        assert_eq!(nodes.late(), Vec::<String>::new());
    }

    #[test]
    fn registered_nodes_survive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("nodes.redb");
        let lease = Duration::from_secs(9);
        let nodes = Nodes::open(&file, lease).expect("open");
        nodes.register(node("a", "x")).and_then(|()| nodes.register(node("b", "x"))).expect("registered");
        nodes.remove(&["a".into()]).expect("removed");
        assert!(Nodes::open(&file, lease).is_err(), "one process at a time");
        drop(nodes);
        assert_eq!(ids(&Nodes::open(&file, lease).expect("open again"), ""), ["b"]);
    }
}
