//! The subscriptions of all clients.

use std::collections::HashMap;

use arch::topic;
use mqtt_protocol_core::mqtt::packet::{Qos, SubOpts};

/// Client → its options.
type Clients = HashMap<String, SubOpts>;

/// Filters, and their subscribers.
///
/// Most filters have no wildcard and are looked up by their hash. The others are compared one by one.
#[derive(Default)]
pub struct Subscriptions {
    names: HashMap<String, Clients>,
    filters: HashMap<String, Clients>,
}

impl Subscriptions {
    /// Adds a subscription, or changes its options. Returns whether it is new.
    pub fn add(&mut self, client: &str, filter: &str, options: SubOpts) -> bool {
        let clients = self.side(filter).entry(filter.to_owned()).or_default();
        clients.insert(client.to_owned(), options).is_none()
    }

    /// Removes a subscription. Returns whether it existed.
    pub fn remove(&mut self, client: &str, filter: &str) -> bool {
        let side = self.side(filter);
        let Some(clients) = side.get_mut(filter) else { return false };
        let existed = clients.remove(client).is_some();
        if clients.is_empty() {
            side.remove(filter);
        }
        existed
    }

    /// Removes all subscriptions of a client.
    pub fn forget(&mut self, client: &str) {
        for side in [&mut self.names, &mut self.filters] {
            side.retain(|_, clients| {
                clients.remove(client);
                !clients.is_empty()
            });
        }
    }

    /// The clients that receive a message with the topic `name` from `publisher`, each once, with the highest QoS that they
    /// subscribed with, and whether they get the message's retain flag.
    pub fn matching<'a>(&'a self, name: &str, publisher: &str) -> HashMap<&'a str, (Qos, bool)> {
        let filters = self.filters.iter().filter(|(filter, _)| topic::matches(filter, name));
        let clients = self.names.get(name).into_iter().chain(filters.map(|(_, clients)| clients)).flatten();
        let mut receivers: HashMap<&str, (Qos, bool)> = HashMap::new();
        for (client, options) in clients {
            if options.nl() && client == publisher {
                continue;
            }
            let subscribed = (options.qos(), options.rap());
            let best = receivers.entry(client).or_insert(subscribed);
            if best.0 as u8 <= subscribed.0 as u8 {
                *best = (subscribed.0, best.1 || subscribed.1);
            }
        }
        receivers
    }

    fn side(&mut self, filter: &str) -> &mut HashMap<String, Clients> {
        if topic::is_name(filter) { &mut self.names } else { &mut self.filters }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(qos: Qos) -> SubOpts {
        SubOpts::new().set_qos(qos)
    }

    #[test]
    fn each_client_matches_once_with_its_highest_qos() {
        let mut subscriptions = Subscriptions::default();
        assert!(subscriptions.add("a", "x/y", options(Qos::AtMostOnce)));
        assert!(subscriptions.add("a", "x/#", options(Qos::ExactlyOnce).set_rap(true)));
        assert!(subscriptions.add("a", "+/y", options(Qos::AtLeastOnce)));
        assert!(subscriptions.add("b", "+/y", options(Qos::AtLeastOnce).set_nl(true)));
        assert!(!subscriptions.add("b", "+/y", options(Qos::AtMostOnce).set_nl(true)));
        let both = [("a", (Qos::ExactlyOnce, true)), ("b", (Qos::AtMostOnce, false))];
        assert_eq!(subscriptions.matching("x/y", "c"), HashMap::from(both));
        assert_eq!(subscriptions.matching("x/y", "b"), HashMap::from([both[0]]));
        assert_eq!(subscriptions.matching("x/z", "c"), HashMap::from([both[0]]));
        assert!(subscriptions.remove("b", "+/y") && !subscriptions.remove("b", "+/y"));
        subscriptions.forget("a");
        assert!(subscriptions.names.is_empty() && subscriptions.filters.is_empty());
    }

    proptest! {
        /// The two lookups together give the same result as the definition.
        #[test]
        fn what_matches_is_what_the_standard_says(
            filters in prop::collection::btree_set("(a|b|\\+)(/(a|b|\\+)){0,2}(/#)?", 1..8), name in "(a|b)(/(a|b)){0,3}",
        ) {
            let mut subscriptions = Subscriptions::default();
            for filter in &filters {
                subscriptions.add(filter, filter, options(Qos::AtMostOnce));
            }
            let mut actual: Vec<_> = subscriptions.matching(&name, "").into_keys().collect();
            actual.sort_unstable();
            let expected: Vec<_> = filters.iter().filter(|filter| topic::matches(filter, &name)).collect();
            prop_assert_eq!(actual, expected);
        }
    }
}
