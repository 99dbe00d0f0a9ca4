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
//
// It knows nodes and roles by name only, and nothing of what they serve.
package cluster
