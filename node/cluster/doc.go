// Package cluster is how the nodes of one deployment find each other, trust each
// other and call each other.
//
// # What
//
//	registry.go     which nodes there are: the interface, and Static for a node alone
//	address.go      where the registry of many nodes is
//	consul.go       that registry: a node says that it lives (consul_self.go), and sees
//	                the others (consul_view.go)
//	consul_keys.go  keys of the configuration that all nodes share
//	ca.go           the CA of a deployment; token.go, join.go, who may have a certificate
//	identity.go     a node's certificate, and TLS with it
//	caller.go       on whose behalf a node asks another one
//	pool.go         which node of a role is asked, and what becomes of one that fails
//	client.go       calls of services; proxy.go, requests that are handed on whole
//
// # Guarantees
//
// Who has no certificate of the deployment's CA gets nothing but the right to show a
// join token. A caller's identity counts only with the signature of the node that
// sends it, for the role that it was meant for. A request is sent to a second node
// only if the first did not take it, or if doing it twice is harmless.
//
// It knows nodes and roles by name only, and nothing of what they serve.
package cluster
